//! Estimators: from adjusted sums to a value and its variance. One file per estimator.

mod clustered;
mod disjoint;
mod hajek;
mod horvitz_thompson;
mod ppi;
mod telescoped;

pub(crate) use clustered::{Clustered, Share, clustered};
pub use disjoint::{Disjoint, ppi_disjoint};
pub use hajek::hajek;
pub use horvitz_thompson::horvitz_thompson;
pub use ppi::ppi;
pub use telescoped::{Predictors, Telescoped, telescoped};
pub(crate) use telescoped::{Residuals, quadratic};

use crate::Estimand;
use crate::nonresponse::Adjusted;

/// How the value is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Estimator {
    /// Weighted mean; see [`hajek()`].
    Hajek,
    /// Weighted total over the known number of interactions; see [`horvitz_thompson()`].
    HorvitzThompson,
    /// The mean of the free score, corrected tier by tier; see [`telescoped()`].
    #[default]
    Ppi,
}

impl Estimator {
    /// Its name, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hajek => "hajek",
            Self::HorvitzThompson => "horvitz_thompson",
            Self::Ppi => "ppi",
        }
    }
}

/// What an estimator says, and what an interval needs to know about it. `u` is the variance factor of one judged interaction: `q`
/// for the estimand `window`, `q + w = w^2` for `process`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// The estimate; for Horvitz-Thompson possibly above 1.
    pub value: f64,
    /// Its estimated variance.
    pub variance: f64,
    /// The variance of `H` itself, `s^2 = sum(w H^2)/W - (sum(w H)/W)^2`: `p (1-p)` where every score is 0 or 1.
    pub spread: f64,
    /// `sum u / W^2`, the reciprocal of how many judged interactions, drawn alike, would be as sure. 0 where nothing is left to
    /// chance.
    pub inverse_size: f64,
    /// How many residuals `v = u e^2` make up the variance, `(sum v)^2 / sum v^2` (Kish), or a lower bound of it: where weights differ within
    /// a bucket, where sums of the fourth degree are not kept, and with several called tiers.
    ///
    /// Without these sums: `v <= max u * max e^2`, so that `sum v / (max u * max e^2)` is at most that number.
    pub residuals: f64,
}

impl Point {
    /// The same with a variance larger by this factor: the effect of a design (Kish), such as conversations that are alike within.
    pub(crate) fn with_effect(self, effect: f64) -> Self {
        Self { variance: self.variance * effect, inverse_size: self.inverse_size * effect, ..self }
    }
}

/// Sum of the variance factor `u` times 1, g, H, g^2, gH, H^2, and an upper bound of `u`. For `window` `u = q`: only the draw is
/// random. For `process` `u = q + w`: the traffic is random too, each interaction on its own.
fn variance_factor(sums: &Adjusted, estimand: Estimand) -> ([f64; 6], f64) {
    match estimand {
        Estimand::Window => (sums.one_q(), sums.max_q),
        Estimand::Process => {
            let (q, w) = (sums.one_q(), sums.one_w());
            (std::array::from_fn(|i| q[i] + w[i]), sums.max_q + sums.max_w)
        }
    }
}

/// `(sum v)^2/sum v^2` from `squares = sum v`, the `largest` that one `v` can be, and `fourth`, which is `sum v^2` or more where it is known.
/// It is never more than there are `judged` (Cauchy-Schwarz), whatever rounding makes of the sums.
fn effective(squares: f64, largest: f64, fourth: Option<f64>, judged: u64) -> f64 {
    let least = ratio(squares, largest);
    let most = judged as f64;
    fourth.map_or(least, |fourth| ratio(squares * squares, fourth.max(squares * squares / most)).max(least).min(most))
}

/// `numerator / denominator`, or 0 where the denominator is: no chance, no residuals.
fn ratio(numerator: f64, denominator: f64) -> f64 {
    if denominator > 0.0 { numerator / denominator } else { 0.0 }
}

/// How many residuals make up the variance over all cells: with `V_h = a_h^2 var_h` of a cell and `r_h` residuals there,
/// `(sum V_h)^2 / sum V_h^2/r_h`.
pub(crate) fn pooled_residuals<'a>(points: impl Iterator<Item = (f64, &'a Point)>) -> f64 {
    let (mut sum, mut squares) = (0.0, 0.0);
    for (share, point) in points.filter(|(_, point)| point.residuals > 0.0) {
        let part = share * share * point.variance;
        sum += part;
        squares += part * part / point.residuals;
    }
    if squares > 0.0 { sum * sum / squares } else { 0.0 }
}
