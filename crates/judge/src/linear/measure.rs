//! How good scores are against labels: precision, recall, F1, AUC, calibration error, confusion.

use serde::{Deserialize, Serialize};

/// Bins of the expected calibration error.
const BINS: usize = 10;

/// What was counted at a threshold: a label of 0.5 or more is positive, a score at or above the threshold is found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// Positive and found.
    pub true_positive: u64,
    /// Negative and found.
    pub false_positive: u64,
    /// Positive and missed.
    pub false_negative: u64,
    /// Negative and left alone.
    pub true_negative: u64,
}

impl Confusion {
    /// Counts pairs of score and label.
    pub fn of(scored: &[(f64, f64)], threshold: f64) -> Self {
        let mut counts = Self::default();
        for (score, label) in scored {
            match (*label >= 0.5, *score >= threshold) {
                (true, true) => counts.true_positive += 1,
                (false, true) => counts.false_positive += 1,
                (true, false) => counts.false_negative += 1,
                (false, false) => counts.true_negative += 1,
            }
        }
        counts
    }

    /// Of what was found, the share that is positive; `None` where nothing was found.
    pub fn precision(&self) -> Option<f64> {
        share(self.true_positive, self.true_positive + self.false_positive)
    }

    /// Of what is positive, the share that was found; `None` where nothing is positive.
    pub fn recall(&self) -> Option<f64> {
        share(self.true_positive, self.true_positive + self.false_negative)
    }

    /// Of what is negative, the share that was found all the same; `None` where nothing is negative.
    pub fn false_positive_rate(&self) -> Option<f64> {
        share(self.false_positive, self.false_positive + self.true_negative)
    }

    /// The harmonic mean of precision and recall; `None` where nothing is positive.
    pub fn f1(&self) -> Option<f64> {
        self.recall()?;
        share(2 * self.true_positive, 2 * self.true_positive + self.false_positive + self.false_negative)
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// The figures of one set of scores.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// How many.
    pub count: u64,
    /// How many of them are positive (label of 0.5 or more).
    pub positive: u64,
    /// The threshold of what follows.
    pub threshold: f64,
    /// What was counted there.
    pub confusion: Confusion,
    /// See [`Confusion::precision`].
    pub precision: Option<f64>,
    /// See [`Confusion::recall`].
    pub recall: Option<f64>,
    /// See [`Confusion::f1`].
    pub f1: Option<f64>,
    /// Probability that a positive scores above a negative, ties counted half (Hanley and McNeil 1982); `None` without both.
    pub auc: Option<f64>,
    /// Expected calibration error: mean over ten bins of equal width, weighted by count, of |mean label - mean score|
    /// (Naeini et al. 2015).
    pub ece: f64,
    /// Mean of (score - label)² (Brier 1950).
    pub brier: f64,
}

impl Measured {
    /// Measures pairs of score and label, all in [0, 1].
    pub fn of(scored: &[(f64, f64)], threshold: f64) -> Self {
        let confusion = Confusion::of(scored, threshold);
        Self {
            count: scored.len() as u64,
            positive: confusion.true_positive + confusion.false_negative,
            threshold,
            confusion,
            precision: confusion.precision(),
            recall: confusion.recall(),
            f1: confusion.f1(),
            auc: auc(scored),
            ece: ece(scored),
            brier: mean(scored.iter().map(|(score, label)| (score - label).powi(2))),
        }
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len().max(1);
    values.sum::<f64>() / count as f64
}

/// The area under the ROC curve, by mean ranks.
pub fn auc(scored: &[(f64, f64)]) -> Option<f64> {
    let mut sorted: Vec<(f64, bool)> = scored.iter().map(|(score, label)| (*score, *label >= 0.5)).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let positive = sorted.iter().filter(|(_, positive)| *positive).count() as f64;
    let negative = sorted.len() as f64 - positive;
    if positive == 0.0 || negative == 0.0 {
        return None;
    }
    let mut ranks = 0.0;
    let mut before = 0;
    for ties in sorted.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let rank = before as f64 + (ties.len() as f64 + 1.0) / 2.0;
        ranks += rank * ties.iter().filter(|(_, positive)| *positive).count() as f64;
        before += ties.len();
    }
    Some((ranks - positive * (positive + 1.0) / 2.0) / (positive * negative))
}

fn ece(scored: &[(f64, f64)]) -> f64 {
    let mut bins = [(0.0, 0.0); BINS];
    for (score, label) in scored {
        let bin = ((score * BINS as f64) as usize).min(BINS - 1);
        bins[bin].0 += score;
        bins[bin].1 += label;
    }
    bins.iter().map(|(scores, labels)| (scores - labels).abs()).sum::<f64>() / scored.len().max(1) as f64
}

/// The threshold with the largest F1, between two scores that occur; 0.5 where there are not both labels.
pub fn best_threshold(scored: &[(f64, f64)]) -> f64 {
    let mut sorted: Vec<(f64, bool)> = scored.iter().map(|(score, label)| (*score, *label >= 0.5)).collect();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let positive = sorted.iter().filter(|(_, positive)| *positive).count();
    if positive == 0 || positive == sorted.len() {
        return 0.5;
    }
    let (mut best, mut best_f1) = (0.5, -1.0);
    let mut hits = 0;
    for (at, (score, is_positive)) in sorted.iter().enumerate() {
        hits += usize::from(*is_positive);
        let next = sorted.get(at + 1).map_or(0.0, |next| next.0);
        let f1 = 2.0 * hits as f64 / (at + 1 + positive) as f64;
        if next < *score && f1 > best_f1 {
            (best, best_f1) = (f64::midpoint(*score, next), f1);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORED: [(f64, f64); 6] = [(0.9, 1.0), (0.8, 0.0), (0.7, 1.0), (0.3, 0.0), (0.3, 1.0), (0.1, 0.0)];

    #[test]
    fn counted_by_hand() {
        let measured = Measured::of(&SCORED, 0.5);
        assert_eq!(measured.confusion, Confusion { true_positive: 2, false_positive: 1, false_negative: 1, true_negative: 2 });
        assert_eq!((measured.count, measured.positive), (6, 3));
        let close = |value: Option<f64>, wanted: f64| assert!((value.unwrap() - wanted).abs() < 1e-12, "{value:?} {wanted}");
        close(measured.precision, 2.0 / 3.0);
        close(measured.recall, 2.0 / 3.0);
        close(measured.f1, 2.0 / 3.0);
        // Of nine pairs: 0.9 beats three, 0.7 beats two, 0.3 beats one and ties with one.
        close(measured.auc, 6.5 / 9.0);
        close(Some(measured.brier), (0.01 + 0.64 + 0.09 + 0.09 + 0.49 + 0.01) / 6.0);
        close(Some(measured.ece), (0.1 + 0.8 + 0.3 + 0.4 + 0.1) / 6.0);
        close(measured.confusion.false_positive_rate(), 1.0 / 3.0);
    }

    #[test]
    fn the_best_threshold_lies_between_scores() {
        assert!((best_threshold(&[(0.9, 1.0), (0.6, 1.0), (0.2, 0.0)]) - 0.4).abs() < 1e-12);
        assert_eq!(best_threshold(&[(0.9, 1.0)]), 0.5);
        let threshold = best_threshold(&SCORED);
        let f1 = |threshold| Confusion::of(&SCORED, threshold).f1().unwrap();
        assert!((0..100).all(|step| f1(f64::from(step) / 100.0) <= f1(threshold)));
    }

    #[test]
    fn nothing_is_measured_as_nothing() {
        let measured = Measured::of(&[], 0.5);
        assert_eq!((measured.count, measured.auc, measured.precision, measured.recall, measured.f1), (0, None, None, None, None));
        assert_eq!((measured.ece, measured.brier), (0.0, 0.0));
        assert_eq!(auc(&[(0.5, 1.0), (0.5, 0.0)]), Some(0.5));
    }
}
