//! Active sampling: each interaction by how far off the cheap score is thought to be.

use super::solve;
use crate::EstimateError;

/// `pi = min(1, s((1 - tau) u/u_mean + tau))`, `u` being the expected size of the residual, `sqrt(E[(H - g)^2 | x])`; the part `tau` is
/// spread evenly, for what the model of `u` does not know.
///
/// Zrnic, Candes 2024, *Active Statistical Inference* (arXiv 2403.03208), section 4.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Active {
    /// `s`, at or above 0.
    pub scale: f64,
    /// Mean of `u` over the traffic, at or above 0.
    pub u_mean: f64,
    /// `tau`, in [0, 1]. With 0, what has no residual is never judged, and does not belong to what the estimate speaks of.
    pub tau: f64,
}

impl Active {
    /// The probability of an interaction with this `u`, in [0, 1]. What is no size of a residual has the mean.
    pub fn probability(&self, u: f64) -> f64 {
        let relative = if self.u_mean > 0.0 && (0.0..=1e60).contains(&u) { u / self.u_mean } else { 1.0 };
        (self.scale * ((1.0 - self.tau) * relative + self.tau)).clamp(0.0, 1.0)
    }

    /// The scale at which traffic like this is judged with `mean_probability`. `weights` are how many interactions each `u` stands for; 1
    /// each where not given.
    ///
    /// # Errors
    /// [`EstimateError::Setting`] for a `tau` or a probability outside [0, 1], or other than one weight for each `u`; [`EstimateError::Row`] for
    /// a `u` or weight that is negative or no number.
    pub fn solve(u: &[f64], weights: Option<&[f64]>, mean_probability: f64, tau: f64) -> Result<Self, EstimateError> {
        for (name, value) in [("mean_probability", mean_probability), ("tau", tau)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(EstimateError::Setting { name, value, allowed: "a share from 0 to 1" });
            }
        }
        if weights.is_some_and(|weights| weights.len() != u.len()) {
            let value = weights.map_or(0.0, |weights| weights.len() as f64);
            return Err(EstimateError::Setting { name: "weights", value, allowed: "as many as there are residual sizes" });
        }
        let weight = |i: usize| weights.map_or(1.0, |weights| weights.get(i).copied().unwrap_or(0.0));
        let all = |i: usize, u: f64| (0.0..=1e30).contains(&u) && (0.0..=1e30).contains(&weight(i));
        if let Some(index) = (0..u.len()).find(|i| !all(*i, u[*i])) {
            return Err(EstimateError::Row { index, problem: "its residual size or weight is negative or no number" });
        }
        let total: f64 = (0..u.len()).map(weight).sum();
        let u_mean = if total > 0.0 { u.iter().enumerate().map(|(i, u)| weight(i) * u).sum::<f64>() / total } else { 0.0 };
        let with = |scale: f64| Self { scale, u_mean, tau };
        if total <= 0.0 {
            return Ok(with(mean_probability));
        }
        let mean = |scale: f64| {
            let of = with(scale);
            u.iter().enumerate().map(|(i, u)| weight(i) * of.probability(*u)).sum::<f64>() / total
        };
        // From here on everything that can reach 1 has.
        let least = u.iter().map(|u| with(1.0).unbounded(*u)).filter(|share| *share > 0.0).fold(f64::INFINITY, f64::min);
        Ok(with(solve(mean, mean_probability, if least.is_finite() { 1.0 / least } else { 1.0 })))
    }

    fn unbounded(&self, u: f64) -> f64 {
        let relative = if self.u_mean > 0.0 { u / self.u_mean } else { 1.0 };
        (1.0 - self.tau) * relative + self.tau
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_what_was_asked_for() {
        let u: Vec<f64> = (0..500).map(|i| (f64::from(i) * 0.618_033_988_749_894_9).fract().powi(4)).collect();
        for (mean, tau) in [(0.01, 0.2), (0.3, 0.5), (0.9, 0.1), (1.0, 0.1), (0.0, 0.3), (0.5, 1.0)] {
            let active = Active::solve(&u, None, mean, tau).unwrap();
            let found = u.iter().map(|u| active.probability(*u)).sum::<f64>() / 500.0;
            assert!((found - mean).abs() < 1e-9, "{mean} {tau}: {found}");
        }
        let weighted = Active::solve(&[0.1, 0.4], Some(&[3.0, 1.0]), 0.2, 0.0).unwrap();
        assert!((0.75 * weighted.probability(0.1) + 0.25 * weighted.probability(0.4) - 0.2).abs() < 1e-12);
        assert!((weighted.probability(0.4) / weighted.probability(0.1) - 4.0).abs() < 1e-9);
    }

    #[test]
    fn the_even_part_is_a_floor_and_nothing_breaks() {
        let active = Active::solve(&[0.0, 0.0, 0.0, 1.0], None, 0.1, 0.4).unwrap();
        assert!((active.probability(0.0) - 0.04).abs() < 1e-12 && (active.probability(1.0) - 0.28).abs() < 1e-12);
        assert_eq!(active.probability(f64::NAN), active.probability(0.25));
        let flat = Active::solve(&[0.0; 5], None, 0.3, 0.0).unwrap();
        assert!((flat.probability(0.0) - 0.3).abs() < 1e-12);
        assert!(Active::solve(&[-1.0], None, 0.3, 0.0).is_err() && Active::solve(&[1.0], None, 1.3, 0.0).is_err());
        assert_eq!(Active::solve(&[], None, 0.3, 0.0).unwrap().probability(0.7), 0.3);
    }
}
