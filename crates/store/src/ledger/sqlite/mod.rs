//! The ledger in one SQLite file that processes may share.
//!
//! One thread a process gathers what callers want into durable transactions. Each begins by reading what other processes have
//! journalled since the last one, decides in memory, and appends one block to the journal: so all processes decide against the same
//! truth, and what was granted is on disk before anybody knows.

mod block;
mod tables;
mod writer;

use std::path::Path;

use assize_core::ledger::{
    Adjustment, Balance, BalanceOf, CallCost, Cap, Grant, Ledger, Posting, Reservation, Settled, Total, TotalsQuery,
};
use assize_core::{Day, StoreError, Timestamp};
use async_trait::async_trait;

use super::machine::{Disk as _, Limits, Parts, Totals};
use crate::sqlite::{Durability, Migration, Opened, Readers, Shape, damaged, failure, open};
use tables::SqliteDisk;
use writer::{Operation, Writer};

const SHAPE: Shape = Shape {
    file: "ledger.db",
    exclusive: false,
    migrations: &[Migration { name: "0001_ledger", sql: include_str!("../schema/0001_ledger.sql") }],
    cache_kib: 8 * 1024,
};

/// How many postings one call tells at the most.
const POSTINGS_MAX: usize = 100_000;

/// A ledger in `ledger.db` of a directory.
pub struct SqliteLedger {
    writer: Writer,
    readers: Readers,
    path: std::path::PathBuf,
}

impl SqliteLedger {
    /// Opens or creates the ledger in `directory`; see [`open`](super::open).
    pub async fn open(directory: &Path) -> Result<Self, StoreError> {
        let Opened { path, connection, claim: _ } = open(directory, &SHAPE, Durability::Full)?;
        let writer = Writer::start(connection, path.clone(), Limits::default())?;
        let ledger = Self { writer, readers: Readers::new(path.clone()), path };
        // A file that cannot be read is to be known of now.
        ledger.balances(&[]).await?;
        Ok(ledger)
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn reserve(&self, reservation: Reservation, caps: &[Cap]) -> Result<Grant, StoreError> {
        super::checked(reservation.metrics.len(), &reservation.call.0)?;
        let caps = caps.to_vec();
        self.writer.ask(|reply| Operation::Reserve(reservation, caps, reply)).await
    }

    async fn settle(&self, costs: Vec<CallCost>) -> Result<Vec<Settled>, StoreError> {
        self.writer.ask(|reply| Operation::Settle(costs, reply)).await
    }

    async fn expire(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut expired = 0;
        loop {
            let (count, may_be_more) = self.writer.ask(|reply| Operation::Expire(now, reply)).await?;
            expired += count;
            if !may_be_more {
                return Ok(expired);
            }
        }
    }

    async fn adjust(&self, adjustment: Adjustment) -> Result<bool, StoreError> {
        super::checked(1, &adjustment.id.0)?;
        self.writer.ask(|reply| Operation::Adjust(Box::new(adjustment), reply)).await
    }

    async fn balances(&self, of: &[BalanceOf]) -> Result<Vec<Balance>, StoreError> {
        let of = of.to_vec();
        self.writer.ask(|reply| Operation::Balances(of, reply)).await
    }

    async fn totals(&self, query: &TotalsQuery) -> Result<Vec<Total>, StoreError> {
        self.writer.ask(Operation::Fold).await?;
        let (path, query) = (self.path.clone(), query.clone());
        self.readers
            .read(move |connection| {
                let fail = |error: rusqlite::Error| failure(&path, &error);
                let sql = "SELECT DISTINCT day, purpose, tenant, project, judge, metrics FROM total JOIN purpose ON id = purpose
                           WHERE day BETWEEN ?1 AND ?2 AND (?3 IS NULL OR tenant = ?3)";
                let mut statement = connection.prepare_cached(sql).map_err(fail)?;
                let tenant = query.tenant.as_ref().map(|tenant| tenant.as_str());
                let mut rows = statement.query((query.from.0, query.to.0, tenant)).map_err(fail)?;
                let disk = &mut SqliteDisk { connection, path: &path };
                let mut totals = Totals::default();
                while let Some(row) = rows.next().map_err(fail)? {
                    let (day, id) = (Day(row.get(0).map_err(fail)?), row.get(1).map_err(fail)?);
                    let purpose =
                        tables::purpose(row, 2).map_err(fail)?.ok_or_else(|| damaged(&path, &format!("the purpose {id}")))?;
                    let parts: Parts = disk.parts(id, day)?;
                    totals.add(&purpose, day, &parts);
                }
                Ok(totals.into_list())
            })
            .await
    }

    async fn postings(&self, number: u64, limit: usize) -> Result<Vec<Posting>, StoreError> {
        let (path, limit) = (self.path.clone(), limit.min(POSTINGS_MAX));
        self.readers
            .read(move |connection| {
                let disk = &mut SqliteDisk { connection, path: &path };
                let (mut postings, mut purposes) = (Vec::new(), std::collections::HashMap::new());
                tables::events_after(connection, &path, number, |last, event| {
                    let purpose = match purposes.entry(event.purpose) {
                        std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
                        std::collections::hash_map::Entry::Vacant(place) => place.insert(disk.purpose(event.purpose)?),
                    };
                    let first = last + 1 - event.what.postings();
                    let new = event.postings(first, &purpose.tenant).filter(|posting| posting.number > number);
                    postings.extend(new.take(limit - postings.len()));
                    Ok(postings.len() < limit)
                })?;
                Ok(postings)
            })
            .await
    }
}
