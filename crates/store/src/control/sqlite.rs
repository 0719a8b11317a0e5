//! Control in one SQLite file, which processes may share.

use std::path::Path;

use assize_core::audit::{AuditEntry, AuditQuery, Change};
use assize_core::control::{Answering, Control, MetricChange, Project, StoredKey};
use assize_core::{
    Gap, JudgeVersion, MetricName, PlatformPolicy, PolicyVersion, ProjectName, StoreError, Tenant, TenantName, TenantPolicy,
    Timestamp,
};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{audit, tenants};
use crate::sqlite::{Database, Migration, OnFull, Shape, damaged, failure};

const SHAPE: Shape = Shape {
    file: "control.db",
    exclusive: false,
    migrations: &[
        Migration { name: "0001_control", sql: include_str!("schema/0001_control.sql") },
        Migration { name: "0002_metrics", sql: include_str!("schema/0002_metrics.sql") },
        Migration { name: "0003_tenants", sql: include_str!("schema/0003_tenants.sql") },
    ],
    cache_kib: 2 * 1024,
};

/// Control in `control.db` of a directory.
pub struct SqliteControl {
    database: Database<()>,
}

impl SqliteControl {
    /// Opens or creates the store in `directory`; see [`open`](super::open).
    pub async fn open(directory: &Path) -> Result<Self, StoreError> {
        Ok(Self { database: Database::open(directory, &SHAPE)? })
    }

    async fn write<T, F>(&self, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let path = self.database.path().to_owned();
        let operation = move |connection: &Connection, (): &mut ()| operation(connection).map_err(|error| failure(&path, &error));
        self.database.write(0, OnFull::Wait, operation).await
    }

    /// What `operation` reads on one snapshot.
    async fn read<T, F>(&self, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let path = self.database.path().to_owned();
        self.database.read(move |connection| operation(connection).map_err(|error| failure(&path, &error))).await
    }

    fn damaged(&self, what: &str) -> StoreError {
        damaged(self.database.path(), what)
    }

    /// The rows of `sql`, each read by `read`, which answers `None` for what cannot be read.
    async fn list<T: Send + 'static>(
        &self,
        sql: &'static str,
        read: fn(&Row<'_>) -> rusqlite::Result<Option<T>>,
    ) -> Result<Vec<T>, StoreError> {
        let path = self.database.path().to_owned();
        self.database
            .read(move |connection| {
                let rows: Vec<Option<T>> = connection
                    .prepare_cached(sql)
                    .and_then(|mut statement| statement.query_map([], read)?.collect())
                    .map_err(|error| failure(&path, &error))?;
                rows.into_iter().collect::<Option<_>>().ok_or_else(|| damaged(&path, "a project, key or metric"))
            })
            .await
    }
}

#[async_trait]
impl Control for SqliteControl {
    async fn create_project(&self, project: &Project, by: &str) -> Result<bool, StoreError> {
        let (project, by) = (project.clone(), by.to_owned());
        let tenant =
            Tenant { name: project.tenant.clone(), created_at: project.created_at, policy: TenantPolicy::default(), version: 1 };
        self.write(move |connection| {
            let Project { name, tenant: owner, created_at } = &project;
            let sql = "INSERT OR IGNORE INTO project (name, tenant, created_at) VALUES (?1, ?2, ?3)";
            let created = connection.execute(sql, (name.as_str(), owner.as_str(), created_at.0))? == 1;
            if created {
                tenants::create(connection, &tenant, &by)?;
                audit::append(connection, Change::project_created(&project, &by))?;
            }
            Ok(created)
        })
        .await
    }

    async fn projects(&self) -> Result<Vec<Project>, StoreError> {
        self.list("SELECT name, tenant, created_at FROM project ORDER BY name", project).await
    }

    async fn put_key(&self, key: &StoredKey, by: &str) -> Result<(), StoreError> {
        let (key, by) = (key.clone(), by.to_owned());
        let scopes = serde_json::to_string(&key.scopes).map_err(|error| damaged(self.database.path(), &error.to_string()))?;
        self.write(move |connection| {
            let before = one_key(connection, "hash = ?1", [key.hash])?;
            let sql = "INSERT OR REPLACE INTO api_key (hash, id, project, scopes, label, created_at, revoked_at)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            let revoked_at = key.revoked_at.map(|at| at.0);
            connection
                .execute(sql, params![key.hash, key.id, key.project.as_str(), scopes, key.label, key.created_at.0, revoked_at])?;
            audit::append(connection, Change::key_put(before.as_ref(), &key, &by))
        })
        .await
    }

    async fn keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        let sql = "SELECT id, hash, project, scopes, label, created_at, revoked_at FROM api_key ORDER BY created_at, id, hash";
        self.list(sql, key).await
    }

    async fn revoke_key(&self, id: &str, at: Timestamp, by: &str) -> Result<bool, StoreError> {
        let (id, by) = (id.to_owned(), by.to_owned());
        self.write(move |connection| {
            let Some(key) = one_key(connection, "id = ?1 AND revoked_at IS NULL", [&id])? else { return Ok(false) };
            let sql = "UPDATE api_key SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL";
            connection.execute(sql, (&id, at.0))?;
            audit::append(connection, Change::key_revoked(&key, &by, at))?;
            Ok(true)
        })
        .await
    }

    async fn put_policy(&self, version: &PolicyVersion, json: &str, at: Timestamp) -> Result<(), StoreError> {
        let (version, json) = (version.clone(), json.to_owned());
        self.write(move |connection| {
            let sql = "INSERT OR IGNORE INTO policy (version, json, at) VALUES (?1, ?2, ?3)";
            connection.execute(sql, (version.as_str(), &json, at.0)).map(|_| ())
        })
        .await
    }

    async fn policy(&self, version: &PolicyVersion) -> Result<Option<String>, StoreError> {
        let (version, path) = (version.clone(), self.database.path().to_owned());
        self.database
            .read(move |connection| {
                connection
                    .query_row("SELECT json FROM policy WHERE version = ?1", [version.as_str()], |row| row.get(0))
                    .optional()
                    .map_err(|error| failure(&path, &error))
            })
            .await
    }

    async fn change_metric(&self, change: &MetricChange) -> Result<bool, StoreError> {
        let change = change.clone();
        self.write(move |connection| {
            let sql = "INSERT INTO metric (project, metric, version, json, by, at)
                       SELECT ?1, ?2, ?3, ?4, ?5, ?6
                       WHERE ?3 = 1 + (SELECT COALESCE(MAX(version), 0) FROM metric WHERE project = ?1 AND metric = ?2)";
            let MetricChange { project, metric, version, json, by, at } = &change;
            let version = i64::try_from(*version).unwrap_or(i64::MAX);
            let last = "SELECT json FROM metric WHERE project = ?1 AND metric = ?2 ORDER BY version DESC LIMIT 1";
            let before = connection.query_row(last, (project.as_str(), metric.as_str()), |row| row.get(0)).optional()?.flatten();
            let values = params![project.as_str(), metric.as_str(), version, json, by, at.0];
            let changed = connection.execute(sql, values)? == 1;
            if changed {
                audit::append(connection, Change::metric_changed(before, &change))?;
            }
            Ok(changed)
        })
        .await
    }

    async fn metrics(&self) -> Result<Vec<MetricChange>, StoreError> {
        let sql = "SELECT project, metric, version, json, by, at FROM metric AS last
                   WHERE version = (SELECT MAX(version) FROM metric WHERE project = last.project AND metric = last.metric)
                   ORDER BY project, metric";
        self.list(sql, change).await
    }

    async fn metric_changes(
        &self,
        project: &ProjectName,
        metric: &MetricName,
        before: u64,
        limit: usize,
    ) -> Result<Vec<MetricChange>, StoreError> {
        let (project, metric, path) = (project.clone(), metric.clone(), self.database.path().to_owned());
        let (before, limit) = (i64::try_from(before).unwrap_or(i64::MAX), i64::try_from(limit).unwrap_or(i64::MAX));
        self.database
            .read(move |connection| {
                let sql = "SELECT project, metric, version, json, by, at FROM metric
                           WHERE project = ?1 AND metric = ?2 AND version < ?3 ORDER BY version DESC LIMIT ?4";
                let rows: Vec<Option<MetricChange>> = connection
                    .prepare_cached(sql)
                    .and_then(|mut statement| {
                        statement.query_map((project.as_str(), metric.as_str(), before, limit), change)?.collect()
                    })
                    .map_err(|error| failure(&path, &error))?;
                rows.into_iter().collect::<Option<_>>().ok_or_else(|| damaged(&path, "a metric"))
            })
            .await
    }

    async fn put_answering(&self, answering: &Answering) -> Result<(), StoreError> {
        let answering = answering.clone();
        self.write(move |connection| {
            let sql = "INSERT OR IGNORE INTO answering (version, model, since) VALUES (?1, ?2, ?3)";
            connection.execute(sql, (answering.version.as_str(), &answering.model, answering.since.0)).map(|_| ())
        })
        .await
    }

    async fn answering(&self) -> Result<Vec<Answering>, StoreError> {
        let read = |row: &Row<'_>| {
            let version = JudgeVersion::from_stored(row.get_ref(0)?.as_str()?);
            Ok(Some(Answering { version, model: row.get(1)?, since: Timestamp(row.get(2)?) }))
        };
        self.list("SELECT version, model, since FROM answering ORDER BY since, version, model", read).await
    }

    async fn create_tenant(&self, tenant: &Tenant, by: &str) -> Result<bool, StoreError> {
        let (tenant, by) = (tenant.clone(), by.to_owned());
        self.write(move |connection| tenants::create(connection, &tenant, &by)).await
    }

    async fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        let rows = self.read(tenants::list).await?;
        rows.into_iter().collect::<Option<_>>().ok_or_else(|| self.damaged("a tenant"))
    }

    async fn change_tenant(&self, tenant: &Tenant, by: &str, at: Timestamp) -> Result<bool, StoreError> {
        let (tenant, by) = (tenant.clone(), by.to_owned());
        let changed = self.write(move |connection| tenants::change(connection, &tenant, &by, at)).await?;
        changed.map_err(|what| self.damaged(what))
    }

    async fn gaps(&self, tenant: &TenantName, from: Timestamp, to: Timestamp, limit: usize) -> Result<Vec<Gap>, StoreError> {
        let tenant = tenant.clone();
        self.read(move |connection| tenants::gaps(connection, &tenant, from, to, limit)).await
    }

    async fn platform(&self) -> Result<(PlatformPolicy, u64), StoreError> {
        self.read(tenants::platform).await?.ok_or_else(|| self.damaged("the platform's policy"))
    }

    async fn change_platform(&self, policy: &PlatformPolicy, version: u64, by: &str, at: Timestamp) -> Result<bool, StoreError> {
        let (policy, by) = (*policy, by.to_owned());
        let changed = self.write(move |connection| tenants::change_platform(connection, &policy, version, &by, at)).await?;
        changed.map_err(|what| self.damaged(what))
    }

    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        let query = query.clone();
        let rows = self.read(move |connection| audit::entries(connection, &query)).await?;
        rows.into_iter().collect::<Option<_>>().ok_or_else(|| self.damaged("an entry of the audit log"))
    }

    async fn audited(&self) -> Result<u64, StoreError> {
        self.read(audit::last).await
    }
}

fn change(row: &Row<'_>) -> rusqlite::Result<Option<MetricChange>> {
    let names = ProjectName::new(row.get_ref(0)?.as_str()?).ok().zip(MetricName::new(row.get_ref(1)?.as_str()?).ok());
    let Some((project, metric)) = names else { return Ok(None) };
    let version = row.get::<_, i64>(2)?.unsigned_abs();
    Ok(Some(MetricChange { project, metric, version, json: row.get(3)?, by: row.get(4)?, at: Timestamp(row.get(5)?) }))
}

fn project(row: &Row<'_>) -> rusqlite::Result<Option<Project>> {
    let (name, tenant) = (row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?);
    let created_at = Timestamp(row.get(2)?);
    let names = ProjectName::new(name).ok().zip(TenantName::new(tenant).ok());
    Ok(names.map(|(name, tenant)| Project { name, tenant, created_at }))
}

/// The key of which `condition` holds; one that cannot be read counts as none.
fn one_key(connection: &Connection, condition: &str, value: impl rusqlite::Params) -> rusqlite::Result<Option<StoredKey>> {
    let sql = format!("SELECT id, hash, project, scopes, label, created_at, revoked_at FROM api_key WHERE {condition} LIMIT 1");
    Ok(connection.query_row(&sql, value, key).optional()?.flatten())
}

fn key(row: &Row<'_>) -> rusqlite::Result<Option<StoredKey>> {
    let scopes = serde_json::from_str(row.get_ref(3)?.as_str()?).ok();
    let Some((project, scopes)) = ProjectName::new(row.get_ref(2)?.as_str()?).ok().zip(scopes) else { return Ok(None) };
    Ok(Some(StoredKey {
        id: row.get(0)?,
        hash: row.get(1)?,
        project,
        scopes,
        label: row.get(4)?,
        created_at: Timestamp(row.get(5)?),
        revoked_at: row.get::<_, Option<i64>>(6)?.map(Timestamp),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn projects_from_before_there_were_tenants_have_theirs() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("control.db");
        let older = Shape { migrations: &SHAPE.migrations[..2], ..SHAPE };
        drop(Database::<()>::open(directory.path(), &older).unwrap());
        let rows = "INSERT INTO project VALUES ('a', 'acme', 20), ('b', 'acme', 10), ('c', 'c', 30)";
        Connection::open(&file).unwrap().execute_batch(rows).unwrap();
        let control = SqliteControl::open(directory.path()).await.unwrap();
        let of = |name: &str, at| {
            let name = TenantName::new(name).unwrap();
            Tenant { name, created_at: Timestamp(at), policy: TenantPolicy::default(), version: 1 }
        };
        assert_eq!(control.tenants().await.unwrap(), [of("acme", 10), of("c", 30)]);
    }

    #[tokio::test]
    async fn the_log_is_not_altered_by_statements() {
        let directory = tempfile::tempdir().unwrap();
        let control = SqliteControl::open(directory.path()).await.unwrap();
        let tenant = Tenant {
            name: TenantName::new("acme").unwrap(),
            created_at: Timestamp(1),
            policy: TenantPolicy::default(),
            version: 1,
        };
        control.create_tenant(&tenant, "key-1").await.unwrap();
        let connection = Connection::open(directory.path().join("control.db")).unwrap();
        for sql in ["UPDATE audit SET by = 'x'", "DELETE FROM audit", "UPDATE audit SET number = 2"] {
            assert!(connection.execute(sql, []).unwrap_err().to_string().contains("the audit log is not"), "{sql}");
        }
    }
}
