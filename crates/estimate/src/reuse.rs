//! How often a reused verdict is wrong, with bounds that hold at every moment, however often one looks.
//!
//! Of the hits, some are judged for real, by chance and independently of everything that the verdict depends on. Each of these gives an
//! error `Z` in [0, 1]: 1 where reused and real verdict differ, 0 where they agree. The sums of [`Audits`] suffice for the bounds and
//! may be merged in any way.

use serde::{Deserialize, Serialize};

use crate::EstimateError;
use crate::binomial::boundary;

/// Steepest of the mixed bets, right for no error among a few hits.
const STEEPEST: f64 = 8.0;
/// Number of bets, each half as steep as the one before: the last is right for millions of audits.
const BETS: u32 = 14;

/// What was found where reused verdicts were judged for real. Sums; add them up with [`Audits::add`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Audits {
    /// Hits that were judged for real.
    pub judged: u64,
    /// Sum of their errors.
    pub errors: f64,
}

impl Audits {
    /// Adds one audit. An error outside [0, 1], or none at all, counts as 1: what cannot be read is not taken for right.
    pub fn push(&mut self, error: f64) {
        self.judged = self.judged.saturating_add(1);
        self.errors += if (0.0..=1.0).contains(&error) { error } else { 1.0 };
    }

    /// Adds the sums of `other`.
    pub fn add(&mut self, other: &Self) {
        self.judged = self.judged.saturating_add(other.judged);
        self.errors += other.errors;
    }

    /// Share of errors among the audits; `None` without audits.
    pub fn rate(&self) -> Option<f64> {
        (self.judged > 0).then(|| (self.errors / self.judged as f64).clamp(0.0, 1.0))
    }

    /// The upper confidence bound of the running error: with probability `1 - alpha` at least, the mean chance of error over the audits so
    /// far is below it at *all* times together. 1 without audits.
    ///
    /// A capital that bets against an error of `m`, `K(m) = mean_k exp(-s_k sum Z)/(1 - m (1 - e^-s_k))^n`, is expected not to grow where the
    /// errors so far have a mean chance of `m` or more, and so exceeds `1/alpha` at any time with probability `alpha` at most (Ville); the bound is
    /// where it does. This is the hedged betting of Waudby-Smith and Ramdas (arXiv 2010.09686, section 4, capital
    /// `prod (1 + lam (m - Z))`) with `lam_k = c_k/(1 - m c_k)`, `c_k = 1 - e^-s_k`, mixed over a fixed grid of `s_k`, so that for errors
    /// of 0 and 1 the sums give it exactly; between them `e^(-s Z) <= 1 - Z c` leaves it on the safe side. Chances may change from one
    /// audit to the next, also in reply to what was seen: by the inequality of means, `prod (1 - m_i c) <= (1 - mean(m_i) c)^n`.
    ///
    /// # Errors
    /// For an `alpha` outside (0, 1), or sums that no audits have.
    pub fn upper(&self, alpha: f64) -> Result<f64, EstimateError> {
        self.check(alpha)?;
        Ok(upper(self.judged as f64, self.errors, alpha))
    }

    /// The lower confidence bound, with the same promise: [`Self::upper`] of `1 - Z`. Above a limit, it proves that reuse errs too often.
    ///
    /// # Errors
    /// As [`Self::upper`].
    pub fn lower(&self, alpha: f64) -> Result<f64, EstimateError> {
        self.check(alpha)?;
        Ok(1.0 - upper(self.judged as f64, self.judged as f64 - self.errors, alpha))
    }

    /// Whether [`Self::upper`] lies below `limit`, without searching for it: the question to ask at every hit.
    ///
    /// # Errors
    /// As [`Self::upper`], and for a limit outside [0, 1].
    pub fn below(&self, limit: f64, alpha: f64) -> Result<bool, EstimateError> {
        self.check(alpha)?;
        if !(0.0..=1.0).contains(&limit) {
            return Err(EstimateError::Setting { name: "limit", value: limit, allowed: "a share from 0 to 1" });
        }
        Ok(self.judged > 0 && log_capital(self.judged as f64, self.errors, limit) > -alpha.ln())
    }

    fn check(&self, alpha: f64) -> Result<(), EstimateError> {
        EstimateError::share("alpha", alpha)?;
        // Sums of many fractions may lie above their number by rounding.
        if self.errors >= 0.0 && self.errors <= self.judged as f64 * (1.0 + 1e-9) {
            return Ok(());
        }
        Err(EstimateError::Setting { name: "errors", value: self.errors, allowed: "a sum from 0 to the number of audits" })
    }
}

fn upper(n: f64, errors: f64, alpha: f64) -> f64 {
    let wealth = -alpha.ln();
    boundary(|m| log_capital(n, errors, m) < wealth).1
}

/// `ln K(m)`, which rises with `m`.
fn log_capital(n: f64, errors: f64, m: f64) -> f64 {
    let bets = (0..BETS).map(|k| {
        let s = STEEPEST / f64::from(1u32 << k);
        // 1 - e^-s with all digits.
        -s * errors - n * (m * (-s).exp_m1()).ln_1p()
    });
    let largest = bets.clone().fold(f64::NEG_INFINITY, f64::max);
    largest + bets.map(|bet| (bet - largest).exp()).sum::<f64>().ln() - f64::from(BETS).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audits(judged: u64, errors: f64) -> Audits {
        Audits { judged, errors }
    }

    /// The product of single bets, as the paper has it, at one `m`.
    fn capital(errors: &[f64], m: f64) -> f64 {
        let bet = |k: u32| {
            let c = 1.0 - (-STEEPEST / f64::from(k).exp2()).exp();
            errors.iter().map(|z| 1.0 + c / (1.0 - m * c) * (m - z)).product::<f64>()
        };
        (0..BETS).map(bet).sum::<f64>() / f64::from(BETS)
    }

    #[test]
    fn equals_the_product_of_bets() {
        let mut errors = vec![0.0; 60];
        (errors[7], errors[31]) = (1.0, 1.0);
        for m in [0.01, 0.05, 0.2, 0.7] {
            let product = capital(&errors, m).ln();
            assert!((log_capital(60.0, 2.0, m) - product).abs() < 1e-9, "{m}");
        }
        let bound = audits(60, 2.0).upper(0.05).unwrap();
        assert!((capital(&errors, bound) - 20.0).abs() < 1e-6, "{bound}");
        // Graded errors: never more capital than the bets have.
        let graded: Vec<f64> = (0..60).map(|i| f64::from(i % 4) / 10.0).collect();
        for m in [0.1, 0.2, 0.4, 0.9] {
            assert!(log_capital(60.0, graded.iter().sum(), m) <= capital(&graded, m).ln() + 1e-12);
        }
    }

    #[test]
    fn what_it_takes_to_reuse() {
        // Without error, between ln(1/alpha)/n, the bound for one look, and ln(14/alpha)/n, the price of a single bet of 14: here 230 audits
        // for 2 % at 95 %.
        let bound = |n| audits(n, 0.0).upper(0.05).unwrap();
        assert!(bound(230) < 0.02 && bound(220) > 0.02, "{} {}", bound(230), bound(220));
        let (one, all) = (20.0_f64.ln(), (14.0_f64 / 0.05).ln());
        assert!((one..all).contains(&(bound(100_000) * 100_000.0)), "{}", bound(100_000));
        // Half of the limit, 5,000 audits.
        assert!(audits(5_000, 50.0).upper(0.05).unwrap() < 0.0165);
        // Not much wider than a bound for one look only: z/sqrt(n) sqrt(p (1-p)) = .00163.
        let wide = audits(20_000, 400.0).upper(0.05).unwrap() - 0.02;
        assert!(wide < 0.0036, "{wide}");
        assert!(audits(200, 20.0).lower(0.05).unwrap() > 0.04, "reuse that is wrong is found out");
    }

    #[test]
    fn bounds_are_in_order_and_move_the_right_way() {
        assert_eq!((audits(0, 0.0).upper(0.05), audits(0, 0.0).lower(0.05), audits(0, 0.0).rate()), (Ok(1.0), Ok(0.0), None));
        for n in [1u64, 10, 1000, 10_000_000] {
            let mut before = -1.0;
            for tenth in 0..=10u32 {
                let found = audits(n, n as f64 * f64::from(tenth) / 10.0);
                let (low, rate, high) = (found.lower(0.05).unwrap(), found.rate().unwrap(), found.upper(0.05).unwrap());
                assert!(0.0 <= low && low <= rate && rate <= high && high <= 1.0, "{n} {tenth}: {low} {rate} {high}");
                assert!(high >= before && found.upper(0.01).unwrap() >= high);
                before = high;
            }
        }
    }

    #[test]
    fn merging_adds_up_and_odd_errors_count_as_wrong() {
        let (mut all, mut parts) = (Audits::default(), [Audits::default(); 3]);
        for (i, error) in [0.0, 1.0, 0.25, f64::NAN, -3.0, 7.0, 0.0].into_iter().enumerate() {
            all.push(error);
            parts[i % 3].push(error);
        }
        let [mut sum, b, c] = parts;
        sum.add(&c);
        sum.add(&b);
        assert_eq!((all, all.judged, all.errors), (sum, 7, 4.25));
    }

    #[test]
    fn below_is_what_the_bound_says() {
        for (n, errors) in [(0, 0.0), (1, 0.0), (300, 0.0), (300, 2.0), (5_000, 40.5), (50, 50.0)] {
            let found = audits(n, errors);
            for limit in [0.0, 0.001, 0.01, 0.02, 0.2, 0.9, 1.0] {
                assert_eq!(found.below(limit, 0.05).unwrap(), found.upper(0.05).unwrap() < limit, "{n} {errors} {limit}");
            }
        }
        assert!(audits(5, 0.0).below(f64::NAN, 0.05).is_err() && audits(5, 0.0).below(0.5, 0.0).is_err());
    }

    #[test]
    fn refuses_what_cannot_be() {
        for alpha in [0.0, 1.0, f64::NAN] {
            assert!(audits(5, 0.0).upper(alpha).is_err());
        }
        for errors in [-1.0, 6.0, f64::NAN, f64::INFINITY] {
            assert!(audits(5, errors).upper(0.05).is_err() && audits(5, errors).lower(0.05).is_err());
        }
    }
}
