//! The port of the queue: where an acknowledgement becomes durable.

use std::time::Duration;

use async_trait::async_trait;

use crate::{Accepted, Reason, StoreError, Timestamp};

/// A position in the order of acceptance. Offsets only grow; the first is 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Offset(pub u64);

/// An accepted interaction on its way: the small row, and the text where it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The small row.
    pub row: Accepted,
    /// The interaction as JSON: for drawn rows and for the reserve.
    pub payload: Option<Vec<u8>>,
}

/// What became of one entry of an `enqueue`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// Stored.
    Accepted,
    /// A row of the same key was accepted before, within the duplicate horizon or earlier in the same batch. Nothing changed.
    Duplicate,
}

/// Names one lease of one item. A receipt of a lease that has expired and been given to another is void.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Receipt {
    /// The item.
    pub offset: Offset,
    /// Which lease of it.
    pub delivery: u32,
}

/// An item handed to a worker.
#[derive(Debug, Clone)]
pub struct Leased {
    /// To settle it with.
    pub receipt: Receipt,
    /// The item; its payload is there.
    pub entry: Entry,
    /// How many retries after a try were asked for so far.
    pub retries: u32,
}

/// How a lease ends.
#[derive(Debug, Clone, PartialEq)]
pub enum Settlement {
    /// Everything about the item is on record; forget it.
    Done(Receipt),
    /// Offer it again, not before this time.
    Retry {
        /// The lease.
        receipt: Receipt,
        /// When it may be offered again.
        not_before: Timestamp,
        /// Why.
        reason: Reason,
        /// Whether it was tried: counts towards [`Leased::retries`]. Waiting for a pause or a slot does not.
        tried: bool,
    },
    /// Give up on it; keep it, with the reason, for an operator to see.
    Dead {
        /// The lease.
        receipt: Receipt,
        /// Why.
        reason: Reason,
    },
}

/// How much is waiting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Drawn items that could be leased now.
    pub ready: u64,
    /// Drawn items that wait for their time.
    pub delayed: u64,
    /// Drawn items in the hands of workers.
    pub leased: u64,
    /// Items given up on.
    pub dead: u64,
    /// When the oldest drawn item that is not done was accepted.
    pub oldest: Option<Timestamp>,
}

/// The queue of interactions. Everything that returns `Ok` is on disk.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Stores the entries in one durable commit and answers for each, in order. All or nothing on error: `Overloaded` when too much
    /// is waiting to be written.
    async fn enqueue(&self, entries: Vec<Entry>) -> Result<Vec<Enqueued>, StoreError>;

    /// Accepted entries after `offset` in order of acceptance, at most `max`: what the results store has yet to fold in.
    async fn accepted_after(&self, offset: Offset, max: usize) -> Result<Vec<(Offset, Entry)>, StoreError>;

    /// Says that entries up to `offset` are in the results store, so that only what is drawn and not done need be kept.
    async fn folded(&self, offset: Offset) -> Result<(), StoreError>;

    /// Leases up to `max` drawn items at or before `up_to` whose time has come, oldest first. A lease that is not settled within
    /// `lease_for` returns by itself, with another delivery number; so do the leases of a process that ended, as soon as the queue is
    /// opened again.
    async fn lease(&self, max: usize, up_to: Offset, now: Timestamp, lease_for: Duration) -> Result<Vec<Leased>, StoreError>;

    /// Ends leases, in one durable commit. Void receipts are passed over.
    async fn settle(&self, settlements: Vec<Settlement>) -> Result<(), StoreError>;

    /// How much is waiting at `now`.
    async fn depth(&self, now: Timestamp) -> Result<Depth, StoreError>;

    /// Forgets keys that were accepted before `horizon`, so that duplicates of them are taken for new. Returns how many.
    async fn forget_before(&self, horizon: Timestamp) -> Result<u64, StoreError>;
}
