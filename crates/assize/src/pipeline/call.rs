//! The one place where a provider is called: pause, slot, attempt, and what is learned from the answer.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use assize_core::judge::{CallFailure, CallFailureKind};
use assize_core::{CallRecord, CallStatus, Interaction, Verdict};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};

use super::Pipeline;
use super::panel::CalledSeat;

/// How the attempts for one judge and one interaction ended.
pub struct Called {
    pub result: Result<Verdict, CallFailure>,
    /// Every attempt, failed ones included.
    pub calls: Vec<CallRecord>,
}

/// A provider's limits, shared by all judges that call it.
pub struct Gate {
    slots: Semaphore,
    attempts: u32,
    state: Mutex<GateState>,
}

#[derive(Default)]
struct GateState {
    /// The last answers, newest in the lowest bit; 1 for a 429.
    recent: u16,
    answers: u32,
    paused_until: Option<Instant>,
}

/// An item whose turn does not come within this time goes back to the queue rather than outlive its lease.
pub const SLOT_WAIT_MAX: Duration = Duration::from_secs(60);
/// A longer wait than this is spent in the queue.
pub const WAIT_IN_HAND_MAX: Duration = Duration::from_secs(5);
/// No provider's word makes us wait longer than this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
const BACKOFF_FIRST: Duration = Duration::from_millis(250);

impl Gate {
    /// A gate with `concurrency` slots, of a provider that is tried `attempts` times before an item goes back to the queue.
    pub fn new(concurrency: usize, attempts: u32) -> Self {
        Self {
            slots: Semaphore::new(concurrency.clamp(1, Semaphore::MAX_PERMITS)),
            attempts: attempts.max(1),
            state: Mutex::default(),
        }
    }

    /// Until when the provider is paused, if it is.
    pub fn paused_until(&self) -> Option<Instant> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).paused_until.filter(|until| *until > Instant::now())
    }

    /// Calls in flight.
    pub fn slots_free(&self) -> usize {
        self.slots.available_permits()
    }

    /// A 429 delays its own call; everybody waits only when the provider says that no request is left, or when most of the last 16
    /// answers were 429.
    fn observe(&self, failure: Option<&CallFailure>) {
        let limited = failure.filter(|failure| failure.kind == CallFailureKind::RateLimited);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.recent = (state.recent << 1) | u16::from(limited.is_some());
        state.answers = state.answers.saturating_add(1);
        if let Some(failure) = limited {
            let mostly_limited = state.answers >= 16 && state.recent.count_ones() > 8;
            if failure.headroom_gone || mostly_limited {
                let wait = failure.retry_after.unwrap_or(Duration::from_secs(1)).min(RETRY_AFTER_MAX);
                state.paused_until = state.paused_until.max(Some(Instant::now() + wait));
            }
        }
    }
}

/// Asks the judge in `seat`, again where that can help. No slot is held while waiting.
pub async fn call(pipeline: &Pipeline, seat: &CalledSeat, interaction: &Interaction) -> Called {
    let mut calls = Vec::new();
    for attempt in 1.. {
        let result = match turn(&seat.gate).await {
            Err(failure) => return Called { result: Err(failure), calls },
            Ok(_slot) => seat.judge.attempt(interaction).await,
        };
        seat.gate.observe(result.as_ref().err());
        let record = record(pipeline, seat, &result);
        let wait = backoff(&record, attempt, result.as_ref().err());
        pipeline.counters.call(&record);
        calls.push(record);
        match result {
            Err(failure) if failure.kind.is_retryable() && attempt < seat.gate.attempts && wait <= WAIT_IN_HAND_MAX => {
                sleep(wait).await
            }
            result => return Called { result, calls },
        }
    }
    unreachable!("the loop ends by returning")
}

async fn turn(gate: &Gate) -> Result<tokio::sync::SemaphorePermit<'_>, CallFailure> {
    let waited = |message: &str, retry_after| CallFailure {
        kind: CallFailureKind::RateLimited,
        message: message.to_owned(),
        retry_after,
        headroom_gone: false,
        usage: None,
        cost: None,
        latency_ms: 0,
    };
    let deadline = Instant::now() + SLOT_WAIT_MAX;
    while Instant::now() < deadline {
        if let Some(until) = gate.paused_until() {
            let wait = until.saturating_duration_since(Instant::now());
            if wait > WAIT_IN_HAND_MAX {
                return Err(waited("the provider's rate limit is used up", Some(wait)));
            }
            sleep(wait).await;
        }
        match timeout_at(deadline, gate.slots.acquire()).await {
            Ok(Ok(slot)) if gate.paused_until().is_none() => return Ok(slot),
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => break,
        }
    }
    Err(waited("all of the provider's slots stayed taken", None))
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
