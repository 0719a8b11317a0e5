//! Reliability by bins, the expected calibration error, and the Brier score with Murphy's decomposition.

use super::{Scored, check, sorted};
use crate::estimator::Point;
use crate::interval::wilson;
use crate::quantile::two_sided;
use crate::{EstimateError, Interval};

/// More bins than any picture shows.
const BINS_MAX: usize = 1000;

/// Where one bin ends and the next begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Binning {
    /// That many bins of equal width over [0, 1]; the upper end belongs to the next bin, 1 to the last. Empty ones are left out.
    EqualWidth(usize),
    /// That many bins of about equal weight; equal scores are never parted.
    EqualWeight(usize),
}

/// Items of similar score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    /// Lowest score within.
    pub lowest: f64,
    /// Highest score within.
    pub highest: f64,
    /// Items within.
    pub items: usize,
    /// Their share of the weight.
    pub share: f64,
    /// Their mean score.
    pub score: f64,
    /// Their rate of positives: what the mean score should be.
    pub rate: f64,
    /// Lower limit of the rate (Wilson, at the size that the weights leave).
    pub low: f64,
    /// Upper limit of the rate.
    pub high: f64,
}

/// How far scores are the probabilities that they claim to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Reliability {
    /// Bins with items, lowest scores first.
    pub bins: Vec<Bin>,
    /// Expected calibration error: `sum share |rate - score|` over the bins (Naeini, Cooper, Hauskrecht 2015). It rises with the
    /// number of bins by chance alone; compare like with like.
    pub expected_error: f64,
    /// Largest `|rate - score|` of a bin.
    pub largest_error: f64,
    /// Brier score, the mean of `(score - label)^2`: `miscalibration - resolution + uncertainty + within`.
    pub brier: f64,
    /// `sum share (score - rate)^2`; 0 where scores are right.
    pub miscalibration: f64,
    /// `sum share (rate - base rate)^2`; what the scores know.
    pub resolution: f64,
    /// `base rate (1 - base rate)`; the Brier score of knowing the base rate only.
    pub uncertainty: f64,
    /// What differs within bins: 0 where a bin holds equal scores.
    pub within: f64,
}

/// Reliability of scores in [0, 1]; `None` without items.
///
/// The decomposition is Murphy's (1973, *A new vector partition of the probability score*, J. Appl. Meteor. 12, 595-600), made exact for
/// bins of unequal scores by the two terms of Stephenson, Coelho, Jolliffe 2008 (Weather and Forecasting 23, 752-757):
/// `within = mean (score - bin score)^2 - 2 mean (label - bin rate)(score - bin score)`.
///
/// # Errors
/// For a score outside [0, 1], a weight that is none, a level that is none, or no bins or more than 1000.
pub fn reliability(items: &[Scored], binning: Binning, level: f64) -> Result<Option<Reliability>, EstimateError> {
    EstimateError::level(level)?;
    check(items, true)?;
    let (Binning::EqualWidth(count) | Binning::EqualWeight(count)) = binning;
    if !(1..=BINS_MAX).contains(&count) {
        return Err(EstimateError::Setting { name: "bins", value: count as f64, allowed: "a number from 1 to 1000" });
    }
    let items = sorted(items);
    let total: f64 = items.iter().map(|item| item.weight).sum();
    if items.is_empty() {
        return Ok(None);
    }
    let base = items.iter().map(|item| item.weight * item.label()).sum::<f64>() / total;
    let mut found = Reliability {
        bins: Vec::new(),
        expected_error: 0.0,
        largest_error: 0.0,
        brier: items.iter().map(|item| item.weight * (item.score - item.label()).powi(2)).sum::<f64>() / total,
        miscalibration: 0.0,
        resolution: 0.0,
        uncertainty: base * (1.0 - base),
        within: 0.0,
    };
    for part in parts(&items, binning, total) {
        let (bin, within) = bin(part, total, two_sided(level));
        let error = (bin.rate - bin.score).abs();
        found.expected_error += bin.share * error;
        found.largest_error = found.largest_error.max(error);
        found.miscalibration += bin.share * error * error;
        found.resolution += bin.share * (bin.rate - base).powi(2);
        found.within += within;
        found.bins.push(bin);
    }
    Ok(Some(found))
}

/// Sorted items, cut into bins.
fn parts(items: &[Scored], binning: Binning, total: f64) -> Vec<&[Scored]> {
    let mut parts = Vec::new();
    let (mut start, mut before, mut open) = (0, 0.0, 0);
    for (i, item) in items.iter().enumerate() {
        let tied = i > 0 && items[i - 1].score == item.score;
        let place = match binning {
            Binning::EqualWidth(count) => (item.score * count as f64) as usize,
            Binning::EqualWeight(count) => (before / total * count as f64) as usize,
        };
        let (Binning::EqualWidth(count) | Binning::EqualWeight(count)) = binning;
        let place = place.min(count - 1);
        if i == 0 {
            open = place;
        } else if place != open && !tied {
            parts.push(&items[start..i]);
            (start, open) = (i, place);
        }
        before += item.weight;
    }
    parts.push(&items[start..]);
    parts
}

/// A bin, and its part of the term `within`.
fn bin(part: &[Scored], total: f64, z: f64) -> (Bin, f64) {
    let weight: f64 = part.iter().map(|item| item.weight).sum();
    let mean = |of: &dyn Fn(&Scored) -> f64| part.iter().map(|item| item.weight * of(item)).sum::<f64>() / weight;
    let (score, rate) = (mean(&|item| item.score), mean(&|item| item.label()).clamp(0.0, 1.0));
    let within = mean(&|item| (item.score - score).powi(2)) - 2.0 * mean(&|item| (item.label() - rate) * (item.score - score));
    let squares: f64 = part.iter().map(|item| (item.weight * (item.label() - rate)).powi(2)).sum();
    let point = Point {
        value: rate,
        variance: squares / (weight * weight),
        spread: rate * (1.0 - rate),
        inverse_size: part.iter().map(|item| item.weight * item.weight).sum::<f64>() / (weight * weight),
        residuals: 0.0,
    };
    let Interval { low, high } = wilson(&point, z);
    let (lowest, highest) = (part.first().map_or(score, |item| item.score), part.last().map_or(score, |item| item.score));
    (Bin { lowest, highest, items: part.len(), share: weight / total, score, rate, low, high }, within * weight / total)
}

#[cfg(test)]
mod tests {
    use super::super::tests::spread;
    use super::*;

    fn of(items: &[Scored], binning: Binning) -> Reliability {
        reliability(items, binning, 0.95).unwrap().unwrap()
    }

    #[track_caller]
    fn close(got: f64, expected: f64) {
        assert!((got - expected).abs() <= 1e-12, "{got}, not {expected}");
    }

    #[test]
    fn by_hand() {
        // Ten at .2 of which three are positive, ten at .7 of which six are.
        let items: Vec<Scored> =
            (0..20).map(|i| if i < 10 { Scored::new(0.2, i < 3) } else { Scored::new(0.7, i < 16) }).collect();
        for binning in [Binning::EqualWidth(10), Binning::EqualWidth(2), Binning::EqualWeight(2), Binning::EqualWeight(7)] {
            let found = of(&items, binning);
            assert_eq!(found.bins.iter().map(|bin| bin.items).collect::<Vec<_>>(), [10, 10]);
            close(found.bins[0].rate, 0.3);
            close(found.expected_error, 0.1);
            close(found.largest_error, 0.1);
            close(found.brier, (3.0 * 0.64 + 7.0 * 0.04 + 6.0 * 0.09 + 4.0 * 0.49) / 20.0);
            close(found.miscalibration, 0.01);
            close(found.resolution, 0.0225);
            close(found.uncertainty, 0.45 * 0.55);
            close(found.within, 0.0);
            // Wilson for 3 of 10: .1078 to .6032.
            assert!((found.bins[0].low - 0.1078).abs() < 5e-5 && (found.bins[0].high - 0.6032).abs() < 5e-5);
        }
    }

    #[test]
    fn the_decomposition_is_exact_for_any_bins() {
        let items = spread(700, |score, chance| chance < score * score);
        for binning in [Binning::EqualWidth(1), Binning::EqualWidth(10), Binning::EqualWeight(13), Binning::EqualWeight(1000)] {
            let found = of(&items, binning);
            close(found.miscalibration - found.resolution + found.uncertainty + found.within, found.brier);
            close(found.bins.iter().map(|bin| bin.share).sum::<f64>(), 1.0);
            assert_eq!(found.bins.iter().map(|bin| bin.items).sum::<usize>(), 700);
            for bin in &found.bins {
                assert!(bin.lowest <= bin.score + 1e-12 && bin.score <= bin.highest + 1e-12);
                assert!(0.0 <= bin.low && bin.low <= bin.rate && bin.rate <= bin.high && bin.high <= 1.0);
            }
            assert!(found.bins.windows(2).all(|two| two[0].highest < two[1].lowest));
        }
        let equal = of(&items, Binning::EqualWeight(10));
        assert!(equal.bins.len() == 10 && equal.bins.iter().all(|bin| (bin.share - 0.1).abs() < 0.005), "{equal:?}");
    }

    #[test]
    fn right_scores_have_no_error_and_wrong_ones_do() {
        let right = of(&spread(20_000, |score, chance| chance < score), Binning::EqualWidth(10));
        let wrong = of(&spread(20_000, |score, chance| chance < score / 2.0), Binning::EqualWidth(10));
        assert!(right.expected_error < 0.01, "{}", right.expected_error);
        assert!((wrong.expected_error - 0.25).abs() < 0.01, "{}", wrong.expected_error);
    }

    #[test]
    fn ends_and_refusals() {
        let found = of(&[Scored::new(0.0, false), Scored::new(1.0, true)], Binning::EqualWidth(10));
        assert_eq!((found.bins.len(), found.brier, found.expected_error), (2, 0.0, 0.0));
        assert_eq!(reliability(&[], Binning::EqualWidth(10), 0.95), Ok(None));
        for binning in [Binning::EqualWidth(0), Binning::EqualWeight(0), Binning::EqualWeight(1001)] {
            assert!(reliability(&[], binning, 0.95).is_err());
        }
        assert!(reliability(&[Scored::new(1.01, true)], Binning::EqualWidth(10), 0.95).is_err());
        assert!(reliability(&[], Binning::EqualWidth(10), 0.0).is_err());
    }
}
