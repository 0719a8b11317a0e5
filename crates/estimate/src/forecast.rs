//! What another sampling rate would cost, and how wide intervals would be then.
//!
//! With one probability `p` for each of `N` interactions, cost grows as `p N`, and the variance of an estimated rate as
//! `(1 - p) / p * S^2 / N` (Bernoulli sampling: Sarndal, Swensson, Wretman, section 3.2): about as `1/p` where `p` is small, and nothing
//! where everything is judged. What estimators gain by cheap judges is taken to stay the same share.

use crate::normal_quantile;

/// What a window showed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observed {
    /// Interactions.
    pub population: u64,
    /// How many of them were judged.
    pub judged: u64,
    /// The estimated rate, in [0, 1], and half the width of its interval; `None` while nothing is judged.
    pub rate: Option<(f64, f64)>,
    /// Level of the interval, within (0, 1).
    pub level: f64,
    /// What judging cost, in any unit.
    pub cost: f64,
}

/// What the same traffic would show.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// What judging would cost; `None` where nothing was judged to learn a price from, and something would be.
    pub cost: Option<f64>,
    /// Half the width of the interval, at most 1; `None` where nothing would be judged, or no rate is known.
    pub half_width: Option<f64>,
}

impl Observed {
    /// The share that was judged; 0 where nothing came.
    pub fn probability(&self) -> f64 {
        if self.population == 0 { 0.0 } else { (self.judged as f64 / self.population as f64).min(1.0) }
    }

    /// What sampling at `probability`, in [0, 1], would have done.
    pub fn at(&self, probability: f64) -> Forecast {
        let (before, after) = (self.probability(), probability.clamp(0.0, 1.0));
        let cost = match (before > 0.0, after > 0.0) {
            (_, false) => Some(0.0),
            _ if self.population == 0 => Some(0.0),
            (true, true) => Some(self.cost * after / before),
            (false, true) => None,
        };
        Forecast { cost, half_width: self.half_width_at(before, after) }
    }

    fn half_width_at(&self, before: f64, after: f64) -> Option<f64> {
        let (value, half) = self.rate.filter(|(value, half)| value.is_finite() && half.is_finite() && after > 0.0)?;
        let value = value.clamp(0.0, 1.0);
        // Without this a sample that missed a part, or judged all, would have no scale.
        let spread = |p: f64| (1.0 - p) / p;
        let width = if before > 0.0 && before < 1.0 && half > 0.0 {
            half * (spread(after) / spread(before)).sqrt()
        } else {
            self.binomial(value, after)
        };
        Some(width.clamp(0.0, 1.0))
    }

    /// Where the present interval says nothing about another: that of a simple rate among as many, moved away from 0 and 1 by half a
    /// quantile squared as Agresti and Coull do (The American Statistician 52, 1998).
    fn binomial(&self, value: f64, after: f64) -> f64 {
        let z = normal_quantile(0.5 + self.level.clamp(0.0, 1.0) / 2.0);
        let judged = self.population as f64 * after;
        let moved = (value.clamp(0.0, 1.0) * judged + z * z / 2.0) / (judged + z * z);
        z * (moved * (1.0 - moved) * (1.0 - after) / (judged + z * z)).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn observed(population: u64, judged: u64, rate: Option<(f64, f64)>) -> Observed {
        Observed { population, judged, rate, level: 0.95, cost: 10.0 }
    }

    #[test]
    fn a_hundredth_of_the_rate_costs_a_hundredth_and_is_ten_times_as_wide() {
        let now = observed(1_000_000, 10_000, Some((0.1, 0.006)));
        let then = now.at(0.0001);
        assert!((then.cost.unwrap() - 0.1).abs() < 1e-12);
        assert!((then.half_width.unwrap() / 0.06 - 1.0).abs() < 0.01, "{then:?}");
        let same = now.at(0.01);
        assert!((same.cost.unwrap() - 10.0).abs() < 1e-12 && (same.half_width.unwrap() - 0.006).abs() < 1e-12);
        assert_eq!(now.at(1.0), Forecast { cost: Some(1_000.0), half_width: Some(0.0) });
        assert_eq!(now.at(0.0), Forecast { cost: Some(0.0), half_width: None });
    }

    #[test]
    fn from_everything_judged_it_is_the_interval_of_a_simple_rate() {
        let all = observed(10_000, 10_000, Some((0.2, 0.0)));
        // z * sqrt(0.2 * 0.8 * 0.9 / 1000), but for the few that Agresti and Coull add.
        let expected = 1.959964 * (0.2_f64 * 0.8 * 0.9 / 1_000.0).sqrt();
        assert!((all.at(0.1).half_width.unwrap() / expected - 1.0).abs() < 0.01);
        assert!((all.at(0.1).cost.unwrap() - 1.0).abs() < 1e-12);
        // Where none was positive there is doubt all the same.
        assert!(observed(1_000, 1_000, Some((0.0, 0.0))).at(0.1).half_width.unwrap() > 0.01);
    }

    #[test]
    fn what_is_not_known_is_not_made_up() {
        assert_eq!(observed(100, 0, None).at(0.5), Forecast { cost: None, half_width: None });
        assert_eq!(observed(0, 0, None).at(0.0), Forecast { cost: Some(0.0), half_width: None });
        assert_eq!(observed(0, 0, None).at(0.5).cost, Some(0.0), "where nothing comes nothing is paid");
        assert_eq!(observed(100, 10, None).at(0.2), Forecast { cost: Some(20.0), half_width: None });
    }

    proptest! {
        #[test]
        fn less_is_never_dearer_nor_narrower(
            population in 1_u64..1_000_000, share in 0.0_f64..=1.0, value in 0.0_f64..=1.0, half in 0.0_f64..0.5,
            low in 0.0001_f64..=1.0, high in 0.0001_f64..=1.0,
        ) {
            let (low, high) = (low.min(high), low.max(high));
            let judged = (population as f64 * share) as u64;
            let now = observed(population, judged, Some((value, half)));
            let (less, more) = (now.at(low), now.at(high));
            if judged > 0 {
                prop_assert!(less.cost.unwrap() <= more.cost.unwrap() + 1e-9);
            }
            let (less, more) = (less.half_width.unwrap(), more.half_width.unwrap());
            prop_assert!((0.0..=1.0).contains(&less) && (0.0..=1.0).contains(&more));
            prop_assert!(less >= more - 1e-3, "{less} {more}");
        }

        #[test]
        fn no_number_is_beyond_it(p in proptest::num::f64::ANY, value in proptest::num::f64::ANY, half in proptest::num::f64::ANY) {
            let then = observed(100, 50, Some((value, half))).at(p);
            prop_assert!(then.half_width.is_none_or(|half| (0.0..=1.0).contains(&half)), "{then:?}");
        }
    }
}
