//! The area under the ROC curve: how often a positive scores above a negative.

use super::{Scored, check, sorted};
use crate::EstimateError;
use crate::binomial::boundary;
use crate::quantile::two_sided;

/// AUC with its limits, `0 <= low <= value <= high <= 1`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Auc {
    /// Probability that a positive scores above a negative, ties counted half (Mann, Whitney 1947). 0.5: the score knows nothing.
    pub value: f64,
    /// Lower limit.
    pub low: f64,
    /// Upper limit.
    pub high: f64,
    /// After DeLong, DeLong, Clarke-Pearson 1988. 0 where the classes are separated, which does not mean certain; the limits know.
    pub std_error: f64,
    /// After Hanley, McNeil 1982 (Radiology 143, 29-36), for comparison.
    pub std_error_hanley_mcneil: f64,
    /// Positive items.
    pub positives: usize,
    /// Negative items.
    pub negatives: usize,
}

/// Below this, what is seen of a variance is rounding.
const ROUNDING: f64 = 1e-12;

/// Equal scores: weight of positives and negatives, weight below, and the sums of squared weights.
#[derive(Clone, Copy, Default)]
struct Tie {
    weight: [f64; 2],
    squares: [f64; 2],
    below: [f64; 2],
}

/// AUC of any scores; `None` unless there are both positives and negatives.
///
/// With placements `V_i` (for a positive: the share of negatives below, ties half; for a negative: the share of positives above),
/// `var = sum_c n_c/(n_c - 1) sum_i w_i^2 (V_i - AUC)^2 / W_c^2` over the two classes `c`: DeLong's variance where weights are equal. The
/// limits lie at `+- z` standard errors on the scale of log odds (Pepe 2003, section 5.2.4). Where no variance was seen, they are those
/// `a` with `(a - AUC)^2 = z^2 V(a)`, `V` being Hanley's and McNeil's variance.
///
/// # Errors
/// For a score, a weight or a level that is none.
pub fn auc(items: &[Scored], level: f64) -> Result<Option<Auc>, EstimateError> {
    EstimateError::level(level)?;
    check(items, false)?;
    let ties = ties(&sorted(items));
    let [negative, positive] = [0, 1].map(|class| ties.iter().map(|tie| tie.weight[class]).sum::<f64>());
    let positives = items.iter().filter(|item| item.positive).count();
    let negatives = items.len() - positives;
    if positives == 0 || negatives == 0 {
        return Ok(None);
    }
    let placement = |tie: &Tie| {
        let above = positive - tie.below[1] - tie.weight[1];
        [(above + tie.weight[1] / 2.0) / positive, (tie.below[0] + tie.weight[0] / 2.0) / negative]
    };
    let pairs: f64 = ties.iter().map(|tie| tie.weight[1] * (tie.below[0] + tie.weight[0] / 2.0)).sum();
    let value = (pairs / (positive * negative)).clamp(0.0, 1.0);
    let part = |class: usize, n: usize, total: f64| {
        let sum: f64 = ties.iter().map(|tie| tie.squares[class] / total / total * (placement(tie)[class] - value).powi(2)).sum();
        sum * n as f64 / (n.max(2) - 1) as f64
    };
    let std_error = (part(0, negatives, negative) + part(1, positives, positive)).sqrt();
    // Sizes that the weights leave (Kish).
    let [m, n] = [(0, negative), (1, positive)]
        .map(|(class, total)| 1.0 / ties.iter().map(|tie| tie.squares[class] / total / total).sum::<f64>());
    let z = two_sided(level);
    let room = value * (1.0 - value);
    let (low, high) = if room > ROUNDING && std_error > ROUNDING {
        let odds = (value / (1.0 - value)).ln();
        let back = |odds: f64| if odds >= 0.0 { 1.0 / (1.0 + (-odds).exp()) } else { odds.exp() / (1.0 + odds.exp()) };
        (back(odds - z * std_error / room), back(odds + z * std_error / room))
    } else {
        // Whether `a` is too far from the value: beyond the limit on each side, never within.
        let far = |a: f64| (a - value).powi(2) > z * z * hanley_mcneil(a, m, n);
        (value * boundary(|part| far(part * value)).1, 1.0 - (1.0 - value) * boundary(|part| far(1.0 - part * (1.0 - value))).1)
    };
    let std_error_hanley_mcneil = hanley_mcneil(value, m, n).sqrt();
    let (low, high) = (low.min(value), high.max(value));
    Ok(Some(Auc { value, low, high, std_error, std_error_hanley_mcneil, positives, negatives }))
}

/// `(a (1-a) + (n-1)(Q1 - a^2) + (m-1)(Q2 - a^2))/(m n)`, `Q1 = a/(2-a)`, `Q2 = 2 a^2/(1+a)`, `m` negatives, `n` positives; written so
/// that nothing cancels.
fn hanley_mcneil(a: f64, m: f64, n: f64) -> f64 {
    let (positives, negatives) = ((n - 1.0).max(0.0) * (1.0 - a) / (2.0 - a), (m - 1.0).max(0.0) * a / (1.0 + a));
    a * (1.0 - a) * (1.0 + positives + negatives) / (m * n)
}

/// Sorted items by equal score.
fn ties(sorted: &[Scored]) -> Vec<Tie> {
    let mut ties = Vec::new();
    let mut below = [0.0; 2];
    for equal in sorted.chunk_by(|a, b| a.score == b.score) {
        let mut tie = Tie { below, ..Tie::default() };
        for item in equal {
            let class = usize::from(item.positive);
            tie.weight[class] += item.weight;
            tie.squares[class] += item.weight * item.weight;
        }
        below = [below[0] + tie.weight[0], below[1] + tie.weight[1]];
        ties.push(tie);
    }
    ties
}

#[cfg(test)]
mod tests {
    use super::super::tests::spread;
    use super::*;

    fn of(items: &[Scored]) -> Auc {
        auc(items, 0.95).unwrap().unwrap()
    }

    /// Hanley, McNeil 1982, table I: ratings 1 to 5 of 58 normal and 51 abnormal images.
    fn images() -> Vec<Scored> {
        let ratings = |counts: [usize; 5], positive| {
            counts
                .into_iter()
                .enumerate()
                .flat_map(move |(rating, count)| std::iter::repeat_n(Scored::new(rating as f64, positive), count))
        };
        ratings([33, 6, 6, 11, 2], false).chain(ratings([3, 2, 2, 11, 33], true)).collect()
    }

    #[test]
    fn published_area_and_standard_error() {
        let found = of(&images());
        assert!((found.value - 0.893).abs() < 5e-4 && (found.std_error_hanley_mcneil - 0.032).abs() < 1e-3, "{found:?}");
        assert!((0.0..=1.0).contains(&found.low) && found.low < found.value && found.value < found.high);
    }

    /// DeLong's variance as his equations have it: variances of the placements, from all pairs.
    #[test]
    fn equals_all_pairs() {
        let rounded = |items: Vec<Scored>| -> Vec<Scored> {
            items.into_iter().map(|i| Scored::new((i.score * 9.0).round(), i.positive)).collect()
        };
        for items in [images(), rounded(spread(83, |score, chance| chance < score)), spread(50, |_, chance| chance < 0.3)] {
            let items: Vec<Scored> = items.into_iter().map(|item| Scored { weight: 1.0, ..item }).collect();
            let (positive, negative): (Vec<&Scored>, Vec<&Scored>) = items.iter().partition(|item| item.positive);
            let kernel = |p: &Scored, n: &Scored| {
                if p.score > n.score {
                    1.0
                } else if p.score == n.score {
                    0.5
                } else {
                    0.0
                }
            };
            let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
            let v10: Vec<f64> =
                positive.iter().map(|p| mean(&negative.iter().map(|n| kernel(p, n)).collect::<Vec<_>>())).collect();
            let v01: Vec<f64> =
                negative.iter().map(|n| mean(&positive.iter().map(|p| kernel(p, n)).collect::<Vec<_>>())).collect();
            let area = mean(&v10);
            let part = |v: &[f64]| v.iter().map(|v| (v - area).powi(2)).sum::<f64>() / ((v.len() - 1) as f64 * v.len() as f64);
            let found = of(&items);
            assert!((found.value - area).abs() < 1e-12);
            assert!((found.std_error - (part(&v10) + part(&v01)).sqrt()).abs() < 1e-12);
        }
    }

    #[test]
    fn weights_stand_for_items() {
        let items = spread(200, |score, chance| chance < score);
        let repeated: Vec<Scored> =
            items.iter().flat_map(|item| std::iter::repeat_n(Scored { weight: 1.0, ..*item }, item.weight as usize)).collect();
        assert!((of(&items).value - of(&repeated).value).abs() < 1e-12);
        assert!(of(&items).std_error > of(&repeated).std_error, "a weight of 3 is not 3 items");
    }

    #[test]
    fn separated_classes_are_not_certain() {
        let apart: Vec<Scored> = (0..20).map(|i| Scored::new(f64::from(i), i >= 10)).collect();
        let found = of(&apart);
        assert_eq!((found.value, found.high, found.std_error), (1.0, 1.0, 0.0));
        // (1 - a)^2 = z^2 V(a) at the limit.
        let z = 1.959_963_984_540_054_f64;
        assert!(((1.0 - found.low).powi(2) - z * z * hanley_mcneil(found.low, 10.0, 10.0)).abs() < 1e-9);
        assert!(found.low > 0.7 && found.low < 0.9, "{found:?}");
        let reversed: Vec<Scored> = apart.iter().map(|item| Scored { score: -item.score, ..*item }).collect();
        let found_reversed = of(&reversed);
        assert_eq!((found_reversed.value, found_reversed.low), (0.0, 0.0));
        assert!((found_reversed.high - (1.0 - found.low)).abs() < 1e-9);
        let ties = of(&[Scored::new(0.5, true), Scored::new(0.5, false)]);
        assert!(ties.value == 0.5 && ties.low < 0.1 && ties.high > 0.9, "{ties:?}");
        assert_eq!(auc(&[Scored::new(0.5, true)], 0.95), Ok(None));
    }
}
