//! One-sided evidence by betting: a wager that the mean of bounded scores is above a value.

use serde::{Deserialize, Serialize};

/// How far back each bettor looks, in scores: a sudden change is seen by the first, a small one by the last.
const MEMORY: [f64; 3] = [300.0, 3_000.0, f64::INFINITY];
/// A bettor begins as if it had seen the reference so many times.
const PRIOR: f64 = 10.0;
/// Share of what could be lost at once that is bet at most (betting, section 4.1: truncation by `c/m`, `c` of 1/2 or 3/4).
const STAKE_MAX: f64 = 0.5;
/// What is put in at the beginning; the rest comes later.
const AT_ONCE: f64 = 0.5;
/// Scores after which the later part begins to thin out.
const SCALE: f64 = 100.0;
/// Evidence beyond this is evidence enough; sums have to stay finite.
const WEALTH_MAX: f64 = 1e100;

/// The wealth of bettors on "the mean is above `reference`", from 1 at the beginning; where no conditional mean is above it, this
/// process is not expected to grow, and by Ville's inequality ever reaches `1/alpha` with probability at most `alpha`.
///
/// Each bettor multiplies its wealth by `1 + l_t (X_t - m)` (betting, eq. for the capital process in section 4) with
/// `l_t = (m_hat - m) / (s^2 + (m_hat - m)^2)` within `[0, c/m]`, the bet that makes it grow fastest if mean and variance are as it
/// remembers them (aGRAPA, betting, appendix on betting strategies). Bettors forget at different speeds and share the initial wealth.
///
/// A change that comes late finds a bettor that lost on the way. Hence half of the wealth is put in bit by bit: with `r_t = 1/2 / (1 +
/// ln(1 + t/100))` still in hand, `r_(t-1) - r_t` goes in before score `t`. The sum of wealth and what is in hand is not expected to grow,
/// because neither part is, and the price of a start at `t` grows like `ln t` only (Robbins, Siegmund 1974; Shiryaev-Roberts with a prior
/// over the time of the change).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Wager {
    n: f64,
    bettors: [Bettor; MEMORY.len()],
}

/// What one bettor has and remembers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Bettor {
    wealth: f64,
    /// Sums over scores, each worth less with every later one: of 1, `X`, `X^2`.
    count: f64,
    sum: f64,
    squares: f64,
}

impl Wager {
    pub(super) fn new() -> Self {
        let bettor = Bettor { wealth: AT_ONCE / MEMORY.len() as f64, ..Bettor::default() };
        Self { n: 0.0, bettors: [bettor; MEMORY.len()] }
    }

    /// Takes a score in [0, 1] in; `reference` in (0, 1).
    pub(super) fn update(&mut self, score: f64, reference: f64) {
        let before = in_hand(self.n);
        self.n += 1.0;
        let more = (before - in_hand(self.n)) / MEMORY.len() as f64;
        for (bettor, memory) in self.bettors.iter_mut().zip(MEMORY) {
            let bet = bettor.bet(reference);
            bettor.wealth = ((bettor.wealth + more) * (1.0 + bet * (score - reference))).min(WEALTH_MAX);
            let kept = 1.0 - 1.0 / memory;
            bettor.count = bettor.count * kept + 1.0;
            bettor.sum = bettor.sum * kept + score;
            bettor.squares = bettor.squares * kept + score * score;
        }
    }

    /// The e-value: what came of 1.
    pub(super) fn evidence(&self) -> f64 {
        self.bettors.iter().map(|bettor| bettor.wealth).sum::<f64>() + in_hand(self.n)
    }
}

impl Bettor {
    fn bet(&self, reference: f64) -> f64 {
        let n = self.count + PRIOR;
        let mean = (self.sum + PRIOR * reference) / n;
        let spread = self.squares - 2.0 * mean * self.sum + mean * mean * self.count;
        let variance = (spread.max(0.0) + PRIOR * reference * (1.0 - reference)) / n;
        let gain = mean - reference;
        (gain / (variance + gain * gain)).clamp(0.0, STAKE_MAX / reference)
    }
}

fn in_hand(n: f64) -> f64 {
    (1.0 - AT_ONCE) / (1.0 + (n / SCALE).ln_1p())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected evidence under the boundary of the null hypothesis, over all sequences of scores 0 and 1, is 1 at every length.
    #[test]
    fn the_expectation_is_one_at_every_length() {
        for reference in [0.02, 0.3, 0.9] {
            for length in 1..=10_u32 {
                let mut expected = 0.0;
                for path in 0..1_u32 << length {
                    let (mut wager, mut probability) = (Wager::new(), 1.0);
                    for at in 0..length {
                        let score = f64::from(path >> at & 1);
                        probability *= if score == 1.0 { reference } else { 1.0 - reference };
                        wager.update(score, reference);
                    }
                    expected += probability * wager.evidence();
                }
                assert!((expected - 1.0).abs() < 1e-12, "{reference} {length}: {expected}");
            }
        }
    }

    #[test]
    fn wealth_stays_a_number() {
        let mut wager = Wager::new();
        for _ in 0..20_000 {
            wager.update(1.0, 0.001);
        }
        assert!(wager.evidence().is_finite() && wager.evidence() > 1e90);
        for _ in 0..20_000 {
            wager.update(0.0, 0.999);
        }
        assert!(wager.evidence() >= 0.0);
    }
}
