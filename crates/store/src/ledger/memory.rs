//! The ledger in memory: for `eval` and for tests. Nothing outlives the process.
//!
//! The journal holds the last [`POSTED_MAX`] events; balances and totals are kept for as long as the process lives, which is one entry
//! for each day, tenant and purpose, and calls whose cost nobody told for eight days.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use assize_core::ledger::{
    Adjustment, Balance, BalanceOf, CallCost, Cap, Grant, Ledger, Posting, Reservation, Settled, Total, TotalsQuery,
};
use assize_core::{Day, MetricName, StoreError, StoreErrorKind, Timestamp};
use async_trait::async_trait;

use super::machine::{
    Amounts, BalanceKey, Disk, Event, Fold, Held, KEPT_MS, Limits, Machine, Parts, Purpose, PurposeId, Standing, Totals, step,
};

/// How many events the journal holds.
const POSTED_MAX: usize = 100_000;

/// A ledger in memory.
pub struct MemoryLedger {
    inner: Mutex<(Machine, MemoryDisk)>,
}

impl Default for MemoryLedger {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryLedger {
    /// A ledger on which nothing is posted.
    pub fn new() -> Self {
        Self { inner: Mutex::new((Machine::new(Limits::default()), MemoryDisk::default())) }
    }

    fn transact<T>(
        &self,
        operation: impl FnOnce(&mut Machine, &mut MemoryDisk) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (machine, disk) = &mut *self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = operation(machine, disk)?;
        machine.finish(disk)?;
        Ok(answer)
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn reserve(&self, reservation: Reservation, caps: &[Cap]) -> Result<Grant, StoreError> {
        super::checked(reservation.metrics.len(), &reservation.call.0)?;
        self.transact(|machine, disk| machine.reserve(disk, reservation, caps))
    }

    async fn settle(&self, costs: Vec<CallCost>) -> Result<Vec<Settled>, StoreError> {
        self.transact(|machine, disk| costs.into_iter().map(|cost| machine.settle(disk, cost)).collect())
    }

    async fn expire(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut expired = 0;
        loop {
            let (count, may_be_more) = self.transact(|machine, disk| machine.expire(disk, now))?;
            expired += count;
            if !may_be_more {
                return Ok(expired);
            }
        }
    }

    async fn adjust(&self, adjustment: Adjustment) -> Result<bool, StoreError> {
        super::checked(1, &adjustment.id.0)?;
        self.transact(|machine, disk| machine.adjust(disk, adjustment))
    }

    async fn balances(&self, of: &[BalanceOf]) -> Result<Vec<Balance>, StoreError> {
        self.transact(|machine, disk| machine.balances(disk, of))
    }

    async fn totals(&self, query: &TotalsQuery) -> Result<Vec<Total>, StoreError> {
        self.transact(|machine, disk| {
            machine.fold(disk)?;
            disk.totals(query)
        })
    }

    async fn postings(&self, number: u64, limit: usize) -> Result<Vec<Posting>, StoreError> {
        self.transact(|_, disk| {
            let from = disk.events.partition_point(|(last, _)| *last <= number);
            let mut postings = Vec::new();
            for (last, event) in disk.events.range(from..) {
                if postings.len() >= limit {
                    break;
                }
                let first = last + 1 - event.what.postings();
                let tenant = &disk.purpose_of(event.purpose)?.tenant;
                postings.extend(event.postings(first, tenant).filter(|posting| posting.number > number));
            }
            postings.truncate(limit);
            Ok(postings)
        })
    }
}

/// Journal and tables in memory.
#[derive(Default, Clone)]
pub(super) struct MemoryDisk {
    /// Each with the number of its last posting.
    events: VecDeque<(u64, Event)>,
    last: u64,
    folded: u64,
    purposes: Vec<Purpose>,
    purpose_ids: HashMap<Purpose, PurposeId>,
    balances: HashMap<BalanceKey, Amounts>,
    totals: BTreeMap<(Day, PurposeId), Parts>,
    calls: HashMap<Box<str>, Held>,
}

impl MemoryDisk {
    #[cfg(test)]
    pub fn journal(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().map(|(_, event)| event)
    }

    /// Totals as of the last fold.
    pub fn totals(&self, query: &TotalsQuery) -> Result<Vec<Total>, StoreError> {
        let mut totals = Totals::default();
        for ((day, purpose), parts) in self.totals.range((query.from, 0)..) {
            if *day > query.to {
                break;
            }
            let purpose = self.purpose_of(*purpose)?;
            if query.tenant.as_ref().is_none_or(|tenant| *tenant == purpose.tenant) {
                totals.add(purpose, *day, parts);
            }
        }
        Ok(totals.into_list())
    }

    fn purpose_of(&self, id: PurposeId) -> Result<&Purpose, StoreError> {
        let unknown = || StoreError::new(StoreErrorKind::Failed, format!("ledger: there is no purpose {id}"));
        self.purposes.get(id as usize).ok_or_else(unknown)
    }
}

impl Disk for MemoryDisk {
    fn standing(&mut self) -> Result<Standing, StoreError> {
        Ok(Standing { last: self.last, folded: self.folded })
    }

    fn events_after(
        &mut self,
        position: u64,
        each: &mut dyn FnMut(&mut Self, u64, Event) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let from = self.events.partition_point(|(last, _)| *last <= position);
        let events: Vec<(u64, Event)> = self.events.range(from..).cloned().collect();
        events.into_iter().try_for_each(|(last, event)| each(self, last, event))
    }

    fn an_hour_back(&mut self) -> Result<u64, StoreError> {
        let (mut age, mut later) = (0, None);
        for (last, event) in self.events.iter().rev() {
            age += step(event.at, later.unwrap_or(event.at));
            if age >= KEPT_MS {
                return Ok(*last);
            }
            later = Some(event.at);
        }
        Ok(0)
    }

    fn append(&mut self, first: u64, last: u64, events: Vec<Event>) -> Result<(), StoreError> {
        let mut number = first - 1;
        for event in events {
            number += event.what.postings();
            self.events.push_back((number, event));
        }
        self.last = last;
        // What the tables do not have yet stays.
        while self.events.len() > POSTED_MAX && self.events.front().is_some_and(|(last, _)| *last <= self.folded) {
            self.events.pop_front();
        }
        Ok(())
    }

    fn purpose_id(&mut self, purpose: &Purpose) -> Result<PurposeId, StoreError> {
        if let Some(id) = self.purpose_ids.get(purpose) {
            return Ok(*id);
        }
        let full = |_| StoreError::new(StoreErrorKind::Failed, "ledger: too many purposes");
        let id = PurposeId::try_from(self.purposes.len()).map_err(full)?;
        self.purposes.push(purpose.clone());
        self.purpose_ids.insert(purpose.clone(), id);
        Ok(id)
    }

    fn purpose(&mut self, id: PurposeId) -> Result<Purpose, StoreError> {
        self.purpose_of(id).cloned()
    }

    fn purposes_about(&mut self, purpose: &Purpose, metric: &MetricName) -> Result<Vec<(PurposeId, usize)>, StoreError> {
        let about = |(id, other): (PurposeId, &Purpose)| {
            let alike = other.tenant == purpose.tenant && other.project == purpose.project && other.judge == purpose.judge;
            other.metrics.iter().position(|other| other == metric).filter(|_| alike).map(|at| (id, at))
        };
        Ok((0..).zip(&self.purposes).filter_map(about).collect())
    }

    fn balance(&mut self, key: &BalanceKey) -> Result<Amounts, StoreError> {
        Ok(self.balances.get(key).copied().unwrap_or_default())
    }

    fn parts(&mut self, purpose: PurposeId, day: Day) -> Result<Parts, StoreError> {
        Ok(self.totals.get(&(day, purpose)).cloned().unwrap_or_default())
    }

    fn call(&mut self, id: &str) -> Result<Option<Held>, StoreError> {
        Ok(self.calls.get(id).copied())
    }

    fn call_ids(&mut self, each: &mut dyn FnMut(&str)) -> Result<(), StoreError> {
        self.calls.keys().for_each(|id| each(id));
        Ok(())
    }

    fn due(&mut self, now: Timestamp, limit: usize) -> Result<Vec<(Box<str>, Held)>, StoreError> {
        let due = self.calls.iter().filter(|(_, held)| held.due <= now);
        Ok(due.take(limit).map(|(id, held)| (id.clone(), *held)).collect())
    }

    fn due_after(&mut self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.calls.values().map(|held| held.due).filter(|due| *due > after).min())
    }

    fn fold(&mut self, fold: Fold<'_>) -> Result<(), StoreError> {
        self.folded = fold.position;
        self.balances.extend(fold.balances.into_iter().map(|(key, amounts)| (key.clone(), amounts)));
        self.totals.extend(fold.totals.into_iter().map(|(purpose, day, parts)| ((day, purpose), parts.clone())));
        fold.closed.iter().for_each(|id| {
            self.calls.remove(id);
        });
        self.calls.extend(fold.open.into_iter().map(|(id, held)| (id.into(), held)));
        Ok(())
    }
}
