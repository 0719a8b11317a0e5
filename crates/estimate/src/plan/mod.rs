//! What a half-width costs before it is paid for: calls and money of each design, or the half-width that a budget buys.
//!
//! A [`Situation`] says what is known or assumed of the traffic: how many interactions, how much the reference score varies, how much of
//! that a free score explains, within which strata, and what a call costs. A [`Design`] says where calls go. [`Situation::for_half_width`],
//! [`Situation::for_budget`] and [`Situation::at_share`] say what comes of it, and [`paid`] whether a paid cheap judge in between is worth
//! its price. All are the same variance, seen from two sides; see [`design`](Design).
//!
//! Symbols: `N` interactions in the window; `S` the standard deviation of the reference score `H` and `S_e` that of its residual
//! `H - lam g`; subscript `h` for a stratum, `a_h` its share; `pi_h` the probability of a reference call; `z` the normal quantile.
//!
//! These are expectations under a normal interval. With few positives ([`Plan::positives`]) the interval that is reported is wider.

mod design;
mod paid;
mod seen;
mod solve;
mod strata;

pub use design::{Design, FLOOR};
pub use paid::{Paid, cost_ratio, share_of_cheap, worthwhile_from};
pub use seen::{correlation, correlation_interval, spread};
pub use strata::{StratumSpread, assumed, counted};

use crate::{Estimand, EstimateError};

/// What is known or assumed before a single call is paid for.
#[derive(Debug, Clone, PartialEq)]
pub struct Situation {
    /// Interactions in the window, `N`.
    pub population: f64,
    /// The rate, `H_bar`: for the number of positives that can be expected.
    pub rate: f64,
    /// Level of the interval.
    pub level: f64,
    /// What the interval is to hold.
    pub estimand: Estimand,
    /// Standard deviation of the reference score, `S`: `sqrt(p (1 - p))` of a binary one.
    pub spread: f64,
    /// Standard deviation of its residual after the free score, `S_e = S sqrt(1 - rho^2)`.
    pub residual: f64,
    /// The strata that the free score makes; their shares add up to 1.
    pub strata: Vec<StratumSpread>,
    /// Price of a reference call, in any unit that costs are wanted in.
    pub reference_price: f64,
    /// A paid cheap judge that could be put before it.
    pub paid: Option<Paid>,
}

/// What a design comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Where calls go.
    pub design: Design,
    /// Whether the paid cheap judge is used.
    pub with_paid: bool,
    /// Expected calls to the reference judge.
    pub reference_calls: f64,
    /// Expected calls to the paid cheap judge.
    pub paid_calls: f64,
    /// What both cost, in the unit of the prices.
    pub cost: f64,
    /// Half of the width of the interval.
    pub half_width: f64,
    /// Judged with a positive score, if the rate is what was said and the calls were spread evenly.
    pub positives: f64,
}

impl Situation {
    /// `Ok` where every number is one that can be.
    ///
    /// # Errors
    /// [`EstimateError::Level`], or [`EstimateError::Setting`] naming what is out of range.
    pub fn check(&self) -> Result<(), EstimateError> {
        EstimateError::level(self.level)?;
        let within = |name, value: f64, low: f64, high: f64, allowed| {
            if low <= value && value <= high { Ok(()) } else { Err(EstimateError::Setting { name, value, allowed }) }
        };
        within("population", self.population, 1.0, 1e15, "1 to 10^15 interactions")?;
        within("rate", self.rate, 0.0, 1.0, "a share from 0 to 1")?;
        within("spread", self.spread, f64::MIN_POSITIVE, 1.0, "a number above 0 and at most 1")?;
        within("residual", self.residual, 0.0, self.spread, "a number from 0 to the spread")?;
        within("reference_price", self.reference_price, f64::MIN_POSITIVE, 1e15, "a price above 0")?;
        let shares: f64 = self.strata.iter().map(|stratum| stratum.share).sum();
        within("sum of the strata's shares", shares, 1.0 - 1e-6, 1.0 + 1e-6, "shares that add up to 1")?;
        for stratum in &self.strata {
            within("share", stratum.share, 0.0, 1.0, "a share from 0 to 1")?;
            within("spread of a stratum", stratum.spread, 0.0, 1.0, "a number from 0 to 1")?;
            within("residual of a stratum", stratum.residual, 0.0, stratum.spread, "a number from 0 to the stratum's spread")?;
        }
        if let Some(paid) = self.paid {
            within("price of the cheap judge", paid.price, f64::MIN_POSITIVE, 1e15, "a price above 0")?;
            within("rho of the cheap judge", paid.rho, 0.0, 0.999_999, "a correlation from 0 to below 1")?;
        }
        Ok(())
    }
}
