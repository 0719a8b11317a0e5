//! Where the next calls are best spent. Pure: spreads and prices in, probabilities out.
//!
//! Whatever is chosen here is only ever a probability that goes on record with the draw; the estimators are right for any of them.

mod active;
mod neyman;
mod pilot;
mod tiers;

pub use active::Active;
pub use neyman::{Floor, Spend, neyman, smoothed_spread};
pub use pilot::{Design, Gains, PilotRow, pilot};
pub use tiers::{TierSize, tier_sizes};

use crate::EstimateError;

/// Halvings until a scale is found as exactly as it can be.
const HALVINGS: u32 = 200;

/// `Ok` for a finite number at or above 0.
fn not_negative(name: &'static str, value: f64) -> Result<(), EstimateError> {
    let allowed = "a finite number that is not negative";
    if (0.0..=1e60).contains(&value) { Ok(()) } else { Err(EstimateError::Setting { name, value, allowed }) }
}

/// `Ok` for a finite number above 0.
fn positive(name: &'static str, value: f64) -> Result<(), EstimateError> {
    let allowed = "a finite number above 0";
    if value > 0.0 && value <= 1e60 { Ok(()) } else { Err(EstimateError::Setting { name, value, allowed }) }
}

/// The scale at which `total`, which does not fall with the scale, comes to `wanted`; `largest` where it never does.
fn solve(total: impl Fn(f64) -> f64, wanted: f64, largest: f64) -> f64 {
    let (mut low, mut high) = (0.0, largest);
    if total(largest) <= wanted {
        return largest;
    }
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if total(middle) < wanted { low = middle } else { high = middle }
    }
    high
}
