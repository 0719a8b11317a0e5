//! The verdict cache in one SQLite file, with the entries that were used last in memory before it.
//!
//! The file decides: an entry is in memory only because it was read from the file or written to it, or because the file cannot be
//! used. Commits do not wait for the disk (`synchronous=NORMAL`): what a loss of power takes is bought again.

mod aside;
mod rows;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use assize_core::cache::{CacheBounds, CacheEntry, CacheKey, CacheStats, CachedVerdict, VerdictCache};
use assize_core::{StoreError, StoreErrorKind, TenantName, Timestamp};
use async_trait::async_trait;
use rusqlite::Connection;

use super::shards::{OnFound, Shards};
use crate::sqlite::{Database, Durability, Migration, OnFull, Shape, damaged, failure};
use rows::{Found, Row, Total};

const SHAPE: Shape = Shape {
    file: "cache.db",
    exclusive: true,
    migrations: &[Migration { name: "0001_cache", sql: include_str!("../schema/0001_cache.sql") }],
    cache_kib: 16 * 1024,
};

/// What is held in memory, at the most.
const FRONT_ENTRIES_MAX: u64 = 65_536;
const FRONT_BYTES_MAX: u64 = 64 << 20;

/// A verdict cache in `cache.db` of a directory. Its bytes are about those of the file.
pub struct SqliteCache {
    front: Shards,
    database: Database<()>,
    directory: PathBuf,
    bounds: CacheBounds,
    health: Arc<Health>,
    rows: AtomicU64,
    bytes: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
    evictions: AtomicU64,
}

/// How the file is, as far as is known.
#[derive(Default)]
struct Health {
    is_damaged: AtomicBool,
    failures: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl Health {
    fn say(&self, trouble: String) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(trouble);
    }

    fn failed(&self, error: StoreError) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.say(error.message);
    }
}

impl SqliteCache {
    /// Opens or creates the cache in `directory`; see [`open`](super::open).
    pub async fn open(directory: &Path, bounds: CacheBounds) -> Result<Self, StoreError> {
        match Self::try_open(directory, bounds).await {
            Ok(cache) => Ok(cache),
            Err(error) if aside::is_marked(directory) || aside::is_at_fault(&directory.join(SHAPE.file), &error) => {
                let trouble = aside::set_aside(directory, SHAPE.file)?;
                let cache = Self::try_open(directory, bounds).await?;
                cache.health.say(trouble);
                Ok(cache)
            }
            Err(error) => Err(error),
        }
    }

    async fn try_open(directory: &Path, bounds: CacheBounds) -> Result<Self, StoreError> {
        let database = Database::<()>::open_with(directory, &SHAPE, Durability::Normal)?;
        if aside::is_marked(directory) {
            return Err(damaged(database.path(), "what was found damaged before"));
        }
        let path = database.path().to_owned();
        // Both ends of the table, so that a file that is damaged all over is noticed here.
        let look = |connection: &Connection| {
            let ends =
                "SELECT (SELECT key FROM verdict ORDER BY seq LIMIT 1), (SELECT key FROM verdict ORDER BY seq DESC LIMIT 1)";
            connection.query_row(ends, [], |_| Ok(()))?;
            Total::read(connection)
        };
        let total = database.read(move |connection| look(connection).map_err(|error| failure(&path, &error))).await?;
        let front = CacheBounds {
            entries_max: bounds.entries_max.min(FRONT_ENTRIES_MAX),
            bytes_max: bounds.bytes_max.min(FRONT_BYTES_MAX),
            ..bounds
        };
        Ok(Self {
            front: Shards::new(front),
            directory: database.path().parent().unwrap_or(directory).to_owned(),
            database,
            bounds,
            health: Arc::default(),
            rows: AtomicU64::new(total.rows),
            bytes: AtomicU64::new(total.bytes),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
        })
    }

    fn is_damaged(&self) -> bool {
        self.health.is_damaged.load(Ordering::Relaxed)
    }

    /// Turns SQLite's errors into ours, and remembers it where the file is at fault: from then on it is left alone.
    fn noticing(&self) -> impl Fn(rusqlite::Error) -> StoreError + Send + 'static {
        let (health, path, directory) = (self.health.clone(), self.database.path().to_owned(), self.directory.clone());
        move |error| {
            if !aside::is_damage(&error) {
                return failure(&path, &error);
            }
            if !health.is_damaged.swap(true, Ordering::Relaxed) {
                aside::mark(&directory);
            }
            let advice = "the file is damaged: the cache is in memory only until a restart, which begins a new file";
            StoreError::new(StoreErrorKind::Failed, format!("{}: {advice} ({error})", path.display()))
        }
    }

    fn holds(&self, total: Total) {
        self.rows.store(total.rows, Ordering::Relaxed);
        self.bytes.store(total.bytes, Ordering::Relaxed);
    }

    /// Looks up in the file those of `keys` of which nothing is `found`.
    async fn look_up(&self, keys: &[CacheKey], now: Timestamp, found: &mut [Option<Arc<CachedVerdict>>]) {
        let missing: Vec<usize> = (0..keys.len()).filter(|&at| found[at].is_none()).collect();
        if missing.is_empty() || self.is_damaged() {
            return;
        }
        let epoch = self.front.epoch();
        let (wanted, noticing) = (missing.iter().map(|&at| keys[at]).collect::<Vec<_>>(), self.noticing());
        let rows = match self.database.read(move |connection| rows::find(connection, &wanted).map_err(noticing)).await {
            Ok(rows) => rows,
            Err(error) => return self.health.failed(error),
        };
        for (at, row) in missing.into_iter().zip(rows) {
            let Some(row) = row.filter(|row| self.bounds.is_fresh(row.at, now)) else { continue };
            let Some((tenant, cached, text_bytes)) = decode(row) else {
                self.health.failed(damaged(self.database.path(), "a verdict"));
                continue;
            };
            self.front.put(keys[at], tenant, cached.clone(), text_bytes, OnFound::Keep, epoch);
            found[at] = Some(cached);
        }
    }

    /// Removes what was set aside, which may hold what is to be forgotten, and refuses where the file cannot be reached.
    fn begin_purge(&self) -> Result<(), StoreError> {
        aside::remove_aside(&self.directory)?;
        if self.is_damaged() {
            let advice =
                "the file is damaged and may still hold what is to be forgotten: restart, which sets it aside, and purge again";
            return Err(StoreError::new(StoreErrorKind::Failed, format!("{}: {advice}", self.database.path().display())));
        }
        Ok(())
    }
}

#[async_trait]
impl VerdictCache for SqliteCache {
    async fn get(&self, keys: &[CacheKey], now: Timestamp) -> Vec<Option<Arc<CachedVerdict>>> {
        let mut found: Vec<_> = keys.iter().map(|key| self.front.get(key, now)).collect();
        self.look_up(keys, now, &mut found).await;
        let hits = found.iter().flatten().count();
        self.hits.fetch_add(hits as u64, Ordering::Relaxed);
        self.misses.fetch_add((keys.len() - hits) as u64, Ordering::Relaxed);
        found
    }

    async fn put(&self, entries: Vec<CacheEntry>) {
        let entries: Vec<CacheEntry> = entries.into_iter().filter(CacheEntry::is_cacheable).collect();
        let rows: Vec<Row> = entries.iter().filter_map(encode).collect();
        if rows.len() != entries.len() || entries.is_empty() {
            return;
        }
        let epoch = self.front.epoch();
        let kept = if self.is_damaged() {
            None
        } else {
            let bytes = rows.iter().map(|row| row.body.len() + size_of::<Row>()).sum();
            let (bounds, noticing) = (self.bounds, self.noticing());
            let store = move |connection: &Connection, (): &mut ()| rows::store(connection, &rows, &bounds).map_err(&noticing);
            match self.database.write(bytes, OnFull::Refuse, store).await {
                Ok(stored) => {
                    self.evictions.fetch_add(stored.evicted, Ordering::Relaxed);
                    self.holds(stored.total);
                    Some(stored.kept)
                }
                Err(error) => {
                    self.health.failed(error);
                    None
                }
            }
        };
        for (at, entry) in entries.into_iter().enumerate() {
            // What the file has is the answer; where it cannot be used, the first that is in memory.
            let on_found = match &kept {
                Some(kept) if !kept[at] => continue,
                Some(_) => OnFound::Replace,
                None => OnFound::Keep,
            };
            let text_bytes = entry.text_bytes();
            let CacheEntry { key, tenant, verdict, at, .. } = entry;
            self.front.put(key, tenant, Arc::new(CachedVerdict { verdict, at }), text_bytes, on_found, epoch);
        }
    }

    async fn purge(&self, tenant: &TenantName) -> Result<u64, StoreError> {
        // First, so that it is gone from there whatever happens; and again after, since it may have been read from the file meanwhile.
        self.front.purge(Some(tenant));
        self.begin_purge()?;
        let noticing = self.noticing();
        let last = self.database.read(move |connection| rows::last(connection).map_err(noticing)).await?;
        let mut purged = 0;
        loop {
            // In batches, so that others may write in between.
            let (tenant, noticing) = (tenant.clone(), self.noticing());
            let purge = move |connection: &Connection, (): &mut ()| rows::purge(connection, &tenant, last).map_err(&noticing);
            let (count, total) = self.database.write(0, OnFull::Wait, purge).await?;
            self.holds(total);
            purged += count;
            if count == 0 {
                break;
            }
        }
        self.front.purge(Some(tenant));
        Ok(purged)
    }

    async fn purge_all(&self) -> Result<u64, StoreError> {
        self.front.purge(None);
        self.begin_purge()?;
        let noticing = self.noticing();
        let purge = move |connection: &Connection, (): &mut ()| rows::purge_all(connection).map_err(&noticing);
        let purged = self.database.write(0, OnFull::Wait, purge).await?;
        self.holds(Total::default());
        self.front.purge(None);
        Ok(purged)
    }

    fn stats(&self) -> CacheStats {
        let [entries, bytes, hits, misses, evictions, failures] =
            [&self.rows, &self.bytes, &self.hits, &self.misses, &self.evictions, &self.health.failures]
                .map(|counter| counter.load(Ordering::Relaxed));
        CacheStats { entries, bytes, hits, misses, evictions, failures }
    }

    fn trouble(&self) -> Option<String> {
        self.health.trouble.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// `None` never: a verdict of finite numbers is valid JSON.
fn encode(entry: &CacheEntry) -> Option<Row> {
    Some(Row {
        key: entry.key,
        tenant: entry.tenant.as_str().to_owned(),
        metric: entry.metric.as_str().to_owned(),
        at: entry.at,
        body: serde_json::to_vec(&entry.verdict).ok()?,
    })
}

fn decode(row: Found) -> Option<(TenantName, Arc<CachedVerdict>, usize)> {
    let Found { tenant, at, body } = row;
    let tenant = TenantName::new(&tenant).ok()?;
    let verdict = serde_json::from_slice(&body).ok()?;
    Some((tenant, Arc::new(CachedVerdict { verdict, at }), body.len()))
}

#[cfg(test)]
mod tests;
