//! Intervals: limits around a value. One file per kind.

mod normal;
mod wilson;

pub use normal::normal;
pub use wilson::wilson;

use crate::estimator::Point;

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
    /// Everything that was drawn had to be drawn, and there is more that could have been: the limits give that part the scores 0 and 1.
    Unseen,
    /// Wilson's limits, for small counts; see [`wilson()`].
    Wilson,
}

impl IntervalKind {
    /// Its name, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Census => "census",
            Self::Unseen => "unseen",
            Self::Normal => "normal",
            Self::Wilson => "wilson",
        }
    }
}

/// With fewer residuals behind a variance than this, the normal interval covers too little.
pub const RESIDUALS_MIN: f64 = 30.0;

/// The interval that suits `point`, for the two-sided normal quantile `z`.
pub fn choose(point: &Point, z: f64) -> (Interval, IntervalKind) {
    if point.inverse_size <= 0.0 && point.variance <= 0.0 {
        (Interval::around(point.value, 0.0, point.value), IntervalKind::Census)
    } else if point.residuals >= RESIDUALS_MIN {
        (normal(point, z), IntervalKind::Normal)
    } else {
        (wilson(point, z), IntervalKind::Wilson)
    }
}
