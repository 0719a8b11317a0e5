//! The audit log's rows: appended within the transaction of the change, never altered.

use assize_core::Timestamp;
use assize_core::audit::{Action, AuditEntry, AuditQuery, Change};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

/// Appends `change` after whatever is there. Call it within a transaction that holds the right to write: the last entry is read first.
pub(super) fn append(connection: &Connection, change: Change) -> rusqlite::Result<()> {
    let last = connection
        .prepare_cached("SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, [u8; 32]>(1)?)))
        .optional()?;
    let AuditEntry { number, change, previous, hash } = AuditEntry::after(last, change);
    let Change { at, by, action, subject, before, after } = change;
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    let sql = "INSERT INTO audit (number, at, by, action, subject, before, after, previous, hash)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let values = params![number, at.0, by, action.as_str(), subject, before, after, previous, hash];
    connection.prepare_cached(sql)?.execute(values).map(|_| ())
}

/// The number of the last entry.
pub(super) fn last(connection: &Connection) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached("SELECT COALESCE(MAX(number), 0) FROM audit")?;
    statement.query_row([], |row| Ok(row.get::<_, i64>(0)?.unsigned_abs()))
}

/// Entries, newest first; `None` for one that cannot be read.
pub(super) fn entries(connection: &Connection, query: &AuditQuery) -> rusqlite::Result<Vec<Option<AuditEntry>>> {
    let (before, limit) = (i64::try_from(query.before).unwrap_or(i64::MAX), i64::try_from(query.limit).unwrap_or(i64::MAX));
    let columns = "SELECT number, at, by, action, subject, before, after, previous, hash FROM audit";
    match &query.subject {
        None => connection
            .prepare_cached(&format!("{columns} WHERE number < ?1 ORDER BY number DESC LIMIT ?2"))?
            .query_map((before, limit), entry)?
            .collect(),
        Some(subject) => connection
            .prepare_cached(&format!("{columns} WHERE subject = ?3 AND number < ?1 ORDER BY number DESC LIMIT ?2"))?
            .query_map((before, limit, subject), entry)?
            .collect(),
    }
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Option<AuditEntry>> {
    let Some(action) = Action::parse(row.get_ref(3)?.as_str()?) else { return Ok(None) };
    let change = Change {
        at: Timestamp(row.get(1)?),
        by: row.get(2)?,
        action,
        subject: row.get(4)?,
        before: row.get(5)?,
        after: row.get(6)?,
    };
    let number = row.get::<_, i64>(0)?.unsigned_abs();
    Ok(Some(AuditEntry { number, change, previous: row.get(7)?, hash: row.get(8)? }))
}
