//! A provider's gate: how many calls at once, and when nobody calls.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use assize_core::judge::{CallFailure, CallFailureKind};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout_at};

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
    /// When each kind of failure was last said in the log.
    said: HashMap<CallFailureKind, Instant>,
}

/// An item whose turn does not come within this time goes back to the queue rather than outlive its lease.
pub const SLOT_WAIT_MAX: Duration = Duration::from_secs(60);
/// A longer wait than this is spent in the queue.
pub const WAIT_IN_HAND_MAX: Duration = Duration::from_secs(5);
const SAY_EVERY: Duration = Duration::from_secs(60);
/// No provider's word makes us wait longer than this.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

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

    /// A 429 delays its own call; everybody waits only when the provider says that no request is left, or when most of the last 16
    /// answers were 429.
    pub fn observe(&self, failure: Option<&CallFailure>) {
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

    /// Whether a failure of this kind should be said in the log: once a minute is enough.
    pub fn should_say(&self, kind: CallFailureKind) -> bool {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let due = state.said.get(&kind).is_none_or(|last| now.duration_since(*last) >= SAY_EVERY);
        if due {
            state.said.insert(kind, now);
        }
        due
    }

    /// Attempts per item before it goes back to the queue.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Waits for the pause to end and for a slot. The failure, retryable, of an item that waited long enough.
    pub async fn turn(&self) -> Result<SemaphorePermit<'_>, CallFailure> {
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
            if let Some(until) = self.paused_until() {
                let wait = until.saturating_duration_since(Instant::now());
                if wait > WAIT_IN_HAND_MAX {
                    return Err(waited("the provider's rate limit is used up", Some(wait)));
                }
                sleep(wait).await;
            }
            match timeout_at(deadline, self.slots.acquire()).await {
                Ok(Ok(slot)) if self.paused_until().is_none() => return Ok(slot),
                Ok(Ok(_)) => {}
                Ok(Err(_)) | Err(_) => break,
            }
        }
        Err(waited("all of the provider's slots stayed taken", None))
    }
}
