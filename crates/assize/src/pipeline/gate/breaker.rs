//! Leaves a provider alone that is down or does not take the key: closed (calls go through), open (none do), half open (a few find out).
//!
//! It opens when most of the last calls failed by the provider's fault, or when several in a row were refused for the key. It stays
//! open for a time that doubles from opening to opening, then lets a few probes through; the first answer of one decides.

use std::time::Duration;

use tokio::time::Instant;

/// Calls that are looked back on.
const LOOK_BACK: u32 = 20;
/// Of fewer, no share is taken.
const CALLS_MIN: u32 = 10;
/// The provider is down where at least this share of them failed, in tenths. While every second call still succeeds, trying again
/// serves the items better than waiting.
const TENTHS_FAILED: u32 = 7;
/// One refused key may be one model that is not this key's to use; several in a row without an answer between are the key.
const DENIED_IN_A_ROW: u32 = 3;
const OPEN_FIRST: Duration = Duration::from_secs(1);
const OPEN_MAX: Duration = Duration::from_secs(60);
/// Calls that may find out at once whether the provider is back.
pub const PROBES_MAX: usize = 3;
/// An item that comes while they are on their way comes back after this.
const PROBED_WITHIN: Duration = Duration::from_secs(1);

/// What an answer says about the provider's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It answered this item, whatever it said.
    Alive,
    /// It turned the call away as one too many: alive, but no sign that it works.
    Busy,
    /// 5xx, no connection, no answer in time.
    Failed,
    /// The key was not taken.
    Denied,
}

/// Why it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    Failing,
    Denied,
}

/// The permission of one call, to be brought back with its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    probe: bool,
    /// Counts openings and closings: an answer from before the last of them says nothing about now.
    episode: u64,
}

/// What an answer changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Opened(Cause, Duration),
    Closed,
}

/// The state, as counters show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Position {
    Closed,
    HalfOpen,
    Open,
}

/// The breaker of one provider.
#[derive(Debug)]
pub struct Breaker {
    state: State,
    episode: u64,
    /// The last calls, newest in the lowest bit; 1 for a failure.
    recent: u32,
    calls: u32,
    denied_in_a_row: u32,
    /// Openings since it was last closed for long enough to be trusted.
    openings: u32,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    Open { cause: Cause, until: Instant },
    HalfOpen { cause: Cause, probes: usize },
}

impl Default for Breaker {
    fn default() -> Self {
        Self { state: State::Closed, episode: 0, recent: 0, calls: 0, denied_in_a_row: 0, openings: 0 }
    }
}

impl Breaker {
    pub fn position(&self) -> Position {
        match self.state {
            State::Closed => Position::Closed,
            State::Open { .. } => Position::Open,
            State::HalfOpen { .. } => Position::HalfOpen,
        }
    }

    /// Why calls are held back, if they are.
    pub fn cause(&self) -> Option<Cause> {
        match self.state {
            State::Closed => None,
            State::Open { cause, .. } | State::HalfOpen { cause, .. } => Some(cause),
        }
    }

    /// How long an item has to stay away that comes now; `None` where it may call.
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        match self.state {
            State::Open { until, .. } if until > now => Some(until - now),
            State::HalfOpen { cause, probes } if probes >= probes_max(cause) => Some(PROBED_WITHIN),
            _ => None,
        }
    }

    /// Takes a pass for one call, or says how long to stay away.
    ///
    /// # Errors
    /// Where no call may be made now.
    pub fn enter(&mut self, now: Instant) -> Result<Pass, Duration> {
        if let Some(wait) = self.wait(now) {
            return Err(wait);
        }
        let probe = match &mut self.state {
            State::Closed => false,
            State::HalfOpen { probes, .. } => {
                *probes += 1;
                true
            }
            State::Open { cause, .. } => {
                self.state = State::HalfOpen { cause: *cause, probes: 1 };
                true
            }
        };
        Ok(Pass { probe, episode: self.episode })
    }

    /// Gives back the pass of a call that was never answered because nobody waited for it any more.
    pub fn give_back(&mut self, pass: Pass) {
        if pass.probe
            && pass.episode == self.episode
            && let State::HalfOpen { probes, .. } = &mut self.state
        {
            *probes = probes.saturating_sub(1);
        }
    }

    /// Takes in the answer to a call with `pass`. `spread`, in [0, 1), lengthens the time that it may stay open by up to a half, so
    /// that processes do not come back together.
    pub fn observe(&mut self, pass: Pass, life: Life, now: Instant, spread: f64) -> Option<Change> {
        if pass.episode != self.episode {
            return None;
        }
        match (self.state, life) {
            (State::Open { .. }, _) => None,
            (State::HalfOpen { .. }, Life::Alive | Life::Busy) => {
                self.state = State::Closed;
                self.begin();
                Some(Change::Closed)
            }
            (State::HalfOpen { .. }, Life::Failed) => Some(self.open(Cause::Failing, now, spread)),
            (State::HalfOpen { .. }, Life::Denied) => Some(self.open(Cause::Denied, now, spread)),
            (State::Closed, Life::Busy) => None,
            (State::Closed, Life::Denied) => {
                self.denied_in_a_row += 1;
                (self.denied_in_a_row >= DENIED_IN_A_ROW).then(|| self.open(Cause::Denied, now, spread))
            }
            (State::Closed, Life::Alive | Life::Failed) => self.count(life == Life::Failed, now, spread),
        }
    }

    fn count(&mut self, failed: bool, now: Instant, spread: f64) -> Option<Change> {
        self.recent = (self.recent << 1 | u32::from(failed)) & ((1 << LOOK_BACK) - 1);
        self.calls = self.calls.saturating_add(1);
        if !failed {
            self.denied_in_a_row = 0;
        }
        let failures = self.recent.count_ones();
        if self.calls >= CALLS_MIN && failures * 10 >= TENTHS_FAILED * self.calls.min(LOOK_BACK) {
            return Some(self.open(Cause::Failing, now, spread));
        }
        if self.calls >= LOOK_BACK {
            self.openings = 0;
        }
        None
    }

    fn open(&mut self, cause: Cause, now: Instant, spread: f64) -> Change {
        let doubled = OPEN_FIRST.saturating_mul(1 << self.openings.min(16)).min(OPEN_MAX);
        let time = doubled + doubled.mul_f64(spread.clamp(0.0, 1.0) / 2.0);
        self.openings = self.openings.saturating_add(1);
        self.state = State::Open { cause, until: now + time };
        self.begin();
        Change::Opened(cause, time)
    }

    fn begin(&mut self) {
        self.episode += 1;
        (self.recent, self.calls, self.denied_in_a_row) = (0, 0, 0);
    }
}

/// A probe for a key that is not taken costs its item a try: one is enough.
fn probes_max(cause: Cause) -> usize {
    match cause {
        Cause::Failing => PROBES_MAX,
        Cause::Denied => 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn after(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    fn told(breaker: &mut Breaker, life: Life, now: Instant) -> Option<Change> {
        let pass = breaker.enter(now).unwrap();
        breaker.observe(pass, life, now, 0.0)
    }

    fn opened(cause: Cause, ms: u64) -> Option<Change> {
        Some(Change::Opened(cause, Duration::from_millis(ms)))
    }

    #[test]
    fn an_outage_opens_it_and_the_first_sign_of_life_closes_it() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..9 {
            assert_eq!(told(&mut breaker, Life::Failed, start), None);
        }
        assert_eq!(told(&mut breaker, Life::Failed, start), opened(Cause::Failing, 1_000));
        assert_eq!(breaker.enter(after(start, 400)), Err(Duration::from_millis(600)));
        let now = after(start, 1_000);
        let probes: Vec<Pass> = (0..PROBES_MAX).map(|_| breaker.enter(now).unwrap()).collect();
        assert_eq!((breaker.enter(now), breaker.position()), (Err(PROBED_WITHIN), Position::HalfOpen));
        assert_eq!(breaker.observe(probes[0], Life::Failed, now, 0.0), opened(Cause::Failing, 2_000));
        // The others were asked before it opened again: they say nothing about later.
        assert_eq!(breaker.observe(probes[1], Life::Alive, now, 0.0), None);
        assert_eq!(breaker.position(), Position::Open);
        let now = after(start, 3_000);
        assert_eq!(told(&mut breaker, Life::Alive, now), Some(Change::Closed));
        assert!(breaker.enter(now).is_ok());
    }

    #[test]
    fn calls_of_before_an_outage_do_not_open_it_again() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        let passes: Vec<Pass> = (0..100).map(|_| breaker.enter(start).unwrap()).collect();
        let changes: Vec<Change> =
            passes[..50].iter().filter_map(|pass| breaker.observe(*pass, Life::Failed, start, 0.0)).collect();
        assert_eq!(changes.len(), 1);
        assert_eq!(told(&mut breaker, Life::Alive, after(start, 1_000)), Some(Change::Closed));
        assert!(passes[50..].iter().all(|pass| breaker.observe(*pass, Life::Failed, after(start, 2_000), 0.0).is_none()));
        assert_eq!(breaker.position(), Position::Closed);
    }

    #[test]
    fn what_is_no_fault_of_the_provider_does_not_open_it() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        for at in 0..1_000 {
            let life = match at % 4 {
                0 => Life::Failed,
                1 | 2 => Life::Busy,
                _ => Life::Alive,
            };
            assert_eq!(told(&mut breaker, life, start), None, "{at}");
        }
        // A model that is not this key's to use, between answers of another.
        for _ in 0..100 {
            assert_eq!(told(&mut breaker, Life::Denied, start), None);
            assert_eq!(told(&mut breaker, Life::Alive, start), None);
        }
    }

    #[test]
    fn a_key_that_is_not_taken_opens_it_and_is_probed_alone() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        assert_eq!(told(&mut breaker, Life::Denied, start), None);
        assert_eq!(told(&mut breaker, Life::Denied, start), None);
        assert_eq!(told(&mut breaker, Life::Denied, start), opened(Cause::Denied, 1_000));
        let now = after(start, 1_000);
        let probe = breaker.enter(now).unwrap();
        assert!(breaker.enter(now).is_err());
        breaker.give_back(probe);
        assert_eq!(told(&mut breaker, Life::Denied, now), opened(Cause::Denied, 2_000));
        assert_eq!(breaker.cause(), Some(Cause::Denied));
    }

    #[test]
    fn time_open_doubles_to_a_minute_and_is_spread() {
        let mut now = Instant::now();
        let mut breaker = Breaker::default();
        let mut seconds = Vec::new();
        while seconds.len() < 8 {
            if let Some(Change::Opened(_, time)) = told(&mut breaker, Life::Failed, now) {
                seconds.push(time.as_secs());
                now += time;
            }
        }
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        let pass = breaker.enter(now).unwrap();
        assert_eq!(breaker.observe(pass, Life::Failed, now, 1.0), opened(Cause::Failing, 90_000));
    }

    #[test]
    fn calls_during_a_long_outage_are_bounded() {
        // A day, and somebody who calls as often as he may.
        let start = Instant::now();
        let (mut now, mut breaker, mut calls) = (start, Breaker::default(), 0);
        while now < after(start, 86_400_000) {
            match breaker.enter(now) {
                Ok(pass) => {
                    calls += 1;
                    breaker.observe(pass, Life::Failed, now, 0.5);
                }
                Err(wait) => now += wait,
            }
        }
        assert!((1_000..1_300).contains(&calls), "{calls}");
    }

    proptest! {
        #[test]
        fn no_more_than_the_probes_pass_while_it_is_half_open(
            steps in prop::collection::vec((0_u8..6, 0_u64..3_000, 0.0..1.0_f64), 0..600),
        ) {
            let mut now = Instant::now();
            let mut breaker = Breaker::default();
            let mut out: Vec<Pass> = Vec::new();
            for (step, ms, spread) in steps {
                let before = breaker.position();
                match step {
                    0 | 1 => match breaker.enter(now) {
                        Ok(pass) => {
                            prop_assert!(before != Position::Open || pass.probe);
                            out.push(pass);
                        }
                        Err(wait) => prop_assert!(!wait.is_zero() && wait <= OPEN_MAX.mul_f64(1.5)),
                    },
                    2 => now += Duration::from_millis(ms),
                    3 => if let Some(pass) = out.pop() { breaker.give_back(pass) },
                    _ => if !out.is_empty() {
                        let pass = out.remove(ms as usize % out.len());
                        let life = [Life::Alive, Life::Busy, Life::Failed, Life::Failed, Life::Denied][ms as usize % 5];
                        breaker.observe(pass, life, now, spread);
                    },
                }
                if breaker.position() == Position::HalfOpen {
                    let probes = out.iter().filter(|pass| pass.probe && pass.episode == breaker.episode).count();
                    prop_assert!(probes <= PROBES_MAX, "{} probes", probes);
                }
            }
        }
    }
}
