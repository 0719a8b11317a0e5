//! The Hajek estimator: the weighted mean of what was judged.

use super::{Point, effective, variance_factor};
use crate::Estimand;
use crate::nonresponse::Adjusted;

/// `est = sum(w H)/W`, `var = sum(u (H - est)^2)/W^2` with `u = q` for `window` and `u = w^2` for `process`.
///
/// Sarndal, Swensson, Wretman, result 5.7.1 with the variance estimator of Poisson sampling (draws are independent). The bias is of
/// order 1/n. For `process`, `var = sum(D^2)/N^2` with `D = (N/W) w (H - est)`, each interaction on its own: where conversations of
/// several interactions are alike within, that is too small.
pub fn hajek(sums: &Adjusted, estimand: Estimand) -> Point {
    let ([u, _, uh, _, _, uhh], max_u) = variance_factor(sums, estimand);
    let [total, _, wh, _, _, whh] = sums.one_w();
    let value = (wh / total).clamp(0.0, 1.0);
    let squares = (uhh - 2.0 * value * uh + value * value * u).max(0.0);
    let largest = value.max(1.0 - value);
    Point {
        value,
        variance: squares / (total * total),
        spread: (whh / total - value * value).max(0.0),
        inverse_size: u / (total * total),
        residuals: effective(squares, max_u * largest * largest, sums.fourth(0.0, value, estimand), sums.judged),
    }
}
