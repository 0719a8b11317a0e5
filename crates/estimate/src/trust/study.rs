//! Whether the guarantee holds on given data: calibrate on random halves, look at the other halves.

use super::{Item, calibrate, default_thresholds};
use crate::EstimateError;

/// More splits than a study needs; a bound on its time.
const SPLITS_MAX: u32 = 100_000;

/// An item, and what it belongs to: items of one cluster are never split, such as answers to one prompt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clustered {
    /// Confidence and agreement.
    pub item: Item,
    /// Any number that is the same for items of one cluster and for no others.
    pub cluster: u64,
}

/// What many random splits found. Means are over the splits named.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Study {
    /// Splits made.
    pub splits: u32,
    /// Splits in which a threshold passed.
    pub trusting: u32,
    /// Splits whose threshold errs on more than `alpha` of *all* items that it admits, both halves: what is guaranteed to be at most
    /// `delta` of the splits, where the data is the population and the calibration half a random sample of it.
    pub violations: u32,
    /// Splits whose threshold errs on more than `alpha` of the items that it admits in the held-out half. This adds the chance of
    /// that half: errors that the calibration half happened to lack are all there. It may exceed `delta` where the first does not.
    pub held_out_violations: u32,
    /// Share of the held-out items that are trusted, mean over all splits: calls saved.
    pub calls_saved: f64,
    /// Agreement of judge and reference on the trusted held-out items, over all splits together; `None` where none was trusted.
    pub agreement: Option<f64>,
    /// Agreement on all items, without any threshold.
    pub agreement_untrusted: f64,
    /// Mean threshold of the trusting splits.
    pub threshold: Option<f64>,
}

impl Study {
    /// Violations as a share of the splits.
    pub fn violation_rate(&self) -> f64 {
        f64::from(self.violations) / f64::from(self.splits)
    }
}

/// Calibrates on one half of the clusters, drawn at random, `splits` times, and looks at what the threshold does elsewhere. Each time, the
/// calibration uses one item of each cluster of its half, drawn at random: items of one cluster err together, and the bound counts
/// on items that err on their own. `seed` decides all draws.
///
/// # Errors
/// For no items or a single cluster, no splits or more than 100,000, and as [`calibrate`].
pub fn split_study(items: &[Clustered], alpha: f64, delta: f64, splits: u32, seed: u64) -> Result<Study, EstimateError> {
    if !(1..=SPLITS_MAX).contains(&splits) {
        return Err(EstimateError::Setting { name: "splits", value: f64::from(splits), allowed: "a number from 1 to 100000" });
    }
    let mut sorted = items.to_vec();
    sorted.sort_by_key(|item| item.cluster);
    let mut clusters: Vec<&[Clustered]> = sorted.chunk_by(|a, b| a.cluster == b.cluster).collect();
    if clusters.len() < 2 {
        let (value, allowed) = (clusters.len() as f64, "items of two clusters or more");
        return Err(EstimateError::Setting { name: "clusters", value, allowed });
    }
    let mut random = Random(seed);
    let half = clusters.len() / 2;
    let all = || items.iter().map(|item| item.item);
    let mut study = Study {
        splits,
        trusting: 0,
        violations: 0,
        held_out_violations: 0,
        calls_saved: 0.0,
        agreement: None,
        agreement_untrusted: 1.0 - Errors::of(all(), f64::NEG_INFINITY).rate(),
        threshold: None,
    };
    let (mut trusted, mut thresholds) = (Errors::default(), 0.0);
    for _ in 0..splits {
        random.choose(&mut clusters, half);
        let (calibration, held_out) = clusters.split_at(half);
        let calibration: Vec<Item> =
            calibration.iter().filter_map(|cluster| cluster.get(random.below(cluster.len())).map(|item| item.item)).collect();
        let candidates = default_thresholds(&calibration, alpha, delta);
        let Some(found) = calibrate(&calibration, &candidates, alpha, delta)? else { continue };
        let held_out = || held_out.iter().flat_map(|cluster| cluster.iter().map(|item| item.item));
        let errors = Errors::of(held_out(), found.threshold);
        study.trusting += 1;
        study.violations += u32::from(Errors::of(all(), found.threshold).rate() > alpha);
        study.held_out_violations += u32::from(errors.rate() > alpha);
        study.calls_saved += errors.admitted as f64 / held_out().count().max(1) as f64 / f64::from(splits);
        trusted = Errors { admitted: trusted.admitted + errors.admitted, wrong: trusted.wrong + errors.wrong };
        thresholds += found.threshold;
    }
    study.agreement = (trusted.admitted > 0).then(|| 1.0 - trusted.rate());
    study.threshold = (study.trusting > 0).then(|| thresholds / f64::from(study.trusting));
    Ok(study)
}

/// Items at or above a threshold, and those on which judge and reference disagree.
#[derive(Clone, Copy, Default)]
struct Errors {
    admitted: u64,
    wrong: u64,
}

impl Errors {
    fn of(items: impl Iterator<Item = Item>, threshold: f64) -> Self {
        items.filter(|item| item.confidence >= threshold).fold(Self::default(), |errors, item| Self {
            admitted: errors.admitted + 1,
            wrong: errors.wrong + u64::from(!item.agrees),
        })
    }

    /// 0 where none is admitted.
    fn rate(self) -> f64 {
        self.wrong as f64 / self.admitted.max(1) as f64
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): the draws of a study, decided by its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform below `n`, up to a bias of `n/2^64`; 0 for `n = 0`.
    fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// Moves `count` of `all`, drawn without replacement, to the front (Fisher, Yates).
    fn choose<T>(&mut self, all: &mut [T], count: usize) {
        for i in 0..count.min(all.len()) {
            let from = i + self.below(all.len() - i);
            all.swap(i, from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clusters of two; the judge errs with `error(confidence)`.
    fn data(n: u64, error: impl Fn(f64) -> f64) -> Vec<Clustered> {
        let mut random = Random(7);
        let mut uniform = || random.next() as f64 / 2f64.powi(64);
        (0..n)
            .map(|i| {
                let confidence = (uniform() * 100.0).round() / 100.0;
                let agrees = uniform() >= error(confidence);
                Clustered { item: Item { confidence, agrees }, cluster: i / 2 }
            })
            .collect()
    }

    #[test]
    fn saves_calls_and_keeps_its_word() {
        let items = data(2000, |confidence| 0.4 * (1.0 - confidence));
        let study = split_study(&items, 0.1, 0.1, 1000, 1).unwrap();
        assert!(study.violation_rate() <= 0.1, "{study:?}");
        assert!(study.calls_saved > 0.15 && study.trusting > 500, "{study:?}");
        assert!(study.agreement.unwrap() > 0.9 && study.agreement_untrusted < 0.85, "{study:?}");
        assert_eq!(study, split_study(&items, 0.1, 0.1, 1000, 1).unwrap());
        assert_ne!(study, split_study(&items, 0.1, 0.1, 1000, 2).unwrap());
    }

    #[test]
    fn a_judge_that_is_always_wrong_or_always_right() {
        let wrong = split_study(&data(400, |_| 1.0), 0.1, 0.1, 50, 1).unwrap();
        assert_eq!(
            (wrong.trusting, wrong.violations, wrong.calls_saved, wrong.agreement, wrong.threshold),
            (0, 0, 0.0, None, None)
        );
        let right = split_study(&data(400, |_| 0.0), 0.1, 0.1, 50, 1).unwrap();
        assert_eq!((right.trusting, right.violations, right.agreement), (50, 0, Some(1.0)));
        assert!(right.calls_saved > 0.97, "{right:?}");
    }

    #[test]
    fn clusters_are_never_split() {
        // Items of one cluster agree or disagree together, and each cluster has a confidence of its own.
        let items: Vec<Clustered> = (0..600)
            .map(|i| Clustered {
                item: Item { confidence: f64::from(i / 3), agrees: i / 3 % 10 > 0 },
                cluster: u64::from(i / 3_u32),
            })
            .collect();
        let mut clusters: Vec<&[Clustered]> = items.chunk_by(|a, b| a.cluster == b.cluster).collect();
        Random(3).choose(&mut clusters, 100);
        let mut ids: Vec<u64> = clusters.iter().map(|cluster| cluster[0].cluster).collect();
        assert_ne!(ids, (0..200).collect::<Vec<u64>>(), "shuffled");
        ids.sort_unstable();
        assert_eq!(ids, (0..200).collect::<Vec<u64>>(), "and complete");
        // One item of each cluster calibrates: the others would only repeat it, and pass in a tenth of the splits.
        assert!(split_study(&items, 0.11, 0.01, 200, 1).unwrap().trusting <= 4);
    }

    #[test]
    fn refuses_what_cannot_be() {
        let items = data(40, |_| 0.0);
        assert!(split_study(&items, 0.1, 0.1, 0, 1).is_err() && split_study(&items, 0.1, 0.1, 100_001, 1).is_err());
        assert!(split_study(&items[..2], 0.1, 0.1, 10, 1).is_err() && split_study(&[], 0.1, 0.1, 10, 1).is_err());
        assert!(split_study(&items, 0.0, 0.1, 10, 1).is_err() && split_study(&items, 0.1, 1.0, 10, 1).is_err());
    }
}
