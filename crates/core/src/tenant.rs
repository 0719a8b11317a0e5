//! Tenants: who pays, how much at the most, and what an operator has laid down for them.

use serde::{Deserialize, Serialize};

use crate::budget::{Budget, Zone};
use crate::{TenantName, Timestamp};

/// A sampling rate that an operator has set in place of the policy's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SamplingOverride {
    /// The probability of every interaction, in [0, 1].
    pub rate: f64,
    /// Until when; for good if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// Why nothing is taken from a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabled {
    /// Since when.
    pub since: Timestamp,
    /// Until when; until somebody enables it if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What an operator wrote; shown to the sender. Empty where nothing was written.
    #[serde(default)]
    pub reason: String,
}

/// What holds for one tenant. The default limits nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TenantPolicy {
    /// How much its judging may cost.
    #[serde(default)]
    pub budget: Budget,
    /// In place of the rate of its projects' policies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling: Option<SamplingOverride>,
    /// Whether and why nothing is taken from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<Disabled>,
    /// Interactions a second that it may send, all projects together; the configuration's limit if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items_per_second_max: Option<u32>,
    /// Whom to write to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// In whose days its budget counts.
    #[serde(default)]
    pub time_zone: Zone,
    /// Since when it is gone: nothing is taken from it for good, its name stays taken, and what its calls in flight cost still counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
}

impl TenantPolicy {
    /// The override in force at `now`.
    pub fn sampling_at(&self, now: Timestamp) -> Option<f64> {
        self.sampling.filter(|set| set.until.is_none_or(|until| now < until)).map(|set| set.rate)
    }

    /// Why nothing is taken from it at `now`, if so.
    pub fn disabled_at(&self, now: Timestamp) -> Option<&Disabled> {
        self.disabled.as_ref().filter(|disabled| disabled.until.is_none_or(|until| now < until))
    }
}

/// A tenant as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its name.
    pub name: TenantName,
    /// When it was created.
    pub created_at: Timestamp,
    /// What holds for it.
    pub policy: TenantPolicy,
    /// 1 when it is created, one more with each change.
    pub version: u64,
}

/// A time in which nothing was taken from a tenant: no rate speaks of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Its beginning.
    pub since: Timestamp,
    /// Its end, where one is known; it may lie ahead.
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: String,
}

/// What a change of a policy does to the gaps on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GapChange {
    /// Nothing.
    None,
    /// A new one begins.
    Open(Gap),
    /// The one that is open gets another end or reason.
    Amend(Gap),
    /// The one that is open ends.
    Close(Timestamp),
}

impl GapChange {
    /// What a change from `before` to `after` at `at` does.
    pub fn of(before: &TenantPolicy, after: &TenantPolicy, at: Timestamp) -> Self {
        let gap = |disabled: &Disabled| Gap { since: at, until: disabled.until, reason: disabled.reason.clone() };
        match (before.disabled_at(at), after.disabled_at(at)) {
            (None, None) => Self::None,
            (Some(old), Some(new)) if (old.until, &old.reason) == (new.until, &new.reason) => Self::None,
            (None, Some(new)) => Self::Open(gap(new)),
            (Some(_), Some(new)) => Self::Amend(gap(new)),
            (Some(_), None) => Self::Close(at),
        }
    }
}

/// What holds for all tenants together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PlatformPolicy {
    /// How much all judging may cost; its days are those of UTC.
    #[serde(default)]
    pub budget: Budget,
    /// The share of that budget, in (0, 1], that one tenant may take while others have demand.
    pub tenant_share_max: f64,
}

impl Default for PlatformPolicy {
    fn default() -> Self {
        Self { budget: Budget::default(), tenant_share_max: 0.5 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disabled(since: i64, until: Option<i64>, reason: &str) -> TenantPolicy {
        let disabled = Disabled { since: Timestamp(since), until: until.map(Timestamp), reason: reason.to_owned() };
        TenantPolicy { disabled: Some(disabled), ..TenantPolicy::default() }
    }

    #[test]
    fn overrides_end_by_the_clock() {
        let set = SamplingOverride { rate: 0.01, until: Some(Timestamp(10)) };
        let policy = TenantPolicy { sampling: Some(set), ..disabled(0, Some(20), "") };
        assert_eq!((policy.sampling_at(Timestamp(9)), policy.sampling_at(Timestamp(10))), (Some(0.01), None));
        assert!(policy.disabled_at(Timestamp(19)).is_some() && policy.disabled_at(Timestamp(20)).is_none());
        let for_good = TenantPolicy { sampling: Some(SamplingOverride { until: None, ..set }), ..TenantPolicy::default() };
        assert_eq!(for_good.sampling_at(Timestamp(i64::MAX)), Some(0.01));
    }

    #[test]
    fn gaps_open_change_and_close() {
        let (on, at) = (TenantPolicy::default(), Timestamp(5));
        let gap = |until: Option<i64>, reason: &str| Gap { since: at, until: until.map(Timestamp), reason: reason.to_owned() };
        assert_eq!(GapChange::of(&on, &on, at), GapChange::None);
        assert_eq!(GapChange::of(&on, &disabled(5, None, "a"), at), GapChange::Open(gap(None, "a")));
        assert_eq!(GapChange::of(&disabled(1, None, "a"), &disabled(1, None, "a"), at), GapChange::None);
        assert_eq!(GapChange::of(&disabled(1, None, "a"), &disabled(1, Some(9), "b"), at), GapChange::Amend(gap(Some(9), "b")));
        assert_eq!(GapChange::of(&disabled(1, None, "a"), &on, at), GapChange::Close(at));
        // What has ended by itself is over: to take it off changes nothing, to disable again opens another.
        assert_eq!(GapChange::of(&disabled(1, Some(4), "a"), &on, at), GapChange::None);
        assert_eq!(GapChange::of(&disabled(1, Some(4), "a"), &disabled(5, None, "b"), at), GapChange::Open(gap(None, "b")));
    }

    #[test]
    fn a_policy_stored_before_all_of_this_reads_as_the_default() {
        assert_eq!(serde_json::from_str::<TenantPolicy>("{}").unwrap(), TenantPolicy::default());
    }
}
