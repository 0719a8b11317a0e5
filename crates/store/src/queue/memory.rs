//! The queue in memory: for `eval` and for tests. Bounded; nothing outlives the process.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use assize_core::queue::{Depth, Enqueued, Entry, Leased, Offset, Queue, Receipt, Settlement};
use assize_core::{Reason, RowKey, StoreError, StoreErrorKind, Timestamp};
use async_trait::async_trait;

/// A queue in memory.
pub struct MemoryQueue {
    entries_max: usize,
    keys_max: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    last: u64,
    folded: u64,
    log: BTreeMap<u64, Entry>,
    pending: BTreeMap<u64, Pending>,
    dead: BTreeMap<u64, Reason>,
    seen: HashMap<RowKey, Timestamp>,
    seen_order: VecDeque<(RowKey, Timestamp)>,
}

#[derive(Default)]
struct Pending {
    state: State,
    delivery: u32,
    retries: u32,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum State {
    #[default]
    Fresh,
    Delayed(Timestamp),
    Leased(Timestamp),
}

impl State {
    fn can_be_leased(self, now: Timestamp) -> bool {
        match self {
            Self::Fresh => true,
            Self::Delayed(until) | Self::Leased(until) => until <= now,
        }
    }
}

impl MemoryQueue {
    /// A queue that holds up to `entries_max` entries that are not folded or not done; `enqueue` answers `Overloaded` beyond that.
    /// `keys_max` keys are remembered for finding duplicates; of more, those accepted first are forgotten, so that memory does not grow
    /// with what has passed through. Offsets begin after `after`.
    pub fn new(entries_max: usize, keys_max: usize, after: Offset) -> Self {
        let inner = Inner { last: after.0, folded: after.0, ..Inner::default() };
        Self { entries_max, keys_max, inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while the lock is held; what a poisoned lock guards is as good as before.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn enqueue(&mut self, entry: Entry, keys_max: usize) -> Enqueued {
        let (key, accepted_at) = (entry.row.key, entry.row.accepted_at);
        if self.seen.contains_key(&key) {
            return Enqueued::Duplicate;
        }
        if self.seen_order.len() >= keys_max.max(1)
            && let Some((oldest, at)) = self.seen_order.pop_front()
            && self.seen.get(&oldest) == Some(&at)
        {
            self.seen.remove(&oldest);
        }
        self.seen.insert(key, accepted_at);
        self.seen_order.push_back((key, accepted_at));
        self.last += 1;
        if entry.row.is_drawn() {
            self.pending.insert(self.last, Pending::default());
        }
        self.log.insert(self.last, entry);
        Enqueued::Accepted
    }

    /// The item of a receipt that is in force.
    fn held(&mut self, receipt: Receipt) -> Option<&mut Pending> {
        let pending = self.pending.get_mut(&receipt.offset.0)?;
        (pending.delivery == receipt.delivery && matches!(pending.state, State::Leased(_))).then_some(pending)
    }

    fn settle(&mut self, settlement: Settlement) {
        match settlement {
            Settlement::Done(receipt) => {
                if self.held(receipt).is_some() {
                    self.pending.remove(&receipt.offset.0);
                    if receipt.offset.0 <= self.folded {
                        self.log.remove(&receipt.offset.0);
                    }
                }
            }
            Settlement::Retry { receipt, not_before, tried, .. } => {
                if let Some(pending) = self.held(receipt) {
                    pending.state = State::Delayed(not_before);
                    pending.retries = pending.retries.saturating_add(u32::from(tried));
                }
            }
            Settlement::Dead { receipt, reason } => {
                if self.held(receipt).is_some() {
                    self.pending.remove(&receipt.offset.0);
                    self.dead.insert(receipt.offset.0, reason);
                }
            }
        }
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn enqueue(&self, entries: Vec<Entry>) -> Result<Vec<Enqueued>, StoreError> {
        let mut inner = self.inner();
        // A call that is larger than the whole queue still passes when it is alone.
        if !inner.log.is_empty() && inner.log.len().saturating_add(entries.len()) > self.entries_max {
            let message = format!("the queue in memory holds {} entries: try again later", inner.log.len());
            return Err(StoreError::new(StoreErrorKind::Overloaded, message));
        }
        Ok(entries.into_iter().map(|entry| inner.enqueue(entry, self.keys_max)).collect())
    }

    async fn accepted_after(&self, offset: Offset, max: usize) -> Result<Vec<(Offset, Entry)>, StoreError> {
        let inner = self.inner();
        let after = inner.log.range(offset.0.saturating_add(1)..);
        Ok(after.take(max).map(|(&offset, entry)| (Offset(offset), entry.clone())).collect())
    }

    async fn folded(&self, offset: Offset) -> Result<(), StoreError> {
        let inner = &mut *self.inner();
        let first = inner.folded.saturating_add(1);
        if offset.0 >= first {
            let done: Vec<u64> = inner.log.range(first..=offset.0).map(|(&at, _)| at).collect();
            for at in done {
                if !inner.pending.contains_key(&at) && !inner.dead.contains_key(&at) {
                    inner.log.remove(&at);
                }
            }
            inner.folded = offset.0;
        }
        Ok(())
    }

    async fn lease(&self, max: usize, up_to: Offset, now: Timestamp, lease_for: Duration) -> Result<Vec<Leased>, StoreError> {
        let Inner { pending, log, .. } = &mut *self.inner();
        let free = pending.range_mut(..=up_to.0).filter(|(_, pending)| pending.state.can_be_leased(now)).take(max);
        let leased = free.filter_map(|(&offset, pending)| {
            let entry = log.get(&offset)?.clone();
            pending.state = State::Leased(now.plus(lease_for));
            pending.delivery = pending.delivery.saturating_add(1);
            let receipt = Receipt { offset: Offset(offset), delivery: pending.delivery };
            Some(Leased { receipt, entry, retries: pending.retries })
        });
        Ok(leased.collect())
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<(), StoreError> {
        let mut inner = self.inner();
        settlements.into_iter().for_each(|settlement| inner.settle(settlement));
        Ok(())
    }

    async fn depth(&self, now: Timestamp) -> Result<Depth, StoreError> {
        let inner = self.inner();
        let mut depth = Depth { dead: inner.dead.len() as u64, ..Depth::default() };
        for pending in inner.pending.values() {
            match pending.state {
                state if state.can_be_leased(now) => depth.ready += 1,
                State::Leased(_) => depth.leased += 1,
                State::Delayed(_) | State::Fresh => depth.delayed += 1,
            }
        }
        let oldest = inner.pending.first_key_value().and_then(|(offset, _)| inner.log.get(offset));
        depth.oldest = oldest.map(|entry| entry.row.accepted_at);
        Ok(depth)
    }

    async fn forget_before(&self, horizon: Timestamp) -> Result<u64, StoreError> {
        let Inner { seen, seen_order, .. } = &mut *self.inner();
        let before = seen.len();
        seen.retain(|_, accepted_at| *accepted_at >= horizon);
        seen_order.retain(|(_, accepted_at)| *accepted_at >= horizon);
        Ok((before - seen.len()) as u64)
    }
}
