//! Control in one SQLite file, which processes may share.

use std::path::Path;

use assize_core::control::{Answering, Control, MetricChange, Project, StoredKey};
use assize_core::{JudgeVersion, MetricName, PolicyVersion, ProjectName, StoreError, TenantName, Timestamp};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::sqlite::{Database, Migration, OnFull, Shape, damaged, failure};

const SHAPE: Shape = Shape {
    file: "control.db",
    exclusive: false,
    migrations: &[
        Migration { name: "0001_control", sql: include_str!("schema/0001_control.sql") },
        Migration { name: "0002_metrics", sql: include_str!("schema/0002_metrics.sql") },
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
    async fn create_project(&self, project: &Project) -> Result<bool, StoreError> {
        let Project { name, tenant, created_at } = project.clone();
        self.write(move |connection| {
            let sql = "INSERT OR IGNORE INTO project (name, tenant, created_at) VALUES (?1, ?2, ?3)";
            Ok(connection.execute(sql, (name.as_str(), tenant.as_str(), created_at.0))? == 1)
        })
        .await
    }

    async fn projects(&self) -> Result<Vec<Project>, StoreError> {
        self.list("SELECT name, tenant, created_at FROM project ORDER BY name", project).await
    }

    async fn put_key(&self, key: &StoredKey) -> Result<(), StoreError> {
        let key = key.clone();
        let scopes = serde_json::to_string(&key.scopes).map_err(|error| damaged(self.database.path(), &error.to_string()))?;
        self.write(move |connection| {
            let sql = "INSERT OR REPLACE INTO api_key (hash, id, project, scopes, label, created_at, revoked_at)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            let revoked_at = key.revoked_at.map(|at| at.0);
            connection
                .execute(sql, params![key.hash, key.id, key.project.as_str(), scopes, key.label, key.created_at.0, revoked_at])?;
            Ok(())
        })
        .await
    }

    async fn keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        let sql = "SELECT id, hash, project, scopes, label, created_at, revoked_at FROM api_key ORDER BY created_at, id, hash";
        self.list(sql, key).await
    }

    async fn revoke_key(&self, id: &str, at: Timestamp) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.write(move |connection| {
            let sql = "UPDATE api_key SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL";
            Ok(connection.execute(sql, (&id, at.0))? > 0)
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
            Ok(connection.execute(sql, params![project.as_str(), metric.as_str(), version, json, by, at.0])? == 1)
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
