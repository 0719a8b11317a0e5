//! What estimates are made from: sums over the interactions of an hour, which add up to sums over any longer time.

mod check;
mod fourth;
mod item;
mod moments;

pub use fourth::HIGH;
pub(crate) use fourth::{FOURTH, fourth_power};
pub use item::{Course, Draw, Item};
pub use moments::Moments;

use crate::EstimateError;

/// Most called tiers of a metric.
pub const TIERS_MAX: usize = 8;
/// Groups of conversations. A conversation belongs to one of them by a hash of its id; an interaction without one, by its own.
pub const GROUPS: usize = 64;

/// Which part of the traffic a bucket holds: known of every interaction before its draw, drawn or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stratum {
    /// Version of the design that numbered the strata; strata of different designs are kept apart.
    pub design: u32,
    /// The stratum. Numbers are to be near where the traffic is alike (by the cheap score, say): what is too small joins a neighbour.
    pub cell: u16,
    /// The [`probability_class`]. Kept apart only where cells are needed because few positives were seen.
    pub class: u8,
}

/// The class of a probability, `floor(log2(1/pi))`: 0 above 1/2, 1 above 1/4, ... Within a class probabilities differ two-fold at most.
/// 63 for what is no probability.
pub fn probability_class(pi: f64) -> u8 {
    if pi >= 1.0 {
        return 0;
    }
    // A cast saturates; NaN is 0, hence the comparison.
    if pi > 0.0 { ((1.0 / pi).log2().floor() as u8).min(63) } else { 63 }
}

/// Sums over the interactions of one hour and stratum, of one metric and one version of the reference judge (versions are never pooled).
///
/// There are `K` called tiers, the last of them the reference judge. `z = (1, g_0, .., g_{K-1}, H)` are the last free score (0 where there is
/// none), the scores of the called tiers before the reference, and the reference score. `PI_k` is the recorded probability of
/// reaching called tier `k`, all draws before it included, `PI_0 = 1`, `w_k = 1/PI_k`, `w = w_K`. With `K = 1`, moments stand in the order
/// 1, g, H, g^2, gH, H^2, and [`Self::q`] has the factor `q = w (1/pi - 1) = (1-pi)/pi^2`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bucket {
    /// Which hour, counted from any fixed instant. Buckets may come in any order, and several may share an hour.
    pub hour: i64,
    /// Which part of the traffic.
    pub stratum: Stratum,
    /// Interactions that the estimate speaks of, `N`: all with a probability above zero, drawn or not.
    pub population: u64,
    /// Sum of `g_0` over the population.
    pub g: f64,
    /// Sum of `g_0^2` over the population.
    pub gg: f64,
    /// Interactions drawn for the reference judge, whatever became of them: judged, failed or still waiting.
    pub drawn: u64,
    /// Sum of `w` over these.
    pub drawn_w: f64,
    /// Interactions with a reference score.
    pub judged: u64,
    /// Judged with `H >= 0.5`.
    pub positives: u64,
    /// Judged for whom `g_{K-1}` and `H` lie on different sides of 0.5.
    pub disagreements: u64,
    /// Largest `w` among the judged; 0 if none is.
    pub max_w: f64,
    /// Over the judged: sum of `w z z'`.
    pub w: Moments,
    /// Over the judged: sums of `w (1/PI_k - 1/PI_{k-1}) z z'`, one matrix for each `k = 1..=K`.
    pub q: Moments,
    /// Over the judged, with one called tier: sums of `w` times g^3, g^2 H, g H^2, H^3, g^4, g^3 H, g^2 H^2, g H^3, H^4. They say how many
    /// residuals make up a variance. All 0 where they are not kept, or there are several called tiers: then a lower bound is made do with.
    pub high: [f64; HIGH],
    /// The called tiers before the reference, `k = 1..K-1`; none where `K = 1`.
    pub between: Vec<Between>,
    /// Sums by group of conversations, [`GROUPS`] times [`group_stride`] numbers, or nothing where conversations are not kept. Of a group: `N`,
    /// sum of `g_0`, then for each tier `k = 1..=K`, over what has a score there, sums of `w_k (1, g_0, .., g_k)` with `g_K = H`.
    pub groups: Vec<f64>,
}

/// Sums of a called tier before the reference.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Between {
    /// Interactions drawn for this tier `k`, whatever became of them.
    pub drawn: u64,
    /// Sum of `w_k` over these.
    pub drawn_w: f64,
    /// Those with a score of this tier.
    pub scored: u64,
    /// Over the scored: sums of `w_k (1, g_0, .., g_k)`, `k + 2` numbers.
    pub linear: Vec<f64>,
}

/// Numbers that each group has with `tiers` called tiers: 5 for one, `N`, sum g, sum w, sum w g, sum w H.
pub fn group_stride(tiers: usize) -> usize {
    group_tier(tiers + 1)
}

/// Where the sums of tier `k` begin within a group.
pub(crate) fn group_tier(k: usize) -> usize {
    2 + k * k.saturating_sub(1) / 2 + 2 * k.saturating_sub(1)
}

impl Bucket {
    /// An empty bucket with `tiers` called tiers (from 1 to [`TIERS_MAX`]; the nearest is taken).
    pub fn new(hour: i64, stratum: Stratum, tiers: usize) -> Self {
        let tiers = tiers.clamp(1, TIERS_MAX);
        let size = Moments::of_tiers(tiers);
        Self {
            hour,
            stratum,
            w: Moments::zeros(size),
            q: Moments::zeros(size * tiers),
            between: (1..tiers).map(|k| Between { linear: vec![0.0; k + 2], ..Between::default() }).collect(),
            ..Self::default()
        }
    }

    /// Called tiers, `K`.
    pub fn tiers(&self) -> usize {
        self.between.len() + 1
    }

    /// Adds the sums of `other`; hour and stratum stay. Groups of conversations stay only where both have them.
    ///
    /// # Errors
    /// [`EstimateError::Sums`] where the two have different numbers of tiers, unless one of them is empty.
    pub fn add(&mut self, other: &Self) -> Result<(), EstimateError> {
        if !self.is_alike(other) {
            if other.is_empty() {
                return Ok(());
            }
            if !self.is_empty() {
                return Err(EstimateError::Sums { hour: other.hour, problem: "the numbers of tiers differ" });
            }
            *self = Self { hour: self.hour, stratum: self.stratum, ..other.clone() };
            return Ok(());
        }
        if self.is_ungrouped() || other.is_ungrouped() {
            self.groups.clear();
        } else if self.groups.is_empty() {
            self.groups.clone_from(&other.groups);
        } else {
            self.groups.iter_mut().zip(&other.groups).for_each(|(sum, more)| *sum += more);
        }
        self.add_high(other);
        self.population = self.population.saturating_add(other.population);
        self.g += other.g;
        self.gg += other.gg;
        self.drawn = self.drawn.saturating_add(other.drawn);
        self.drawn_w += other.drawn_w;
        self.judged = self.judged.saturating_add(other.judged);
        self.positives = self.positives.saturating_add(other.positives);
        self.disagreements = self.disagreements.saturating_add(other.disagreements);
        self.max_w = self.max_w.max(other.max_w);
        self.w.add(&other.w);
        self.q.add(&other.q);
        for (tier, more) in self.between.iter_mut().zip(&other.between) {
            tier.drawn = tier.drawn.saturating_add(more.drawn);
            tier.drawn_w += more.drawn_w;
            tier.scored = tier.scored.saturating_add(more.scored);
            tier.linear.iter_mut().zip(&more.linear).for_each(|(sum, number)| *sum += number);
        }
        Ok(())
    }

    /// Whether both have the same tiers.
    fn is_alike(&self, other: &Self) -> bool {
        self.between.len() == other.between.len() && self.w.len() == other.w.len() && self.q.len() == other.q.len()
    }

    /// Whether nothing was added.
    pub(crate) fn is_empty(&self) -> bool {
        self.population == 0 && self.drawn == 0 && self.judged == 0 && self.between.iter().all(|tier| tier.drawn == 0)
    }

    /// Whether there is something in it that groups would have.
    fn has_mass(&self) -> bool {
        self.population > 0 || self.judged > 0 || self.between.iter().any(|tier| tier.scored > 0)
    }

    /// Whether it holds something of which the group is not known.
    fn is_ungrouped(&self) -> bool {
        self.groups.is_empty() && self.has_mass()
    }

    /// The same as with one called tier: what the tiers between said is left out.
    ///
    /// What was drawn for the reference and not judged is made to weigh what was lost on the whole way, so that
    /// `sum w/drawn_w` is the product of the shares of response of all tiers.
    pub(crate) fn one_tier(&self) -> Self {
        let (tiers, last) = (self.tiers(), self.tiers() + 1);
        if tiers == 1 {
            return self.clone();
        }
        let order = [(0, 0), (0, 1), (0, last), (1, 1), (1, last), (last, last)];
        let rows = last + 1;
        let w = order.map(|(i, j)| self.w.entry(rows, 0, i, j));
        let q = order.map(|(i, j)| (0..tiers).map(|block| self.q.entry(rows, block, i, j)).sum());
        let mut lost = 1.0;
        for tier in &self.between {
            let seen = tier.linear.first().copied().unwrap_or(0.0);
            lost *= if tier.scored < tier.drawn && seen > 0.0 { (tier.drawn_w / seen).max(1.0) } else { 1.0 };
        }
        let all_scored = self.between.iter().all(|tier| tier.scored == tier.drawn);
        let drawn = if all_scored { self.drawn } else { self.between.first().map_or(self.drawn, |tier| tier.drawn) };
        let stride = group_stride(tiers);
        let at = group_tier(tiers);
        let groups = self
            .groups
            .chunks(stride)
            .flat_map(|group| [0, 1, at, at + 1, at + last].map(|place| group.get(place).copied().unwrap_or(0.0)));
        // Nothing got as far as the reference: what was drawn first is all missing.
        let first = self.between.first().map_or(0.0, |tier| tier.drawn_w);
        let drawn_w = if self.drawn == 0 { first } else { self.drawn_w * lost };
        let high = [0.0; HIGH];
        Self { drawn, drawn_w, w: w.into(), q: q.into(), high, between: Vec::new(), groups: groups.collect(), ..self.clone() }
    }
}

#[cfg(test)]
mod tests;
