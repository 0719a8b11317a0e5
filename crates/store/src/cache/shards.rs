//! Entries in memory: the whole of the memory backend, and what stands before the file of the other.
//!
//! Sharded by key, each shard behind a lock of its own that is held for one look-up. A shard that is full gives up entries in the
//! order in which they came, those that were used since they were last considered excepted once (CLOCK, Corbató 1968): nearly as good
//! as least recently used, and a hit writes one flag.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::mem::size_of;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use assize_core::cache::{CacheBounds, CacheKey, CachedVerdict};
use assize_core::{TenantName, Timestamp};

/// Shards at the most, and the least that each must be able to hold for there to be more than one.
const SHARDS_MAX: u64 = 16;
const SHARD_ENTRIES_MIN: u64 = 1_024;
const SHARD_BYTES_MIN: u64 = 1 << 20;

/// What an entry takes beside its text: the slot twice over since tables grow by doubling, the key in the order, the verdict, its names.
const OVERHEAD_BYTES: usize =
    2 * (size_of::<CacheKey>() + size_of::<Slot>() + 1) + size_of::<CacheKey>() + size_of::<CachedVerdict>() + 128;

/// Keys are digests, of which [`CacheKey`] hands out eight bytes: nothing is left to mix.
#[derive(Default)]
struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

struct Slot {
    cached: Arc<CachedVerdict>,
    /// That of `cached`, here so that a look-up need not read it there: memory is what a hit waits for.
    at: Timestamp,
    tenant: TenantName,
    bytes: usize,
    used: bool,
}

#[derive(Default)]
struct Shard {
    slots: HashMap<CacheKey, Slot, BuildHasherDefault<DigestHasher>>,
    /// The keys of `slots`, each once, in the order in which they are considered for eviction.
    order: VecDeque<CacheKey>,
    bytes: usize,
    evictions: u64,
}

/// What to do where a key has an entry already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OnFound {
    /// Leave it, unless it is expired.
    Keep,
    /// Put the new one in its place.
    Replace,
}

/// Counts how often something was forgotten, so that what was read before is not put back after.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch(u64);

pub(super) struct Shards {
    shards: Box<[Mutex<Shard>]>,
    bounds: CacheBounds,
    shard_entries_max: usize,
    shard_bytes_max: usize,
    epoch: AtomicU64,
}

impl Shards {
    pub fn new(bounds: CacheBounds) -> Self {
        let room = (bounds.entries_max / SHARD_ENTRIES_MIN).min(bounds.bytes_max / SHARD_BYTES_MIN);
        let count = room.clamp(1, SHARDS_MAX);
        let share = |total: u64| usize::try_from(total / count).unwrap_or(usize::MAX);
        Self {
            shards: (0..count).map(|_| Mutex::default()).collect(),
            bounds,
            shard_entries_max: share(bounds.entries_max),
            shard_bytes_max: share(bounds.bytes_max),
            epoch: AtomicU64::new(0),
        }
    }

    /// To be asked for before something is read or written elsewhere that is to be put here.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::SeqCst))
    }

    pub fn get(&self, key: &CacheKey, now: Timestamp) -> Option<Arc<CachedVerdict>> {
        let mut shard = self.shard(key);
        let slot = shard.slots.get_mut(key)?;
        if !self.bounds.is_fresh(slot.at, now) {
            return None;
        }
        slot.used = true;
        Some(slot.cached.clone())
    }

    /// Keeps `cached` unless something was forgotten since `epoch`.
    pub fn put(
        &self,
        key: CacheKey,
        tenant: TenantName,
        cached: Arc<CachedVerdict>,
        text_bytes: usize,
        on_found: OnFound,
        epoch: Epoch,
    ) {
        let slot = Slot { at: cached.at, cached, tenant, bytes: text_bytes + OVERHEAD_BYTES, used: false };
        let shard = &mut *self.shard(&key);
        // Under the lock: forgetting counts the epoch up first and takes every lock after.
        if self.epoch() != epoch || slot.bytes > self.shard_bytes_max || self.shard_entries_max == 0 {
            return;
        }
        let now = slot.at;
        match shard.slots.get(&key) {
            Some(found) if on_found == OnFound::Keep && self.bounds.is_fresh(found.at, now) => return,
            Some(_) => {}
            None => shard.make_room(self.shard_entries_max - 1, self.shard_bytes_max - slot.bytes, &self.bounds, now),
        }
        shard.bytes += slot.bytes;
        match shard.slots.insert(key, slot) {
            // It keeps its place in the order.
            Some(replaced) => shard.bytes -= replaced.bytes,
            None => shard.order.push_back(key),
        }
        shard.make_room(self.shard_entries_max, self.shard_bytes_max, &self.bounds, now);
    }

    /// Forgets the entries of `tenant`, or all. Returns how many.
    pub fn purge(&self, tenant: Option<&TenantName>) -> u64 {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        let mut purged = 0;
        for shard in &self.shards {
            let shard = &mut *lock(shard);
            let before = shard.slots.len();
            match tenant {
                Some(tenant) => shard.slots.retain(|_, slot| slot.tenant != *tenant),
                None => shard.slots.clear(),
            }
            let slots = &shard.slots;
            shard.order.retain(|key| slots.contains_key(key));
            shard.bytes = slots.values().map(|slot| slot.bytes).sum();
            purged += (before - slots.len()) as u64;
        }
        purged
    }

    /// Entries, their bytes, and how many were evicted so far.
    pub fn size(&self) -> (u64, u64, u64) {
        self.shards.iter().fold((0, 0, 0), |(entries, bytes, evictions), shard| {
            let shard = lock(shard);
            (entries + shard.slots.len() as u64, bytes + shard.bytes as u64, evictions + shard.evictions)
        })
    }

    fn shard(&self, key: &CacheKey) -> MutexGuard<'_, Shard> {
        // Another byte than those that the tables look at.
        let at = usize::from(key.0[16]) % self.shards.len();
        lock(&self.shards[at])
    }
}

impl Shard {
    /// Removes entries until at most so many with so many bytes are left. Ends within two rounds, as being considered takes away what
    /// spared an entry.
    fn make_room(&mut self, entries: usize, bytes: usize, bounds: &CacheBounds, now: Timestamp) {
        while self.slots.len() > entries || self.bytes > bytes {
            let Some(key) = self.order.pop_front() else { return };
            let Some(slot) = self.slots.get_mut(&key) else { continue };
            if slot.used && bounds.is_fresh(slot.at, now) {
                slot.used = false;
                self.order.push_back(key);
                continue;
            }
            self.bytes -= slot.bytes;
            self.evictions += u64::from(bounds.is_fresh(slot.at, now));
            self.slots.remove(&key);
        }
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // Nothing panics while the lock is held; what a poisoned lock guards is as good as before.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use assize_testkit::samples;

    use super::*;

    fn shards(entries_max: u64) -> Shards {
        Shards::new(CacheBounds { entries_max, bytes_max: 1 << 20, ttl: Duration::from_secs(1) })
    }

    fn put(shards: &Shards, key: u8, epoch: Epoch) {
        let cached = Arc::new(CachedVerdict { verdict: samples::verdict("j", 0.0), at: Timestamp(0) });
        shards.put(CacheKey([key; 32]), TenantName::new("t").unwrap(), cached, 10, OnFound::Keep, epoch);
    }

    fn has(shards: &Shards, key: u8) -> bool {
        shards.get(&CacheKey([key; 32]), Timestamp(0)).is_some()
    }

    #[test]
    fn what_was_used_is_spared_once() {
        let shards = shards(3);
        (1..=3).for_each(|key| put(&shards, key, shards.epoch()));
        assert!(has(&shards, 1));
        put(&shards, 4, shards.epoch());
        // `has` counts as a use, so what is gone is looked at without it.
        let held = |shards: &Shards| {
            let mut keys: Vec<u8> = lock(&shards.shards[0]).slots.keys().map(|key| key.0[0]).collect();
            keys.sort_unstable();
            keys
        };
        assert_eq!(held(&shards), [1, 3, 4], "the first unused one went");
        put(&shards, 5, shards.epoch());
        assert_eq!(held(&shards), [1, 4, 5], "then the oldest unused one");
        put(&shards, 6, shards.epoch());
        assert_eq!(held(&shards), [4, 5, 6], "spared once and not for ever");
        assert_eq!(shards.size().2, 3);
    }

    #[test]
    fn what_was_read_before_something_was_forgotten_is_not_put_back() {
        let shards = shards(10);
        let before = shards.epoch();
        shards.purge(None);
        put(&shards, 1, before);
        assert!(!has(&shards, 1));
        put(&shards, 1, shards.epoch());
        assert!(has(&shards, 1));
    }

    #[test]
    fn one_key_that_expires_again_and_again_takes_one_place() {
        let shards = shards(10);
        for second in 0..1_000 {
            let cached = Arc::new(CachedVerdict { verdict: samples::verdict("j", 0.0), at: Timestamp(second * 1_000) });
            shards.put(CacheKey([1; 32]), TenantName::new("t").unwrap(), cached, 10, OnFound::Keep, shards.epoch());
            assert!(shards.get(&CacheKey([1; 32]), Timestamp(second * 1_000)).is_some());
        }
        let shard = lock(&shards.shards[0]);
        assert_eq!((shard.order.len(), shard.slots.len(), shard.bytes), (1, 1, 10 + OVERHEAD_BYTES));
    }
}
