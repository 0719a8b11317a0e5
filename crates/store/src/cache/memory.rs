//! The verdict cache in memory: for `eval` and for tests. Bounded; nothing outlives the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use assize_core::cache::{CacheBounds, CacheEntry, CacheKey, CacheStats, CachedVerdict, VerdictCache};
use assize_core::{StoreError, TenantName, Timestamp};
use async_trait::async_trait;

use super::shards::{OnFound, Shards};

/// A verdict cache in memory. Its bytes are reckoned from the text of the entries and the size of the structures around them.
pub struct MemoryCache {
    shards: Shards,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl MemoryCache {
    /// An empty cache.
    pub fn new(bounds: CacheBounds) -> Self {
        Self { shards: Shards::new(bounds), hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }
}

#[async_trait]
impl VerdictCache for MemoryCache {
    async fn get(&self, keys: &[CacheKey], now: Timestamp) -> Vec<Option<Arc<CachedVerdict>>> {
        let found: Vec<_> = keys.iter().map(|key| self.shards.get(key, now)).collect();
        let hits = found.iter().flatten().count();
        self.hits.fetch_add(hits as u64, Ordering::Relaxed);
        self.misses.fetch_add((keys.len() - hits) as u64, Ordering::Relaxed);
        found
    }

    async fn put(&self, entries: Vec<CacheEntry>) {
        let epoch = self.shards.epoch();
        for entry in entries.into_iter().filter(CacheEntry::is_cacheable) {
            let text_bytes = entry.text_bytes();
            let CacheEntry { key, tenant, verdict, at, .. } = entry;
            self.shards.put(key, tenant, Arc::new(CachedVerdict { verdict, at }), text_bytes, OnFound::Keep, epoch);
        }
    }

    async fn purge(&self, tenant: &TenantName) -> Result<u64, StoreError> {
        Ok(self.shards.purge(Some(tenant)))
    }

    async fn purge_all(&self) -> Result<u64, StoreError> {
        Ok(self.shards.purge(None))
    }

    fn stats(&self) -> CacheStats {
        let (entries, bytes, evictions) = self.shards.size();
        let [hits, misses] = [&self.hits, &self.misses].map(|counter| counter.load(Ordering::Relaxed));
        CacheStats { entries, bytes, hits, misses, evictions, failures: 0 }
    }

    fn trouble(&self) -> Option<String> {
        None
    }
}
