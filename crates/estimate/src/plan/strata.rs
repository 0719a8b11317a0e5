//! How much the reference score varies within strata of a cheap score: counted, or assumed from a correlation.

use crate::EstimateError;

/// One stratum of the traffic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StratumSpread {
    /// Its share of the traffic, `a_h`.
    pub share: f64,
    /// Standard deviation of the reference score within it, `S_h`.
    pub spread: f64,
    /// The same after the correction by the cheap score within it; as large as `spread` where the score does not vary there.
    pub residual: f64,
}

/// The strata of a cheap score of which only the correlation `rho` with a binary reference of this `rate` is known: one that says yes or
/// no, and yes as often as the reference. The reference is then positive among its yes in `p + rho (1 - p)` and among its no in
/// `p (1 - rho)`, and within each there is nothing left to correct by.
///
/// Of the scores with this correlation it is one of the least useful for allocation: a graded one would put the doubt into fewer items. On
/// the data sets on which the estimators were measured it gives .49, .41 and .22 of naive sampling's calls, where .50, .40 and .24 were
/// measured, while a score with logistic-normal doubt would promise .40, .31 and .11.
///
/// # Errors
/// `rate` not strictly between 0 and 1, `rho` not from 0 to below 1.
pub fn assumed(rate: f64, rho: f64) -> Result<Vec<StratumSpread>, EstimateError> {
    EstimateError::share("rate", rate)?;
    if !(0.0..1.0).contains(&rho) {
        return Err(EstimateError::Setting { name: "rho", value: rho, allowed: "a correlation from 0 to below 1" });
    }
    let stratum = |share: f64, p: f64| {
        let spread = (p * (1.0 - p)).max(0.0).sqrt();
        StratumSpread { share, spread, residual: spread }
    };
    Ok(vec![stratum(1.0 - rate, rate * (1.0 - rho)), stratum(rate, rate + rho * (1.0 - rate))])
}

/// The strata of what was judged so far: for each its weight in the traffic, how many were judged, and their weighted mean score. Spreads are
/// smoothed, `(x + 1)/(n + 2)`, since three verdicts that agree do not prove that there is no doubt; strata without weight are left out.
pub fn counted(strata: impl IntoIterator<Item = (f64, u64, f64)>) -> Vec<StratumSpread> {
    let strata: Vec<(f64, u64, f64)> = strata.into_iter().filter(|(weight, ..)| weight.is_finite() && *weight > 0.0).collect();
    let total: f64 = strata.iter().map(|(weight, ..)| weight).sum();
    let stratum = |(weight, judged, rate): (f64, u64, f64)| {
        let n = judged as f64;
        let rate = if rate.is_finite() { rate.clamp(0.0, 1.0) } else { 0.5 };
        let p = (rate * n + 1.0) / (n + 2.0);
        let spread = (p * (1.0 - p)).sqrt();
        StratumSpread { share: weight / total, spread, residual: spread }
    };
    strata.into_iter().map(stratum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(sum a_h S_h)^2 / S^2`: ideal Neyman against naive.
    fn ratio(strata: &[StratumSpread], rate: f64) -> f64 {
        strata.iter().map(|s| s.share * s.spread).sum::<f64>().powi(2) / (rate * (1.0 - rate))
    }

    #[test]
    fn assumed_strata_have_the_rate_and_the_correlation() {
        for (rate, rho) in [(0.02, 0.5), (0.4, 0.71), (0.9, 0.3), (0.5, 0.0)] {
            let strata = assumed(rate, rho).unwrap();
            let means = [rate * (1.0 - rho), rate + rho * (1.0 - rate)];
            let mean: f64 = strata.iter().zip(means).map(|(s, p)| s.share * p).sum();
            let within: f64 = strata.iter().map(|s| s.share * s.spread * s.spread).sum();
            assert!((mean - rate).abs() < 1e-12);
            // What is within strata is what the correlation leaves.
            assert!((within - rate * (1.0 - rate) * (1.0 - rho * rho)).abs() < 1e-12);
        }
        assert!(assumed(0.0, 0.5).is_err() && assumed(0.5, 1.0).is_err() && assumed(0.5, f64::NAN).is_err());
    }

    /// Ratios of calls that were measured on labelled data: XSTest with a regular expression against GPT-4 and against people, and the CJE
    /// arena sample.
    #[test]
    fn they_promise_about_what_was_measured() {
        for (rate, rho, measured) in [(0.38, 0.71, 0.497), (0.52, 0.77, 0.400), (0.61, 0.88, 0.237)] {
            let promised = ratio(&assumed(rate, rho).unwrap(), rate);
            assert!((promised - measured).abs() < 0.02, "{rate} {rho}: {promised}");
        }
    }

    #[test]
    fn counted_strata_are_smoothed_and_add_up() {
        let strata = counted([(900.0, 3, 0.0), (100.0, 98, 0.5), (0.0, 50, 0.5), (f64::NAN, 1, 0.5), (1_000.0, 0, f64::NAN)]);
        assert_eq!(strata.len(), 3);
        assert!((strata.iter().map(|s| s.share).sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((strata[0].spread - (0.2_f64 * 0.8).sqrt()).abs() < 1e-12);
        assert!((strata[1].spread - 0.5).abs() < 1e-12 && (strata[2].spread - 0.5).abs() < 1e-12);
        assert!(counted([]).is_empty());
    }
}
