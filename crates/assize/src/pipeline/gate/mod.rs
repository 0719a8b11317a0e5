//! A provider's gate: how many calls at once, how fast one after the other, and when nobody calls.
//!
//! [`limit`] learns how many calls the provider takes at once, [`breaker`] leaves it alone when it is down, `state` puts both together
//! with pauses, the pace of its headers and a bound on those that wait. Here is the waiting itself, and the slot that a call is made in.

pub mod breaker;
pub mod limit;
mod slot;
mod state;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use assize_core::judge::{CallFailure, CallFailureKind};
use assize_judge::providers::{Headroom, Pace};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout_at};

use breaker::{Cause, Change, Position};
pub use slot::Slot;
use state::{Away, State};

/// A provider's limits, shared by all judges that call it.
pub struct Gate {
    name: String,
    attempts: u32,
    /// The slots that are to be had. Grows and shrinks with the limit; those that wait are served in the order in which they came.
    slots: Semaphore,
    /// Rung when the breaker opens, so that nobody waits in vain.
    opened: Notify,
    deadline: Duration,
    /// One for each of the provider's clients: their answers may speak of different limits.
    headrooms: RwLock<Vec<Arc<Headroom>>>,
    state: Mutex<State>,
}

/// A gate at one moment, for counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// Calls that may be open at once.
    pub limit: usize,
    /// Calls that are open.
    pub in_use: usize,
    /// Items in hand that wait for their turn.
    pub waiting: usize,
    pub breaker: Position,
    /// Items sent back to the queue because there was no use in waiting.
    pub turned_away: u64,
    /// How often the breaker has opened.
    pub openings: u64,
}

impl Snapshot {
    /// Both together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            limit: self.limit + other.limit,
            in_use: self.in_use + other.in_use,
            waiting: self.waiting + other.waiting,
            breaker: self.breaker.max(other.breaker),
            turned_away: self.turned_away + other.turned_away,
            openings: self.openings + other.openings,
        }
    }
}

/// An item whose turn does not come within this time goes back to the queue rather than outlive its lease.
pub const SLOT_WAIT_MAX: Duration = Duration::from_secs(60);
/// A longer wait than this is spent in the queue.
pub const WAIT_IN_HAND_MAX: Duration = Duration::from_secs(5);
/// No provider's word makes us wait longer than this.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// What an attempt may take beyond its judge's own timeout before it is given up.
const DEADLINE_GRACE: Duration = Duration::from_secs(2);
/// The longest timeout that a judge can have.
const TIMEOUT_MAX: Duration = Duration::from_secs(600);

impl Gate {
    /// A gate with at most `concurrency` slots, of a provider that is tried `attempts` times before an item goes back to the queue.
    pub fn new(concurrency: usize, attempts: u32) -> Self {
        let state = State::new(concurrency.clamp(1, Semaphore::MAX_PERMITS), Instant::now());
        Self {
            name: String::new(),
            attempts: attempts.max(1),
            slots: Semaphore::new(state.slots),
            opened: Notify::new(),
            deadline: TIMEOUT_MAX + DEADLINE_GRACE,
            headrooms: RwLock::default(),
            state: Mutex::new(state),
        }
    }

    /// The provider's name, for the log and as the seed of what is spread.
    #[must_use]
    pub fn of(mut self, provider: &str) -> Self {
        provider.clone_into(&mut self.name);
        let salt =
            blake3::hash(provider.as_bytes()).as_bytes().iter().fold(0, |salt: u64, byte| salt.rotate_left(8) ^ u64::from(*byte));
        self.with_state(|state| state.salt(salt))
    }

    /// An attempt is given up shortly after `timeout`, whatever its judge does; without this after ten minutes.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.deadline = timeout.saturating_add(DEADLINE_GRACE);
        self
    }

    /// Keeps the pace that `headroom` asks for.
    #[must_use]
    pub fn headroom(self, headroom: Option<Arc<Headroom>>) -> Self {
        headroom.into_iter().for_each(|headroom| self.heed(headroom));
        self
    }

    /// From now on keeps the pace that `headroom` asks for, too.
    pub fn heed(&self, headroom: Arc<Headroom>) {
        self.headrooms.write().unwrap_or_else(PoisonError::into_inner).push(headroom);
    }

    /// Calls go through whatever came before: for a run that somebody waits for, which had better fail than wait for hours.
    #[must_use]
    pub fn without_breaker(self) -> Self {
        self.with_state(State::without_breaker)
    }

    fn with_state(self, set: impl FnOnce(&mut State)) -> Self {
        set(&mut self.state());
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a failure of this kind should be said in the log: once a minute is enough.
    pub fn should_say(&self, kind: CallFailureKind) -> bool {
        self.state().should_say(kind, Instant::now())
    }

    /// No attempt takes longer.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Attempts per item before it goes back to the queue.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Whether an item that failed this way may succeed later: also where the key was not taken and calls are held back until it is.
    pub fn may_pass(&self, kind: CallFailureKind) -> bool {
        kind.is_retryable() || (kind == CallFailureKind::Unauthorized && self.state().breaker.cause() == Some(Cause::Denied))
    }

    /// How it stands.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.state();
        Snapshot {
            limit: state.limiter.limit(),
            in_use: state.in_use,
            waiting: state.waiting,
            breaker: state.breaker.position(),
            turned_away: state.turned_away,
            openings: state.openings,
        }
    }

    /// Waits for the pause to end, for the provider's pace and for a slot, in which the attempt is then made.
    ///
    /// # Errors
    /// A retryable failure with `retry_after`: at once where the breaker is open, the pause is long or too many wait already, else when
    /// it has waited long enough. No slot is held then, and the item's place in hand can be given to another.
    pub async fn turn(&self) -> Result<Slot<'_>, CallFailure> {
        let begun = Instant::now();
        let deadline = begun + self.state().enter(begun)?;
        let _waiting = Waiting(self);
        let mut paced = false;
        while Instant::now() < deadline {
            let opened = self.opened.notified();
            tokio::pin!(opened);
            // From here on the bell is heard, so that no ring is missed between looking and waiting.
            opened.as_mut().enable();
            if let Some(pause) = self.pause()? {
                tokio::select! {
                    () = sleep(pause) => {}
                    () = opened => {}
                }
                continue;
            }
            let permit = tokio::select! {
                permit = timeout_at(deadline, self.slots.acquire()) => permit,
                () = opened => continue,
            };
            let Ok(Ok(permit)) = permit else { break };
            let wait = match self.begin(permit, &mut paced)? {
                Ok(slot) => return Ok(slot),
                Err(wait) => wait,
            };
            if !wait.is_zero() {
                sleep(wait).await;
            }
        }
        Err(self.state().away("all of the provider's slots stayed taken", Duration::ZERO, Instant::now()).into())
    }

    /// How long everybody is to wait, where that can be done in hand.
    fn pause(&self) -> Result<Option<Duration>, Away> {
        let (mut state, now) = (self.state(), Instant::now());
        if let Some(away) = state.closed(now) {
            return Err(away);
        }
        match state.pause(now) {
            Some(wait) if wait > WAIT_IN_HAND_MAX => Err(state.away("the provider's rate limit is used up", wait, now)),
            Some(wait) => Ok(Some(state.spread_over(wait))),
            None => Ok(None),
        }
    }

    /// Begins a call in a slot that was had; `Err` within `Ok` is how long to wait first, without the slot.
    fn begin<'a>(&'a self, permit: SemaphorePermit<'_>, paced: &mut bool) -> Result<Result<Slot<'a>, Duration>, Away> {
        let (mut state, now) = (self.state(), Instant::now());
        if state.pause(now).is_some() {
            return Ok(Err(Duration::ZERO));
        }
        // Seen as late as this, for much may have been used up since the item came.
        if !*paced && let Some(pace) = self.pace(&state, now) {
            let wait = state.keep_pace(pace, now)?;
            // What is left after a reset is seen then.
            *paced = !matches!(pace, Pace::After(_));
            if !wait.is_zero() {
                return Ok(Err(if *paced { wait } else { state.spread_over(wait) }));
            }
        }
        let pass = state.begin(now)?;
        permit.forget();
        Ok(Ok(Slot::new(self, pass, state.limiter.round())))
    }

    /// The slowest pace that is asked for.
    fn pace(&self, state: &State, now: Instant) -> Option<Pace> {
        let headrooms = self.headrooms.read().unwrap_or_else(PoisonError::into_inner);
        let pace = |headroom: &Arc<Headroom>| headroom.pace(now.into_std(), state.usage(), state.in_use, state.limiter.limit());
        headrooms.iter().map(pace).reduce(Pace::slower)
    }

    /// Makes the slots as many as the limit allows; those in use above it go when their calls end.
    fn fit_slots(&self, state: &mut State) {
        let limit = state.limiter.limit();
        if state.slots < limit {
            self.slots.add_permits(limit - state.slots);
            state.slots = limit;
        } else if state.slots > limit {
            state.slots -= self.slots.forget_permits(state.slots - limit);
        }
    }

    fn say(&self, change: Change) {
        let provider = &self.name;
        match change {
            Change::Opened(Cause::Failing, time) => {
                tracing::warn!(%provider, seconds = time.as_secs_f32(), "the provider is failing; calls are held back");
            }
            Change::Opened(Cause::Denied, time) => {
                tracing::error!(%provider, seconds = time.as_secs_f32(), "the provider does not take the key; calls are held back");
            }
            Change::Closed => tracing::info!(%provider, "the provider answers again; calls go on"),
        }
    }
}

/// Counts an item as waiting until it is dropped.
struct Waiting<'a>(&'a Gate);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state().waiting -= 1;
    }
}
