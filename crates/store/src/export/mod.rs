//! Backends of export cursors.

mod sqlite;

use std::sync::Arc;

use assize_core::export::ExportCursors;
use assize_core::{StoreError, StoreErrorKind};

pub use sqlite::SqliteCursors;

use crate::location::{Location, parse};

/// Opens the cursors that `url` names: `sqlite:DIR` (`export.db` in this directory).
///
/// # Errors
/// `Invalid` for a URL that names no backend, `Locked` where another process owns the directory, `Schema` for a file of a newer
/// version, `DiskFull`, or `Failed` for a damaged file.
pub async fn open(url: &str) -> Result<Arc<dyn ExportCursors>, StoreError> {
    match parse("export", url, &["sqlite:DIR"])? {
        Location::Sqlite(directory) => Ok(Arc::new(SqliteCursors::open(&directory).await?)),
        Location::Memory => {
            Err(StoreError::new(StoreErrorKind::Invalid, "what was delivered must be known after the process: use sqlite:DIR"))
        }
    }
}
