//! Confidence sequences and alarms for weighted observations, from running sums: the asymptotic form.

use serde::{Deserialize, Serialize};

use crate::{EstimateError, Interval};

/// The approximation is not to be believed before so many observations. Where weights are unequal or positives rare it is later: not before
/// there are some thirty residuals that are not 0, or their effective number `(sum v)^2 / sum v^2` is 30.
pub const FIRST_LOOK_MIN: u64 = 100;

/// Sums over observations so far: of inverse-probability weighted scores, of residuals, or of whatever an estimator averages. Hourly
/// sums give it for the ends of hours, and looking only then is allowed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// Observations.
    pub n: u64,
    /// Their mean: the estimate.
    pub mean: f64,
    /// Their variance: that of one observation, so that the estimate's is `variance / n`.
    pub variance: f64,
}

impl Running {
    /// From `n`, the sum and the sum of squares of the observations.
    pub fn of_sums(n: u64, sum: f64, squares: f64) -> Self {
        if n == 0 {
            return Self::default();
        }
        let mean = sum / n as f64;
        Self { n, mean, variance: (squares / n as f64 - mean * mean).max(0.0) }
    }

    /// From an estimate and its variance, such as an estimator of this crate gives for all hours so far, with `n` items judged.
    pub fn of_estimate(n: u64, value: f64, variance_of_value: f64) -> Self {
        Self { n, mean: value, variance: variance_of_value * n as f64 }
    }

    /// `b - a` of two independent ones, such as two versions: the variances of the means add up, and time is what both have seen.
    pub fn difference(a: &Self, b: &Self) -> Self {
        if a.n == 0 || b.n == 0 {
            return Self::default();
        }
        let n = a.n.saturating_add(b.n);
        let of_mean = a.variance / a.n as f64 + b.variance / b.n as f64;
        Self { n, mean: b.mean - a.mean, variance: of_mean * n as f64 }
    }
}

/// A boundary around running means that holds at all times together with probability `1 - alpha`, in the limit of a late first look.
///
/// Asymptotic, Theorem 2.2 (Robbins' Gaussian mixture with estimated variance; under independence without equal distribution, as weights
/// make it, Theorem 2.5, where it holds the running mean of the means): with `s` the standard deviation so far,
/// ```text
/// mean  +-  s sqrt( 2 (t r^2 + 1) / (t^2 r^2)  ln( sqrt(t r^2 + 1) / alpha ) )
/// r^2 = (2 ln(1/alpha) + ln(2 ln(1/alpha) + 1)) / best_at
/// ```
/// the latter making it tightest about `t = best_at` (appendix on the choice of `rho`). One-sided, the mixture is over a half-normal, which gives
/// `2 Phi(y) exp(y^2/2) / sqrt(t r^2 + 1)` at `y = S r / (s sqrt(t r^2 + 1))`; since `1 - Phi(y) <= exp(-y^2/2) / 2` for `y >= 0`, it has reached
/// `1/alpha` where `y^2 >= 2 ln((1 + sqrt(t r^2 + 1) / alpha) / 2)`.
///
/// Everything but the sums has to be fixed before the first look.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Asymptotic {
    /// The chance of ever being wrong.
    pub alpha: f64,
    /// Observations at which it is tightest.
    pub best_at: f64,
    /// Observations before which nothing is said.
    pub first_look: u64,
}

impl Asymptotic {
    /// To be wrong at some moment with probability about `alpha` at the most, tightest about `best_at` observations, and silent before
    /// `first_look` (not less than [`FIRST_LOOK_MIN`]).
    ///
    /// # Errors
    /// `alpha` not strictly between 0 and 1, `best_at` not at least 1, `first_look` too early.
    pub fn new(alpha: f64, best_at: f64, first_look: u64) -> Result<Self, EstimateError> {
        EstimateError::share("alpha", alpha)?;
        if !(best_at >= 1.0 && best_at.is_finite()) {
            return Err(EstimateError::Setting { name: "best_at", value: best_at, allowed: "a number of observations" });
        }
        if first_look < FIRST_LOOK_MIN {
            let value = first_look as f64;
            return Err(EstimateError::Setting { name: "first_look", value, allowed: "100 observations or more" });
        }
        Ok(Self { alpha, best_at, first_look })
    }

    /// How far the mean may be off, up or down; `None` before the first look.
    pub fn margin(&self, running: &Running) -> Option<f64> {
        self.scaled(running, self.alpha, |root| root / self.alpha)
    }

    /// How far the mean may be above the truth (or, as another question, below it); `None` before the first look.
    pub fn one_sided_margin(&self, running: &Running) -> Option<f64> {
        // The tuning for a chance of twice alpha, half of which lies on either side.
        self.scaled(running, (2.0 * self.alpha).min(0.999), |root| f64::midpoint(1.0, root / self.alpha))
    }

    /// The limits around a rate, within [0, 1]; all of it before the first look.
    pub fn interval(&self, running: &Running) -> Interval {
        let Some(margin) = self.margin(running) else { return Interval { low: 0.0, high: 1.0 } };
        Interval { low: (running.mean - margin).clamp(0.0, 1.0), high: (running.mean + margin).clamp(0.0, 1.0) }
    }

    /// The event "the rate rose above `reference`": an alarm from the first moment on at which this holds.
    pub fn rose_above(&self, running: &Running, reference: f64) -> bool {
        self.one_sided_margin(running).is_some_and(|margin| running.mean - margin > reference)
    }

    /// The event "`b` differs from `a`": an alarm from the first moment on at which this holds. Both have to be at the first look.
    pub fn differ(&self, a: &Running, b: &Running) -> bool {
        let apart = Running::difference(a, b);
        let are_there = a.n >= self.first_look && b.n >= self.first_look;
        are_there && self.margin(&apart).is_some_and(|margin| apart.mean.abs() > margin)
    }

    /// `s sqrt(2 (t r^2 + 1) / (t^2 r^2) ln(threshold(sqrt(t r^2 + 1))))`.
    fn scaled(&self, running: &Running, tuned_for: f64, threshold: impl Fn(f64) -> f64) -> Option<f64> {
        let Running { n, variance, .. } = *running;
        if n < self.first_look || !variance.is_finite() || variance < 0.0 {
            return None;
        }
        let t = n as f64;
        let twice = -2.0 * tuned_for.ln();
        let tr2 = t * (twice + (twice + 1.0).ln()) / self.best_at;
        let squared = 2.0 * (tr2 + 1.0) / (t * tr2) * threshold((tr2 + 1.0).sqrt()).ln();
        Some((variance * squared).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_margin_is_that_of_the_formula() {
        let boundary = Asymptotic::new(0.05, 1_000.0, 100).unwrap();
        let running = Running { n: 400, mean: 0.2, variance: 0.16 };
        let r2 = (-2.0 * 0.05_f64.ln() + (-2.0 * 0.05_f64.ln() + 1.0).ln()) / 1_000.0;
        let t = 400.0;
        let by_hand = 0.4 * (2.0 * (t * r2 + 1.0) / (t * t * r2) * ((t * r2 + 1.0_f64).sqrt() / 0.05).ln()).sqrt();
        assert!((boundary.margin(&running).unwrap() - by_hand).abs() < 1e-12);
        assert!(boundary.one_sided_margin(&running).unwrap() < by_hand);
        // About 1.6 times the fixed interval where it is tightest.
        let at_best = boundary.margin(&Running { n: 1_000, ..running }).unwrap() / (0.4 / 1_000_f64.sqrt() * 1.96);
        assert!((1.45..1.75).contains(&at_best), "{at_best}");
    }

    #[test]
    fn it_is_tightest_where_it_was_told_to_be() {
        let ratio = |best_at: f64, n: u64| {
            let margin = Asymptotic::new(0.05, best_at, 100).unwrap().margin(&Running { n, mean: 0.0, variance: 1.0 }).unwrap();
            margin * (n as f64).sqrt()
        };
        for n in [1_000, 10_000] {
            let best = ratio(n as f64, n);
            assert!(best < ratio(n as f64 / 2.0, n) && best < ratio(n as f64 * 2.0, n), "{n}");
        }
    }

    #[test]
    fn nothing_is_said_too_early_or_from_nothing() {
        let boundary = Asymptotic::new(0.05, 1_000.0, 200).unwrap();
        let early = Running { n: 199, mean: 0.9, variance: 0.0 };
        assert_eq!(boundary.interval(&early), Interval { low: 0.0, high: 1.0 });
        assert!(!boundary.rose_above(&early, 0.1) && boundary.rose_above(&Running { n: 200, ..early }, 0.1));
        assert!(!boundary.differ(&early, &Running { n: 10_000, mean: 0.1, variance: 0.1 }));
        assert_eq!(boundary.margin(&Running { n: 1_000, mean: 0.1, variance: f64::NAN }), None);
        assert!(Asymptotic::new(0.05, 0.0, 200).is_err() && Asymptotic::new(0.05, 1.0, 99).is_err());
        assert!(Asymptotic::new(1.0, 10.0, 200).is_err());
    }

    #[test]
    fn sums_and_estimates_say_the_same() {
        let observations = [0.0, 2.0, 0.5, 1.5];
        let (sum, squares) = observations.iter().fold((0.0, 0.0), |(s, q), x| (s + x, q + x * x));
        let sums = Running::of_sums(4, sum, squares);
        assert_eq!(sums, Running { n: 4, mean: 1.0, variance: 0.625 });
        assert_eq!(Running::of_estimate(4, 1.0, 0.625 / 4.0), sums);
        assert_eq!(Running::of_sums(0, 0.0, 0.0), Running::default());
        let apart = Running::difference(&sums, &Running { n: 12, mean: 3.0, variance: 0.3 });
        assert!((apart.variance / 16.0 - (0.625 / 4.0 + 0.3 / 12.0)).abs() < 1e-12 && apart.mean == 2.0 && apart.n == 16);
    }
}
