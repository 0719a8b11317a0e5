//! Control in one SQLite file, which processes may share.

use std::path::Path;

use assize_core::control::{Control, Project, StoredKey};
use assize_core::{PolicyVersion, ProjectName, StoreError, TenantName, Timestamp};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::sqlite::{Database, Migration, OnFull, Shape, damaged, failure};

const SHAPE: Shape = Shape {
    file: "control.db",
    exclusive: false,
    migrations: &[Migration { name: "0001_control", sql: include_str!("schema/0001_control.sql") }],
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
                rows.into_iter().collect::<Option<_>>().ok_or_else(|| damaged(&path, "a project or key"))
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
