//! What is done to the rows. Nothing here scans the table: keys are looked up, new rows appended, old ones taken from the beginning.

use assize_core::cache::{CacheBounds, CacheKey};
use assize_core::{TenantName, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Result, params};

/// What a row takes in the file beside its body: key, indices, and the room that pages keep free. Measured with `bench_cache`.
pub(super) const ROW_OVERHEAD_BYTES: u64 = 170;
/// How many rows one statement of eviction or purging looks at.
const BATCH: i64 = 1_024;
/// Room is made for this part of the bounds at once, so that a full cache does not evict at every put.
const SLACK: u64 = 128;
/// Beyond twice what a put adds, how many expired rows it clears away.
const EXPIRED_MORE: u64 = 64;

/// An entry ready to be written.
pub(super) struct Row {
    pub key: CacheKey,
    pub tenant: String,
    pub metric: String,
    pub at: Timestamp,
    pub body: Vec<u8>,
}

/// A row as found.
pub(super) struct Found {
    pub tenant: String,
    pub at: Timestamp,
    pub body: Vec<u8>,
}

/// What the table holds.
#[derive(Clone, Copy, Default)]
pub(super) struct Total {
    pub rows: u64,
    pub bytes: u64,
}

impl Total {
    pub fn read(connection: &Connection) -> Result<Self> {
        connection
            .prepare_cached("SELECT rows, bytes FROM total WHERE id = 0")?
            .query_row([], |row| Ok(Self { rows: count(row, 0)?, bytes: count(row, 1)? }))
    }

    fn write(self, connection: &Connection) -> Result<()> {
        connection
            .prepare_cached("UPDATE total SET rows = ?1, bytes = ?2 WHERE id = 0")?
            .execute([self.rows.cast_signed(), self.bytes.cast_signed()])
            .map(|_| ())
    }

    fn add(&mut self, body_bytes: u64) {
        self.rows += 1;
        self.bytes += body_bytes + ROW_OVERHEAD_BYTES;
    }

    fn subtract(&mut self, body_bytes: u64) {
        self.rows = self.rows.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(body_bytes + ROW_OVERHEAD_BYTES);
    }
}

/// Looks up keys, in their order.
pub(super) fn find(connection: &Connection, keys: &[CacheKey]) -> Result<Vec<Option<Found>>> {
    let mut select = connection
        .prepare_cached("SELECT name.name, at, body FROM verdict JOIN name ON name.id = verdict.tenant WHERE verdict.key = ?1")?;
    let mut find = |key: &CacheKey| {
        let read = |row: &rusqlite::Row<'_>| Ok(Found { tenant: row.get(0)?, at: Timestamp(row.get(1)?), body: row.get(2)? });
        select.query_row([&key.0], read).optional()
    };
    keys.iter().map(&mut find).collect()
}

/// What a put did.
pub(super) struct Stored {
    /// For each row whether it is the one that the table now has of its key.
    pub kept: Vec<bool>,
    /// How many rows were evicted.
    pub evicted: u64,
    /// What the table holds now.
    pub total: Total,
}

/// Adds rows, keeping those of the same key that are not expired, and holds the table within its bounds.
pub(super) fn store(connection: &Connection, rows: &[Row], bounds: &CacheBounds) -> Result<Stored> {
    let mut total = Total::read(connection)?;
    let mut names = Names::default();
    let mut kept = Vec::with_capacity(rows.len());
    for row in rows {
        kept.push(add(connection, row, bounds, &mut names, &mut total)?);
    }
    let now = rows.iter().map(|row| row.at).max().unwrap_or(Timestamp(i64::MIN));
    let evicted = shrink(connection, bounds, now, rows.len() as u64, &mut total)?;
    total.write(connection)?;
    Ok(Stored { kept, evicted, total })
}

fn add(connection: &Connection, row: &Row, bounds: &CacheBounds, names: &mut Names, total: &mut Total) -> Result<bool> {
    let (tenant, metric) = (names.id(connection, &row.tenant)?, names.id(connection, &row.metric)?);
    let insert = || {
        let sql = "INSERT INTO verdict (key, tenant, metric, at, body) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (key) DO NOTHING";
        connection.prepare_cached(sql)?.execute(params![row.key.0, tenant, metric, row.at.0, row.body])
    };
    if insert()? == 0 {
        let (seq, at, bytes): (i64, i64, u64) = connection
            .prepare_cached("SELECT seq, at, length(body) FROM verdict WHERE key = ?1")?
            .query_row([&row.key.0], |row| Ok((row.get(0)?, row.get(1)?, count(row, 2)?)))?;
        if bounds.is_fresh(Timestamp(at), row.at) {
            return Ok(false);
        }
        // Removed and added, not updated: it is new, and its place is at the end.
        connection.prepare_cached("DELETE FROM verdict WHERE seq = ?1")?.execute([seq])?;
        total.subtract(bytes);
        insert()?;
    }
    total.add(row.body.len() as u64);
    Ok(true)
}

/// Takes rows from the beginning while there are too many, and some of those that are expired. Returns how many went for want of room.
fn shrink(connection: &Connection, bounds: &CacheBounds, now: Timestamp, added: u64, total: &mut Total) -> Result<u64> {
    let is_over = total.rows > bounds.entries_max || total.bytes > bounds.bytes_max;
    let slack = |max: u64| if is_over { max - max / SLACK } else { max };
    let (rows_max, bytes_max) = (slack(bounds.entries_max), slack(bounds.bytes_max));
    let mut expired_left = added.saturating_mul(2).saturating_add(EXPIRED_MORE);
    let mut evicted = 0;
    loop {
        let mut select = connection.prepare_cached("SELECT seq, at, length(body) FROM verdict ORDER BY seq LIMIT ?1")?;
        let mut oldest = select.query([BATCH])?;
        let (mut last, mut seen) = (None, 0);
        while let Some(row) = oldest.next()? {
            let is_expired = !bounds.is_fresh(Timestamp(row.get(1)?), now);
            if total.rows > rows_max || total.bytes > bytes_max {
                evicted += u64::from(!is_expired);
            } else if is_expired && expired_left > 0 {
                expired_left -= 1;
            } else {
                break;
            }
            last = Some(row.get::<_, i64>(0)?);
            total.subtract(count(row, 2)?);
            seen += 1;
        }
        let Some(last) = last else { return Ok(evicted) };
        connection.prepare_cached("DELETE FROM verdict WHERE seq <= ?1")?.execute([last])?;
        if seen < BATCH {
            return Ok(evicted);
        }
    }
}

/// The row that was added last.
pub(super) fn last(connection: &Connection) -> Result<i64> {
    connection.query_row("SELECT coalesce(max(seq), 0) FROM verdict", [], |row| row.get(0))
}

/// Removes some rows of `tenant` up to the row `last`. Returns how many; none means that there are none left.
pub(super) fn purge(connection: &Connection, tenant: &TenantName, last: i64) -> Result<(u64, Total)> {
    let mut total = Total::read(connection)?;
    let sql = "SELECT seq, length(body) FROM verdict WHERE tenant = (SELECT id FROM name WHERE name = ?1) AND seq <= ?2
               ORDER BY seq LIMIT ?3";
    let rows: Vec<(i64, u64)> = connection
        .prepare_cached(sql)?
        .query_map(params![tenant.as_str(), last, BATCH], |row| Ok((row.get(0)?, count(row, 1)?)))?
        .collect::<Result<_>>()?;
    let mut delete = connection.prepare_cached("DELETE FROM verdict WHERE seq = ?1")?;
    for (seq, bytes) in &rows {
        delete.execute([seq])?;
        total.subtract(*bytes);
    }
    total.write(connection)?;
    Ok((rows.len() as u64, total))
}

/// Removes all rows. Returns how many there were.
pub(super) fn purge_all(connection: &Connection) -> Result<u64> {
    let Total { rows, .. } = Total::read(connection)?;
    connection.execute("DELETE FROM verdict", [])?;
    Total::default().write(connection)?;
    Ok(rows)
}

/// A number that is never negative.
fn count(row: &rusqlite::Row<'_>, at: usize) -> Result<u64> {
    Ok(row.get::<_, i64>(at)?.max(0).cast_unsigned())
}

/// The ids of names: a batch has few, and mostly the same twice in a row.
#[derive(Default)]
struct Names(Vec<(String, i64)>);

impl Names {
    fn id(&mut self, connection: &Connection, name: &str) -> Result<i64> {
        if let Some((_, id)) = self.0.iter().find(|(known, _)| known == name) {
            return Ok(*id);
        }
        connection.prepare_cached("INSERT INTO name (name) VALUES (?1) ON CONFLICT (name) DO NOTHING")?.execute([name])?;
        let mut select = connection.prepare_cached("SELECT id FROM name WHERE name = ?1")?;
        let id = select.query_row([name], |row| row.get(0))?;
        if self.0.len() < 16 {
            self.0.push((name.to_owned(), id));
        }
        Ok(id)
    }
}
