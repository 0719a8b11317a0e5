//! What a provider has left for us, as the headers of its answers say, and the pace at which that lasts.
//!
//! Hosts fill a limit up again either steadily or all at once, and do not say which. What is sure either way: calls spread evenly over
//! the time until it is full never use it up; and the least refill ever seen, (limit - remaining) / reset, is what a steady host gives
//! and more than none of the others promise. The pace is the larger of the two, and is kept only while little is left, so that a
//! wrong guess costs nothing on average: what was not used is still there.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use assize_core::{Timestamp, TokenUsage};
use reqwest::header::HeaderMap;

use super::rate_limits::{self, Left, Unit};

/// Little is less than this part of the limit.
const LITTLE: f64 = 0.1;

/// The limits of a provider, shared by its client, which reads them in every answer, and by whoever paces the calls.
#[derive(Debug, Default)]
pub struct Headroom {
    known: Mutex<[Option<Known>; 4]>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    left: Left,
    full_at: Instant,
    /// The least refill per second that any answer spoke of, under the present limit.
    refill: Option<f64>,
}

/// How fast calls may follow one another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Enough is left.
    Free,
    /// One call in this time.
    Every(Duration),
    /// None before this time has passed.
    After(Duration),
}

impl Headroom {
    /// Takes in the headers of an answer that came at `at`. Dates are relative to `now`, the same moment.
    pub fn note(&self, headers: &HeaderMap, now: Timestamp, at: Instant) {
        let mut known = self.known();
        let mut asked = None;
        for left in rate_limits::left(headers, now) {
            if let Some(place) = known.get_mut(left.unit as usize) {
                let asked = *asked.get_or_insert_with(|| rate_limits::asked(headers, now));
                *place = Known::new(left, asked, at, place.as_ref());
            }
        }
    }

    /// The pace at `at`. A call takes about `per_call` tokens. `open` calls are on their way, of which the last answer may not have known;
    /// `calls_at_once` may be before an answer says that they were too many, so that more than these have to be left.
    pub fn pace(&self, at: Instant, per_call: TokenUsage, open: usize, calls_at_once: usize) -> Pace {
        let pace = |known: &Known| known.pace(at, per_call, open as f64, calls_at_once as f64);
        let paces: Vec<Pace> = self.known().iter().flatten().map(pace).collect();
        paces.into_iter().max_by(|a, b| a.slowness().total_cmp(&b.slowness())).unwrap_or(Pace::Free)
    }

    fn known(&self) -> MutexGuard<'_, [Option<Known>; 4]> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// `None` where the provider does not say when there will be more. It may have `asked` us to wait: that goes before the time at which
    /// the limit is full, unless we know how it fills.
    fn new(left: Left, asked: Option<Duration>, at: Instant, before: Option<&Self>) -> Option<Self> {
        let spoken = left.limit.zip(left.reset).and_then(|(limit, reset)| {
            let refill = (limit - left.remaining) / reset.as_secs_f64();
            (refill.is_finite() && refill > 0.0).then_some(refill)
        });
        let least = before.filter(|before| before.left.limit == left.limit).and_then(|before| before.refill);
        let refill = match (spoken, least) {
            (Some(spoken), Some(least)) => Some(spoken.min(least)),
            (spoken, least) => spoken.or(least),
        };
        let reset = match (left.reset, asked) {
            (Some(reset), Some(asked)) if refill.is_none() => reset.min(asked),
            (reset, asked) => reset.or(asked)?,
        };
        Some(Self { left, full_at: at.checked_add(reset).unwrap_or(at), refill })
    }

    fn pace(&self, at: Instant, per_call: TokenUsage, open: f64, calls_at_once: f64) -> Pace {
        let until_full = self.full_at.saturating_duration_since(at);
        if until_full.is_zero() {
            return Pace::Free;
        }
        let per_call = match self.left.unit {
            Unit::Requests => 1,
            Unit::Tokens => per_call.input.saturating_add(per_call.output),
            Unit::InputTokens => per_call.input,
            Unit::OutputTokens => per_call.output,
        };
        let per_call = per_call.max(1) as f64;
        let calls_left = (self.left.remaining / per_call).max(0.0);
        let of_limit = self.left.limit.map_or(0.0, |limit| LITTLE * limit / per_call);
        if calls_left >= of_limit.max(2.0 * calls_at_once) {
            return Pace::Free;
        }
        let spread = (calls_left - open).max(0.0).floor() / until_full.as_secs_f64();
        let per_second = spread.max(self.refill.map_or(0.0, |refill| refill / per_call));
        match Duration::try_from_secs_f64(1.0 / per_second) {
            Ok(gap) if gap < until_full => Pace::Every(gap),
            _ => Pace::After(until_full),
        }
    }
}

impl Pace {
    /// The slower of the two.
    #[must_use]
    pub fn slower(self, other: Self) -> Self {
        if other.slowness() > self.slowness() { other } else { self }
    }

    fn slowness(self) -> f64 {
        match self {
            Self::Free => 0.0,
            Self::Every(gap) => gap.as_secs_f64(),
            // No gap is as long as the time until everything is full.
            Self::After(wait) => 1e6 + wait.as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOTHING: TokenUsage = TokenUsage { input: 0, output: 0, cached_input: 0, cache_write: 0 };

    fn headers(pairs: &[(&'static str, String)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn requests(limit: f64, remaining: f64, reset: f64) -> HeaderMap {
        headers(&[
            ("x-ratelimit-limit-requests", limit.to_string()),
            ("x-ratelimit-remaining-requests", remaining.floor().to_string()),
            ("x-ratelimit-reset-requests", format!("{reset}s")),
        ])
    }

    /// A client with `at_once` places that paces itself against a host with `limit` calls a minute, for five minutes: calls served and
    /// calls turned away.
    fn simulate(limit: f64, at_once: usize, steady: bool) -> (u32, u32) {
        const LATENCY: f64 = 0.2;
        let (start, headroom) = (Instant::now(), Headroom::default());
        let (mut left, mut filled, mut next) = (limit, 0.0, 0.0_f64);
        let (mut served, mut refused) = (0, 0);
        let mut free = vec![0.0_f64; at_once];
        loop {
            free.sort_by(f64::total_cmp);
            let mut now = next.max(free[0]);
            if now >= 300.0 {
                return (served, refused);
            }
            match headroom.pace(start + Duration::from_secs_f64(now), NOTHING, 0, at_once) {
                Pace::Free => next = now,
                Pace::Every(gap) => next = now + gap.as_secs_f64(),
                Pace::After(wait) => {
                    next = now + wait.as_secs_f64();
                    continue;
                }
            }
            now += 1e-6;
            let window = (now / 60.0).floor();
            if steady {
                left = (left + (now - filled) * limit / 60.0).min(limit);
                filled = now;
            } else if window > filled {
                (left, filled) = (limit, window);
            }
            if left >= 1.0 {
                (left, served) = (left - 1.0, served + 1)
            } else {
                refused += 1
            }
            let reset = if steady { (limit - left) / limit * 60.0 } else { (window + 1.0) * 60.0 - now };
            free[0] = now + LATENCY;
            headroom.note(&requests(limit, left, reset), Timestamp(0), start + Duration::from_secs_f64(now));
        }
    }

    #[test]
    fn it_neither_runs_into_limits_nor_leaves_them_unused() {
        for steady in [true, false] {
            for (limit, at_once) in [(60.0, 4), (60.0, 50), (500.0, 10), (10_000.0, 100)] {
                let (served, refused) = simulate(limit, at_once, steady);
                let possible = 5.0 * limit;
                assert!(f64::from(refused) <= 0.01 * possible, "{limit} {at_once} {steady}: {refused} refused of {served}");
                assert!(f64::from(served) >= 0.85 * possible, "{limit} {at_once} {steady}: {served} of {possible}");
            }
        }
    }

    #[test]
    fn plenty_is_free_and_nothing_waits_for_the_reset() {
        let (start, headroom) = (Instant::now(), Headroom::default());
        assert_eq!(headroom.pace(start, NOTHING, 0, 10), Pace::Free);
        headroom.note(&requests(1_000.0, 900.0, 30.0), Timestamp(0), start);
        assert_eq!(headroom.pace(start, NOTHING, 0, 10), Pace::Free);
        let unsaid = ("x-ratelimit-remaining-requests", "0".to_owned());
        headroom.note(&headers(std::slice::from_ref(&unsaid)), Timestamp(0), start);
        assert_eq!(headroom.pace(start, NOTHING, 0, 10), Pace::Free, "nobody said until when");
        headroom.note(&headers(&[unsaid, ("retry-after", "60".to_owned())]), Timestamp(0), start);
        assert_eq!(headroom.pace(start, NOTHING, 0, 10), Pace::After(Duration::from_secs(60)));
        assert_eq!(headroom.pace(start + Duration::from_secs(60), NOTHING, 0, 10), Pace::Free);
    }

    #[test]
    fn the_scarcest_limit_counts() {
        let (start, headroom) = (Instant::now(), Headroom::default());
        let answer = headers(&[
            ("x-ratelimit-limit-requests", "1000".to_owned()),
            ("x-ratelimit-remaining-requests", "999".to_owned()),
            ("x-ratelimit-reset-requests", "60ms".to_owned()),
            ("x-ratelimit-remaining-tokens", "10000".to_owned()),
            ("x-ratelimit-reset-tokens", "10s".to_owned()),
        ]);
        headroom.note(&answer, Timestamp(0), start);
        let per_call = TokenUsage { input: 900, output: 100, ..NOTHING };
        assert_eq!(headroom.pace(start, per_call, 0, 10), Pace::Every(Duration::from_secs(1)));
        assert_eq!(headroom.pace(start, per_call, 5, 10), Pace::Every(Duration::from_secs(2)), "five more are on their way");
    }

    proptest! {
        #[test]
        fn whatever_headers_say_there_is_a_pace(
            limit in any::<f64>(), remaining in any::<f64>(), reset in "[0-9.]{0,20}(ms|s|m|h|d)?",
            tokens in any::<u64>(), later in 0_u64..1_000_000, at_once in 0_usize..100_000,
        ) {
            let (start, headroom) = (Instant::now(), Headroom::default());
            headroom.note(&headers(&[
                ("x-ratelimit-limit-tokens", limit.to_string()),
                ("x-ratelimit-remaining-tokens", remaining.to_string()),
                ("x-ratelimit-reset-tokens", reset),
            ]), Timestamp(0), start);
            let usage = TokenUsage { input: tokens, output: tokens, ..NOTHING };
            match headroom.pace(start + Duration::from_millis(later), usage, 0, at_once) {
                Pace::Free => {}
                Pace::Every(wait) | Pace::After(wait) => prop_assert!(wait <= Duration::from_secs(86_400)),
            }
        }
    }
}
