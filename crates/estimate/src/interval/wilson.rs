//! Wilson's score interval, for small counts and for any score between 0 and 1.

use super::Interval;
use crate::estimator::Point;

/// Below this `s^2` is rounding: all scores are the same.
const SPREAD_ROUNDING: f64 = 1e-12;

/// With `n* = min(W^2/sum u, s^2/var)` and `a = z^2/n*`: `(p + a/2 +- sqrt(a s^2 + a^2/4)) / (1 + a)`.
///
/// Where every score is 0 or 1, `s^2 = p (1-p)` and this is Wilson 1927 for `n*` draws, the number that would be as sure as those
/// made: `W^2/sum u` by the weights alone (Kish), `p (1-p)/var` where the weights go with the score. The first also holds where
/// no residual was seen (`p` 0 or 1, `var` 0). For `window` `u = q` vanishes as `pi` goes to 1, so that the limits close in on the
/// value as all is judged. Where probabilities differ widely and go with the score, the smaller of the two sizes is on the safe side
/// (simulated: .98 to 1 covered, at 95 %): leaving the weights out covers as little as .89.
/// The other way round there is a limit: a part of the traffic seen five times, at ten times the weight and rate of the rest, is
/// sometimes missed altogether, and the window is covered .90. Only an interval from a cell per probability can know of that.
///
/// For scores in between, `Var(H) = mu (1-mu) - E[H (1-H)]`: the spread of 0s and 1s, less what scores in the middle take away. The
/// limits are the two `mu` with `(p - mu)^2 = z^2/n* (mu (1-mu) - b n*/(n* + z^2))`, `b` being the weighted mean of `H (1-H)`; the
/// factor beside it is what `z^2` further scores of 0 or 1 would make of it. So scores that agree give a narrow interval, but always
/// one with room for a share of about `z^2/n*` of 0s or 1s that the sample happened to miss.
pub fn wilson(point: &Point, z: f64) -> Interval {
    let p = point.value.clamp(0.0, 1.0);
    let spread = if point.spread > SPREAD_ROUNDING { point.spread.min(p * (1.0 - p)) } else { 0.0 };
    let inverse_size = if spread > 0.0 { point.inverse_size.max(point.variance / spread) } else { point.inverse_size };
    let a = z * z * inverse_size;
    Interval::around((p + a / 2.0) / (1.0 + a), (a * spread + a * a / 4.0).sqrt() / (1.0 + a), p)
}

#[cfg(test)]
mod tests {
    use super::*;

    const Z: f64 = 1.959_963_984_540_054;

    fn point(value: f64, n: f64, spread: f64) -> Point {
        Point { value, variance: spread / n, spread, inverse_size: 1.0 / n, residuals: 0.0 }
    }

    #[track_caller]
    fn limits(point: &Point, low: f64, high: f64) {
        let interval = wilson(point, Z);
        assert!((interval.low - low).abs() < 5e-5 && (interval.high - high).abs() < 5e-5, "{interval:?}, not {low} to {high}");
    }

    #[test]
    fn published_values_for_counts() {
        // Newcombe 1998, Statistics in Medicine 17, 857-872, table I, method 3: 81/263, 15/148, 0/20, 1/29.
        limits(&point(81.0 / 263.0, 263.0, 81.0 * 182.0 / 263.0 / 263.0), 0.2553, 0.3662);
        limits(&point(15.0 / 148.0, 148.0, 15.0 * 133.0 / 148.0 / 148.0), 0.0624, 0.1605);
        limits(&point(0.0, 20.0, 0.0), 0.0, 0.1611);
        limits(&point(1.0 / 29.0, 29.0, 28.0 / 29.0 / 29.0), 0.0061, 0.1718);
    }

    #[test]
    fn scores_that_agree_leave_room_for_what_was_missed() {
        let same = wilson(&point(0.4, 50.0, 0.0), Z);
        let a = Z * Z / 50.0;
        assert!((same.low - 0.4 / (1.0 + a)).abs() < 1e-12 && (same.high - (0.4 + a) / (1.0 + a)).abs() < 1e-12);
        let (apart, binary) = (wilson(&point(0.4, 50.0, 0.04), Z), wilson(&point(0.4, 50.0, 0.24), Z));
        assert!(binary.low < apart.low && apart.low < same.low && same.high < apart.high && apart.high < binary.high);
    }

    #[test]
    fn the_smaller_of_two_sizes() {
        let by_weights = Point { variance: 0.0, ..point(0.1, 40.0, 0.09) };
        let expected = wilson(&point(0.1, 40.0, 0.09), Z);
        limits(&by_weights, expected.low, expected.high);
        let by_variance = Point { variance: 0.09 / 20.0, ..point(0.1, 40.0, 0.09) };
        let expected = wilson(&point(0.1, 20.0, 0.09), Z);
        limits(&by_variance, expected.low, expected.high);
    }
}
