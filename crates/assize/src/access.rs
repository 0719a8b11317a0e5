//! Who asks, and what they may do.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use assize_core::control::{Control, Project, Scope, StoredKey};
use assize_core::{ProjectName, StoreError, TenantName, Timestamp};

use crate::ingest::ItemError;
use crate::pipeline::reuse::TenantOf;
use crate::secrets::RootSecret;

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

    /// Whether the project's rate limit leaves room for `items` more; takes them if so.
    pub fn admits(&self, items: usize) -> bool {
        self.directory.admits(&self.project, items)
    }

    /// Someone who may do everything in `project` of a pipeline without keys, as in `eval`.
    pub fn local(project: ProjectName) -> Self {
        Self { key_id: "local".to_owned(), project, scopes: vec![Scope::Admin], directory: Arc::default() }
    }
}

/// Projects and keys in memory, so that a request costs no read. Written through to the control store.
#[derive(Default)]
pub struct Directory {
    state: RwLock<State>,
    items_per_second_max: Option<NonZeroU32>,
}

#[derive(Default)]
struct State {
    projects: HashMap<ProjectName, Arc<Allowance>>,
    tenants: HashMap<ProjectName, TenantName>,
    keys: HashMap<[u8; 32], StoredKey>,
}

impl Directory {
    fn has(&self, project: &ProjectName) -> bool {
        self.read().projects.contains_key(project)
    }

    fn tenant_of(&self, project: &ProjectName) -> TenantName {
        let tenant = self.read().tenants.get(project).cloned();
        tenant.unwrap_or_else(|| TenantName::of_project(project))
    }

    fn admits(&self, project: &ProjectName, items: usize) -> bool {
        let Some(per_second) = self.items_per_second_max else { return true };
        let allowance = self.read().projects.get(project).cloned();
        allowance.is_none_or(|allowance| allowance.take(items, per_second, Instant::now()))
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a project may still send. A batch passes while anything is left, whatever its size, and what it takes beyond is owed: no size
/// of batch is shut out, and none sends more in the long run.
#[derive(Default)]
struct Allowance(Mutex<Option<(f64, Instant)>>);

impl Allowance {
    fn take(&self, items: usize, per_second: NonZeroU32, now: Instant) -> bool {
        let rate = f64::from(per_second.get());
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, at) = state.unwrap_or((rate, now));
        let left = (left + now.saturating_duration_since(at).as_secs_f64() * rate).min(rate);
        let passes = items == 0 || left > 0.0;
        *state = Some((if passes { left - items as f64 } else { left }, now));
        passes
    }
}

/// Checks keys, and makes and revokes them.
pub struct Access {
    secret: RootSecret,
    control: Arc<dyn Control>,
    directory: Arc<Directory>,
    /// One change at a time, so that no reload puts back what another has taken away.
    changing: tokio::sync::Mutex<()>,
}

/// What is on record about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    Unknown,
    InForce,
    Revoked,
}

/// A key when it is made: the only time that it is seen.
pub struct NewKey {
    pub id: String,
    pub key: String,
}

impl Access {
    /// Reads projects and keys from the control store.
    pub async fn open(secret: RootSecret, control: Arc<dyn Control>, items_per_second_max: u32) -> Result<Self, StoreError> {
        let directory = Directory { state: RwLock::default(), items_per_second_max: NonZeroU32::new(items_per_second_max) };
        let access = Self { secret, control, directory: Arc::new(directory), changing: tokio::sync::Mutex::default() };
        access.reload().await?;
        Ok(access)
    }

    /// Reads the control store again.
    async fn reload(&self) -> Result<(), StoreError> {
        let projects = self.control.projects().await?;
        let keys = self.control.keys().await?;
        let mut state = self.directory.write();
        for project in projects {
            state.projects.entry(project.name.clone()).or_default();
            state.tenants.insert(project.name, project.tenant);
        }
        state.keys = keys.into_iter().filter(|key| key.revoked_at.is_none()).map(|key| (key.hash, key)).collect();
        Ok(())
    }

    /// Who holds `key`.
    pub fn authenticate(&self, key: &str) -> Option<Principal> {
        let hash = self.secret.api_key_hash(key);
        let state = self.directory.read();
        let stored = state.keys.get(&hash)?;
        Some(Principal {
            key_id: stored.id.clone(),
            project: stored.project.clone(),
            scopes: stored.scopes.clone(),
            directory: Arc::clone(&self.directory),
        })
    }

    /// Who holds the key of this id, for sessions of the dashboard. A revoked key ends its sessions.
    pub fn holder_of(&self, key_id: &str) -> Option<Principal> {
        let state = self.directory.read();
        let stored = state.keys.values().find(|stored| stored.id == key_id)?;
        Some(Principal {
            key_id: stored.id.clone(),
            project: stored.project.clone(),
            scopes: stored.scopes.clone(),
            directory: Arc::clone(&self.directory),
        })
    }

    /// Where projects, keys and metrics are kept.
    pub fn control(&self) -> &dyn Control {
        self.control.as_ref()
    }

    /// The secret that authenticates sessions.
    pub fn secret(&self) -> &RootSecret {
        &self.secret
    }

    /// All projects, by name.
    pub fn projects(&self) -> Vec<ProjectName> {
        let mut names: Vec<ProjectName> = self.directory.read().projects.keys().cloned().collect();
        names.sort();
        names
    }

    /// Who pays for projects, to be asked for without this.
    pub fn tenants(&self) -> TenantOf {
        let directory = Arc::clone(&self.directory);
        Arc::new(move |project| directory.tenant_of(project))
    }

    /// Whether any key is in force.
    pub fn has_keys(&self) -> bool {
        !self.directory.read().keys.is_empty()
    }

    /// Creates the project, if there is none of the name. Returns whether there was none.
    pub async fn create_project(&self, project: Project) -> Result<bool, StoreError> {
        let _one_at_a_time = self.changing.lock().await;
        let created = self.control.create_project(&project).await?;
        self.reload().await?;
        Ok(created)
    }

    /// Makes a key at random, or stores the given one.
    pub async fn create_key(
        &self,
        given: Option<&str>,
        project: ProjectName,
        scopes: Vec<Scope>,
        label: &str,
        now: Timestamp,
    ) -> Result<NewKey, StoreError> {
        let random = |bytes| {
            crate::secrets::random_hex(bytes)
                .map_err(|error| StoreError::new(assize_core::StoreErrorKind::Failed, error.to_string()))
        };
        let key = match given {
            Some(key) => key.to_owned(),
            None => format!("ak-{}", random(24)?),
        };
        let hash = self.secret.api_key_hash(&key);
        let known = self.directory.read().keys.get(&hash).map(|stored| stored.id.clone());
        let id = match known {
            Some(id) => id,
            None => format!("key-{}", random(6)?),
        };
        let stored =
            StoredKey { id: id.clone(), hash, project, scopes, label: label.to_owned(), created_at: now, revoked_at: None };
        let _one_at_a_time = self.changing.lock().await;
        self.control.put_key(&stored).await?;
        self.reload().await?;
        Ok(NewKey { id, key })
    }

    /// Whether `key` is known, and whether it was revoked.
    pub async fn state_of(&self, key: &str) -> Result<KeyState, StoreError> {
        let hash = self.secret.api_key_hash(key);
        let stored = self.control.keys().await?.into_iter().find(|stored| stored.hash == hash);
        Ok(match stored {
            None => KeyState::Unknown,
            Some(stored) if stored.revoked_at.is_some() => KeyState::Revoked,
            Some(_) => KeyState::InForce,
        })
    }

    /// All keys, revoked ones too.
    pub async fn keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        self.control.keys().await
    }

    /// Revokes the key of this id. Returns whether there was one in force.
    pub async fn revoke_key(&self, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let _one_at_a_time = self.changing.lock().await;
        let revoked = self.control.revoke_key(id, now).await?;
        self.reload().await?;
        Ok(revoked)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_a_large_batch_takes_is_owed() {
        let (allowance, rate, start) = (Allowance::default(), NonZeroU32::new(10).unwrap(), Instant::now());
        let mut sent = 0;
        // 1,000 items are offered five times a second for 1,000 seconds.
        for step in 0..5_000 {
            if allowance.take(1_000, rate, start + Duration::from_millis(200 * step)) {
                sent += 1_000;
            }
        }
        assert!((10_000..=11_010).contains(&sent), "{sent} items in 1,000 s at 10/s");
        assert!(allowance.take(0, rate, start), "nothing costs nothing");
    }
}
