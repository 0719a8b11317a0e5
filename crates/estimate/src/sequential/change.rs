//! The alarm "the rate is no longer what it was": above, below or apart from a reference.

use serde::{Deserialize, Serialize};

use super::is_score;
use super::wager::Wager;
use crate::EstimateError;

/// Which change is an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The rate rose above the reference.
    Rose,
    /// It fell below.
    Fell,
    /// Either.
    Either,
}

/// Watches scores in [0, 1] of a uniform audit for a change from a reference rate. As long as no conditional mean lies beyond the
/// reference, the alarm is *ever* raised with probability at most `alpha`; a change at any time is found.
///
/// The reference is a number that somebody fixed: a threshold, or a rate over so much traffic that its own interval does not matter. A
/// baseline that was itself estimated is a version to compare with: [`super::Difference`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The chance of a false alarm, over all time.
    pub alpha: f64,
    /// The rate that is no event, in (0, 1).
    pub reference: f64,
    /// What is.
    pub direction: Direction,
    /// Scores so far.
    pub n: u64,
    /// The largest evidence so far.
    pub peak: f64,
    above: Wager,
    below: Wager,
}

/// What the scores so far say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// The alarm is raised, and stays so: what comes after does not take it back.
    pub is_raised: bool,
    /// The largest e-value so far: how many times the stake a gambler against "no change" would have had. The alarm is raised at `1/alpha`.
    pub evidence: f64,
    /// `min(1, 1/evidence)`: a p-value that may be looked at after every score.
    pub p_value: f64,
    /// Observations behind it.
    pub n: u64,
}

impl Verdict {
    pub(super) fn new(peak: f64, alpha: f64, n: u64) -> Self {
        Self { is_raised: peak >= 1.0 / alpha, evidence: peak, p_value: (1.0 / peak).min(1.0), n }
    }
}

impl Change {
    /// Nothing seen yet.
    ///
    /// # Errors
    /// `alpha` or `reference` not strictly between 0 and 1. A reference of 0 or 1 needs no statistics: one score beyond it disproves it.
    pub fn new(reference: f64, direction: Direction, alpha: f64) -> Result<Self, EstimateError> {
        EstimateError::share("alpha", alpha)?;
        EstimateError::share("reference", reference)?;
        Ok(Self { alpha, reference, direction, n: 0, peak: 1.0, above: Wager::new(), below: Wager::new() })
    }

    /// Takes the next score in.
    ///
    /// # Errors
    /// A score outside [0, 1], which changes nothing.
    pub fn update(&mut self, score: f64) -> Result<(), EstimateError> {
        is_score(score)?;
        if self.direction != Direction::Fell {
            self.above.update(score, self.reference);
        }
        if self.direction != Direction::Rose {
            self.below.update(1.0 - score, 1.0 - self.reference);
        }
        self.n += 1;
        self.peak = self.peak.max(self.evidence());
        Ok(())
    }

    /// What the scores so far say.
    pub fn verdict(&self) -> Verdict {
        Verdict::new(self.peak, self.alpha, self.n)
    }

    /// The e-value as of now. Half of the stake on each side where both are events: a mean of e-values is one.
    fn evidence(&self) -> f64 {
        match self.direction {
            Direction::Rose => self.above.evidence(),
            Direction::Fell => self.below.evidence(),
            Direction::Either => f64::midpoint(self.above.evidence(), self.below.evidence()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(direction: Direction, scores: impl Iterator<Item = f64>) -> Verdict {
        let mut change = Change::new(0.3, direction, 0.01).unwrap();
        scores.for_each(|score| change.update(score).unwrap());
        change.verdict()
    }

    #[test]
    fn each_direction_sees_its_own() {
        let up = || (0..400).map(|i| f64::from(u8::from(i % 2 == 0)));
        let down = || (0..400).map(|i| f64::from(u8::from(i % 10 == 0)));
        assert!(watch(Direction::Rose, up()).is_raised && !watch(Direction::Rose, down()).is_raised);
        assert!(watch(Direction::Fell, down()).is_raised && !watch(Direction::Fell, up()).is_raised);
        assert!(watch(Direction::Either, up()).is_raised && watch(Direction::Either, down()).is_raised);
        assert!(!watch(Direction::Either, (0..4_000).map(|_| 0.3)).is_raised);
    }

    #[test]
    fn an_alarm_stays_and_the_state_can_be_stored() {
        let mut change = Change::new(0.1, Direction::Rose, 0.05).unwrap();
        (0..100).for_each(|_| change.update(1.0).unwrap());
        let raised = change.verdict();
        assert!(raised.is_raised && raised.p_value <= 0.05 && raised.n == 100);
        let copy = change;
        (0..1_000).for_each(|_| change.update(0.0).unwrap());
        assert!(change.verdict().is_raised && change.verdict().evidence >= raised.evidence);
        assert!(copy.n == 100 && copy != change);
        for wrong in [f64::NAN, -1.0, 2.0] {
            assert!(change.update(wrong).is_err());
        }
        assert!(Change::new(0.0, Direction::Rose, 0.05).is_err() && Change::new(0.5, Direction::Rose, 0.0).is_err());
    }
}
