//! The port of control: projects, keys, policies and metrics. Small, and read on every request through a cache of the caller.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{JudgeVersion, MetricName, PolicyVersion, ProjectName, StoreError, TenantName, Timestamp};

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

/// A change of a project's own metric. All of them are kept; the last one counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricChange {
    /// The project.
    pub project: ProjectName,
    /// The metric.
    pub metric: MetricName,
    /// 1 for the first change of this metric, and one more for each after it.
    pub version: u64,
    /// The metric as it is from then on; `None` where the project's own was taken away.
    pub json: Option<String>,
    /// The id of the key with which it was made.
    pub by: String,
    /// When it was made.
    pub at: Timestamp,
}

/// A model that answered as a judge's version, by its provider's account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answering {
    /// The judge's version.
    pub version: JudgeVersion,
    /// The model.
    pub model: String,
    /// When it was seen first.
    pub since: Timestamp,
}

/// Projects, keys, policies and metrics.
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

    /// Keeps a change of a project's own metric, if its version is one more than the last on record. Returns whether it is.
    async fn change_metric(&self, change: &MetricChange) -> Result<bool, StoreError>;

    /// The last change of every metric that was ever changed, by project and metric.
    async fn metrics(&self) -> Result<Vec<MetricChange>, StoreError>;

    /// The changes of one metric whose version is below `before`, newest first, at most `limit`.
    async fn metric_changes(
        &self,
        project: &ProjectName,
        metric: &MetricName,
        before: u64,
        limit: usize,
    ) -> Result<Vec<MetricChange>, StoreError>;

    /// Keeps that a model answered as a judge's version. What is known stays as it is.
    async fn put_answering(&self, answering: &Answering) -> Result<(), StoreError>;

    /// All models that answered, oldest first.
    async fn answering(&self) -> Result<Vec<Answering>, StoreError>;
}
