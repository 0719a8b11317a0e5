//! Ids of calls that ended, so that what is told again changes nothing.
//!
//! They are kept for at least an hour and at most [`IDS_MAX`] in each of two generations, as 64 bits of a keyed hash: 8 bytes of
//! memory for each, and one chance in 4,000,000,000,000 at the fullest that a new id is taken for one that ended. What is forgotten
//! fails to the safe side: a settlement then says that the call is unknown, and a reservation is charged like a new one.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};

use assize_core::Timestamp;

/// How many ids one generation holds: more calls an hour than that shorten the time.
const IDS_MAX: usize = 2_000_000;
/// How long a generation is at least: every id then outlives at least as much.
pub(crate) const KEPT_MS: i64 = 3_600_000;
/// The longest time between two events that counts, so that a clock that jumps ahead makes nothing be forgotten.
const STEP_MS_MAX: i64 = 60_000;

/// What a set of fingerprints is hashed with: they are hashes already.
#[derive(Default, Clone, Copy)]
pub(crate) struct AsIs(u64);

impl Hasher for AsIs {
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

/// A set of fingerprints of ids.
type Fingerprints = HashSet<u64, BuildHasherDefault<AsIs>>;

/// The fingerprint of an id.
pub(crate) fn fingerprint(key: &impl BuildHasher, id: &str) -> u64 {
    key.hash_one(id)
}

/// Ids that only the tables know, as far as they can be told apart in bounded memory: beyond [`STORED_MAX`] it may be any.
#[derive(Clone)]
pub(crate) enum Stored {
    These(Fingerprints),
    Any,
}

/// About 60 MB of memory.
const STORED_MAX: usize = 4_000_000;

impl Default for Stored {
    fn default() -> Self {
        Self::These(Fingerprints::default())
    }
}

impl Stored {
    /// Whether the id may be one of them.
    pub fn contains(&self, fingerprint: u64) -> bool {
        match self {
            Self::These(these) => these.contains(&fingerprint),
            Self::Any => true,
        }
    }

    pub fn insert(&mut self, fingerprint: u64) {
        if let Self::These(these) = self {
            these.insert(fingerprint);
            if these.len() > STORED_MAX {
                *self = Self::Any;
            }
        }
    }

    /// Whether it may have been one of them.
    pub fn remove(&mut self, fingerprint: u64) -> bool {
        match self {
            Self::These(these) => these.remove(&fingerprint),
            Self::Any => true,
        }
    }
}

/// The time that went by between two events, as far as it counts.
pub(crate) fn step(from: Timestamp, to: Timestamp) -> i64 {
    to.0.saturating_sub(from.0).clamp(0, STEP_MS_MAX)
}

/// The ids that ended of late.
#[derive(Default, Clone)]
pub(crate) struct Ended {
    current: Fingerprints,
    previous: Fingerprints,
    age_ms: i64,
    last: Option<Timestamp>,
}

impl Ended {
    pub fn contains(&self, fingerprint: u64) -> bool {
        self.current.contains(&fingerprint) || self.previous.contains(&fingerprint)
    }

    pub fn insert(&mut self, fingerprint: u64) {
        if self.current.len() >= IDS_MAX {
            self.turn();
        }
        self.current.insert(fingerprint);
    }

    /// Time goes on to `at`.
    pub fn advance(&mut self, at: Timestamp) {
        self.age_ms += step(self.last.unwrap_or(at), at);
        self.last = Some(at);
        if self.age_ms >= KEPT_MS {
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.previous = std::mem::take(&mut self.current);
        self.age_ms = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_kept_for_an_hour_whatever_the_clock_does() {
        let mut ended = Ended::default();
        let day = 86_400_000;
        ended.advance(Timestamp(0));
        ended.insert(1);
        for at in [day, 0, -day, 365 * day, 0] {
            ended.advance(Timestamp(at));
        }
        assert!(ended.contains(1), "jumps of the clock are no time");
        for minute in 1..=54 {
            ended.advance(Timestamp(minute * 60_000));
        }
        ended.insert(2);
        for minute in 55..115 {
            ended.advance(Timestamp(minute * 60_000));
            assert!(ended.contains(2), "{minute}");
        }
        for minute in 115..240 {
            ended.advance(Timestamp(minute * 60_000));
        }
        assert!(!ended.contains(1) && !ended.contains(2), "and not for ever");
    }

    #[test]
    fn memory_is_bounded() {
        let mut ended = Ended::default();
        let count = 2 * IDS_MAX as u64 + 10;
        (0..count).for_each(|id| ended.insert(id));
        assert!(ended.current.len() + ended.previous.len() <= 2 * IDS_MAX);
        assert!(ended.contains(count - 1) && !ended.contains(0));
    }
}
