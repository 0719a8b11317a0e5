//! Isotonic regression: the best rate for each score among those that never fall.

use serde::{Deserialize, Serialize};

use super::{Scored, check, sorted};
use crate::EstimateError;

/// Scores that get the same rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// Lowest score that was seen.
    pub from: f64,
    /// Highest score that was seen.
    pub to: f64,
    /// Rate of positives.
    pub rate: f64,
    /// Weight behind it.
    pub weight: f64,
}

/// A fitted recalibration: blocks of rising score and rising rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Isotonic {
    /// At least one, in order.
    blocks: Vec<Block>,
}

impl Isotonic {
    /// Least squares under the order of the scores, by pooling adjacent violators (Ayer, Brunk, Ewing, Reid, Silverman 1955; Barlow,
    /// Bartholomew, Bremner, Brunk 1972). Equal scores form one point. `None` without items.
    ///
    /// # Errors
    /// For a score or a weight that is none.
    pub fn fit(items: &[Scored]) -> Result<Option<Self>, EstimateError> {
        check(items, false)?;
        let mut blocks: Vec<Block> = Vec::new();
        for equal in sorted(items).chunk_by(|a, b| a.score == b.score) {
            let weight: f64 = equal.iter().map(|item| item.weight).sum();
            let rate = equal.iter().map(|item| item.weight * item.label()).sum::<f64>() / weight;
            let mut block = Block { from: equal[0].score, to: equal[0].score, rate, weight };
            while let Some(last) = blocks.last().copied().filter(|last| last.rate >= block.rate) {
                blocks.pop();
                let weight = last.weight + block.weight;
                let rate = (last.rate * last.weight + block.rate * block.weight) / weight;
                block = Block { from: last.from, to: block.to, rate, weight };
            }
            blocks.push(block);
        }
        Ok((!blocks.is_empty()).then_some(Self { blocks }))
    }

    /// The rate for a score: that of its block, between two blocks on the straight line from one to the other, beyond them that of the
    /// outermost. NaN for NaN.
    pub fn rate(&self, score: f64) -> f64 {
        let above = self.blocks.partition_point(|block| block.to < score);
        let Some(next) = self.blocks.get(above) else { return self.blocks.last().map_or(f64::NAN, |block| block.rate) };
        match above.checked_sub(1).and_then(|below| self.blocks.get(below)) {
            _ if score.is_nan() => f64::NAN,
            Some(last) if score < next.from => {
                let part = (score - last.to) / (next.from - last.to);
                last.rate + (next.rate - last.rate) * part.clamp(0.0, 1.0)
            }
            _ => next.rate,
        }
    }

    /// The blocks, in order.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::spread;
    use super::*;

    fn fit(items: &[Scored]) -> Isotonic {
        Isotonic::fit(items).unwrap().unwrap()
    }

    /// Barlow and others 1972, the max-min formula: the fit at point i is the largest over a <= i of the smallest over b >= i of the mean
    /// of a..=b.
    fn max_min(points: &[(f64, f64, f64)]) -> Vec<f64> {
        let mean = |a: usize, b: usize| {
            let (sum, weight) = points[a..=b].iter().fold((0.0, 0.0), |(s, w), (_, y, weight)| (s + y * weight, w + weight));
            sum / weight
        };
        let n = points.len();
        let least = |a: usize, i: usize| (i..n).map(|b| mean(a, b)).fold(f64::INFINITY, f64::min);
        (0..n).map(|i| (0..=i).map(|a| least(a, i)).fold(f64::NEG_INFINITY, f64::max)).collect()
    }

    #[test]
    fn equals_the_max_min_formula() {
        for n in [1, 2, 3, 10, 57, 120] {
            let items = spread(n, |score, chance| chance < 0.2 + 0.5 * score);
            // Scores rounded, so that there are ties.
            let items: Vec<Scored> = items.iter().map(|i| Scored { score: (i.score * 40.0).round() / 40.0, ..*i }).collect();
            let mut points: Vec<(f64, f64, f64)> = Vec::new();
            for item in sorted(&items) {
                match points.last_mut() {
                    Some((score, y, w)) if *score == item.score => {
                        *y = (*y * *w + item.label() * item.weight) / (*w + item.weight);
                        *w += item.weight;
                    }
                    _ => points.push((item.score, item.label(), item.weight)),
                }
            }
            let fitted = fit(&items);
            for ((score, ..), expected) in points.iter().zip(max_min(&points)) {
                assert!((fitted.rate(*score) - expected).abs() < 1e-12, "{n}: {score}");
            }
        }
    }

    #[test]
    fn by_hand() {
        // Labels 0 1 0 1 1 0 1 in order of the score: the pairs that fall are pooled, to 0 | 1/2 | 2/3 | 1.
        let labels = [false, true, false, true, true, false, true];
        let items: Vec<Scored> = labels.iter().enumerate().map(|(i, label)| Scored::new(i as f64, *label)).collect();
        let fitted = fit(&items);
        let rates: Vec<f64> = (0..7).map(|i| fitted.rate(f64::from(i))).collect();
        assert_eq!(rates, [0.0, 0.5, 0.5, 2.0 / 3.0, 2.0 / 3.0, 2.0 / 3.0, 1.0]);
        assert_eq!((fitted.rate(-5.0), fitted.rate(0.5), fitted.rate(99.0)), (0.0, 0.25, 1.0));
        assert!(fitted.rate(f64::NAN).is_nan());
        assert_eq!(fitted.blocks().len(), 4);
        let one = fit(&[Scored::new(0.3, true), Scored::new(0.3, false), Scored { weight: 2.0, ..Scored::new(0.3, false) }]);
        assert_eq!(one.rate(0.3), 0.25);
        assert_eq!(Isotonic::fit(&[]), Ok(None));
    }

    #[test]
    fn never_falls_and_keeps_the_mean() {
        let items = spread(3000, |score, chance| chance < (score - 0.5).abs());
        let fitted = fit(&items);
        let rates: Vec<f64> = (-5..=1010).map(|i| fitted.rate(f64::from(i) / 1000.0)).collect();
        assert!(rates.windows(2).all(|two| two[0] <= two[1]) && rates.iter().all(|rate| (0.0..=1.0).contains(rate)));
        let mean = |of: &dyn Fn(&Scored) -> f64| items.iter().map(|item| item.weight * of(item)).sum::<f64>();
        assert!((mean(&|item| item.label()) - mean(&|item| fitted.rate(item.score))).abs() < 1e-8);
    }
}
