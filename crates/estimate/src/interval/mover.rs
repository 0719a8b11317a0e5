//! The interval of a sum out of the intervals of its parts.

use super::Interval;

/// A part of a sum, and how far its limits lie from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Its weight in the sum, of either sign.
    pub weight: f64,
    /// How far its lower limit lies below its value.
    pub below: f64,
    /// How far its upper limit lies above its value.
    pub above: f64,
}

/// How far the limits of `sum weight x` lie below and above it: `sqrt(sum weight^2 (limit - x)^2)`, a part with negative weight turning
/// its limits around. With normal parts that are independent this is the normal interval of the sum.
///
/// MOVER, the method of variance estimates recovery: Zou, Donner 2008, Statistics in Medicine 27, 1693-1702; for the difference of two shares
/// with Wilson's limits it is method 10 of Newcombe 1998, Statistics in Medicine 17, 873-890. Gives the distances as an interval around 0,
/// not cut.
pub fn mover(parts: impl Iterator<Item = Spread>) -> Interval {
    let (mut below, mut above) = (0.0, 0.0);
    for Spread { weight, below: down, above: up } in parts {
        let (down, up) = if weight < 0.0 { (up, down) } else { (down, up) };
        below += (weight * down).powi(2);
        above += (weight * up).powi(2);
    }
    Interval { low: -below.sqrt(), high: above.sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimator::Point;
    use crate::interval::wilson;

    /// Newcombe 1998, table II, method 10: 56/70 - 48/80, 9/10 - 3/10, 5/56 - 0/29.
    #[test]
    fn published_differences() {
        let rate = |count: f64, n: f64| {
            let p = count / n;
            let spread = p * (1.0 - p);
            let limits =
                wilson(&Point { value: p, variance: spread / n, spread, inverse_size: 1.0 / n, residuals: 0.0 }, 1.959_964);
            (p, p - limits.low, limits.high - p)
        };
        for (a, b, low, high) in [
            ((56.0, 70.0), (48.0, 80.0), 0.0524, 0.3339),
            ((9.0, 10.0), (3.0, 10.0), 0.1705, 0.8090),
            ((5.0, 56.0), (0.0, 29.0), -0.0381, 0.1926),
        ] {
            let (a, b) = (rate(a.0, a.1), rate(b.0, b.1));
            let parts = [(1.0, a), (-1.0, b)].map(|(weight, (_, below, above))| Spread { weight, below, above });
            let apart = mover(parts.into_iter());
            let d = a.0 - b.0;
            assert!((d + apart.low - low).abs() < 6e-5 && (d + apart.high - high).abs() < 6e-5, "{d} {apart:?}");
        }
    }
}
