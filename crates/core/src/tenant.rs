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
