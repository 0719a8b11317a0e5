//! Who pays for a project, and what holds for them.

use std::sync::Arc;

use crate::access::Policies;
use assize_core::{Budget, PlatformPolicy, ProjectName, TenantName, TenantPolicy};

/// What the flow asks of those who pay: in memory, and never late by more than a second.
pub trait Payers: Send + Sync {
    /// Who pays for `project`, and what holds for them.
    fn policy_of(&self, project: &ProjectName) -> (TenantName, Arc<TenantPolicy>);

    /// What holds for `tenant`; `None` where there is none of the name.
    fn policy(&self, tenant: &TenantName) -> Option<Arc<TenantPolicy>>;

    /// What holds for all together.
    fn platform(&self) -> PlatformPolicy;
}

impl Payers for Policies {
    fn policy_of(&self, project: &ProjectName) -> (TenantName, Arc<TenantPolicy>) {
        Self::policy_of(self, project)
    }

    fn policy(&self, tenant: &TenantName) -> Option<Arc<TenantPolicy>> {
        Self::policy(self, tenant)
    }

    fn platform(&self) -> PlatformPolicy {
        Self::platform(self)
    }
}

/// Every project pays for itself under one policy, as in `eval`.
#[derive(Debug, Clone, Default)]
pub struct OnePayer {
    policy: Arc<TenantPolicy>,
    platform: PlatformPolicy,
}

impl OnePayer {
    /// Projects that may each spend `budget`.
    pub fn with(budget: Budget) -> Self {
        Self::under(TenantPolicy { budget, ..TenantPolicy::default() }, PlatformPolicy::default())
    }

    /// Projects under `policy`, of a platform under `platform`.
    pub fn under(policy: TenantPolicy, platform: PlatformPolicy) -> Self {
        Self { policy: Arc::new(policy), platform }
    }
}

impl Payers for OnePayer {
    fn policy_of(&self, project: &ProjectName) -> (TenantName, Arc<TenantPolicy>) {
        (TenantName::of_project(project), Arc::clone(&self.policy))
    }

    fn policy(&self, _tenant: &TenantName) -> Option<Arc<TenantPolicy>> {
        Some(Arc::clone(&self.policy))
    }

    fn platform(&self) -> PlatformPolicy {
        self.platform
    }
}
