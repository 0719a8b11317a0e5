//! From which confidence on a judge may be trusted: a threshold with a guarantee.
//!
//! Jung, Brahman, Choi 2024, *Trust or Escalate: LLM Judges with Provable Guarantees for Human Agreement* (arXiv 2407.18370): of future
//! items at or above the threshold, the judge disagrees with the reference on at most a share `alpha`, except with probability `delta`
//! over the calibration items. That holds for items that are exchangeable with the calibration items, and for trusted items only: a rate
//! averaged over trusted verdicts is biased, and comes from weighted audits instead.

mod study;

pub use study::{Clustered, Study, split_study};

use serde::{Deserialize, Serialize};

use crate::EstimateError;
use crate::binomial::{binomial_cdf, clopper_pearson_upper};

/// A calibration item: how sure the judge was, and whether the reference agrees with it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Item {
    /// Any number; higher is surer.
    pub confidence: f64,
    /// Whether judge and reference agree.
    pub agrees: bool,
}

/// An audited item, with the probability that it was drawn with, and a number drawn for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Audit {
    /// What the audit found.
    pub item: Item,
    /// The recorded probability, in (0, 1].
    pub probability: f64,
    /// Uniform in [0, 1), drawn independently of everything else, once for each item.
    pub uniform: f64,
}

/// A threshold that passed, and what speaks for it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Trusted {
    /// Items of this confidence or above are trusted.
    pub threshold: f64,
    /// Calibration items at or above it.
    pub admitted: u64,
    /// Those of them on which judge and reference disagree.
    pub disagreements: u64,
    /// Clopper-Pearson upper bound of the share of disagreements, at most `alpha`.
    pub bound: f64,
    /// Share of all calibration items at or above it: calls that are saved.
    pub share: f64,
}

/// The fewest items with which any threshold can pass: the least `n` with `(1 - alpha)^n <= delta`, which is `ln(delta)/ln(1-alpha)`, rounded
/// up. `None` where one of the two does not lie between 0 and 1.
pub fn items_min(alpha: f64, delta: f64) -> Option<u64> {
    if EstimateError::share("alpha", alpha).is_err() || EstimateError::share("delta", delta).is_err() {
        return None;
    }
    let mut n = (delta.ln() / (-alpha).ln_1p()).ceil().max(1.0) as u64;
    // The test itself decides where rounding leaves a doubt.
    while !passes(0, n, alpha, delta) {
        n = n.checked_add(1)?;
    }
    Some(n)
}

/// What each of `tiers` may err with, so that all of them together err with at most `delta` (Bonferroni). A tier is calibrated on items that
/// reach it, under thresholds of the earlier tiers that were decided on other items; then, except with probability `delta`, the
/// trusted items of all tiers together err on at most `alpha`.
pub fn delta_per_tier(delta: f64, tiers: u32) -> f64 {
    delta / f64::from(tiers.max(1))
}

/// Audits drawn with different probabilities, thinned to items that all had the probability `least`: each is kept with probability
/// `least/pi`. `least` is the lowest probability *of the design*, not the lowest that happened to be drawn.
///
/// # Errors
/// For an audit with a probability below `least`, or a number outside [0, 1).
pub fn thin(audits: &[Audit], least: f64) -> Result<Vec<Item>, EstimateError> {
    if !(least > 0.0 && least <= 1.0) {
        return Err(EstimateError::Setting { name: "least", value: least, allowed: "a probability above 0 and at most 1" });
    }
    let mut kept = Vec::new();
    for (index, audit) in audits.iter().enumerate() {
        EstimateError::probability(index, audit.probability)?;
        if audit.probability < least {
            return Err(EstimateError::Row { index, problem: "it was drawn with a probability below the least of the design" });
        } else if !(0.0..1.0).contains(&audit.uniform) {
            return Err(EstimateError::Row { index, problem: "its random number is not from 0 to below 1" });
        } else if audit.uniform < least / audit.probability {
            kept.push(audit.item);
        }
    }
    Ok(kept)
}

/// At most `steps` thresholds for [`calibrate`], highest first, at equal numbers of the confidences, and the lowest confidence last. The
/// first admits at least `first` items. They depend on confidences alone, never on agreement, and equal confidences are never parted.
///
/// A first threshold with few items fails at their first disagreement, and with it all others; many thresholds fail more easily than
/// few. See [`FIRST_SHARE`] and [`STEPS`]. Empty for fewer confidences than `first`.
pub fn thresholds(confidences: &[f64], first: u64, steps: u32) -> Vec<f64> {
    let mut sorted: Vec<f64> = confidences.iter().copied().filter(|confidence| confidence.is_finite()).collect();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let first = usize::try_from(first.max(1)).unwrap_or(usize::MAX);
    let (Some(rest), Some(gaps)) = (sorted.len().checked_sub(first), steps.checked_sub(1)) else { return Vec::new() };
    let gaps = gaps as usize;
    let place = |step: usize| match gaps {
        0 => first,
        _ => first + (rest as u128 * step as u128).div_ceil(gaps as u128) as usize,
    };
    let mut found: Vec<f64> = (0..=gaps.min(rest)).filter_map(|step| sorted.get(place(step) - 1).copied()).collect();
    if gaps > rest {
        // Fewer items than steps: every confidence from the first on.
        found = sorted.get(first - 1..).unwrap_or_default().to_vec();
    }
    found.dedup();
    found
}

/// Share of the items that the first threshold is to admit, for [`default_thresholds`].
pub const FIRST_SHARE: f64 = 0.2;
/// Number of thresholds of [`default_thresholds`].
pub const STEPS: u32 = 20;

/// [`thresholds`] as [`split_study`] and the measurements use them: at most [`STEPS`], the first with [`FIRST_SHARE`] of the items, and at
/// least [`items_min`].
pub fn default_thresholds(items: &[Item], alpha: f64, delta: f64) -> Vec<f64> {
    let confidences: Vec<f64> = items.iter().map(|item| item.confidence).collect();
    let first = (FIRST_SHARE * items.len() as f64).ceil() as u64;
    items_min(alpha, delta).map_or(Vec::new(), |least| thresholds(&confidences, first.max(least), STEPS))
}

/// The lowest threshold that may be trusted, by fixed-sequence testing: from the highest of `thresholds` down, each is accepted while the
/// Clopper-Pearson upper bound `BetaInv(1 - delta; x + 1, n - x)` of the `x` disagreements among the `n` items at or above it is at most
/// `alpha`; the first failure ends it. `None`: trust nothing.
///
/// Because the sequence is fixed and ends at the first failure, no correction for many tests is due (Bauer 1991; Angelopoulos and others
/// 2021, arXiv 2110.01052, section 1.2). `thresholds` must not depend on `agrees`: a fixed list, or [`thresholds`] of the
/// confidences. Those with fewer than [`items_min`] items at or above them cannot pass and are skipped, which looks at numbers only.
///
/// # Errors
/// For `alpha` or `delta` outside (0, 1), and for a confidence or threshold that is not a number.
pub fn calibrate(items: &[Item], thresholds: &[f64], alpha: f64, delta: f64) -> Result<Option<Trusted>, EstimateError> {
    EstimateError::share("alpha", alpha)?;
    EstimateError::share("delta", delta)?;
    if let Some(index) = items.iter().position(|item| !item.confidence.is_finite()) {
        return Err(EstimateError::Row { index, problem: "its confidence is not a number" });
    }
    if let Some(value) = thresholds.iter().copied().find(|threshold| !threshold.is_finite()) {
        return Err(EstimateError::Setting { name: "threshold", value, allowed: "numbers" });
    }
    let mut items = items.to_vec();
    items.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    let mut thresholds = thresholds.to_vec();
    thresholds.sort_by(|a, b| b.total_cmp(a));
    let least = items_min(alpha, delta).unwrap_or(u64::MAX);
    let (mut n, mut x, mut passed) = (0usize, 0u64, None);
    for threshold in thresholds {
        // All items at or above it, ties included.
        while let Some(item) = items.get(n).filter(|item| item.confidence >= threshold) {
            x += u64::from(!item.agrees);
            n += 1;
        }
        let admitted = n as u64;
        if admitted < least {
            continue;
        }
        if !passes(x, admitted, alpha, delta) {
            break;
        }
        passed = Some((threshold, admitted, x));
    }
    Ok(passed.map(|(threshold, admitted, disagreements)| Trusted {
        threshold,
        admitted,
        disagreements,
        bound: clopper_pearson_upper(disagreements, admitted, delta),
        share: admitted as f64 / items.len() as f64,
    }))
}

/// Whether the upper bound is at most `alpha`: `P(X <= x) <= delta` for a binomial `X` of `n` trials at `alpha`.
fn passes(x: u64, n: u64, alpha: f64, delta: f64) -> bool {
    x < n && binomial_cdf(x, n, alpha) <= delta
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(pattern: &[(f64, usize, usize)]) -> Vec<Item> {
        let of = |confidence, agrees, count| std::iter::repeat_n(Item { confidence, agrees }, count);
        pattern.iter().flat_map(|&(c, agree, disagree)| of(c, true, agree).chain(of(c, false, disagree))).collect()
    }

    #[test]
    fn the_fewest_items() {
        // ln(delta)/ln(1 - alpha): 44.9, 229.1, 21.9.
        assert_eq!((items_min(0.05, 0.1), items_min(0.01, 0.1), items_min(0.1, 0.1)), (Some(45), Some(230), Some(22)));
        assert_eq!((items_min(0.5, 0.51), items_min(0.5, 0.26)), (Some(1), Some(2)));
        for bad in [0.0, 1.0, f64::NAN, -0.1] {
            assert_eq!((items_min(bad, 0.1), items_min(0.1, bad)), (None, None));
        }
        let perfect = |n| items(&[(0.9, n, 0)]);
        assert!(calibrate(&perfect(44), &[0.9], 0.05, 0.1).unwrap().is_none());
        let found = calibrate(&perfect(45), &[0.9], 0.05, 0.1).unwrap().unwrap();
        assert_eq!((found.threshold, found.admitted, found.disagreements, found.share), (0.9, 45, 0, 1.0));
        assert!(found.bound <= 0.05 && found.bound > 0.049);
        // One disagreement needs 77.
        assert!(calibrate(&items(&[(0.9, 75, 1)]), &[0.9], 0.05, 0.1).unwrap().is_none());
        assert!(calibrate(&items(&[(0.9, 76, 1)]), &[0.9], 0.05, 0.1).unwrap().is_some());
    }

    #[test]
    fn stops_at_the_first_failure() {
        // At .8 too many disagree; at .7 all together would pass again.
        let all = items(&[(0.9, 100, 0), (0.8, 20, 10), (0.7, 2000, 0)]);
        let found = calibrate(&all, &[0.9, 0.8, 0.7], 0.05, 0.1).unwrap().unwrap();
        assert_eq!((found.threshold, found.admitted), (0.9, 100));
        let skipping = calibrate(&all, &[0.7, 0.9], 0.05, 0.1).unwrap().unwrap();
        assert_eq!((skipping.threshold, skipping.admitted, skipping.disagreements), (0.7, 2130, 10));
        assert!(calibrate(&items(&[(0.9, 50, 10), (0.8, 2000, 0)]), &[0.9, 0.8], 0.05, 0.1).unwrap().is_none());
    }

    #[test]
    fn ties_are_admitted_together() {
        // The first 50 of the tie agree; taken alone they would pass.
        let tied = items(&[(0.9, 50, 20)]);
        assert!(calibrate(&tied, &default_thresholds(&tied, 0.05, 0.1), 0.05, 0.1).unwrap().is_none());
        let two = items(&[(0.9, 60, 0), (0.5, 10, 40)]);
        let mut shuffled = two.clone();
        shuffled.reverse();
        for all in [two, shuffled] {
            let found = calibrate(&all, &default_thresholds(&all, 0.05, 0.1), 0.05, 0.1).unwrap().unwrap();
            assert_eq!((found.threshold, found.admitted), (0.9, 60));
        }
        // A threshold between two confidences admits what lies at or above it.
        let found = calibrate(&items(&[(0.9, 60, 0), (0.5, 10, 40)]), &[0.7], 0.05, 0.1).unwrap().unwrap();
        assert_eq!((found.threshold, found.admitted), (0.7, 60));
    }

    #[test]
    fn thresholds_at_equal_numbers() {
        let confidences: Vec<f64> = (0..100).map(f64::from).collect();
        assert_eq!(thresholds(&confidences, 20, 5), [80.0, 60.0, 40.0, 20.0, 0.0]);
        assert_eq!(thresholds(&confidences, 20, 1), [80.0]);
        assert_eq!(thresholds(&confidences, 98, 50), [2.0, 1.0, 0.0]);
        assert_eq!(thresholds(&confidences, 100, 5), [0.0]);
        assert_eq!(
            (thresholds(&confidences, 101, 5), thresholds(&confidences, 1, 0), thresholds(&[], 0, 5)),
            (vec![], vec![], vec![])
        );
        assert_eq!(thresholds(&[0.5; 80], 10, 20), [0.5]);
        assert_eq!(thresholds(&[f64::NAN, 0.1, 0.2], 1, 20), [0.2, 0.1]);
    }

    #[test]
    fn thinning_makes_probabilities_equal() {
        let audit = |probability, uniform| Audit { item: Item { confidence: probability, agrees: true }, probability, uniform };
        let kept =
            thin(&[audit(0.1, 0.999), audit(0.5, 0.19), audit(0.5, 0.21), audit(1.0, 0.099), audit(1.0, 0.1)], 0.1).unwrap();
        assert_eq!(kept.iter().map(|item| item.confidence).collect::<Vec<_>>(), [0.1, 0.5, 1.0]);
        assert!(thin(&[audit(0.05, 0.0)], 0.1).is_err() && thin(&[audit(0.5, 1.0)], 0.1).is_err());
        assert!(thin(&[], 0.0).is_err() && thin(&[], f64::NAN).is_err() && thin(&[audit(f64::NAN, 0.0)], 0.1).is_err());
    }

    #[test]
    fn the_bound_decides_as_the_test_does() {
        for n in [22u64, 45, 77, 130, 400] {
            for x in 0..12 {
                for (alpha, delta) in [(0.05, 0.1), (0.1, 0.1), (0.1, 0.01)] {
                    assert_eq!(passes(x, n, alpha, delta), clopper_pearson_upper(x, n, delta) <= alpha, "{x} {n}");
                }
            }
        }
    }

    #[test]
    fn refuses_what_cannot_be() {
        let one = items(&[(0.9, 50, 0)]);
        for bad in [0.0, 1.0, f64::NAN] {
            assert!(calibrate(&one, &[0.9], bad, 0.1).is_err() && calibrate(&one, &[0.9], 0.1, bad).is_err());
        }
        assert!(calibrate(&one, &[f64::NAN], 0.1, 0.1).is_err());
        assert!(calibrate(&items(&[(f64::NAN, 1, 0)]), &[0.9], 0.1, 0.1).is_err());
        assert_eq!((calibrate(&[], &[0.9], 0.1, 0.1), calibrate(&one, &[], 0.1, 0.1)), (Ok(None), Ok(None)));
        assert_eq!((delta_per_tier(0.1, 2), delta_per_tier(0.1, 0)), (0.05, 0.1));
    }
}
