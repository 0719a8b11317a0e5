//! The mean of the free score, corrected by how the reference differs from it where both are known.

use super::{Point, effective};
use crate::Estimand;
use crate::nonresponse::Adjusted;

/// Below this share of `sum q g^2` the variance of `g` is rounding: there is nothing to correct by.
const ROUNDING: f64 = 1e-12;

/// `e = H - lam g`, `est = lam g_bar + e_w`, for the estimand `window`: `var = sum q (e - e_w)^2 / W^2` with
/// `lam = sum q (g - g_w)(H - H_w) / sum q (g - g_w)^2`, 0 where `g` does not vary. `free_mean` is `g_bar`, the mean of `g` over the whole
/// population. Gives the point and `lam`; the value may lie a little outside [0, 1].
///
/// PPI++ (Angelopoulos, Duchi, Zrnic 2023, arXiv 2311.01453) with unequal probabilities (Zrnic, Candes 2024, arXiv 2403.03208): the
/// regression estimator of Sarndal, Swensson, Wretman, section 6.4.
pub fn ppi(sums: &Adjusted, free_mean: f64) -> (Point, f64) {
    let [total, wg, wh, wgg, wgh, whh] = sums.one_w();
    let [q, qg, qh, qgg, qgh, qhh] = sums.one_q();
    let (g, h) = (wg / total, wh / total);
    let free = (qgg - 2.0 * g * qg + g * g * q).max(0.0);
    let both = qgh - g * qh - h * qg + g * h * q;
    let lam = if free > ROUNDING * qgg { both / free } else { 0.0 };
    let reference = (qhh - 2.0 * h * qh + h * h * q).max(0.0);
    let squares = (reference - 2.0 * lam * both + lam * lam * free).max(0.0);
    let (vg, vh, cov) = (wgg / total - g * g, whh / total - h * h, wgh / total - g * h);
    // Residuals H - lam g lie between these for scores in [0, 1].
    let mean = h - lam * g;
    let largest = (1.0 - lam.min(0.0) - mean).max(mean + lam.max(0.0));
    let point = Point {
        value: h + lam * (free_mean - g),
        variance: squares / (total * total),
        spread: (vh - 2.0 * lam * cov + lam * lam * vg).max(0.0),
        inverse_size: q / (total * total),
        residuals: effective(squares, sums.max_q * largest * largest, sums.fourth(lam, mean, Estimand::Window), sums.judged),
    };
    (point, lam)
}
