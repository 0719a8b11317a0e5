//! How interactions get into buckets: one by one, or event by event as a rollup sees them.

use super::{Bucket, GROUPS, group_stride, group_tier};
use crate::EstimateError;

/// One interaction of a metric with one called tier, as far as an estimate is concerned.
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

/// One interaction on its way through several called tiers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Course<'a> {
    /// The last free score `g_0`, in [0, 1]; 0 where there is none.
    pub free: f64,
    /// The draws that drew it, from the first called tier on. Only the last may have no score.
    ///
    /// Where a tier before the reference failed, either the course ends there, and what was lost is made up for by those that
    /// did not fail; or it goes on with the score of the tier before, for any function of what was known is a cheap score.
    pub draws: &'a [Draw],
    /// The group of its conversation, below [`GROUPS`]; `None` where conversations are not kept.
    pub group: Option<u8>,
}

/// A draw that drew an interaction for a called tier.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// The recorded probability of getting this far, `PI_k`, in (0, 1], never above the one before.
    pub probability: f64,
    /// The tier's score, in [0, 1]; `None` while waiting, or failed for good.
    pub score: Option<f64>,
}

impl Bucket {
    /// Adds one interaction to a bucket with one called tier. An item that was not drawn counts in the population only.
    ///
    /// In a bucket with more tiers it would have skipped some; there it counts as accepted and nothing else.
    pub fn push(&mut self, item: Item) {
        self.accept(item.free, None);
        if !item.drawn || self.tiers() != 1 {
            return;
        }
        self.drawn_once(1, item.probability);
        if let Some(h) = item.reference {
            self.judge(&[item.probability], &[item.free, h], None);
        }
    }

    /// Adds one interaction.
    ///
    /// # Errors
    /// [`EstimateError::Row`] (of index 0) for more draws than the bucket has tiers, or a draw after one without a score. Nothing is
    /// added then.
    pub fn push_course(&mut self, course: &Course<'_>) -> Result<(), EstimateError> {
        let Course { free, draws, group } = *course;
        let last = draws.len().saturating_sub(1);
        if draws.len() > self.tiers() || draws.iter().take(last).any(|draw| draw.score.is_none()) {
            let problem = "it has more draws than there are tiers, or goes on after a missing score";
            return Err(EstimateError::Row { index: 0, problem });
        }
        self.accept(free, group);
        let (mut probabilities, mut scores) = (Vec::with_capacity(draws.len()), vec![free]);
        for (i, draw) in draws.iter().enumerate() {
            self.drawn_once(i + 1, draw.probability);
            let Some(score) = draw.score else { break };
            probabilities.push(draw.probability);
            scores.push(score);
            self.scored(&probabilities, &scores, group);
        }
        Ok(())
    }

    /// Counts an interaction that was accepted, with its free score; `group` as in [`Course::group`].
    pub fn accept(&mut self, free: f64, group: Option<u8>) {
        self.open_groups(group);
        self.population = self.population.saturating_add(1);
        self.g += free;
        self.gg += free * free;
        if let Some([n, g, ..]) = self.group(group) {
            *n += 1.0;
            *g += free;
        }
    }

    /// Counts that a draw of probability `PI_k` drew one for called tier `k`, from 1 on.
    ///
    /// # Errors
    /// [`EstimateError::Setting`] where there is no such tier.
    pub fn draw(&mut self, tier: usize, probability: f64) -> Result<(), EstimateError> {
        self.has_tier(tier)?;
        self.drawn_once(tier, probability);
        Ok(())
    }

    /// Counts a score of called tier `k`: `probabilities` are `PI_1..PI_k`, `scores` are `g_0..g_k`, the last of them `H` where `k = K`.
    ///
    /// # Errors
    /// [`EstimateError::Setting`] where there is no such tier, or there is not one score more than probabilities.
    pub fn score(&mut self, probabilities: &[f64], scores: &[f64], group: Option<u8>) -> Result<(), EstimateError> {
        self.has_tier(probabilities.len())?;
        if scores.len() != probabilities.len() + 1 {
            let (value, allowed) = (scores.len() as f64, "one score more than there are probabilities");
            return Err(EstimateError::Setting { name: "scores", value, allowed });
        }
        self.scored(probabilities, scores, group);
        Ok(())
    }

    fn has_tier(&self, tier: usize) -> Result<(), EstimateError> {
        let (value, allowed) = (tier as f64, "the number of a called tier, from 1 on");
        if (1..=self.tiers()).contains(&tier) { Ok(()) } else { Err(EstimateError::Setting { name: "tier", value, allowed }) }
    }

    fn drawn_once(&mut self, tier: usize, probability: f64) {
        let (drawn, drawn_w) = match self.between.get_mut(tier - 1) {
            Some(between) => (&mut between.drawn, &mut between.drawn_w),
            None => (&mut self.drawn, &mut self.drawn_w),
        };
        *drawn = drawn.saturating_add(1);
        *drawn_w += 1.0 / probability;
    }

    fn scored(&mut self, probabilities: &[f64], scores: &[f64], group: Option<u8>) {
        if probabilities.len() == self.tiers() {
            return self.judge(probabilities, scores, group);
        }
        self.open_groups(group);
        let tier = probabilities.len();
        let w = 1.0 / probabilities.last().copied().unwrap_or(1.0);
        let terms = || std::iter::once(w).chain(scores.iter().map(|score| w * score));
        if let Some(between) = self.between.get_mut(tier - 1) {
            between.scored = between.scored.saturating_add(1);
            between.linear.iter_mut().zip(terms()).for_each(|(sum, term)| *sum += term);
        }
        if let Some(sums) = self.group(group) {
            sums.iter_mut().skip(group_tier(tier)).zip(terms()).for_each(|(sum, term)| *sum += term);
        }
    }

    fn judge(&mut self, probabilities: &[f64], scores: &[f64], group: Option<u8>) {
        self.open_groups(group);
        let tier = probabilities.len();
        let pi = probabilities.last().copied().unwrap_or(1.0);
        let (w, h) = (1.0 / pi, scores.last().copied().unwrap_or(0.0));
        let cheap = scores.get(tier - 1).copied().unwrap_or(0.0);
        let is_kept = self.has_high();
        self.judged = self.judged.saturating_add(1);
        self.positives = self.positives.saturating_add(u64::from(h >= 0.5));
        self.disagreements = self.disagreements.saturating_add(u64::from((h >= 0.5) != (cheap >= 0.5)));
        self.max_w = self.max_w.max(w);
        let mut z = [1.0; super::TIERS_MAX + 2];
        z.iter_mut().skip(1).zip(scores).for_each(|(place, score)| *place = *score);
        let z = z.get(..=scores.len()).unwrap_or(&z);
        if let (1, true, [cheap, h]) = (tier, is_kept, scores) {
            self.push_high(w, *cheap, *h);
        }
        self.w.add_product(0, w, z);
        let mut before = 1.0;
        for (block, pi_k) in probabilities.iter().enumerate() {
            // 1/PI_k - 1/PI_{k-1}, in a form that is 0 where both are the same.
            self.q.add_product(block, w * ((before - pi_k) / (pi_k * before)).max(0.0), z);
            before = *pi_k;
        }
        if let Some(sums) = self.group(group) {
            sums.iter_mut().skip(group_tier(tier)).zip(z).for_each(|(sum, score)| *sum += w * score);
        }
    }

    /// Makes room for groups with the first that has one, and gives them up with the first that has none.
    fn open_groups(&mut self, group: Option<u8>) {
        match group {
            None => self.groups.clear(),
            Some(_) if self.groups.is_empty() && !self.has_mass() => self.groups = vec![0.0; GROUPS * group_stride(self.tiers())],
            Some(_) => {}
        }
    }

    fn group(&mut self, group: Option<u8>) -> Option<&mut [f64]> {
        let stride = group_stride(self.tiers());
        self.groups.chunks_mut(stride).nth(usize::from(group?) % GROUPS)
    }
}
