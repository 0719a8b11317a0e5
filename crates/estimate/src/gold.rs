//! A judge's rate, corrected by human gold labels: `H` is the human's score, `g` the judge's.
//!
//! The labels were drawn with recorded probability from what the judge judged; labels that somebody chose have no probability, and
//! correct nothing. Within strata of the judge's score the estimator is [`ppi`], and strata add up by their known shares `a_h = N_h/N`:
//! `est = sum a_h est_h`, `var = sum a_h^2 var_h`; for the estimand `process`, interactions being independent, plus `S_H^2/N`.

use crate::estimator::{Estimator, Point, pooled_residuals, ppi};
use crate::interval::{Interval, IntervalKind, RESIDUALS_MIN, STRATUM_RESIDUALS_MIN};
use crate::nonresponse::{Adjusted, adjust};
use crate::quantile::two_sided;
use crate::{Bucket, Estimand, EstimateError, Item, Options, Warning, estimate};

/// A stratum has at least this many labels of its own; with fewer, it is joined to its neighbour.
pub const STRATUM_LABELS_MIN: u64 = 30;

/// A rate that speaks of what humans would say, `0 <= low <= value <= high <= 1`.
#[derive(Debug, Clone, PartialEq)]
pub struct Corrected {
    /// The mean human score over all that was judged, as estimated.
    pub value: f64,
    /// Lower limit.
    pub low: f64,
    /// Upper limit.
    pub high: f64,
    /// Level of the interval.
    pub level: f64,
    /// Square root of the estimated variance. 0 does not mean certain; the limits know.
    pub std_error: f64,
    /// What it speaks of.
    pub estimand: Estimand,
    /// How the limits were computed: `Normal` from [`ppi`]; `Wilson` where few residuals were seen: the judge then serves for strata only
    /// (`lam = 0`), and limits of the strata are combined by MOVER; `Census` where every label there is was drawn for certain.
    pub interval: IntervalKind,
    /// The judge's own mean score over all that it judged, uncorrected.
    pub judge: f64,
    /// Interactions that it speaks of.
    pub population: u64,
    /// Human labels behind it.
    pub labels: u64,
    /// Strata that were kept apart.
    pub strata: usize,
    /// Share of the drawn that was labelled, each weighted by `1/pi`; in (0, 1].
    pub coverage: f64,
    /// The value had every missing label been 0, without use of the judge.
    pub bound_low: f64,
    /// The value had every missing label been 1, without use of the judge.
    pub bound_high: f64,
    /// What to know before trusting it.
    pub warnings: Vec<Warning>,
}

/// An interaction that was drawn for a human label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Label {
    /// The recorded probability, in (0, 1].
    pub probability: f64,
    /// The judge's score, in [0, 1].
    pub judge: f64,
    /// The human's, in [0, 1]; `None` where none was given.
    pub human: Option<f64>,
}

/// A range of the judge's score: all that the judge scored so, and what was drawn of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stratum {
    /// Interactions with a score in this range, drawn or not.
    pub population: u64,
    /// Sum of the judge's scores over the population.
    pub judge_sum: f64,
    /// What was drawn for a label, each with its recorded probability; labels that somebody chose have none and do not belong here.
    pub drawn: Vec<Label>,
}

/// One stratum or several neighbours, ready to be estimated.
struct Cell {
    bucket: Bucket,
    sums: Adjusted,
    /// `N_h/N`.
    share: f64,
    /// Mean of `g` over the population.
    free_mean: f64,
    point: Point,
}

/// The mean human score over `strata`, given in order of the judge's score. `Ok(None)` without any label.
///
/// Strata with fewer than [`STRATUM_LABELS_MIN`] labels are joined to the next, the last to the one before, which looks at numbers of labels only.
/// With fewer than [`RESIDUALS_MIN`] residuals behind the variance, or fewer than 10 in a stratum, the normal interval covers too
/// little: then each stratum has the limits of its own weighted mean, combined by MOVER (Zou, Donner 2008, Statistics in Medicine 27,
/// 1693-1702): `est +- sqrt(sum a_h^2 (limit_h - est_h)^2)`.
///
/// # Errors
/// [`EstimateError::Level`] for a level that is none; [`EstimateError::Row`] for a label that cannot be right, counted over all strata;
/// [`EstimateError::Sums`] with the stratum in place of the hour where its population cannot hold what was drawn.
pub fn correct(strata: &[Stratum], level: f64, estimand: Estimand) -> Result<Option<Corrected>, EstimateError> {
    EstimateError::level(level)?;
    let z = two_sided(level);
    let Some(cells) = join(strata)? else { return Ok(None) };
    let population = cells.iter().fold(0, |sum: u64, cell| sum.saturating_add(cell.sums.population));
    let shares = || cells.iter().map(|cell| (cell.share, &cell.point));
    let normal = shares().all(|(_, point)| point.inverse_size <= 0.0 || point.residuals >= STRATUM_RESIDUALS_MIN)
        && pooled_residuals(shares()) >= RESIDUALS_MIN;
    let traffic = match estimand {
        Estimand::Window => 0.0,
        Estimand::Process => human_spread(&cells) / population as f64,
    };
    let mut warnings = Vec::new();
    let (value, variance, limits, interval) = if normal {
        let value = shares().map(|(share, point)| share * point.value).sum::<f64>().clamp(0.0, 1.0);
        let variance = shares().map(|(share, point)| share * share * point.variance).sum::<f64>() + traffic;
        let half = z * variance.sqrt();
        (value, variance, Interval { low: value - half, high: value + half }, IntervalKind::Normal)
    } else {
        by_cells(&cells, level, traffic, &mut warnings)?
    };
    let (low, high) = (limits.low.clamp(0.0, value), limits.high.clamp(value, 1.0));
    let sum = |of: &dyn Fn(&Adjusted) -> f64| cells.iter().map(|cell| cell.share * of(&cell.sums)).sum::<f64>();
    let (drawn, labelled) = cells.iter().fold((0.0, 0.0), |(d, l), cell| (d + cell.bucket.drawn_w, l + cell.bucket.w[0]));
    let (bound_low, bound_high) = (sum(&Adjusted::bound_low), sum(&Adjusted::bound_high));
    if bound_low < low - 1e-9 || bound_high > high + 1e-9 {
        warnings.push(Warning::MissingMatters);
    }
    if estimand == Estimand::Process {
        warnings.push(Warning::ConversationsIgnored);
    }
    Ok(Some(Corrected {
        value,
        low,
        high,
        level,
        std_error: variance.sqrt(),
        estimand,
        interval,
        judge: cells.iter().map(|cell| cell.share * cell.free_mean).sum::<f64>().clamp(0.0, 1.0),
        population,
        labels: cells.iter().fold(0, |sum: u64, cell| sum.saturating_add(cell.sums.judged)),
        strata: cells.len(),
        coverage: labelled / drawn,
        bound_low,
        bound_high,
        warnings,
    }))
}

/// Joins neighbours until each has enough labels. `None` if there are no labels at all.
fn join(strata: &[Stratum]) -> Result<Option<Vec<Cell>>, EstimateError> {
    let mut joined: Vec<(Bucket, Vec<Label>)> = Vec::new();
    let (mut open, mut labels, mut first) = (Bucket::default(), Vec::new(), 0);
    for (i, stratum) in strata.iter().enumerate() {
        open.add(&bucket(stratum, i, first)?)?;
        labels.extend_from_slice(&stratum.drawn);
        first += stratum.drawn.len();
        if open.judged >= STRATUM_LABELS_MIN {
            joined.push((std::mem::take(&mut open), std::mem::take(&mut labels)));
        }
    }
    match joined.last_mut() {
        Some((bucket, before)) => {
            bucket.add(&open)?;
            before.append(&mut labels);
        }
        None => joined.push((open, labels)),
    }
    let n: f64 = joined.iter().map(|(bucket, _)| bucket.population as f64).sum();
    let mut cells = Vec::new();
    for (bucket, labels) in joined {
        let Some(sums) = adjust(std::slice::from_ref(&bucket))? else { return Ok(None) };
        let (share, free_mean) = (sums.population as f64 / n, bucket.g / sums.population as f64);
        let (point, lam) = ppi(&sums, free_mean);
        let residuals = effective(&labels, &sums, lam, bucket.w[0] / bucket.drawn_w);
        cells.push(Cell { bucket, sums, share, free_mean, point: Point { residuals, ..point } });
    }
    Ok(Some(cells))
}

/// The sums of a stratum, the `place`-th, whose labels are counted from `first` on.
fn bucket(stratum: &Stratum, place: usize, first: usize) -> Result<Bucket, EstimateError> {
    let hour = i64::try_from(place).unwrap_or(i64::MAX);
    let mut bucket = Bucket { hour, ..Bucket::default() };
    for (i, label) in stratum.drawn.iter().enumerate() {
        EstimateError::probability(first + i, label.probability)?;
        if [Some(label.judge), label.human].into_iter().flatten().any(|score| !(0.0..=1.0).contains(&score)) {
            return Err(EstimateError::Row { index: first + i, problem: "its score is not from 0 to 1" });
        }
        let Label { probability, judge: free, human: reference } = *label;
        bucket.push(Item { probability, drawn: true, free, reference });
    }
    let rest = stratum.population.checked_sub(bucket.drawn);
    let range = rest.map(|rest| bucket.g - 1e-6..=bucket.g + rest as f64 * (1.0 + 1e-6) + 1e-6);
    if !range.is_some_and(|range| range.contains(&stratum.judge_sum)) {
        let problem = "its population or its sum of scores does not go with what was drawn of it";
        return Err(EstimateError::Sums { hour, problem });
    }
    bucket.population = stratum.population;
    bucket.g = stratum.judge_sum;
    // Nobody asks for the squares of the rest; they are no larger than this.
    bucket.gg = stratum.judge_sum;
    Ok(bucket)
}

/// How many residuals make up the variance of a cell: `(sum v)^2/sum v^2`, `v = q (e - e_w)^2`, after adjustment for the response `r`.
fn effective(labels: &[Label], sums: &Adjusted, lam: f64, r: f64) -> f64 {
    let mean = (sums.w[2] - lam * sums.w[1]) / sums.w[0];
    let (mut sum, mut squares) = (0.0, 0.0);
    for label in labels {
        let Some(human) = label.human else { continue };
        let pi = label.probability * r;
        let v = (1.0 - pi).max(0.0) / (pi * pi) * (human - lam * label.judge - mean).powi(2);
        sum += v;
        squares += v * v;
    }
    if squares > 0.0 { sum / squares * sum } else { 0.0 }
}

/// `S_H^2` over all strata.
fn human_spread(cells: &[Cell]) -> f64 {
    let mean = |i: usize| cells.iter().map(|cell| cell.share * cell.sums.w[i] / cell.sums.w[0]).sum::<f64>();
    let h = mean(2);
    (mean(5) - h * h).max(0.0)
}

/// Value, variance and limits without use of the judge beyond strata.
fn by_cells(
    cells: &[Cell],
    level: f64,
    traffic: f64,
    warnings: &mut Vec<Warning>,
) -> Result<(f64, f64, Interval, IntervalKind), EstimateError> {
    let z = two_sided(level);
    let (mut value, mut variance, mut below, mut above, mut census) = (0.0, traffic, 0.0, 0.0, true);
    for cell in cells {
        let options = Options { level, estimator: Estimator::Hajek, ..Options::default() };
        let Some(found) = estimate(std::slice::from_ref(&cell.bucket), &options)? else { continue };
        let square = cell.share * cell.share;
        value += cell.share * found.value;
        variance += square * found.std_error * found.std_error;
        below += square * (found.value - found.low).powi(2);
        above += square * (found.high - found.value).powi(2);
        census &= found.method.interval == IntervalKind::Census;
        if found.warnings.contains(&Warning::PartUnseen) && !warnings.contains(&Warning::PartUnseen) {
            warnings.push(Warning::PartUnseen);
        }
    }
    let half = |squares: f64| (squares + z * z * traffic).sqrt();
    let limits = Interval { low: value - half(below), high: value + half(above) };
    Ok((value.clamp(0.0, 1.0), variance, limits, if census { IntervalKind::Census } else { IntervalKind::Wilson }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Items `(pi, g, H)`, drawn where there is an `H`.
    fn stratum(items: &[(f64, f64, Option<f64>)]) -> Stratum {
        let drawn = items.iter().filter(|item| item.2.is_some());
        Stratum {
            population: items.len() as u64,
            judge_sum: items.iter().map(|item| item.1).sum(),
            drawn: drawn.map(|&(probability, judge, human)| Label { probability, judge, human }).collect(),
        }
    }

    /// The same for [`estimate`].
    fn buckets(strata: &[Stratum]) -> Vec<Bucket> {
        strata.iter().map(|stratum| bucket(stratum, 0, 0).unwrap()).collect()
    }

    /// A stratum in which graded scores of judge and human differ by a fixed sequence.
    fn graded(n: u32, probability: f64, base: f64) -> Vec<(f64, f64, Option<f64>)> {
        let part = |i: u32, step: f64| (f64::from(i) * step).fract();
        (0..n)
            .map(|i| {
                let g = base + 0.3 * part(i, 0.618_033_988_749_894_9);
                let h = (g + 0.4 * (part(i, 0.754_877_666_246_692_8) - 0.4)).clamp(0.0, 1.0);
                (probability, g, (part(i, 0.569_840_290_998_053_2) < probability).then_some(h))
            })
            .collect()
    }

    /// The equations, read off the page and applied to rows.
    #[test]
    fn equals_rows() {
        let strata = [graded(800, 0.2, 0.1), graded(500, 0.5, 0.6)];
        let n = 1300.0;
        let (mut value, mut variance) = (0.0, 0.0);
        for rows in &strata {
            let judged: Vec<(f64, f64, f64)> = rows.iter().filter_map(|&(pi, g, h)| Some((pi, g, h?))).collect();
            let total: f64 = judged.iter().map(|(pi, ..)| 1.0 / pi).sum();
            let mean = |of: &dyn Fn(f64, f64) -> f64| judged.iter().map(|&(pi, g, h)| of(g, h) / pi).sum::<f64>() / total;
            let (gw, hw) = (mean(&|g, _| g), mean(&|_, h| h));
            let q = |pi: f64| (1.0 - pi) / (pi * pi);
            let lam = judged.iter().map(|&(pi, g, h)| q(pi) * (g - gw) * (h - hw)).sum::<f64>()
                / judged.iter().map(|&(pi, g, _)| q(pi) * (g - gw) * (g - gw)).sum::<f64>();
            let ew = mean(&|g, h| h - lam * g);
            let share = rows.len() as f64 / n;
            value += share * (lam * rows.iter().map(|(_, g, _)| g).sum::<f64>() / rows.len() as f64 + ew);
            let squares = judged.iter().map(|&(pi, g, h)| q(pi) * (h - lam * g - ew).powi(2)).sum::<f64>();
            variance += share * share * squares / (total * total);
        }
        let strata = strata.map(|rows| stratum(&rows));
        let found = correct(&strata, 0.95, Estimand::Window).unwrap().unwrap();
        assert_eq!((found.interval, found.strata, found.population), (IntervalKind::Normal, 2, 1300));
        assert!((found.value - value).abs() < 1e-9 && (found.std_error - variance.sqrt()).abs() < 1e-9, "{found:?}");
        assert!((found.high - found.low - 2.0 * 1.959_963_984_540_054 * variance.sqrt()).abs() < 1e-9);
        let process = correct(&strata, 0.95, Estimand::Process).unwrap().unwrap();
        assert!(process.std_error > found.std_error && process.value == found.value);
        // The judge's own use: the same labels without it are less sure.
        let options = Options { estimator: Estimator::Hajek, ..Options::default() };
        let alone = estimate(&buckets(&strata), &options).unwrap().unwrap();
        assert!(found.std_error < 0.75 * alone.std_error, "{} {}", found.std_error, alone.std_error);
    }

    #[test]
    fn strata_with_few_labels_are_joined_to_neighbours() {
        let of = |labels: usize| {
            let items: Vec<_> = (0..100).map(|i| (0.3, 0.5, (i < labels).then_some(f64::from(u8::from(i % 2 == 0))))).collect();
            stratum(&items)
        };
        for (labels, strata) in [
            (vec![40, 40, 40], 3),
            (vec![10, 20, 40, 5], 2),
            (vec![5, 5, 5], 1),
            (vec![0, 0, 31, 0], 1),
            (vec![29, 30], 1),
            (vec![30, 0, 30], 2),
        ] {
            let given: Vec<Stratum> = labels.iter().map(|n| of(*n)).collect();
            let found = correct(&given, 0.95, Estimand::Window).unwrap().unwrap();
            assert_eq!((found.strata, found.population), (strata, 100 * labels.len() as u64), "{labels:?}");
            assert_eq!(found.labels, labels.iter().sum::<usize>() as u64);
        }
        assert_eq!(correct(&[of(0), of(0)], 0.95, Estimand::Window), Ok(None));
        assert_eq!(correct(&[], 0.95, Estimand::Window), Ok(None));
    }

    #[test]
    fn refuses_what_cannot_be() {
        assert!(correct(&[], 1.0, Estimand::Window).is_err());
        let label = Label { probability: 0.5, judge: 0.5, human: Some(1.0) };
        let good = Stratum { population: 4, judge_sum: 2.0, drawn: vec![label; 2] };
        assert!(correct(std::slice::from_ref(&good), 0.95, Estimand::Window).unwrap().is_some());
        for broken in [
            Stratum { population: 1, ..good.clone() },
            Stratum { judge_sum: 0.9, ..good.clone() },
            Stratum { judge_sum: 3.1, ..good.clone() },
            Stratum { judge_sum: f64::NAN, ..good.clone() },
        ] {
            let found = correct(&[good.clone(), broken], 0.95, Estimand::Window);
            assert!(matches!(found, Err(EstimateError::Sums { hour: 1, .. })), "{found:?}");
        }
        for broken in
            [Label { probability: 0.0, ..label }, Label { judge: 1.5, ..label }, Label { human: Some(f64::NAN), ..label }]
        {
            let found = correct(&[good.clone(), Stratum { drawn: vec![label, broken], ..good.clone() }], 0.95, Estimand::Window);
            assert!(matches!(found, Err(EstimateError::Row { index: 3, .. })), "{found:?}");
        }
    }

    #[test]
    fn few_residuals_fall_back_to_cells() {
        // 40 labels of 200 on each side, one disagreement among them.
        let side = |g: f64, wrong: usize| {
            let label = |i: usize| (i < 40).then_some(if i < wrong { 1.0 - g } else { g });
            stratum(&(0..200).map(|i| (0.2, g, label(i))).collect::<Vec<_>>())
        };
        let strata = [side(0.0, 1), side(1.0, 0)];
        let found = correct(&strata, 0.95, Estimand::Window).unwrap().unwrap();
        assert_eq!((found.interval, found.judge), (IntervalKind::Wilson, 0.5));
        assert!((found.value - 0.5125).abs() < 1e-12);
        let limits = strata.map(|stratum| estimate(&buckets(&[stratum]), &Options::default()).unwrap().unwrap());
        let low = limits.iter().map(|cell| (0.5 * (cell.value - cell.low)).powi(2)).sum::<f64>().sqrt();
        let high = limits.iter().map(|cell| (0.5 * (cell.high - cell.value)).powi(2)).sum::<f64>().sqrt();
        assert!((found.low - (0.5125 - low)).abs() < 1e-12 && (found.high - (0.5125 + high)).abs() < 1e-12);
        assert!(low > 0.02, "what was never seen wrong is not never wrong: {low}");
    }

    #[test]
    fn all_labelled_is_the_human_mean() {
        let rows: Vec<_> = (0..100).map(|i| (1.0, f64::from(u8::from(i < 50)), Some(f64::from(u8::from(i < 37))))).collect();
        let found = correct(&[stratum(&rows)], 0.95, Estimand::Window).unwrap().unwrap();
        assert_eq!((found.interval, found.value, found.judge, found.std_error), (IntervalKind::Census, 0.37, 0.5, 0.0));
        assert!((found.low - 0.37).abs() < 1e-12 && (found.high - 0.37).abs() < 1e-12 && found.warnings.is_empty());
    }

    #[test]
    fn missing_labels_are_marked() {
        let mut some = stratum(&graded(600, 0.5, 0.3));
        some.drawn.extend([Label { probability: 0.5, judge: 0.4, human: None }; 200]);
        some.population += 200;
        some.judge_sum += 200.0 * 0.4;
        let found = correct(&[some], 0.95, Estimand::Window).unwrap().unwrap();
        assert!(found.coverage > 0.55 && found.coverage < 0.65, "{}", found.coverage);
        assert!(
            found.warnings.contains(&Warning::MissingMatters) && found.bound_low < found.low && found.high < found.bound_high
        );
    }
}
