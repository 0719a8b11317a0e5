//! Schema migrations: embedded SQL, applied once, in order, and known by checksum ever after.

use std::path::Path;

use assize_core::{StoreError, StoreErrorKind};
use rusqlite::{Connection, TransactionBehavior};

use super::failure;

/// One step of a schema. Steps that were released are never edited; a change is a new step.
pub(crate) struct Migration {
    /// Its name, such as `0001_queue`.
    pub name: &'static str,
    /// The statements.
    pub sql: &'static str,
}

/// Brings the schema of `file` up to the last of `migrations`, or says why that cannot be.
pub(crate) fn migrate(connection: &mut Connection, file: &Path, migrations: &[Migration]) -> Result<(), StoreError> {
    let fail = |error: rusqlite::Error| failure(file, &error);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
    transaction
        .execute_batch(
            "CREATE TABLE IF NOT EXISTS migration (
                version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL) STRICT",
        )
        .map_err(fail)?;
    let applied: Vec<(i64, String, String)> = transaction
        .prepare("SELECT version, name, checksum FROM migration ORDER BY version")
        .and_then(|mut statement| {
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect::<Result<_, _>>()
        })
        .map_err(fail)?;
    for (position, (version, name, checksum)) in applied.iter().enumerate() {
        let expected = version_of(position);
        let Some(migration) = migrations.get(position).filter(|_| *version == expected) else {
            return Err(schema(
                file,
                &format!(
                    "schema version {version} ({name}) was made by a newer Assize; this one knows versions up to {}: use the newer one",
                    migrations.len()
                ),
            ));
        };
        if *checksum != checksum_of(migration) {
            return Err(schema(
                file,
                &format!(
                    "schema version {version} ({name}) is not the one that this Assize would make: use the build that made the file, \
                 or restore a backup"
                ),
            ));
        }
    }
    for (position, migration) in migrations.iter().enumerate().skip(applied.len()) {
        transaction.execute_batch(migration.sql).map_err(fail)?;
        transaction
            .execute(
                "INSERT INTO migration (version, name, checksum) VALUES (?1, ?2, ?3)",
                (version_of(position), migration.name, checksum_of(migration)),
            )
            .map_err(fail)?;
    }
    transaction.commit().map_err(fail)
}

/// Versions count from 1.
fn version_of(position: usize) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX - 1) + 1
}

fn checksum_of(migration: &Migration) -> String {
    blake3::hash(migration.sql.as_bytes()).to_hex().to_string()
}

fn schema(file: &Path, what: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Schema, format!("{}: {what}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Migration = Migration { name: "0001_one", sql: "CREATE TABLE one (a INTEGER) STRICT" };
    const TWO: Migration = Migration { name: "0002_two", sql: "ALTER TABLE one ADD COLUMN b TEXT" };
    const ONE_EDITED: Migration = Migration { name: "0001_one", sql: "CREATE TABLE one (a TEXT) STRICT" };
    const BROKEN: Migration =
        Migration { name: "0002_broken", sql: "CREATE TABLE three (a INTEGER); SELECT nonsense FROM nowhere" };

    fn run(connection: &mut Connection, migrations: &[Migration]) -> Result<(), StoreError> {
        migrate(connection, Path::new("test.db"), migrations)
    }

    #[test]
    fn steps_are_applied_once_and_in_order() {
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection, &[ONE]).unwrap();
        run(&mut connection, &[ONE, TWO]).unwrap();
        run(&mut connection, &[ONE, TWO]).unwrap();
        connection.execute("INSERT INTO one (a, b) VALUES (1, 'x')", []).unwrap();
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection, &[ONE, TWO]).unwrap();
        let error = run(&mut connection, &[ONE]).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Schema);
        assert!(error.message.contains("0002_two") && error.message.contains("newer"), "{}", error.message);
    }

    #[test]
    fn a_changed_step_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection, &[ONE]).unwrap();
        let error = run(&mut connection, &[ONE_EDITED, TWO]).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Schema);
        assert!(error.message.contains("0001_one"), "{}", error.message);
        assert!(connection.execute("INSERT INTO one (a, b) VALUES (1, 'x')", []).is_err(), "nothing was applied");
    }

    #[test]
    fn a_step_that_fails_leaves_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection, &[ONE, BROKEN]).unwrap_err();
        assert!(connection.prepare("SELECT * FROM one").is_err());
        run(&mut connection, &[ONE, TWO]).unwrap();
    }
}
