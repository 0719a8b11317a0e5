//! The port of control: projects, keys, policies, metrics and tenants, and the log of their changes. Small, and read on every request through a cache of the caller.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::audit::{AuditEntry, AuditQuery};
use crate::{
    Gap, JudgeVersion, MetricName, PlatformPolicy, PolicyVersion, ProjectName, StoreError, Tenant, TenantName, Timestamp,
};

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

/// Projects, keys, policies, metrics and tenants. Whatever changes one of them but a policy or a model that answered writes to the
/// audit log in the same transaction, and to it alone if nothing else: `by` is the id of the key that asked for it.
#[async_trait]
pub trait Control: Send + Sync {
    /// Creates the project, and its tenant with the default policy if there is none of its name; an existing project is left as it
    /// is. Returns whether it was created.
    async fn create_project(&self, project: &Project, by: &str) -> Result<bool, StoreError>;

    /// All projects, by name.
    async fn projects(&self) -> Result<Vec<Project>, StoreError>;

    /// Stores a key. A key of the same hash is replaced.
    async fn put_key(&self, key: &StoredKey, by: &str) -> Result<(), StoreError>;

    /// All keys, revoked ones too, oldest first.
    async fn keys(&self) -> Result<Vec<StoredKey>, StoreError>;

    /// Revokes the key of this id. Returns whether there was one in force.
    async fn revoke_key(&self, id: &str, at: Timestamp, by: &str) -> Result<bool, StoreError>;

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

    /// Creates the tenant, at version 1 whatever `tenant.version` says; an existing one of the name is left as it is. Returns whether
    /// it was created.
    async fn create_tenant(&self, tenant: &Tenant, by: &str) -> Result<bool, StoreError>;

    /// All tenants, by name.
    async fn tenants(&self) -> Result<Vec<Tenant>, StoreError>;

    /// Gives the tenant of this name the policy of `tenant`, if `tenant.version` is one more than that on record. Returns whether it
    /// is; if not, nothing changes. `created_at` stays.
    async fn change_tenant(&self, tenant: &Tenant, by: &str, at: Timestamp) -> Result<bool, StoreError>;

    /// The times that nothing was taken from the tenant and that touch [from, to), oldest first, at most `limit`: the last ones.
    async fn gaps(&self, tenant: &TenantName, from: Timestamp, to: Timestamp, limit: usize) -> Result<Vec<Gap>, StoreError>;

    /// What holds for all tenants together, and how often it was changed.
    async fn platform(&self) -> Result<(PlatformPolicy, u64), StoreError>;

    /// Changes what holds for all tenants together, if `version` is one more than that on record. Returns whether it is.
    async fn change_platform(&self, policy: &PlatformPolicy, version: u64, by: &str, at: Timestamp) -> Result<bool, StoreError>;

    /// Entries of the audit log, newest first.
    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError>;

    /// The number of the last entry of the audit log, 0 where there is none. Grows with every change, by whichever process; cheap.
    async fn audited(&self) -> Result<u64, StoreError>;
}
