//! The port of control: projects, keys and policies. Small, and read on every request through a cache of the caller.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{PolicyVersion, ProjectName, StoreError, TenantName, Timestamp};

/// What the holder of a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Send interactions of its project.
    Ingest,
    /// Read results of its project.
    Read,
    /// Everything, in every project.
    Admin,
}

/// A project and who pays for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// The project.
    pub name: ProjectName,
    /// Its tenant.
    pub tenant: TenantName,
    /// When it was created.
    pub created_at: Timestamp,
}

/// An API key as stored: never the key itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredKey {
    /// Names the key in listings; not secret.
    pub id: String,
    /// Keyed BLAKE3 hash of the key.
    pub hash: [u8; 32],
    /// The project that it belongs to.
    pub project: ProjectName,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// A person's note on it.
    pub label: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it stopped to count.
    pub revoked_at: Option<Timestamp>,
}

/// Projects, keys and policies.
#[async_trait]
pub trait Control: Send + Sync {
    /// Creates the project; an existing one of the name is left as it is. Returns whether it was created.
    async fn create_project(&self, project: &Project) -> Result<bool, StoreError>;

    /// All projects, by name.
    async fn projects(&self) -> Result<Vec<Project>, StoreError>;

    /// Stores a key. A key of the same hash is replaced.
    async fn put_key(&self, key: &StoredKey) -> Result<(), StoreError>;

    /// All keys, revoked ones too, oldest first.
    async fn keys(&self) -> Result<Vec<StoredKey>, StoreError>;

    /// Revokes the key of this id. Returns whether there was one in force.
    async fn revoke_key(&self, id: &str, at: Timestamp) -> Result<bool, StoreError>;

    /// Keeps a policy, with all that is needed to score by it later. Known versions are left as they are.
    async fn put_policy(&self, version: &PolicyVersion, json: &str, at: Timestamp) -> Result<(), StoreError>;

    /// The policy of this version.
    async fn policy(&self, version: &PolicyVersion) -> Result<Option<String>, StoreError>;
}
