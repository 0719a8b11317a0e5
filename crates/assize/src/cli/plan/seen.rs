//! What the results so far say: how much traffic, at which rate, how well the free score predicts the reference, where doubt lies.

use assize_core::allocation::{BINS, Cell, bin};
use assize_core::{MetricName, NanoUsd};
use assize_estimate::plan::{self, StratumSpread};

/// Rows from which strata are counted: enough to tell them apart, few enough to read in a moment.
pub const ROWS_MAX: usize = 20_000;

/// Which results are asked for.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub metric: MetricName,
    /// RFC 3339.
    pub from: String,
    pub to: String,
    pub level: f64,
}

/// Results of one version of the reference judge: the newest, since versions are not pooled.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Whose they are, in words.
    pub place: String,
    /// From the first to the last hour with traffic.
    pub hours: f64,
    /// Interactions in these.
    pub population: u64,
    /// Of these judged by the reference judge.
    pub judged: u64,
    pub rate: f64,
    pub low: f64,
    pub high: f64,
    /// Over the judged: sums of `w` times `1, g, H, g^2, gH, H^2`.
    pub moments: [f64; 6],
    /// The number of equally weighted verdicts that these are worth: `(sum w)^2 / sum w^2`.
    pub effective: f64,
    /// Whether the free score takes more than one value.
    pub strata: Vec<StratumSpread>,
    /// What a verdict has cost, tries that failed and cheaper tiers included; `None` where that is not known.
    pub cost_per_verdict: Option<NanoUsd>,
}

/// A judged interaction: the probability with which it was, what the free judge said, and the reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    pub probability: f64,
    pub free: Option<f64>,
    pub reference: f64,
}

impl Row {
    fn weight(&self) -> f64 {
        1.0 / self.probability
    }
}

/// The sums of `w` times `1, g, H, g^2, gH, H^2`, and of `w^2`.
pub fn moments(rows: &[Row]) -> ([f64; 6], f64) {
    let (mut sums, mut squares) = ([0.0; 6], 0.0);
    for row in rows {
        let (w, g, h) = (row.weight(), row.free.unwrap_or(0.0), row.reference);
        squares += w * w;
        sums.iter_mut().zip([1.0, g, h, g * g, g * h, h * h]).for_each(|(sum, x)| *sum += w * x);
    }
    (sums, squares)
}

/// The strata that the free score makes; none where it is missing or always the same.
pub fn strata(rows: &[Row]) -> Vec<StratumSpread> {
    let mut cells = [Cell::default(); BINS];
    for row in rows {
        let Some(free) = row.free else { continue };
        if let Some(cell) = cells.get_mut(bin(free)) {
            cell.add(&Cell { population: row.weight(), judged: 1, w: row.weight(), wh: row.weight() * row.reference });
        }
    }
    let strata = plan::counted(cells.iter().map(|cell| (cell.population, cell.judged, cell.wh / cell.w)));
    if strata.len() > 1 { strata } else { Vec::new() }
}

impl Seen {
    /// How many interactions come in `hours` hours, if it goes on like this.
    pub fn population_in(&self, hours: f64) -> f64 {
        self.population as f64 * hours / self.hours.max(1.0)
    }

    /// Correlation of the free and the reference score.
    pub fn rho(&self) -> Option<f64> {
        plan::correlation(&self.moments)
    }

    /// Standard deviation of the reference score, smoothed where all verdicts so far agree.
    pub fn spread(&self) -> f64 {
        let n = self.judged as f64;
        let p = (self.rate.clamp(0.0, 1.0) * n + 1.0) / (n + 2.0);
        let binary = (p * (1.0 - p)).sqrt();
        plan::spread(&self.moments).filter(|spread| *spread > 1e-6).map_or(binary, |spread| spread.min(0.5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(probability: f64, free: f64, reference: f64) -> Row {
        Row { probability, free: Some(free), reference }
    }

    #[test]
    fn rows_count_by_what_they_stand_for() {
        let rows: Vec<Row> = (0..100)
            .map(|i| row(0.1, 0.0, f64::from(u8::from(i < 10))))
            .chain((0..100).map(|i| row(1.0, 0.95, f64::from(u8::from(i < 80)))))
            .collect();
        let strata = strata(&rows);
        assert_eq!(strata.len(), 2);
        assert!((strata[0].share - 1_000.0 / 1_100.0).abs() < 1e-12);
        assert!((strata[0].spread - (11.0_f64 / 102.0 * 91.0 / 102.0).sqrt()).abs() < 1e-12);
        let (sums, squares) = moments(&rows);
        assert!((sums[0] - 1_100.0).abs() < 1e-9 && (sums[2] - 180.0).abs() < 1e-9 && (squares - 10_100.0).abs() < 1e-6);
        assert!(super::strata(&rows[..100]).is_empty(), "one value makes no strata");
        assert!(super::strata(&[Row { free: None, ..rows[0] }]).is_empty());
    }

    #[test]
    fn what_all_agree_on_is_not_certain() {
        let mut seen = Seen {
            place: String::new(),
            hours: 48.0,
            population: 9_600,
            judged: 98,
            rate: 0.0,
            low: 0.0,
            high: 0.1,
            moments: [98.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            effective: 98.0,
            strata: Vec::new(),
            cost_per_verdict: None,
        };
        assert!((seen.spread() - 0.0995).abs() < 1e-3 && seen.rho().is_none());
        assert_eq!(seen.population_in(24.0), 4_800.0);
        seen.moments = [98.0, 49.0, 49.0, 49.0, 49.0, 49.0];
        assert_eq!((seen.spread(), seen.rho()), (0.5, Some(1.0)));
    }
}
