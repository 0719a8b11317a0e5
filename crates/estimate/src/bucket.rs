//! What estimates are made from: sums over the interactions of an hour, which add up to sums over any longer time.

use crate::EstimateError;

/// Sums over the interactions of one hour, of one metric and one version of the reference judge (versions are never pooled).
///
/// Moments stand in the order 1, g, H, g^2, gH, H^2, with `g = 0` where there is no free score.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bucket {
    /// Which hour, counted from any fixed instant. Buckets may come in any order, and several may share an hour.
    pub hour: i64,
    /// Interactions that the estimate speaks of, `N`: all with a probability above zero, drawn or not.
    pub population: u64,
    /// Sum of `g` over the population.
    pub g: f64,
    /// Sum of `g^2` over the population.
    pub gg: f64,
    /// Interactions drawn, whatever became of them: judged, failed or still waiting.
    pub drawn: u64,
    /// Sum of `1/pi` over the drawn.
    pub drawn_w: f64,
    /// Interactions with a reference score.
    pub judged: u64,
    /// Judged with `H >= 0.5`.
    pub positives: u64,
    /// Over the judged: sum of `w = 1/pi` times each moment.
    pub w: [f64; 6],
    /// Over the judged: sum of `q = (1-pi)/pi^2` times each moment.
    pub q: [f64; 6],
    /// Largest `w` among the judged; 0 if none is.
    pub max_w: f64,
}

/// One interaction, as far as an estimate is concerned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Item {
    /// The recorded probability `pi`, in (0, 1].
    pub probability: f64,
    /// Whether it was drawn.
    pub drawn: bool,
    /// The last free score `g`, in [0, 1]; 0 where there is none.
    pub free: f64,
    /// The reference score `H`, in [0, 1], where there is one. Only what was drawn can have one.
    pub reference: Option<f64>,
}

/// Largest sum that is believed. Squares and quotients of what is smaller stay finite.
const SUM_MAX: f64 = 1e60;
/// How far rounding may make sums contradict each other, as a share.
const ROUNDING: f64 = 1e-6;

impl Bucket {
    /// Adds one interaction. An item that was not drawn counts in the population only.
    pub fn push(&mut self, item: Item) {
        let Item { probability: pi, drawn, free: g, reference } = item;
        self.population = self.population.saturating_add(1);
        self.g += g;
        self.gg += g * g;
        if !drawn {
            return;
        }
        let w = 1.0 / pi;
        self.drawn = self.drawn.saturating_add(1);
        self.drawn_w += w;
        let Some(h) = reference else { return };
        let q = (1.0 - pi) / (pi * pi);
        self.judged = self.judged.saturating_add(1);
        self.positives = self.positives.saturating_add(u64::from(h >= 0.5));
        self.max_w = self.max_w.max(w);
        for (i, moment) in [1.0, g, h, g * g, g * h, h * h].into_iter().enumerate() {
            self.w[i] += w * moment;
            self.q[i] += q * moment;
        }
    }

    /// Adds the sums of `other`; the hour stays.
    pub fn add(&mut self, other: &Self) {
        self.population = self.population.saturating_add(other.population);
        self.g += other.g;
        self.gg += other.gg;
        self.drawn = self.drawn.saturating_add(other.drawn);
        self.drawn_w += other.drawn_w;
        self.judged = self.judged.saturating_add(other.judged);
        self.positives = self.positives.saturating_add(other.positives);
        self.max_w = self.max_w.max(other.max_w);
        for i in 0..6 {
            self.w[i] += other.w[i];
            self.q[i] += other.q[i];
        }
    }

    /// Whether interactions can exist that have these sums. Apart from rounding, every test is implied by `0 < pi <= 1` and
    /// `0 <= g, H <= 1`, so what fails here was summed wrongly, and an interval from it would be too narrow or no number at all.
    pub fn check(&self) -> Result<(), EstimateError> {
        let problem = |problem| Err(EstimateError::Sums { hour: self.hour, problem });
        let sums = [self.g, self.gg, self.drawn_w, self.max_w].into_iter().chain(self.w).chain(self.q);
        if sums.into_iter().any(|sum| !(0.0..=SUM_MAX).contains(&sum)) {
            return problem("a sum is negative, not a number, or beyond 1e60");
        }
        if self.judged > self.drawn || self.drawn > self.population || self.positives > self.judged {
            return problem("not positives <= judged <= drawn <= population");
        }
        if self.judged == 0 {
            return if self.w.into_iter().chain(self.q).any(|sum| sum > 0.0) {
                problem("none judged, yet weights")
            } else {
                Ok(())
            };
        }
        let within = |small: f64, large: f64| small <= large + ROUNDING * large.abs();
        let (drawn, judged, w, q) = (self.drawn as f64, self.judged as f64, self.w[0], self.q[0]);
        if !within(judged, w) || !within(drawn, self.drawn_w) || !within(w, self.drawn_w) || !within(w, judged * self.max_w) {
            return problem("weights below 1, above their maximum, or more for the judged than for the drawn");
        }
        // q = w^2 - w lies between what equal weights give (Cauchy-Schwarz) and what the largest weight allows.
        if !within(w * w / judged, q + w) || !within(q + w, w * self.max_w) {
            return problem("the sums of w and of q do not belong to the same probabilities");
        }
        for [one, _, h, _, _, hh] in [self.w, self.q] {
            if !within(h, one) || !within(hh, h) || !within(h * h, one * hh) {
                return problem("a score outside [0, 1]");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket() -> Bucket {
        let mut bucket = Bucket { hour: 7, ..Bucket::default() };
        for (i, pi) in [0.1, 0.5, 1.0, 0.25, 0.1].into_iter().enumerate() {
            let h = [1.0, 0.0, 0.3, 0.5, 0.0][i];
            bucket.push(Item { probability: pi, drawn: true, free: 0.5, reference: (i < 4).then_some(h) });
            bucket.push(Item { probability: pi, drawn: false, free: 0.1, reference: None });
        }
        bucket
    }

    #[test]
    fn pushes_what_the_definitions_say() {
        let b = bucket();
        assert_eq!((b.population, b.drawn, b.judged, b.positives, b.max_w), (10, 5, 4, 2, 10.0));
        assert!((b.drawn_w - 27.0).abs() < 1e-12 && (b.g - 3.0).abs() < 1e-12 && (b.gg - 1.3).abs() < 1e-12);
        assert!((b.w[0] - 17.0).abs() < 1e-12, "10 + 2 + 1 + 4");
        assert!((b.w[2] - (10.0 + 0.3 + 2.0)).abs() < 1e-12);
        assert!((b.w[4] - 0.5 * b.w[2]).abs() < 1e-12);
        assert!((b.q[0] - (90.0 + 2.0 + 12.0)).abs() < 1e-9, "(1-pi)/pi^2");
        assert!((b.q[5] - (90.0 + 3.0)).abs() < 1e-9);
        assert_eq!(b.check(), Ok(()));
    }

    #[test]
    fn refuses_what_no_interactions_can_sum_to() {
        type Break = fn(&mut Bucket);
        let breaks: [(&str, Break); 14] = [
            ("NaN", |b| b.w[2] = f64::NAN),
            ("infinite", |b| b.q[0] = f64::INFINITY),
            ("negative", |b| b.w[5] = -1.0),
            ("free score", |b| b.g = f64::NAN),
            ("huge", |b| b.drawn_w = 1e61),
            ("more judged than drawn", |b| b.judged = 6),
            ("more drawn than there are", |b| b.population = 4),
            ("more positives than judged", |b| b.positives = 5),
            ("weights without judged", |b| (b.judged, b.positives) = (0, 0)),
            ("judged weigh more than drawn", |b| b.drawn_w = 16.9),
            ("maximum too small", |b| b.max_w = 4.0),
            ("q forgotten", |b| b.q = [0.0; 6]),
            ("score above 1", |b| b.w[2] = 17.1),
            ("square above the score", |b| b.w[5] = b.w[2] + 0.1),
        ];
        for (name, change) in breaks {
            let mut broken = bucket();
            change(&mut broken);
            assert!(matches!(broken.check(), Err(EstimateError::Sums { hour: 7, .. })), "{name}");
        }
    }
}
