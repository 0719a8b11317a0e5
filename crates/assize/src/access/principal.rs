//! Who asks, for the length of a request.

use std::sync::Arc;

use assize_core::control::{Scope, StoredKey};
use assize_core::{ProjectName, TenantName, TenantPolicy, Timestamp};

use super::directory::Directory;
use crate::ingest::ItemError;

/// The holder of a key, for the length of a request.
#[derive(Clone)]
pub struct Principal {
    /// The key's id, for listings and logs.
    pub key_id: String,
    /// The key's project: what is meant where none is named.
    pub project: ProjectName,
    scopes: Vec<Scope>,
    directory: Arc<Directory>,
}

impl Principal {
    pub(super) fn new(key: StoredKey, directory: &Arc<Directory>) -> Self {
        Self { key_id: key.id, project: key.project, scopes: key.scopes, directory: Arc::clone(directory) }
    }

    /// Whether the key allows `scope`; an admin's allows everything.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|&held| held == scope || held == Scope::Admin)
    }

    /// The project of this name, if the key reaches it.
    pub fn project_named(&self, name: &str) -> Result<ProjectName, ItemError> {
        let project = ProjectName::new(name).map_err(|error| ItemError::new("invalid_field", format!("project: {error}")))?;
        self.reach(&project)
    }

    /// `project`, if the key reaches it. A project of others is as unknown as one that does not exist.
    pub fn reach(&self, project: &ProjectName) -> Result<ProjectName, ItemError> {
        if project == &self.project || (self.may(Scope::Admin) && self.directory.has(project)) {
            return Ok(project.clone());
        }
        let message = format!("project: there is no project {:?} that this key reaches", project.as_str());
        Err(ItemError::new("unknown_project", message))
    }

    /// Who pays for the key's project.
    pub fn tenant(&self) -> TenantName {
        self.directory.tenant_of(&self.project)
    }

    /// Why nothing of `project` is taken at `now`, if so.
    pub fn refused(&self, project: &ProjectName, now: Timestamp) -> Option<ItemError> {
        let (tenant, policy) = self.directory.policy_of(project);
        why_disabled(&tenant, &policy, now).map(|message| ItemError::new("tenant_disabled", message))
    }

    /// Whether the rate limit of the key's project, or of its tenant, leaves room for `items` more; takes them if so.
    pub fn admits(&self, items: usize) -> bool {
        self.directory.admits(&self.project, items)
    }

    /// Someone who may do everything in `project` of a pipeline without keys, as in `eval`.
    pub fn local(project: ProjectName) -> Self {
        Self { key_id: "local".to_owned(), project, scopes: vec![Scope::Admin], directory: Arc::default() }
    }
}

/// What a sender is told of a tenant from which nothing is taken at `now`.
fn why_disabled(tenant: &TenantName, policy: &TenantPolicy, now: Timestamp) -> Option<String> {
    let disabled = policy.disabled_at(now)?;
    let reason = if disabled.reason.is_empty() { "an operator has disabled it" } else { &disabled.reason };
    let until = disabled.until.map_or_else(String::new, |until| format!(" until {}", until.to_rfc3339()));
    let since = disabled.since.to_rfc3339();
    Some(format!("nothing is taken from tenant {tenant} since {since}{until}: {reason}; do not send this again"))
}
