//! Comparing across a change of the judge's version, by a bridge: a random sample that both versions judged.
//!
//! Versions are never pooled. What the change alone did is estimated from the pairs of the bridge and taken out of the difference between
//! the periods; without enough pairs the comparison is refused.

use std::fmt;

use crate::estimator::Point;
use crate::interval::{RESIDUALS_MIN, wilson};
use crate::quantile::two_sided;
use crate::{Estimate, EstimateError, Interval, IntervalKind};

/// With fewer pairs there is no comparison.
pub const PAIRS_MIN: usize = 30;

/// One interaction, judged by both versions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// Score of the old version, in [0, 1].
    pub old: f64,
    /// Score of the new version, in [0, 1].
    pub new: f64,
    /// The recorded probability that it was drawn for the bridge with, in (0, 1].
    pub probability: f64,
}

/// A difference with its limits, `-1 <= low <= value <= high <= 1`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// The difference, new less old.
    pub value: f64,
    /// Lower limit.
    pub low: f64,
    /// Upper limit.
    pub high: f64,
    /// Level of the limits.
    pub level: f64,
    /// Square root of the estimated variance. 0 does not mean certain; the limits know.
    pub std_error: f64,
}

/// What the change of the version does to scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bridge {
    /// Mean of new less old score.
    pub shift: Difference,
    /// Pairs behind it.
    pub pairs: usize,
    /// How its limits were computed: normal, or Wilson's where few scores differ.
    pub interval: IntervalKind,
}

/// A value of one period, under one version.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Side {
    /// The value.
    pub value: f64,
    /// Its lower limit.
    pub low: f64,
    /// Its upper limit.
    pub high: f64,
    /// Level of the limits.
    pub level: f64,
    /// Its standard error.
    pub std_error: f64,
}

impl From<&Estimate> for Side {
    fn from(estimate: &Estimate) -> Self {
        let Estimate { value, low, high, level, std_error, .. } = *estimate;
        Self { value, low, high, level, std_error }
    }
}

/// Why periods are not compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Refusal {
    /// The versions differ and nothing was judged by both.
    NoBridge,
    /// Too few pairs.
    FewPairs {
        /// How many there are.
        pairs: usize,
        /// How many there have to be.
        needed: usize,
    },
    /// The intervals are not of one level.
    Levels,
    /// Something given cannot be right.
    Invalid(EstimateError),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBridge => write!(
                f,
                "the judge's version changed and no interaction was judged by both versions; judge a random sample by both, or compare \
                 within one version"
            ),
            Self::FewPairs { pairs, needed } => write!(
                f,
                "the judge's version changed and only {pairs} interactions were judged by both versions; {needed} are needed"
            ),
            Self::Levels => write!(f, "the intervals have different levels; compute all of them at one level"),
            Self::Invalid(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Refusal {}

impl From<EstimateError> for Refusal {
    fn from(error: EstimateError) -> Self {
        Self::Invalid(error)
    }
}

/// The mean difference over the pairs, for the process that they come from: with `d = new - old`, `w = 1/pi`,
/// `shift = sum w d / W`, `var = n/(n-1) sum w^2 (d - shift)^2 / W^2` (Hajek).
///
/// The limits are normal for 30 residuals `v = w^2 (d - shift)^2` or more, `(sum v)^2/sum v^2`; with fewer they come from
/// Wilson's for rises and for falls, which leave room for differences that the sample happened to miss.
///
/// # Errors
/// [`Refusal::NoBridge`] without pairs, [`Refusal::FewPairs`] below [`PAIRS_MIN`], [`Refusal::Invalid`] for a score, probability or level
/// that is none.
pub fn bridge(pairs: &[Pair], level: f64) -> Result<Bridge, Refusal> {
    EstimateError::level(level)?;
    for (index, pair) in pairs.iter().enumerate() {
        EstimateError::probability(index, pair.probability)?;
        if [pair.old, pair.new].iter().any(|score| !(0.0..=1.0).contains(score)) {
            return Err(EstimateError::Row { index, problem: "its score is not from 0 to 1" }.into());
        }
    }
    match pairs.len() {
        0 => return Err(Refusal::NoBridge),
        count if count < PAIRS_MIN => return Err(Refusal::FewPairs { pairs: count, needed: PAIRS_MIN }),
        _ => {}
    }
    let n = pairs.len() as f64;
    let total: f64 = pairs.iter().map(|pair| 1.0 / pair.probability).sum();
    // Shares of the weight, so that no square can overflow.
    let rows: Vec<(f64, f64)> = pairs.iter().map(|pair| (1.0 / pair.probability / total, pair.new - pair.old)).collect();
    let value = rows.iter().map(|(share, d)| share * d).sum::<f64>().clamp(-1.0, 1.0);
    let residuals = || rows.iter().map(|(share, d)| (share * (d - value)).powi(2));
    let squares: f64 = residuals().sum();
    let fourth: f64 = residuals().map(|v| v * v).sum();
    let std_error = (squares * n / (n - 1.0)).sqrt();
    let z = two_sided(level);
    let (limits, interval) = if fourth > 0.0 && squares / fourth * squares >= RESIDUALS_MIN {
        (Interval { low: value - z * std_error, high: value + z * std_error }, IntervalKind::Normal)
    } else {
        (few(&rows, z), IntervalKind::Wilson)
    };
    let (low, high) = (limits.low.clamp(-1.0, value), limits.high.clamp(value, 1.0));
    Ok(Bridge { shift: Difference { value, low, high, level, std_error }, pairs: pairs.len(), interval })
}

/// Limits where few scores differ: those of the mean rise `u`, the mean of `max(d, 0)`, and of the mean fall `v`, each Wilson's, combined to
/// limits of `u - v` by MOVER with the correlation of the two (Newcombe 1998, Statistics in Medicine 17, 2635-2650, method 10).
fn few(rows: &[(f64, f64)], z: f64) -> Interval {
    let moved = |sign: f64| -> Vec<(f64, f64)> { rows.iter().map(|(share, d)| (*share, (sign * d).max(0.0))).collect() };
    let (rises, falls) = (moved(1.0), moved(-1.0));
    let (rise, fall) = (mean(&rises), mean(&falls));
    let (up, down) = (wilson(&rise, z), wilson(&fall, z));
    let both: f64 =
        rises.iter().zip(&falls).map(|((share, u), (_, v))| share * share * (u - rise.value) * (v - fall.value)).sum();
    let scale = (rise.variance * fall.variance).sqrt();
    let correlation = if scale > 0.0 { (both / scale).clamp(-1.0, 1.0) } else { 0.0 };
    let half = |a: f64, b: f64| (a * a + b * b - 2.0 * correlation * a * b).max(0.0).sqrt();
    let value = rise.value - fall.value;
    Interval {
        low: value - half(rise.value - up.low, down.high - fall.value),
        high: value + half(up.high - rise.value, fall.value - down.low),
    }
}

/// The Hajek mean of rows of share of the weight and score.
fn mean(rows: &[(f64, f64)]) -> Point {
    let value = rows.iter().map(|(share, x)| share * x).sum::<f64>().clamp(0.0, 1.0);
    Point {
        value,
        variance: rows.iter().map(|(share, x)| (share * (x - value)).powi(2)).sum(),
        spread: rows.iter().map(|(share, x)| share * (x - value).powi(2)).sum(),
        inverse_size: rows.iter().map(|(share, _)| share * share).sum(),
        residuals: 0.0,
    }
}

/// What changed between two periods that were judged by different versions, the change of the version taken out:
/// `new - old - shift`, `se^2 = se_new^2 + se_old^2 + se_shift^2`; the limits combine those of the three by MOVER (Zou, Donner 2008), which
/// is `+- z se` where all three are normal.
///
/// Take the values for the estimand `process`. The three are taken to be independent. Where the bridge was drawn from one of the two
/// periods, its pairs share items with that period's value; the limits are then too wide rather than too narrow, as long as scores
/// of the two versions rise together.
///
/// # Errors
/// As [`bridge`]; [`Refusal::Levels`] where the levels of the two values differ.
pub fn compare(old: &Side, new: &Side, pairs: &[Pair]) -> Result<Difference, Refusal> {
    if old.level != new.level {
        return Err(Refusal::Levels);
    }
    apart(old, new, &bridge(pairs, old.level)?.shift)
}

/// What changed between two periods that were judged by one version: `new - old`, with limits as [`compare`] has them.
///
/// # Errors
/// [`Refusal::Levels`] where the levels of the two values differ; [`Refusal::Invalid`] for what is no value.
pub fn difference(old: &Side, new: &Side) -> Result<Difference, Refusal> {
    if old.level != new.level {
        return Err(Refusal::Levels);
    }
    apart(old, new, &Difference { value: 0.0, low: 0.0, high: 0.0, level: old.level, std_error: 0.0 })
}

fn apart(old: &Side, new: &Side, shift: &Difference) -> Result<Difference, Refusal> {
    let parts = [old, new].into_iter().flat_map(|side| [side.value, side.low, side.high, side.std_error]);
    if parts.into_iter().any(|part| !(0.0..=1.0).contains(&part)) {
        return Err(EstimateError::Setting { name: "value", value: f64::NAN, allowed: "values and limits from 0 to 1" }.into());
    }
    let value = new.value - old.value - shift.value;
    let root = |parts: [f64; 3]| parts.iter().map(|part| part * part).sum::<f64>().sqrt();
    let below = root([new.value - new.low, old.high - old.value, shift.high - shift.value]);
    let above = root([new.high - new.value, old.value - old.low, shift.value - shift.low]);
    let value = value.clamp(-1.0, 1.0);
    Ok(Difference {
        value,
        low: (value - below).clamp(-1.0, value),
        high: (value + above).clamp(value, 1.0),
        level: old.level,
        std_error: root([new.std_error, old.std_error, shift.std_error]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const Z: f64 = 1.959_963_984_540_054;

    fn side(value: f64, std_error: f64) -> Side {
        Side { value, low: value - Z * std_error, high: value + Z * std_error, level: 0.95, std_error }
    }

    /// Graded scores, the new ones higher by 0.1 and something that sums to nearly nothing.
    fn pairs(n: u32) -> Vec<Pair> {
        (0..n)
            .map(|i| {
                let noise = (f64::from(i) * 0.618_033_988_749_894_9).fract() - 0.5;
                let probability = if i % 2 == 0 { 0.5 } else { 0.1 };
                Pair { old: 0.4, new: 0.5 + 0.2 * noise, probability }
            })
            .collect()
    }

    #[test]
    fn the_equations() {
        let pairs = pairs(300);
        let total: f64 = pairs.iter().map(|pair| 1.0 / pair.probability).sum();
        let shift = pairs.iter().map(|pair| (pair.new - pair.old) / pair.probability).sum::<f64>() / total;
        let squares = pairs.iter().map(|pair| ((pair.new - pair.old - shift) / pair.probability).powi(2)).sum::<f64>();
        let variance = 300.0 / 299.0 * squares / total / total;
        let found = bridge(&pairs, 0.95).unwrap();
        assert_eq!((found.pairs, found.interval), (300, IntervalKind::Normal));
        assert!((found.shift.value - shift).abs() < 1e-12 && (found.shift.std_error - variance.sqrt()).abs() < 1e-12);
        assert!((found.shift.high - shift - Z * variance.sqrt()).abs() < 1e-12);
        // All parts normal: the propagated standard error, either side.
        let difference = compare(&side(0.3, 0.01), &side(0.45, 0.02), &pairs).unwrap();
        let se = (0.0001 + 0.0004 + variance).sqrt();
        assert!((difference.value - (0.15 - shift)).abs() < 1e-12 && (difference.std_error - se).abs() < 1e-12);
        assert!((difference.high - difference.value - Z * se).abs() < 1e-9);
        assert!((difference.value - difference.low - Z * se).abs() < 1e-9);
    }

    #[test]
    fn one_version_needs_no_bridge() {
        let found = difference(&side(0.3, 0.01), &side(0.45, 0.02)).unwrap();
        let se = 0.0005_f64.sqrt();
        assert!((found.value - 0.15).abs() < 1e-12 && (found.std_error - se).abs() < 1e-12);
        assert!((found.high - found.value - Z * se).abs() < 1e-9 && (found.value - found.low - Z * se).abs() < 1e-9);
        assert_eq!(difference(&side(0.3, 0.01), &Side { level: 0.9, ..side(0.3, 0.01) }), Err(Refusal::Levels));
    }

    #[test]
    fn equal_weights_are_the_mean_and_its_standard_error() {
        let pairs: Vec<Pair> = pairs(100).iter().map(|pair| Pair { probability: 0.25, ..*pair }).collect();
        let d: Vec<f64> = pairs.iter().map(|pair| pair.new - pair.old).collect();
        let mean = d.iter().sum::<f64>() / 100.0;
        let sd = (d.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / 99.0).sqrt();
        let shift = bridge(&pairs, 0.95).unwrap().shift;
        assert!((shift.value - mean).abs() < 1e-12 && (shift.std_error - sd / 10.0).abs() < 1e-12);
    }

    #[test]
    fn versions_that_always_agree_are_not_proved_equal() {
        let pairs = vec![Pair { old: 1.0, new: 1.0, probability: 0.1 }; 300];
        let found = bridge(&pairs, 0.95).unwrap();
        assert_eq!((found.shift.value, found.shift.std_error, found.interval), (0.0, 0.0, IntervalKind::Wilson));
        // z^2/n = .0128 may have been missed on either side.
        let a = Z * Z / 300.0;
        assert!((found.shift.high - a / (1.0 + a)).abs() < 1e-9 && (found.shift.low + a / (1.0 + a)).abs() < 1e-9);
        let difference = compare(&side(0.3, 0.0), &side(0.3, 0.0), &pairs).unwrap();
        assert!(difference.high > 0.012 && difference.low < -0.012, "{difference:?}");
    }

    #[test]
    fn refuses() {
        assert_eq!(bridge(&[], 0.95), Err(Refusal::NoBridge));
        assert_eq!(compare(&side(0.3, 0.01), &side(0.3, 0.01), &[]), Err(Refusal::NoBridge));
        assert_eq!(bridge(&pairs(29), 0.95), Err(Refusal::FewPairs { pairs: 29, needed: 30 }));
        assert!(bridge(&pairs(30), 0.95).is_ok());
        let other = Side { level: 0.9, ..side(0.3, 0.01) };
        assert_eq!(compare(&other, &side(0.3, 0.01), &pairs(60)), Err(Refusal::Levels));
        for bad in [
            Pair { old: f64::NAN, new: 0.5, probability: 0.5 },
            Pair { old: 0.5, new: 1.5, probability: 0.5 },
            Pair { old: 0.5, new: 0.5, probability: 0.0 },
        ] {
            let mut all = pairs(60);
            all.push(bad);
            assert!(matches!(bridge(&all, 0.95), Err(Refusal::Invalid(EstimateError::Row { index: 60, .. }))), "{bad:?}");
        }
        assert!(bridge(&pairs(60), 1.5).is_err());
        let broken = Side { value: f64::NAN, ..side(0.3, 0.01) };
        assert!(matches!(compare(&broken, &side(0.3, 0.01), &pairs(60)), Err(Refusal::Invalid(_))));
        assert!(Refusal::NoBridge.to_string().contains("judge a random sample by both"));
    }
}
