//! What was drawn and never judged: failed, expired, over budget, still waiting.
//!
//! Within a cell of hours of a stratum, those judged stand for all that were drawn: their probability becomes `pi r`, with the response
//! share `r = sum of w over the judged / sum of w over the drawn`; with several called tiers `PI_k R_k`, `R_k = r_1 .. r_k`. Time is what
//! drives failures (an outage, a budget that is used up), hence cells of hours. Sarndal, Swensson, Wretman, section 15.6 (response
//! homogeneity groups).

use std::borrow::Cow;

use crate::bucket::{TIERS_MAX, group_stride, group_tier};
use crate::{Bucket, EstimateError, Moments};

/// A cell of hours holds at least this many drawn interactions, so that `r` is not noise.
pub const CELL_DRAWN_MIN: u64 = 30;
/// A cell of hours holds at least this many judged interactions, so that a few never stand for many.
pub const CELL_JUDGED_MIN: u64 = 10;

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

    /// Adds a bucket of a cell of hours with these shares of response.
    fn take(&mut self, bucket: &Bucket, response: &Response) {
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

/// Shares of response of a cell of hours: `r_k` and `R_k` for each tier.
struct Response {
    tiers: usize,
    shares: [(f64, f64); TIERS_MAX],
    /// `R_K`.
    all: f64,
    /// What the weights of the judged are to be multiplied with to add up to `R_K` times those of the first draw; 1 with one tier.
    scale: f64,
    /// Whether nothing is missing.
    is_complete: bool,
}

impl Response {
    fn shares(&self) -> impl Iterator<Item = (f64, f64)> {
        self.shares.iter().take(self.tiers).copied()
    }
}

/// Drawn and seen at one tier, over a cell of hours.
#[derive(Clone, Copy, Default)]
struct Tally {
    drawn: u64,
    seen: u64,
    drawn_w: f64,
    seen_w: f64,
}

/// A cell of hours, as far as response goes.
#[derive(Clone, Copy, Default)]
struct Cell {
    tiers: usize,
    tallies: [Tally; TIERS_MAX],
}

impl Cell {
    fn add(&mut self, bucket: &Bucket) {
        self.tiers = bucket.tiers();
        let between = bucket.between.iter().map(|tier| Tally {
            drawn: tier.drawn,
            seen: tier.scored,
            drawn_w: tier.drawn_w,
            seen_w: tier.linear.first().copied().unwrap_or(0.0),
        });
        let seen_w = bucket.w.first().copied().unwrap_or(0.0);
        let reference = Tally { drawn: bucket.drawn, seen: bucket.judged, drawn_w: bucket.drawn_w, seen_w };
        for (sum, tally) in self.tallies.iter_mut().zip(between.chain([reference])) {
            sum.join(&tally);
        }
    }

    fn join(&mut self, other: &Self) {
        self.tiers = self.tiers.max(other.tiers);
        self.tallies.iter_mut().zip(&other.tallies).for_each(|(sum, tally)| sum.join(tally));
    }

    fn reference(&self) -> Tally {
        self.tallies.get(self.tiers.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// Whether it is large enough for shares of its own.
    fn is_enough(&self) -> bool {
        let reference = self.reference();
        reference.drawn >= CELL_DRAWN_MIN && reference.seen >= CELL_JUDGED_MIN
    }

    fn response(&self) -> Response {
        let (mut shares, mut all) = ([(1.0, 1.0); TIERS_MAX], 1.0);
        for (share, tally) in shares.iter_mut().zip(&self.tallies).take(self.tiers) {
            let r = tally.response();
            all *= r;
            *share = (r, all);
        }
        let (first, last) = (self.tallies.first().copied().unwrap_or_default(), self.reference());
        let scale = if self.tiers > 1 && last.seen_w > 0.0 { first.drawn_w * all / last.seen_w } else { 1.0 };
        let is_complete = self.tallies.iter().all(|tally| tally.seen == tally.drawn);
        Response { tiers: self.tiers, shares, all, scale, is_complete }
    }
}

impl Tally {
    fn join(&mut self, other: &Self) {
        self.drawn = self.drawn.saturating_add(other.drawn);
        self.seen = self.seen.saturating_add(other.seen);
        self.drawn_w += other.drawn_w;
        self.seen_w += other.seen_w;
    }

    /// `r`, in (0, 1]; exactly 1 where all were seen, and where none was, for then there is nothing to weigh.
    fn response(&self) -> f64 {
        if self.seen == self.drawn || self.seen_w <= 0.0 { 1.0 } else { (self.seen_w / self.drawn_w).min(1.0) }
    }
}

/// Pools `buckets` and adjusts for non-response. `None` where nothing was judged. An error where a bucket cannot be right.
///
/// With one tier `q_r = (q + w)/r^2 - w/r`, which is `(1 - pi r)/(pi r)^2`. Strata are not looked at; buckets with different numbers of
/// tiers are all reduced to one.
pub fn adjust(buckets: &[Bucket]) -> Result<Option<Adjusted>, EstimateError> {
    for bucket in buckets {
        bucket.check()?;
    }
    let mut total = Adjusted::default();
    for (_, part) in by_class(buckets.iter().collect()) {
        total.add(&part);
    }
    Ok((total.judged > 0).then_some(total))
}

/// Adjusts checked buckets of one stratum, which gives sums by class of probability, in order of class. Shares of response are those of the
/// stratum as a whole.
pub(crate) fn by_class(mut buckets: Vec<&Bucket>) -> Vec<(u8, Adjusted)> {
    buckets.retain(|bucket| bucket.population > 0 || bucket.drawn > 0 || bucket.between.iter().any(|tier| tier.drawn > 0));
    let is_mixed = buckets.windows(2).any(|pair| matches!(pair, [a, b] if a.tiers() != b.tiers()));
    let reduced = |bucket| if is_mixed { Cow::Owned(Bucket::one_tier(bucket)) } else { Cow::Borrowed(bucket) };
    // Already in order where the caller's were.
    buckets.sort_by_key(|bucket| bucket.hour);
    let buckets: Vec<Cow<'_, Bucket>> = buckets.into_iter().map(reduced).collect();
    let mut parts: Vec<(u8, Adjusted)> = Vec::new();
    let mut start = 0;
    for (end, cell) in cells(&buckets) {
        let response = cell.response();
        for bucket in buckets.get(start..end).unwrap_or_default() {
            let class = bucket.stratum.class;
            let place = match parts.iter().position(|(known, _)| *known == class) {
                Some(place) => place,
                None => {
                    parts.push((class, Adjusted::default()));
                    parts.len() - 1
                }
            };
            if let Some((_, part)) = parts.get_mut(place) {
                part.take(bucket, &response);
            }
        }
        start = end;
    }
    parts.sort_by_key(|(class, _)| *class);
    parts
}

/// Neighbouring hours joined, in order of time, until a cell has [`CELL_DRAWN_MIN`] drawn and [`CELL_JUDGED_MIN`] judged; what is
/// left at the end joins the last cell. Scores play no part, so joining cannot bias. Gives each cell with the place after its last
/// bucket.
fn cells(buckets: &[Cow<'_, Bucket>]) -> Vec<(usize, Cell)> {
    let mut cells: Vec<(usize, Cell)> = Vec::new();
    let mut open = Cell::default();
    for (i, bucket) in buckets.iter().enumerate() {
        open.add(bucket);
        let hour_ends = buckets.get(i + 1).is_none_or(|next| next.hour != bucket.hour);
        if hour_ends && open.is_enough() {
            cells.push((i + 1, std::mem::take(&mut open)));
        }
    }
    match cells.last_mut() {
        Some((end, last)) => {
            last.join(&open);
            *end = buckets.len();
        }
        None => cells.push((buckets.len(), open)),
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Item;

    /// An hour in which `judged` of `drawn` items of probability `pi` have score `h`.
    fn hour(hour: i64, pi: f64, drawn: u64, judged: u64, h: f64) -> Bucket {
        let mut bucket = Bucket { hour, ..Bucket::default() };
        for i in 0..drawn {
            bucket.push(Item { probability: pi, drawn: true, free: 0.0, reference: (i < judged).then_some(h) });
        }
        bucket
    }

    fn sizes(buckets: &[Bucket]) -> Vec<u64> {
        let mut buckets: Vec<Cow<'_, Bucket>> = buckets.iter().map(Cow::Borrowed).collect();
        buckets.sort_by_key(|bucket| bucket.hour);
        cells(&buckets).iter().map(|(_, cell)| cell.reference().drawn).collect()
    }

    #[test]
    fn small_hours_join_their_neighbours_in_time() {
        let shuffled = [hour(3, 0.5, 10, 10, 0.0), hour(1, 0.5, 40, 40, 1.0), hour(2, 0.5, 25, 25, 1.0), hour(4, 0.5, 5, 5, 0.0)];
        assert_eq!(sizes(&shuffled), [40, 40], "hour 1; hours 2 and 3, and 4 as what is left");
        assert_eq!(sizes(&[hour(1, 0.5, 20, 20, 0.0), hour(1, 0.5, 20, 20, 0.0)]), [40], "groups of one hour are one");
        assert_eq!(sizes(&[hour(1, 0.5, 3, 1, 0.0)]), [3]);
        assert_eq!(
            sizes(&[hour(1, 0.5, 50, 50, 0.0), hour(2, 0.5, 50, 0, 0.0), hour(3, 0.5, 50, 50, 0.0)]),
            [50, 100],
            "an outage"
        );
    }

    #[test]
    fn cells_do_not_depend_on_scores() {
        let with = |h| [hour(1, 0.5, 12, 11, h), hour(2, 0.5, 40, 30, 1.0 - h), hour(3, 0.5, 8, 2, h)];
        assert_eq!(sizes(&with(0.0)), sizes(&with(1.0)));
    }

    #[test]
    fn the_judged_of_an_hour_stand_for_its_drawn() {
        let adjusted = adjust(&[hour(1, 0.5, 40, 20, 1.0), hour(2, 0.5, 40, 40, 0.0)]).unwrap().unwrap();
        assert_eq!(
            (adjusted.w[0], adjusted.w[2]),
            (160.0, 80.0),
            "half of the drawn weight is hour 1's, although a third is judged"
        );
        assert!((adjusted.coverage() - 120.0 / 160.0).abs() < 1e-15);
        assert_eq!((adjusted.bound_low(), adjusted.bound_high()), (40.0 / 160.0, 80.0 / 160.0));
        // pi r = .25 in hour 1: q = .75 / .0625 = 12 each; pi = .5 in hour 2: q = 2 each.
        assert!((adjusted.q[0] - (20.0 * 12.0 + 40.0 * 2.0)).abs() < 1e-9);
        assert_eq!((adjusted.max_w, adjusted.max_q), (4.0, 12.0));
    }

    #[test]
    fn failures_at_probability_one_are_uncertain() {
        let adjusted = adjust(&[hour(1, 1.0, 100, 90, 0.0)]).unwrap().unwrap();
        let r = 0.9;
        assert!((adjusted.q[0] - 90.0 * (1.0 - r) / (r * r)).abs() < 1e-9);
        let whole = adjust(&[hour(1, 1.0, 100, 100, 0.0)]).unwrap().unwrap();
        assert_eq!((whole.q[0], whole.max_q, whole.coverage()), (0.0, 0.0, 1.0));
    }

    #[test]
    fn nothing_judged_is_nothing() {
        assert_eq!(adjust(&[]), Ok(None));
        assert_eq!(adjust(&[hour(1, 0.5, 40, 0, 0.0)]), Ok(None));
    }
}
