//! SQLite's failures in words that say what to do. Never holds values of rows.

use std::path::Path;

use assize_core::{StoreError, StoreErrorKind};
use rusqlite::ErrorCode;

/// The failure of an operation on `file`.
pub(crate) fn failure(file: &Path, error: &rusqlite::Error) -> StoreError {
    let name = file.display();
    let (kind, advice) = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => (StoreErrorKind::DiskFull, "the disk is full: free space on it; nothing of this was stored"),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => (
            StoreErrorKind::Failed,
            "the file is damaged or not a database: restore it from a backup, or move it aside to begin anew",
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            (StoreErrorKind::Failed, "another process holds the file: try again, or end that process")
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            (StoreErrorKind::Failed, "the file cannot be opened for writing: check its owner and its mode")
        }
        Some(ErrorCode::SystemIoFailure) => (StoreErrorKind::Failed, "reading or writing failed: check the disk"),
        _ => (StoreErrorKind::Failed, "the operation failed"),
    };
    StoreError::new(kind, format!("{name}: {advice} ({error})"))
}

/// What is read from `file` is not what was written: `what` says where.
pub(crate) fn damaged(file: &Path, what: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Failed,
        format!("{}: {what} cannot be read: the file is damaged; restore it from a backup", file.display()),
    )
}
