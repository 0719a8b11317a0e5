//! How well a judge agrees with gold labels: confusion, agreement, Cohen's kappa, precision, recall and F1, with intervals.
//!
//! Every figure is a smooth function `t` of the shares `p_c` of the cells `c = (gold, judge)`, and its variance follows from its
//! derivatives (the delta method): `var = sum u d_c^2 / W^2` over the items, `d_c = dt/dp_c - sum p_c dt/dp_c`, with `u = 1` and `W = n`
//! for items of equal weight; for items drawn with a recorded probability `u = q` for the window that they were drawn from, `u = w^2`
//! for the process behind it, as everywhere in this crate (Hajek).

use crate::estimator::Point;
use crate::interval::{RESIDUALS_MIN, wilson};
use crate::quantile::two_sided;
use crate::{Estimand, EstimateError, Interval};

/// More labels than any judge answers with; a confusion holds the square of it.
pub const LABELS_MAX: usize = 256;

/// How the gold items came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GoldSource {
    /// Drawn by chance with recorded probabilities: what is found speaks of the traffic that they were drawn from.
    Drawn(Estimand),
    /// Chosen by somebody. What is found speaks of the chosen, and of others only as far as the chosen are like them.
    HandPicked,
}

/// A gold item whose probability of being drawn is on record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drawn<T> {
    /// What the gold label says.
    pub gold: T,
    /// What the judge says.
    pub judge: T,
    /// The recorded probability, in (0, 1].
    pub probability: f64,
}

/// One cell: items, sums of `w`, `u` and `u^2`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Cell {
    items: u64,
    w: f64,
    u: f64,
    uu: f64,
}

/// Gold label against judge label, counted and weighted.
#[derive(Debug, Clone, PartialEq)]
pub struct Confusion {
    labels: usize,
    /// Row by row, one row a gold label.
    cells: Vec<Cell>,
    source: GoldSource,
}

/// A figure with its limits, `0 <= low <= value <= high <= 1` (kappa: from -1 on).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// The figure.
    pub value: f64,
    /// Lower limit.
    pub low: f64,
    /// Upper limit.
    pub high: f64,
    /// Square root of the estimated variance. 0 does not mean certain; the limits know.
    pub std_error: f64,
}

/// How the judge does on one label. What has nothing to speak of is `None`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelQuality {
    /// Of what the judge gave this label, the share that deserves it.
    pub precision: Option<Figure>,
    /// Of what deserves this label, the share that the judge gave it.
    pub recall: Option<Figure>,
    /// Harmonic mean of precision and recall.
    pub f1: Option<Figure>,
}

/// All that a confusion says.
#[derive(Debug, Clone, PartialEq)]
pub struct Quality {
    /// Items behind it.
    pub items: u64,
    /// How they came to be.
    pub source: GoldSource,
    /// Level of the intervals.
    pub level: f64,
    /// Share of equal labels.
    pub agreement: Figure,
    /// Agreement that independent labels with the same shares would have, `p_e`.
    pub chance: f64,
    /// Cohen's kappa, `None` where all items have one label from both.
    pub kappa: Option<Figure>,
    /// By label.
    pub labels: Vec<LabelQuality>,
}

impl Cell {
    fn join(&mut self, other: &Self) {
        self.items += other.items;
        self.w += other.w;
        self.u += other.u;
        self.uu += other.uu;
    }
}

impl Confusion {
    /// From gold items drawn with a recorded probability. Labels are numbers below `labels`.
    ///
    /// # Errors
    /// Where a label or a probability cannot be, or there are no labels or more than [`LABELS_MAX`].
    pub fn drawn(
        labels: usize,
        items: impl IntoIterator<Item = Drawn<usize>>,
        estimand: Estimand,
    ) -> Result<Self, EstimateError> {
        let mut confusion = Self::empty(labels, GoldSource::Drawn(estimand))?;
        for (index, Drawn { gold, judge, probability }) in items.into_iter().enumerate() {
            EstimateError::probability(index, probability)?;
            let w = 1.0 / probability;
            let u = match estimand {
                Estimand::Window => (1.0 - probability) * w * w,
                Estimand::Process => w * w,
            };
            confusion.add(index, gold, judge, w, u)?;
        }
        Ok(confusion)
    }

    /// From gold items that somebody chose, as pairs of gold and judge label. They weigh the same, and are never taken for a random
    /// draw: see [`GoldSource::HandPicked`]. The intervals are what a random sample of that size would have.
    ///
    /// # Errors
    /// As [`Self::drawn`].
    pub fn hand_picked(labels: usize, items: impl IntoIterator<Item = (usize, usize)>) -> Result<Self, EstimateError> {
        let mut confusion = Self::empty(labels, GoldSource::HandPicked)?;
        for (index, (gold, judge)) in items.into_iter().enumerate() {
            confusion.add(index, gold, judge, 1.0, 1.0)?;
        }
        Ok(confusion)
    }

    /// [`Self::drawn`] for scores in [0, 1]: the judge says yes (label 1) at or above `threshold`, the gold score at or above 0.5.
    ///
    /// # Errors
    /// As [`Self::drawn`], and for a score or a threshold outside [0, 1].
    pub fn drawn_scores(threshold: f64, items: &[Drawn<f64>], estimand: Estimand) -> Result<Self, EstimateError> {
        let labels = binary(threshold, items.iter().map(|item| (item.gold, item.judge)))?;
        let with = |((gold, judge), item): ((usize, usize), &Drawn<f64>)| Drawn { gold, judge, probability: item.probability };
        Self::drawn(2, labels.into_iter().zip(items).map(with), estimand)
    }

    /// [`Self::hand_picked`] for scores in [0, 1], as [`Self::drawn_scores`].
    ///
    /// # Errors
    /// For a score or a threshold outside [0, 1].
    pub fn hand_picked_scores(threshold: f64, items: &[(f64, f64)]) -> Result<Self, EstimateError> {
        Self::hand_picked(2, binary(threshold, items.iter().copied())?)
    }

    fn empty(labels: usize, source: GoldSource) -> Result<Self, EstimateError> {
        if !(1..=LABELS_MAX).contains(&labels) {
            let (value, allowed) = (labels as f64, "a number of labels from 1 to 256");
            return Err(EstimateError::Setting { name: "labels", value, allowed });
        }
        Ok(Self { labels, cells: vec![Cell::default(); labels * labels], source })
    }

    fn add(&mut self, index: usize, gold: usize, judge: usize, w: f64, u: f64) -> Result<(), EstimateError> {
        if gold >= self.labels || judge >= self.labels {
            return Err(EstimateError::Row { index, problem: "its label is not below the number of labels" });
        }
        let cell = &mut self.cells[gold * self.labels + judge];
        cell.items += 1;
        cell.w += w;
        cell.u += u;
        cell.uu += u * u;
        Ok(())
    }

    /// How the items came to be.
    pub fn source(&self) -> GoldSource {
        self.source
    }

    /// Number of labels.
    pub fn labels(&self) -> usize {
        self.labels
    }

    /// Items with this gold label and this label of the judge, unweighted. 0 for labels that are none.
    pub fn items(&self, gold: usize, judge: usize) -> u64 {
        self.cell(gold, judge).items
    }

    /// Estimated share of this gold label with this label of the judge. 0 for labels that are none, or without items.
    pub fn share(&self, gold: usize, judge: usize) -> f64 {
        let total: f64 = self.cells.iter().map(|cell| cell.w).sum();
        if total > 0.0 { self.cell(gold, judge).w / total } else { 0.0 }
    }

    fn cell(&self, gold: usize, judge: usize) -> Cell {
        let index = if judge < self.labels { gold.saturating_mul(self.labels).saturating_add(judge) } else { usize::MAX };
        self.cells.get(index).copied().unwrap_or_default()
    }

    /// All figures, with intervals of `level`; `None` without items.
    ///
    /// # Errors
    /// [`EstimateError::Level`] for a level that is none.
    pub fn quality(&self, level: f64) -> Result<Option<Quality>, EstimateError> {
        EstimateError::level(level)?;
        let z = two_sided(level);
        let Some(agreement) = self.share_of(|_, _| true, |gold, judge| gold == judge) else { return Ok(None) };
        let (gold_shares, judge_shares) = self.margins();
        let chance: f64 = gold_shares.iter().zip(&judge_shares).map(|(g, j)| g * j).sum();
        let label = |label: usize| LabelQuality {
            precision: self.share_of(|_, judge| judge == label, |gold, _| gold == label).map(|point| figure(&point, z)),
            recall: self.share_of(|gold, _| gold == label, |_, judge| judge == label).map(|point| figure(&point, z)),
            f1: self
                .share_of(|gold, judge| gold == label || judge == label, |gold, judge| gold == judge)
                .map(|point| f1(&point, z)),
        };
        Ok(Some(Quality {
            items: self.cells.iter().map(|cell| cell.items).sum(),
            source: self.source,
            level,
            agreement: figure(&agreement, z),
            chance,
            kappa: self.kappa(&agreement, chance, [&gold_shares, &judge_shares], z),
            labels: (0..self.labels).map(label).collect(),
        }))
    }

    /// Cells with their labels.
    fn labelled(&self) -> impl Iterator<Item = (usize, usize, Cell)> {
        self.cells.iter().enumerate().map(|(i, cell)| (i / self.labels, i % self.labels, *cell))
    }

    /// Shares of the gold labels and of the judge's.
    fn margins(&self) -> (Vec<f64>, Vec<f64>) {
        let total: f64 = self.cells.iter().map(|cell| cell.w).sum();
        let (mut gold_shares, mut judge_shares) = (vec![0.0; self.labels], vec![0.0; self.labels]);
        for (gold, judge, cell) in self.labelled() {
            gold_shares[gold] += cell.w / total;
            judge_shares[judge] += cell.w / total;
        }
        (gold_shares, judge_shares)
    }

    /// The share of the cells in `part` that are in `hit` too, a Hajek mean; `None` where there are no items.
    fn share_of(&self, part: impl Fn(usize, usize) -> bool, hit: impl Fn(usize, usize) -> bool) -> Option<Point> {
        let (mut of, mut hits) = (Cell::default(), Cell::default());
        for (gold, judge, cell) in self.labelled().filter(|(gold, judge, _)| part(*gold, *judge)) {
            of.join(&cell);
            if hit(gold, judge) {
                hits.join(&cell);
            }
        }
        if of.items == 0 {
            return None;
        }
        let p = (hits.w / of.w).clamp(0.0, 1.0);
        let residuals = [(hits, 1.0 - p), (Cell { u: (of.u - hits.u).max(0.0), uu: (of.uu - hits.uu).max(0.0), ..of }, p)];
        let size = of.w * of.w;
        Some(point(p, residuals.into_iter(), of.u / size, size))
    }

    /// `kappa = (p_o - p_e)/(1 - p_e)` (Cohen 1960), with the large-sample variance of Fleiss, Cohen, Everitt 1969 (Psychological
    /// Bulletin 72, 323-327), in the form of this module: `dt/dp_ij = [i = j]/(1 - p_e) - (1 - p_o)(g_j + j_i)/(1 - p_e)^2`, `g` and `j`
    /// being the shares of the labels from gold and judge.
    ///
    /// The limits are Wilson's for the agreement, at the number of items that has kappa's variance, read on kappa's scale: equal to
    /// `kappa +- z se` for many items, not degenerate where few or none disagree.
    fn kappa(&self, agreement: &Point, chance: f64, [gold_shares, judge_shares]: [&[f64]; 2], z: f64) -> Option<Figure> {
        let room = 1.0 - chance;
        if room <= 1e-12 {
            return None;
        }
        let observed = agreement.value;
        let value = (observed - chance) / room;
        let mean = observed / room - 2.0 * chance * (1.0 - observed) / (room * room);
        let total: f64 = self.cells.iter().map(|cell| cell.w).sum();
        let slopes = self.labelled().map(|(gold, judge, cell)| {
            let equal = f64::from(u8::from(gold == judge));
            let slope = equal / room - (1.0 - observed) * (gold_shares[judge] + judge_shares[gold]) / (room * room);
            (cell, (slope - mean) * room)
        });
        let scaled = point(observed, slopes, agreement.inverse_size, total * total);
        let variance = scaled.variance / (room * room);
        let limits = limits(&scaled, z);
        let of = |limit: f64| ((limit - chance) / room).clamp(-1.0, 1.0);
        Some(Figure { value, low: of(limits.low).min(value), high: of(limits.high).max(value), std_error: variance.sqrt() })
    }
}

/// Labels 0 and 1 from scores.
fn binary(threshold: f64, scores: impl Iterator<Item = (f64, f64)>) -> Result<Vec<(usize, usize)>, EstimateError> {
    if !(0.0..=1.0).contains(&threshold) {
        return Err(EstimateError::Setting { name: "threshold", value: threshold, allowed: "a number from 0 to 1" });
    }
    let label = |(index, (gold, judge)): (usize, (f64, f64))| {
        if [gold, judge].iter().any(|score| !(0.0..=1.0).contains(score)) {
            return Err(EstimateError::Row { index, problem: "its score is not from 0 to 1" });
        }
        Ok((usize::from(gold >= 0.5), usize::from(judge >= threshold)))
    };
    scores.enumerate().map(label).collect()
}

/// A share `p` whose residuals are those of the cells, the same within each: `v = u d^2`.
fn point(p: f64, cells: impl Iterator<Item = (Cell, f64)>, inverse_size: f64, size: f64) -> Point {
    let (squares, fourth) = cells.fold((0.0, 0.0), |(squares, fourth), (cell, d)| {
        let square = d * d;
        (squares + cell.u * square, fourth + cell.uu * square * square)
    });
    let residuals = if fourth > 0.0 { squares / fourth * squares } else { 0.0 };
    Point { value: p, variance: squares / size, spread: p * (1.0 - p), inverse_size, residuals }
}

/// Wilson's limits, at the number of items that has the same variance; with fewer than [`RESIDUALS_MIN`] residuals behind it, at no more
/// than the weights leave.
fn limits(point: &Point, z: f64) -> Interval {
    let by_variance = Point { inverse_size: 0.0, ..*point };
    wilson(if point.residuals >= RESIDUALS_MIN { &by_variance } else { point }, z)
}

/// A share with its limits.
fn figure(point: &Point, z: f64) -> Figure {
    let Interval { low, high } = limits(point, z);
    Figure { value: point.value, low, high, std_error: point.variance.sqrt() }
}

/// F1 from the share `s` of both among those that gold or judge gave the label: `F1 = 2 s/(1 + s)`, which rises with `s`, so that
/// Wilson's limits carry over.
fn f1(share: &Point, z: f64) -> Figure {
    let of = |s: f64| 2.0 * s / (1.0 + s);
    let Interval { low, high } = limits(share, z);
    let slope = 2.0 / ((1.0 + share.value) * (1.0 + share.value));
    Figure { value: of(share.value), low: of(low), high: of(high), std_error: slope * share.variance.sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One pair for each of the counts, given row by row.
    fn pairs(labels: usize, counts: &[usize]) -> Vec<(usize, usize)> {
        counts.iter().enumerate().flat_map(|(i, count)| std::iter::repeat_n((i / labels, i % labels), *count)).collect()
    }

    fn picked(labels: usize, counts: &[usize]) -> Quality {
        Confusion::hand_picked(labels, pairs(labels, counts)).unwrap().quality(0.95).unwrap().unwrap()
    }

    #[track_caller]
    fn close(got: f64, expected: f64, within: f64) {
        assert!((got - expected).abs() <= within, "{got}, not {expected}");
    }

    #[test]
    fn published_kappa() {
        // Fleiss, Levin, Paik 2003, Statistical Methods for Rates and Proportions, table 18.1 (two diagnosticians, 100 subjects):
        // agreement .89, kappa .68 with standard error .087, limits .51 and .85 by the normal interval.
        let quality = picked(3, &[75, 1, 4, 5, 4, 1, 0, 0, 10]);
        let kappa = quality.kappa.unwrap();
        close(quality.agreement.value, 0.89, 1e-12);
        close(kappa.value, 0.68, 0.005);
        close(kappa.std_error, 0.087, 0.001);
        close(kappa.value - 1.96 * kappa.std_error, 0.51, 0.006);
        close(kappa.value + 1.96 * kappa.std_error, 0.85, 0.006);
        // The limits of this module lean to where the next disagreement would move kappa.
        assert!(kappa.low < 0.51 && kappa.low > 0.43 && kappa.high < 0.85 && kappa.high > 0.79, "{kappa:?}");
    }

    #[test]
    fn kappa_of_two_labels_in_another_form() {
        // Fleiss, Cohen, Everitt 1969, equation 13: n var = (A + B - C)/(1 - p_e)^2, A over the diagonal, B over the rest.
        for counts in [[20, 5, 10, 15], [90, 3, 6, 1], [5, 40, 3, 2]] {
            let n: usize = counts.iter().sum();
            let p = counts.map(|count| count as f64 / n as f64);
            let (row, column) = ([p[0] + p[1], p[2] + p[3]], [p[0] + p[2], p[1] + p[3]]);
            let (po, pe) = (p[0] + p[3], row[0] * column[0] + row[1] * column[1]);
            let kappa = (po - pe) / (1.0 - pe);
            let a: f64 = (0..2).map(|i| p[i * 3] * (1.0 - (row[i] + column[i]) * (1.0 - kappa)).powi(2)).sum();
            let b = (1.0 - kappa).powi(2) * (p[1] * (column[0] + row[1]).powi(2) + p[2] * (column[1] + row[0]).powi(2));
            let c = (kappa - pe * (1.0 - kappa)).powi(2);
            let quality = picked(2, &counts);
            close(quality.kappa.unwrap().value, kappa, 1e-12);
            close(quality.kappa.unwrap().std_error, ((a + b - c) / n as f64).sqrt() / (1.0 - pe), 1e-12);
            close(quality.chance, pe, 1e-12);
        }
    }

    #[test]
    fn by_label() {
        // Of 25 called 1, 15 are; of 20 that are, 15 were found.
        let quality = picked(2, &[70, 10, 5, 15]);
        let one = quality.labels[1];
        let (precision, recall, f1) = (one.precision.unwrap(), one.recall.unwrap(), one.f1.unwrap());
        close(precision.value, 0.6, 1e-12);
        close(recall.value, 0.75, 1e-12);
        close(f1.value, 2.0 * 0.6 * 0.75 / 1.35, 1e-12);
        // Wilson 1927 for 15 of 25 (.4074, .7660) and 15 of 20 (.5313, .8881), from its equation.
        close(precision.low, 0.4074, 5e-5);
        close(precision.high, 0.7660, 5e-5);
        close(recall.low, 0.5313, 5e-5);
        close(recall.high, 0.8881, 5e-5);
        // Takahashi and others 2022, for F1: the delta method on 15 of 30.
        close(f1.std_error, 2.0 / 2.25 * (0.25_f64 / 30.0).sqrt(), 1e-12);
        assert!(f1.low < f1.value && f1.value < f1.high);
    }

    #[test]
    fn equal_probabilities_say_what_no_probabilities_say() {
        let pairs = pairs(3, &[30, 2, 4, 1, 20, 6, 0, 3, 9]);
        let drawn = |probability: f64, estimand| {
            let items = pairs.iter().map(|&(gold, judge)| Drawn { gold, judge, probability });
            Confusion::drawn(3, items, estimand).unwrap().quality(0.95).unwrap().unwrap()
        };
        let picked = Confusion::hand_picked(3, pairs.clone()).unwrap().quality(0.95).unwrap().unwrap();
        let process = drawn(0.125, Estimand::Process);
        let (a, b) = (process.kappa.unwrap(), picked.kappa.unwrap());
        close(a.value, b.value, 1e-12);
        close(a.std_error, b.std_error, 1e-12);
        close(process.labels[2].f1.unwrap().low, picked.labels[2].f1.unwrap().low, 1e-12);
        assert_ne!(process.source, picked.source);
        // Of a window of which three quarters were drawn, half of the standard error is left; of all, none.
        close(drawn(0.75, Estimand::Window).kappa.unwrap().std_error, b.std_error / 2.0, 1e-12);
        let all = drawn(1.0, Estimand::Window);
        assert_eq!((all.agreement.low, all.agreement.high), (all.agreement.value, all.agreement.value));
    }

    #[test]
    fn weights_undo_the_draw() {
        // Disagreements drawn four times as often as the rest: 40 of them of 40, 40 of 160.
        let items = (0..80).map(|i| Drawn { gold: 1, judge: usize::from(i < 40), probability: if i < 40 { 0.25 } else { 1.0 } });
        let confusion = Confusion::drawn(2, items, Estimand::Window).unwrap();
        close(confusion.share(1, 1), 0.8, 1e-12);
        assert_eq!((confusion.items(1, 1), confusion.items(0, 0), confusion.items(7, 1), confusion.items(0, 2)), (40, 0, 0, 0));
        let agreement = confusion.quality(0.95).unwrap().unwrap().agreement;
        close(agreement.value, 0.8, 1e-12);
        // Only the agreeing were left to chance: q = 12 each, residual .2, W = 200.
        close(agreement.std_error, (40.0 * 12.0 * 0.04_f64).sqrt() / 200.0, 1e-12);
    }

    #[test]
    fn scores_at_a_threshold() {
        let picked = [(1.0, 0.7), (0.5, 0.69), (0.4, 0.71), (0.0, 0.0)];
        let confusion = Confusion::hand_picked_scores(0.7, &picked).unwrap();
        assert_eq!([(0, 0), (0, 1), (1, 0), (1, 1)].map(|(gold, judge)| confusion.items(gold, judge)), [1, 1, 1, 1]);
        let drawn = picked.map(|(gold, judge)| Drawn { gold, judge, probability: 0.5 });
        let drawn = Confusion::drawn_scores(0.7, &drawn, Estimand::Window).unwrap();
        assert_eq!((drawn.share(0, 1), drawn.source()), (0.25, GoldSource::Drawn(Estimand::Window)));
    }

    #[test]
    fn perfect_agreement_is_not_certainty() {
        let quality = picked(2, &[25, 0, 0, 25]);
        let kappa = quality.kappa.unwrap();
        assert_eq!((kappa.value, kappa.high, kappa.std_error), (1.0, 1.0, 0.0));
        // Wilson for 50 of 50 is .9287; on kappa's scale with chance one half, twice as far from 1.
        close(kappa.low, 1.0 - 2.0 * (1.0 - 0.928_65), 1e-4);
        assert!(picked(2, &[50, 0, 0, 0]).kappa.is_none(), "one label from both: nothing to agree on");
        let half = picked(2, &[50, 0, 0, 0]);
        assert!(half.labels[1].precision.is_none() && half.labels[1].f1.is_none() && half.labels[0].recall.is_some());
    }

    #[test]
    fn refuses_what_cannot_be() {
        assert!(Confusion::hand_picked(0, []).is_err() && Confusion::hand_picked(257, []).is_err());
        assert_eq!(
            Confusion::hand_picked(2, [(0, 1), (2, 0)]),
            Err(EstimateError::Row { index: 1, problem: "its label is not below the number of labels" })
        );
        for probability in [0.0, 1.1, f64::NAN, -0.5] {
            assert!(Confusion::drawn(2, [Drawn { gold: 0, judge: 0, probability }], Estimand::Process).is_err());
        }
        assert!(Confusion::hand_picked_scores(0.5, &[(0.5, f64::NAN)]).is_err());
        assert!(Confusion::hand_picked_scores(f64::NAN, &[]).is_err());
        let empty = Confusion::hand_picked(2, []).unwrap();
        assert_eq!((empty.quality(0.95), empty.share(0, 0)), (Ok(None), 0.0));
        assert!(empty.quality(95.0).is_err());
    }
}
