//! How many calls a provider is given at once: learned from its answers, between 1 and what the operator allows.
//!
//! The number rises with every success while it is used: threefold per round trip until the first trouble, by its square root per
//! round trip after that. It is halved when a quarter of the answers of two round trips are 429, or a quarter are failures of the
//! provider, or when answers take more than twice as long as usual. A quarter, because a provider that turns away one call in ten at
//! any load is not helped by fewer calls at once, and neither are we.
//!
//! Judges' latencies differ by model and text, so that slower answers may have nothing to do with us. Halving for latency is therefore
//! a trial, once the first rise is over: if the answers to half as many calls take as long, the old number is restored and the new latency is the usual one.
//! (The square root and the comparison of a short with a long-run latency are those of Netflix's Gradient2 limit,
//! <https://github.com/Netflix/concurrency-limits>; the trial is ours.)

use std::time::Duration;

/// Answers that are judged together, at the least: of fewer, a quarter may be chance.
const WINDOW_MIN: usize = 32;
/// Latencies of a window that are kept; more say nothing more about its median.
const SAMPLES_MAX: usize = 512;
/// Below this many latencies a window has no median.
const SAMPLES_MIN: usize = 8;
const SLOWER_THAN_USUAL: f64 = 2.0;
/// Differences below this are the machine's, not the provider's.
const SLOWER_AT_LEAST_SECONDS: f64 = 0.05;
/// A trial has helped where the median fell below this part of what it was.
const HELPED: f64 = 0.8;
/// How fast what is usual follows a faster median. A slower one it follows by a trial alone: else a queue of our own making, built up
/// slowly, would become usual.
const FOLLOWS_DOWN: f64 = 0.2;

/// What an answer says about the load that the provider can take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Load {
    /// It was served, after this time.
    Served(Duration),
    /// It was turned away as one too many.
    Limited,
    /// The provider failed: 5xx, no connection, no answer in time.
    Failed,
    /// Nothing, such as a wrong key.
    Unknown,
}

/// The limit of one provider.
#[derive(Debug)]
pub struct Limiter {
    max: f64,
    limit: f64,
    slow_start: bool,
    /// Grows whenever the limit is halved or restored. Answers to calls of an earlier round do not speak of the present limit, so it
    /// is halved at most once per round trip.
    round: u64,
    window: Window,
    /// The usual latency in seconds.
    usual: Option<f64>,
    trial: Option<Trial>,
}

#[derive(Debug)]
struct Window {
    /// It began while the limit rose threefold per round trip.
    rising: bool,
    answers: usize,
    limited: usize,
    failed: usize,
    latencies: Vec<f64>,
}

/// The limit was halved because of latency.
#[derive(Debug, Clone, Copy)]
struct Trial {
    limit: f64,
    median: f64,
}

impl Limiter {
    /// A limiter that never allows more than `max` calls, which is at least 1; it begins with a quarter of them.
    pub fn new(max: usize) -> Self {
        let max = max.max(1) as f64;
        let limit = (max / 4.0).ceil();
        Self { max, limit, slow_start: true, round: 0, window: Window::new(true), usual: None, trial: None }
    }

    /// Calls at once: from 1 to the maximum.
    pub fn limit(&self) -> usize {
        // In range, so that the cast is exact.
        self.limit.clamp(1.0, self.max) as usize
    }

    /// The calls that can be expected to be possible soon.
    pub fn prospect(&self) -> usize {
        if self.slow_start { self.max as usize } else { self.limit() }
    }

    /// Names the limit that a call begins under, for [`Self::observe`].
    pub fn round(&self) -> u64 {
        self.round
    }

    /// Takes in the answer to a call that began in `round`; `in_use` calls were open then, this one included.
    pub fn observe(&mut self, round: u64, load: Load, in_use: usize) {
        if round != self.round {
            return;
        }
        self.window.add(load);
        // A limit that is not used is not tested either, and one that is on trial is to stay what it is.
        if matches!(load, Load::Served(_)) && in_use.saturating_mul(2) >= self.limit() && self.trial.is_none() {
            let step = if self.slow_start { 2.0 } else { 1.0 / self.limit.sqrt() };
            self.limit = (self.limit + step).min(self.max);
            self.slow_start &= self.limit < self.max;
        }
        let whole = (2 * self.limit()).max(WINDOW_MIN);
        if self.window.limited * 4 > whole || self.window.failed * 4 > whole {
            self.trial = None;
            self.change(self.limit / 2.0);
        } else if self.window.answers >= whole {
            self.weigh_latency();
        }
    }

    /// Begins anew, as after an outage; what is usual stays known.
    pub fn restart(&mut self) {
        self.trial = None;
        self.change((self.max / 4.0).ceil());
        self.slow_start = true;
        self.window = Window::new(true);
    }

    fn weigh_latency(&mut self) {
        let window = std::mem::replace(&mut self.window, Window::new(self.slow_start));
        let rising = window.rising;
        let Some(median) = window.median() else { return };
        let usual = *self.usual.get_or_insert(median);
        if let Some(trial) = self.trial.take() {
            if median > trial.median * HELPED {
                // Half as many calls and no faster: it was not our doing.
                self.usual = Some(median);
                self.change(self.limit.max(trial.limit));
            }
        } else if self.limit() > 1 && median > usual * SLOWER_THAN_USUAL && median - usual > SLOWER_AT_LEAST_SECONDS {
            // While the limit rose threefold, it is no wonder, and what was measured is of no one limit to compare with.
            self.trial = (!rising).then_some(Trial { limit: self.limit, median });
            self.change(self.limit / 2.0);
        } else {
            self.usual = Some(usual - FOLLOWS_DOWN * (usual - median).max(0.0));
        }
    }

    fn change(&mut self, limit: f64) {
        self.limit = limit.clamp(1.0, self.max);
        self.slow_start = false;
        self.round += 1;
        self.window = Window::new(false);
    }
}

impl Window {
    fn new(rising: bool) -> Self {
        Self { rising, answers: 0, limited: 0, failed: 0, latencies: Vec::new() }
    }

    fn add(&mut self, load: Load) {
        match load {
            Load::Served(latency) if self.latencies.len() < SAMPLES_MAX => self.latencies.push(latency.as_secs_f64()),
            Load::Served(_) => {}
            Load::Limited => self.limited += 1,
            Load::Failed => self.failed += 1,
            Load::Unknown => return,
        }
        self.answers += 1;
    }

    fn median(mut self) -> Option<f64> {
        if self.latencies.len() < SAMPLES_MIN {
            return None;
        }
        let middle = self.latencies.len() / 2;
        Some(*self.latencies.select_nth_unstable_by(middle, f64::total_cmp).1)
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    use proptest::prelude::*;

    use super::*;

    /// A number in [0, 1) for each `at`, the same in every run.
    fn chance(seed: u64, at: u64) -> f64 {
        let hash = blake3::hash(&[seed.to_le_bytes(), at.to_le_bytes()].concat());
        f64::from(u32::from_le_bytes(hash.as_bytes()[..4].try_into().unwrap())) / 4_294_967_296.0
    }

    /// What the provider does with a call when so many are open, this one included: how long it takes over it, and what it says.
    type Serve<'a> = &'a dyn Fn(u64, usize) -> (Duration, Load);

    /// Keeps as many calls open as the limiter allows until `until`; the limits and answers over time, in milliseconds.
    fn simulate(limiter: &mut Limiter, until_ms: u64, serve: Serve<'_>) -> Vec<(u64, usize, Load)> {
        let (mut now, mut number) = (0, 0);
        let mut open = BinaryHeap::new();
        let mut seen = Vec::new();
        let mut answers = Vec::new();
        while now < until_ms {
            while open.len() < limiter.limit() {
                let (latency, load) = serve(number, open.len() + 1);
                open.push(Reverse((now + latency.as_millis() as u64, number, limiter.round())));
                answers.push(load);
                number += 1;
            }
            let in_use = open.len();
            let Reverse((at, ended, round)) = open.pop().unwrap();
            now = at;
            limiter.observe(round, answers[ended as usize], in_use);
            seen.push((now, limiter.limit(), answers[ended as usize]));
        }
        seen
    }

    fn mean_after(seen: &[(u64, usize, Load)], ms: u64) -> f64 {
        let late: Vec<f64> = seen.iter().filter(|(at, ..)| *at >= ms).map(|(_, limit, _)| *limit as f64).collect();
        late.iter().sum::<f64>() / late.len() as f64
    }

    fn served(ms: u64) -> (Duration, Load) {
        (Duration::from_millis(ms), Load::Served(Duration::from_millis(ms)))
    }

    #[test]
    fn a_healthy_provider_has_everything_after_two_round_trips() {
        let mut limiter = Limiter::new(100);
        assert_eq!(limiter.limit(), 25);
        let seen = simulate(&mut limiter, 20_000, &|_, _| served(200));
        let full = seen.iter().find(|(_, limit, _)| *limit == 100).unwrap().0;
        assert!(full <= 400, "full after {full} ms");
        assert!(seen.iter().filter(|(at, ..)| *at > 400).all(|(_, limit, _)| *limit == 100), "it never falls again");
    }

    #[test]
    fn latencies_that_vary_by_themselves_change_hardly_anything() {
        // From 100 ms to 3 s, mostly short: what judges do.
        for seed in 0..20 {
            let mut limiter = Limiter::new(100);
            let seen = simulate(&mut limiter, 60_000, &|number, _| served(100 + (2_900.0 * chance(seed, number).powi(6)) as u64));
            assert!(mean_after(&seen, 1_000) > 93.0, "{seed}: {}", mean_after(&seen, 1_000));
        }
    }

    #[test]
    fn random_trouble_at_any_load_changes_nothing() {
        for seed in 0..20 {
            let mut limiter = Limiter::new(100);
            let seen = simulate(&mut limiter, 60_000, &|number, _| match chance(seed, number) {
                x if x < 0.10 => (Duration::from_millis(200), Load::Limited),
                x if x < 0.15 => (Duration::from_millis(200), Load::Failed),
                x if x < 0.17 => (Duration::from_secs(5), Load::Failed),
                _ => served(200),
            });
            assert!(mean_after(&seen, 1_000) > 95.0, "{seed}: {}", mean_after(&seen, 1_000));
        }
    }

    #[test]
    fn it_settles_near_what_the_provider_takes_before_it_turns_calls_away() {
        for capacity in [4, 10, 40, 80] {
            let mut limiter = Limiter::new(200);
            let seen = simulate(&mut limiter, 120_000, &|_, open| {
                if open > capacity { (Duration::from_millis(20), Load::Limited) } else { served(200) }
            });
            let mean = mean_after(&seen, 20_000) / capacity as f64;
            assert!((0.6..1.5).contains(&mean), "{capacity}: {mean}");
        }
    }

    #[test]
    fn it_settles_near_what_the_provider_takes_before_it_slows_down() {
        for capacity in [10, 25, 60] {
            let mut limiter = Limiter::new(400);
            // What is known from quiet times.
            limiter.usual = Some(0.2);
            let seen = simulate(&mut limiter, 300_000, &|_, open| served(200 * open.div_ceil(capacity) as u64));
            let mean = mean_after(&seen, 60_000) / capacity as f64;
            assert!((0.9..3.5).contains(&mean), "{capacity}: {mean}");
        }
    }

    #[test]
    fn a_model_that_is_slower_for_good_has_all_its_calls_again() {
        let mut limiter = Limiter::new(100);
        simulate(&mut limiter, 10_000, &|_, _| served(200));
        let seen = simulate(&mut limiter, 120_000, &|_, _| served(2_000));
        assert!(seen.iter().any(|(_, limit, _)| *limit <= 50), "it tried half");
        assert!(seen.iter().filter(|(at, ..)| *at > 20_000).all(|(_, limit, _)| *limit == 100), "and saw that it is no use");
    }

    #[test]
    fn trouble_halves_once_per_round_trip_and_never_below_one() {
        let mut limiter = Limiter::new(64);
        simulate(&mut limiter, 5_000, &|_, _| served(200));
        assert_eq!(limiter.limit(), 64);
        let round = limiter.round();
        for _ in 0..64 {
            limiter.observe(round, Load::Limited, 64);
        }
        assert_eq!(limiter.limit(), 32, "all calls of one round trip count once");
        simulate(&mut limiter, 5_000, &|_, _| (Duration::from_millis(50), Load::Failed));
        assert_eq!(limiter.limit(), 1);
        simulate(&mut limiter, 20_000, &|_, _| served(200));
        assert_eq!(limiter.limit(), 64);
    }

    #[test]
    fn a_limit_that_is_not_used_does_not_rise() {
        let mut limiter = Limiter::new(100);
        for _ in 0..1_000 {
            limiter.observe(limiter.round(), Load::Served(Duration::from_millis(200)), 3);
        }
        assert_eq!(limiter.limit(), 25);
    }

    proptest! {
        #[test]
        fn it_stays_in_range_whatever_comes(
            max in 0_usize..300,
            answers in prop::collection::vec((0_u8..5, 0_u64..100_000, 0_usize..400, 0_u64..4), 0..2_000),
        ) {
            let mut limiter = Limiter::new(max);
            for (kind, ms, in_use, back) in answers {
                let load = match kind {
                    0 => Load::Limited,
                    1 => Load::Failed,
                    2 => Load::Unknown,
                    _ => Load::Served(Duration::from_millis(ms)),
                };
                if ms == 77 {
                    limiter.restart();
                }
                limiter.observe(limiter.round().saturating_sub(back / 3), load, in_use);
                prop_assert!((1..=max.max(1)).contains(&limiter.limit()), "{}", limiter.limit());
                prop_assert!(limiter.window.latencies.len() <= SAMPLES_MAX);
            }
        }
    }
}
