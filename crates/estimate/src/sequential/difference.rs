//! The alarm "these two versions differ".

use serde::{Deserialize, Serialize};

use super::change::{Change, Direction, Verdict};
use super::is_score;
use crate::EstimateError;

/// Of which version a score is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Version {
    /// The one compared with.
    A,
    /// The one compared.
    B,
}

/// Watches the scores of two versions, as they come in whatever order, for a difference of their means. As long as both means are the
/// same, the alarm is *ever* raised with probability at most `alpha`.
///
/// Whenever both versions have scores that were not compared yet, the mean of each version's is taken and `(D + 1) / 2` of their difference
/// `D = B - A` is bet on against 1/2 (two-sample testing by betting: Shekhar, Ramdas 2023, arXiv 2112.09162, for the mean). Given what came
/// before, `D` lies in [-1, 1] and has expectation 0 under the null, as long as the order of arrival does not depend on the scores. Of
/// a version that sends many more than the other, all scores count; what is kept is four numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The alarm on the differences.
    change: Change,
    /// Number and sum of the scores of `A` and of `B` that wait for the other.
    waiting: [(f64, f64); 2],
    /// Scores so far, of `A` and of `B`.
    pub n: [u64; 2],
}

impl Difference {
    /// Nothing seen yet. [`Direction::Rose`] is for "B is above A", [`Direction::Either`] for "they differ".
    ///
    /// # Errors
    /// `alpha` not strictly between 0 and 1.
    pub fn new(direction: Direction, alpha: f64) -> Result<Self, EstimateError> {
        Ok(Self { change: Change::new(0.5, direction, alpha)?, waiting: [(0.0, 0.0); 2], n: [0; 2] })
    }

    /// Takes the next score in.
    ///
    /// # Errors
    /// A score outside [0, 1], which changes nothing.
    pub fn update(&mut self, version: Version, score: f64) -> Result<(), EstimateError> {
        is_score(score)?;
        let [a, b] = &mut self.waiting;
        let (own, n) = match version {
            Version::A => (&mut *a, &mut self.n[0]),
            Version::B => (&mut *b, &mut self.n[1]),
        };
        *own = (own.0 + 1.0, own.1 + score);
        *n += 1;
        if a.0 > 0.0 && b.0 > 0.0 {
            let apart = b.1 / b.0 - a.1 / a.0;
            self.waiting = [(0.0, 0.0); 2];
            // Rounding must not make a score of it that is none.
            self.change.update(f64::midpoint(apart, 1.0).clamp(0.0, 1.0))?;
        }
        Ok(())
    }

    /// What the scores so far say; `n` counts those of both versions.
    pub fn verdict(&self) -> Verdict {
        Verdict { n: self.n[0].saturating_add(self.n[1]), ..self.change.verdict() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_compared_when_both_have_some() {
        let mut both = Difference::new(Direction::Either, 0.05).unwrap();
        for score in [0.0, 1.0, 1.0] {
            both.update(Version::A, score).unwrap();
        }
        assert_eq!((both.change.n, both.waiting[0], both.n), (0, (3.0, 2.0), [3, 0]));
        both.update(Version::B, 1.0).unwrap();
        assert_eq!((both.change.n, both.waiting), (1, [(0.0, 0.0); 2]));
        let mut by_hand = Change::new(0.5, Direction::Either, 0.05).unwrap();
        by_hand.update((1.0 - 2.0 / 3.0 + 1.0) / 2.0).unwrap();
        assert!((both.verdict().evidence - by_hand.verdict().evidence).abs() < 1e-12 && both.verdict().n == 4);
        assert!(both.update(Version::B, f64::NAN).is_err() && both.n == [3, 1]);
    }

    #[test]
    fn direction_is_b_against_a() {
        let run = |direction, a: f64, b: f64| {
            let mut both = Difference::new(direction, 0.01).unwrap();
            for _ in 0..300 {
                both.update(Version::A, a).unwrap();
                both.update(Version::B, b).unwrap();
            }
            both.verdict().is_raised
        };
        assert!(run(Direction::Rose, 0.1, 0.4) && !run(Direction::Rose, 0.4, 0.1));
        assert!(run(Direction::Fell, 0.4, 0.1) && run(Direction::Either, 0.4, 0.1) && run(Direction::Either, 0.1, 0.4));
        assert!(!run(Direction::Either, 0.25, 0.25));
    }
}
