//! Whether sums can be right.

use super::{Bucket, GROUPS, Moments, TIERS_MAX, group_stride};
use crate::EstimateError;

/// Largest sum that is believed. Squares and quotients of what is smaller stay finite.
const SUM_MAX: f64 = 1e60;
/// How far rounding may make sums contradict each other, as a share.
const ROUNDING: f64 = 1e-6;

/// `small <= large`, apart from rounding.
fn within(small: f64, large: f64) -> bool {
    small <= large + ROUNDING * large.abs()
}

impl Bucket {
    /// Whether interactions can exist that have these sums. Apart from rounding, every test is implied by `0 < PI_K <= .. <= PI_1 <= 1` and
    /// scores in [0, 1], so what fails here was summed wrongly, and an interval from it would be too narrow or no number at all.
    ///
    /// # Errors
    /// [`EstimateError::Sums`], naming the hour.
    pub fn check(&self) -> Result<(), EstimateError> {
        // There may be very many buckets with one tier: theirs is a path of few comparisons.
        match if self.between.is_empty() { self.contradiction_of_one() } else { self.contradiction() } {
            Some(problem) => Err(EstimateError::Sums { hour: self.hour, problem }),
            None => Ok(()),
        }
    }

    /// The same as [`Self::contradiction`] with one called tier.
    fn contradiction_of_one(&self) -> Option<&'static str> {
        let (Ok(w), Ok(q)) = (<&[f64; 6]>::try_from(&*self.w), <&[f64; 6]>::try_from(&*self.q)) else {
            return Some("not as many sums as its tiers have");
        };
        if !self.groups.is_empty() && self.groups.len() != GROUPS * group_stride(1) {
            return Some("not as many sums as its tiers have");
        }
        // No early end, so that several are compared at once.
        let is_sum = |all: bool, sum: &f64| all & (0.0..=SUM_MAX).contains(sum);
        let single = [self.g, self.gg, self.drawn_w, self.max_w];
        let is_believed = single.iter().chain(w).chain(q).fold(true, is_sum) & self.high.iter().fold(true, is_sum);
        if !is_believed || !self.groups.iter().fold(true, is_sum) {
            return Some("a sum is negative, not a number, or beyond 1e60");
        }
        let (n, drawn, judged) = (self.population as f64, self.drawn as f64, self.judged as f64);
        if self.judged > self.drawn || self.drawn > self.population || self.positives.max(self.disagreements) > self.judged {
            return Some("not positives <= judged <= drawn <= population");
        }
        if self.population > 0 && (!within(self.g, n) || !within(self.gg, self.g) || !within(self.g * self.g, n * self.gg)) {
            return Some("a free score outside [0, 1]");
        }
        if self.judged == 0 {
            let weighs = w.iter().chain(q).chain(&self.high).any(|sum| *sum > 0.0);
            return weighs.then_some("none judged, yet weights");
        }
        let total = w[0];
        if !within(judged, total)
            || !within(drawn, self.drawn_w)
            || !within(total, self.drawn_w)
            || !within(total, judged * self.max_w)
        {
            return Some("weights below 1, above their maximum, or more for the judged than for the drawn");
        }
        if !within(total * total / judged, q[0] + total) || !within(q[0] + total, total * self.max_w) {
            return Some("the sums of w and of q do not belong to the same probabilities");
        }
        for [one, g, h, gg, gh, hh] in [w, q] {
            let is_score = |x: f64, xx: f64| within(x, *one) & within(xx, x) & within(x * x, one * xx);
            if !is_score(*g, *gg) || !is_score(*h, *hh) {
                return Some("a score outside [0, 1]");
            }
            if !within(*gh, g.min(*h)) || !within(gh * gh, gg * hh) {
                return Some("a product of scores that no scores have");
            }
        }
        self.high_degrees(w)
    }

    /// Powers of scores in [0, 1] fall with the degree, and obey Cauchy-Schwarz.
    fn high_degrees(&self, w: &[f64; 6]) -> Option<&'static str> {
        if !self.has_high() || self.high.iter().all(|sum| *sum <= 0.0) {
            return None;
        }
        let [one, _, _, gg, gh, hh] = *w;
        let [ggg, ggh, ghh, hhh, gggg, gggh, gghh, ghhh, hhhh] = self.high;
        let falls = within(ggg, gg) & within(gggg, ggg) & within(hhh, hh) & within(hhhh, hhh) & within(ggh, gh) & within(ghh, gh);
        let mixed = within(gggh, ggh) & within(gghh, ggh.min(ghh)) & within(ghhh, ghh);
        let squares = within(gg * gg, one * gggg) & within(hh * hh, one * hhhh) & within(gh * gh, one * gghh);
        (!falls || !mixed || !squares).then_some("powers of scores that no scores have")
    }

    fn contradiction(&self) -> Option<&'static str> {
        let tiers = self.tiers();
        let size = Moments::of_tiers(tiers);
        let is_shaped = tiers <= TIERS_MAX && self.w.len() == size && self.q.len() == size * tiers;
        let linear = |(i, tier): (usize, &super::Between)| tier.linear.len() == i + 3;
        let groups = self.groups.is_empty() || self.groups.len() == GROUPS * group_stride(tiers);
        if !is_shaped || !self.between.iter().enumerate().all(linear) || !groups {
            return Some("not as many sums as its tiers have");
        }
        let single = [self.g, self.gg, self.drawn_w, self.max_w];
        let between = self.between.iter().flat_map(|tier| tier.linear.iter().chain([&tier.drawn_w]));
        let mut all = single.iter().chain(&*self.w).chain(&*self.q).chain(between).chain(&self.groups).chain(&self.high);
        if all.any(|sum| !(0.0..=SUM_MAX).contains(sum)) {
            return Some("a sum is negative, not a number, or beyond 1e60");
        }
        let mut reached = self.population;
        for tier in &self.between {
            if tier.drawn > reached || tier.scored > tier.drawn {
                return Some("a tier with more draws than the one before has scores, or more scores than draws");
            }
            reached = tier.scored;
        }
        if self.judged > self.drawn || self.drawn > reached || self.positives > self.judged || self.disagreements > self.judged {
            return Some("not positives <= judged <= drawn <= population");
        }
        let n = self.population as f64;
        if self.population > 0 && (!within(self.g, n) || !within(self.gg, self.g) || !within(self.g * self.g, n * self.gg)) {
            return Some("a free score outside [0, 1]");
        }
        self.between_tiers().or_else(|| self.judgements(tiers))
    }

    fn between_tiers(&self) -> Option<&'static str> {
        for tier in &self.between {
            let (w, scores) = tier.linear.split_first()?;
            if tier.scored == 0 && *w > 0.0 {
                return Some("a tier without scores, yet weights");
            }
            if !within(tier.drawn as f64, tier.drawn_w) || !within(tier.scored as f64, *w) || !within(*w, tier.drawn_w) {
                return Some("weights of a tier below 1, or more for the scored than for the drawn");
            }
            if scores.iter().any(|score| !within(*score, *w)) {
                return Some("a score of a tier outside [0, 1]");
            }
        }
        None
    }

    fn judgements(&self, tiers: usize) -> Option<&'static str> {
        if self.judged == 0 {
            let weighs = self.w.iter().chain(&*self.q).any(|sum| *sum > 0.0);
            return weighs.then_some("none judged, yet weights");
        }
        let rows = tiers + 2;
        let size = Moments::of_tiers(tiers);
        let (drawn, judged, w) = (self.drawn as f64, self.judged as f64, self.w.first().copied().unwrap_or(0.0));
        if !within(judged, w) || !within(drawn, self.drawn_w) || !within(w, self.drawn_w) || !within(w, judged * self.max_w) {
            return Some("weights below 1, above their maximum, or more for the judged than for the drawn");
        }
        // The sum over tiers is w^2 - w. It lies between what equal weights give (Cauchy-Schwarz) and what the largest allows.
        let q: f64 = self.q.iter().step_by(size).sum();
        if !within(w * w / judged, q + w) || !within(q + w, w * self.max_w) {
            return Some("the sums of w and of q do not belong to the same probabilities");
        }
        for matrix in std::iter::once(&*self.w).chain(self.q.chunks(size)) {
            let at = |i, j| matrix.get(Moments::place(rows, i, j)).copied().unwrap_or(0.0);
            for i in 1..rows {
                let (one, x, xx) = (at(0, 0), at(0, i), at(i, i));
                if !within(x, one) || !within(xx, x) || !within(x * x, one * xx) {
                    return Some("a score outside [0, 1]");
                }
                // A product of scores lies below both, and above what two shares have to have in common.
                if (i + 1..rows).any(|j| !within(at(i, j), x.min(at(0, j))) || !within(at(i, j) * at(i, j), xx * at(j, j))) {
                    return Some("a product of scores that no scores have");
                }
            }
        }
        None
    }
}
