//! What the sums over verdicts so far say of correlation and spread.

use crate::quantile::two_sided;
use crate::{EstimateError, Interval};

/// Weighted variance of `H`, variance of `g` and covariance from sums of `w` times `1, g, H, g^2, gH, H^2`.
fn moments(w: &[f64; 6]) -> Option<[f64; 3]> {
    let [total, g, h, gg, gh, hh] = *w;
    if !total.is_finite() || total <= 0.0 {
        return None;
    }
    let (g, h) = (g / total, h / total);
    let found = [hh / total - h * h, gg / total - g * g, gh / total - g * h];
    found.iter().all(|value| value.is_finite()).then_some(found)
}

/// Standard deviation of the reference score, from sums over the judged of `w` times `1, g, H, g^2, gH, H^2`; `None` without any.
pub fn spread(w: &[f64; 6]) -> Option<f64> {
    moments(w).map(|[h, ..]| h.max(0.0).sqrt())
}

/// Correlation of the free and the reference score in the traffic, within [-1, 1], from the same sums; `None` where one of them does not
/// vary.
pub fn correlation(w: &[f64; 6]) -> Option<f64> {
    let [h, g, both] = moments(w)?;
    // Below this what is left of the squares is rounding.
    let varies = |variance: f64| variance > 1e-12;
    (varies(h) && varies(g)).then(|| (both / (h * g).sqrt()).clamp(-1.0, 1.0))
}

/// Limits of a correlation that was estimated from `n` pairs: Fisher 1921, `atanh(rho) +- z / sqrt(n - 3)`. For pairs of unequal weight `n` is
/// the effective number, `(sum w)^2 / sum w^2`. All of [-1, 1] for fewer than 4.
///
/// # Errors
/// [`EstimateError::Level`] where `level` does not lie strictly between 0 and 1.
pub fn correlation_interval(rho: f64, n: f64, level: f64) -> Result<Interval, EstimateError> {
    EstimateError::level(level)?;
    if n.is_nan() || n <= 3.0 || rho.is_nan() {
        return Ok(Interval { low: -1.0, high: 1.0 });
    }
    let (center, half_width) = (rho.clamp(-1.0, 1.0).atanh(), two_sided(level) / (n - 3.0).sqrt());
    Ok(Interval { low: (center - half_width).tanh(), high: (center + half_width).tanh() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(rows: &[(f64, f64, f64)]) -> [f64; 6] {
        let mut sums = [0.0; 6];
        for &(w, g, h) in rows {
            sums.iter_mut().zip([1.0, g, h, g * g, g * h, h * h]).for_each(|(sum, x)| *sum += w * x);
        }
        sums
    }

    #[test]
    fn weights_stand_for_what_was_not_judged() {
        // One of ten with weight 10 is ten.
        let weighted = sums(&[(10.0, 0.0, 0.0), (1.0, 1.0, 1.0), (1.0, 1.0, 0.0)]);
        let all: Vec<(f64, f64, f64)> = [vec![(1.0, 0.0, 0.0); 10], vec![(1.0, 1.0, 1.0), (1.0, 1.0, 0.0)]].concat();
        let (weighted, all) = (correlation(&weighted).unwrap(), correlation(&sums(&all)).unwrap());
        assert!((weighted - all).abs() < 1e-12 && (all - 0.6742).abs() < 1e-3, "{all}");
        assert!((spread(&sums(&[(1.0, 0.0, 0.0), (1.0, 0.0, 1.0)])).unwrap() - 0.5).abs() < 1e-12);
    }

    #[test]
    fn nothing_is_made_of_nothing() {
        assert_eq!((correlation(&[0.0; 6]), spread(&[0.0; 6])), (None, None));
        assert_eq!(correlation(&sums(&[(1.0, 0.5, 0.0), (1.0, 0.5, 1.0)])), None);
        assert_eq!(correlation(&[f64::NAN; 6]), None);
        assert_eq!(correlation_interval(0.5, 3.0, 0.95).unwrap(), Interval { low: -1.0, high: 1.0 });
    }

    #[test]
    fn limits_are_fishers() {
        let Interval { low, high } = correlation_interval(0.5, 103.0, 0.95).unwrap();
        assert!((low - 0.3384).abs() < 1e-3 && (high - 0.6329).abs() < 1e-3, "{low} {high}");
        assert!(correlation_interval(0.5, 100.0, 1.0).is_err());
        let certain = correlation_interval(1.0, 100.0, 0.95).unwrap();
        assert_eq!((certain.low, certain.high), (1.0, 1.0));
    }
}
