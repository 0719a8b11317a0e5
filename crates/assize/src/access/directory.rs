//! Projects, keys and tenants' policies in memory, so that a request costs no read. Written through to the control store, and read
//! again when another process has changed it.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Instant;

use assize_core::control::{Control, StoredKey};
use assize_core::{PlatformPolicy, ProjectName, StoreError, Tenant, TenantName, TenantPolicy};

use super::allowance::Allowance;

/// What is known of who may do what, and of what holds for whom.
#[derive(Default)]
pub struct Directory {
    state: RwLock<State>,
    /// What holds for the platform until somebody changes it.
    platform: PlatformPolicy,
    items_per_second_max: Option<NonZeroU32>,
}

#[derive(Default)]
struct State {
    projects: HashMap<ProjectName, Arc<Allowance>>,
    owners: HashMap<ProjectName, TenantName>,
    tenants: HashMap<TenantName, Known>,
    platform: (PlatformPolicy, u64),
    keys: HashMap<[u8; 32], StoredKey>,
    /// The number of the audit log's last entry before all of this was read.
    revision: u64,
}

struct Known {
    tenant: Tenant,
    policy: Arc<TenantPolicy>,
    allowance: Arc<Allowance>,
}

impl Directory {
    /// An empty one. A project may send `items_per_second_max`, 0 for no limit, unless its tenant has a limit of its own.
    pub fn new(items_per_second_max: u32, platform: PlatformPolicy) -> Self {
        Self { state: RwLock::default(), platform, items_per_second_max: NonZeroU32::new(items_per_second_max) }
    }

    /// Reads the control store. What is read before the last change is known by its number.
    pub async fn read_from(&self, control: &dyn Control) -> Result<(), StoreError> {
        let revision = control.audited().await?;
        let (projects, keys) = (control.projects().await?, control.keys().await?);
        let (tenants, platform) = (control.tenants().await?, control.platform().await?);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        for project in projects {
            state.projects.entry(project.name.clone()).or_default();
            state.owners.insert(project.name, project.tenant);
        }
        for tenant in tenants {
            let known = state.tenants.remove(&tenant.name);
            let allowance = known.map(|known| known.allowance).unwrap_or_default();
            let policy = Arc::new(tenant.policy.clone());
            state.tenants.insert(tenant.name.clone(), Known { tenant, policy, allowance });
        }
        state.platform = if platform.1 == 0 { (self.platform, 0) } else { platform };
        state.keys = keys.into_iter().filter(|key| key.revoked_at.is_none()).map(|key| (key.hash, key)).collect();
        state.revision = revision;
        Ok(())
    }

    /// Whether there is a project of this name.
    pub fn has(&self, project: &ProjectName) -> bool {
        self.read().projects.contains_key(project)
    }

    /// All projects, by name.
    pub fn projects(&self) -> Vec<ProjectName> {
        let mut names: Vec<ProjectName> = self.read().projects.keys().cloned().collect();
        names.sort();
        names
    }

    /// The projects of a tenant, by name.
    pub fn projects_of(&self, tenant: &TenantName) -> Vec<ProjectName> {
        let state = self.read();
        let mut names: Vec<ProjectName> =
            state.owners.iter().filter(|(_, owner)| *owner == tenant).map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }

    /// Who pays for a project.
    pub fn tenant_of(&self, project: &ProjectName) -> TenantName {
        let tenant = self.read().owners.get(project).cloned();
        tenant.unwrap_or_else(|| TenantName::of_project(project))
    }

    /// Who pays for a project, and what holds for it.
    pub fn policy_of(&self, project: &ProjectName) -> (TenantName, Arc<TenantPolicy>) {
        let state = self.read();
        let tenant = state.owners.get(project).cloned().unwrap_or_else(|| TenantName::of_project(project));
        let policy = state.tenants.get(&tenant).map(|known| Arc::clone(&known.policy)).unwrap_or_default();
        (tenant, policy)
    }

    /// The tenant of this name.
    pub fn tenant(&self, name: &TenantName) -> Option<Tenant> {
        self.read().tenants.get(name).map(|known| known.tenant.clone())
    }

    /// What holds for the tenant of this name.
    pub fn policy(&self, name: &TenantName) -> Option<Arc<TenantPolicy>> {
        self.read().tenants.get(name).map(|known| Arc::clone(&known.policy))
    }

    /// The names of all tenants, in order.
    pub fn tenants(&self) -> Vec<TenantName> {
        let mut names: Vec<TenantName> = self.read().tenants.keys().cloned().collect();
        names.sort();
        names
    }

    /// What holds for all tenants together, and how often it was changed.
    pub fn platform(&self) -> (PlatformPolicy, u64) {
        self.read().platform
    }

    /// Grows with every change.
    pub fn revision(&self) -> u64 {
        self.read().revision
    }

    /// The key of this hash, if it is in force.
    pub fn key(&self, hash: &[u8; 32]) -> Option<StoredKey> {
        self.read().keys.get(hash).cloned()
    }

    /// The key of this id, if it is in force.
    pub fn key_of_id(&self, id: &str) -> Option<StoredKey> {
        self.read().keys.values().find(|stored| stored.id == id).cloned()
    }

    /// Whether any key is in force.
    pub fn has_keys(&self) -> bool {
        !self.read().keys.is_empty()
    }

    /// Whether rate limits leave room for `items` more of `project`; takes them if so. A tenant's own limit counts in place of the
    /// configuration's, and for all its projects together.
    pub fn admits(&self, project: &ProjectName, items: usize) -> bool {
        let (allowance, per_second) = {
            let state = self.read();
            let known = state.owners.get(project).and_then(|tenant| state.tenants.get(tenant));
            let own = known.and_then(|known| {
                let limit = known.policy.items_per_second_max.and_then(NonZeroU32::new)?;
                Some((Arc::clone(&known.allowance), limit))
            });
            let configured = || state.projects.get(project).cloned().zip(self.items_per_second_max);
            match own.or_else(configured) {
                Some(limited) => limited,
                None => return true,
            }
        };
        allowance.take(items, per_second, Instant::now())
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}
