//! What was drawn and never judged: failed, expired, over budget, still waiting.
//!
//! Within a cell of hours, those judged stand for all that were drawn: their probability becomes `pi r`, with the response share
//! `r = sum of w over the judged / sum of w over the drawn`. Time is what drives failures (an outage, a budget that is used up),
//! hence cells of hours. Sarndal, Swensson, Wretman, section 15.6 (response homogeneity groups).

use crate::{Bucket, EstimateError};

/// A cell of hours holds at least this many drawn interactions, so that `r` is not noise.
pub const CELL_DRAWN_MIN: u64 = 30;
/// A cell of hours holds at least this many judged interactions, so that a few never stand for many.
pub const CELL_JUDGED_MIN: u64 = 10;

/// Sums over a window after adjustment for non-response: with `pi r` in place of `pi`, everywhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adjusted {
    /// Interactions that the estimate speaks of, `N`.
    pub population: u64,
    /// Interactions with a reference score.
    pub judged: u64,
    /// Sum of `w_r = w/r` times 1, g, H, g^2, gH, H^2.
    pub w: [f64; 6],
    /// Sum of `q_r = (1 - pi r)/(pi r)^2` times 1, g, H, g^2, gH, H^2.
    pub q: [f64; 6],
    /// Upper bound of `w_r`.
    pub max_w: f64,
    /// Upper bound of `q_r`.
    pub max_q: f64,
    /// Share of the drawn that was judged, each weighted by `1/pi`; in (0, 1].
    pub coverage: f64,
    /// What the value would be had every missing score been 0.
    pub bound_low: f64,
    /// What the value would be had every missing score been 1.
    pub bound_high: f64,
}

/// Pools `buckets` and adjusts for non-response. `None` where nothing was judged. An error where a bucket cannot be right.
///
/// `q_r = (q + w)/r^2 - w/r`, which is `(1 - pi r)/(pi r)^2`, written here as `q/r^2 + w (1-r)/r^2` so that nothing cancels and
/// `r = 1` changes no digit.
pub fn adjust(buckets: &[Bucket]) -> Result<Option<Adjusted>, EstimateError> {
    let cells = cells(buckets)?;
    let total = pool(&cells);
    if total.judged == 0 {
        return Ok(None);
    }
    let missing = if total.judged == total.drawn { 0.0 } else { (total.drawn_w - total.w[0]).max(0.0) };
    let all = total.w[0] + missing;
    let mut adjusted = Adjusted {
        population: total.population,
        judged: total.judged,
        w: [0.0; 6],
        q: [0.0; 6],
        max_w: 0.0,
        max_q: 0.0,
        coverage: total.w[0] / all,
        bound_low: total.w[2].min(total.w[0]) / all,
        bound_high: (total.w[2].min(total.w[0]) + missing) / all,
    };
    for cell in &cells {
        let r = response(cell);
        for i in 0..6 {
            adjusted.w[i] += cell.w[i] / r;
            adjusted.q[i] += (cell.q[i] + cell.w[i] * (1.0 - r)) / (r * r);
        }
        let max_w = cell.max_w / r;
        adjusted.max_w = adjusted.max_w.max(max_w);
        adjusted.max_q = adjusted.max_q.max(max_w * (max_w - 1.0).max(0.0));
    }
    Ok(Some(adjusted))
}

/// `r`, in (0, 1], of a cell in which something was judged; exactly 1 where all were.
fn response(cell: &Bucket) -> f64 {
    if cell.judged == cell.drawn { 1.0 } else { (cell.w[0] / cell.drawn_w).min(1.0) }
}

/// Neighbouring hours joined, in order of time, until a cell has [`CELL_DRAWN_MIN`] drawn and [`CELL_JUDGED_MIN`] judged; what is
/// left at the end joins the last cell. Scores play no part, so joining cannot bias.
fn cells(buckets: &[Bucket]) -> Result<Vec<Bucket>, EstimateError> {
    let mut hours: Vec<&Bucket> = Vec::with_capacity(buckets.len());
    for bucket in buckets {
        bucket.check()?;
        hours.push(bucket);
    }
    hours.sort_by_key(|bucket| bucket.hour);
    let mut cells: Vec<Bucket> = Vec::new();
    let mut open: Option<Bucket> = None;
    for (i, bucket) in hours.iter().enumerate() {
        let cell = open.get_or_insert(Bucket { hour: bucket.hour, ..Bucket::default() });
        cell.add(bucket);
        let hour_ends = hours.get(i + 1).is_none_or(|next| next.hour != bucket.hour);
        if hour_ends && cell.drawn >= CELL_DRAWN_MIN && cell.judged >= CELL_JUDGED_MIN {
            cells.extend(open.take());
        }
    }
    if let Some(rest) = open {
        match cells.last_mut() {
            Some(last) => last.add(&rest),
            None => cells.push(rest),
        }
    }
    Ok(cells)
}

fn pool(cells: &[Bucket]) -> Bucket {
    let mut total = Bucket::default();
    for cell in cells {
        total.add(cell);
    }
    total
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
        cells(buckets).unwrap().iter().map(|cell| cell.drawn).collect()
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
        assert!(sizes(&[]).is_empty());
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
        assert!((adjusted.coverage - 120.0 / 160.0).abs() < 1e-15);
        assert_eq!((adjusted.bound_low, adjusted.bound_high), (40.0 / 160.0, 80.0 / 160.0));
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
        assert_eq!((whole.q[0], whole.max_q, whole.coverage), (0.0, 0.0, 1.0));
    }

    #[test]
    fn nothing_judged_is_nothing() {
        assert_eq!(adjust(&[]), Ok(None));
        assert_eq!(adjust(&[hour(1, 0.5, 40, 0, 0.0)]), Ok(None));
    }
}
