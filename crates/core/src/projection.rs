//! What a day will have cost at its end, by what it has cost so far.

use crate::ledger::Balance;
use crate::{NanoUsd, Timestamp};

/// What an hour says of the hours to come counts half as much after so many hours.
const HALF_LIFE_HOURS: f64 = 3.0;
/// Before this much of a period is over nothing is said of its end.
const SEEN_MIN_MS: i64 = 15 * 60_000;
const HOUR_MS: i64 = 3_600_000;

/// A period and what is known of its spend.
#[derive(Debug, Clone, PartialEq)]
pub struct Spending<'a> {
    /// Its first instant.
    pub start: Timestamp,
    /// The present instant.
    pub now: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
    /// What was spent in each hour of UTC, by where the hour begins; hours without spend may be missing. What lies outside of the period
    /// so far is cut off in proportion.
    pub by_hour: &'a [(Timestamp, NanoUsd)],
    /// What counts towards the budget so far: spent, assumed and reserved.
    pub committed: NanoUsd,
    /// The most that may be spent.
    pub budget: Option<NanoUsd>,
}

/// How a period goes on if it goes on like this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Projection {
    /// What would be spent at its end if nothing held it back.
    pub total: NanoUsd,
    /// When the budget would be used up, if that is before the end.
    pub used_up_at: Option<Timestamp>,
}

impl Spending<'_> {
    /// What is committed, plus the rate of spending times what is left of the period. The rate is the mean of the hours so far, each
    /// weighted by how much of it has passed and by half for every three hours that it lies back: a morning's peak that is over does
    /// not count on into the night. `None` in the first quarter of an hour.
    pub fn projection(&self) -> Option<Projection> {
        let now = self.now.0.min(self.end.0);
        if now.saturating_sub(self.start.0) < SEEN_MIN_MS {
            return None;
        }
        let (mut dollars, mut hours) = (0.0, 0.0);
        let first = self.start.hour().0;
        let mut spent = self.by_hour.to_vec();
        spent.sort_unstable_by_key(|(at, _)| *at);
        // What lies back further than a year weighs nothing.
        let last = Timestamp(now.saturating_sub(1)).hour().0;
        for hour in first.max(last.saturating_sub(9_000))..=last {
            let (begin, end) = (hour.saturating_mul(HOUR_MS), hour.saturating_add(1).saturating_mul(HOUR_MS));
            let seen = end.min(now).saturating_sub(begin.max(self.start.0)).max(0);
            // Of the hour's spend that is known, the part within the period.
            let known = end.min(now).saturating_sub(begin).max(1);
            let at = spent.binary_search_by_key(&Timestamp(begin), |(at, _)| *at);
            let amount = at.ok().and_then(|at| spent.get(at)).map_or(0.0, |(_, amount)| amount.to_usd());
            let age = now.saturating_sub(end.min(now)) as f64 / HOUR_MS as f64;
            let weight = 0.5_f64.powf(age / HALF_LIFE_HOURS);
            dollars += weight * amount * seen as f64 / known as f64;
            hours += weight * seen as f64 / HOUR_MS as f64;
        }
        if hours <= 0.0 {
            return None;
        }
        let rate = dollars / hours;
        let left = self.end.0.saturating_sub(now).max(0) as f64 / HOUR_MS as f64;
        let total = self.committed.plus(nanos(rate * left));
        Some(Projection { total, used_up_at: self.used_up_at(now, rate, left) })
    }

    /// What is committed over the part of the period that is over: for months, whose days are taken to be alike. `None` before a day.
    pub fn evenly(&self) -> Option<Projection> {
        let now = self.now.0.min(self.end.0);
        let seen = now.saturating_sub(self.start.0);
        if seen < 24 * HOUR_MS {
            return None;
        }
        let rate = self.committed.to_usd() / (seen as f64 / HOUR_MS as f64);
        let left = self.end.0.saturating_sub(now).max(0) as f64 / HOUR_MS as f64;
        let total = self.committed.plus(nanos(rate * left));
        Some(Projection { total, used_up_at: self.used_up_at(now, rate, left) })
    }

    fn used_up_at(&self, now: i64, rate: f64, left: f64) -> Option<Timestamp> {
        let budget = self.budget?;
        let room = budget.0.saturating_sub(self.committed.0) as f64 / 1e9;
        let hours = if room <= 0.0 { 0.0 } else { room / rate };
        // A cast saturates; without spend the quotient is infinite.
        (hours < left).then(|| Timestamp(now.saturating_add((hours * HOUR_MS as f64) as i64)))
    }
}

/// How a budget stands in a period.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The period, as it is called: `2026-11-24` or `2026-11`.
    pub period: String,
    /// Its first instant.
    pub start: Timestamp,
    /// The present instant.
    pub now: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
    /// What is spent, assumed and reserved.
    pub balance: Balance,
    /// The most that may be.
    pub budget: Option<NanoUsd>,
    /// How it goes on; `None` so early that nobody can say.
    pub projection: Option<Projection>,
}

/// The shares of a budget, in percent, that are worth a word once they are passed.
pub const THRESHOLDS: [u8; 3] = [50, 80, 95];

impl Standing {
    /// The part of the period, in [0, 1], that is over.
    pub fn elapsed(&self) -> f64 {
        let length = self.end.0.saturating_sub(self.start.0).max(1) as f64;
        (self.now.0.saturating_sub(self.start.0) as f64 / length).clamp(0.0, 1.0)
    }

    /// The part of the budget that is committed; `None` without one, or with one of nothing. It may pass 1 where a budget was lowered.
    pub fn share(&self) -> Option<f64> {
        let budget = self.budget.filter(|budget| *budget > NanoUsd::ZERO)?;
        Some(self.balance.committed().0 as f64 / budget.0 as f64)
    }

    /// Which of [`THRESHOLDS`] are passed.
    pub fn passed(&self) -> Vec<u8> {
        let Some(budget) = self.budget else { return Vec::new() };
        let committed = u128::from(self.balance.committed().0) * 100;
        THRESHOLDS.into_iter().filter(|percent| committed >= u128::from(budget.0) * u128::from(*percent)).collect()
    }
}

/// Dollars as nano-dollars; what is none is nothing.
fn nanos(usd: f64) -> NanoUsd {
    // A cast saturates, and takes NaN to 0.
    NanoUsd((usd * 1e9).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * HOUR_MS;

    fn dollars(usd: u64) -> NanoUsd {
        NanoUsd(usd * 1_000_000_000)
    }

    fn project(by_hour: &[(i64, u64)], hours: f64, committed: u64, budget: Option<u64>) -> Option<(f64, Option<f64>)> {
        let by_hour: Vec<_> = by_hour.iter().map(|(hour, usd)| (Timestamp(hour * HOUR_MS), dollars(*usd))).collect();
        let spending = Spending {
            start: Timestamp(0),
            now: Timestamp((hours * HOUR_MS as f64) as i64),
            end: Timestamp(DAY),
            by_hour: &by_hour,
            committed: dollars(committed),
            budget: budget.map(dollars),
        };
        let at = |at: Timestamp| at.0 as f64 / HOUR_MS as f64;
        spending.projection().map(|seen| (seen.total.to_usd(), seen.used_up_at.map(at)))
    }

    #[test]
    fn a_steady_day_goes_on_steadily() {
        let hours: Vec<_> = (0..12).map(|hour| (hour, 2)).collect();
        assert_eq!(project(&hours, 12.0, 24, None), Some((48.0, None)));
        assert_eq!(project(&hours, 12.0, 24, Some(48)), Some((48.0, None)));
        assert_eq!(project(&hours, 12.0, 24, Some(30)), Some((48.0, Some(15.0))));
        assert_eq!(project(&hours, 12.0, 30, Some(30)), Some((54.0, Some(12.0))), "it is used up");
        // Half an hour of $1 is as much as an hour of $2.
        assert_eq!(project(&[(0, 1)], 0.5, 1, None), Some((48.0, None)));
    }

    #[test]
    fn a_peak_that_is_over_counts_less_and_one_that_begins_more() {
        let linear = 20.0 * 24.0 / 12.0;
        let over: Vec<_> = (0..4).map(|hour| (hour, 5)).collect();
        let (total, _) = project(&over, 12.0, 20, None).unwrap();
        assert!((20.0..linear * 0.8).contains(&total), "{total}");
        let begins: Vec<_> = (8..12).map(|hour| (hour, 5)).collect();
        let (total, _) = project(&begins, 12.0, 20, None).unwrap();
        assert!(total > linear * 1.2 && total < 20.0 + 12.0 * 5.0, "{total}");
    }

    #[test]
    fn nothing_spent_is_nothing_to_come_and_too_early_is_not_said() {
        assert_eq!(project(&[], 12.0, 0, Some(5)), Some((0.0, None)));
        assert_eq!(project(&[(0, 9)], 0.2, 9, None), None);
        assert_eq!(project(&[(0, 24)], 30.0, 24, None), Some((24.0, None)), "after its end it is what it was");
    }

    #[test]
    fn hours_that_reach_over_the_beginning_count_in_part() {
        // A day that begins at half past: half of the first hour's spend is the day's.
        let by_hour = [(Timestamp(0), dollars(4)), (Timestamp(HOUR_MS), dollars(4))];
        let spending = Spending {
            start: Timestamp(HOUR_MS / 2),
            now: Timestamp(2 * HOUR_MS),
            end: Timestamp(HOUR_MS / 2 + DAY),
            by_hour: &by_hour,
            committed: dollars(6),
            budget: None,
        };
        assert_eq!(spending.projection().unwrap().total, dollars(6 + 90));
    }

    #[test]
    fn thresholds_are_passed_at_their_share_and_months_go_on_evenly() {
        let standing = |spent, budget: Option<u64>| Standing {
            period: String::new(),
            start: Timestamp(0),
            now: Timestamp(DAY),
            end: Timestamp(4 * DAY),
            balance: Balance { spent: NanoUsd(spent), assumed: NanoUsd(10), reserved: NanoUsd(5) },
            budget: budget.map(NanoUsd),
            projection: None,
        };
        assert_eq!(standing(34, Some(100)).passed(), Vec::<u8>::new());
        assert_eq!(standing(35, Some(100)).passed(), [50]);
        assert_eq!(standing(65, Some(100)).passed(), [50, 80]);
        assert_eq!(standing(u64::MAX, Some(u64::MAX)).passed(), [50, 80, 95]);
        assert_eq!(standing(1, None).passed(), Vec::<u8>::new());
        assert_eq!(
            (standing(35, Some(100)).share(), standing(35, None).share(), standing(1, Some(0)).share()),
            (Some(0.5), None, None)
        );
        assert_eq!(standing(1, None).elapsed(), 0.25);
        let month = Spending {
            start: Timestamp(0),
            now: Timestamp(DAY),
            end: Timestamp(4 * DAY),
            by_hour: &[],
            committed: dollars(5),
            budget: Some(dollars(15)),
        };
        let seen = month.evenly().unwrap();
        assert_eq!((seen.total, seen.used_up_at), (dollars(20), Some(Timestamp(3 * DAY))));
        assert_eq!(Spending { now: Timestamp(DAY - 1), ..month }.evenly(), None);
    }

    #[test]
    fn absurd_periods_and_amounts_end() {
        let absurd = Spending {
            start: Timestamp(i64::MIN),
            now: Timestamp(i64::MAX),
            end: Timestamp(i64::MAX),
            by_hour: &[(Timestamp(0), NanoUsd(u64::MAX))],
            committed: NanoUsd(u64::MAX),
            budget: Some(NanoUsd(0)),
        };
        assert_eq!(absurd.projection().map(|seen| seen.total), Some(NanoUsd(u64::MAX)));
    }
}
