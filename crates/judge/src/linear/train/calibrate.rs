//! Platt's calibration: a logistic curve over margins, fitted on examples that the weights were not (Platt 1999, with the targets and
//! the safeguarded Newton steps of Lin, Lin and Weng 2007, "A note on Platt's probabilistic outputs for support vector machines").

use crate::linear::model::logistic;

const STEPS_MAX: usize = 100;
const GRADIENT_MIN: f64 = 1e-7;
const RIDGE: f64 = 1e-12;

/// Slope and offset such that logistic(slope · margin + offset) is calibrated on pairs of margin and label. The slope is never
/// negative: a higher margin never means a lower score.
pub(super) fn platt(pairs: &[(f64, f64)]) -> (f64, f64) {
    let positive: f64 = pairs.iter().map(|(_, label)| label).sum();
    let negative = pairs.len() as f64 - positive;
    // Targets short of 0 and 1, so that separable examples do not make an infinite slope.
    let (high, low) = ((positive + 1.0) / (positive + 2.0), 1.0 / (negative + 2.0));
    let pairs: Vec<(f64, f64)> = pairs.iter().map(|(margin, label)| (*margin, label * high + (1.0 - label) * low)).collect();
    let loss = |slope: f64, offset: f64| -> f64 {
        let of = |(margin, target): &(f64, f64)| {
            let x = slope * margin + offset;
            x.max(0.0) - x * target + (-x.abs()).exp().ln_1p()
        };
        pairs.iter().map(of).sum()
    };
    let (mut slope, mut offset) = (0.0, ((positive + 1.0) / (negative + 1.0)).ln());
    let mut present = loss(slope, offset);
    for _ in 0..STEPS_MAX {
        let (mut g_slope, mut g_offset, mut h_ss, mut h_so, mut h_oo) = (0.0, 0.0, RIDGE, 0.0, RIDGE);
        for (margin, target) in &pairs {
            let p = logistic(slope * margin + offset);
            let (error, weight) = (p - target, p * (1.0 - p));
            g_slope += error * margin;
            g_offset += error;
            h_ss += weight * margin * margin;
            h_so += weight * margin;
            h_oo += weight;
        }
        let determinant = h_ss * h_oo - h_so * h_so;
        if g_slope.abs().max(g_offset.abs()) < GRADIENT_MIN || !determinant.is_normal() {
            break;
        }
        let step_slope = -(h_oo * g_slope - h_so * g_offset) / determinant;
        let step_offset = -(h_ss * g_offset - h_so * g_slope) / determinant;
        let shrunk = (0..40).map(|halved| 0.5_f64.powi(halved)).map(|share| {
            let (slope, offset) = (slope + share * step_slope, offset + share * step_offset);
            (loss(slope, offset), slope, offset)
        });
        let Some((better, new_slope, new_offset)) = shrunk.into_iter().find(|(loss, ..)| *loss < present) else { break };
        (present, slope, offset) = (better, new_slope, new_offset);
    }
    if slope > 0.0 { (slope, offset) } else { (0.0, ((positive + 1.0) / (negative + 1.0)).ln()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Margins on a grid, each with the share of positives that the curve says.
    fn of_curve(slope: f64, offset: f64) -> Vec<(f64, f64)> {
        (-400..=400).map(|step| f64::from(step) / 100.0).map(|margin| (margin, logistic(slope * margin + offset))).collect()
    }

    #[test]
    fn the_curve_that_made_the_labels_is_found() {
        for (slope, offset) in [(1.0, 0.0), (0.5, -1.0), (3.0, 0.7)] {
            let (found_slope, found_offset) = platt(&of_curve(slope, offset));
            assert!((found_slope - slope).abs() < 0.1 * slope, "{found_slope} {slope}");
            assert!((found_offset - offset).abs() < 0.1, "{found_offset} {offset}");
        }
    }

    #[test]
    fn separable_and_senseless_margins_give_finite_curves() {
        let separable: Vec<(f64, f64)> = (0..50).map(|n| (f64::from(n) - 24.5, f64::from(u8::from(n >= 25)))).collect();
        let (slope, offset) = platt(&separable);
        assert!(slope > 0.0 && slope.is_finite() && offset.is_finite());
        // Where higher margins mean less, the base rate is said for all.
        let reversed: Vec<(f64, f64)> = separable.iter().map(|(margin, label)| (-margin, *label)).collect();
        assert_eq!(platt(&reversed), (0.0, 0.0));
        for pairs in [vec![], vec![(1.0, 1.0)], vec![(2.0, 0.0); 5]] {
            let (slope, offset) = platt(&pairs);
            assert!(slope.is_finite() && offset.is_finite());
        }
    }
}
