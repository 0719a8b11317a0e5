//! Mid-p limits: for small counts in cells that are added up.

use super::{Interval, wilson};
use crate::binomial::incomplete_beta;
use crate::estimator::Point;
use crate::student::tail;

/// Above this share of `p (1 - p)` the scores are 0s and 1s.
const BINARY: f64 = 1.0 - 1e-6;
/// From so many positives and negatives on, limits of both kinds are the same to within a few hundredths of their distance.
const MANY: f64 = 200.0;
/// Relative width at which a limit is found.
const CLOSE: f64 = 1e-12;
/// Steps until it is, with room for very small limits.
const STEPS_MAX: u32 = 200;

/// The mid-p limits of a share for the two-sided normal quantile `z`: those of Clopper and Pearson, with half of the chance of what was seen
/// in the tail, at `n* = min(W^2/sum u, s^2/var)` draws with `x = p n*` positives, neither a whole number. Lower limit: the `t` where
/// `(I_t(x, n* - x + 1) + I_t(x + 1, n* - x))/2` is the tail; upper limit by symmetry.
///
/// Each side alone keeps to its tail on average, which Wilson's limits, symmetric in the score, do not: at small rates they miss below twice
/// as often as above. In one interval these errors make up for each other; in a sum of cells the lower ones add up.
///
/// Lancaster 1961, *Significance tests in discrete distributions*, JASA 56, 223-234; Cai 2005, *One-sided confidence intervals in discrete
/// distributions*, J. Stat. Planning Inference 131, 63-88. For scores between 0 and 1, and for large counts, Wilson's limits.
pub fn mid_p(point: &Point, z: f64) -> Interval {
    let p = point.value.clamp(0.0, 1.0);
    let binary = p * (1.0 - p);
    let is_binary = point.spread >= BINARY * binary;
    let inverse_size = if binary > 0.0 { point.inverse_size.max(point.variance / binary) } else { point.inverse_size };
    let n = 1.0 / inverse_size;
    let (x, half) = (p * n, tail(z, None) / 2.0);
    let is_small = n.is_finite() && n > 0.0 && (x < MANY || n - x < MANY);
    if !is_binary || !is_small || half.is_nan() || half <= 0.0 {
        return wilson(point, z);
    }
    let lower = |x: f64| if x > 0.0 { root(|t| above(t, x, n) - half, (x / n).min(1.0)) } else { 0.0 };
    Interval { low: lower(x).min(p), high: (1.0 - lower(n - x)).max(p) }
}

/// Where `f`, which rises from below 0, reaches 0 within (0, `end`); `end` where it does not. False position, every third step a halving, so
/// that neither steep nor flat functions take long.
fn root(f: impl Fn(f64) -> f64, end: f64) -> f64 {
    let (mut low, mut high) = ((0.0, f(0.0)), (end, f(end)));
    if high.1.is_nan() || high.1 <= 0.0 {
        return end;
    }
    for step in 0..STEPS_MAX {
        let share = if step % 3 == 2 { 0.5 } else { (low.1 / (low.1 - high.1)).clamp(1e-3, 1.0 - 1e-3) };
        let middle = low.0 + (high.0 - low.0) * share;
        if middle <= low.0 || middle >= high.0 || high.0 - low.0 <= CLOSE * high.0 {
            break;
        }
        let at = f(middle);
        if at <= 0.0 { low = (middle, at) } else { high = (middle, at) }
    }
    low.0
}

/// The chance of more than `x` of `n`, and half of that of `x`.
fn above(t: f64, x: f64, n: f64) -> f64 {
    let more = if n - x > 0.0 { incomplete_beta(t, x + 1.0, n - x) } else { 0.0 };
    f64::midpoint(incomplete_beta(t, x, n - x + 1.0), more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binomial::binomial_cdf;

    const Z: f64 = 1.959_963_984_540_054;

    fn counted(count: u64, n: u64) -> Point {
        let p = count as f64 / n as f64;
        let spread = p * (1.0 - p);
        Point { value: p, variance: spread / n as f64, spread, inverse_size: 1.0 / n as f64, residuals: 0.0 }
    }

    /// Newcombe 1998, Statistics in Medicine 17, 857-872, table I, method 6: 81/263, 15/148, 0/20, 1/29.
    #[test]
    fn published_limits() {
        for (count, n, low, high) in
            [(81, 263, 0.2544, 0.3658), (15, 148, 0.0601, 0.1581), (0, 20, 0.0, 0.1391), (1, 29, 0.0017, 0.1585)]
        {
            let found = mid_p(&counted(count, n), Z);
            assert!((found.low - low).abs() < 6e-5 && (found.high - high).abs() < 6e-5, "{count}/{n}: {found:?}");
        }
    }

    #[test]
    fn limits_are_what_they_say() {
        for (count, n) in [(1_u64, 12), (4, 300), (9, 10)] {
            let found = mid_p(&counted(count, n), Z);
            let below = |t: f64| f64::midpoint(binomial_cdf(count, n, t), binomial_cdf(count - 1, n, t));
            assert!((1.0 - below(found.low) - 0.025).abs() < 1e-9 && (below(found.high) - 0.025).abs() < 1e-9);
        }
    }

    #[test]
    fn nothing_is_not_a_number() {
        for z in [0.0, 1.0, 40.0, f64::INFINITY] {
            for (value, inverse_size) in [(0.0, 1e-9), (1.0, 0.3), (0.5, 2.0), (0.2, 0.0), (1e-300, 1e-3)] {
                let spread = value * (1.0 - value);
                let found = mid_p(&Point { value, variance: 0.0, spread, inverse_size, residuals: 0.0 }, z);
                assert!(
                    0.0 <= found.low && found.low <= value && value <= found.high && found.high <= 1.0,
                    "{z} {value} {found:?}"
                );
            }
        }
    }
}
