//! Backends of the ledger: money is set aside before a call and settled after it.
//!
//! `machine` decides and knows nothing of files; a backend is a [`machine::Disk`] for it, and the way in which callers reach it.

mod machine;
mod memory;
mod sqlite;

use std::sync::Arc;

use assize_core::ledger::Ledger;
use assize_core::{StoreError, StoreErrorKind};

pub use memory::MemoryLedger;
pub use sqlite::SqliteLedger;

use crate::location::{Location, parse};

/// Opens the ledger that `url` names: `sqlite:DIR` (`ledger.db` in this directory, which processes may share) or `memory:` (nothing
/// outlives the process).
///
/// # Errors
/// `Invalid` for a URL that names no backend, `Schema` for a file of a newer version, `DiskFull`, or `Failed` for a damaged file.
pub async fn open(url: &str) -> Result<Arc<dyn Ledger>, StoreError> {
    match parse("ledger", url, &["sqlite:DIR", "memory:"])? {
        Location::Sqlite(directory) => Ok(Arc::new(SqliteLedger::open(&directory).await?)),
        Location::Memory => Ok(Arc::new(MemoryLedger::new())),
    }
}

/// A reservation or a correction that no ledger can take.
fn checked(metrics: usize, call: &str) -> Result<(), StoreError> {
    let invalid = |what: &str| Err(StoreError::new(StoreErrorKind::Invalid, format!("ledger: {what}")));
    match (metrics, call.len()) {
        (0, _) => invalid("a reservation names no metric: name at least one, since its cost is split over them"),
        (_, 0) => invalid("a call has no id: give each attempt its own"),
        (_, length) if length > CALL_BYTES_MAX => invalid("the id of a call is longer than 256 bytes"),
        _ => Ok(()),
    }
}

/// The longest id of a call.
const CALL_BYTES_MAX: usize = 256;
