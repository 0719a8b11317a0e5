//! Whether a paid cheap judge between the free ones and the reference is worth its price, in closed form.

/// A paid cheap judge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paid {
    /// Price of a call, in the unit of the reference's.
    pub price: f64,
    /// Its *partial* correlation with the reference given the free scores, from 0 to below 1: what it adds to them.
    pub rho: f64,
}

/// Cost against the reference alone at equal width, when a cheap judge of partial correlation `rho` and price ratio `c` (cheap over reference)
/// sees a random part and the reference a random part of that: `(sqrt(1 - rho^2) + rho sqrt(c))^2`.
///
/// Double sampling (Neyman 1938; Cochran, *Sampling Techniques*, section 12.2) for large populations. 1 or more where it is not worth it;
/// NaN outside `0 <= rho <= 1`, `0 <= c`. Below `rho = sqrt(c/(1+c))` the cheap judge would be asked less often than the reference, and the
/// formula, which lets it, means nothing.
pub fn cost_ratio(rho: f64, c: f64) -> f64 {
    if !(0.0..=1.0).contains(&rho) || c.is_nan() || c < 0.0 {
        return f64::NAN;
    }
    ((1.0 - rho * rho).sqrt() + rho * c.sqrt()).powi(2)
}

/// How many reference calls for each cheap one are best: `sqrt(c (1 - rho^2) / rho^2)`, at most 1.
pub fn share_of_cheap(rho: f64, c: f64) -> f64 {
    if rho == 0.0 { 1.0 } else { (c * (1.0 - rho * rho)).max(0.0).sqrt().min(rho) / rho }
}

/// The partial correlation from which on a cheap judge at price ratio `c` saves anything: `2 sqrt(c) / (1 + c)`; 1 (never) from `c = 1` on.
pub fn worthwhile_from(c: f64) -> f64 {
    if c >= 1.0 { 1.0 } else { 2.0 * c.sqrt() / (1.0 + c) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_at_77_percent_are_the_known_ones() {
        for (c, ratio) in [(0.001, 0.44), (0.01, 0.51), (1.0 / 17.0, 0.68), (0.2, 0.97)] {
            assert!((cost_ratio(0.77, c) - ratio).abs() < 0.006, "{c}: {}", cost_ratio(0.77, c));
        }
    }

    #[test]
    fn it_saves_from_where_it_is_said_to() {
        for c in [0.001, 0.01, 0.06, 0.2, 0.9] {
            let rho = worthwhile_from(c);
            assert!((cost_ratio(rho, c) - 1.0).abs() < 1e-12, "{c}");
            assert!(cost_ratio(rho + 0.01 * (1.0 - rho), c) < 1.0 && cost_ratio(rho - 0.001, c) > 1.0, "{c}");
            assert!(share_of_cheap(rho, c) <= 1.0);
        }
        assert_eq!((worthwhile_from(1.0), worthwhile_from(3.0), share_of_cheap(0.0, 0.1)), (1.0, 1.0, 1.0));
        assert!(cost_ratio(1.1, 0.1).is_nan() && cost_ratio(0.5, -0.1).is_nan());
    }
}
