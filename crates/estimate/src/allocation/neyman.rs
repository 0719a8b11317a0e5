//! Neyman's allocation over strata, with a floor.

use super::{not_negative, positive, solve};
use crate::EstimateError;

/// A stratum, as far as spending goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spend {
    /// Interactions in it, `N_h`, in the time that the budget is for.
    pub population: f64,
    /// Spread of what a call would tell, `S_h`: of the reference score, or of its residual from the cheap one. Smoothed, so that no stratum in
    /// which nothing was seen yet is taken for certain: see [`smoothed_spread`].
    pub spread: f64,
    /// What one call costs, `c_h`, above 0, in the unit of the budget.
    pub cost: f64,
}

/// Below what no stratum falls, so that confident mistakes are found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Floor {
    /// Share of the probability that the budget would buy everywhere alike, from 0 to 1. A quarter costs at most about 11 % of width over
    /// the ideal.
    pub share: f64,
    /// The wanted half-width `d`, in (0, 1): each stratum then gets `3 a_h/d` expected calls at least.
    pub half_width: Option<f64>,
}

impl Default for Floor {
    /// A quarter.
    fn default() -> Self {
        Self { share: 0.25, half_width: None }
    }
}

/// `sqrt(p (1 - p))` of the share `p = (x + 1)/(n + 2)`, where `x = rate n` of `judged = n` were positive: never 0.
pub fn smoothed_spread(rate: f64, judged: f64) -> f64 {
    let n = judged.max(0.0);
    let rate = if rate.is_nan() { 0.5 } else { rate.clamp(0.0, 1.0) };
    let p = (rate * n + 1.0) / (n + 2.0);
    (p * (1.0 - p)).sqrt()
}

/// The probability of each stratum, in [0, 1], with which `budget` is expected to be spent: `n_h ~ N_h S_h/sqrt(c_h)`, nowhere below the
/// floor or above 1. Floors that the budget does not reach for are lowered together; what a budget cannot be spent on is left over.
///
/// Neyman 1934, *On the two different aspects of the representative method*, eq. 22; with costs Cochran, *Sampling Techniques*, section 5.5.
///
/// # Errors
/// [`EstimateError::Setting`] for a number that cannot be.
pub fn neyman(strata: &[Spend], budget: f64, floor: &Floor) -> Result<Vec<f64>, EstimateError> {
    not_negative("budget", budget)?;
    if !(0.0..=1.0).contains(&floor.share) {
        return Err(EstimateError::Setting { name: "floor", value: floor.share, allowed: "a share from 0 to 1" });
    }
    if let Some(half_width) = floor.half_width {
        EstimateError::share("half_width", half_width)?;
    }
    for stratum in strata {
        not_negative("population", stratum.population)?;
        not_negative("spread", stratum.spread)?;
        positive("cost", stratum.cost)?;
    }
    let cost_of = |probability: &dyn Fn(&Spend) -> f64| -> f64 {
        strata.iter().map(|stratum| stratum.population * stratum.cost * probability(stratum)).sum()
    };
    let everything = cost_of(&|_| 1.0);
    let population: f64 = strata.iter().map(|stratum| stratum.population).sum();
    if budget >= everything {
        return Ok(vec![1.0; strata.len()]);
    }
    let alike = budget / everything;
    // 3 a_h/d calls of N_h are a probability of 3/(N d), the same for all.
    let wanted = floor.half_width.map_or(0.0, |half_width| 3.0 / (population * half_width));
    let lowest = (floor.share * alike).max(wanted).min(1.0);
    if cost_of(&|_| lowest) >= budget {
        return Ok(vec![alike; strata.len()]);
    }
    let is_flat = strata.iter().all(|stratum| stratum.spread <= 0.0);
    let weight = |stratum: &Spend| if is_flat { 1.0 } else { stratum.spread / stratum.cost.sqrt() };
    let probability = |scale: f64, stratum: &Spend| (scale * weight(stratum)).clamp(lowest, 1.0);
    let least = strata.iter().map(weight).filter(|weight| *weight > 0.0).fold(f64::INFINITY, f64::min);
    let scale = solve(|scale| cost_of(&|stratum| probability(scale, stratum)), budget, 1.0 / least);
    Ok(strata.iter().map(|stratum| probability(scale, stratum)).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spend(population: f64, spread: f64, cost: f64) -> Spend {
        Spend { population, spread, cost }
    }

    #[test]
    fn doubt_gets_more_and_price_gets_less() {
        let strata = [spend(1000.0, 0.1, 1.0), spend(1000.0, 0.3, 1.0), spend(1000.0, 0.3, 4.0)];
        let found = neyman(&strata, 300.0, &Floor { share: 0.0, half_width: None }).unwrap();
        assert!((found[1] / found[0] - 3.0).abs() < 1e-9 && (found[1] / found[2] - 2.0).abs() < 1e-9);
        let cost: f64 = strata.iter().zip(&found).map(|(stratum, pi)| stratum.population * stratum.cost * pi).sum();
        assert!((cost - 300.0).abs() < 1e-9);
    }

    #[test]
    fn floors() {
        let strata = [spend(9000.0, 0.001, 1.0), spend(1000.0, 0.5, 1.0)];
        let found = neyman(&strata, 500.0, &Floor::default()).unwrap();
        assert!((found[0] - 0.25 * 0.05).abs() < 1e-12 && (found[1] - (500.0 - 112.5) / 1000.0).abs() < 1e-9);
        // 3/(10,000 * .01) = .03 each.
        let found = neyman(&strata, 500.0, &Floor { half_width: Some(0.01), ..Floor::default() }).unwrap();
        assert!((found[0] - 0.03).abs() < 1e-12);
        let found = neyman(&strata, 200.0, &Floor { half_width: Some(0.01), ..Floor::default() }).unwrap();
        assert_eq!(found, [0.02, 0.02], "lowered together");
        assert_eq!(neyman(&strata, 1e9, &Floor::default()).unwrap(), [1.0, 1.0]);
        assert!(neyman(&strata, f64::NAN, &Floor::default()).is_err() && neyman(&[], 1.0, &Floor::default()).unwrap().is_empty());
    }

    #[test]
    fn nothing_seen_is_not_certain() {
        assert!((smoothed_spread(0.0, 98.0) - (0.01_f64 * 0.99).sqrt()).abs() < 1e-15);
        assert_eq!((smoothed_spread(0.3, 0.0), smoothed_spread(f64::NAN, 0.0)), (0.5, 0.5));
    }

    proptest! {
        /// No other allocation at the same price and floor is better: moving money between two strata does not help.
        #[test]
        fn it_is_the_best(of in proptest::collection::vec((1.0..1e4_f64, 0.01..0.5_f64, 0.1..10.0_f64), 2..8), part in 0.01..0.9_f64) {
            let strata: Vec<Spend> = of.iter().map(|(n, s, c)| spend(*n, *s, *c)).collect();
            let everything: f64 = strata.iter().map(|stratum| stratum.population * stratum.cost).sum();
            let found = neyman(&strata, part * everything, &Floor::default()).unwrap();
            let cost: f64 = strata.iter().zip(&found).map(|(stratum, pi)| stratum.population * stratum.cost * pi).sum();
            prop_assert!((cost / (part * everything) - 1.0).abs() < 1e-6, "{cost}");
            let variance = |pi: &[f64]| -> f64 { strata.iter().zip(pi).map(|(s, pi)| s.population * s.spread * s.spread / pi).sum() };
            let lowest = 0.25 * part;
            for i in 0..strata.len() {
                for j in 0..strata.len() {
                    let moved = 1e-3 * cost.min(strata[i].population * strata[i].cost).min(strata[j].population * strata[j].cost);
                    let mut other = found.clone();
                    other[i] -= moved / (strata[i].population * strata[i].cost);
                    other[j] += moved / (strata[j].population * strata[j].cost);
                    if i != j && other[i] >= lowest && other[j] <= 1.0 {
                        prop_assert!(variance(&other) >= variance(&found) * (1.0 - 1e-9));
                    }
                }
            }
        }
    }
}
