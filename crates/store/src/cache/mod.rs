//! Backends of the verdict cache.

mod memory;
mod shards;
mod sqlite;

use std::sync::Arc;

use assize_core::StoreError;
use assize_core::cache::{CacheBounds, VerdictCache};

pub use memory::MemoryCache;
pub use sqlite::SqliteCache;

use crate::location::{Location, parse};

/// Opens the verdict cache that `url` names: `sqlite:DIR` (`cache.db` in this directory) or `memory:` (nothing outlives the process).
///
/// A file that is damaged, or whose schema is another one, stops nobody: it is set aside as `cache.damaged.db`, in place of one that
/// was set aside before, and a new one is begun. [`VerdictCache::trouble`] then says so.
///
/// # Errors
/// `Invalid` for a URL that names no backend, `Locked` where another process owns the directory, `DiskFull`, or `Failed` where the
/// directory cannot be written.
pub async fn open(url: &str, bounds: CacheBounds) -> Result<Arc<dyn VerdictCache>, StoreError> {
    match parse("cache", url, &["sqlite:DIR", "memory:"])? {
        Location::Sqlite(directory) => Ok(Arc::new(SqliteCache::open(&directory, bounds).await?)),
        Location::Memory => Ok(Arc::new(MemoryCache::new(bounds))),
    }
}
