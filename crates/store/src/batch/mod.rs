//! Backends of what waits for providers' batches.

mod sqlite;

use std::sync::Arc;

use assize_core::batch::BatchStore;
use assize_core::{StoreError, StoreErrorKind};

pub use sqlite::SqliteBatches;

use crate::location::{Location, parse};

/// Opens the store that `url` names: `sqlite:DIR` (`batch.db` in this directory).
///
/// # Errors
/// `Invalid` for a URL that names no backend, `Locked` where another process owns the directory, `Schema` for a file of a newer
/// version, `DiskFull`, or `Failed` for a damaged file.
pub async fn open(url: &str) -> Result<Arc<dyn BatchStore>, StoreError> {
    match parse("batch", url, &["sqlite:DIR"])? {
        Location::Sqlite(directory) => Ok(Arc::new(SqliteBatches::open(&directory).await?)),
        Location::Memory => {
            Err(StoreError::new(StoreErrorKind::Invalid, "what waits for a batch must outlive the process: use sqlite:DIR"))
        }
    }
}
