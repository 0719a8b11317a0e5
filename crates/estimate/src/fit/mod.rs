//! From buckets to value and variance, and from these to an interval of any level.

mod cells;

use cells::{Part, by_cells};

use crate::estimator::{
    Clustered, Estimator, Point, Residuals, Share, clustered, hajek, horvitz_thompson, pooled_residuals, telescoped,
};
use crate::interval::{Interval, IntervalKind, RESIDUALS_MIN, STRATUM_RESIDUALS_MIN, Spread, mover};
use crate::nonresponse::Adjusted;
use crate::strata::{self, Cell};
use crate::student::two_sided_tail;
use crate::{Bucket, Estimand, Estimate, EstimateError, Method, Options, Warning};

/// How far beyond a limit a bound lies for it to matter, against rounding.
const ROUNDING: f64 = 1e-9;

/// Where `sum w H^2` is this share of `sum w H`, scores are 0s and 1s.
const BINARY: f64 = 1.0 - 1e-9;

/// An estimate before a level is asked for: see [`fit()`].
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    pub(crate) value: f64,
    pub(crate) variance: f64,
    pub(crate) shape: Shape,
    options: Options,
    is_telescoped: bool,
    population: u64,
    judged: u64,
    scored: Vec<u64>,
    strata: usize,
    residuals: f64,
    coverage: f64,
    bound_low: f64,
    bound_high: f64,
    warnings: Vec<Warning>,
}

/// Where the limits come from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    /// Normal, or Student's with so many degrees of freedom.
    Normal { degrees: Option<f64> },
    /// Those of each cell, combined, with a variance between them.
    Cells { parts: Vec<Part>, between: f64, degrees: Option<f64> },
}

/// A stratum, estimated.
struct Stratum<'a> {
    share: f64,
    point: Point,
    slopes: Vec<Vec<f64>>,
    sums: &'a Adjusted,
    is_known: bool,
    /// Estimated bias of the value.
    bias: f64,
    /// What estimated means and slopes take from the residuals, made up for in the variance: `n/(n - p)` with `p` of them.
    freedom: f64,
}

/// Estimates the mean reference score over `buckets`: `est = sum a_h est_h`, `var = sum a_h^2 var_h` over strata, `a_h = N_h/N`; for
/// `process` the strata's shares are random too, which adds `sum a_h (est_h - est)^2/N`. Where conversations are kept, the variance of
/// `process` is that between their groups, with Student's distribution. `Ok(None)` where nothing was judged.
///
/// With fewer than 30 residuals behind the variance, or fewer than 10 in one of several strata, the normal interval covers too
/// little: then the free score serves for strata only (`lam = 0`), split by class of probability, each with mid-p limits,
/// which MOVER combines; Wilson's where there is one. What has no strata, or called tiers between, would lose with `lam` all that the cheap scores know: there Wilson's
/// limits are those of the last residual, which leave room for large ones that the sample missed. [`Options::level`] is not looked at.
///
/// # Errors
/// [`EstimateError::Sums`] naming the hour of a bucket that cannot be right.
pub fn fit(buckets: &[Bucket], options: &Options) -> Result<Option<Fit>, EstimateError> {
    let Some(cells) = strata::cells(buckets, options.estimand)? else { return Ok(None) };
    let n: f64 = cells.iter().map(|cell| cell.whole.population as f64).sum();
    let strata: Vec<Stratum<'_>> = cells.iter().map(|cell| stratum(cell, n, options)).collect();
    let shares = || strata.iter().map(|stratum| (stratum.share, &stratum.point));
    // Without strata, those that were seen say nothing of large ones that a sample may miss: there the lower bound counts.
    let residuals = match (strata.as_slice(), cells.as_slice()) {
        ([alone], [cell]) if options.estimator != Estimator::HorvitzThompson => residuals(alone, &cell.parts, options.estimand),
        _ => pooled_residuals(shares()),
    };
    let is_grouped = options.estimand == Estimand::Process && cells.iter().all(|cell| cell.whole.is_grouped());
    let is_known = |stratum: &Stratum<'_>| stratum.is_known && options.estimand == Estimand::Window;
    let is_many =
        strata.len() == 1 || strata.iter().all(|stratum| is_known(stratum) || stratum.point.residuals >= STRATUM_RESIDUALS_MIN);
    let normal = is_many && residuals >= RESIDUALS_MIN;
    let (value, variance, shape) =
        if normal { normally(&strata, options, n, is_grouped) } else { by_cells(&cells, &strata, options, n, is_grouped) };
    let mut warnings = Vec::new();
    if let Shape::Cells { parts, .. } = &shape
        && parts.iter().any(|part| part.known.is_some_and(|limits| limits.low < limits.high))
    {
        warnings.push(Warning::PartUnseen);
    }
    if options.estimand == Estimand::Process && !is_grouped {
        warnings.push(Warning::ConversationsIgnored);
    }
    let mean = |of: fn(&Adjusted) -> f64| strata.iter().map(|stratum| stratum.share * of(stratum.sums)).sum::<f64>();
    Ok(Some(Fit {
        value,
        variance,
        options: *options,
        is_telescoped: options.estimator == Estimator::Ppi && cells.iter().any(|cell| cell.whole.tiers() > 1),
        population: cells.iter().fold(0, |sum: u64, cell| sum.saturating_add(cell.whole.population)),
        judged: cells.iter().fold(0, |sum: u64, cell| sum.saturating_add(cell.whole.judged)),
        scored: scored(&cells),
        strata: if let Shape::Cells { parts, .. } = &shape { parts.len() } else { strata.len() },
        residuals,
        coverage: mean(Adjusted::coverage),
        bound_low: mean(Adjusted::bound_low),
        bound_high: mean(Adjusted::bound_high),
        warnings,
        shape,
    }))
}

/// Scores of each called tier, the reference last.
fn scored(cells: &[Cell]) -> Vec<u64> {
    let tiers = cells.first().map_or(1, |cell| cell.whole.tiers());
    let is_one_kind = cells.iter().all(|cell| cell.whole.tiers() == tiers);
    let mut scored = vec![0_u64; if is_one_kind { tiers } else { 1 }];
    for cell in cells {
        let between = cell.whole.between.iter().map(|(scored, _)| *scored).take(scored.len() - 1);
        for (sum, more) in scored.iter_mut().zip(between.chain([cell.whole.judged])) {
            *sum = sum.saturating_add(more);
        }
    }
    scored
}

fn stratum<'a>(cell: &'a Cell, n: f64, options: &Options) -> Stratum<'a> {
    let sums = &cell.whole;
    let none = || vec![Vec::new(); sums.tiers()];
    let (point, slopes) = match options.estimator {
        Estimator::Hajek => (hajek(sums, options.estimand), none()),
        Estimator::HorvitzThompson => (horvitz_thompson(sums, options.estimand), none()),
        Estimator::Ppi => {
            let found = telescoped(sums, options.predictors, options.estimand);
            (found.point, found.slopes)
        }
    };
    let is_known = sums.judged == sums.population && point.inverse_size <= 0.0;
    let (bias, freedom) =
        if options.estimator == Estimator::HorvitzThompson { (0.0, 1.0) } else { (bias(sums, &slopes), freedom(sums, &slopes)) };
    let mut stratum = Stratum { share: sums.population as f64 / n, point, slopes, sums, is_known, bias, freedom };
    // The variance of Horvitz-Thompson has no residuals: its count stays as it is.
    if options.estimator == Estimator::HorvitzThompson {
        return stratum;
    }
    let least = residuals(&stratum, &cell.parts, options.estimand);
    // Scores in between leave many small residuals, which say nothing of the few large ones that a sample may miss.
    let [_, _, h, _, _, hh] = sums.one_w();
    if hh < BINARY * h {
        stratum.point.residuals = least;
    } else if cell.parts.len() > 1 {
        stratum.point.residuals = stratum.point.residuals.max(least);
    }
    stratum
}

/// The bias of weighted means, which are quotients of two sums: to the first order `-sum_k sum w (1/PI_k - 1/PI_{k-1}) r_{k-1} / W^2`, with the
/// residuals of the variance; 0 where weights are alike. Sarndal, Swensson, Wretman, section 5.6 (Hartley, Ross 1954, Nature 174, 270-271).
fn bias(sums: &Adjusted, slopes: &[Vec<f64>]) -> f64 {
    let rows = sums.tiers() + 2;
    let total = sums.w.entry(rows, 0, 0, 0);
    if total <= 0.0 {
        return 0.0;
    }
    let means: Vec<f64> = (0..rows).map(|i| sums.w.entry(rows, 0, 0, i) / total).collect();
    -Residuals::new(slopes, &means).linear(sums) / (total * total)
}

/// `n/(n - p)`, `p` being 1 for the mean and the slopes of the last tier; 1 where there are no more judged than that.
fn freedom(sums: &Adjusted, slopes: &[Vec<f64>]) -> f64 {
    let fitted = 1 + slopes.last().map_or(0, |slopes| slopes.iter().filter(|slope| **slope != 0.0).count() as u64);
    if sums.judged > fitted { sums.judged as f64 / (sums.judged - fitted) as f64 } else { 1.0 }
}

/// `(sum v)^2/sum v^2` bounded from below class by class of probability: `sum v^2 <= sum_c max v_c sum v_c`, sharper than for all classes
/// together.
fn residuals(stratum: &Stratum<'_>, parts: &[Adjusted], estimand: Estimand) -> f64 {
    let rows = stratum.sums.tiers() + 2;
    let w = |sums: &Adjusted, i: usize, j: usize| sums.w.entry(rows, 0, i, j);
    let means: Vec<f64> = (0..rows).map(|i| w(stratum.sums, 0, i) / w(stratum.sums, 0, 0)).collect();
    let of = Residuals::new(&stratum.slopes, &means);
    let h = means.last().copied().unwrap_or(0.0);
    let (mut all, mut squares) = (0.0, 0.0);
    for part in parts {
        let traffic = match estimand {
            Estimand::Window => 0.0,
            Estimand::Process => w(part, rows - 1, rows - 1) - 2.0 * h * w(part, 0, rows - 1) + h * h * w(part, 0, 0),
        };
        let sum = of.squares(part) + traffic.max(0.0);
        all += sum;
        squares += sum * of.largest(part, estimand);
    }
    if squares > 0.0 { all * all / squares } else { 0.0 }
}

/// Value, variance and shape where there is enough for a normal interval.
fn normally(strata: &[Stratum<'_>], options: &Options, n: f64, is_grouped: bool) -> (f64, f64, Shape) {
    let value: f64 = strata.iter().map(|stratum| stratum.share * (stratum.point.value - stratum.bias)).sum();
    let shares = || strata.iter().map(|stratum| (stratum.share, &stratum.point));
    if is_grouped {
        let parts: Vec<Share<'_>> = strata
            .iter()
            .map(|stratum| Share {
                sums: stratum.sums,
                value: stratum.point.value,
                slopes: &stratum.slopes,
                is_total: options.estimator == Estimator::HorvitzThompson,
            })
            .collect();
        if let Some(Clustered { variance, degrees, .. }) = clustered(&parts) {
            return (value, variance, Shape::Normal { degrees: Some(degrees) });
        }
    }
    let variance = strata.iter().map(|of| of.share * of.share * of.point.variance * of.freedom).sum::<f64>();
    (value, variance + between(shares(), value, n, options.estimand), Shape::Normal { degrees: None })
}

/// What random shares of the strata add to the variance of `process`.
fn between<'a>(shares: impl Iterator<Item = (f64, &'a Point)>, value: f64, n: f64, estimand: Estimand) -> f64 {
    match estimand {
        Estimand::Window => 0.0,
        Estimand::Process => shares.map(|(share, point)| share * (point.value - value).powi(2)).sum::<f64>() / n,
    }
}

impl Fit {
    /// The estimate with an interval of `level`.
    ///
    /// # Errors
    /// [`EstimateError::Level`] for a level that is none.
    pub fn estimate(&self, level: f64) -> Result<Estimate, EstimateError> {
        EstimateError::level(level)?;
        let limits = self.beyond(1.0 - level);
        let value = self.value.clamp(0.0, 1.0);
        let mut warnings = self.warnings.clone();
        if self.bound_low < limits.low - ROUNDING || self.bound_high > limits.high + ROUNDING {
            warnings.push(Warning::MissingMatters);
        }
        Ok(Estimate {
            value,
            low: limits.low.min(value),
            high: limits.high.max(value),
            level,
            std_error: self.variance.max(0.0).sqrt(),
            estimand: self.options.estimand,
            method: Method {
                estimator: self.estimator(),
                interval: self.interval(),
                stratified: self.strata > 1,
                telescoped: self.is_telescoped && self.estimator() == Estimator::Ppi,
            },
            population: self.population,
            judged: self.judged,
            scored: self.scored.clone(),
            strata: self.strata,
            residuals: self.residuals,
            coverage: self.coverage,
            bound_low: self.bound_low,
            bound_high: self.bound_high,
            warnings,
        })
    }

    /// The estimate, cut to [0, 1].
    pub fn value(&self) -> f64 {
        self.value.clamp(0.0, 1.0)
    }

    /// Square root of the estimated variance.
    pub fn std_error(&self) -> f64 {
        self.variance.max(0.0).sqrt()
    }

    /// The interval of `level`, in (0, 1), cut to [0, 1].
    ///
    /// # Errors
    /// [`EstimateError::Level`] for a level that is none.
    pub fn limits(&self, level: f64) -> Result<Interval, EstimateError> {
        EstimateError::level(level)?;
        Ok(self.beyond(1.0 - level))
    }

    /// What gave the value: with few positives it may be the weighted mean in each cell.
    fn estimator(&self) -> Estimator {
        match &self.shape {
            Shape::Cells { parts, .. } if parts.iter().all(|part| part.residual.is_none()) => Estimator::Hajek,
            _ => self.options.estimator,
        }
    }

    /// How the limits are computed.
    pub fn interval(&self) -> IntervalKind {
        match &self.shape {
            Shape::Normal { degrees: Some(_) } => IntervalKind::Student,
            Shape::Normal { degrees: None } => IntervalKind::Normal,
            Shape::Cells { parts, between, .. } => {
                let limits = || parts.iter().map(|part| part.known);
                if limits().any(|known| known.is_none()) || *between > 0.0 {
                    IntervalKind::Wilson
                } else if limits().flatten().any(|known| known.low < known.high) {
                    IntervalKind::Unseen
                } else {
                    IntervalKind::Census
                }
            }
        }
    }

    /// The limits outside which, to both sides together, lies the share `tail`, in (0, 1].
    pub(crate) fn beyond(&self, tail: f64) -> Interval {
        let value = self.value;
        let apart = match &self.shape {
            Shape::Normal { degrees } => {
                let half = two_sided_tail(tail, *degrees) * self.variance.max(0.0).sqrt();
                Interval { low: -half, high: half }
            }
            Shape::Cells { parts, between, degrees } => {
                let z = two_sided_tail(tail, *degrees);
                let spreads = parts.iter().map(|part| part.apart(z, parts.len() == 1));
                let random = Spread { weight: 1.0, below: z * between.sqrt(), above: z * between.sqrt() };
                mover(spreads.chain([random]))
            }
        };
        Interval { low: (value + apart.low).clamp(0.0, 1.0), high: (value + apart.high).clamp(0.0, 1.0) }
    }
}
