//! Backends of labels, the review queue and feedback.

mod sqlite;

use std::sync::Arc;

use assize_core::labels::Labels;
use assize_core::{StoreError, StoreErrorKind};

pub use sqlite::SqliteLabels;

use crate::location::{Location, parse};

/// Opens the labels that `url` names: `sqlite:DIR` (`labels.db` in this directory). Several processes may have it open: one takes
/// feedback, another serves reviewers.
///
/// # Errors
/// `Invalid` for a URL that names no backend, `Schema` for a file of a newer version, `DiskFull`, or `Failed` for a damaged file.
pub async fn open(url: &str) -> Result<Arc<dyn Labels>, StoreError> {
    match parse("labels", url, &["sqlite:DIR"])? {
        Location::Sqlite(directory) => Ok(Arc::new(SqliteLabels::open(&directory).await?)),
        Location::Memory => Err(StoreError::new(StoreErrorKind::Invalid, "labels are not kept in memory: use sqlite:DIR")),
    }
}
