//! Who asks, what they may do, and what holds for them.

mod allowance;
mod directory;
mod policies;
mod principal;
mod tenants;

use std::sync::Arc;

use assize_core::control::{Control, Project, Scope, StoredKey};
use assize_core::{PlatformPolicy, ProjectName, StoreError, Timestamp};

pub use self::policies::Policies;
pub use self::principal::Principal;
pub use self::tenants::TenantError;

use self::directory::Directory;
use crate::pipeline::reuse::TenantOf;
use crate::secrets::RootSecret;

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
    /// Reads projects, keys and tenants from the control store; `platform` holds until somebody changes it.
    pub async fn open(
        secret: RootSecret,
        control: Arc<dyn Control>,
        items_per_second_max: u32,
        platform: PlatformPolicy,
    ) -> Result<Self, StoreError> {
        let directory = Arc::new(Directory::new(items_per_second_max, platform));
        directory.read_from(&*control).await?;
        Ok(Self { secret, control, directory, changing: tokio::sync::Mutex::default() })
    }

    /// Reads the control store again.
    async fn reload(&self) -> Result<(), StoreError> {
        self.directory.read_from(&*self.control).await
    }

    /// Who holds `key`.
    pub fn authenticate(&self, key: &str) -> Option<Principal> {
        let stored = self.directory.key(&self.secret.api_key_hash(key))?;
        Some(Principal::new(stored, &self.directory))
    }

    /// Who holds the key of this id, for sessions of the dashboard. A revoked key ends its sessions.
    pub fn holder_of(&self, key_id: &str) -> Option<Principal> {
        Some(Principal::new(self.directory.key_of_id(key_id)?, &self.directory))
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
        self.directory.projects()
    }

    /// What holds for whom, to be asked for without this.
    pub fn policies(&self) -> Policies {
        Policies(Arc::clone(&self.directory))
    }

    /// Who pays for projects, to be asked for without this.
    pub fn tenants(&self) -> TenantOf {
        let directory = Arc::clone(&self.directory);
        Arc::new(move |project| directory.tenant_of(project))
    }

    /// Whether any key is in force.
    pub fn has_keys(&self) -> bool {
        self.directory.has_keys()
    }

    /// Creates the project, and its tenant, if there is none of the name. Returns whether there was none. `by` is the id of the key
    /// that asks for it, for the audit log, as everywhere here.
    pub async fn create_project(&self, project: Project, by: &str) -> Result<bool, StoreError> {
        let _one_at_a_time = self.changing.lock().await;
        let created = self.control.create_project(&project, by).await?;
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
        (by, now): (&str, Timestamp),
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
        let known = self.directory.key(&hash).map(|stored| stored.id);
        let id = match known {
            Some(id) => id,
            None => format!("key-{}", random(6)?),
        };
        let stored =
            StoredKey { id: id.clone(), hash, project, scopes, label: label.to_owned(), created_at: now, revoked_at: None };
        let _one_at_a_time = self.changing.lock().await;
        self.control.put_key(&stored, by).await?;
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
    pub async fn revoke_key(&self, id: &str, by: &str, now: Timestamp) -> Result<bool, StoreError> {
        let _one_at_a_time = self.changing.lock().await;
        let revoked = self.control.revoke_key(id, now, by).await?;
        self.reload().await?;
        Ok(revoked)
    }
}
