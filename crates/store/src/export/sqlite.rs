//! Export cursors in one SQLite file.

use std::path::Path;

use assize_core::export::ExportCursors;
use assize_core::{ExportName, StoreError};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _};

use crate::sqlite::{Database, Migration, OnFull, Shape, failure};

const SHAPE: Shape = Shape {
    file: "export.db",
    exclusive: true,
    migrations: &[Migration { name: "0001_export", sql: include_str!("schema/0001_export.sql") }],
    cache_kib: 512,
};

/// Export cursors in `export.db` of a directory.
pub struct SqliteCursors {
    database: Database<()>,
}

impl SqliteCursors {
    /// Opens or creates the store in `directory`; see [`open`](super::open).
    pub async fn open(directory: &Path) -> Result<Self, StoreError> {
        Ok(Self { database: Database::open(directory, &SHAPE)? })
    }
}

#[async_trait]
impl ExportCursors for SqliteCursors {
    async fn cursor(&self, target: &ExportName) -> Result<Option<u64>, StoreError> {
        let (path, target) = (self.database.path().to_owned(), target.clone());
        self.database
            .read(move |connection| {
                let found: Option<i64> = connection
                    .prepare_cached("SELECT up_to FROM cursor WHERE target = ?1")
                    .and_then(|mut statement| statement.query_row([target.as_str()], |row| row.get(0)).optional())
                    .map_err(|error| failure(&path, &error))?;
                Ok(found.map(i64::cast_unsigned))
            })
            .await
    }

    async fn set_cursor(&self, target: &ExportName, up_to: u64) -> Result<(), StoreError> {
        let (path, target) = (self.database.path().to_owned(), target.clone());
        let operation = move |connection: &Connection, (): &mut ()| {
            let set =
                "INSERT INTO cursor (target, up_to) VALUES (?1, ?2) ON CONFLICT (target) DO UPDATE SET up_to = excluded.up_to";
            connection
                .prepare_cached(set)
                .and_then(|mut statement| statement.execute((target.as_str(), up_to.cast_signed())))
                .map_err(|error| failure(&path, &error))?;
            Ok(())
        };
        self.database.write(0, OnFull::Wait, operation).await
    }
}
