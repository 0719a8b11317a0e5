//! What was drawn and never judged: failed, expired, over budget, still waiting.
//!
//! Within a cell of hours of a stratum, those judged stand for all that were drawn: their probability becomes `pi r`, with the response
//! share `r = sum of w over the judged / sum of w over the drawn`; with several called tiers `PI_k R_k`, `R_k = r_1 .. r_k`. Time is what
//! drives failures (an outage, a budget that is used up), hence cells of hours. Sarndal, Swensson, Wretman, section 15.6 (response
//! homogeneity groups).

mod adjusted;
mod hours;
mod response;

pub use adjusted::Adjusted;
pub(crate) use hours::Hours;

use crate::{Bucket, EstimateError};

/// A cell of hours holds at least this many drawn interactions, so that `r` is not noise.
pub const CELL_DRAWN_MIN: u64 = 30;
/// A cell of hours holds at least this many judged interactions, so that a few never stand for many.
pub const CELL_JUDGED_MIN: u64 = 10;

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

/// Adjusts checked buckets of one stratum, in any order, which gives sums by class of probability, in order of class. Shares of response are
/// those of the stratum as a whole.
pub(crate) fn by_class(mut buckets: Vec<&Bucket>) -> Vec<(u8, Adjusted)> {
    buckets.retain(|bucket| !bucket.is_empty());
    buckets.sort_by_key(|bucket| bucket.hour);
    let is_mixed = buckets.windows(2).any(|pair| matches!(pair, [a, b] if a.tiers() != b.tiers()));
    let mut hours = Hours::default();
    for bucket in buckets {
        if is_mixed { hours.push(&bucket.one_tier()) } else { hours.push(bucket) }
    }
    hours.finish()
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
        let mut buckets: Vec<&Bucket> = buckets.iter().collect();
        buckets.sort_by_key(|bucket| bucket.hour);
        let mut hours = Hours::default();
        let (mut sizes, mut cells) = (Vec::new(), 0);
        for bucket in buckets {
            hours.push(bucket);
            if hours.cells() > cells {
                sizes.extend(hours.held());
                cells = hours.cells();
            }
        }
        hours.join();
        if hours.cells() == cells {
            sizes.pop();
        }
        sizes.extend(hours.held());
        sizes
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
