//! Parking in one SQLite file.

use std::path::Path;

use assize_core::parking::{ParkedId, Parking, Part};
use assize_core::{ProjectName, StoreError};
use async_trait::async_trait;
use rusqlite::Connection;

use crate::sqlite::{Database, Migration, OnFull, Shape, damaged, failure};

const SHAPE: Shape = Shape {
    file: "parking.db",
    exclusive: true,
    migrations: &[Migration { name: "0001_parking", sql: include_str!("schema/0001_parking.sql") }],
    cache_kib: 2 * 1024,
};

/// Parking in `parking.db` of a directory.
pub struct SqliteParking {
    database: Database<()>,
}

impl SqliteParking {
    /// Opens or creates the store in `directory`; see [`open`](super::open).
    pub async fn open(directory: &Path) -> Result<Self, StoreError> {
        Ok(Self { database: Database::open(directory, &SHAPE)? })
    }

    async fn write<T, F>(&self, bytes: usize, on_full: OnFull, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let path = self.database.path().to_owned();
        let operation = move |connection: &Connection, (): &mut ()| operation(connection).map_err(|error| failure(&path, &error));
        self.database.write(bytes, on_full, operation).await
    }
}

#[async_trait]
impl Parking for SqliteParking {
    async fn park(&self, parts: Vec<Part>) -> Result<Vec<ParkedId>, StoreError> {
        let bytes = parts.iter().map(|part| part.body.len()).sum();
        self.write(bytes, OnFull::Refuse, move |connection| {
            let mut insert = connection.prepare_cached("INSERT INTO part (project, body) VALUES (?1, ?2)")?;
            let id = |part: &Part| Ok(ParkedId(insert.insert((part.project.as_str(), &part.body))?.cast_unsigned()));
            parts.iter().map(id).collect()
        })
        .await
    }

    async fn parked(&self) -> Result<Vec<(ParkedId, Part)>, StoreError> {
        let path = self.database.path().to_owned();
        self.database
            .read(move |connection| {
                let read =
                    |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, Vec<u8>>(2)?));
                let rows: Vec<(i64, String, Vec<u8>)> = connection
                    .prepare("SELECT id, project, body FROM part ORDER BY id")
                    .and_then(|mut statement| statement.query_map([], read)?.collect())
                    .map_err(|error| failure(&path, &error))?;
                let part = |(id, project, body): (i64, String, Vec<u8>)| {
                    let project = ProjectName::new(&project).map_err(|_| damaged(&path, "a parked part"))?;
                    Ok((ParkedId(id.cast_unsigned()), Part { project, body }))
                };
                rows.into_iter().map(part).collect()
            })
            .await
    }

    async fn release(&self, ids: Vec<ParkedId>) -> Result<(), StoreError> {
        self.write(0, OnFull::Wait, move |connection| {
            let mut delete = connection.prepare_cached("DELETE FROM part WHERE id = ?1")?;
            ids.iter().try_for_each(|id| delete.execute([id.0.cast_signed()]).map(|_| ()))
        })
        .await
    }
}
