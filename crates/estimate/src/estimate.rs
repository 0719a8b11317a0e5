//! The one way in: from buckets to an estimate with its interval.

use std::fmt;

use crate::estimator::Predictors;
use crate::fit::fit;
use crate::{Bucket, EstimateError, Estimator, IntervalKind};

/// What an estimate speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Estimand {
    /// The mean score of this window's traffic: what judging everything would have given. Only the draw is random.
    #[default]
    Window,
    /// The mean score of what produces the traffic: for comparing versions, models, days. The traffic is random too.
    Process,
}

impl Estimand {
    /// Its name, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::Process => "process",
        }
    }
}

/// How an estimate was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Method {
    /// What gave value and variance.
    pub estimator: Estimator,
    /// What gave the limits.
    pub interval: IntervalKind,
    /// Whether the traffic was estimated in several parts that were added up by their known shares.
    pub stratified: bool,
    /// Whether scores of called tiers between the free ones and the reference judge were made use of.
    pub telescoped: bool,
}

impl fmt::Display for Method {
    /// Such as `hajek/normal` or `stratified_telescoped_ppi/student`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stratified = if self.stratified { "stratified_" } else { "" };
        let telescoped = if self.telescoped { "telescoped_" } else { "" };
        write!(f, "{stratified}{telescoped}{}/{}", self.estimator.name(), self.interval.name())
    }
}

/// What a reader of an estimate should know before trusting it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Warning {
    /// Depending on what was drawn but not judged, the value could lie outside its interval: see `bound_low` and `bound_high`. The
    /// interval is right only if what failed is like what did not fail in the same hours.
    MissingMatters,
    /// Of interactions that are drawn with less than certainty none was: the value speaks of the others alone.
    PartUnseen,
    /// Every interaction was taken to be on its own. Where those of a conversation resemble each other, the interval is too narrow.
    ConversationsIgnored,
}

impl Warning {
    /// Its name, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::MissingMatters => "missing_matters",
            Self::PartUnseen => "part_unseen",
            Self::ConversationsIgnored => "conversations_ignored",
        }
    }
}

/// What is to be estimated, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// How often, of many intervals, the truth is to lie inside, in (0, 1).
    pub level: f64,
    /// What the estimate is to speak of.
    pub estimand: Estimand,
    /// What gives value and variance, within each stratum.
    pub estimator: Estimator,
    /// Which scores [`Estimator::Ppi`] makes use of, where there are several called tiers.
    pub predictors: Predictors,
}

impl Default for Options {
    /// 95 %, `window`, PPI++ from the last score.
    fn default() -> Self {
        let (estimand, estimator, predictors) = (Estimand::default(), Estimator::default(), Predictors::default());
        Self { level: 0.95, estimand, estimator, predictors }
    }
}

/// A rate, or mean score, with its interval: `0 <= low <= value <= high <= 1`.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Lower limit.
    pub low: f64,
    /// Upper limit.
    pub high: f64,
    /// The level of the interval, in (0, 1).
    pub level: f64,
    /// Square root of the estimated variance. 0 does not mean certain: no residual may have been seen. The limits know.
    pub std_error: f64,
    /// What the value speaks of.
    pub estimand: Estimand,
    /// How it was made.
    pub method: Method,
    /// Interactions that it speaks of.
    pub population: u64,
    /// Reference scores behind it.
    pub judged: u64,
    /// Scores behind it of each called tier, the reference last; where strata have different tiers, of the reference alone.
    pub scored: Vec<u64>,
    /// Strata that were estimated apart: after joining of those with too few judged, and, for [`IntervalKind::Wilson`], by class of
    /// probability.
    pub strata: usize,
    /// A lower bound of how many residuals make up the variance, `(sum v)^2/sum v^2`; below 30 the normal interval is not taken.
    pub residuals: f64,
    /// Share of what was drawn that was judged, each weighted by `1/pi`; in (0, 1].
    pub coverage: f64,
    /// What the weighted mean would be had every missing score been 0.
    pub bound_low: f64,
    /// What the weighted mean would be had every missing score been 1.
    pub bound_high: f64,
    /// What to know before trusting it.
    pub warnings: Vec<Warning>,
}

/// The mean reference score over `buckets`, pooled over hours. `Ok(None)` where nothing was judged, or there is nothing to judge.
///
/// # Errors
/// [`EstimateError::Level`] for a level that is none; [`EstimateError::Sums`] naming the hour of a bucket that cannot be right.
pub fn estimate(buckets: &[Bucket], options: &Options) -> Result<Option<Estimate>, EstimateError> {
    EstimateError::level(options.level)?;
    match fit(buckets, options)? {
        Some(fit) => Ok(Some(fit.estimate(options.level)?)),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Item;

    fn bucket(pi: f64, scores: &[f64], missing: usize, undrawn: usize) -> Bucket {
        let mut bucket = Bucket::default();
        let item = Item { probability: pi, drawn: true, free: 0.0, reference: None };
        scores.iter().for_each(|h| bucket.push(Item { reference: Some(*h), ..item }));
        (0..missing).for_each(|_| bucket.push(item));
        (0..undrawn).for_each(|_| bucket.push(Item { drawn: false, ..item }));
        bucket
    }

    fn default(buckets: &[Bucket]) -> Estimate {
        estimate(buckets, &Options { estimator: Estimator::Hajek, ..Options::default() }).unwrap().unwrap()
    }

    #[test]
    fn all_judged_is_certain() {
        for scores in [vec![1.0, 0.0, 0.0], vec![0.0; 500], vec![1.0; 500], vec![0.3; 77], vec![1.0]] {
            let e = default(&[bucket(1.0, &scores, 0, 0)]);
            let mean = scores.iter().sum::<f64>() / scores.len() as f64;
            assert_eq!((e.low, e.value, e.high, e.std_error), (mean, mean, mean, 0.0));
            assert_eq!((e.method.interval, e.coverage, e.warnings), (IntervalKind::Census, 1.0, vec![]));
        }
    }

    #[test]
    fn what_was_never_seen_is_not_certain() {
        // 50 that are drawn for certain, 20 of them positive; of 50 others at 1 % none was drawn.
        let scores: Vec<f64> = (0..50).map(|i| f64::from(u8::from(i < 20))).collect();
        let mut certain = bucket(1.0, &scores, 0, 0);
        certain.add(&bucket(0.01, &[], 0, 50)).unwrap();
        let e = default(&[certain]);
        assert_eq!((e.value, e.low, e.high), (0.4, 0.2, 0.7));
        assert_eq!((e.method.interval, e.warnings), (IntervalKind::Unseen, vec![Warning::PartUnseen]));
    }

    #[test]
    fn failures_at_rate_one_widen_and_bound() {
        let e = default(&[bucket(1.0, &[0.0; 90], 10, 0)]);
        assert_eq!((e.value, e.low, e.coverage, e.bound_low, e.bound_high), (0.0, 0.0, 0.9, 0.0, 0.1));
        assert!(e.high > 0.0 && e.high < 0.02, "n* is 810 for 90 of 100: {}", e.high);
        assert_eq!(e.warnings, [Warning::MissingMatters]);
    }

    #[test]
    fn nothing_to_estimate_from() {
        let options = Options::default();
        assert_eq!(estimate(&[], &options), Ok(None));
        assert_eq!(estimate(&[Bucket::default()], &options), Ok(None));
        assert_eq!(estimate(&[bucket(0.5, &[], 40, 40)], &options), Ok(None));
    }

    #[test]
    fn refuses_levels_that_are_none() {
        for level in [0.0, 1.0, -0.5, 95.0, f64::NAN, f64::INFINITY] {
            let options = Options { level, ..Options::default() };
            assert!(matches!(estimate(&[bucket(0.5, &[1.0], 0, 1)], &options), Err(EstimateError::Level(_))), "{level}");
        }
    }

    #[test]
    fn a_higher_level_is_wider() {
        let scores: Vec<f64> = (0..400).map(|i| f64::from(u8::from(i % 4 == 0))).collect();
        let width = |level| {
            let e =
                estimate(&[bucket(0.1, &scores, 0, 3600)], &Options { level, estimator: Estimator::Hajek, ..Options::default() })
                    .unwrap()
                    .unwrap();
            assert_eq!(e.method.to_string(), "hajek/normal");
            e.high - e.low
        };
        // var = 400/399 sum q (H-p)^2 / W^2 = 400/399 * 400 * 90 * .1875 / 4000^2.
        assert!((width(0.95) - 2.0 * 1.959_964 * (36_000.0_f64 * 0.1875 * 400.0 / 399.0).sqrt() / 4000.0).abs() < 1e-6);
        assert!(width(0.5) < width(0.9) && width(0.9) < width(0.99));
    }

    #[test]
    fn horvitz_thompson_counts_on_the_population() {
        let options = Options { estimator: Estimator::HorvitzThompson, ..Options::default() };
        let e = estimate(&[bucket(0.5, &[1.0; 60], 0, 40)], &options).unwrap().unwrap();
        assert_eq!(e.value, 1.0, "120 of 100, cut");
        assert!((e.std_error - (60.0_f64 * 2.0).sqrt() / 100.0).abs() < 1e-12);
        assert!(e.low < 1.0 && e.high == 1.0);
    }

    #[test]
    fn the_process_is_less_certain_than_the_window() {
        let scores: Vec<f64> = (0..200).map(|i| f64::from(u8::from(i % 2 == 0))).collect();
        let options = Options { estimand: Estimand::Process, ..Options::default() };
        let e = estimate(&[bucket(1.0, &scores, 0, 0)], &options).unwrap().unwrap();
        assert!((e.std_error - (0.25_f64 / 199.0).sqrt()).abs() < 1e-12, "judged all, it is a plain sample");
        assert_eq!(e.warnings, [Warning::ConversationsIgnored]);
        let none = estimate(&[bucket(1.0, &[0.0; 200], 0, 0)], &options).unwrap().unwrap();
        assert!((none.high - 0.018_84).abs() < 1e-4, "Wilson for 0 of 200: {}", none.high);
    }
}
