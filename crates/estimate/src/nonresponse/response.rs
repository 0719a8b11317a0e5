//! Shares of response over a few hours.

use super::{CELL_DRAWN_MIN, CELL_JUDGED_MIN};
use crate::Bucket;
use crate::bucket::TIERS_MAX;

/// Shares of response of a cell of hours: `r_k` and `R_k` for each tier.
pub(super) struct Response {
    tiers: usize,
    shares: [(f64, f64); TIERS_MAX],
    /// `R_K`.
    pub(super) all: f64,
    /// What the weights of the judged are to be multiplied with to add up to `R_K` times those of the first draw; 1 with one tier.
    pub(super) scale: f64,
    /// Whether nothing is missing.
    pub(super) is_complete: bool,
}

impl Response {
    pub(super) fn shares(&self) -> impl Iterator<Item = (f64, f64)> {
        self.shares.iter().take(self.tiers).copied()
    }
}

/// Drawn and seen at one tier, over a cell of hours.
#[derive(Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) drawn: u64,
    seen: u64,
    drawn_w: f64,
    seen_w: f64,
}

/// A cell of hours, as far as response goes.
#[derive(Clone, Copy, Default)]
pub(super) struct Cell {
    tiers: usize,
    tallies: [Tally; TIERS_MAX],
}

impl Cell {
    pub(super) fn add(&mut self, bucket: &Bucket) {
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

    pub(super) fn reference(&self) -> Tally {
        self.tallies.get(self.tiers.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// Whether it is large enough for shares of its own.
    pub(super) fn is_enough(&self) -> bool {
        let reference = self.reference();
        reference.drawn >= CELL_DRAWN_MIN && reference.seen >= CELL_JUDGED_MIN
    }

    pub(super) fn response(&self) -> Response {
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
