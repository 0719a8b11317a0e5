//! Who wants money at the same time, and how long those wait that have to.

use std::collections::HashMap;
use std::time::Duration;

use assize_core::{NanoUsd, TenantName, Timestamp};

/// Whoever asked for money within this time has demand.
const LATELY: Duration = Duration::from_secs(300);

/// Which tenants have asked for money last: enough to say of each whether another has.
#[derive(Debug, Default)]
pub(super) struct Demand {
    last: Option<(TenantName, Timestamp)>,
    /// When another than the last one asked last.
    before: Option<Timestamp>,
}

impl Demand {
    /// Notes that `tenant` asks at `now`; whether another has, lately.
    pub fn of_others(&mut self, tenant: &TenantName, now: Timestamp) -> bool {
        match &mut self.last {
            Some((last, at)) if last == tenant => *at = now,
            last => self.before = last.replace((tenant.clone(), now)).map(|(_, at)| at),
        }
        self.before.is_some_and(|at| now.since(at) <= LATELY)
    }
}

/// The part of `max`, rounded down.
pub(super) fn share_of(max: NanoUsd, share: f64) -> NanoUsd {
    // A millionth is as fine as anybody writes it; the cast saturates, and takes NaN to 0.
    let millionths = (share.clamp(0.0, 1.0) * 1e6).round() as u64;
    let part = u128::from(max.0) * u128::from(millionths) / 1_000_000;
    NanoUsd(u64::try_from(part).unwrap_or(max.0))
}

/// How many calls of a tenant wait for settlements: the more, the longer each, so that asking stays cheap.
#[derive(Debug, Default)]
pub(super) struct Waits(HashMap<TenantName, (Timestamp, u32)>);

const WAIT_MIN: Duration = Duration::from_millis(500);
const WAIT_MAX: Duration = Duration::from_secs(30);
/// So many a second ask again.
const ASK_AGAIN_PER_SECOND: u32 = 200;
const WINDOW: Duration = Duration::from_secs(10);
const TENANTS_MAX: usize = 10_000;

impl Waits {
    /// How long one more call of `tenant` waits.
    pub fn next(&mut self, tenant: &TenantName, now: Timestamp) -> Duration {
        if self.0.len() >= TENANTS_MAX {
            self.0.clear();
        }
        let (since, waiting) = self.0.entry(tenant.clone()).or_insert((now, 0));
        if now.since(*since) > WINDOW || now < *since {
            (*since, *waiting) = (now, 0);
        }
        *waiting = waiting.saturating_add(1);
        (WAIT_MIN + Duration::from_secs(1) * *waiting / ASK_AGAIN_PER_SECOND).min(WAIT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantName {
        TenantName::new(name).unwrap()
    }

    #[test]
    fn others_have_demand_while_they_asked_lately() {
        let mut demand = Demand::default();
        let at = |seconds: i64| Timestamp(seconds * 1_000);
        assert!(!demand.of_others(&tenant("a"), at(0)));
        assert!(!demand.of_others(&tenant("a"), at(1)));
        assert!(demand.of_others(&tenant("b"), at(2)));
        assert!(demand.of_others(&tenant("a"), at(3)));
        assert!(demand.of_others(&tenant("a"), at(302)), "b asked five minutes ago");
        assert!(!demand.of_others(&tenant("a"), at(303)));
        assert!(demand.of_others(&tenant("c"), at(304)));
        assert!(demand.of_others(&tenant("a"), at(305)));
    }

    #[test]
    fn shares_round_down_and_never_fail() {
        assert_eq!(share_of(NanoUsd(1_000_000_001), 0.5), NanoUsd(500_000_000));
        assert_eq!(share_of(NanoUsd(u64::MAX), 1.0), NanoUsd(u64::MAX));
        assert_eq!(share_of(NanoUsd(10), f64::NAN), NanoUsd(0));
    }

    #[test]
    fn the_more_wait_the_longer_each_does() {
        let mut waits = Waits::default();
        assert!(waits.next(&tenant("a"), Timestamp(0)) < Duration::from_millis(600));
        for _ in 0..2_000 {
            waits.next(&tenant("a"), Timestamp(1));
        }
        assert!(waits.next(&tenant("a"), Timestamp(2)) > Duration::from_secs(10));
        assert!(waits.next(&tenant("b"), Timestamp(2)) < Duration::from_millis(600), "others are not held up");
        assert!(waits.next(&tenant("a"), Timestamp(20_000)) < Duration::from_millis(600));
    }
}
