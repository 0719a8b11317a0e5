//! What a gate knows and decides, given the time: pure, so that tests need no provider. The gate around it only waits.

use std::collections::HashMap;
use std::time::Duration;

use assize_core::TokenUsage;
use assize_core::judge::{CallFailure, CallFailureKind};
use assize_judge::providers::Pace;
use tokio::time::Instant;

use super::breaker::{Breaker, Cause, Change, Life, Pass};
use super::limit::{Limiter, Load};
use super::{RETRY_AFTER_MAX, SLOT_WAIT_MAX, WAIT_IN_HAND_MAX};

/// Items beyond those that keep the slots busy may wait in hand while their turn can be expected within this time.
const EXPECTED_WAIT_MAX: Duration = Duration::from_secs(2);
/// Items that are turned away are asked to come back one after the other, the last of them not later than this.
const COME_BACK_WITHIN: Duration = Duration::from_secs(15);
const COME_BACK_FIRST: Duration = Duration::from_millis(500);
/// Until a provider has answered, it is taken to need this long.
const LATENCY_UNKNOWN_SECONDS: f64 = 0.2;
/// A provider is silent that has not answered for so many times as long as usual.
const SILENT_FOR: f64 = 4.0;
const SAY_EVERY: Duration = Duration::from_secs(60);
/// The part by which a wait may become longer, so that those who wait for the same do not come together.
const SPREAD: f64 = 0.25;

/// The state of one provider's gate.
pub(super) struct State {
    pub(super) limiter: Limiter,
    pub(super) breaker: Breaker,
    concurrency: usize,
    has_breaker: bool,
    pub(super) in_use: usize,
    pub(super) waiting: usize,
    /// Slots handed out or to be had. Above the limit after it fell, until calls end.
    pub(super) slots: usize,
    /// The last answers, newest in the lowest bit; 1 for a 429.
    recent: u16,
    answers: u32,
    paused_until: Option<Instant>,
    /// When the next call may begin at the pace that the provider's headers allow.
    next_call: Instant,
    /// When the last of the items that were turned away comes back.
    last_back: Instant,
    latency_seconds: f64,
    /// When the provider last answered, or was called with no other call open.
    heard: Instant,
    usage: TokenUsage,
    /// When each kind of failure was last said in the log.
    said: HashMap<CallFailureKind, Instant>,
    tickets: u64,
    salt: u64,
    pub(super) turned_away: u64,
    pub(super) openings: u64,
}

/// An item is sent back to the queue, for this reason and this long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Away(pub(super) &'static str, pub(super) Duration);

impl From<Away> for CallFailure {
    fn from(Away(why, wait): Away) -> Self {
        Self { retry_after: Some(wait), ..Self::new(CallFailureKind::RateLimited, why) }
    }
}

impl State {
    pub(super) fn new(concurrency: usize, now: Instant) -> Self {
        let limiter = Limiter::new(concurrency);
        Self {
            slots: limiter.limit(),
            limiter,
            breaker: Breaker::default(),
            concurrency: concurrency.max(1),
            has_breaker: true,
            in_use: 0,
            waiting: 0,
            recent: 0,
            answers: 0,
            paused_until: None,
            next_call: now,
            last_back: now,
            latency_seconds: LATENCY_UNKNOWN_SECONDS,
            heard: now,
            usage: TokenUsage { input: 0, output: 0, cached_input: 0, cache_write: 0 },
            said: HashMap::new(),
            tickets: 0,
            salt: 0,
            turned_away: 0,
            openings: 0,
        }
    }

    /// What is spread is spread differently with another `salt`.
    pub(super) fn salt(&mut self, salt: u64) {
        self.salt = salt;
    }

    pub(super) fn without_breaker(&mut self) {
        self.has_breaker = false;
    }

    /// Counts an item as waiting that comes now, and says how long it may wait for a slot. As many may as keep all slots busy, and more
    /// while slots come free fast: an item in hand takes the place of one for another provider.
    pub(super) fn enter(&mut self, now: Instant) -> Result<Duration, Away> {
        if let Some(away) = self.closed(now) {
            return Err(away);
        }
        if let Some(wait) = self.pause(now).filter(|wait| *wait > WAIT_IN_HAND_MAX) {
            return Err(self.away("the provider's rate limit is used up", wait, now));
        }
        let spare = self.concurrency / 4 + 1;
        let wait_max = if self.waiting < spare { SLOT_WAIT_MAX } else { EXPECTED_WAIT_MAX };
        if self.waiting >= spare && self.expected_wait(now) > EXPECTED_WAIT_MAX {
            return Err(self.away("as many items as help wait for the provider already", COME_BACK_FIRST, now));
        }
        self.waiting += 1;
        Ok(wait_max)
    }

    /// Where the breaker lets nobody through.
    pub(super) fn closed(&mut self, now: Instant) -> Option<Away> {
        let wait = self.breaker.wait(now)?;
        Some(self.held_back(wait, now))
    }

    /// How long the provider's pause lasts.
    pub(super) fn pause(&self, now: Instant) -> Option<Duration> {
        self.paused_until.map(|until| until.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    /// Takes a place in the provider's pace: how long to wait for it. Nothing is taken where that is too long to wait in hand.
    pub(super) fn keep_pace(&mut self, pace: Pace, now: Instant) -> Result<Duration, Away> {
        let (begins, gap) = match pace {
            Pace::Free => (now, Duration::ZERO),
            Pace::Every(gap) => (self.next_call.max(now), gap),
            Pace::After(wait) => (now + wait, Duration::ZERO),
        };
        let wait = begins - now;
        if wait > WAIT_IN_HAND_MAX {
            return Err(self.away("the provider's rate limit is nearly used up", wait, now));
        }
        self.next_call = begins + gap;
        Ok(wait)
    }

    /// Begins a call, in a slot that was had.
    pub(super) fn begin(&mut self, now: Instant) -> Result<Pass, Away> {
        match self.breaker.enter(now) {
            Ok(pass) => {
                if self.in_use == 0 {
                    self.heard = now;
                }
                self.in_use += 1;
                Ok(pass)
            }
            Err(wait) => Err(self.held_back(wait, now)),
        }
    }

    /// Takes in the answer to a call that had `pass` and began in `round`. `Some` where the breaker opened or closed.
    pub(super) fn observe(
        &mut self,
        pass: Pass,
        round: u64,
        latency: Duration,
        failure: Option<&CallFailure>,
        now: Instant,
    ) -> Option<Change> {
        self.heard = now;
        let load = load(failure, latency);
        if let Load::Served(latency) = load {
            self.latency_seconds += 0.1 * (latency.as_secs_f64() - self.latency_seconds);
        }
        self.limiter.observe(round, load, self.in_use);
        self.pause_for(failure, now);
        if !self.has_breaker {
            return None;
        }
        let spread = self.spread();
        let change = self.breaker.observe(pass, life(failure), now, spread);
        if let Some(Change::Opened(..)) = change {
            self.limiter.restart();
            self.openings += 1;
        }
        change
    }

    /// Learns what calls cost, as limits of tokens are used up by it.
    pub(super) fn learn_usage(&mut self, usage: TokenUsage) {
        let follow = |known: u64, new: u64| if known == 0 { new } else { known - known / 8 + new / 8 };
        self.usage.input = follow(self.usage.input, usage.input);
        self.usage.output = follow(self.usage.output, usage.output);
    }

    pub(super) fn usage(&self) -> TokenUsage {
        self.usage
    }

    /// A 429 delays its own call; everybody waits only when the provider says that no request is left, or when most of the last 16
    /// answers were 429.
    fn pause_for(&mut self, failure: Option<&CallFailure>, now: Instant) {
        let limited = failure.filter(|failure| failure.kind == CallFailureKind::RateLimited);
        self.recent = (self.recent << 1) | u16::from(limited.is_some());
        self.answers = self.answers.saturating_add(1);
        if let Some(failure) = limited {
            let mostly_limited = self.answers >= 16 && self.recent.count_ones() > 8;
            if failure.headroom_gone || mostly_limited {
                let wait = failure.retry_after.unwrap_or(Duration::from_secs(1)).min(RETRY_AFTER_MAX);
                self.paused_until = self.paused_until.max(Some(now + wait));
            }
        }
    }

    pub(super) fn should_say(&mut self, kind: CallFailureKind, now: Instant) -> bool {
        let due = self.said.get(&kind).is_none_or(|last| now.duration_since(*last) >= SAY_EVERY);
        if due {
            self.said.insert(kind, now);
        }
        due
    }

    /// In [0, 1), another one each time.
    pub(super) fn spread(&mut self) -> f64 {
        self.tickets += 1;
        // SplitMix64 (Steele, Lea, Flood 2014): its outputs for consecutive inputs are as good as independent.
        let mut z = self.salt.wrapping_add(self.tickets.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// `wait`, longer by up to a quarter.
    pub(super) fn spread_over(&mut self, wait: Duration) -> Duration {
        wait + wait.mul_f64(SPREAD * self.spread())
    }

    /// Turns an item away: back after `at_least`, each a little later than the one before, as fast as the provider
    /// could serve them.
    pub(super) fn away(&mut self, why: &'static str, at_least: Duration, now: Instant) -> Away {
        self.turned_away += 1;
        let each = Duration::from_secs_f64((self.latency(now) / self.concurrency as f64).clamp(0.0, 1.0));
        let at_least = at_least.min(RETRY_AFTER_MAX);
        let back = (self.last_back.max(now + at_least) + each).min(now + at_least + COME_BACK_WITHIN);
        self.last_back = back;
        Away(why, self.spread_over(back - now))
    }

    fn held_back(&mut self, wait: Duration, now: Instant) -> Away {
        let why = match self.breaker.cause() {
            Some(Cause::Denied) => "the provider does not take the key; calls are held back until it does",
            _ => "the provider is failing; calls are held back until it recovers",
        };
        self.away(why, wait, now)
    }

    /// Seconds that a call takes. A provider that has not answered for longer than usual is as slow as that.
    fn latency(&self, now: Instant) -> f64 {
        self.latency_seconds.max(self.silence(now))
    }

    fn silence(&self, now: Instant) -> f64 {
        if self.in_use > 0 { now.saturating_duration_since(self.heard).as_secs_f64() } else { 0.0 }
    }

    /// How long the last of those that wait will have waited.
    fn expected_wait(&self, now: Instant) -> Duration {
        // More slots are to be expected soon, but not while nothing is heard.
        let silent = self.silence(now) > SILENT_FOR * self.latency_seconds;
        let slots = if silent { self.limiter.limit() } else { self.limiter.prospect() };
        Duration::try_from_secs_f64(self.latency(now) * (self.waiting + 1) as f64 / slots as f64).unwrap_or(Duration::MAX)
    }
}

fn load(failure: Option<&CallFailure>, latency: Duration) -> Load {
    match failure.map(|failure| failure.kind) {
        None | Some(CallFailureKind::InvalidAnswer) => Load::Served(latency),
        Some(CallFailureKind::RateLimited) => Load::Limited,
        Some(CallFailureKind::Unavailable | CallFailureKind::Timeout | CallFailureKind::Network) => Load::Failed,
        Some(CallFailureKind::Unauthorized | CallFailureKind::Rejected | CallFailureKind::Refused) => Load::Unknown,
    }
}

fn life(failure: Option<&CallFailure>) -> Life {
    match failure.map(|failure| failure.kind) {
        None | Some(CallFailureKind::InvalidAnswer | CallFailureKind::Rejected | CallFailureKind::Refused) => Life::Alive,
        Some(CallFailureKind::RateLimited) => Life::Busy,
        Some(CallFailureKind::Unavailable | CallFailureKind::Timeout | CallFailureKind::Network) => Life::Failed,
        Some(CallFailureKind::Unauthorized) => Life::Denied,
    }
}
