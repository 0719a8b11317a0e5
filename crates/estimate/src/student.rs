//! Tails of the normal distribution and of Student's, and the quantiles that leave them.

use crate::binomial::{boundary, incomplete_beta};
use crate::quantile::normal_quantile;

/// The `z` beyond which, on both sides together, lies `tail`, in (0, 1]: of the normal distribution, or of Student's with `degrees` of
/// freedom.
pub(crate) fn two_sided_tail(tail: f64, degrees: Option<f64>) -> f64 {
    let Some(degrees) = degrees else { return -normal_quantile(tail / 2.0) };
    // P(|T| > t) = I_x(degrees/2, 1/2) with x = degrees/(degrees + t^2) (DLMF 8.17, Abramowitz and Stegun 26.7.1).
    let (x, _) = boundary(|x| incomplete_beta(x, degrees / 2.0, 0.5) <= tail);
    if x > 0.0 { (degrees * (1.0 - x) / x).max(0.0).sqrt() } else { f64::INFINITY }
}

/// The chance of lying `distance` or more from the middle, to either side.
pub(crate) fn tail(distance: f64, degrees: Option<f64>) -> f64 {
    match degrees {
        Some(degrees) => incomplete_beta(degrees / (degrees + distance * distance), degrees / 2.0, 0.5),
        None => complementary_error(distance.abs() / std::f64::consts::SQRT_2),
    }
}

/// `erfc(x) = 2 P(Z > x sqrt(2))` for `x >= 0`: the series of DLMF 7.6.2 below 2, the continued fraction of DLMF 7.9.2 above. Accurate to
/// about 1e-14.
fn complementary_error(x: f64) -> f64 {
    if x.is_nan() {
        return f64::NAN;
    }
    let factor = (-x * x).exp() / std::f64::consts::PI.sqrt();
    if x < 2.0 {
        // erf x = 2/sqrt(pi) e^(-x^2) sum 2^n x^(2n+1)/(1 3 .. (2n+1))
        let (mut term, mut sum) = (x, x);
        for n in 1..=100 {
            term *= 2.0 * x * x / f64::from(2 * n + 1);
            sum += term;
        }
        return (1.0 - 2.0 * factor * sum).clamp(0.0, 1.0);
    }
    let mut fraction = 0.0;
    for n in (1..=120).rev() {
        fraction = f64::from(n) / 2.0 / (x + fraction);
    }
    factor / (x + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // Tables of Student's distribution.
        for (degrees, level, t) in
            [(1.0, 0.95, 12.706_204_736), (5.0, 0.99, 4.032_142_984), (63.0, 0.95, 1.998_340_543), (30.0, 0.9, 1.697_260_887)]
        {
            let got = two_sided_tail(1.0 - level, Some(degrees));
            assert!((got - t).abs() < 1e-7, "{degrees} {level}: {got}, not {t}");
            assert!((tail(got, Some(degrees)) - (1.0 - level)).abs() < 1e-10);
        }
        // DLMF 7: erfc(1) and erfc(3).
        assert!((complementary_error(1.0) - 0.157_299_207_050_285_13).abs() < 1e-14);
        assert!((complementary_error(3.0) / 2.209_049_699_858_544e-5 - 1.0).abs() < 1e-12);
    }

    #[test]
    fn tails_and_quantiles_undo_each_other() {
        for share in [1.0, 0.9, 0.5, 0.05, 1e-3, 1e-6, 1e-12, 1e-60] {
            let z = two_sided_tail(share, None);
            assert!((tail(z, None) / share - 1.0).abs() < 1e-9, "{share}: {z} {}", tail(z, None));
            let t = two_sided_tail(share, Some(63.0));
            assert!((tail(t, Some(63.0)) / share - 1.0).abs() < 1e-6 && t >= z, "{share}: {t}");
        }
        assert_eq!((tail(0.0, None), tail(0.0, Some(5.0))), (1.0, 1.0));
        assert_eq!(tail(f64::INFINITY, None), 0.0);
    }
}
