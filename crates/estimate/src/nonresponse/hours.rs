//! Cells of hours, formed as buckets come by: one look at each, however many there are.

use super::Adjusted;
use super::response::Cell;
use crate::bucket::{Bucket, Stratum};

/// The buckets of one stratum, in order of time, adjusted for non-response cell by cell.
///
/// Neighbouring hours are joined until a cell has [`CELL_DRAWN_MIN`](super::CELL_DRAWN_MIN) drawn and
/// [`CELL_JUDGED_MIN`](super::CELL_JUDGED_MIN) judged; what is left at the end joins the last cell. Scores play no part, so joining cannot bias.
/// Within a cell all is added up before it is adjusted, for shares of response are the cell's.
#[derive(Default)]
pub(crate) struct Hours {
    /// The cell that is being filled, by class of probability.
    open: Vec<Bucket>,
    /// The last that is large enough, kept back for what may be left.
    held: Vec<Bucket>,
    parts: Vec<(u8, Adjusted)>,
    hour: Option<i64>,
    is_unfit: bool,
    #[cfg(test)]
    cells: usize,
}

impl Hours {
    /// Takes in a checked bucket, unless it is empty. One that is earlier than the one before, or has other tiers, makes this
    /// [unfit](Self::is_unfit).
    pub(crate) fn push(&mut self, bucket: &Bucket) {
        if self.is_unfit || bucket.is_empty() {
            return;
        }
        if self.hour.is_some_and(|hour| hour < bucket.hour) && self.is_enough() {
            self.close();
        }
        self.is_unfit |= self.hour.is_some_and(|hour| hour > bucket.hour);
        self.hour = Some(bucket.hour);
        self.is_unfit |= add(&mut self.open, bucket).is_none();
    }

    /// Whether buckets came in an order or of kinds that this cannot deal with.
    pub(crate) fn is_unfit(&self) -> bool {
        self.is_unfit
    }

    /// Sums by class of probability, in order of class.
    pub(crate) fn finish(mut self) -> Vec<(u8, Adjusted)> {
        self.join();
        self.take();
        self.parts.sort_by_key(|(class, _)| *class);
        self.parts
    }

    fn is_enough(&self) -> bool {
        match self.open.as_slice() {
            [] => false,
            open => cell(open).is_enough(),
        }
    }

    /// Ends the open cell.
    fn close(&mut self) {
        self.take();
        std::mem::swap(&mut self.open, &mut self.held);
        #[cfg(test)]
        {
            self.cells += 1;
        }
    }

    /// Joins what is left to the last cell.
    pub(super) fn join(&mut self) {
        if self.is_enough() {
            self.close();
        }
        for bucket in std::mem::take(&mut self.open) {
            self.is_unfit |= add(&mut self.held, &bucket).is_none();
        }
    }

    /// Adds the cell that was kept back to the sums of its classes.
    fn take(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let response = cell(&self.held).response();
        for bucket in self.held.drain(..) {
            let class = bucket.stratum.class;
            let place = match self.parts.iter().position(|(known, _)| *known == class) {
                Some(place) => place,
                None => {
                    self.parts.push((class, Adjusted::default()));
                    self.parts.len() - 1
                }
            };
            if let Some((_, part)) = self.parts.get_mut(place) {
                part.take(&bucket, &response);
            }
        }
    }

    /// Cells that were ended so far.
    #[cfg(test)]
    pub(super) fn cells(&self) -> usize {
        self.cells
    }

    /// How many were drawn in the cell that is kept back.
    #[cfg(test)]
    pub(super) fn held(&self) -> Option<u64> {
        (!self.held.is_empty()).then(|| self.held.iter().map(|bucket| bucket.drawn).sum())
    }
}

fn cell(buckets: &[Bucket]) -> Cell {
    let mut cell = Cell::default();
    buckets.iter().for_each(|bucket| cell.add(bucket));
    cell
}

/// Adds to the bucket of its class; `None` where that has other tiers.
fn add(to: &mut Vec<Bucket>, bucket: &Bucket) -> Option<()> {
    let class = bucket.stratum.class;
    let place = match to.iter().position(|of| of.stratum.class == class) {
        Some(place) => place,
        None => {
            if to.first().is_some_and(|first| first.tiers() != bucket.tiers()) {
                return None;
            }
            to.push(Bucket::new(bucket.hour, Stratum { class, ..Stratum::default() }, bucket.tiers()));
            to.len() - 1
        }
    };
    to.get_mut(place)?.add(bucket).ok()
}
