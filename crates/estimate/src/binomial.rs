//! Exact limits for a share that was counted, after Clopper and Pearson, by way of the regularised incomplete beta function.

use crate::Interval;

/// More steps than a continued fraction needs for any count below 10^9; a bound on the time spent on others.
const STEPS_MAX: u32 = 100_000;
/// From here on Stirling's series has all digits.
const STIRLING_MIN: f64 = 16.0;
/// Halvings of an interval until its ends are neighbours, with room for very small numbers.
const HALVINGS_MAX: u32 = 300;

/// The regularised incomplete beta function `I_x(a, b)` for `a, b > 0` and `x` in [0, 1]; NaN outside.
///
/// By the continued fraction of NIST's *Digital Library of Mathematical Functions*, 8.17.22, evaluated by Lentz's method, on the side
/// of the mean where it is short. Relative accuracy about 1e-13 for parameters up to 10^6.
pub fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    incomplete_beta_of(x, 1.0 - x, a, b)
}

/// [`incomplete_beta`] of `x`, given `y = 1 - x` with all its digits.
fn incomplete_beta_of(x: f64, y: f64, a: f64, b: f64) -> f64 {
    let parameters = 0.0 < a && a.is_finite() && 0.0 < b && b.is_finite();
    if !parameters || !(0.0..=1.0).contains(&x) || !(0.0..=1.0).contains(&y) {
        f64::NAN
    } else if x == 0.0 {
        0.0
    } else if y == 0.0 {
        1.0
    } else if x * (a + b + 2.0) <= a + 1.0 {
        (density_factor(x, y, a, b) * fraction(x, a, b) / a).clamp(0.0, 1.0)
    } else {
        (1.0 - density_factor(x, y, a, b) * fraction(y, b, a) / b).clamp(0.0, 1.0)
    }
}

/// `x^a y^b / B(a, b)`, from `Gamma(z) = sqrt(2 pi / z) (z/e)^z e^correction(z)`, arranged so that large terms do not cancel.
fn density_factor(x: f64, y: f64, a: f64, b: f64) -> f64 {
    let n = a + b;
    // x and y against their means; near the mean the logarithm of the quotient would lose what the difference has.
    let apart = x * b - y * a;
    let logarithm = |value: f64, parameter: f64, difference: f64| {
        let relative = difference / parameter;
        if relative.abs() < 0.5 { relative.ln_1p() } else { (value * n / parameter).ln() }
    };
    let exponent = a * logarithm(x, a, apart) + b * logarithm(y, b, -apart);
    let corrections = correction(n) - correction(a) - correction(b);
    (a * b / (2.0 * std::f64::consts::PI * n)).sqrt() * (exponent + corrections).exp()
}

/// What Stirling's formula for `ln Gamma(z)` leaves out: `1/(12 z) - 1/(360 z^3) + ...` (DLMF 5.11.1).
fn correction(z: f64) -> f64 {
    if z >= STIRLING_MIN {
        let r = 1.0 / (z * z);
        return (1.0 / 12.0 - r * (1.0 / 360.0 - r * (1.0 / 1260.0 - r * (1.0 / 1680.0 - r / 1188.0)))) / z;
    }
    // From Gamma(z + 1) = z Gamma(z).
    correction(z + 1.0) + (z + 0.5) * (1.0 / z).ln_1p() - 1.0
}

/// The continued fraction of DLMF 8.17.22, by the modified method of Lentz (Thompson, Barnett 1986).
fn fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let nonzero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut value, mut c, mut d) = (1.0, 1.0, 0.0);
    for step in 1..=STEPS_MAX {
        let m = f64::from(step / 2);
        let term = if step % 2 == 0 {
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        } else {
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        };
        d = 1.0 / nonzero(1.0 + term * d);
        c = nonzero(1.0 + term / c);
        value *= c * d;
        if (c * d - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    1.0 / value
}

/// `P(X <= count)` for a binomial `X` of `n` trials that succeed with `probability`; NaN for a probability outside [0, 1].
pub fn binomial_cdf(count: u64, n: u64, probability: f64) -> f64 {
    if !(0.0..=1.0).contains(&probability) {
        f64::NAN
    } else if count >= n {
        1.0
    } else {
        incomplete_beta_of(1.0 - probability, probability, (n - count) as f64, count as f64 + 1.0)
    }
}

/// The largest share that `count` of `n` do not speak against: the `p` with `P(X <= count) = delta`, which a true share exceeds in at
/// most `delta` of all samples. 1 where all of `n` were counted, or `n` is 0; NaN for a `delta` outside (0, 1).
///
/// Clopper, Pearson 1934: `BetaInv(1 - delta; count + 1, n - count)`.
pub fn clopper_pearson_upper(count: u64, n: u64, delta: f64) -> f64 {
    if !(delta > 0.0 && delta < 1.0) {
        return f64::NAN;
    }
    if count >= n { 1.0 } else { boundary(|p| binomial_cdf(count, n, p) >= delta).1 }
}

/// The smallest share that `count` of `n` do not speak against: the `p` with `P(X >= count) = delta`. 0 where nothing was counted;
/// NaN for a `delta` outside (0, 1). Counts above `n` are taken for `n`.
pub fn clopper_pearson_lower(count: u64, n: u64, delta: f64) -> f64 {
    if !(delta > 0.0 && delta < 1.0) {
        return f64::NAN;
    }
    let count = count.min(n);
    if count == 0 {
        return 0.0;
    }
    boundary(|p| incomplete_beta(p, count as f64, (n - count) as f64 + 1.0) <= delta).0
}

/// Both limits, each with half of what `level` leaves. The true share lies within in at least `level` of all samples.
pub fn clopper_pearson(count: u64, n: u64, level: f64) -> Interval {
    let delta = (1.0 - level) / 2.0;
    Interval { low: clopper_pearson_lower(count, n, delta), high: clopper_pearson_upper(count, n, delta) }
}

/// Two neighbours in [0, 1], the first of which `holds` accepts and the second not, for a condition that holds up to a point.
pub(crate) fn boundary(holds: impl Fn(f64) -> bool) -> (f64, f64) {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS_MAX {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if holds(middle) { low = middle } else { high = middle }
    }
    (low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn close(got: f64, expected: f64, relative: f64) {
        assert!((got - expected).abs() <= relative * expected.abs(), "{got}, not {expected}");
    }

    #[test]
    fn values_at_forty_digits() {
        // Summed term by term at 40 digits (mpmath 1.3.0), the limits by halving.
        for (x, a, b, expected) in [
            (0.3, 2.0, 5.0, 0.579_825),
            (0.7, 20.0, 5.0, 0.111_075_223_260_922_19),
            (0.05, 3.0, 98.0, 0.881_737_018_814_879_1),
            (0.05, 46.0, 955.0, 0.739_035_682_508_586_3),
            (0.5, 5000.0, 5100.0, 0.840_152_870_812_137_9),
            (0.001, 1001.0, 999000.0, 0.491_590_631_779_224_46),
            (0.02, 100.0, 200.0, 6.570_837_408_068_835e-91),
            (0.999, 60.0, 2.0, 0.998_240_437_956_558_3),
        ] {
            close(incomplete_beta(x, a, b), expected, 1e-11);
        }
        for (count, n, delta, expected) in [
            (0, 45, 0.1, 0.049_881_492_681_856_28),
            (1, 77, 0.1, 0.049_577_360_439_912_36),
            (3, 200, 0.05, 0.038_309_708_498_569_35),
            (50, 1000, 0.025, 0.065_390_487_915_493_65),
            (480, 500, 0.01, 0.977_657_451_786_860_2),
            (20, 100000, 0.05, 0.000_290_607_020_163_990_2),
        ] {
            close(clopper_pearson_upper(count, n, delta), expected, 1e-12);
            close(clopper_pearson_lower(n - count, n, delta), 1.0 - expected, 1e-12);
        }
    }

    #[test]
    fn published_limits() {
        // Newcombe 1998, Statistics in Medicine 17, 857-872, table I, method 5: 81/263, 15/148, 0/20, 1/29.
        for (count, n, low, high) in
            [(81, 263, 0.2527, 0.3676), (15, 148, 0.0578, 0.1617), (0, 20, 0.0, 0.1684), (1, 29, 0.0009, 0.1776)]
        {
            let interval = clopper_pearson(count, n, 0.95);
            assert!((interval.low - low).abs() < 5e-5 && (interval.high - high).abs() < 5e-5, "{count}/{n}: {interval:?}");
        }
    }

    #[test]
    fn closed_forms_where_there_are_some() {
        // None of n: 1 - delta^(1/n). All of n: delta^(1/n).
        for n in [1, 20, 45, 10_000] {
            let root = 0.1_f64.powf(1.0 / n as f64);
            close(clopper_pearson_upper(0, n, 0.1), -(0.1_f64.ln() / n as f64).exp_m1(), 1e-12);
            close(clopper_pearson_lower(n, n, 0.1), root, 1e-12);
        }
        // I_x(a, 1) = x^a, and the symmetry I_x(a, b) = 1 - I_(1-x)(b, a).
        for (x, a, b) in [(0.3, 2.5, 1.0), (0.9, 700.0, 1.0), (1e-5, 0.5, 1.0)] {
            close(incomplete_beta(x, a, b), x.powf(a), 1e-12);
            close(incomplete_beta(1.0 - x, b, a), 1.0 - x.powf(a), 1e-12);
        }
    }

    #[test]
    fn the_sum_of_probabilities() {
        for (n, p) in [(1u64, 0.5_f64), (7, 0.01), (30, 0.3), (60, 0.93)] {
            let (mut sum, mut term) = (0.0, (1.0 - p).powi(n as i32));
            for count in 0..=n {
                sum += term;
                close(binomial_cdf(count, n, p), sum, 1e-11);
                term *= (n - count) as f64 / (count + 1) as f64 * p / (1.0 - p);
            }
        }
    }

    #[test]
    fn limits_are_in_order_and_move_with_the_count() {
        for n in [1u64, 2, 9, 50] {
            let mut before = Interval { low: -1.0, high: -1.0 };
            for count in 0..=n {
                let interval = clopper_pearson(count, n, 0.9);
                let share = count as f64 / n as f64;
                assert!(0.0 <= interval.low && interval.low <= share && share <= interval.high && interval.high <= 1.0);
                assert!(interval.low > before.low && interval.high > before.high || count == n || count == 0, "{count}/{n}");
                assert!(clopper_pearson(count, n, 0.99).high >= interval.high);
                // What the limits mean.
                if count < n {
                    close(binomial_cdf(count, n, interval.high), 0.05, 1e-9);
                }
                if count > 0 {
                    close(1.0 - binomial_cdf(count - 1, n, interval.low), 0.05, 1e-9);
                }
                before = interval;
            }
        }
    }

    #[test]
    fn nothing_panics_and_nonsense_is_not_a_number() {
        assert_eq!((clopper_pearson_upper(0, 0, 0.1), clopper_pearson_lower(0, 0, 0.1)), (1.0, 0.0));
        assert_eq!((clopper_pearson_upper(9, 4, 0.1), binomial_cdf(9, 4, 0.2)), (1.0, 1.0));
        for delta in [0.0, 1.0, f64::NAN, -1.0] {
            assert!(clopper_pearson_upper(1, 5, delta).is_nan() && clopper_pearson_lower(1, 5, delta).is_nan());
        }
        for (x, a, b) in [(-0.1, 1.0, 1.0), (0.5, 0.0, 1.0), (0.5, 1.0, f64::INFINITY), (f64::NAN, 1.0, 1.0)] {
            assert!(incomplete_beta(x, a, b).is_nan());
        }
        assert_eq!((incomplete_beta(0.0, 2.0, 3.0), incomplete_beta(1.0, 2.0, 3.0)), (0.0, 1.0));
        let huge = clopper_pearson_upper(1 << 40, 1 << 50, 0.05);
        assert!((0.0..=1.0).contains(&huge));
    }
}
