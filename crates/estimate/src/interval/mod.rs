//! Intervals: limits around a value. One file per kind.

mod mid_p;
mod mover;
mod normal;
mod wilson;

pub use mid_p::mid_p;
pub use mover::{Spread, mover};
pub use normal::normal;
pub use wilson::wilson;

/// Limits around a value, `0 <= low <= high <= 1`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower limit.
    pub low: f64,
    /// Upper limit.
    pub high: f64,
}

impl Interval {
    /// `center +- half_width`, cut to [0, 1] and stretched where needed to hold `value`.
    fn around(center: f64, half_width: f64, value: f64) -> Self {
        let low = (center - half_width).min(value);
        let high = (center + half_width).max(value);
        Self { low: low.clamp(0.0, 1.0), high: high.clamp(0.0, 1.0) }
    }
}

/// How the limits are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IntervalKind {
    /// Everything was judged, nothing is left to chance: both limits are the value.
    Census,
    /// Normal limits; see [`normal()`].
    Normal,
    /// Limits from Student's distribution, for a variance between groups of conversations.
    Student,
    /// Everything that was drawn had to be drawn, and there is more that could have been: the limits give that part the scores 0 and 1.
    Unseen,
    /// Limits for small counts: Wilson's, see [`wilson()`]; with several cells those of each, see [`mid_p()`], combined by [`mover()`].
    Wilson,
}

impl IntervalKind {
    /// Its name, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Census => "census",
            Self::Unseen => "unseen",
            Self::Normal => "normal",
            Self::Student => "student",
            Self::Wilson => "wilson",
        }
    }
}

/// With fewer residuals behind a variance than this, the normal interval covers too little.
pub const RESIDUALS_MIN: f64 = 30.0;

/// With fewer residuals in one of several strata than this, its own variance is not to be relied on.
pub const STRATUM_RESIDUALS_MIN: f64 = 10.0;
