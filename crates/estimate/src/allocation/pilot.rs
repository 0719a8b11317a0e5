//! What each design would make of the variance, predicted from a pilot sample.

use super::{Active, Floor, Spend, neyman};
use crate::EstimateError;

/// With fewer judged interactions a pilot says nothing.
pub const PILOT_MIN: usize = 60;
/// A stratum with fewer in a half of the pilot is explained as the whole is.
const STRATUM_MIN: f64 = 10.0;

/// A judged interaction of the pilot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PilotRow {
    /// The recorded probability that it was judged with, in (0, 1].
    pub probability: f64,
    /// The cheap score, in [0, 1].
    pub cheap: f64,
    /// The reference score, in [0, 1].
    pub reference: f64,
    /// Its stratum, below [`STRATA_MAX`].
    pub stratum: usize,
    /// The expected size of its residual, at or above 0, from a model that has not seen it.
    pub u: f64,
}

/// Most strata of a pilot.
pub const STRATA_MAX: usize = 65_536;

/// How an inclusion probability comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Design {
    /// The same for all.
    Uniform,
    /// By stratum: [`neyman`].
    Stratified,
    /// By interaction: [`Active`].
    Active,
}

/// Variances of other designs at the same mean probability. Below 1 is narrower.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gains {
    /// Variance of Neyman's strata with PPI++, over that of uniform PPI++.
    pub stratified: f64,
    /// Variance of active sampling, the strata kept for estimation, over that of uniform PPI++.
    pub active: f64,
    /// Variance of active sampling over that of Neyman's strata.
    pub active_over_stratified: f64,
    /// Standard errors of the three.
    pub std_error: [f64; 3],
}

impl Gains {
    /// The design to use: another than uniform only where it is narrower by more than two standard errors, and active sampling only where
    /// it is so against both.
    pub fn choice(&self) -> Design {
        let [stratified, active, over] = self.std_error;
        let is_better = |ratio: f64, error: f64| ratio + 2.0 * error < 1.0;
        if is_better(self.active, active) && is_better(self.active_over_stratified, over) {
            Design::Active
        } else if is_better(self.stratified, stratified) {
            Design::Stratified
        } else {
            Design::Uniform
        }
    }
}

/// What a half of the pilot makes of the other: `H` explained by `g`.
#[derive(Clone, Copy, Default)]
struct Line {
    w: f64,
    items: f64,
    g: f64,
    h: f64,
    gg: f64,
    gh: f64,
}

impl Line {
    fn push(&mut self, row: &PilotRow) {
        let w = 1.0 / row.probability;
        self.w += w;
        self.items += 1.0;
        self.g += w * row.cheap;
        self.h += w * row.reference;
        self.gg += w * row.cheap * row.cheap;
        self.gh += w * row.cheap * row.reference;
    }

    /// `H - H_w - lam (g - g_w)`.
    fn residual(&self, row: &PilotRow) -> f64 {
        let (g, h) = (self.g / self.w, self.h / self.w);
        let spread = self.gg / self.w - g * g;
        let slope = if spread > 1e-12 { (self.gh / self.w - g * h) / spread } else { 0.0 };
        row.reference - h - slope * (row.cheap - g)
    }
}

/// Predicts what each design would make of the variance at `mean_probability`, `E[(1/pi - 1) e^2]`, from judged interactions of a pilot
/// drawn with any recorded probabilities: residuals `e`, spreads and allocation are learned on one half of the rows and tried on the
/// other, and the other way round. `tau` as in [`Active`]. `Ok(None)` for fewer than [`PILOT_MIN`] rows, or where nothing is left to explain.
///
/// # Errors
/// [`EstimateError::Row`] for a row that cannot be right; [`EstimateError::Setting`] for a probability or `tau` outside (0, 1) and [0, 1].
pub fn pilot(rows: &[PilotRow], mean_probability: f64, tau: f64) -> Result<Option<Gains>, EstimateError> {
    EstimateError::share("mean_probability", mean_probability)?;
    for (index, row) in rows.iter().enumerate() {
        EstimateError::probability(index, row.probability)?;
        let is_right = [row.cheap, row.reference].iter().all(|score| (0.0..=1.0).contains(score));
        if !is_right || !(0.0..=1e30).contains(&row.u) || row.stratum >= STRATA_MAX {
            return Err(EstimateError::Row { index, problem: "a score, stratum or residual size is out of range" });
        }
    }
    if rows.len() < PILOT_MIN {
        return Ok(None);
    }
    let strata = rows.iter().map(|row| row.stratum + 1).max().unwrap_or(1);
    let all: Vec<f64> = rows.iter().map(|row| row.u).collect();
    let weights: Vec<f64> = rows.iter().map(|row| 1.0 / row.probability).collect();
    let active = Active::solve(&all, Some(&weights), mean_probability, tau)?;
    // Weight, and what each design adds to the variance.
    let mut terms: Vec<(f64, [f64; 3])> = Vec::with_capacity(rows.len());
    for half in 0..2 {
        let learned = || rows.iter().enumerate().filter(|(i, _)| i % 2 != half).map(|(_, row)| row);
        let mut whole = Line::default();
        let mut lines = vec![Line::default(); strata];
        for row in learned() {
            whole.push(row);
            lines[row.stratum].push(row);
        }
        let line = |stratum: usize| if lines[stratum].items >= STRATUM_MIN { &lines[stratum] } else { &whole };
        let mut squares = vec![0.0; strata];
        learned().for_each(|row| squares[row.stratum] += line(row.stratum).residual(row).powi(2) / row.probability);
        let mean = squares.iter().sum::<f64>() / whole.w;
        let spends: Vec<Spend> = lines
            .iter()
            .zip(&squares)
            .map(|(line, squares)| {
                let own = if line.w > 0.0 { squares / line.w } else { mean };
                // As if two more had been seen that are like the rest.
                let smoothed = (own * line.items + 2.0 * mean) / (line.items + 2.0);
                Spend { population: line.w, spread: smoothed.sqrt(), cost: 1.0 }
            })
            .collect();
        let allocated = neyman(&spends, mean_probability * whole.w, &Floor::default())?;
        for row in rows.iter().enumerate().filter(|(i, _)| i % 2 == half).map(|(_, row)| row) {
            let (flat, within) = (whole.residual(row).powi(2), line(row.stratum).residual(row).powi(2));
            let term = |pi: f64, square: f64| (1.0 / pi.max(1e-12) - 1.0) * square;
            let of =
                [term(mean_probability, flat), term(allocated[row.stratum], within), term(active.probability(row.u), within)];
            terms.push((1.0 / row.probability, of));
        }
    }
    let sum = |design: usize| terms.iter().map(|(w, of)| w * of[design]).sum::<f64>();
    let sums = [sum(0), sum(1), sum(2)];
    if !(sums[0] > 0.0 && sums[1] > 0.0) {
        return Ok(None);
    }
    // A ratio of two weighted sums, and its standard error to first order.
    let ratio = |above: usize, below: usize| {
        let ratio = sums[above] / sums[below];
        let squares: f64 = terms.iter().map(|(w, of)| (w * (of[above] - ratio * of[below])).powi(2)).sum();
        (ratio, squares.sqrt() / sums[below])
    };
    let (stratified, active, over) = (ratio(1, 0), ratio(2, 0), ratio(2, 1));
    Ok(Some(Gains {
        stratified: stratified.0,
        active: active.0,
        active_over_stratified: over.0,
        std_error: [stratified.1, active.1, over.1],
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fraction(i: u32, step: f64) -> f64 {
        (f64::from(i) * step).fract()
    }

    /// Traffic in which `H` is in doubt where `x` is near the middle; `u` is what the model says of that.
    fn rows(n: u32, u: fn(f64, f64) -> f64) -> Vec<PilotRow> {
        let row = |i| {
            let (x, e) = (fraction(i, 0.618_033_988_749_894_9), fraction(i, 0.754_877_666_246_692_8));
            let doubt = (-(x - 0.5).powi(2) / 0.005).exp() * 0.5;
            let chance = if x > 0.5 { 1.0 - doubt } else { doubt };
            let reference = f64::from(u8::from(e < chance));
            let noise = fraction(i, 0.569_840_290_998_053_2);
            PilotRow {
                probability: 0.2,
                cheap: x,
                reference,
                stratum: (x * 4.0) as usize,
                u: u((chance * (1.0 - chance)).sqrt(), noise),
            }
        };
        (0..n).map(row).collect()
    }

    #[test]
    fn a_well_known_residual_is_worth_sampling_by() {
        let gains = pilot(&rows(4000, |u, _| u), 0.05, 0.2).unwrap().unwrap();
        assert!(gains.stratified < 1.0 && gains.active < 0.7 * gains.stratified, "{gains:?}");
        assert!((gains.active / gains.stratified / gains.active_over_stratified - 1.0).abs() < 1e-9);
        assert_eq!(gains.choice(), Design::Active);
    }

    #[test]
    fn a_badly_known_residual_is_not() {
        let gains = pilot(&rows(4000, |_, noise| noise.powi(8)), 0.05, 0.2).unwrap().unwrap();
        assert!(gains.active > 1.0, "{gains:?}");
        assert_eq!(gains.choice(), Design::Stratified);
        let inverted = pilot(&rows(4000, |u, _| 0.5 - u), 0.05, 0.0).unwrap().unwrap();
        assert!(inverted.active > 2.0 && inverted.choice() != Design::Active, "{inverted:?}");
    }

    #[test]
    fn nothing_to_gain_stays_uniform() {
        let alike: Vec<PilotRow> = rows(2000, |_, _| 0.3)
            .into_iter()
            .enumerate()
            .map(|(i, row)| PilotRow { reference: f64::from(u8::from(fraction(i as u32, 0.819_172_513_396_164_4) < 0.3)), ..row })
            .collect();
        assert_eq!(pilot(&alike, 0.05, 0.2).unwrap().unwrap().choice(), Design::Uniform);
        assert_eq!(pilot(&alike[..50], 0.05, 0.2).unwrap(), None);
        let broken = PilotRow { reference: 1.5, ..alike[0] };
        assert!(matches!(pilot(&[broken], 0.05, 0.2), Err(EstimateError::Row { index: 0, .. })));
    }
}
