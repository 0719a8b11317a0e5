//! An interaction before its judges: what was decided at accept, what is on record since, and what the draws are made with.

use std::sync::Arc;
use std::time::Duration;

use assize_core::results::Recorded;
use assize_core::{
    Accepted, Allocation, Decision, DecisionState, Draw, Interaction, JudgeName, JudgeVersion, Metric, MetricName, Outcome,
    Reason, Restraint, ReuseKind, Scored, Step, Timestamp, Verdict,
};
use tokio::sync::OnceCell;

use super::Pipeline;
use super::allocations::Allocations;
use super::batch::Way;
use super::call::Called;
use super::course::Course;
use super::decide::probability;
use super::nearest::Vectors;
use super::panel::Panel;
use super::seat::Seats;

/// One leased interaction.
pub struct Case<'a> {
    pub row: &'a Arc<Accepted>,
    pub panel: &'a Panel,
    pub subject: &'a Interaction,
    /// How often it went back to the queue already.
    pub retries: u32,
    pub draw: Draw,
    /// How it came.
    pub way: Way,
    /// What its texts mean, once it was asked for.
    pub vectors: OnceCell<Option<Arc<Vectors>>>,
    /// What was drawn, has no outcome yet and is not too old.
    open: Vec<&'a Decision>,
    recorded: &'a Recorded,
    allocations: &'a Allocations,
    /// What holds the project back by now.
    restraint: Restraint,
}

impl<'a> Case<'a> {
    /// The answers that it came with, once.
    pub fn answers(&mut self) -> Vec<(MetricName, Called)> {
        match &mut self.way {
            Way::Answered { answers, .. } => std::mem::take(answers),
            Way::Queue | Way::Live { .. } => Vec::new(),
        }
    }

    /// The ways of all metrics that it came for, drawn and without an outcome yet, as far as they go without asking anybody.
    pub fn courses(&self) -> Vec<Course<'a>> {
        let mut courses = Vec::new();
        for &decision in self.open.iter().filter(|decision| self.way.carries(&decision.metric)) {
            let Some((metric, seats)) = seated(self.panel, decision) else { continue };
            let mut course = Course::new(self.row, decision, metric, seats);
            course.advance(self);
            courses.push(course);
        }
        courses
    }

    /// The verdict that is on record, so that it is not paid again.
    pub fn verdict(&self, metric: &MetricName, version: &JudgeVersion) -> Option<&Verdict> {
        let of_metric = self.recorded.verdicts.iter().filter(|(name, _)| name == metric);
        of_metric.map(|(_, verdict)| verdict).find(|verdict| &verdict.version == version)
    }

    /// The verdict on nearly the same that is on record.
    pub fn similar(&self, metric: &MetricName) -> Option<&Verdict> {
        let of_metric = self.recorded.verdicts.iter().filter(|(name, _)| name == metric);
        let is_similar = |verdict: &&Verdict| verdict.reused.is_some_and(|reused| reused.kind == ReuseKind::Similar);
        of_metric.map(|(_, verdict)| verdict).rfind(is_similar)
    }

    /// The draw for a tier that is on record.
    pub fn step(&self, decision: &Decision, tier: usize) -> Option<&Step> {
        self.steps(decision).find(|step| usize::from(step.tier) == tier)
    }

    /// Whether a draw for a later tier of the cascade's `tiers` is on record.
    pub fn has_step_beyond(&self, decision: &Decision, tier: usize, tiers: usize) -> bool {
        self.steps(decision).map(|step| usize::from(step.tier)).any(|drawn_for| drawn_for > tier && drawn_for < tiers)
    }

    fn steps(&self, decision: &Decision) -> impl Iterator<Item = &Step> {
        self.recorded.steps.iter().filter(|(metric, _)| *metric == decision.metric).map(|(_, step)| step)
    }

    /// The probability that the first called tier would have by now; `None` where that is of no matter: nothing is held back, a judge
    /// was asked already or may be at this moment.
    pub fn thinned(&self, decision: &Decision, metric: &Metric) -> Option<f64> {
        let is_begun = matches!(self.way, Way::Answered { .. } | Way::Live { .. }) || metric.max_delay_hours > 0;
        if is_begun || self.restraint == Restraint::default() || self.is_touched(decision) {
            return None;
        }
        let policy = &self.panel.policy;
        let allocation = || self.allocation(metric, &decision.scores.last()?.judge);
        Some(probability(policy, &self.restraint, metric, &self.row.features, &decision.scores, allocation))
    }

    /// Whether anything is on record of the metric since it was accepted.
    fn is_touched(&self, decision: &Decision) -> bool {
        let Recorded { verdicts, steps, calls, .. } = self.recorded;
        let metric = &decision.metric;
        verdicts.iter().any(|(name, _)| name == metric) || steps.iter().any(|(name, _)| name == metric) || !calls.is_empty()
    }

    /// What was learned about doubt, given what `predictor` said.
    pub fn allocation(&self, metric: &Metric, predictor: &JudgeName) -> Option<Allocation> {
        self.allocations.get(&self.row.project, metric, predictor)
    }
}

/// The case of `row`, and the outcomes of the metrics for which there is nothing left to do but to say why.
pub fn open<'a>(
    pipeline: &'a Pipeline,
    row: &'a Arc<Accepted>,
    panel: Option<&'a Panel>,
    subject: Option<&'a Interaction>,
    retries: u32,
    recorded: &'a Recorded,
    way: Way,
) -> (Vec<Scored>, Option<Case<'a>>) {
    let now = pipeline.clock.now();
    let age = now.since(row.accepted_at);
    let (expired, open): (Vec<&Decision>, Vec<&Decision>) =
        open_decisions(row, recorded).partition(|decision| age > age_max(pipeline, panel, decision));
    let reason = Reason::new("too_old", "it waited longer than score.max_age_hours");
    let over = expired.iter().map(|decision| given_up(row, decision, Outcome::Expired, &reason, now));
    let mut over: Vec<Scored> = over.collect();
    let failed = |decision: &&Decision, reason: &Reason| given_up(row, decision, Outcome::JudgeFailed, reason, now);
    let Some(panel) = panel else {
        over.extend(open.iter().map(|decision| failed(decision, &judge_gone())));
        return (over, None);
    };
    let Some(subject) = subject else {
        let reason = Reason::new("payload_unreadable", "its stored text cannot be read");
        over.extend(open.iter().map(|decision| failed(decision, &reason)));
        return (over, None);
    };
    let gone = open.iter().filter(|decision| seated(panel, decision).is_none());
    over.extend(gone.map(|decision| failed(decision, &judge_gone())));
    let draw = pipeline.draw_key.draw(row.key);
    let (vectors, allocations) = (OnceCell::new(), &pipeline.allocations);
    let restraint = pipeline.restraint(&row.project);
    (over, Some(Case { row, panel, subject, retries, draw, way, vectors, open, recorded, allocations, restraint }))
}

/// The age at which a metric is given up: what may wait for a batch may be older.
fn age_max(pipeline: &Pipeline, panel: Option<&Panel>, decision: &Decision) -> Duration {
    let delay = panel.and_then(|panel| Some(panel.metric(&decision.metric)?.0.max_delay_hours)).unwrap_or_default();
    pipeline.limits.age_max.saturating_add(Duration::from_secs(u64::from(delay) * 3_600))
}

/// The decisions that were drawn and have no outcome yet.
fn open_decisions<'a>(row: &'a Accepted, recorded: &Recorded) -> impl Iterator<Item = &'a Decision> {
    let drawn = row.decisions.iter().filter(|decision| decision.state == DecisionState::Drawn);
    drawn.filter(|decision| !recorded.closed.contains(&decision.metric))
}

/// The metric and its seats, if its reference judge is still the one that was configured at accept.
fn seated<'a>(panel: &'a Panel, decision: &Decision) -> Option<(&'a Metric, &'a Seats)> {
    let at = panel.policy.metrics.iter().position(|metric| metric.name == decision.metric)?;
    let metric = panel.policy.metrics.get(at)?;
    if metric.reference()?.version == decision.reference { Some((metric, panel.seats.get(at)?)) } else { None }
}

fn given_up(row: &Arc<Accepted>, decision: &Decision, outcome: Outcome, reason: &Reason, at: Timestamp) -> Scored {
    Scored {
        row: Arc::clone(row),
        metric: decision.metric.clone(),
        outcome: Some(outcome),
        reason: Some(reason.clone()),
        verdicts: Vec::new(),
        steps: Vec::new(),
        calls: Vec::new(),
        at,
    }
}

fn judge_gone() -> Reason {
    let message = "the judge of the policy that it was accepted under cannot be opened any more: its provider or key is gone";
    Reason::new("judge_gone", message)
}
