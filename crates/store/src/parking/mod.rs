//! Backends of parking: parts of interactions that wait for the rest.

mod sqlite;

use std::sync::Arc;

use assize_core::parking::Parking;
use assize_core::{StoreError, StoreErrorKind};

pub use sqlite::SqliteParking;

use crate::location::{Location, parse};

/// Opens the parking that `url` names: `sqlite:DIR` (`parking.db` in this directory).
///
/// # Errors
/// `Invalid` for a URL that names no backend, `Locked` where another process owns the directory, `Schema` for a file of a newer
/// version, `DiskFull`, or `Failed` for a damaged file.
pub async fn open(url: &str) -> Result<Arc<dyn Parking>, StoreError> {
    match parse("parking", url, &["sqlite:DIR"])? {
        Location::Sqlite(directory) => Ok(Arc::new(SqliteParking::open(&directory).await?)),
        Location::Memory => Err(StoreError::new(StoreErrorKind::Invalid, "what is parked was acknowledged: use sqlite:DIR")),
    }
}
