//! Estimates a rate, and how sure it is, from sums over a random sample whose probabilities are known.
//!
//! Numbers in, numbers out: nothing here reads a clock, draws a random number or knows what was judged. [`estimate`] takes one
//! [`Bucket`] of sums per hour and stratum and gives an [`Estimate`] with its interval. On the way lie four steps, each a file that can be
//! checked against its equations:
//!
//! 1. `strata`: strata in which too little was judged join a neighbour.
//! 2. [`nonresponse`]: what was drawn but never judged is made up for by those that were, hour by hour.
//! 3. [`estimator`]: a value and its variance within each stratum, one file per estimator.
//! 4. [`interval`]: limits around the value, one file per kind; [`fit`](fit()) puts the strata together.
//!
//! [`contrast`](contrast()) compares two estimates; [`allocation`] says where the next calls are best spent.
//!
//! How good a judge is, and how far it may be trusted: [`agreement`] with gold labels, [`calibration`] of its scores, [`trust`] from which
//! confidence on, [`gold`] labels that correct its rates (also where the judged are a sample: [`two_phase`]), a [`bridge`] over a change of its version, and [`reuse`] of its verdicts. What another sampling rate would do: [`forecast`].
//!
//! What a half-width will cost: [`plan`]. What may be looked at all the time, and raises alarms: [`sequential`].
//!
//! Symbols, throughout the crate: `N` interactions in the window; `H` the reference score and `g` the last free score, both in
//! [0, 1]; `pi` the recorded probability that an interaction is judged; over the judged `w = 1/pi` and `q = (1-pi)/pi^2`, so that
//! `w^2 = q + w`; `W` the sum of `w`.
//!
//! Source: Sarndal, Swensson, Wretman, *Model Assisted Survey Sampling* (Springer 1992), chapters 2, 5, 6, 9 and 15.

pub mod agreement;
pub mod allocation;
pub mod binomial;
pub mod bridge;
mod bucket;
pub mod calibration;
mod contrast;
mod error;
mod estimate;
pub mod estimator;
mod fit;
pub mod forecast;
pub mod gold;
pub mod interval;
pub mod nonresponse;
pub mod plan;
mod quantile;
pub mod reuse;
pub mod sequential;
mod strata;
mod student;
pub mod trust;
pub mod two_phase;

pub use bucket::{Between, Bucket, Course, Draw, GROUPS, Item, Moments, Stratum, TIERS_MAX, group_stride, probability_class};
pub use contrast::{Contrast, contrast};
pub use error::EstimateError;
pub use estimate::{Estimand, Estimate, Method, Options, Warning, estimate};
pub use estimator::{Estimator, Predictors};
pub use fit::{Fit, fit};
pub use interval::{Interval, IntervalKind};
pub use quantile::normal_quantile;
