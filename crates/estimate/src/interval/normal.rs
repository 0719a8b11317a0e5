//! The normal interval.

use super::Interval;
use crate::estimator::Point;

/// `value +- z sqrt(variance)`, cut to [0, 1]. Right when many residuals make up the variance.
pub fn normal(point: &Point, z: f64) -> Interval {
    Interval::around(point.value, z * point.variance.sqrt(), point.value)
}
