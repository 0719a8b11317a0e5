//! The queue in one SQLite file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use assize_core::queue::{Depth, Enqueued, Entry, Leased, Offset, Queue, Receipt, Settlement};
use assize_core::{RowKey, StoreError, Timestamp};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::sqlite::{Database, Migration, OnFull, Shape, damaged, failure, row};

/// Bytes of text after which a batch that is read ends.
const READ_BYTES_MAX: usize = 32 << 20;

const SHAPE: Shape = Shape {
    file: "queue.db",
    exclusive: true,
    migrations: &[Migration { name: "0001_queue", sql: include_str!("schema/0001_queue.sql") }],
    cache_kib: 16 * 1024,
};

/// How many keys one step of `forget_before` looks at, so that accept never waits long for it.
const FORGET_STEP: u32 = 4_000;

/// The queue in `queue.db` of a directory that one process owns.
pub struct SqliteQueue {
    database: Database<()>,
}

/// An entry as it is stored. Rows are encoded and decoded by the caller's thread, not by the one writer.
struct Stored {
    key: RowKey,
    accepted_at: Timestamp,
    drawn: bool,
    row: Vec<u8>,
    payload: Option<Vec<u8>>,
}

/// What a lease finds: position, delivery, retries, row, payload.
type Found = (i64, u32, u32, Vec<u8>, Option<Vec<u8>>);

impl SqliteQueue {
    /// Opens or creates the queue in `directory`; see [`open`](super::open).
    pub async fn open(directory: &Path, after: Offset) -> Result<Self, StoreError> {
        let queue = Self { database: Database::open(directory, &SHAPE)? };
        let after = position(after);
        queue
            .write(0, OnFull::Wait, move |connection| {
                connection.execute("UPDATE total SET next = max(next, ?1 + 1), folded = max(folded, ?1)", [after])?;
                // Nobody else has the directory, so whoever held a lease is gone: what was in hand need not wait for its end.
                connection.execute("UPDATE pending SET due = NULL, leased = 0 WHERE leased = 1", []).map(|_| ())
            })
            .await?;
        Ok(queue)
    }

    async fn write<T, F>(&self, bytes: usize, on_full: OnFull, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let path = self.path();
        let operation = move |connection: &Connection, _: &mut ()| operation(connection).map_err(|error| failure(&path, &error));
        self.database.write(bytes, on_full, operation).await
    }

    async fn read<T, F>(&self, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let path = self.path();
        self.database.read(move |connection| operation(connection).map_err(|error| failure(&path, &error))).await
    }

    fn path(&self) -> PathBuf {
        self.database.path().to_owned()
    }

    fn entry(&self, position: i64, bytes: &[u8], payload: Option<Vec<u8>>) -> Result<Entry, StoreError> {
        let row = row::decode(bytes).ok_or_else(|| damaged(self.database.path(), &format!("row {position}")))?;
        Ok(Entry { row, payload })
    }
}

/// SQLite's integers are signed.
fn position(offset: Offset) -> i64 {
    i64::try_from(offset.0).unwrap_or(i64::MAX - 1)
}

fn offset(position: i64) -> Offset {
    Offset(position.unsigned_abs())
}

#[async_trait]
impl Queue for SqliteQueue {
    async fn enqueue(&self, entries: Vec<Entry>) -> Result<Vec<Enqueued>, StoreError> {
        let stored: Vec<Stored> = entries
            .into_iter()
            .map(|Entry { row, payload }| Stored {
                key: row.key,
                accepted_at: row.accepted_at,
                drawn: row.is_drawn(),
                row: row::encode(&row),
                payload,
            })
            .collect();
        let bytes = stored.iter().map(|entry| entry.row.len() + entry.payload.as_ref().map_or(0, Vec::len)).sum();
        self.write(bytes, OnFull::Refuse, move |connection| enqueue(connection, &stored)).await
    }

    async fn accepted_after(&self, after: Offset, max: usize) -> Result<Vec<(Offset, Entry)>, StoreError> {
        let rows: Vec<(i64, Vec<u8>, Option<Vec<u8>>)> = self
            .read(move |connection| {
                let mut statement = connection
                    .prepare_cached("SELECT position, row, payload FROM log WHERE position > ?1 ORDER BY position LIMIT ?2")?;
                let mut found = statement.query((position(after), i64::try_from(max).unwrap_or(i64::MAX)))?;
                let (mut rows, mut bytes) = (Vec::new(), 0);
                // Texts may be large: a batch is bounded by what it weighs as well.
                while let Some(row) = found.next()?.filter(|_| bytes < READ_BYTES_MAX) {
                    let payload: Option<Vec<u8>> = row.get(2)?;
                    bytes += payload.as_ref().map_or(0, Vec::len);
                    rows.push((row.get(0)?, row.get(1)?, payload));
                }
                Ok(rows)
            })
            .await?;
        rows.into_iter().map(|(position, row, payload)| Ok((offset(position), self.entry(position, &row, payload)?))).collect()
    }

    async fn folded(&self, up_to: Offset) -> Result<(), StoreError> {
        self.write(0, OnFull::Wait, move |connection| {
            let folded: i64 = connection.prepare_cached("SELECT folded FROM total")?.query_row([], |row| row.get(0))?;
            let up_to = position(up_to);
            if up_to > folded {
                connection
                    .prepare_cached("DELETE FROM log WHERE position > ?1 AND position <= ?2 AND drawn = 0")?
                    .execute((folded, up_to))?;
                connection.prepare_cached("UPDATE total SET folded = ?1")?.execute([up_to])?;
            }
            Ok(())
        })
        .await
    }

    async fn lease(&self, max: usize, up_to: Offset, now: Timestamp, lease_for: Duration) -> Result<Vec<Leased>, StoreError> {
        let until = now.plus(lease_for);
        let found = self.write(0, OnFull::Wait, move |connection| lease(connection, max, up_to, now, until)).await?;
        found
            .into_iter()
            .map(|(position, delivery, retries, row, payload)| {
                let receipt = Receipt { offset: offset(position), delivery };
                Ok(Leased { receipt, entry: self.entry(position, &row, payload)?, retries })
            })
            .collect()
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<(), StoreError> {
        self.write(0, OnFull::Wait, move |connection| settle(connection, &settlements)).await
    }

    async fn depth(&self, now: Timestamp) -> Result<Depth, StoreError> {
        self.read(move |connection| {
            let (pending, dead): (i64, i64) = connection
                .prepare_cached("SELECT pending, dead FROM total")?
                .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let (delayed, leased): (i64, i64) = connection
                .prepare_cached(
                    "SELECT count(*) - coalesce(sum(leased), 0), coalesce(sum(leased), 0) FROM pending WHERE due > ?1",
                )?
                .query_row([now.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let oldest: Option<i64> = connection
                .prepare_cached("SELECT accepted_at FROM pending ORDER BY position LIMIT 1")?
                .query_row([], |row| row.get(0))
                .optional()?;
            let [ready, delayed, leased, dead] =
                [pending.saturating_sub(delayed + leased), delayed, leased, dead].map(|count| u64::try_from(count).unwrap_or(0));
            Ok(Depth { ready, delayed, leased, dead, oldest: oldest.map(Timestamp) })
        })
        .await
    }

    async fn forget_before(&self, horizon: Timestamp) -> Result<u64, StoreError> {
        let (mut from, mut forgotten) = (Vec::new(), 0);
        loop {
            let begin = std::mem::take(&mut from);
            let (count, next) = self.write(0, OnFull::Wait, move |connection| forget(connection, &begin, horizon)).await?;
            forgotten += count;
            match next {
                Some(key) => from = key,
                None => return Ok(forgotten),
            }
        }
    }
}

fn enqueue(connection: &Connection, entries: &[Stored]) -> rusqlite::Result<Vec<Enqueued>> {
    let mut next: i64 = connection.prepare_cached("SELECT next FROM total")?.query_row([], |row| row.get(0))?;
    let mut seen = connection.prepare_cached("INSERT OR IGNORE INTO seen (key, accepted_at) VALUES (?1, ?2)")?;
    let mut log = connection.prepare_cached("INSERT INTO log (position, drawn, row, payload) VALUES (?1, ?2, ?3, ?4)")?;
    let mut drawn = 0;
    let mut answers = Vec::with_capacity(entries.len());
    for entry in entries {
        if seen.execute(params![entry.key.0, entry.accepted_at.0])? == 0 {
            answers.push(Enqueued::Duplicate);
            continue;
        }
        log.execute(params![next, entry.drawn, entry.row, entry.payload])?;
        if entry.drawn {
            connection
                .prepare_cached(
                    "INSERT INTO pending (position, leased, delivery, retries, accepted_at) VALUES (?1, 0, 0, 0, ?2)",
                )?
                .execute((next, entry.accepted_at.0))?;
            drawn += 1;
        }
        next += 1;
        answers.push(Enqueued::Accepted);
    }
    connection.prepare_cached("UPDATE total SET next = ?1, pending = pending + ?2")?.execute((next, drawn))?;
    Ok(answers)
}

fn lease(connection: &Connection, max: usize, up_to: Offset, now: Timestamp, until: Timestamp) -> rusqlite::Result<Vec<Found>> {
    // Two walks of one index, neither of which passes over items that cannot be had: those whose time has come, and those that were
    // never leased. Merged by position the oldest come first.
    let mut find = connection.prepare_cached(
        "SELECT position, delivery, retries FROM (
             SELECT * FROM (SELECT position, delivery, retries FROM pending
                            WHERE due <= ?1 AND position <= ?2 ORDER BY due LIMIT ?3)
             UNION ALL
             SELECT * FROM (SELECT position, delivery, retries FROM pending
                            WHERE due IS NULL AND position <= ?2 ORDER BY position LIMIT ?3))
         ORDER BY position LIMIT ?3",
    )?;
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let items: Vec<(i64, u32, u32)> = find
        .query_map((now.0, position(up_to), max), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let mut take = connection.prepare_cached("UPDATE pending SET due = ?2, leased = 1, delivery = ?3 WHERE position = ?1")?;
    let mut read = connection.prepare_cached("SELECT row, payload FROM log WHERE position = ?1")?;
    items
        .into_iter()
        .map(|(position, delivery, retries)| {
            let delivery = delivery.saturating_add(1);
            take.execute((position, until.0, delivery))?;
            let (row, payload) = read.query_row([position], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok((position, delivery, retries, row, payload))
        })
        .collect()
}

fn settle(connection: &Connection, settlements: &[Settlement]) -> rusqlite::Result<()> {
    let folded: i64 = connection.prepare_cached("SELECT folded FROM total")?.query_row([], |row| row.get(0))?;
    let (mut ended, mut dead) = (0_i64, 0_i64);
    for settlement in settlements {
        match settlement {
            Settlement::Done(receipt) => {
                let at = position(receipt.offset);
                let done = connection
                    .prepare_cached("DELETE FROM pending WHERE position = ?1 AND delivery = ?2 AND leased = 1")?
                    .execute((at, receipt.delivery))?;
                if done == 1 {
                    ended += 1;
                    let sql = if at <= folded {
                        "DELETE FROM log WHERE position = ?1"
                    } else {
                        "UPDATE log SET drawn = 0 WHERE position = ?1"
                    };
                    connection.prepare_cached(sql)?.execute([at])?;
                }
            }
            Settlement::Retry { receipt, not_before, reason, tried } => {
                connection
                    .prepare_cached(
                        "UPDATE pending SET due = ?3, leased = 0, retries = retries + ?6, code = ?4, message = ?5
                         WHERE position = ?1 AND delivery = ?2 AND leased = 1",
                    )?
                    .execute((position(receipt.offset), receipt.delivery, not_before.0, &reason.code, &reason.message, tried))?;
            }
            Settlement::Dead { receipt, reason } => {
                let kept = connection
                    .prepare_cached(
                        "INSERT INTO dead (position, retries, accepted_at, code, message)
                         SELECT position, retries, accepted_at, ?3, ?4 FROM pending
                         WHERE position = ?1 AND delivery = ?2 AND leased = 1",
                    )?
                    .execute((position(receipt.offset), receipt.delivery, &reason.code, &reason.message))?;
                if kept == 1 {
                    connection.prepare_cached("DELETE FROM pending WHERE position = ?1")?.execute([position(receipt.offset)])?;
                    ended += 1;
                    dead += 1;
                }
            }
        }
    }
    if ended > 0 {
        connection.prepare_cached("UPDATE total SET pending = pending - ?1, dead = dead + ?2")?.execute((ended, dead))?;
    }
    Ok(())
}

/// One step: keys from `from` on in order of the keys, which is the order they lie in. Returns how many were forgotten and where the
/// next step begins. An index by time would make accept pay for what this does once in a while.
fn forget(connection: &Connection, from: &[u8], horizon: Timestamp) -> rusqlite::Result<(u64, Option<Vec<u8>>)> {
    let next: Option<Vec<u8>> = connection
        .prepare_cached("SELECT key FROM seen WHERE key >= ?1 ORDER BY key LIMIT 1 OFFSET ?2")?
        .query_row((from, FORGET_STEP), |row| row.get(0))
        .optional()?;
    let forgotten = match &next {
        Some(next) => connection
            .prepare_cached("DELETE FROM seen WHERE key >= ?1 AND key < ?2 AND accepted_at < ?3")?
            .execute((from, next, horizon.0))?,
        None => connection.prepare_cached("DELETE FROM seen WHERE key >= ?1 AND accepted_at < ?2")?.execute((from, horizon.0))?,
    };
    Ok((forgotten as u64, next))
}

#[cfg(test)]
mod tests {
    use assize_core::StoreErrorKind;
    use assize_testkit::samples::{self, MORNING};

    use super::*;

    fn batch(name: &str) -> Vec<Entry> {
        (0..50).map(|i| samples::entry(samples::drawn("p", &format!("{name}-{i}"), MORNING))).collect()
    }

    #[tokio::test]
    async fn a_full_disk_is_told_and_stores_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let queue = SqliteQueue::open(directory.path(), Offset(0)).await.unwrap();
        // SQLite's own limit fails in the same way as the disk does.
        let limit = async |pages: u32| {
            let sql = format!("PRAGMA max_page_count = {pages}");
            queue.write(0, OnFull::Wait, move |connection| connection.execute_batch(&sql)).await.unwrap();
        };
        queue.enqueue(batch("before")).await.unwrap();
        limit(100).await;
        let mut stored = 50;
        let error = loop {
            match queue.enqueue(batch(&stored.to_string())).await {
                Ok(_) => stored += 50,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind, StoreErrorKind::DiskFull);
        assert!(error.message.contains("queue.db") && error.message.contains("free space"), "{error}");
        let count = async || queue.accepted_after(Offset(0), 10_000).await.unwrap().len();
        assert_eq!(count().await, stored);
        assert_eq!(queue.depth(MORNING).await.unwrap().ready, stored as u64);
        limit(1_000_000).await;
        let answers = queue.enqueue(batch(&stored.to_string())).await.unwrap();
        assert!(answers.iter().all(|answer| *answer == Enqueued::Accepted), "what was refused is new");
        assert_eq!(count().await, stored + 50);
    }
}
