//! Platt scaling: a logistic curve through the scores.

use serde::{Deserialize, Serialize};

use super::{Scored, check};
use crate::EstimateError;

/// Steps of Newton's method; a dozen suffice where there is anything to find.
const STEPS_MAX: u32 = 100;
/// Keeps the equations solvable where all scores are equal.
const RIDGE: f64 = 1e-12;
/// Where the gradient, per item, is that small, the fit is done.
const GRADIENT: f64 = 1e-10;

/// A fitted recalibration: `rate = 1/(1 + exp(-(slope score + offset)))`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Platt {
    /// Above 0 where higher scores mean more positives.
    pub slope: f64,
    /// Log odds at score 0.
    pub offset: f64,
}

impl Platt {
    /// Largest likelihood, of labels that are drawn in a little so that separated classes have a finite fit: `(n+ + 1)/(n+ + 2)` for
    /// positives, `1/(n- + 2)` for the rest (Platt 1999), by Newton's method with halved steps (Lin, Lin, Weng 2007, *A note on Platt's
    /// probabilistic outputs*, Machine Learning 68, 267-276). Weights count relative to their mean. `None` without items.
    ///
    /// # Errors
    /// For a score or a weight that is none.
    pub fn fit(items: &[Scored]) -> Result<Option<Self>, EstimateError> {
        check(items, false)?;
        let Some(first) = items.first() else { return Ok(None) };
        let n = items.len() as f64;
        let mean_weight = items.iter().map(|item| item.weight / n).sum::<f64>();
        // Shifted and scaled to [0, 1], so that the size of scores does not matter.
        let (low, high) = items.iter().fold((first.score, first.score), |(low, high), i| (low.min(i.score), high.max(i.score)));
        let scale = if high > low { high - low } else { 1.0 };
        let positives: f64 = items.iter().filter(|item| item.positive).map(|item| item.weight / mean_weight).sum();
        let target = |positive: bool| if positive { (positives + 1.0) / (positives + 2.0) } else { 1.0 / (n - positives + 2.0) };
        let points: Vec<[f64; 3]> =
            items.iter().map(|item| [(item.score - low) / scale, target(item.positive), item.weight / mean_weight]).collect();
        let [slope, offset] = maximum(&points, [0.0, ((positives + 1.0) / (n - positives + 1.0)).ln()]);
        Ok(Some(Self { slope: slope / scale, offset: offset - slope * low / scale }))
    }

    /// The rate for a score, in [0, 1]. NaN for NaN.
    pub fn rate(&self, score: f64) -> f64 {
        logistic(self.slope * score + self.offset)
    }
}

fn logistic(x: f64) -> f64 {
    if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
}

/// Slope and offset with the least `sum w (ln(1 + e^x) - t x)`, `x = slope s + offset`, over points `[s, t, w]`.
fn maximum(points: &[[f64; 3]], start: [f64; 2]) -> [f64; 2] {
    let loss = |[slope, offset]: [f64; 2]| -> f64 {
        let of = |x: f64| if x > 0.0 { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() };
        points.iter().map(|[s, t, w]| w * (of(slope * s + offset) - t * (slope * s + offset))).sum()
    };
    let (mut now, mut value) = (start, loss(start));
    for _ in 0..STEPS_MAX {
        let (mut gradient, mut curve) = ([0.0; 2], [RIDGE, 0.0, RIDGE]);
        for [s, t, w] in points {
            let p = logistic(now[0] * s + now[1]);
            let (error, bend) = (w * (p - t), w * p * (1.0 - p));
            gradient = [gradient[0] + error * s, gradient[1] + error];
            curve = [curve[0] + bend * s * s, curve[1] + bend * s, curve[2] + bend];
        }
        if gradient.iter().all(|part| part.abs() < GRADIENT * points.len() as f64) {
            break;
        }
        let determinant = curve[0] * curve[2] - curve[1] * curve[1];
        let step = [
            (curve[1] * gradient[1] - curve[2] * gradient[0]) / determinant,
            (curve[1] * gradient[0] - curve[0] * gradient[1]) / determinant,
        ];
        let fall = gradient[0] * step[0] + gradient[1] * step[1];
        let mut size = 1.0;
        let better = loop {
            let next = [now[0] + size * step[0], now[1] + size * step[1]];
            let next_value = loss(next);
            if next_value < value + 1e-4 * size * fall {
                break Some((next, next_value));
            }
            size /= 2.0;
            if size < 1e-10 {
                break None;
            }
        };
        let Some(better) = better else { break };
        (now, value) = better;
    }
    now
}

#[cfg(test)]
mod tests {
    use super::super::tests::spread;
    use super::*;

    fn fit(items: &[Scored]) -> Platt {
        Platt::fit(items).unwrap().unwrap()
    }

    #[test]
    fn finds_the_curve_that_labels_come_from() {
        let items = spread(40_000, |score, chance| chance < logistic(4.0 * score - 1.5));
        let fitted = fit(&items);
        assert!((fitted.slope - 4.0).abs() < 0.1 && (fitted.offset + 1.5).abs() < 0.06, "{fitted:?}");
    }

    #[test]
    fn the_gradient_vanishes() {
        let items = spread(301, |score, chance| chance < score);
        let fitted = fit(&items);
        let mean = items.iter().map(|item| item.weight).sum::<f64>() / 301.0;
        let positives: f64 = items.iter().filter(|item| item.positive).map(|item| item.weight / mean).sum();
        let error = |item: &Scored| {
            let target = if item.positive { (positives + 1.0) / (positives + 2.0) } else { 1.0 / (301.0 - positives + 2.0) };
            item.weight / mean * (fitted.rate(item.score) - target)
        };
        assert!(items.iter().map(error).sum::<f64>().abs() < 1e-6);
        assert!(items.iter().map(|item| error(item) * item.score).sum::<f64>().abs() < 1e-6);
    }

    #[test]
    fn scale_and_shift_of_scores_change_nothing() {
        let items = spread(500, |score, chance| chance < score);
        let fitted = fit(&items);
        let moved: Vec<Scored> = items.iter().map(|item| Scored { score: 1e6 * item.score - 3e6, ..*item }).collect();
        let other = fit(&moved);
        for (item, moved) in items.iter().zip(&moved) {
            assert!((fitted.rate(item.score) - other.rate(moved.score)).abs() < 1e-7);
        }
    }

    #[test]
    fn extremes_stay_finite() {
        let apart: Vec<Scored> = (0..40).map(|i| Scored::new(f64::from(i), i >= 20)).collect();
        let fitted = fit(&apart);
        assert!(fitted.slope > 0.0 && fitted.slope.is_finite() && fitted.rate(0.0) < 0.05 && fitted.rate(39.0) > 0.95);
        // One score: Platt's targets average to (n+ (n+ + 1)/(n+ + 2) + n-/(n- + 2))/n.
        let same: Vec<Scored> = (0..10).map(|i| Scored::new(0.5, i < 3)).collect();
        assert!((fit(&same).rate(0.5) - (3.0 * 0.8 + 7.0 / 9.0) / 10.0).abs() < 1e-9);
        for positive in [true, false] {
            let rate = fit(&[Scored::new(7.0, positive)]).rate(7.0);
            assert!((rate - if positive { 2.0 / 3.0 } else { 1.0 / 3.0 }).abs() < 1e-9, "{rate}");
        }
        let huge = fit(&[Scored::new(-1e30, false), Scored::new(1e30, true), Scored::new(0.0, true)]);
        assert!(huge.rate(0.0).is_finite() && huge.rate(1e30) > huge.rate(-1e30));
        assert_eq!(Platt::fit(&[]), Ok(None));
    }
}
