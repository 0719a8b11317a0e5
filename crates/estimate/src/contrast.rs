//! The difference between two groups or periods.

use crate::binomial::boundary;
use crate::fit::Shape;
use crate::interval::{Spread, mover};
use crate::student::{tail, two_sided_tail};
use crate::{EstimateError, Fit, Interval, IntervalKind};

/// A difference with its interval: `-1 <= low <= value <= high <= 1`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contrast {
    /// The second less the first.
    pub value: f64,
    /// Lower limit.
    pub low: f64,
    /// Upper limit.
    pub high: f64,
    /// Level of the interval.
    pub level: f64,
    /// Square root of the estimated variance. 0 does not mean certain; the limits know.
    pub std_error: f64,
    /// How likely a difference at least this large is where there is none: at most `a` in a share of about `a` of all comparisons then. It
    /// is the `a` at which the interval of level `1 - a` reaches 0.
    pub p_value: f64,
    /// How the limits were computed: normal or Student's, or (`Wilson`) from those of both sides.
    pub interval: IntervalKind,
    /// Degrees of freedom of Student's distribution.
    pub degrees: Option<f64>,
}

/// `b - a`, of groups or periods that have no interaction in common.
///
/// Where both have normal intervals: `b - a +- z sqrt(var_a + var_b)`, with Student's distribution where one of them has it, of
/// `(v_a + v_b)^2/(v_a^2/f_a + v_b^2/f_b)` degrees (Welch 1947, Biometrika 34, 28-35). Else the two intervals are combined by
/// [`mover`]. The two are taken to be independent: conversations with a part in both make them less so, and where these agree within,
/// the interval is too wide rather than too narrow.
///
/// For "did it change", take fits of [`Estimand::Process`](crate::Estimand::Process).
///
/// # Errors
/// [`EstimateError::Level`] for a level that is none.
pub fn contrast(a: &Fit, b: &Fit, level: f64) -> Result<Contrast, EstimateError> {
    EstimateError::level(level)?;
    let value = b.value() - a.value();
    let std_error = (a.variance.max(0.0) + b.variance.max(0.0)).sqrt();
    if let (Some(of_a), Some(of_b)) = (degrees(a), degrees(b)) {
        let degrees = welch([(a.variance, of_a), (b.variance, of_b)]);
        let half = two_sided_tail(1.0 - level, degrees) * std_error;
        let p_value = if value == 0.0 { 1.0 } else { tail(value.abs() / std_error, degrees) };
        let interval = match (degrees, std_error > 0.0) {
            (_, false) => IntervalKind::Census,
            (Some(_), true) => IntervalKind::Student,
            (None, true) => IntervalKind::Normal,
        };
        let apart = Interval { low: -half, high: half };
        return Ok(contrasted(value, apart, level, std_error, p_value, interval, degrees));
    }
    let apart = |tail: f64| {
        let spread = |weight: f64, fit: &Fit| {
            let (value, limits) = (fit.value(), fit.beyond(tail));
            Spread { weight, below: (value - limits.low).max(0.0), above: (limits.high - value).max(0.0) }
        };
        mover([spread(-1.0, a), spread(1.0, b)].into_iter())
    };
    // Intervals of a smaller tail lie around those of a larger, so 0 is within up to one.
    let holds_zero = |tail: f64| {
        let apart = apart(tail);
        value + apart.low <= 0.0 && 0.0 <= value + apart.high
    };
    let (p_value, _) = if holds_zero(1.0) { (1.0, 1.0) } else { boundary(holds_zero) };
    Ok(contrasted(value, apart(1.0 - level), level, std_error, p_value, IntervalKind::Wilson, None))
}

fn contrasted(
    value: f64,
    apart: Interval,
    level: f64,
    std_error: f64,
    p_value: f64,
    interval: IntervalKind,
    degrees: Option<f64>,
) -> Contrast {
    let (low, high) = ((value + apart.low).clamp(-1.0, value), (value + apart.high).clamp(value, 1.0));
    Contrast { value, low, high, level, std_error, p_value: p_value.clamp(0.0, 1.0), interval, degrees }
}

/// Degrees of freedom (infinite for the normal distribution) of what has a normal interval, or one without width; `None` for others.
fn degrees(fit: &Fit) -> Option<f64> {
    match (&fit.shape, fit.interval()) {
        (Shape::Normal { degrees }, _) => Some(degrees.unwrap_or(f64::INFINITY)),
        (_, IntervalKind::Census) => Some(f64::INFINITY),
        _ => None,
    }
}

fn welch(parts: [(f64, f64); 2]) -> Option<f64> {
    let sum: f64 = parts.iter().map(|(variance, _)| variance).sum();
    let squares: f64 = parts.iter().map(|(variance, degrees)| variance * variance / degrees).sum();
    (squares > 0.0).then(|| sum * sum / squares)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bucket, Estimand, Item, Options, fit};

    fn rate(pi: f64, count: u64, n: u64, undrawn: u64, estimand: Estimand) -> Fit {
        let mut bucket = Bucket::default();
        let item = Item { probability: pi, drawn: true, free: 0.0, reference: None };
        (0..n).for_each(|i| bucket.push(Item { reference: Some(f64::from(u8::from(i < count))), ..item }));
        (0..undrawn).for_each(|_| bucket.push(Item { drawn: false, ..item }));
        fit(&[bucket], &Options { estimand, ..Options::default() }).unwrap().unwrap()
    }

    #[test]
    fn normal_sides_give_the_normal_test() {
        let (a, b) = (rate(1.0, 300, 1000, 0, Estimand::Process), rate(1.0, 350, 1000, 0, Estimand::Process));
        let found = contrast(&a, &b, 0.95).unwrap();
        let se = (0.21_f64 / 999.0 + 0.2275 / 999.0).sqrt();
        assert!((found.value - 0.05).abs() < 1e-12 && (found.std_error - se).abs() < 1e-12);
        assert!((found.low - (0.05 - 1.959_964 * se)).abs() < 1e-7 && found.interval == IntervalKind::Normal);
        // z = 2.3893
        assert!((found.p_value - 0.016_88).abs() < 1e-4, "{}", found.p_value);
        let other = contrast(&b, &a, 0.95).unwrap();
        assert!((other.value + found.value).abs() < 1e-15 && (other.p_value - found.p_value).abs() < 1e-12);
    }

    /// Newcombe 1998, table II, method 10: 5/56 - 0/29 is from -.0381 to .1926.
    #[test]
    fn small_counts_give_newcombe() {
        let (a, b) = (rate(1.0, 0, 29, 0, Estimand::Process), rate(1.0, 5, 56, 0, Estimand::Process));
        let found = contrast(&a, &b, 0.95).unwrap();
        assert!((found.low + 0.0381).abs() < 6e-5 && (found.high - 0.1926).abs() < 6e-5, "{found:?}");
        assert!(found.interval == IntervalKind::Wilson && found.p_value > 0.05 && found.p_value < 0.3, "{found:?}");
    }

    #[test]
    fn the_p_value_is_where_the_interval_reaches_zero() {
        for (a, b) in [
            (rate(0.5, 2, 100, 100, Estimand::Window), rate(0.5, 12, 100, 90, Estimand::Window)),
            (rate(0.1, 400, 1000, 9000, Estimand::Window), rate(0.5, 5, 90, 100, Estimand::Process)),
            (rate(0.1, 400, 1000, 9000, Estimand::Window), rate(0.2, 450, 1000, 4000, Estimand::Process)),
        ] {
            let p = contrast(&a, &b, 0.95).unwrap().p_value;
            assert!(p > 0.0 && p < 0.05);
            let at = contrast(&a, &b, 1.0 - p).unwrap();
            assert!(at.low.abs() < 1e-6 || at.high.abs() < 1e-6, "{p} {at:?}");
        }
    }

    #[test]
    fn no_difference_and_no_doubt() {
        let (a, b) = (rate(1.0, 3, 10, 0, Estimand::Window), rate(1.0, 4, 10, 0, Estimand::Window));
        let same = contrast(&a, &a, 0.95).unwrap();
        assert_eq!((same.value, same.low, same.high, same.p_value), (0.0, 0.0, 0.0, 1.0));
        let apart = contrast(&a, &b, 0.95).unwrap();
        assert_eq!((apart.p_value, apart.interval, apart.low == apart.high), (0.0, IntervalKind::Census, true));
        assert!(contrast(&a, &b, 1.0).is_err());
    }
}
