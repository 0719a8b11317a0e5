//! A file that cannot be used is set aside and a new one begun: what it held can be bought again, and a service that stands still
//! cannot.

use std::path::Path;

use assize_core::{StoreError, StoreErrorKind};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::sqlite::{claim, create_directory, io};

/// Left beside a file that proved damaged while it was open, for the next opening.
const MARK: &str = "cache.db.damaged";
/// What a file is renamed to. There is one: the next takes its place.
const ASIDE: &str = "cache.damaged.db";

/// Whether `error` is the file's fault, and not that of the disk, of its rights, or of another process.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Whether the file at `path`, which could not be opened, is at fault. Reads all of it.
pub(super) fn is_at_fault(path: &Path, error: &StoreError) -> bool {
    let check = || {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
    };
    match error.kind {
        StoreErrorKind::Schema => true,
        StoreErrorKind::Failed => match check() {
            Ok(verdict) => verdict != "ok",
            Err(error) => is_damage(&error),
        },
        _ => false,
    }
}

/// Says to the next opening that `file` in `directory` is damaged.
pub(super) fn mark(directory: &Path) {
    // Without it the next opening finds the damage by itself, later.
    let _ = std::fs::write(directory.join(MARK), b"");
}

/// Whether it was said.
pub(super) fn is_marked(directory: &Path) -> bool {
    directory.join(MARK).exists()
}

/// Renames `file` in `directory`, which must be open nowhere, with what lies beside it. Returns what to say.
pub(super) fn set_aside(directory: &Path, file: &'static str) -> Result<String, StoreError> {
    let directory = create_directory(directory)?;
    let _claim = claim(&directory, file)?;
    let (path, aside) = (directory.join(file), directory.join(ASIDE));
    match std::fs::rename(&path, &aside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(&path, &error)),
        _ => {}
    }
    for beside in [format!("{file}-wal"), format!("{file}-shm"), MARK.to_owned()] {
        remove(&directory.join(beside))?;
    }
    Ok(format!("{}: damaged or of another version: set aside as {ASIDE}, and the cache begins anew", path.display()))
}

/// Removes what was set aside: it may hold what is to be forgotten.
pub(super) fn remove_aside(directory: &Path) -> Result<(), StoreError> {
    remove(&directory.join(ASIDE))
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(path, &error)),
        _ => Ok(()),
    }
}
