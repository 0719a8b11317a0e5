//! PPI++ as its paper and reference implementation have it: labelled and unlabelled samples apart, all of one weight.

use crate::EstimateError;
use crate::quantile::two_sided;

/// What [`ppi_disjoint`] says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Disjoint {
    /// The estimate, not cut to [0, 1].
    pub value: f64,
    /// Lower limit of the normal interval, not cut.
    pub low: f64,
    /// Upper limit.
    pub high: f64,
    /// Square root of the estimated variance.
    pub std_error: f64,
    /// The weight of the predictions, in [0, 1].
    pub lam: f64,
}

/// `est = lam mean(g') + mean(H - lam g)`, `var = lam^2 var(g')/N + var(H - lam g)/n`, over `n` labelled pairs `(H, g)` and `N` unlabelled
/// `g'` that are not among them; `lam = cov(H, g)/((1 + n/N) var(g))`, cut to [0, 1], the covariance over the labelled (over `n`), the
/// variance over both (over `n + N - 1`). `Ok(None)` where one of the two is empty.
///
/// Angelopoulos, Duchi, Zrnic 2023 (arXiv 2311.01453), example 6.1 for the mean, as `ppi_mean_ci` of their package `ppi_py` 0.2.3 computes it.
/// For what this project judges, use [`telescoped`](super::telescoped()): there the judged are a part of the traffic.
///
/// # Errors
/// [`EstimateError::Level`] for a level that is none; [`EstimateError::Row`] for a score that is no finite number, the unlabelled counted after the
/// labelled.
pub fn ppi_disjoint(labelled: &[(f64, f64)], unlabelled: &[f64], level: f64) -> Result<Option<Disjoint>, EstimateError> {
    EstimateError::level(level)?;
    let rows = labelled.iter().flat_map(|(h, g)| [(*h, 0), (*g, 0)]).enumerate().map(|(i, (score, _))| (i / 2, score));
    let rest = unlabelled.iter().enumerate().map(|(i, score)| (labelled.len() + i, *score));
    if let Some((index, _)) = rows.chain(rest).find(|(_, score)| !(-1e60..=1e60).contains(score)) {
        return Err(EstimateError::Row { index, problem: "its score is no number within -1e60 and 1e60" });
    }
    if labelled.is_empty() || unlabelled.is_empty() {
        return Ok(None);
    }
    let (n, rest) = (labelled.len() as f64, unlabelled.len() as f64);
    let mean = |scores: &mut dyn Iterator<Item = f64>, size: f64| scores.sum::<f64>() / size;
    let (h, g) = (mean(&mut labelled.iter().map(|pair| pair.0), n), mean(&mut labelled.iter().map(|pair| pair.1), n));
    let other = mean(&mut unlabelled.iter().copied(), rest);
    let both = (n * g + rest * other) / (n + rest);
    let covariance = labelled.iter().map(|(x, y)| (x - h) * (y - g)).sum::<f64>() / n;
    let scores = labelled.iter().map(|pair| pair.1).chain(unlabelled.iter().copied());
    let variance = scores.map(|score| (score - both).powi(2)).sum::<f64>() / (n + rest - 1.0);
    let lam = if variance > 0.0 { (covariance / ((1.0 + n / rest) * variance)).clamp(0.0, 1.0) } else { 0.0 };
    let imputed = lam * lam * unlabelled.iter().map(|score| (score - other).powi(2)).sum::<f64>() / rest;
    let rectifier = labelled.iter().map(|(x, y)| (x - h - lam * (y - g)).powi(2)).sum::<f64>() / n;
    let std_error = (imputed / rest + rectifier / n).sqrt();
    let value = lam * other + h - lam * g;
    let half = two_sided(level) * std_error;
    Ok(Some(Disjoint { value, low: value - half, high: value + half, std_error, lam }))
}
