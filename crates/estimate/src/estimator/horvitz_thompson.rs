//! The Horvitz-Thompson estimator: the weighted total over the known number of interactions.

use super::{Point, effective};
use crate::Estimand;
use crate::nonresponse::Adjusted;

/// `est = sum(w H)/N`, `var = sum(q H^2)/N^2`, plus `s^2/N` for `process`.
///
/// Horvitz, Thompson 1952; Sarndal, Swensson, Wretman, result 2.8.1. Without bias at any size, but it pays for the chance of how many
/// were drawn, most where the rate is high, and may exceed 1. Right for totals; for rates prefer [`hajek`](super::hajek()).
pub fn horvitz_thompson(sums: &Adjusted, estimand: Estimand) -> Point {
    let [u, _, _, _, _, uhh] = sums.one_q();
    let [total, _, wh, _, _, whh] = sums.one_w();
    let n = sums.population as f64;
    let mean = wh / total;
    let spread = (whh / total - mean * mean).max(0.0);
    let (traffic_variance, traffic_size) = match estimand {
        Estimand::Window => (0.0, 0.0),
        Estimand::Process => (spread / n, 1.0 / n),
    };
    Point {
        value: wh / n,
        variance: uhh / (n * n) + traffic_variance,
        spread,
        inverse_size: u / (n * n) + traffic_size,
        residuals: effective(uhh, sums.max_q, sums.fourth(0.0, 0.0, Estimand::Window), sums.judged),
    }
}
