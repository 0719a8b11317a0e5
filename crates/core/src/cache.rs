//! The port of the verdict cache: what a judge said is used again where the same question would be asked again.
//!
//! A cache saves money and holds nothing that cannot be bought again. So looking up and storing never fail: what goes wrong is a miss,
//! is counted, and can be asked for with [`VerdictCache::trouble`]. Only forgetting can fail, because whoever asks for it must know.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{MetricName, StoreError, TenantName, Timestamp, Verdict};

/// What a verdict is found by: a BLAKE3 digest of the tenant, the metric, the judge's version and everything that was judged. Two
/// tenants never have a key in common.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CacheKey(pub [u8; 32]);

impl Hash for CacheKey {
    /// A digest is uniform: eight of its bytes are as good a hash as all of them.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A verdict that was given before.
#[derive(Debug, Clone, PartialEq)]
pub struct CachedVerdict {
    /// The verdict as it was recorded then, with what it cost then: the amount that using it again saves.
    pub verdict: Verdict,
    /// When it was given.
    pub at: Timestamp,
}

/// A verdict to keep.
#[derive(Debug, Clone, PartialEq)]
pub struct CacheEntry {
    /// What it is found by.
    pub key: CacheKey,
    /// Who paid for it, and may have it forgotten.
    pub tenant: TenantName,
    /// The metric that it answers.
    pub metric: MetricName,
    /// The verdict.
    pub verdict: Verdict,
    /// When it was given.
    pub at: Timestamp,
}

impl CacheEntry {
    /// The most text that an entry may hold, in bytes. Judges are asked for one sentence; more than this is not worth its room.
    pub const TEXT_BYTES_MAX: usize = 64 << 10;

    /// Whether a cache takes it: a judge gave it, and not a cache, which would prolong it; its numbers are finite, so that every
    /// backend gives it back as it was; and its text is within [`Self::TEXT_BYTES_MAX`]. Other entries are passed over.
    pub fn is_cacheable(&self) -> bool {
        self.verdict.reused.is_none()
            && self.verdict.score.is_finite()
            && self.verdict.confidence.is_none_or(f64::is_finite)
            && self.text_bytes() <= Self::TEXT_BYTES_MAX
    }

    /// Bytes of text in the verdict.
    pub fn text_bytes(&self) -> usize {
        let Verdict { reason, label, model, .. } = &self.verdict;
        reason.len() + label.as_ref().map_or(0, String::len) + model.as_ref().map_or(0, String::len)
    }
}

/// How much a cache keeps, and for how long. Given when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheBounds {
    /// Entries, at the most.
    pub entries_max: u64,
    /// Bytes that the entries take where they are kept, at the most, as the backend reckons them.
    pub bytes_max: u64,
    /// How long after it was given a verdict is used. Using it again does not prolong this.
    pub ttl: Duration,
}

impl Default for CacheBounds {
    /// A million entries, 1 GiB, 30 days.
    fn default() -> Self {
        Self { entries_max: 1_000_000, bytes_max: 1 << 30, ttl: Duration::from_secs(30 * 86_400) }
    }
}

impl CacheBounds {
    /// Whether a verdict that was given at `at` is still used at `now`. One from the future, by a clock that was set back, is.
    pub fn is_fresh(&self, at: Timestamp, now: Timestamp) -> bool {
        now < at.plus(self.ttl)
    }
}

/// What a cache holds now, and what it did since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Entries held, expired ones included until they are removed.
    pub entries: u64,
    /// The bytes that they take.
    pub bytes: u64,
    /// Keys that were found.
    pub hits: u64,
    /// Keys that were not found, or were found expired, or could not be looked up.
    pub misses: u64,
    /// Entries that were removed for want of room. Neither expired nor purged ones.
    pub evictions: u64,
    /// Look-ups and puts that failed.
    pub failures: u64,
}

/// A cache of verdicts.
#[async_trait]
pub trait VerdictCache: Send + Sync {
    /// The verdicts of `keys`, in their order. `None` where there is none that is still used at `now`.
    async fn get(&self, keys: &[CacheKey], now: Timestamp) -> Vec<Option<Arc<CachedVerdict>>>;

    /// Keeps verdicts; they are found when this returns, unless something went wrong or there is no room. Of a key that exists the
    /// first verdict stays, so that a question has one answer however many ask at once, unless at the new one's time it is expired:
    /// then it is replaced. Entries that are not [cacheable](CacheEntry::is_cacheable) are passed over. Within [`CacheBounds`] when it
    /// returns: what was put first goes first.
    async fn put(&self, entries: Vec<CacheEntry>);

    /// Forgets everything of `tenant` that was put before, and nothing of anyone else. Returns how many entries that were.
    ///
    /// # Errors
    /// Where something of it may still be there; the message says where.
    async fn purge(&self, tenant: &TenantName) -> Result<u64, StoreError>;

    /// Forgets everything that was put before. Returns how many entries that were.
    ///
    /// # Errors
    /// As [`Self::purge`].
    async fn purge_all(&self) -> Result<u64, StoreError>;

    /// What it holds and did.
    fn stats(&self) -> CacheStats;

    /// What went wrong last, for the log; told once. Holds no judged text.
    fn trouble(&self) -> Option<String>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_used_until_its_time_is_over() {
        let bounds = CacheBounds { ttl: Duration::from_millis(10), ..CacheBounds::default() };
        let fresh = |at, now| bounds.is_fresh(Timestamp(at), Timestamp(now));
        assert!(fresh(5, 5) && fresh(5, 14) && !fresh(5, 15) && !fresh(5, i64::MAX));
        assert!(fresh(5, 0), "the clock was set back");
        let forever = CacheBounds { ttl: Duration::MAX, ..bounds };
        assert!(forever.is_fresh(Timestamp(5), Timestamp(i64::MAX - 1)));
        assert!(!CacheBounds { ttl: Duration::ZERO, ..bounds }.is_fresh(Timestamp(5), Timestamp(5)));
    }
}
