//! The one place where a provider is called: pause, slot, attempt, and what is learned from the answer.

use std::time::Duration;

use assize_core::judge::{CallFailure, CallFailureKind};
use assize_core::{CallRecord, CallStatus, Interaction, Verdict};
use tokio::time::sleep;

use super::Pipeline;
use super::gate::{RETRY_AFTER_MAX, WAIT_IN_HAND_MAX};
use super::seat::CalledSeat;

/// How the attempts for one judge and one interaction ended.
pub struct Called {
    pub result: Result<Verdict, CallFailure>,
    /// Every attempt, failed ones included.
    pub calls: Vec<CallRecord>,
}

const BACKOFF_FIRST: Duration = Duration::from_millis(250);

/// Asks the judge in `seat`, again where that can help. No slot is held while waiting.
pub async fn call(pipeline: &Pipeline, seat: &CalledSeat, interaction: &Interaction) -> Called {
    let mut calls = Vec::new();
    for attempt in 1.. {
        let result = match seat.gate.turn().await {
            Err(failure) => return Called { result: Err(failure), calls },
            Ok(slot) => slot
                .attempt(1, seat.judge.attempt(interaction, &[seat.question]))
                .await
                .pop()
                .unwrap_or_else(|| Err(CallFailure::new(CallFailureKind::InvalidAnswer, "the judge gave no result"))),
        };
        if let Err(failure) = &result
            && pipeline.limits.log_failures
            && seat.gate.should_say(failure.kind)
        {
            // The failure's own words may quote what was judged; they are on record with the item.
            let provider = seat.judge.provider();
            tracing::warn!(%provider, judge = %seat.name, failure = failure.kind.code(), "calls fail; `assize why` says more of an item");
        }
        let record = record(pipeline, seat, &result);
        let wait = backoff(&record, attempt, result.as_ref().err());
        pipeline.counters.call(&record);
        calls.push(record);
        match result {
            Err(failure) if seat.gate.may_pass(failure.kind) && attempt < seat.gate.attempts() && wait <= WAIT_IN_HAND_MAX => {
                sleep(wait).await
            }
            result => return Called { result, calls },
        }
    }
    unreachable!("the loop ends by returning")
}

fn record(pipeline: &Pipeline, seat: &CalledSeat, result: &Result<Verdict, CallFailure>) -> CallRecord {
    let (status, error, usage, cost, latency_ms) = match result {
        Ok(verdict) => (CallStatus::Answered, None, verdict.usage, verdict.cost, verdict.latency_ms),
        Err(failure) => {
            (CallStatus::Failed, Some(failure.kind.code().to_owned()), failure.usage, failure.cost, failure.latency_ms)
        }
    };
    CallRecord {
        id: pipeline.ids.call(),
        judge: seat.name.clone(),
        provider: seat.judge.provider().clone(),
        model: seat.judge.model().to_owned(),
        status,
        error,
        usage,
        cost,
        latency_ms,
        at: pipeline.clock.now(),
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
