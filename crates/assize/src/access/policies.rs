//! What holds for whom, as the flow reads it: in memory, and at most half a second behind whoever changes it.

use std::sync::Arc;

use assize_core::{PlatformPolicy, ProjectName, TenantName, TenantPolicy};

use super::directory::Directory;

/// The policies of all tenants. Cheap to clone. The default limits nothing, as in a pipeline without a server.
#[derive(Clone, Default)]
pub struct Policies(pub(super) Arc<Directory>);

impl Policies {
    /// Who pays for `project`, and what holds for it; the default policy where nothing was laid down. What ends at some time is asked
    /// for with the time: [`TenantPolicy::sampling_at`], [`TenantPolicy::disabled_at`].
    pub fn policy_of(&self, project: &ProjectName) -> (TenantName, Arc<TenantPolicy>) {
        self.0.policy_of(project)
    }

    /// What holds for the tenant of this name, if there is one.
    pub fn policy(&self, tenant: &TenantName) -> Option<Arc<TenantPolicy>> {
        self.0.policy(tenant)
    }

    /// The names of all tenants, in order.
    pub fn tenants(&self) -> Vec<TenantName> {
        self.0.tenants()
    }

    /// What holds for all tenants together.
    pub fn platform(&self) -> PlatformPolicy {
        self.0.platform().0
    }

    /// Grows with every change of any of this, to keep what is derived from it against.
    pub fn revision(&self) -> u64 {
        self.0.revision()
    }
}
