//! Sums over a window in which the judged stand for all that were drawn.

use super::response::Response;
use crate::bucket::{FOURTH, fourth_power, group_stride, group_tier};
use crate::{Bucket, Estimand, Moments};

/// Sums over a window after adjustment for non-response: with `PI_k R_k` in place of `PI_k`, everywhere.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Adjusted {
    /// Interactions that the estimate speaks of, `N`.
    pub population: u64,
    /// Interactions with a reference score.
    pub judged: u64,
    /// Sum of the last free score `g_0` over the population.
    pub g: f64,
    /// Sum of `w_r = w/R_K` times the products of `z`, as [`Bucket::w`].
    pub w: Moments,
    /// For each tier sum of `w_r (1/(PI_k R_k) - 1/(PI_{k-1} R_{k-1}))` times the products of `z`, as [`Bucket::q`]; with one tier
    /// `q_r = (1 - pi r)/(pi r)^2`.
    pub q: Moments,
    /// Upper bound of `w_r`.
    pub max_w: f64,
    /// Upper bound of `q_r`, which is `w_r^2 - w_r` with several tiers too.
    pub max_q: f64,
    /// Called tiers before the reference: how many have a score, and sums of `w_k/R_k` times `(1, g_0, .., g_k)`.
    pub between: Vec<(u64, Vec<f64>)>,
    /// As [`Bucket::groups`], with `w_k/R_k`; nothing where conversations are not kept.
    pub groups: Vec<f64>,
    /// Upper bounds of the sums of `q_r^2` and of `w_r^4` times the products of `(g, H)` up to the fourth degree.
    fourth: [[f64; FOURTH]; 2],
    /// Whether something was added of which these are not known.
    without_fourth: bool,
    /// Whether something was added of which the conversation is not known.
    ungrouped: bool,
    /// Sum of `w_1` over what was drawn for the first called tier.
    drawn_w: f64,
    /// Of these the part that got all the way.
    answered: f64,
    /// The same, times `H`.
    answered_h: f64,
}

impl Adjusted {
    /// Called tiers, `K`.
    pub fn tiers(&self) -> usize {
        self.between.len() + 1
    }

    /// Share of what was drawn that was judged, each weighted by `1/pi`; in (0, 1] where anything was judged.
    pub fn coverage(&self) -> f64 {
        if self.drawn_w > 0.0 { (self.answered / self.drawn_w).min(1.0) } else { 0.0 }
    }

    /// What the weighted mean would be had every missing score been 0.
    pub fn bound_low(&self) -> f64 {
        if self.drawn_w > 0.0 { (self.answered_h.min(self.answered) / self.drawn_w).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// What the weighted mean would be had every missing score been 1.
    pub fn bound_high(&self) -> f64 {
        if self.drawn_w <= 0.0 {
            return 1.0;
        }
        let missing = (self.drawn_w - self.answered).max(0.0);
        ((self.answered_h.min(self.answered) + missing) / self.drawn_w).clamp(0.0, 1.0)
    }

    /// Sums of `w_r` times 1, g, H, g^2, gH, H^2 with `g = g_0`, whatever tiers there are.
    pub fn one_w(&self) -> [f64; 6] {
        self.one(&self.w, 0)
    }

    /// Sums of `q_r` times 1, g, H, g^2, gH, H^2 with `g = g_0`, over all tiers.
    pub fn one_q(&self) -> [f64; 6] {
        let mut sums = [0.0; 6];
        for block in 0..self.tiers() {
            let part = self.one(&self.q, block);
            sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
        sums
    }

    fn one(&self, moments: &Moments, block: usize) -> [f64; 6] {
        let last = self.tiers() + 1;
        [(0, 0), (0, 1), (0, last), (1, 1), (1, last), (last, last)].map(|(i, j)| moments.entry(last + 1, block, i, j))
    }

    /// Adds the sums of `other`, which has the same tiers.
    pub(crate) fn add(&mut self, other: &Self) {
        if self.population == 0 && self.judged == 0 {
            *self = other.clone();
            return;
        }
        self.ungrouped |= other.ungrouped;
        self.without_fourth |= other.without_fourth;
        let sums = self.fourth.iter_mut().flatten().zip(other.fourth.iter().flatten());
        sums.for_each(|(sum, more)| *sum += more);
        self.population = self.population.saturating_add(other.population);
        self.judged = self.judged.saturating_add(other.judged);
        self.g += other.g;
        self.w.add(&other.w);
        self.q.add(&other.q);
        self.max_w = self.max_w.max(other.max_w);
        self.max_q = self.max_q.max(other.max_q);
        for ((scored, sums), (more, other)) in self.between.iter_mut().zip(&other.between) {
            *scored = scored.saturating_add(*more);
            sums.iter_mut().zip(other).for_each(|(sum, more)| *sum += more);
        }
        if self.groups.is_empty() {
            self.groups.clone_from(&other.groups);
        } else {
            self.groups.iter_mut().zip(&other.groups).for_each(|(sum, more)| *sum += more);
        }
        self.drawn_w += other.drawn_w;
        self.answered += other.answered;
        self.answered_h += other.answered_h;
    }

    /// Whether groups of conversations are there, for all of it.
    pub(crate) fn is_grouped(&self) -> bool {
        !self.ungrouped && !self.groups.is_empty()
    }

    /// `sum v^2` of the residuals' parts `v = u (H - lam g - mean)^2` in a variance; `None` where it is not known. Where weights differ within
    /// a bucket it is an upper bound: `u^2/w` rises with `w`, and is taken to be that of the largest.
    pub(crate) fn fourth(&self, lam: f64, mean: f64, estimand: Estimand) -> Option<f64> {
        let [of_q, of_w] = &self.fourth;
        let sums = if estimand == Estimand::Window { of_q } else { of_w };
        (!self.without_fourth && self.between.is_empty()).then(|| fourth_power(sums, lam, mean))
    }

    fn take_fourth(&mut self, bucket: &Bucket, response: f64, max_w: f64) {
        if bucket.judged == 0 {
            return;
        }
        let Some(sums) = bucket.up_to_fourth() else {
            self.without_fourth = true;
            return;
        };
        // q^2/w and w^4/w.
        let factors = [max_w * (max_w - 1.0).powi(2), max_w.powi(3)];
        for (fourth, factor) in self.fourth.iter_mut().zip(factors) {
            fourth.iter_mut().zip(&sums).for_each(|(sum, more)| *sum += factor / response * more);
        }
    }

    /// Adds a bucket of a cell of hours with these shares of response.
    pub(super) fn take(&mut self, bucket: &Bucket, response: &Response) {
        let tiers = bucket.tiers();
        if self.w.len() != bucket.w.len() {
            self.w = Moments::zeros(bucket.w.len());
            self.q = Moments::zeros(bucket.q.len());
        }
        if self.between.len() != bucket.between.len() {
            self.between = bucket.between.iter().map(|tier| (0, vec![0.0; tier.linear.len()])).collect();
        }
        self.population = self.population.saturating_add(bucket.population);
        self.judged = self.judged.saturating_add(bucket.judged);
        self.g += bucket.g;
        let all = response.all;
        let (answered, answered_h) = (bucket.w[0] * response.scale, bucket.w[tiers + 1] * response.scale);
        self.answered += answered;
        self.answered_h += answered_h;
        let first = bucket.between.first().map_or(bucket.drawn_w, |tier| tier.drawn_w);
        self.drawn_w += if response.is_complete { answered } else { first };
        let max_w = bucket.max_w / all;
        self.max_w = self.max_w.max(max_w);
        self.max_q = self.max_q.max(max_w * (max_w - 1.0).max(0.0));
        self.take_fourth(bucket, all, max_w);
        self.w.iter_mut().zip(&*bucket.w).for_each(|(sum, w)| *sum += w / all);
        // w_r (1/(PI_k R_k) - 1/(PI_{k-1} R_{k-1})) = (d_k + t_{k-1} (1 - r_k)) / (R_k R_K), where d_k = w (1/PI_k - 1/PI_{k-1}) and
        // t_{k-1} = w/PI_{k-1} = w + d_1 + .. + d_{k-1}: nothing cancels, and r_k = 1 changes no digit.
        let size = bucket.w.len();
        for i in 0..size {
            let mut before = bucket.w[i];
            for (k, (r, cumulative)) in response.shares().enumerate() {
                let d = bucket.q[k * size + i];
                self.q[k * size + i] += (d + before * (1.0 - r)) / (cumulative * all);
                before += d;
            }
        }
        for ((sums, tier), (_, cumulative)) in self.between.iter_mut().zip(&bucket.between).zip(response.shares()) {
            sums.0 = sums.0.saturating_add(tier.scored);
            sums.1.iter_mut().zip(&tier.linear).for_each(|(sum, w)| *sum += w / cumulative);
        }
        if bucket.groups.is_empty() {
            let mass = bucket.population > 0 || bucket.judged > 0;
            self.ungrouped |= mass;
            return;
        }
        let stride = group_stride(tiers);
        if self.groups.len() != bucket.groups.len() {
            self.groups = vec![0.0; bucket.groups.len()];
        }
        for (sums, group) in self.groups.chunks_mut(stride).zip(bucket.groups.chunks(stride)) {
            let factors =
                std::iter::repeat_n(1.0, 2).chain(response.shares().enumerate().flat_map(|(k, (_, cumulative))| {
                    std::iter::repeat_n(1.0 / cumulative, group_tier(k + 2) - group_tier(k + 1))
                }));
            sums.iter_mut().zip(group).zip(factors).for_each(|((sum, value), factor)| *sum += value * factor);
        }
    }
}
