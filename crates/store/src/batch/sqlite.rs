//! What waits for batches in one SQLite file.

use std::path::Path;

use assize_core::batch::{BatchStore, Lane, Member, OpenBatch, Waiting};
use assize_core::queue::Entry;
use assize_core::{JudgeName, MetricName, ProviderName, RowKey, StoreError, Timestamp};
use async_trait::async_trait;
use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};

use crate::sqlite::{Database, Migration, OnFull, Shape, damaged, failure, row};

const SHAPE: Shape = Shape {
    file: "batch.db",
    exclusive: true,
    migrations: &[
        Migration { name: "0001_batch", sql: include_str!("schema/0001_batch.sql") },
        Migration { name: "0002_metrics", sql: include_str!("schema/0002_metrics.sql") },
    ],
    cache_kib: 4 * 1024,
};

/// What waits for batches, in `batch.db` of a directory.
pub struct SqliteBatches {
    database: Database<()>,
}

enum Failure {
    Sqlite(rusqlite::Error),
    Damaged(&'static str),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

const COLUMNS: &str = "id, provider, model, row, payload, judge, metrics, parked_at, deadline, retries";

impl SqliteBatches {
    /// Opens or creates the store in `directory`; see [`open`](super::open).
    pub async fn open(directory: &Path) -> Result<Self, StoreError> {
        Ok(Self { database: Database::open(directory, &SHAPE)? })
    }

    async fn write<F>(&self, bytes: usize, operation: F) -> Result<(), StoreError>
    where
        F: Fn(&Connection) -> rusqlite::Result<()> + Send + 'static,
    {
        let path = self.database.path().to_owned();
        let operation = move |connection: &Connection, (): &mut ()| operation(connection).map_err(|error| failure(&path, &error));
        self.database.write(bytes, OnFull::Wait, operation).await
    }

    async fn read<T, F>(&self, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        let path = self.database.path().to_owned();
        let operation = move |connection: &Connection| {
            operation(connection).map_err(|error| match error {
                Failure::Sqlite(error) => failure(&path, &error),
                Failure::Damaged(what) => damaged(&path, what),
            })
        };
        self.database.read(operation).await
    }
}

fn member(row: &Row<'_>) -> Result<Member, Failure> {
    let damaged = || Failure::Damaged("a member of a batch");
    let metrics: Vec<MetricName> = serde_json::from_str(&row.get::<_, String>(6)?).map_err(|_| damaged())?;
    Ok(Member {
        id: row.get(0)?,
        lane: lane(row, 1)?,
        entry: Entry { row: row::decode(&row.get::<_, Vec<u8>>(3)?).ok_or_else(damaged)?, payload: row.get(4)? },
        judge: JudgeName::new(&row.get::<_, String>(5)?).map_err(|_| damaged())?,
        metrics,
        parked_at: Timestamp(row.get(7)?),
        deadline: Timestamp(row.get(8)?),
        retries: row.get(9)?,
    })
}

/// The metrics that are parked for `judge` under `key`, each with the id of its member.
fn parked(connection: &Connection, key: RowKey, judge: &JudgeName) -> rusqlite::Result<Vec<(MetricName, String)>> {
    let mut statement = connection.prepare_cached("SELECT id, metrics FROM member WHERE key = ?1 AND judge = ?2 ORDER BY seq")?;
    let mut rows = statement.query((key.0, judge.as_str()))?;
    let mut parked = Vec::new();
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        let metrics: Vec<MetricName> = serde_json::from_str(row.get_ref(1)?.as_str()?)
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(1, Type::Text, Box::new(error)))?;
        parked.extend(metrics.into_iter().map(|metric| (metric, id.clone())));
    }
    Ok(parked)
}

fn lane(row: &Row<'_>, first: usize) -> Result<Lane, Failure> {
    let provider = ProviderName::new(&row.get::<_, String>(first)?).map_err(|_| Failure::Damaged("a provider's name"))?;
    Ok(Lane { provider, model: row.get(first + 1)? })
}

fn members(connection: &Connection, sql: &str, parameters: impl rusqlite::Params) -> Result<Vec<Member>, Failure> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(member(row)?);
    }
    Ok(found)
}

fn limit(max: usize) -> i64 {
    i64::try_from(max).unwrap_or(i64::MAX)
}

#[async_trait]
impl BatchStore for SqliteBatches {
    async fn park(&self, members: &[Member]) -> Result<(), StoreError> {
        let bytes = members.iter().map(|member| member.entry.payload.as_ref().map_or(0, Vec::len) + 512).sum();
        let members = members.to_vec();
        self.write(bytes, move |connection| {
            let mut insert = connection.prepare_cached(
                "INSERT OR IGNORE INTO member (id, provider, model, row, payload, judge, metrics, parked_at, deadline, retries, key)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?;
            for one in &members {
                let known = parked(connection, one.entry.row.key, &one.judge)?;
                let is_new = |metric: &&MetricName| known.iter().all(|(known, _)| known != *metric);
                let metrics: Vec<&MetricName> = one.metrics.iter().filter(is_new).collect();
                if metrics.is_empty() {
                    continue;
                }
                let metrics = serde_json::to_string(&metrics).unwrap_or_default();
                insert.execute(params![
                    one.id,
                    one.lane.provider.as_str(),
                    one.lane.model,
                    row::encode(&one.entry.row),
                    one.entry.payload,
                    one.judge.as_str(),
                    metrics,
                    one.parked_at.0,
                    one.deadline.0,
                    one.retries,
                    one.entry.row.key.0
                ])?;
            }
            Ok(())
        })
        .await
    }

    async fn parked(&self, key: RowKey, judge: &JudgeName) -> Result<Vec<(MetricName, String)>, StoreError> {
        let judge = judge.clone();
        self.read(move |connection| Ok(parked(connection, key, &judge)?)).await
    }

    async fn waiting(&self) -> Result<Vec<Waiting>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT provider, model, count(*), min(parked_at) FROM member WHERE marker IS NULL AND until IS NULL
                 GROUP BY provider, model ORDER BY provider, model",
            )?;
            let mut rows = statement.query([])?;
            let mut waiting = Vec::new();
            while let Some(row) = rows.next()? {
                let members = row.get::<_, i64>(2)?.unsigned_abs();
                waiting.push(Waiting { lane: lane(row, 0)?, members, oldest: Timestamp(row.get(3)?) });
            }
            Ok(waiting)
        })
        .await
    }

    async fn next(&self, lane: &Lane, deadline: Timestamp, max: usize, bytes_max: usize) -> Result<Vec<Member>, StoreError> {
        let lane = lane.clone();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM member WHERE provider = ?1 AND model = ?2 AND marker IS NULL AND until IS NULL AND deadline >= ?3
                 ORDER BY seq LIMIT ?4"
            ))?;
            let mut rows = statement.query(params![lane.provider.as_str(), lane.model, deadline.0, limit(max)])?;
            let (mut found, mut bytes) = (Vec::new(), 0_usize);
            while let Some(row) = rows.next()? {
                let one = member(row)?;
                bytes = bytes.saturating_add(one.entry.payload.as_ref().map_or(0, Vec::len));
                if bytes > bytes_max && !found.is_empty() {
                    break;
                }
                found.push(one);
            }
            Ok(found)
        })
        .await
    }

    async fn due(&self, deadline: Timestamp, now: Timestamp, max: usize) -> Result<Vec<Member>, StoreError> {
        self.read(move |connection| {
            let late = format!(
                "SELECT {COLUMNS} FROM member WHERE marker IS NULL AND until IS NULL AND deadline < ?1 ORDER BY deadline LIMIT ?2"
            );
            let mut due = members(connection, &late, params![deadline.0, limit(max)])?;
            let put_off = format!("SELECT {COLUMNS} FROM member WHERE until < ?1 ORDER BY until LIMIT ?2");
            due.extend(members(connection, &put_off, params![now.0, limit(max.saturating_sub(due.len()))])?);
            Ok(due)
        })
        .await
    }

    async fn intend(&self, marker: &str, lane: &Lane, ids: &[String], at: Timestamp) -> Result<(), StoreError> {
        let (marker, lane, ids) = (marker.to_owned(), lane.clone(), ids.to_vec());
        self.write(0, move |connection| {
            connection
                .prepare_cached("INSERT INTO batch (marker, provider, model, intended_at) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![marker, lane.provider.as_str(), lane.model, at.0])?;
            let mut assign = connection.prepare_cached("UPDATE member SET marker = ?1 WHERE id = ?2 AND marker IS NULL")?;
            ids.iter().try_for_each(|id| assign.execute((&marker, id)).map(|_| ()))
        })
        .await
    }

    async fn submitted(&self, marker: &str, provider_id: &str) -> Result<(), StoreError> {
        let (marker, provider_id) = (marker.to_owned(), provider_id.to_owned());
        self.write(0, move |connection| {
            let mut update = connection.prepare_cached("UPDATE batch SET provider_id = ?2 WHERE marker = ?1")?;
            update.execute((&marker, &provider_id)).map(|_| ())
        })
        .await
    }

    async fn batches(&self) -> Result<Vec<OpenBatch>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT batch.marker, batch.provider, batch.model, batch.provider_id, batch.intended_at, count(member.seq),
                        coalesce(min(member.deadline), batch.intended_at)
                 FROM batch LEFT JOIN member ON member.marker = batch.marker GROUP BY batch.marker ORDER BY batch.intended_at, batch.marker",
            )?;
            let mut rows = statement.query([])?;
            let mut batches = Vec::new();
            while let Some(row) = rows.next()? {
                batches.push(OpenBatch {
                    marker: row.get(0)?,
                    lane: lane(row, 1)?,
                    provider_id: row.get(3)?,
                    intended_at: Timestamp(row.get(4)?),
                    members: row.get::<_, i64>(5)?.unsigned_abs(),
                    deadline: Timestamp(row.get(6)?),
                });
            }
            Ok(batches)
        })
        .await
    }

    async fn members(&self, marker: &str, max: usize) -> Result<Vec<Member>, StoreError> {
        let marker = marker.to_owned();
        self.read(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM member WHERE marker = ?1 ORDER BY seq LIMIT ?2");
            members(connection, &sql, params![marker, limit(max)])
        })
        .await
    }

    async fn dissolve(&self, marker: &str, until: Option<Timestamp>) -> Result<(), StoreError> {
        let marker = marker.to_owned();
        self.write(0, move |connection| {
            connection
                .prepare_cached("UPDATE member SET marker = NULL, until = ?2 WHERE marker = ?1")?
                .execute(params![marker, until.map(|until| until.0)])?;
            connection.prepare_cached("DELETE FROM batch WHERE marker = ?1")?.execute([&marker]).map(|_| ())
        })
        .await
    }

    async fn put_off(&self, id: &str, until: Option<Timestamp>, tried: bool) -> Result<(), StoreError> {
        let id = id.to_owned();
        self.write(0, move |connection| {
            let mut update =
                connection.prepare_cached("UPDATE member SET marker = NULL, until = ?2, retries = retries + ?3 WHERE id = ?1")?;
            update.execute(params![id, until.map(|until| until.0), tried]).map(|_| ())
        })
        .await
    }

    async fn finish(&self, ids: &[String]) -> Result<(), StoreError> {
        let ids = ids.to_vec();
        self.write(0, move |connection| {
            let mut delete = connection.prepare_cached("DELETE FROM member WHERE id = ?1")?;
            ids.iter().try_for_each(|id| delete.execute([id]).map(|_| ()))
        })
        .await
    }
}
