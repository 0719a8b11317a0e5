//! Whether a judge's score means what it says: reliability, Brier score, AUC, and two ways to make scores mean it.
//!
//! One file per figure. All take [`Scored`] items, weighted by `1/pi` where they were drawn with recorded probability.

mod auc;
mod isotonic;
mod platt;
mod reliability;

pub use auc::{Auc, auc};
pub use isotonic::{Block, Isotonic};
pub use platt::Platt;
pub use reliability::{Bin, Binning, Reliability, reliability};

use crate::EstimateError;

/// Largest score and largest weight that are computed with: products of them stay finite.
const FIGURE_MAX: f64 = 1e30;

/// A score, and what it should have foretold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// The judge's score. Where a probability is meant, in [0, 1].
    pub score: f64,
    /// Whether the gold label is positive.
    pub positive: bool,
    /// `1/pi` for an item drawn with the recorded probability `pi`; 1 for items of equal weight.
    pub weight: f64,
}

impl Scored {
    /// An item of weight 1.
    pub fn new(score: f64, positive: bool) -> Self {
        Self { score, positive, weight: 1.0 }
    }

    fn label(self) -> f64 {
        f64::from(u8::from(self.positive))
    }
}

/// Refuses scores and weights that cannot be computed with; with `share`, scores outside [0, 1] too.
fn check(items: &[Scored], share: bool) -> Result<(), EstimateError> {
    for (index, item) in items.iter().enumerate() {
        let weight = item.weight > 0.0 && item.weight <= FIGURE_MAX && item.weight >= 1.0 / FIGURE_MAX;
        let range = if share { 0.0..=1.0 } else { -FIGURE_MAX..=FIGURE_MAX };
        if !weight {
            return Err(EstimateError::Row { index, problem: "its weight is not a number above 0" });
        } else if !range.contains(&item.score) {
            let problem = if share { "its score is not from 0 to 1" } else { "its score is not a number of ordinary size" };
            return Err(EstimateError::Row { index, problem });
        }
    }
    Ok(())
}

/// In order of the score, lowest first. Scores are numbers.
fn sorted(items: &[Scored]) -> Vec<Scored> {
    let mut sorted = items.to_vec();
    sorted.sort_by(|a, b| a.score.total_cmp(&b.score));
    sorted
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Items of all scores in [0, 1] with a rate of their own, by a fixed sequence.
    pub(crate) fn spread(n: u32, positive: impl Fn(f64, f64) -> bool) -> Vec<Scored> {
        let part = |i: u32, step: f64| (f64::from(i) * step).fract();
        (0..n)
            .map(|i| {
                let score = part(i, 0.618_033_988_749_894_9);
                let weight = 1.0 + f64::from(i % 3);
                Scored { score, positive: positive(score, part(i, 0.754_877_666_246_692_8)), weight }
            })
            .collect()
    }

    #[test]
    fn refuses_what_cannot_be_computed_with() {
        let item = Scored::new(0.5, true);
        let bad = [
            Scored { score: f64::NAN, ..item },
            Scored { score: f64::INFINITY, ..item },
            Scored { weight: 0.0, ..item },
            Scored { weight: f64::NAN, ..item },
            Scored { weight: -1.0, ..item },
            Scored { weight: f64::INFINITY, ..item },
        ];
        for bad in bad {
            let items = [item, bad];
            assert!(matches!(check(&items, false), Err(EstimateError::Row { index: 1, .. })), "{bad:?}");
            assert!(reliability(&items, Binning::EqualWidth(10), 0.95).is_err());
            assert!(auc(&items, 0.95).is_err() && Platt::fit(&items).is_err() && Isotonic::fit(&items).is_err());
        }
        assert!(check(&[Scored { score: 1.5, ..item }], true).is_err() && check(&[Scored { score: 1.5, ..item }], false).is_ok());
    }
}
