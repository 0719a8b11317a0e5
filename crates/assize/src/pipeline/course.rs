//! The way of one metric of one interaction through its called tiers: what is asked next, what was drawn, how it ends.

use std::sync::Arc;
use std::time::Duration;

use assize_core::judge::{CallFailure, CallFailureKind};
use assize_core::{
    Accepted, Decision, JudgeName, JudgeVersion, Metric, Outcome, Reason, Restraint, Scored, Step, Timestamp, Verdict, inclusion,
};

use super::call::Called;
use super::case::Case;
use super::gate::RETRY_AFTER_MAX;
use super::money::Withheld;
use super::pacing::{THIN_BELOW, THINNED};
use super::score::Limits;
use super::seat::{CalledSeat, Seats};

/// A metric on its way. What is new since the last record waits in it to be recorded.
pub struct Course<'a> {
    pub decision: &'a Decision,
    pub metric: &'a Metric,
    pub seats: &'a Seats,
    row: &'a Arc<Accepted>,
    /// The place of the next tier among the called ones.
    next: usize,
    /// The cumulative probability of the last draw.
    probability: f64,
    /// What the tiers so far said, in cascade order.
    scores: Vec<f64>,
    /// Who said the last of it.
    predictor: Option<JudgeName>,
    outcome: Option<Outcome>,
    reason: Option<Reason>,
    verdicts: Vec<Verdict>,
    steps: Vec<Step>,
    calls: Vec<assize_core::CallRecord>,
    /// How long to wait before another try, where the way is not at its end.
    try_again: Option<Duration>,
    /// Whether a call was made in this delivery.
    pub called: bool,
    changed: bool,
    /// The place of the tier that is being asked: further than [`Self::next`] once it has answered.
    asking: usize,
    /// The version and score of what was found on nearly the same, while the reference judge is asked all the same.
    similar: Option<(JudgeVersion, f64)>,
    /// Waits for the answer of a batch.
    is_parked: bool,
}

impl<'a> Course<'a> {
    /// The way from its beginning; [`Self::advance`] takes up what is on record.
    pub fn new(row: &'a Arc<Accepted>, decision: &'a Decision, metric: &'a Metric, seats: &'a Seats) -> Self {
        Self {
            decision,
            metric,
            seats,
            row,
            next: 0,
            probability: decision.probability,
            scores: decision.scores.iter().map(|tier| tier.score).collect(),
            predictor: decision.scores.last().map(|tier| tier.judge.clone()),
            outcome: None,
            reason: None,
            verdicts: Vec::new(),
            steps: Vec::new(),
            calls: Vec::new(),
            try_again: None,
            called: false,
            changed: false,
            asking: 0,
            similar: None,
            is_parked: false,
        }
    }

    /// The judge to ask next; `None` at the end, or while it waits for another try.
    pub fn seat(&self) -> Option<&'a CalledSeat> {
        let rests = self.outcome.is_some() || self.try_again.is_some() || self.is_parked;
        if rests { None } else { self.seats.called.get(self.next) }
    }

    /// It waits for the answer of a batch.
    pub fn park(&mut self) {
        self.is_parked = true;
    }

    /// How long to wait before another try; `None` where the way is at its end.
    pub fn try_again(&self) -> Option<Duration> {
        self.try_again
    }

    /// Why no verdict could be had, where that is the end.
    pub fn failure(&self) -> Option<&Reason> {
        self.reason.as_ref().filter(|_| self.outcome == Some(Outcome::JudgeFailed))
    }

    /// Whether the next tier is the reference judge's.
    pub fn is_at_reference(&self) -> bool {
        self.next + 1 == self.seats.called.len()
    }

    /// Goes on as far as nobody has to be asked: draws between tiers, and takes verdicts and draws that are on record as they are.
    pub fn advance(&mut self, case: &Case<'_>) {
        while let Some(seat) = self.seat() {
            let tier = self.seats.inline.len() + self.next;
            if self.next == 0 && self.is_left_out_of_the_backlog(case, tier, seat) {
                let message = "it was drawn, and left out while it waited, so that the budget lasts";
                return self.close(Outcome::NotSampled, Some(Reason::new(THINNED, message)));
            }
            if self.next > 0 && self.probability_is_of_earlier(tier) {
                let step = case.step(self.decision, tier).cloned().unwrap_or_else(|| self.draw(case, tier, seat));
                self.probability = step.probability;
                let drawn = step.drawn;
                self.steps.push(step);
                self.changed = true;
                if !drawn {
                    let by = self.predictor.as_ref().map_or("a cheaper judge", |judge| judge.as_str());
                    let message = format!("{by} scored it; the draw left out {}", seat.name);
                    return self.close(Outcome::NotSampled, Some(Reason::new("later_draw", message)));
                }
            }
            if let Some(verdict) = case.verdict(&self.decision.metric, &seat.version) {
                self.take(verdict.clone());
            } else if case.has_step_beyond(self.decision, tier, self.metric.cascade.len()) {
                // It was passed over before; the draws since are final.
                self.next += 1;
            } else {
                self.take_up_similar(case);
                self.asking = self.next;
                return;
            }
        }
    }

    /// Whether the judge that it wanted when it last advanced has not answered yet.
    pub fn is_asking(&self) -> bool {
        self.seat().is_some() && self.next == self.asking
    }

    /// Whether a verdict on nearly the same was looked at already.
    pub fn has_similar(&self) -> bool {
        !self.probability_is_of_earlier(self.metric.cascade.len())
    }

    /// The version of a verdict on nearly the same and what it said, where the reference judge is asked all the same.
    pub fn similar(&self) -> Option<&(JudgeVersion, f64)> {
        self.similar.as_ref()
    }

    /// Takes up a draw after a verdict on nearly the same that is on record: the reference judge was to be asked all the same.
    fn take_up_similar(&mut self, case: &Case<'_>) {
        let Some(step) = case.step(self.decision, self.metric.cascade.len()) else { return };
        if self.is_at_reference() && !self.has_similar() {
            self.probability = step.probability;
            self.steps.push(step.clone());
            self.similar = case.similar(&self.decision.metric).map(|verdict| (verdict.version.clone(), verdict.score));
        }
    }

    /// Looks at a verdict of the reference judge on nearly the same: with probability `audit` the judge is asked all the same, else the
    /// way ends with it.
    pub fn take_similar(&mut self, verdict: Verdict, audit: f64, case: &Case<'_>) {
        // A tier of its own, beyond those that were configured.
        let tier = self.metric.cascade.len();
        let step = case.step(self.decision, tier).cloned().unwrap_or_else(|| {
            let probability = self.probability * audit;
            Step {
                tier: u16::try_from(tier).unwrap_or(u16::MAX),
                judge: verdict.judge.clone(),
                conditional: audit,
                probability,
                drawn: case.draw.falls_below(probability),
                predictor: None,
            }
        });
        self.probability = step.probability;
        self.similar = Some((verdict.version.clone(), verdict.score));
        let drawn = step.drawn;
        self.steps.push(step);
        self.verdicts.push(verdict);
        self.changed = true;
        // Where the judge is asked all the same, the draw goes on record first.
        self.asking = usize::MAX;
        if !drawn {
            let message = "a verdict of the same judge on nearly the same was used; rates are made of those judged for real";
            self.close(Outcome::Reused, Some(Reason::new("similar", message)));
        }
    }

    fn probability_is_of_earlier(&self, tier: usize) -> bool {
        self.steps.last().is_none_or(|step| usize::from(step.tier) < tier)
    }

    /// Thins the backlog: compares the draw with what the probability would be by now, if that has become lower. It looks at nothing
    /// that a called judge has said, and what is decided is final.
    fn is_left_out_of_the_backlog(&mut self, case: &Case<'_>, tier: usize, seat: &CalledSeat) -> bool {
        if !self.steps.is_empty() {
            return false;
        }
        let fresh = || {
            let probability = case.thinned(self.decision, self.metric)?;
            let conditional = probability / self.probability;
            (probability > 0.0 && conditional < THIN_BELOW).then(|| Step {
                tier: u16::try_from(tier).unwrap_or(u16::MAX),
                judge: seat.name.clone(),
                conditional,
                probability,
                drawn: case.draw.falls_below(probability),
                predictor: None,
            })
        };
        let Some(step) = case.step(self.decision, tier).cloned().or_else(fresh) else { return false };
        self.probability = step.probability;
        let drawn = step.drawn;
        self.steps.push(step);
        self.changed = true;
        !drawn
    }

    fn draw(&self, case: &Case<'_>, tier: usize, seat: &CalledSeat) -> Step {
        let allocation = self.predictor.as_ref().and_then(|judge| case.allocation(self.metric, judge));
        let policy = &case.panel.policy.sampling;
        let conditional =
            inclusion(policy, &Restraint::default(), &case.row.features, &self.scores, self.metric, tier, allocation.as_ref());
        let probability = self.probability * conditional;
        Step {
            tier: u16::try_from(tier).unwrap_or(u16::MAX),
            judge: seat.name.clone(),
            conditional,
            probability,
            drawn: case.draw.falls_below(probability),
            predictor: self.predictor.clone().zip(self.scores.last().copied()),
        }
    }

    /// What the judge of [`Self::seat`] said, and what it took.
    pub fn answered(&mut self, called: Called, limits: &Limits, retries: u32) {
        let only_waited = called.calls.is_empty();
        self.called |= !only_waited;
        self.changed |= !only_waited;
        self.calls.extend(called.calls);
        match called.withheld {
            // Waiting for money is no try, either.
            Some(Withheld::Wait(wait)) => return self.try_again = Some(wait),
            Some(Withheld::Refused(why)) if self.is_at_reference() => return self.close(Outcome::OverBudget, Some(why)),
            // A cheaper tier that cannot be paid is passed over.
            Some(Withheld::Refused(_)) => return self.next += 1,
            None => {}
        }
        match called.result {
            Ok(verdict) => self.take(verdict),
            // Waiting for a pause or a slot is no try: it goes on until the item is too old.
            Err(failure) if failure.kind.is_retryable() && (only_waited || retries + 1 < limits.deliveries_max) => {
                let wait = limits.requeue(retries);
                self.try_again = Some(failure.retry_after.map_or(wait, |asked| asked.min(RETRY_AFTER_MAX).max(wait)));
            }
            Err(failure) if self.is_at_reference() => self.close(Outcome::JudgeFailed, Some(reason_of(&failure))),
            // A cheaper tier that cannot be had is passed over.
            Err(_) => self.next += 1,
        }
    }

    /// Takes a verdict of the judge of [`Self::seat`].
    pub fn take(&mut self, verdict: Verdict) {
        self.scores.push(verdict.score);
        self.predictor = Some(verdict.judge.clone());
        let outcome = if verdict.reused.is_some() { Outcome::Reused } else { Outcome::Judged };
        self.verdicts.push(verdict);
        self.next += 1;
        self.changed = true;
        if self.next == self.seats.called.len() {
            self.close(outcome, None);
        }
    }

    /// What the fallback judge said where the reference judge could not be had: on record, and in no rate.
    pub fn fell_back(&mut self, called: Called) {
        self.calls.extend(called.calls);
        if let Ok(verdict) = called.result {
            let why = self.reason.take().map(|reason| reason.message).unwrap_or_default();
            let message = format!("{why}; {} judged it instead, which no rate counts", verdict.judge);
            self.reason = Some(Reason::new("fallback", message));
            self.verdicts.push(verdict);
        }
    }

    /// Ends the way.
    pub fn close(&mut self, outcome: Outcome, reason: Option<Reason>) {
        (self.outcome, self.reason, self.changed) = (Some(outcome), reason, true);
    }

    /// What is new since it was last asked for; `None` if nothing is.
    pub fn news(&mut self, at: Timestamp) -> Option<Scored> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        Some(Scored {
            row: Arc::clone(self.row),
            metric: self.decision.metric.clone(),
            outcome: self.outcome,
            reason: self.reason.clone().filter(|_| self.outcome.is_some()),
            verdicts: std::mem::take(&mut self.verdicts),
            steps: self.steps.clone(),
            calls: std::mem::take(&mut self.calls),
            at,
        })
    }
}

fn reason_of(failure: &CallFailure) -> Reason {
    let code = match failure.kind {
        // A judge that declines is an answer of a kind, and not the wire's word for a refusing assistant.
        CallFailureKind::Refused => "judge_refused",
        kind => kind.code(),
    };
    Reason::new(code, failure.message.clone())
}
