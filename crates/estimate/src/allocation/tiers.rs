//! How many interactions each called tier of a cascade should see.

use super::{not_negative, positive};
use crate::EstimateError;
use crate::bucket::TIERS_MAX;

/// What a called tier is to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TierSize {
    /// Expected calls; 0 for what is skipped.
    pub calls: f64,
    /// Whether the cascade is better off without it at this price. Never the reference judge.
    pub skip: bool,
}

/// Calls of each called tier for an expected cost of `budget`: `n_k ~ sqrt((S^2_{k-1} - S^2_k)/c_k)`, never more than the tier before has, nor
/// than the `population`. `spreads` are `S^2_0..S^2_{K-1}`, `S^2_k = Var(H - a_k)` being what scores up to tier `k` leave unexplained
/// (`S^2_K = 0`), `costs` are `c_1..c_K`.
///
/// These sizes make `sum_k (S^2_{k-1} - S^2_k)/n_k` smallest. A tier that would have to see as much as the one before, or explains nothing,
/// is skipped: of all cascades that leave out some tiers, the best is taken. Peherstorfer, Willcox, Gunzburger 2016, *Optimal model
/// management for multifidelity Monte Carlo estimation*, SIAM J. Sci. Comput. 38, theorem 3.4.
///
/// # Errors
/// [`EstimateError::Setting`] for numbers that cannot be, or not one spread and one cost for each of 1 to 8 tiers.
pub fn tier_sizes(spreads: &[f64], costs: &[f64], population: f64, budget: f64) -> Result<Vec<TierSize>, EstimateError> {
    let tiers = costs.len();
    if spreads.len() != tiers || !(1..=TIERS_MAX).contains(&tiers) {
        let (value, allowed) = (spreads.len() as f64, "one spread and one cost for each of 1 to 8 tiers");
        return Err(EstimateError::Setting { name: "tiers", value, allowed });
    }
    spreads.iter().try_for_each(|spread| not_negative("spread", *spread))?;
    costs.iter().try_for_each(|cost| positive("cost", *cost))?;
    not_negative("population", population)?;
    not_negative("budget", budget)?;
    let mut best: Option<(f64, Vec<TierSize>)> = None;
    for chosen in 0..1_u32 << (tiers - 1) {
        let used: Vec<usize> = (0..tiers).filter(|tier| *tier == tiers - 1 || chosen >> tier & 1 == 1).collect();
        if let Some((variance, sizes)) = sizes(&used, spreads, costs, population, budget)
            && best.as_ref().is_none_or(|(least, _)| variance < *least)
        {
            best = Some((variance, sizes));
        }
    }
    Ok(best.map(|(_, sizes)| sizes).unwrap_or_default())
}

/// Variance (as far as it depends on the sizes) and sizes with the tiers `used` alone; `None` where one of them does not pay.
fn sizes(used: &[usize], spreads: &[f64], costs: &[f64], population: f64, budget: f64) -> Option<(f64, Vec<TierSize>)> {
    let mut sizes = vec![TierSize { calls: 0.0, skip: true }; costs.len()];
    // Of each tier: what it explains of what the used tier before it leaves, and its price.
    let mut parts: Vec<(usize, f64, f64)> = Vec::with_capacity(used.len());
    for (place, tier) in used.iter().enumerate() {
        // `a_k` of called tier k (from 1 on) leaves `spreads[k]`; tier numbers here count from 0.
        let before = if place == 0 { spreads.first() } else { spreads.get(used[place - 1] + 1) };
        let after = spreads.get(tier + 1).copied().unwrap_or(0.0);
        parts.push((*tier, before.copied().unwrap_or(0.0) - after, *costs.get(*tier)?));
    }
    let is_single = parts.len() == 1;
    if !is_single && parts.iter().any(|(_, gain, _)| *gain <= 0.0) {
        return None;
    }
    let ratio = |(_, gain, cost): &(usize, f64, f64)| gain.max(0.0) / cost;
    if parts.windows(2).any(|pair| matches!(pair, [a, b] if ratio(b) >= ratio(a))) {
        return None;
    }
    let (mut variance, mut left, mut rest) = (0.0, budget, parts.as_slice());
    while let Some((part, others)) = rest.split_first() {
        let scale: f64 = rest.iter().map(|(_, gain, cost)| (gain.max(0.0) * cost).sqrt()).sum();
        let share = if scale > 0.0 { (part.1.max(0.0) * part.2).sqrt() / scale } else { 1.0 };
        let calls = (left * share / part.2).min(population);
        left = (left - calls * part.2).max(0.0);
        variance += if part.1 > 0.0 { part.1 / calls.max(f64::MIN_POSITIVE) } else { 0.0 };
        *sizes.get_mut(part.0)? = TierSize { calls, skip: false };
        rest = others;
    }
    Some((variance, sizes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cheap_judge_at_the_price_that_the_formula_says() {
        // rho = .77: at a seventeenth of the price the cost is .68 of naive, with n/N1 = sqrt(c (1-rho^2)/rho^2).
        let (rho2, c) = (0.77_f64 * 0.77, 1.0 / 17.0);
        let spreads = [1.0, 1.0 - rho2];
        let found = tier_sizes(&spreads, &[c, 1.0], 1e9, 100.0).unwrap();
        assert!((found[1].calls / found[0].calls - (c * (1.0 - rho2) / rho2).sqrt()).abs() < 1e-9);
        let variance = rho2 / found[0].calls + (1.0 - rho2) / found[1].calls;
        assert!((variance * 100.0 - 0.68).abs() < 0.005, "{}", variance * 100.0);
        assert!((found[0].calls * c + found[1].calls - 100.0).abs() < 1e-9);
    }

    #[test]
    fn what_does_not_pay_is_skipped() {
        // Worth it only if rho > 2 sqrt(c)/(1+c).
        for (rho, c, is_worth) in
            [(0.9_f64, 0.2_f64, true), (0.7, 0.2, false), (0.77, 0.25, false), (0.21, 0.01, true), (0.19, 0.01, false)]
        {
            assert_eq!(rho > 2.0 * c.sqrt() / (1.0 + c), is_worth);
            let found = tier_sizes(&[1.0, 1.0 - rho * rho], &[c, 1.0], 1e9, 1000.0).unwrap();
            assert_eq!(found[0].skip, !is_worth, "{rho} {c}: {found:?}");
            assert!(!found[1].skip && (is_worth || (found[1].calls - 1000.0).abs() < 1e-9));
        }
        // A tier that explains less than the one before it.
        let found = tier_sizes(&[1.0, 0.3, 0.5], &[0.01, 0.02, 1.0], 1e9, 100.0).unwrap();
        assert_eq!(found.iter().map(|tier| tier.skip).collect::<Vec<_>>(), [false, true, false]);
    }

    #[test]
    fn never_more_than_there_are() {
        let found = tier_sizes(&[1.0, 0.1], &[0.001, 1.0], 5000.0, 100.0).unwrap();
        assert!((found[0].calls - 5000.0).abs() < 1e-9 && (found[1].calls - 95.0).abs() < 1e-9, "{found:?}");
        assert!(tier_sizes(&[], &[], 1.0, 1.0).is_err() && tier_sizes(&[1.0], &[0.0], 1.0, 1.0).is_err());
        assert_eq!(tier_sizes(&[0.0], &[2.0], 1e6, 10.0).unwrap(), [TierSize { calls: 5.0, skip: false }]);
    }
}
