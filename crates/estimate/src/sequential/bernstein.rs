//! A confidence sequence for the mean of bounded scores: predictable plug-in empirical Bernstein.

use serde::{Deserialize, Serialize};

use super::is_score;
use crate::{EstimateError, Interval};

/// No bet exceeds this: `psi` grows without bound towards 1 (betting, after Theorem 2, which recommends 1/2 or 3/4).
const LAMBDA_MAX: f64 = 0.5;

/// Limits around the mean of scores that hold it at all times together with probability `1 - alpha`.
///
/// Betting, Theorem 2 (PrPl-EB): with `psi(l) = (-ln(1 - l) - l) / 4` and `v_i = 4 (X_i - m_(i-1))^2`,
/// ```text
/// sum(l_i X_i) / sum(l_i)  +-  (ln(2/alpha) + sum(v_i psi(l_i))) / sum(l_i)
/// l_t   = min(1/2, sqrt(2 ln(2/alpha) / (s^2_(t-1) t ln(1 + t))))
/// m_t   = (1/2 + sum X_i) / (t + 1),   s^2_t = (1/4 + sum (X_i - m_i)^2) / (t + 1)
/// ```
/// where `l_t` looks only at what came before. Where the mean moves, the limits hold the mean of the conditional means weighted by `l_i`,
/// since the martingale is one for these as well; the early ones weigh a little more.
///
/// The scores have to be those of a uniform audit: weighted ones are no longer in [0, 1]; see [`super::Asymptotic`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ConfidenceSequence {
    /// The chance of ever missing.
    pub alpha: f64,
    /// Scores so far.
    pub n: u64,
    /// Their sum.
    pub sum: f64,
    /// Sum of `(X_i - m_i)^2`.
    pub squares: f64,
    /// Sum of `l_i`.
    pub bets: f64,
    /// Sum of `l_i X_i`.
    pub bet_scores: f64,
    /// Sum of `v_i psi(l_i)`.
    pub penalty: f64,
}

impl ConfidenceSequence {
    /// Nothing seen yet, to be wrong at some moment with probability at most `1 - level`.
    ///
    /// # Errors
    /// [`EstimateError::Level`] where `level` does not lie strictly between 0 and 1.
    pub fn new(level: f64) -> Result<Self, EstimateError> {
        EstimateError::level(level)?;
        Ok(Self { alpha: 1.0 - level, n: 0, sum: 0.0, squares: 0.0, bets: 0.0, bet_scores: 0.0, penalty: 0.0 })
    }

    /// Takes the next score in.
    ///
    /// # Errors
    /// A score outside [0, 1], which changes nothing.
    pub fn update(&mut self, score: f64) -> Result<(), EstimateError> {
        is_score(score)?;
        let seen = self.n as f64;
        let mean = (0.5 + self.sum) / (seen + 1.0);
        let variance = (0.25 + self.squares) / (seen + 1.0);
        let t = seen + 1.0;
        let bet = (2.0 * self.cost() / (variance * t * (1.0 + t).ln())).sqrt().min(LAMBDA_MAX);
        let apart = score - mean;
        // 4 and 1/4 cancel.
        self.penalty += apart * apart * (-(-bet).ln_1p() - bet);
        self.bets += bet;
        self.bet_scores += bet * score;
        self.sum += score;
        self.n += 1;
        let after = score - (0.5 + self.sum) / (t + 1.0);
        self.squares += after * after;
        Ok(())
    }

    /// The limits as of now, within [0, 1]; all of it while nothing is seen.
    pub fn interval(&self) -> Interval {
        if self.bets <= 0.0 {
            return Interval { low: 0.0, high: 1.0 };
        }
        let center = (self.bet_scores / self.bets).clamp(0.0, 1.0);
        let half_width = (self.cost() + self.penalty) / self.bets;
        Interval { low: (center - half_width).max(0.0), high: (center + half_width).min(1.0) }
    }

    /// `ln(2/alpha)`.
    fn cost(&self) -> f64 {
        (2.0 / self.alpha).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_steps_are_those_of_the_formula() {
        let mut sequence = ConfidenceSequence::new(0.95).unwrap();
        assert_eq!(sequence.interval(), Interval { low: 0.0, high: 1.0 });
        let scores = [1.0, 0.0, 0.25, 1.0, 0.5];
        let cost = 40.0_f64.ln();
        let (mut bets, mut bet_scores, mut penalty) = (0.0, 0.0, 0.0);
        for (i, x) in scores.into_iter().enumerate() {
            // From the definitions, anew at every step.
            let mean = |k: usize| (0.5 + scores[..k].iter().sum::<f64>()) / (k as f64 + 1.0);
            let squares: f64 = (1..=i).map(|k| (scores[k - 1] - mean(k)).powi(2)).sum();
            let variance = (0.25 + squares) / (i as f64 + 1.0);
            let t = i as f64 + 1.0;
            let bet = (2.0 * cost / (variance * t * (1.0 + t).ln())).sqrt().min(0.5);
            let psi = (-(1.0 - bet).ln() - bet) / 4.0;
            penalty += 4.0 * (x - mean(i)).powi(2) * psi;
            bets += bet;
            bet_scores += bet * x;
            sequence.update(x).unwrap();
            assert!((sequence.penalty - penalty).abs() < 1e-12 && (sequence.bets - bets).abs() < 1e-12, "{i}");
            assert!((sequence.bet_scores - bet_scores).abs() < 1e-12 && sequence.n == i as u64 + 1);
        }
        for _ in 0..5_000 {
            sequence.update(0.25).unwrap();
        }
        let Interval { low, high } = sequence.interval();
        assert!(0.2 < low && low < 0.25 && 0.25 < high && high < 0.3, "{low} {high}");
    }

    #[test]
    fn what_is_no_score_changes_nothing() {
        let mut sequence = ConfidenceSequence::new(0.9).unwrap();
        sequence.update(0.5).unwrap();
        let before = sequence;
        for wrong in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(sequence.update(wrong).is_err(), "{wrong}");
        }
        assert_eq!(sequence, before);
        assert!(ConfidenceSequence::new(1.0).is_err() && ConfidenceSequence::new(f64::NAN).is_err());
    }
}
