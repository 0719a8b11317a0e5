//! The one place where a judge is called: pause, slot, money, attempt, and what is learned from the answer.

use std::time::Duration;

use assize_core::judge::{CallFailure, CallFailureKind};
use assize_core::{CallId, CallRecord, CallStatus, Interaction, ListCost, MetricName, Part, Timestamp, Verdict};
use tokio::time::sleep;

use super::Pipeline;
use super::gate::{RETRY_AFTER_MAX, WAIT_IN_HAND_MAX};
use super::money::{LEASE_GRACE, Wanted, Withheld};
use super::seat::CalledSeat;

/// How the attempts to have one question answered about one interaction ended.
pub struct Called {
    pub result: Result<Verdict, CallFailure>,
    /// Every attempt, failed ones included.
    pub calls: Vec<CallRecord>,
    /// Why there was no money for any.
    pub withheld: Option<Withheld>,
}

/// A question to put: to whom, and on which metric what it costs is spent.
#[derive(Clone, Copy)]
pub struct Errand<'a> {
    pub seat: &'a CalledSeat,
    pub spent_on: &'a MetricName,
}

const BACKOFF_FIRST: Duration = Duration::from_millis(250);

/// Puts `asked` to the judge that they share, all questions in one call; those that failed again, where that can help. No slot is held
/// while waiting, and no attempt is made without the money for it. As many results come back as were asked, in their order.
pub async fn call(pipeline: &Pipeline, asked: &[Errand<'_>], interaction: &Interaction) -> Vec<Called> {
    let unasked = || CallFailure::new(CallFailureKind::InvalidAnswer, "the judge was not asked");
    let fresh = |_: &Errand<'_>| Called { result: Err(unasked()), calls: Vec::new(), withheld: None };
    let mut called: Vec<Called> = asked.iter().map(fresh).collect();
    let seats: Vec<&CalledSeat> = asked.iter().map(|one| one.seat).collect();
    let Some(CalledSeat { judge, gate, .. }) = seats.first() else { return called };
    let mut open: Vec<usize> = (0..seats.len()).collect();
    for attempt in 1..=gate.attempts() {
        let questions: Vec<usize> = open.iter().filter_map(|&at| seats.get(at)).map(|seat| seat.question).collect();
        let id = pipeline.ids.call();
        let results = match gate.turn().await {
            Err(failure) => {
                for &at in &open {
                    if let Some(one) = called.get_mut(at) {
                        one.result = Err(failure.clone());
                    }
                }
                break;
            }
            Ok(slot) => {
                let these: Vec<Errand<'_>> = open.iter().filter_map(|&at| asked.get(at).copied()).collect();
                if let Err(withheld) = reserve(pipeline, &id, &these, interaction).await {
                    if attempt == 1 {
                        called.iter_mut().for_each(|one| one.withhold(&withheld));
                    }
                    break;
                }
                slot.attempt(questions.len(), judge.attempt(interaction, &questions)).await
            }
        };
        say(pipeline, &seats, &results);
        let mut wait = Duration::ZERO;
        let mut results = results.into_iter();
        let of = u16::try_from(open.len()).unwrap_or(u16::MAX);
        for (part, &at) in open.iter().enumerate() {
            let result = results.next().unwrap_or_else(|| Err(unasked()));
            let part = Part { at: u16::try_from(part).unwrap_or(u16::MAX), of };
            let (Some(one), Some(seat)) = (called.get_mut(at), seats.get(at)) else { continue };
            let record = record(id.clone(), part, seat, &result, false, pipeline.clock.now());
            wait = wait.max(backoff(&record, attempt, result.as_ref().err()));
            pipeline.counters.call(&record);
            one.calls.push(record);
            one.result = result;
        }
        let may_help = |at: &usize| called.get(*at).is_some_and(|one| one.result.as_ref().is_err_and(|e| gate.may_pass(e.kind)));
        open.retain(may_help);
        if open.is_empty() || wait > WAIT_IN_HAND_MAX {
            break;
        }
        if attempt < gate.attempts() {
            sleep(wait).await;
        }
    }
    called
}

/// Sets aside what asking `asked` in one call can cost.
async fn reserve(pipeline: &Pipeline, id: &CallId, asked: &[Errand<'_>], interaction: &Interaction) -> Result<(), Withheld> {
    let (Some(money), Some(first)) = (&pipeline.money, asked.first()) else { return Ok(()) };
    let metrics: Vec<&MetricName> = asked.iter().map(|one| one.spent_on).collect();
    let questions: Vec<usize> = asked.iter().map(|one| one.seat.question).collect();
    let wanted = Wanted {
        project: &interaction.project,
        judge: &first.seat.name,
        metrics: &metrics,
        now: pipeline.clock.now(),
        lease: first.seat.gate.deadline().saturating_add(LEASE_GRACE),
    };
    let bound = |tightness| first.seat.judge.bound(interaction, &questions, tightness);
    money.reserve(id, &wanted, bound, &pipeline.counters).await
}

impl Called {
    fn withhold(&mut self, withheld: &Withheld) {
        let message = match withheld {
            Withheld::Wait(_) => "there may be money once calls under way are settled",
            Withheld::Refused(reason) => &reason.message,
        };
        // Tried again it may be paid: for whoever takes it for any failure.
        self.result = Err(CallFailure::new(CallFailureKind::RateLimited, message));
        self.withheld = Some(withheld.clone());
    }
}

/// Says in the log that calls fail.
fn say(pipeline: &Pipeline, seats: &[&CalledSeat], results: &[Result<Verdict, CallFailure>]) {
    let Some(seat) = seats.first() else { return };
    if let Some(failure) = results.iter().find_map(|result| result.as_ref().err())
        && pipeline.limits.log_failures
        && seat.gate.should_say(failure.kind)
    {
        // The failure's own words may quote what was judged; they are on record with the item.
        let provider = seat.judge.provider();
        tracing::warn!(%provider, judge = %seat.name, failure = failure.kind.code(), "calls fail; `assize why` says more of an item");
    }
}

/// The record of one question of a call.
pub fn record(
    id: CallId,
    part: Part,
    seat: &CalledSeat,
    result: &Result<Verdict, CallFailure>,
    in_batch: bool,
    at: Timestamp,
) -> CallRecord {
    let (status, error, usage, cost, latency_ms) = match result {
        Ok(verdict) => (CallStatus::Answered, None, verdict.usage, verdict.cost, verdict.latency_ms),
        Err(failure) => {
            (CallStatus::Failed, Some(failure.kind.code().to_owned()), failure.usage, failure.cost, failure.latency_ms)
        }
    };
    CallRecord {
        id,
        judge: seat.name.clone(),
        provider: seat.judge.provider().clone(),
        model: seat.judge.model().to_owned(),
        status,
        error,
        usage,
        cost,
        latency_ms,
        at,
        part,
        asked_as: seat.asked_as,
        list: cost.map(|cost| ListCost::of(seat.judge.live_price(), usage, cost, in_batch)),
    }
}

/// What the provider asked for, else doubling from a quarter of a second, spread over half its length by the call's id so that
/// failures of one moment do not come back in one moment.
fn backoff(call: &CallRecord, attempt: u32, failure: Option<&CallFailure>) -> Duration {
    let asked = failure.and_then(|failure| failure.retry_after).map(|wait| wait.min(RETRY_AFTER_MAX));
    let base = asked.unwrap_or_else(|| BACKOFF_FIRST.saturating_mul(1 << attempt.min(6)));
    let spread = u64::from(blake3::hash(call.id.0.as_bytes()).as_bytes()[0]);
    base + base.mul_f64(0.5 * spread as f64 / 255.0)
}
