//! What may be looked at all the time: confidence sequences and alarms whose promised error holds over every moment together.
//!
//! A fixed 95 % interval that is looked at after every verdict misses at some moment in about half of all runs. Here the chance of *ever*
//! being wrong is at most `alpha`, however often anybody looks and whenever they stop. The price is width: 1.6 to 2.5 times the
//! fixed interval, which is why reports use that one and alerts use these.
//!
//! - [`ConfidenceSequence`]: limits around the mean of scores in [0, 1] that were audited with one probability. Exact at every size.
//! - [`Change`]: the alarm "the rate rose above (fell below, left) the reference", by betting. Exact at every size.
//! - [`Difference`]: the alarm "these two versions differ", by the same bets on their differences. Exact at every size.
//! - [`Asymptotic`]: limits and both alarms for weighted observations, from running sums alone: number, mean, variance so far. Exact as
//!   the first look comes later.
//!
//! Weighted audits need not be asymptotic: of every accepted interaction, drawn or not, `pi_min H xi / pi` with the smallest probability in use
//! is a score in [0, 1] with mean `pi_min` times the rate, and [`Change`] takes it against `pi_min` times the reference.
//!
//! Every state is a plain struct of numbers that can be stored and taken up again; an observation costs no allocation.
//!
//! Sources: Waudby-Smith, Ramdas, *Estimating means of bounded random variables by betting* (JRSS B 2023, arXiv 2010.09686), here
//! "betting"; Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, *Time-uniform central limit theory and asymptotic confidence sequences*
//! (Annals of Statistics 2024, arXiv 2103.06476), here "asymptotic". Both rest on Ville 1939: a non-negative process that begins at 1
//! and is not expected to grow ever reaches `1/alpha` with probability at most `alpha`.

mod asymptotic;
mod bernstein;
mod change;
mod difference;
mod wager;

pub use asymptotic::{Asymptotic, FIRST_LOOK_MIN, Running};
pub use bernstein::ConfidenceSequence;
pub use change::{Change, Direction, Verdict};
pub use difference::{Difference, Version};

use crate::EstimateError;

/// `Ok` where `score` lies in [0, 1].
fn is_score(score: f64) -> Result<(), EstimateError> {
    let allowed = "a score from 0 to 1";
    if (0.0..=1.0).contains(&score) { Ok(()) } else { Err(EstimateError::Setting { name: "score", value: score, allowed }) }
}
