//! Backends of the results store.

mod sqlite;

use std::sync::Arc;

use assize_core::StoreError;
use assize_core::results::Results;

pub use sqlite::SqliteResults;

use crate::location::{Location, parse};

/// Opens the results store that `url` names: `sqlite:DIR` (`results.db` in this directory).
///
/// # Errors
/// `Invalid` for a URL that names no backend, `Locked` where another process owns the directory, `Schema` for a file of a newer
/// version, `DiskFull`, or `Failed` for a damaged file.
pub async fn open(url: &str) -> Result<Arc<dyn Results>, StoreError> {
    match parse("results", url, &["sqlite:DIR"])? {
        Location::Sqlite(directory) => Ok(Arc::new(SqliteResults::open(&directory).await?)),
        Location::Memory => {
            Err(StoreError::new(assize_core::StoreErrorKind::Invalid, "results are not kept in memory: use sqlite:DIR"))
        }
    }
}
