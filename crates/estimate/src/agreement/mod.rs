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
mod tests;
