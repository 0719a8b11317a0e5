//! Where calls go, and the variance that comes of it.

use serde::{Deserialize, Serialize};

use super::Situation;
use crate::Estimand;

/// No stratum is judged less often than this share of the mean, so that confident mistakes are found.
pub const FLOOR: f64 = 0.25;
/// Steps until the floor has settled: each brings it four times closer.
const SETTLING: u32 = 40;

/// Where reference calls go, and what becomes of the cheap score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Design {
    /// Everywhere alike, and only they count.
    Naive,
    /// Everywhere alike; the free score of everything is corrected by them (PPI++).
    Ppi,
    /// More where the free score leaves doubt: `pi_h ~ S_h`, no less than [`FLOOR`] of the mean (Neyman 1934).
    Neyman,
    /// The same by residuals, with the correction within each stratum.
    NeymanPpi,
}

impl Design {
    /// All of them, from the plainest on.
    pub const ALL: [Self; 4] = [Self::Naive, Self::Ppi, Self::Neyman, Self::NeymanPpi];
}

/// Expected calls, and the variance of the estimate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Purchase {
    pub(super) reference_calls: f64,
    pub(super) paid_calls: f64,
    pub(super) variance: f64,
}

impl Situation {
    /// Shares and standard deviations of what a design averages.
    fn spreads(&self, design: Design) -> Vec<(f64, f64)> {
        match design {
            Design::Naive => vec![(1.0, self.spread)],
            Design::Ppi => vec![(1.0, self.residual)],
            Design::Neyman => self.strata.iter().map(|stratum| (stratum.share, stratum.spread)).collect(),
            Design::NeymanPpi => self.strata.iter().map(|stratum| (stratum.share, stratum.residual)).collect(),
        }
    }

    /// What comes of probabilities `pi_h = s S_h`, kept at the floor and at 1, of a reference call; and, with the paid cheap judge of partial
    /// correlation `r` and price `c` (the reference's being `C`), of `s S_h sqrt(1 - r^2) / sqrt(C)` and of `s S_h r / sqrt(c)` of a cheap call, no
    /// less than the former. These proportions are the cheapest for their variance (Cochran, *Sampling Techniques*, 5.5 and 12.2).
    ///
    /// `window`: `V = sum a_h S_h^2 (1/pi_h - 1) / N`: with equal probabilities `S^2 (1/n - 1/N)`, with Neyman's `(sum a_h S_h)^2/n - sum a_h S_h^2/N`
    /// (Cochran, 5.26). With the cheap judge drawn at `pi1_h`, the inner bracket is `(1/pi1_h - 1) + (1 - r^2)(1/pi_h - 1/pi1_h)`. `process` adds
    /// `S^2/N`.
    pub(super) fn purchase(&self, design: Design, with_paid: bool, s: f64) -> Purchase {
        let spreads = self.spreads(design);
        let paid = self.paid.filter(|_| with_paid);
        let (reference_factor, paid_factor, left) = match paid {
            Some(paid) => {
                let left = (1.0 - paid.rho * paid.rho).max(0.0);
                ((left / self.reference_price).sqrt(), paid.rho / paid.price.sqrt(), left)
            }
            None => (1.0, 0.0, 1.0),
        };
        let floor = floor(&spreads, s * reference_factor);
        let (mut reference, mut cheap, mut inner) = (0.0, 0.0, 0.0);
        for (share, spread) in spreads {
            let pi = (s * reference_factor * spread).clamp(floor, 1.0);
            let pi1 = if paid.is_some() { (s * paid_factor * spread).clamp(pi, 1.0) } else { 1.0 };
            reference += share * pi;
            cheap += if paid.is_some() { share * pi1 } else { 0.0 };
            // Where there is no doubt, nothing has to be bought.
            if spread > 0.0 {
                inner += share * spread * spread * ((1.0 / pi1 - 1.0) + left * (1.0 / pi - 1.0 / pi1));
            }
        }
        let own = if self.estimand == Estimand::Process { self.spread * self.spread } else { 0.0 };
        let n = self.population;
        Purchase { reference_calls: n * reference, paid_calls: n * cheap, variance: (inner + own) / n }
    }

    /// The scale of [`Self::purchase`] beyond which nothing changes any more: everything is judged.
    pub(super) fn all(&self, design: Design, with_paid: bool) -> f64 {
        let spreads = self.spreads(design);
        // A stratum without doubt stays at the floor for ever; the others are at 1 when the least doubtful is.
        let least = spreads.iter().map(|(_, spread)| *spread).filter(|spread| *spread > 0.0).fold(f64::INFINITY, f64::min);
        let factors = match self.paid.filter(|_| with_paid) {
            Some(paid) => [((1.0 - paid.rho * paid.rho) / self.reference_price).sqrt(), paid.rho / paid.price.sqrt()],
            None => [1.0; 2],
        };
        let slowest = factors.into_iter().filter(|factor| *factor > 0.0).fold(f64::INFINITY, f64::min);
        let scale = 1.0 / (least * slowest);
        if scale.is_finite() && scale > 0.0 { scale } else { 1.0 }
    }
}

/// `FLOOR` of the mean of probabilities that are themselves no less than this.
fn floor(spreads: &[(f64, f64)], scale: f64) -> f64 {
    let mut floor = 0.0;
    for _ in 0..SETTLING {
        floor = FLOOR * spreads.iter().map(|(share, spread)| share * (scale * spread).clamp(floor, 1.0)).sum::<f64>();
    }
    floor.min(1.0)
}
