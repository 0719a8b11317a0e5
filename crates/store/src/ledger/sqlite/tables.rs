//! Journal and tables in SQLite.

use std::path::Path;
use std::time::Duration;

use assize_core::{Day, JudgeName, MetricName, NanoUsd, ProjectName, StoreError, TenantName, Timestamp};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::block;
use crate::ledger::machine::{
    Amounts, BalanceKey, Disk, Event, Fold, Held, KEPT_MS, Parts, Purpose, PurposeId, Standing, place, step,
};
use crate::sqlite::{damaged, failure};

/// For how long the journal is kept: two months, so that the one that is over can be looked into. Balances and totals stay for good.
const JOURNAL_KEPT: Duration = Duration::from_secs(62 * 86_400);
/// How many blocks one fold cuts off, at the most.
const CUT_MAX: u32 = 64;

/// Journal and tables of an open file, within a transaction.
pub(super) struct SqliteDisk<'a> {
    pub connection: &'a Connection,
    pub path: &'a Path,
}

/// An amount: an integer, or 16 bytes where that does not hold it.
struct Money(i128);

impl ToSql for Money {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(match i64::try_from(self.0) {
            Ok(amount) => Value::Integer(amount),
            Err(_) => Value::Blob(self.0.to_be_bytes().to_vec()),
        }))
    }
}

impl FromSql for Money {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Integer(amount) => Ok(Self(i128::from(amount))),
            ValueRef::Blob(bytes) => match <[u8; 16]>::try_from(bytes) {
                Ok(bytes) => Ok(Self(i128::from_be_bytes(bytes))),
                Err(_) => Err(FromSqlError::InvalidBlobSize { expected_size: 16, blob_size: bytes.len() }),
            },
            _ => Err(FromSqlError::InvalidType),
        }
    }
}

/// Three columns from `at` on.
fn amounts(row: &Row<'_>, at: usize) -> rusqlite::Result<Amounts> {
    let money = |at| row.get::<_, Money>(at).map(|money| money.0);
    Ok(Amounts { spent: money(at)?, assumed: money(at + 1)?, reserved: money(at + 2)? })
}

/// Columns from `at` on: purpose, days, bound, is_assumed, due.
fn held(row: &Row<'_>, at: usize) -> rusqlite::Result<Held> {
    let Money(bound) = row.get(at + 3)?;
    Ok(Held {
        purpose: row.get(at)?,
        tenant_day: Day(row.get(at + 1)?),
        platform_day: Day(row.get(at + 2)?),
        bound: NanoUsd(u64::try_from(bound).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(at + 3, i64::MIN))?),
        is_assumed: row.get(at + 4)?,
        due: Timestamp(row.get(at + 5)?),
    })
}

/// Columns from `at` on: tenant, project, judge, metrics. `None` if they are no names.
pub(super) fn purpose(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Purpose>> {
    let text = |at| row.get_ref(at)?.as_str().map_err(rusqlite::Error::from);
    let read = |tenant: &str, project: &str, judge: &str, metrics: &str| {
        Some(Purpose {
            tenant: TenantName::new(tenant).ok()?,
            project: ProjectName::new(project).ok()?,
            judge: JudgeName::new(judge).ok()?,
            metrics: metrics.split(',').map(|metric| MetricName::new(metric).ok()).collect::<Option<_>>()?,
        })
    };
    Ok(read(text(at)?, text(at + 1)?, text(at + 2)?, text(at + 3)?))
}

/// No name holds a comma.
fn list(metrics: &[MetricName]) -> String {
    metrics.iter().map(MetricName::as_str).collect::<Vec<_>>().join(",")
}

fn tenant(key: &BalanceKey) -> &str {
    key.tenant.as_ref().map_or("", TenantName::as_str)
}

impl SqliteDisk<'_> {
    fn fail<T>(&self, result: rusqlite::Result<T>) -> Result<T, StoreError> {
        result.map_err(|error| failure(self.path, &error))
    }
}

/// Reads the events after the posting `position` in their order, each with the number of its last posting, for as long as `each` says so.
pub(super) fn events_after(
    connection: &Connection,
    path: &Path,
    position: u64,
    mut each: impl FnMut(u64, Event) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let fail = |error: rusqlite::Error| failure(path, &error);
    // The block that holds the next posting, and those after it.
    let sql = "SELECT first, last, events FROM block
               WHERE first >= coalesce((SELECT max(first) FROM block WHERE first <= ?1 + 1), 0) AND last > ?1 ORDER BY first";
    let mut statement = connection.prepare_cached(sql).map_err(fail)?;
    let mut rows = statement.query([position.cast_signed()]).map_err(fail)?;
    while let Some(row) = rows.next().map_err(fail)? {
        let (first, last): (i64, i64) = (row.get(0).map_err(fail)?, row.get(1).map_err(fail)?);
        let (mut number, mut goes_on) = (first.cast_unsigned() - 1, true);
        let body = row.get_ref(2).map_err(fail)?.as_blob().map_err(|error| fail(error.into()))?;
        let is_whole = block::decode(body, |event| {
            number += event.what.postings();
            if goes_on && number > position {
                goes_on = each(number, event)?;
            }
            Ok(())
        })?;
        if !is_whole || number != last.cast_unsigned() {
            return Err(damaged(path, &format!("the block of the posting {first}")));
        }
        if !goes_on {
            break;
        }
    }
    Ok(())
}

impl Disk for SqliteDisk<'_> {
    fn standing(&mut self) -> Result<Standing, StoreError> {
        let sql = "SELECT (SELECT last FROM block ORDER BY first DESC LIMIT 1), position FROM fold";
        let read = |row: &Row<'_>| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, i64>(1)?));
        let (last, folded) =
            self.fail(self.connection.prepare_cached(sql).and_then(|mut statement| statement.query_row([], read)))?;
        Ok(Standing { last: last.unwrap_or(folded).cast_unsigned(), folded: folded.cast_unsigned() })
    }

    fn events_after(
        &mut self,
        position: u64,
        each: &mut dyn FnMut(&mut Self, u64, Event) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        events_after(self.connection, self.path, position, |number, event| each(self, number, event).map(|()| true))
    }

    fn an_hour_back(&mut self) -> Result<u64, StoreError> {
        let read = || -> rusqlite::Result<u64> {
            let mut statement = self.connection.prepare_cached("SELECT last, at FROM block ORDER BY first DESC")?;
            let mut rows = statement.query([])?;
            let (mut age, mut later) = (0, None);
            while let Some(row) = rows.next()? {
                let at = Timestamp(row.get(1)?);
                age += step(at, later.unwrap_or(at));
                if age >= KEPT_MS {
                    return Ok(row.get::<_, i64>(0)?.cast_unsigned());
                }
                later = Some(at);
            }
            Ok(0)
        };
        self.fail(read())
    }

    fn append(&mut self, first: u64, last: u64, events: Vec<Event>) -> Result<(), StoreError> {
        let at = events.last().map_or(0, |event| event.at.0);
        let row = params![first.cast_signed(), last.cast_signed(), at, block::encode(&events)];
        let sql = "INSERT INTO block (first, last, at, events) VALUES (?1, ?2, ?3, ?4)";
        self.fail(self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute(row))).map(|_| ())
    }

    fn purpose_id(&mut self, purpose: &Purpose) -> Result<PurposeId, StoreError> {
        let Purpose { tenant, project, judge, metrics } = purpose;
        let key = [tenant.as_str(), project.as_str(), judge.as_str(), &list(metrics)];
        let find = || -> rusqlite::Result<PurposeId> {
            let sql = "SELECT id FROM purpose WHERE tenant = ?1 AND project = ?2 AND judge = ?3 AND metrics = ?4";
            if let Some(id) = self.connection.prepare_cached(sql)?.query_row(key, |row| row.get(0)).optional()? {
                return Ok(id);
            }
            let sql = "INSERT INTO purpose (tenant, project, judge, metrics) VALUES (?1, ?2, ?3, ?4) RETURNING id";
            self.connection.prepare_cached(sql)?.query_row(key, |row| row.get(0))
        };
        self.fail(find())
    }

    fn purpose(&mut self, id: PurposeId) -> Result<Purpose, StoreError> {
        let sql = "SELECT tenant, project, judge, metrics FROM purpose WHERE id = ?1";
        let found =
            self.connection.prepare_cached(sql).and_then(|mut statement| statement.query_row([id], |row| purpose(row, 0)));
        self.fail(found.optional())?.flatten().ok_or_else(|| damaged(self.path, &format!("the purpose {id}")))
    }

    fn purposes_about(&mut self, purpose: &Purpose, metric: &MetricName) -> Result<Vec<(PurposeId, usize)>, StoreError> {
        let sql = "SELECT id, metrics FROM purpose WHERE tenant = ?1 AND project = ?2 AND judge = ?3";
        let key = [purpose.tenant.as_str(), purpose.project.as_str(), purpose.judge.as_str()];
        let read = |row: &Row<'_>| {
            let metrics = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
            Ok((row.get::<_, PurposeId>(0)?, metrics.split(',').position(|other| other == metric.as_str())))
        };
        let find = || self.connection.prepare_cached(sql)?.query_map(key, read)?.collect::<rusqlite::Result<Vec<_>>>();
        Ok(self.fail(find())?.into_iter().filter_map(|(id, at)| at.map(|at| (id, at))).collect())
    }

    fn balance(&mut self, key: &BalanceKey) -> Result<Amounts, StoreError> {
        let sql = "SELECT spent, assumed, reserved FROM balance WHERE scope = ?1 AND period = ?2 AND tenant = ?3";
        let of = params![place(key.scope) as i64, key.period, tenant(key)];
        let found = self.connection.prepare_cached(sql).and_then(|mut statement| statement.query_row(of, |row| amounts(row, 0)));
        Ok(self.fail(found.optional())?.unwrap_or_default())
    }

    fn parts(&mut self, purpose: PurposeId, day: Day) -> Result<Parts, StoreError> {
        let sql = "SELECT spent, assumed, reserved, calls FROM total WHERE day = ?1 AND purpose = ?2 ORDER BY metric";
        let read = |row: &Row<'_>| Ok((amounts(row, 0)?, row.get::<_, i64>(3)?.cast_unsigned()));
        let find =
            || self.connection.prepare_cached(sql)?.query_map((day.0, purpose), read)?.collect::<rusqlite::Result<Vec<_>>>();
        let found = self.fail(find())?;
        let calls = found.iter().map(|(_, calls)| calls).sum();
        Ok(Parts { amounts: found.into_iter().map(|(amounts, _)| amounts).collect(), calls })
    }

    fn call(&mut self, id: &str) -> Result<Option<Held>, StoreError> {
        let sql = "SELECT purpose, tenant_day, platform_day, bound, is_assumed, due FROM call WHERE id = ?1";
        let found = self.connection.prepare_cached(sql).and_then(|mut statement| statement.query_row([id], |row| held(row, 0)));
        self.fail(found.optional())
    }

    fn call_ids(&mut self, each: &mut dyn FnMut(&str)) -> Result<(), StoreError> {
        let mut read = || -> rusqlite::Result<()> {
            let mut statement = self.connection.prepare_cached("SELECT id FROM call")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                each(row.get_ref(0)?.as_str()?);
            }
            Ok(())
        };
        let read = read();
        self.fail(read)
    }

    fn due(&mut self, now: Timestamp, limit: usize) -> Result<Vec<(Box<str>, Held)>, StoreError> {
        let sql = "SELECT purpose, tenant_day, platform_day, bound, is_assumed, due, id FROM call WHERE due <= ?1 ORDER BY due LIMIT ?2";
        let read = |row: &Row<'_>| Ok((row.get(6)?, held(row, 0)?));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.fail(
            self.connection.prepare_cached(sql).and_then(|mut statement| statement.query_map((now.0, limit), read)?.collect()),
        )
    }

    fn due_after(&mut self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT min(due) FROM call WHERE due > ?1";
        let found =
            self.connection.prepare_cached(sql).and_then(|mut statement| statement.query_row([after.0], |row| row.get(0)));
        self.fail(found).map(|due: Option<i64>| due.map(Timestamp))
    }

    fn fold(&mut self, fold: Fold<'_>) -> Result<(), StoreError> {
        self.fail(write(self.connection, &fold))
    }
}

fn write(connection: &Connection, fold: &Fold<'_>) -> rusqlite::Result<()> {
    let mut put = connection.prepare_cached(
        "INSERT INTO balance (scope, period, tenant, spent, assumed, reserved) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET spent = excluded.spent, assumed = excluded.assumed, reserved = excluded.reserved",
    )?;
    for (key, Amounts { spent, assumed, reserved }) in &fold.balances {
        put.execute(params![place(key.scope) as i64, key.period, tenant(key), Money(*spent), Money(*assumed), Money(*reserved)])?;
    }
    let mut put = connection.prepare_cached(
        "INSERT INTO total (day, purpose, metric, spent, assumed, reserved, calls) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT DO UPDATE SET spent = excluded.spent, assumed = excluded.assumed, reserved = excluded.reserved,
            calls = excluded.calls",
    )?;
    for (purpose, day, parts) in &fold.totals {
        for (metric, Amounts { spent, assumed, reserved }) in parts.amounts.iter().enumerate() {
            let metric = metric as i64;
            let calls = if metric == 0 { parts.calls.cast_signed() } else { 0 };
            put.execute(params![day.0, purpose, metric, Money(*spent), Money(*assumed), Money(*reserved), calls])?;
        }
    }
    let mut delete = connection.prepare_cached("DELETE FROM call WHERE id = ?1")?;
    for id in &fold.closed {
        delete.execute([id])?;
    }
    let mut put = connection.prepare_cached(
        "INSERT OR REPLACE INTO call (id, purpose, tenant_day, platform_day, bound, is_assumed, due) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for (id, Held { purpose, tenant_day, platform_day, bound, is_assumed, due }) in &fold.open {
        put.execute(params![id, purpose, tenant_day.0, platform_day.0, Money(i128::from(bound.0)), is_assumed, due.0])?;
    }
    connection.prepare_cached("UPDATE fold SET position = ?1")?.execute([fold.position.cast_signed()])?;
    cut(connection, fold)
}

/// Cuts the oldest blocks off if they are old enough. The last one stays, as the numbers go on from it.
fn cut(connection: &Connection, fold: &Fold<'_>) -> rusqlite::Result<()> {
    let oldest = "SELECT first, at FROM block WHERE last < ?1 ORDER BY first LIMIT ?2";
    let blocks: Vec<(i64, i64)> = connection
        .prepare_cached(oldest)?
        .query_map((fold.position.cast_signed(), CUT_MAX), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut delete = connection.prepare_cached("DELETE FROM block WHERE first = ?1")?;
    let old = fold.at.minus(JOURNAL_KEPT).0;
    for (first, _) in blocks.into_iter().take_while(|(_, at)| *at < old) {
        delete.execute([first])?;
    }
    Ok(())
}
