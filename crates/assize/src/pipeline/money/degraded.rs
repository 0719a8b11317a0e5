//! What could not be afforded: per tenant what was degraded, since when, by which cap and how often.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use assize_core::ledger::CapScope;
use assize_core::{JudgeName, MetricName, TenantName, Timestamp};

/// What was done without.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Degraded {
    /// A judge was not asked: cheaper ones decide alone.
    Judge { metric: MetricName, judge: JudgeName },
    /// Less is drawn than the policies say.
    Pace,
}

/// Something that was done without for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Degradation {
    pub what: Degraded,
    /// The cap that was reached, or that pacing keeps.
    pub why: CapScope,
    pub since: Timestamp,
    pub last: Timestamp,
    /// How often since then.
    pub count: u64,
}

/// The degradations of every tenant, newest last; what is over for a day is forgotten.
#[derive(Debug, Default)]
pub struct Degradations(Mutex<HashMap<TenantName, Vec<Degradation>>>);

/// After this without it, the same again is a new one.
const OVER_AFTER: Duration = Duration::from_secs(3_600);
const KEPT: Duration = Duration::from_secs(86_400);
const TENANTS_MAX: usize = 10_000;
/// Of one tenant; of more, those that are over longest go first.
const DEGRADATIONS_MAX: usize = 100;

impl Degradations {
    /// Notes one.
    pub fn note(&self, tenant: &TenantName, what: Degraded, why: CapScope, now: Timestamp) {
        let mut tenants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tenants.len() >= TENANTS_MAX && !tenants.contains_key(tenant) {
            tenants.retain(|_, of| of.iter().any(|one| now.since(one.last) < OVER_AFTER));
            if tenants.len() >= TENANTS_MAX {
                return;
            }
        }
        let of = tenants.entry(tenant.clone()).or_default();
        let is_same = |one: &&mut Degradation| one.what == what && one.why == why && now.since(one.last) < OVER_AFTER;
        if let Some(one) = of.iter_mut().rev().find(is_same) {
            one.last = one.last.max(now);
            one.count = one.count.saturating_add(1);
            return;
        }
        of.retain(|one| now.since(one.last) < KEPT);
        if of.len() >= DEGRADATIONS_MAX
            && let Some((oldest, _)) = of.iter().enumerate().min_by_key(|(_, one)| one.last)
        {
            of.remove(oldest);
        }
        of.push(Degradation { what, why, since: now, last: now, count: 1 });
    }

    /// Those of `tenant`, the oldest first.
    pub fn of(&self, tenant: &TenantName) -> Vec<Degradation> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_within_an_hour_is_one_and_all_is_bounded() {
        let degradations = Degradations::default();
        let tenant = TenantName::new("acme").unwrap();
        let judge =
            |name: &str| Degraded::Judge { metric: MetricName::new("refusal").unwrap(), judge: JudgeName::new(name).unwrap() };
        let minute = |minutes: i64| Timestamp(minutes * 60_000);
        for at in [0, 30, 80, 200] {
            degradations.note(&tenant, judge("gpt"), CapScope::TenantDay, minute(at));
        }
        let of = degradations.of(&tenant);
        let spans: Vec<_> = of.iter().map(|one| (one.since, one.last, one.count)).collect();
        assert_eq!(spans, [(minute(0), minute(80), 3), (minute(200), minute(200), 1)]);
        degradations.note(&tenant, judge("gpt"), CapScope::PlatformDay, minute(201));
        degradations.note(&tenant, Degraded::Pace, CapScope::TenantDay, minute(201));
        assert_eq!(degradations.of(&tenant).len(), 4);
        for number in 0..1_000 {
            degradations.note(&tenant, judge(&format!("j{number}")), CapScope::TenantDay, minute(300));
        }
        assert_eq!(degradations.of(&tenant).len(), DEGRADATIONS_MAX);
        assert!(degradations.of(&TenantName::new("other").unwrap()).is_empty());
    }
}
