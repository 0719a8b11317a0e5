//! Trying a metric out on stored interactions before it counts: what its judges say, what it costs, what it would cost.
//!
//! Nothing of it is in any rate. The calls are paid, so their spend is on record, under the metric's name with `dry-run.` before it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use assize_core::results::{Filter, InteractionRecord, Results};
use assize_core::{
    AskedAs, CallRecord, Interaction, InteractionId, JudgeName, Metric, MetricName, NanoUsd, ProjectName, Reason, Restraint,
    Scored, StoreError, Timestamp, inclusion,
};
use futures::StreamExt as _;

use super::Pipeline;
use super::call::{Errand, call};
use super::decide::{free_scores, missing, probability};
use super::panel::Panel;
use super::seat::{CalledSeat, Seats};

/// Interactions that are judged.
pub const ITEMS: usize = 20;
/// Interactions with text among which they are chosen.
const CANDIDATES_MAX: usize = 500;
/// Pages of the listing that are looked through for them.
const PAGES_MAX: usize = 20;
const PAGE: usize = 100;
/// Interactions in hand at once.
const AT_ONCE: usize = 5;

/// Which stored interactions are judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Choice {
    /// The newest.
    Newest,
    /// At random among the newest 500 that have text: the same ones as long as those are the same.
    #[default]
    Random,
}

/// What the judges said of one interaction.
#[derive(Debug, Clone)]
pub struct Tried {
    pub id: InteractionId,
    pub time: Timestamp,
    /// Why the metric does not apply to it, if so.
    pub no_content: Option<Reason>,
    /// The judges in cascade order, free ones included.
    pub said: Vec<Said>,
}

/// What one judge said.
#[derive(Debug, Clone)]
pub struct Said {
    pub judge: JudgeName,
    /// Score and reason; else why there are none.
    pub answer: Result<(f64, String), String>,
    /// The probability with which it would see this interaction.
    pub probability: f64,
    /// What its calls cost; `None` where that is not known.
    pub cost: Option<NanoUsd>,
    calls: Vec<CallRecord>,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct DryRun {
    pub items: Vec<Tried>,
    pub calls: u64,
    pub cost_unknown: u64,
    /// What the other calls cost.
    pub cost: NanoUsd,
}

impl DryRun {
    /// Nano-dollars that one interaction like these would cost on average, at the probabilities of the candidate; `None` where nothing was
    /// judged or a cost is not known.
    pub fn per_interaction(&self) -> Option<f64> {
        let mut sum = 0.0;
        for said in self.items.iter().flat_map(|item| &item.said) {
            sum += said.probability * said.cost?.0 as f64;
        }
        if self.items.is_empty() { None } else { Some(sum / self.items.len() as f64) }
    }
}

/// Projects in which one runs.
#[derive(Default)]
pub struct InHand(Arc<Mutex<HashSet<ProjectName>>>);

/// The one that may run in a project.
pub struct Place {
    project: ProjectName,
    of: Arc<Mutex<HashSet<ProjectName>>>,
}

impl InHand {
    /// `None` while one runs in `project`.
    pub fn take(&self, project: &ProjectName) -> Option<Place> {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(project.clone());
        taken.then(|| Place { project: project.clone(), of: Arc::clone(&self.0) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.of.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.project);
    }
}

/// Judges stored interactions by the metric `name` of `panel`, all its tiers each. `place` is given back when it ends, however it ends.
pub async fn dry_run(
    pipeline: &Pipeline,
    results: &dyn Results,
    (panel, name): (&Panel, &MetricName),
    choice: Choice,
    place: Place,
) -> Result<DryRun, StoreError> {
    let Some((metric, seats)) = panel.metric(name) else { return Ok(DryRun::default()) };
    let chosen = choose(pipeline, results, &place.project, choice).await?;
    let trying = chosen.into_iter().map(async |(record, text)| {
        let tried = try_out(pipeline, panel, (metric, seats), &record, &text).await;
        keep_calls(pipeline, record, name, &tried).await.map(|()| tried)
    });
    let tried: Vec<_> = futures::stream::iter(trying).buffered(AT_ONCE).collect().await;
    let mut run = DryRun { items: tried.into_iter().collect::<Result<_, _>>()?, ..DryRun::default() };
    for call in run.items.iter().flat_map(|item| &item.said).flat_map(|said| &said.calls) {
        run.calls += 1;
        match call.cost {
            Some(cost) => run.cost = run.cost.plus(cost),
            None => run.cost_unknown += 1,
        }
    }
    Ok(run)
}

/// Stored interactions whose text is kept.
async fn choose(
    pipeline: &Pipeline,
    results: &dyn Results,
    project: &ProjectName,
    choice: Choice,
) -> Result<Vec<(InteractionRecord, Interaction)>, StoreError> {
    let wanted = match choice {
        Choice::Newest => ITEMS,
        Choice::Random => CANDIDATES_MAX,
    };
    let mut filter = all_of(project);
    let mut seen = 0;
    let mut chosen: Vec<(f64, InteractionRecord, Interaction)> = Vec::new();
    for _ in 0..PAGES_MAX {
        let page = results.interactions(&filter).await?;
        for mut record in page.items {
            let Some(text) = record.payload.take().filter(|_| seen < wanted) else { continue };
            seen += 1;
            chosen.push((pipeline.draw_key.sample(record.row.key).0, record, text));
        }
        if choice == Choice::Random {
            // No more texts are held than will be needed.
            chosen.sort_by(|a, b| a.0.total_cmp(&b.0));
            chosen.truncate(ITEMS);
        }
        filter.cursor = page.next;
        if seen >= wanted || filter.cursor.is_none() {
            break;
        }
    }
    Ok(chosen.into_iter().map(|(_, record, text)| (record, text)).collect())
}

/// Every interaction of the project, a page at a time.
pub fn all_of(project: &ProjectName) -> Filter {
    Filter {
        project: project.clone(),
        metric: None,
        judge: None,
        outcome: None,
        dimension: None,
        from: None,
        to: None,
        score_min: None,
        score_max: None,
        cursor: None,
        limit: PAGE,
    }
}

async fn try_out(
    pipeline: &Pipeline,
    panel: &Panel,
    (metric, seats): (&Metric, &Seats),
    record: &InteractionRecord,
    interaction: &Interaction,
) -> Tried {
    let row = &record.row;
    let tried = |no_content, said| Tried { id: row.id.clone(), time: row.time, no_content, said };
    if let Some(reason) = missing(metric, interaction) {
        return tried(Some(reason), Vec::new());
    }
    let free = free_scores(seats, interaction);
    let policy = &panel.policy;
    let mut reached = probability(policy, &Restraint::default(), metric, &row.features, &free, || None);
    let mut scores: Vec<f64> = free.iter().map(|tier| tier.score).collect();
    let at_accept = free.into_iter().map(|tier| Said {
        judge: tier.judge,
        answer: Ok((tier.score, tier.reason)),
        probability: 1.0,
        cost: Some(NanoUsd::ZERO),
        calls: Vec::new(),
    });
    let mut said: Vec<Said> = at_accept.collect();
    let spent_on = marker(&metric.name);
    for ((tier, _), seat) in metric.called().zip(&seats.called) {
        if said.len() > seats.inline.len() {
            reached *= inclusion(&policy.sampling, &Restraint::default(), &row.features, &scores, metric, tier, None);
        }
        let seat = &CalledSeat { asked_as: AskedAs::Study, ..seat.clone() };
        let Some(called) = call(pipeline, &[Errand { seat, spent_on: &spent_on }], interaction).await.into_iter().next() else {
            continue;
        };
        let cost = called.calls.iter().try_fold(NanoUsd::ZERO, |sum, call| Some(sum.plus(call.cost?)));
        let answer = called.result.map(|verdict| (verdict.score, verdict.reason)).map_err(|failure| failure.message);
        scores.extend(answer.as_ref().ok().map(|(score, _)| *score));
        said.push(Said { judge: seat.name.clone(), answer, probability: reached, cost, calls: called.calls });
    }
    tried(None, said)
}

/// Puts what was paid on record.
async fn keep_calls(
    pipeline: &Pipeline,
    record: InteractionRecord,
    metric: &MetricName,
    tried: &Tried,
) -> Result<(), StoreError> {
    let calls: Vec<CallRecord> = tried.said.iter().flat_map(|said| said.calls.iter().cloned()).collect();
    if calls.is_empty() {
        return Ok(());
    }
    let spent = Scored {
        row: Arc::new(record.row),
        metric: marker(metric),
        outcome: None,
        reason: None,
        verdicts: Vec::new(),
        steps: Vec::new(),
        calls,
        at: pipeline.clock.now(),
    };
    pipeline.recorder.record(std::slice::from_ref(&spent)).await?;
    match &pipeline.money {
        Some(money) => money.settle(spent.calls.iter(), pipeline.clock.now()).await,
        None => Ok(()),
    }
}

/// The name under which the spend stands.
pub fn marker(metric: &MetricName) -> MetricName {
    marked("dry-run", metric)
}

/// A name for what is spent besides a metric's own verdicts: `WHAT.METRIC`, cut where a name has to end.
pub fn marked(what: &str, metric: &MetricName) -> MetricName {
    let name: String = format!("{what}.{metric}").chars().take(64).collect();
    MetricName::new(&name).unwrap_or_else(|_| metric.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_in_each_project() {
        let project = |name: &str| ProjectName::new(name).unwrap();
        let runs = InHand::default();
        let place = runs.take(&project("a")).unwrap();
        assert!(runs.take(&project("a")).is_none() && runs.take(&project("b")).is_some());
        drop(place);
        assert!(runs.take(&project("a")).is_some());
    }

    #[test]
    fn the_marker_is_a_name() {
        assert_eq!(marker(&MetricName::new("refusal").unwrap()).as_str(), "dry-run.refusal");
        assert_eq!(marker(&MetricName::new(&"x".repeat(64)).unwrap()).as_str().len(), 64);
    }

    #[test]
    fn the_estimate_weighs_costs_by_probabilities() {
        let said = |probability, cost: Option<u64>| Said {
            judge: JudgeName::new("j").unwrap(),
            answer: Ok((1.0, String::new())),
            probability,
            cost: cost.map(NanoUsd),
            calls: Vec::new(),
        };
        let item = |said| Tried { id: InteractionId::new("i").unwrap(), time: Timestamp(0), no_content: None, said };
        let run = |items| DryRun { items, ..DryRun::default() };
        assert_eq!(run(Vec::new()).per_interaction(), None);
        let items = vec![item(vec![said(0.1, Some(1_000)), said(0.02, Some(10_000))]), item(Vec::new())];
        assert_eq!(run(items).per_interaction(), Some(150.0));
        assert_eq!(run(vec![item(vec![said(0.1, None)])]).per_interaction(), None);
    }
}
