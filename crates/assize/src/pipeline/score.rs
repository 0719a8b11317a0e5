//! `score`: what was drawn is judged, recorded and acknowledged.

use std::sync::Arc;
use std::time::Duration;

use assize_core::judge::{CallFailure, CallFailureKind};
use assize_core::queue::{Leased, Settlement};
use assize_core::{
    Accepted, Decision, DecisionState, Interaction, JudgeVersion, MetricName, Outcome, Reason, Scored, StoreError, Verdict,
};
use futures::future::try_join_all;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Pipeline;
use super::call::call;
use super::gate::{RETRY_AFTER_MAX, SLOT_WAIT_MAX, WAIT_IN_HAND_MAX};
use super::panel::Panel;
use super::seat::Seats;
use crate::config::policy::Pace;

/// How drawn items are worked on.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Items in hand at once.
    pub in_flight_max: usize,
    /// How often an item goes back to the queue before it is given up.
    pub deliveries_max: u32,
    /// Age at which a drawn item expires.
    pub age_max: Duration,
    /// Longer than any item stays in hand.
    pub lease: Duration,
    /// Whether failed calls are said in the log; `eval` tells of them at its end.
    pub log_failures: bool,
    /// How long an item waits in the queue the first time, where its judge did not say; four times as long each time after.
    pub requeue_first: Duration,
}

impl Limits {
    /// A lease that outlives every wait and attempt that the settings of what is called allow for one item.
    pub fn lease_for(paces: &[Pace], called_tiers_max: usize) -> Duration {
        let longest = paces.iter().map(|pace| {
            let attempt = SLOT_WAIT_MAX + 2 * WAIT_IN_HAND_MAX + pace.attempt_max;
            attempt.saturating_mul(pace.attempts)
        });
        longest.max().unwrap_or_default().saturating_mul(u32::try_from(called_tiers_max.max(1)).unwrap_or(u32::MAX))
            + SLOT_WAIT_MAX
    }

    fn requeue(&self, retries: u32) -> Duration {
        self.requeue_first.saturating_mul(4_u32.saturating_pow(retries)).min(REQUEUE_MAX)
    }
}

const REQUEUE_MAX: Duration = Duration::from_secs(64);
const IDLE: Duration = Duration::from_millis(250);

/// Scores one leased item: every metric that drew it and has no outcome yet. Everything is on record before the lease ends.
pub async fn score(pipeline: &Pipeline, leased: Leased) -> Result<(), StoreError> {
    let row = Arc::new(leased.entry.row);
    let recorded = pipeline.recorder.recorded(row.key).await?;
    if recorded.accepted_at.is_some_and(|at| at != row.accepted_at) {
        // An id that came again after the queue had forgotten it: the first record stays, and nobody is paid for a second.
        return pipeline.queue.settle(vec![Settlement::Done(leased.receipt)]).await;
    }
    let open = row.decisions.iter().filter(|d| d.state == DecisionState::Drawn && !recorded.closed.contains(&d.metric));
    let panel = pipeline.panels.of(&row.policy).await?;
    let subject = leased.entry.payload.as_deref().and_then(parse);
    let case = Case { row: &row, panel, subject, retries: leased.retries, verdicts: &recorded.verdicts };
    // Each metric is on record as soon as it is decided, so that a slow one costs the others nothing at a crash.
    let judged = try_join_all(open.map(async |decision| {
        let one = judge(pipeline, &case, decision).await;
        pipeline.recorder.record(std::slice::from_ref(&one.scored)).await.map(|()| one)
    }))
    .await?;
    let wait = judged.iter().filter_map(|one| one.try_again).max();
    let tried = judged.iter().any(|one| one.try_again.is_some() && !one.scored.calls.is_empty());
    let failed =
        judged.iter().find(|one| one.scored.outcome == Some(Outcome::JudgeFailed)).and_then(|one| one.scored.reason.clone());
    judged.iter().for_each(|one| pipeline.counters.score(&one.scored));
    let receipt = leased.receipt;
    let settlement = match (wait, failed) {
        (None, None) => Settlement::Done(receipt),
        (None, Some(reason)) => Settlement::Dead { receipt, reason },
        (Some(wait), _) => {
            let reason = Reason::new("retry", "a judge could not be had; see the calls on record");
            Settlement::Retry { receipt, not_before: pipeline.clock.now().plus(wait), reason, tried }
        }
    };
    pipeline.queue.settle(vec![settlement]).await
}

struct Case<'a> {
    row: &'a Arc<Accepted>,
    panel: Option<Arc<Panel>>,
    subject: Option<Interaction>,
    /// How often it went back to the queue already.
    retries: u32,
    /// What its judges have said in earlier deliveries.
    verdicts: &'a [(MetricName, Verdict)],
}

impl Case<'_> {
    /// The verdict that is on record, so that it is not paid again.
    fn verdict(&self, metric: &MetricName, version: &JudgeVersion) -> Option<&Verdict> {
        let of_metric = self.verdicts.iter().filter(|(name, _)| name == metric);
        of_metric.map(|(_, verdict)| verdict).find(|verdict| &verdict.version == version)
    }
}

struct Judged {
    scored: Scored,
    /// How long to wait before another try; `None` where the outcome is final.
    try_again: Option<Duration>,
}

/// Runs the called tiers of one metric, in cascade order. A cheaper tier that fails is passed over; the reference tier decides.
async fn judge(pipeline: &Pipeline, case: &Case<'_>, decision: &Decision) -> Judged {
    let now = pipeline.clock.now();
    let mut scored = Scored {
        row: Arc::clone(case.row),
        metric: decision.metric.clone(),
        outcome: None,
        reason: None,
        verdicts: Vec::new(),
        calls: Vec::new(),
        at: now,
    };
    let close = |mut scored: Scored, outcome, reason| {
        (scored.outcome, scored.reason, scored.at) = (Some(outcome), reason, pipeline.clock.now());
        Judged { scored, try_again: None }
    };
    if now.since(case.row.accepted_at) > pipeline.limits.age_max {
        return close(scored, Outcome::Expired, Some(Reason::new("too_old", "it waited longer than score.max_age_hours")));
    }
    let Some(seats) = case.panel.as_deref().and_then(|panel| seats_of(panel, decision)) else {
        let reason = "the judge of the policy that it was accepted under cannot be opened any more: its provider or key is gone";
        return close(scored, Outcome::JudgeFailed, Some(Reason::new("judge_gone", reason)));
    };
    let Some(subject) = &case.subject else {
        return close(scored, Outcome::JudgeFailed, Some(Reason::new("payload_unreadable", "its stored text cannot be read")));
    };
    let mut failure = None;
    let mut only_waited = false;
    for seat in &seats.called {
        if let Some(verdict) = case.verdict(&decision.metric, &seat.version) {
            scored.verdicts.push(verdict.clone());
            failure = None;
            continue;
        }
        let called = call(pipeline, seat, subject).await;
        only_waited = called.calls.is_empty();
        scored.calls.extend(called.calls);
        failure = called.result.map(|verdict| scored.verdicts.push(verdict)).err();
    }
    // Waiting for a pause or a slot is no try: it goes on until the item is too old.
    let may_try_again =
        |failure: &CallFailure| failure.kind.is_retryable() && (only_waited || case.retries + 1 < pipeline.limits.deliveries_max);
    match failure {
        None => close(scored, Outcome::Judged, None),
        Some(failure) if may_try_again(&failure) => {
            let wait = pipeline.limits.requeue(case.retries);
            Judged { scored, try_again: Some(failure.retry_after.map_or(wait, |asked| asked.min(RETRY_AFTER_MAX).max(wait))) }
        }
        Some(failure) => close(scored, Outcome::JudgeFailed, Some(reason_of(&failure))),
    }
}

/// The seats of the metric, if its reference judge is still the one that was configured at accept.
fn seats_of<'a>(panel: &'a Panel, decision: &Decision) -> Option<&'a Seats> {
    let at = panel.policy.metrics.iter().position(|metric| metric.name == decision.metric)?;
    let reference = panel.policy.metrics.get(at)?.reference()?;
    if reference.version == decision.reference { panel.seats.get(at) } else { None }
}

fn reason_of(failure: &CallFailure) -> Reason {
    let code = match failure.kind {
        // A judge that declines is an answer of a kind, and not the wire's word for a refusing assistant.
        CallFailureKind::Refused => "judge_refused",
        kind => kind.code(),
    };
    Reason::new(code, failure.message.clone())
}

fn parse(payload: &[u8]) -> Option<Interaction> {
    serde_json::from_slice(payload).ok()
}

/// Leases and scores until `stop`, then waits for what is in hand.
pub async fn run(pipeline: &Arc<Pipeline>, stop: &CancellationToken) {
    let mut tasks = JoinSet::new();
    let mut folded = pipeline.folded.subscribe();
    let room_min = (pipeline.limits.in_flight_max / 8).max(1);
    while !stop.is_cancelled() {
        while tasks.try_join_next().is_some() {}
        let room = pipeline.limits.in_flight_max.saturating_sub(tasks.len());
        let mut idle = true;
        if room >= room_min {
            let up_to = *folded.borrow_and_update();
            match pipeline.queue.lease(room, up_to, pipeline.clock.now(), pipeline.limits.lease).await {
                Ok(leased) => {
                    idle = leased.is_empty();
                    for item in leased {
                        let pipeline = Arc::clone(pipeline);
                        tasks.spawn(async move {
                            if let Err(error) = score(&pipeline, item).await {
                                pipeline.counters.fault("score");
                                tracing::error!(%error, "an item could not be recorded; it comes back when its lease ends");
                            }
                        });
                    }
                }
                Err(error) => {
                    pipeline.counters.fault("lease");
                    tracing::error!(%error, "the queue gave no work; trying again");
                }
            }
        }
        if idle {
            tokio::select! {
                () = stop.cancelled() => {}
                Ok(()) = folded.changed() => {}
                Some(_) = tasks.join_next() => {}
                () = tokio::time::sleep(IDLE) => {}
            }
        }
    }
    while tasks.join_next().await.is_some() {}
}
