//! Backends of control: projects, keys, policies, tenants, and the log of their changes.

mod audit;
mod sqlite;
mod tenants;

use std::sync::Arc;

use assize_core::control::Control;
use assize_core::{StoreError, StoreErrorKind};

pub use sqlite::SqliteControl;

use crate::location::{Location, parse};

/// Opens the control store that `url` names: `sqlite:DIR` (`control.db` in this directory). Several processes may have it open, so
/// that a key can be made while the server runs.
///
/// # Errors
/// `Invalid` for a URL that names no backend, `Schema` for a file of a newer version, `DiskFull`, or `Failed` for a damaged file.
pub async fn open(url: &str) -> Result<Arc<dyn Control>, StoreError> {
    match parse("control", url, &["sqlite:DIR"])? {
        Location::Sqlite(directory) => Ok(Arc::new(SqliteControl::open(&directory).await?)),
        Location::Memory => Err(StoreError::new(StoreErrorKind::Invalid, "control is not kept in memory: use sqlite:DIR")),
    }
}
