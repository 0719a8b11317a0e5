//! Strata, and the joining of those in which too little was judged.

use std::collections::BTreeMap;

use crate::nonresponse::{Adjusted, Hours, by_class};
use crate::{Bucket, Estimand, EstimateError};

/// A stratum has at least this many judged; with fewer it joins its neighbour.
pub const STRATUM_JUDGED_MIN: u64 = 30;

/// A stratum, or several neighbours, after adjustment for non-response.
pub(crate) struct Cell {
    /// All of it.
    pub whole: Adjusted,
    /// The same, by class of probability; classes with too few judged joined. The only one where there is one.
    pub parts: Vec<Adjusted>,
}

/// How much of a stratum there is. Scores are no part of it, so joining by it cannot bias.
#[derive(Clone, Copy, Default)]
struct Size {
    population: u64,
    judged: u64,
}

impl Size {
    /// Whether it can stand alone: enough was judged, or (for the window, which is then known) all that there is.
    fn is_enough(self, estimand: Estimand) -> bool {
        let is_known = estimand == Estimand::Window && self.judged > 0 && self.judged == self.population;
        self.judged >= STRATUM_JUDGED_MIN || is_known
    }

    fn join(&mut self, other: Self) {
        self.population = self.population.saturating_add(other.population);
        self.judged = self.judged.saturating_add(other.judged);
    }
}

/// Strata as buckets come by.
#[derive(Default)]
struct Strata {
    places: BTreeMap<(u32, u16), usize>,
    keys: Vec<(u32, u16)>,
    found: Vec<(Size, Hours)>,
    last: usize,
}

impl Strata {
    /// That of a bucket. Buckets come by stratum or by hour: it is likely that of the one before, or the one after that.
    fn of(&mut self, bucket: &Bucket) -> Option<&mut (Size, Hours)> {
        let key = (bucket.stratum.design, bucket.stratum.cell);
        let next = if self.last + 1 < self.keys.len() { self.last + 1 } else { 0 };
        let likely = [next, self.last].into_iter().find(|place| self.keys.get(*place) == Some(&key));
        self.last = likely.unwrap_or_else(|| {
            let (keys, found) = (&mut self.keys, &mut self.found);
            *self.places.entry(key).or_insert_with(|| {
                keys.push(key);
                found.push(<(Size, Hours)>::default());
                keys.len() - 1
            })
        });
        self.found.get_mut(self.last)
    }
}

/// The strata of `buckets`, each pooled over its hours: `None` where nothing was judged.
///
/// Within a design, strata with fewer than [`STRATUM_JUDGED_MIN`] judged are joined to the next, the last to the one before; a design with
/// fewer altogether, to the design beside it.
///
/// # Errors
/// [`EstimateError::Sums`] where a bucket cannot be right.
pub(crate) fn cells(buckets: &[Bucket], estimand: Estimand) -> Result<Option<Vec<Cell>>, EstimateError> {
    let mut strata = Strata::default();
    for bucket in buckets {
        bucket.check()?;
        if let Some((size, hours)) = strata.of(bucket) {
            size.join(Size { population: bucket.population, judged: bucket.judged });
            hours.push(bucket);
        }
    }
    let Strata { places, mut found, .. } = strata;
    let sizes: Vec<(u32, Size)> = places
        .iter()
        .map(|((design, _), place)| (*design, found.get(*place).map(|(size, _)| *size).unwrap_or_default()))
        .collect();
    let counts = joined(&sizes, estimand);
    // What stands alone and came in order is done. The rest needs another look.
    let mut order = places.iter();
    let mut again: BTreeMap<(u32, u16), usize> = BTreeMap::new();
    let mut done: Vec<Option<Hours>> = Vec::new();
    for (i, count) in counts.iter().enumerate() {
        let of: Vec<(&(u32, u16), &usize)> = order.by_ref().take(*count).collect();
        let alone = match of.as_slice() {
            [(_, place)] => found.get_mut(**place).map(|(_, hours)| std::mem::take(hours)).filter(|hours| !hours.is_unfit()),
            _ => None,
        };
        if alone.is_none() {
            again.extend(of.into_iter().map(|(key, _)| (*key, i)));
        }
        done.push(alone);
    }
    let mut others: Vec<Vec<&Bucket>> = vec![Vec::new(); if again.is_empty() { 0 } else { counts.len() }];
    for bucket in buckets.iter().filter(|_| !again.is_empty()) {
        let place = again.get(&(bucket.stratum.design, bucket.stratum.cell));
        if let Some(of) = place.and_then(|place| others.get_mut(*place)) {
            of.push(bucket);
        }
    }
    let mut cells = Vec::new();
    for (i, hours) in done.into_iter().enumerate() {
        let classes = match hours {
            Some(hours) => hours.finish(),
            None => by_class(others.get_mut(i).map(std::mem::take).unwrap_or_default()),
        };
        let classes: Vec<Adjusted> = classes.into_iter().map(|(_, part)| part).collect();
        let sizes: Vec<(u32, Size)> =
            classes.iter().map(|part| (0, Size { population: part.population, judged: part.judged })).collect();
        let mut classes = classes.iter();
        let mut parts = Vec::new();
        let mut whole = Adjusted::default();
        for count in joined(&sizes, estimand) {
            let mut part = Adjusted::default();
            classes.by_ref().take(count).for_each(|class| part.add(class));
            whole.add(&part);
            parts.push(part);
        }
        if whole.population > 0 {
            cells.push(Cell { whole, parts });
        }
    }
    Ok(cells.iter().any(|cell| cell.whole.judged > 0).then_some(cells))
}

/// How many neighbours make up each cell, in order; the numbers add up to that of `sizes`.
fn joined(sizes: &[(u32, Size)], estimand: Estimand) -> Vec<usize> {
    // Each cell with the design of its last stratum.
    let mut cells: Vec<(u32, usize)> = Vec::new();
    let (mut open, mut count) = (Size::default(), 0);
    for (i, (design, size)) in sizes.iter().enumerate() {
        open.join(*size);
        count += 1;
        let is_last = sizes.get(i + 1).is_none_or(|(next, _)| next != design);
        if open.is_enough(estimand) {
            cells.push((*design, count));
            (open, count) = (Size::default(), 0);
        } else if is_last && let Some((_, before)) = cells.last_mut().filter(|(of, _)| of == design) {
            *before += count;
            (open, count) = (Size::default(), 0);
        }
    }
    if count > 0 {
        match cells.last_mut() {
            Some((_, before)) => *before += count,
            None => cells.push((0, count)),
        }
    }
    cells.into_iter().map(|(_, count)| count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Item, Stratum};

    fn counts(judged: &[(u32, u64)]) -> Vec<usize> {
        let sizes: Vec<(u32, Size)> =
            judged.iter().map(|&(design, judged)| (design, Size { population: 1000, judged })).collect();
        joined(&sizes, Estimand::Window)
    }

    #[test]
    fn small_strata_join_a_neighbour_of_their_design() {
        assert_eq!(counts(&[(1, 40), (1, 40)]), [1, 1]);
        assert_eq!(counts(&[(1, 10), (1, 25), (1, 40)]), [2, 1]);
        assert_eq!(counts(&[(1, 40), (1, 0), (1, 5)]), [3], "the last joins the one before");
        assert_eq!(counts(&[(1, 40), (1, 5), (2, 40)]), [2, 1], "not the next design");
        assert_eq!(counts(&[(1, 5), (1, 5), (2, 40), (2, 1)]), [4], "a small design joins the next");
        assert_eq!(counts(&[(1, 40), (2, 5)]), [2], "or the one before");
        assert_eq!(counts(&[(1, 1), (1, 2), (2, 3)]), [3]);
        assert!(counts(&[]).is_empty());
    }

    #[test]
    fn what_is_all_judged_stands_alone() {
        let size = |population, judged| (1, Size { population, judged });
        let sizes = [size(5, 5), size(100, 50), size(0, 0), size(7, 6)];
        assert_eq!(joined(&sizes, Estimand::Window), [1, 3]);
        assert_eq!(joined(&sizes, Estimand::Process), [4], "of the process it is no more than a sample");
    }

    #[test]
    fn nothing_is_lost_in_joining() {
        let mut buckets = Vec::new();
        for i in 0..40_u16 {
            let mut bucket = Bucket {
                hour: i64::from(i % 5),
                stratum: Stratum { design: u32::from(i / 20), cell: i % 20, class: i as u8 % 2 },
                ..Bucket::default()
            };
            for k in 0..20 {
                let drawn = k < i % 11;
                let reference = (drawn && k % 3 > 0).then_some(f64::from(k % 2));
                bucket.push(Item { probability: 0.5, drawn, free: 0.25, reference });
            }
            buckets.push(bucket);
        }
        let cells = cells(&buckets, Estimand::Window).unwrap().unwrap();
        let all = |of: fn(&Adjusted) -> f64| cells.iter().map(|cell| of(&cell.whole)).sum::<f64>();
        let judged: u64 = buckets.iter().map(|bucket| bucket.judged).sum();
        assert!(
            cells.len() > 1 && all(|sums| sums.population as f64) == 800.0 && all(|sums| sums.judged as f64) == judged as f64
        );
        assert!((all(|sums| sums.g) - 200.0).abs() < 1e-9);
        let drawn_w: f64 = buckets.iter().map(|bucket| bucket.drawn_w).sum();
        assert!((all(|sums| sums.w[0]) - drawn_w).abs() < 1e-9, "the judged stand for all that were drawn");
        for cell in &cells {
            let parts: f64 = cell.parts.iter().map(|part| part.w[0]).sum();
            assert!((parts - cell.whole.w[0]).abs() < 1e-9 && cell.parts.iter().all(|part| part.judged >= 30));
        }
    }
}
