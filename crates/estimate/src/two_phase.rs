//! A corrected rate where the judged are a sample themselves: first the judge's draw out of the traffic, then that of the human labels
//! out of what was judged.
//!
//! `H` the human's score, `pi1` the probability of being judged, `pi2` that of being labelled once judged, `w = 1/pi1`. [`crate::gold`]
//! is given `pi = pi1 pi2` and, for the population, the sums of `w` and `w g` over the judged in place of those over the traffic. What it
//! leaves out is how these sums vary with the first draw, at the most by the first term of the variance of two phases,
//! `V = V1(H) + E V2` (Sarndal, Swensson, Wretman, ch. 9.3), here
//! `V1 = K S^2`, `K = sum w^2 (1 - pi1)/W^2` over the judged and `S^2` the mean of `(H - est)^2` with weights `w^2 (1 - pi1)/pi2` over the
//! labelled. Added whole, it counts the residuals' part of it twice: the interval is rather too wide than too narrow.

use crate::gold::Corrected;
use crate::quantile::two_sided;

/// What was judged, as the first draw sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct FirstDraw {
    /// Sum of `w` over the judged.
    w: f64,
    /// Sum of `w^2 (1 - pi1)` over the judged.
    v: f64,
}

/// A labelled interaction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Labelled {
    /// `pi1`, in (0, 1].
    pub judged: f64,
    /// `pi2`, in (0, 1].
    pub labelled: f64,
    /// The human's score.
    pub human: f64,
}

impl FirstDraw {
    /// Takes in a judged interaction of probability `pi1`, labelled or not.
    pub fn push(&mut self, pi1: f64) {
        let w = 1.0 / pi1;
        self.w += w;
        self.v += w * w * (1.0 - pi1);
    }

    /// `V1` around `value`; 0 where everything was judged.
    pub fn variance(&self, labelled: &[Labelled], value: f64) -> f64 {
        if self.w <= 0.0 || self.v <= 0.0 {
            return 0.0;
        }
        let (mut sum, mut weights) = (0.0, 0.0);
        for one in labelled {
            let w = 1.0 / one.judged;
            let weight = w * w * (1.0 - one.judged) / one.labelled;
            sum += weight * (one.human - value) * (one.human - value);
            weights += weight;
        }
        if weights > 0.0 { self.v / (self.w * self.w) * sum / weights } else { 0.0 }
    }

    /// `corrected` with this variance added, and its limits moved out by as much.
    pub fn widen(&self, corrected: Corrected, labelled: &[Labelled]) -> Corrected {
        let variance = self.variance(labelled, corrected.value);
        let z = two_sided(corrected.level);
        let (value, more) = (corrected.value, z * z * variance);
        let half = |limit: f64| ((limit - value).powi(2) + more).sqrt();
        Corrected {
            low: (value - half(corrected.low)).clamp(0.0, value),
            high: (value + half(corrected.high)).clamp(value, 1.0),
            std_error: (corrected.std_error * corrected.std_error + variance).sqrt(),
            ..corrected
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Estimand;
    use crate::gold::{Label, Stratum, correct};

    /// A sequence that fills [0, 1) evenly and looks random enough: splitmix64.
    fn uniform(state: &mut u64) -> f64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    #[test]
    fn everything_judged_adds_nothing() {
        let mut first = FirstDraw::default();
        (0..10).for_each(|_| first.push(1.0));
        let labelled = [Labelled { judged: 1.0, labelled: 0.5, human: 1.0 }];
        assert_eq!(first.variance(&labelled, 0.3), 0.0);
        assert_eq!(FirstDraw::default().variance(&[], 0.3), 0.0);
    }

    #[test]
    fn equal_probabilities_give_the_variance_of_a_sample() {
        let mut first = FirstDraw::default();
        (0..100).for_each(|_| first.push(0.2));
        let labelled: Vec<_> =
            (0..50).map(|i| Labelled { judged: 0.2, labelled: 0.5, human: f64::from(u8::from(i < 10)) }).collect();
        // (1 - 0.2) p (1 - p)/100.
        assert!((first.variance(&labelled, 0.2) - 0.8 * 0.16 / 100.0).abs() < 1e-12);
    }

    /// The judge errs, is asked more often where it is likely to say yes, and a part of what it judged is labelled. The judge's own
    /// rate is far off; the corrected interval holds the truth as often as it says.
    #[test]
    fn two_draws_cover() {
        let (runs, mut covered, mut seed) = (400, 0, 7);
        for _ in 0..runs {
            let (mut truth, n) = (0.0, 3_000);
            let mut first = FirstDraw::default();
            let mut labelled = Vec::new();
            let mut strata = [(); 2].map(|()| (0.0, 0.0, Vec::new()));
            for _ in 0..n {
                let human = f64::from(u8::from(uniform(&mut seed) < 0.3));
                let errs = uniform(&mut seed) < if human > 0.5 { 0.35 } else { 0.05 };
                let judge = if errs { 1.0 - human } else { human };
                truth += human / f64::from(n);
                let pi1 = if judge > 0.5 { 0.6 } else { 0.25 };
                if uniform(&mut seed) >= pi1 {
                    continue;
                }
                first.push(pi1);
                let pi2 = if judge > 0.5 { 0.4 } else { 0.25 };
                let stratum = &mut strata[usize::from(judge > 0.5)];
                stratum.0 += 1.0 / pi1;
                stratum.1 += judge / pi1;
                if uniform(&mut seed) < pi2 {
                    stratum.2.push(Label { probability: pi1 * pi2, judge, human: Some(human) });
                    labelled.push(Labelled { judged: pi1, labelled: pi2, human });
                }
            }
            let strata = strata.map(|(population, judge_sum, drawn): (f64, f64, Vec<Label>)| Stratum {
                population: population.round() as u64,
                judge_sum: judge_sum / population * population.round(),
                drawn,
            });
            let found = first.widen(correct(&strata, 0.95, Estimand::Window).unwrap().unwrap(), &labelled);
            covered += u32::from(found.low <= truth && truth <= found.high);
            assert!(found.std_error > 0.01 && found.std_error < 0.06, "{found:?}");
        }
        // Three standard errors of 0.95 at 400 runs.
        assert!(f64::from(covered) / f64::from(runs) > 0.917, "{covered} of {runs}");
    }
}
