//! Backends of the queue of interactions.

mod memory;
mod sqlite;

use std::sync::Arc;

use assize_core::StoreError;
use assize_core::queue::{Offset, Queue};

pub use memory::MemoryQueue;
pub use sqlite::SqliteQueue;

use crate::location::{Location, parse};

/// How many entries `memory:` holds, and how many keys it remembers.
const MEMORY_ENTRIES_MAX: usize = 10_000;
const MEMORY_KEYS_MAX: usize = 200_000;

/// Opens the queue that `url` names: `sqlite:DIR` (`queue.db` in this directory) or `memory:` (nothing outlives the process).
///
/// No offset up to `after` is given to a new entry. Pass the results' `folded()`: were the queue lost or replaced, and its offsets
/// to begin anew, then the results would take new rows for rows that they have.
///
/// # Errors
/// `Invalid` for a URL that names no backend, `Locked` where another process owns the directory, `Schema` for a file of a newer
/// version, `DiskFull`, or `Failed` for a damaged file.
pub async fn open(url: &str, after: Offset) -> Result<Arc<dyn Queue>, StoreError> {
    match parse("queue", url, &["sqlite:DIR", "memory:"])? {
        Location::Sqlite(directory) => Ok(Arc::new(SqliteQueue::open(&directory, after).await?)),
        Location::Memory => Ok(Arc::new(MemoryQueue::new(MEMORY_ENTRIES_MAX, MEMORY_KEYS_MAX, after))),
    }
}
