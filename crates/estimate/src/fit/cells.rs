//! Where few positives were seen: each cell with an interval of its own.

use super::{Shape, Stratum, between};
use crate::Options;
use crate::estimator::{Clustered, Estimator, Point, Share, clustered, hajek, quadratic};
use crate::interval::{Interval, Spread, mid_p, wilson};
use crate::nonresponse::Adjusted;
use crate::strata::Cell;

/// A cell of its own.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    /// `a_h`.
    share: f64,
    pub(super) point: Point,
    /// Where nothing was left to chance: the limits, that are not those of a sample.
    pub(super) known: Option<Interval>,
    /// Where the limits are those of a residual.
    pub(super) residual: Option<Residual>,
}

/// A residual, as a share of its range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Residual {
    point: Point,
    range: f64,
    /// Variance of the estimate that is not the residual's.
    rest: f64,
}

impl Residual {
    fn with_effect(self, effect: f64) -> Self {
        Self { point: self.point.with_effect(effect), rest: self.rest * effect, ..self }
    }
}

impl Part {
    /// How far the limits lie from the value, for the two-sided quantile `z`: Wilson's where it `is_alone`, else mid-p, of which each side is
    /// right by itself.
    pub(super) fn apart(&self, z: f64, is_alone: bool) -> Spread {
        let (weight, of) = (self.share, self.point.value);
        let around = |limits: Interval, of: f64, range: f64| Spread {
            weight,
            below: (of - limits.low).max(0.0) * range,
            above: (limits.high - of).max(0.0) * range,
        };
        match (&self.known, &self.residual) {
            (Some(limits), _) => around(*limits, of, 1.0),
            (None, Some(Residual { point, range, rest })) => {
                let Spread { below, above, .. } = around(wilson(point, z), point.value, *range);
                let with = |limit: f64| (limit * limit + z * z * rest).sqrt();
                Spread { weight, below: with(below), above: with(above) }
            }
            (None, None) => around(if is_alone { wilson(&self.point, z) } else { mid_p(&self.point, z) }, of, 1.0),
        }
    }
}

/// A cell, and how its value came about.
struct Estimated<'a> {
    part: Part,
    sums: &'a Adjusted,
    slopes: &'a [Vec<f64>],
}

/// Value, variance and shape from cells alone.
pub(super) fn by_cells(cells: &[Cell], strata: &[Stratum<'_>], options: &Options, n: f64, is_grouped: bool) -> (f64, f64, Shape) {
    let mut found: Vec<Estimated<'_>> = Vec::new();
    for (cell, stratum) in cells.iter().zip(strata) {
        let has_residual = cell.whole.tiers() > 1 || cells.len() == 1;
        let residual = last_residual(stratum).filter(|_| has_residual && options.estimator == Estimator::Ppi);
        if let Some(scale) = residual {
            let part = Part { share: stratum.share, point: stratum.point, known: None, residual: Some(scale) };
            found.push(Estimated { part, sums: stratum.sums, slopes: &stratum.slopes });
            continue;
        }
        for sums in &cell.parts {
            let point = hajek(sums, options.estimand);
            let is_certain = point.inverse_size <= 0.0 && point.variance <= 0.0;
            let share = sums.population as f64 / n;
            let part = Part { share, point, known: is_certain.then(|| known(sums)), residual: None };
            found.push(Estimated { part, sums, slopes: &[] });
        }
    }
    let shares = || found.iter().map(|found| (found.part.share, &found.part.point));
    let value: f64 = shares().map(|(share, point)| share * point.value).sum();
    let mut between = between(shares(), value, n, options.estimand);
    let mut variance = shares().map(|(share, point)| share * share * point.variance).sum::<f64>() + between;
    let (mut degrees, mut effect) = (None, 1.0);
    if is_grouped {
        let shares: Vec<Share<'_>> = found
            .iter()
            .map(|found| Share { sums: found.sums, value: found.part.point.value, slopes: found.slopes, is_total: false })
            .collect();
        if let Some(Clustered { variance: clustered, few, .. }) = clustered(&shares) {
            // Conversations make every cell as much less certain as they make the whole.
            effect = if variance > 0.0 { (clustered / variance).max(1.0) } else { 1.0 };
            degrees = Some(few);
            between *= effect;
            variance *= effect;
        }
    }
    let mut parts: Vec<Part> = found.into_iter().map(|found| found.part).collect();
    for part in &mut parts {
        part.point = part.point.with_effect(effect);
        part.residual = part.residual.map(|residual| residual.with_effect(effect));
    }
    (value, variance, Shape::Cells { parts, between, degrees })
}

/// The last residual `r = H - a_{K-1}` of a stratum, for Wilson's interval: `x = (r - low)/range`, `low` and `low + range` being the least and the
/// most that it can be. The mean of `x` has the last tier's part of the variance, in units of `range^2`, and that tier's factors, so that
/// Wilson's limits leave room for a share of about `z^2/n*` of the largest residuals, of either sign, that the sample happened to miss. The
/// rest of the variance, of the tiers before and of the traffic, is added as what it is.
///
/// `None` where nothing is left to chance, or cheap scores explain nothing: then there is only `H`.
fn last_residual(stratum: &Stratum<'_>) -> Option<Residual> {
    let sums = stratum.sums;
    let slopes = stratum.slopes.last()?;
    if stratum.point.inverse_size <= 0.0 || slopes.iter().all(|slope| *slope == 0.0) {
        return None;
    }
    let rows = sums.tiers() + 2;
    let total = sums.w.entry(rows, 0, 0, 0);
    // H - a as coefficients on z.
    let mut c = vec![0.0; rows];
    c.iter_mut().skip(1).zip(slopes).for_each(|(place, slope)| *place = -slope);
    *c.last_mut()? = 1.0;
    let mean: f64 = c.iter().enumerate().map(|(i, c)| c * sums.w.entry(rows, 0, 0, i) / total).sum();
    let square = quadratic(&sums.w, 0, &c) / total;
    let low: f64 = slopes.iter().map(|slope| -slope.max(0.0)).sum();
    let range = 1.0 - slopes.iter().map(|slope| slope.min(0.0)).sum::<f64>() - low;
    *c.first_mut()? = -mean;
    let last = sums.tiers() - 1;
    let variance = quadratic(&sums.q, last, &c).max(0.0) / (total * total);
    let value = ((mean - low) / range).clamp(0.0, 1.0);
    let point = Point {
        value,
        variance: variance / (range * range),
        spread: ((square - mean * mean) / (range * range)).clamp(0.0, value * (1.0 - value)),
        inverse_size: sums.q.entry(rows, last, 0, 0) / (total * total),
        residuals: stratum.point.residuals,
    };
    Some(Residual { point, range, rest: (stratum.point.variance - variance).max(0.0) })
}

/// The limits of a cell where all that was drawn was certain to be: the value, or, of what had less than certainty and was not drawn, anything
/// from 0 to 1.
fn known(sums: &Adjusted) -> Interval {
    let ([total, _, h, ..], n) = (sums.one_w(), sums.population as f64);
    if sums.judged >= sums.population {
        let value = (h / total).clamp(0.0, 1.0);
        return Interval { low: value, high: value };
    }
    let low = (h / n).clamp(0.0, 1.0);
    Interval { low, high: (low + 1.0 - total / n).clamp(low, 1.0) }
}
