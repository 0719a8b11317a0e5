//! The rows of tenants, of the platform, and of the times in which nothing was taken. Each change writes its entry of the audit log.

use assize_core::audit::Change;
use assize_core::{Gap, GapChange, PlatformPolicy, Tenant, TenantName, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::audit::append;

/// Creates a tenant unless there is one of the name.
pub(super) fn create(connection: &Connection, tenant: &Tenant, by: &str) -> rusqlite::Result<bool> {
    let sql = "INSERT OR IGNORE INTO tenant (name, created_at, policy, version) VALUES (?1, ?2, ?3, 1)";
    let created = connection.prepare_cached(sql)?.execute((
        tenant.name.as_str(),
        tenant.created_at.0,
        written(serde_json::to_string(&tenant.policy))?,
    ))? == 1;
    if created {
        let gap = GapChange::of(&assize_core::TenantPolicy::default(), &tenant.policy, tenant.created_at);
        mark(connection, &tenant.name, gap)?;
        append(connection, Change::tenant_created(tenant, by))?;
    }
    Ok(created)
}

/// All tenants, by name; `None` for one that cannot be read.
pub(super) fn list(connection: &Connection) -> rusqlite::Result<Vec<Option<Tenant>>> {
    let sql = "SELECT name, created_at, policy, version FROM tenant ORDER BY name";
    connection.prepare_cached(sql)?.query_map([], read)?.collect()
}

/// Changes a tenant's policy if its version is the next one. `Err` within for a policy on record that cannot be read.
pub(super) fn change(
    connection: &Connection,
    tenant: &Tenant,
    by: &str,
    at: Timestamp,
) -> rusqlite::Result<Result<bool, &'static str>> {
    let sql = "SELECT name, created_at, policy, version FROM tenant WHERE name = ?1";
    let before = connection.prepare_cached(sql)?.query_row([tenant.name.as_str()], read).optional()?;
    let before = match before {
        None => return Ok(Ok(false)),
        Some(None) => return Ok(Err("a tenant")),
        Some(Some(before)) => before,
    };
    if before.version.checked_add(1) != Some(tenant.version) {
        return Ok(Ok(false));
    }
    let sql = "UPDATE tenant SET policy = ?2, version = version + 1 WHERE name = ?1";
    connection.prepare_cached(sql)?.execute((tenant.name.as_str(), written(serde_json::to_string(&tenant.policy))?))?;
    mark(connection, &tenant.name, GapChange::of(&before.policy, &tenant.policy, at))?;
    append(connection, Change::tenant_changed(&before, tenant, by, at))?;
    Ok(Ok(true))
}

/// The last gaps of a tenant that touch a range.
pub(super) fn gaps(
    connection: &Connection,
    tenant: &TenantName,
    from: Timestamp,
    to: Timestamp,
    limit: usize,
) -> rusqlite::Result<Vec<Gap>> {
    let sql = "SELECT since, until, reason FROM tenant_gap
               WHERE tenant = ?1 AND since < ?3 AND (until IS NULL OR until > MAX(since, ?2)) ORDER BY since DESC LIMIT ?4";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let read = |row: &Row<'_>| {
        let until = row.get::<_, Option<i64>>(1)?.map(Timestamp);
        Ok(Gap { since: Timestamp(row.get(0)?), until, reason: row.get(2)? })
    };
    let mut gaps: Vec<Gap> =
        connection.prepare_cached(sql)?.query_map((tenant.as_str(), from.0, to.0, limit), read)?.collect::<Result<_, _>>()?;
    gaps.reverse();
    Ok(gaps)
}

fn mark(connection: &Connection, tenant: &TenantName, change: GapChange) -> rusqlite::Result<()> {
    let name = tenant.as_str();
    // The open one ends after every other, whatever the clock has done since.
    let last = "(SELECT MAX(since) FROM tenant_gap WHERE tenant = ?1)";
    match change {
        GapChange::None => Ok(()),
        GapChange::Open(Gap { since, until, reason }) => {
            let sql = "INSERT OR REPLACE INTO tenant_gap (tenant, since, until, reason) VALUES (?1, ?2, ?3, ?4)";
            connection.execute(sql, (name, since.0, until.map(|at| at.0), reason)).map(|_| ())
        }
        GapChange::Amend(Gap { until, reason, .. }) => {
            let sql = format!("UPDATE tenant_gap SET until = ?2, reason = ?3 WHERE tenant = ?1 AND since = {last}");
            connection.execute(&sql, (name, until.map(|at| at.0), reason)).map(|_| ())
        }
        GapChange::Close(at) => {
            let sql = format!("UPDATE tenant_gap SET until = MAX(since, ?2) WHERE tenant = ?1 AND since = {last}");
            connection.execute(&sql, (name, at.0)).map(|_| ())
        }
    }
}

/// What holds for all tenants together; `None` if it cannot be read.
pub(super) fn platform(connection: &Connection) -> rusqlite::Result<Option<(PlatformPolicy, u64)>> {
    let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?.unsigned_abs()));
    match connection.prepare_cached("SELECT policy, version FROM platform WHERE id = 1")?.query_row([], read).optional()? {
        None => Ok(Some((PlatformPolicy::default(), 0))),
        Some((policy, version)) => Ok(serde_json::from_str(&policy).ok().map(|policy| (policy, version))),
    }
}

/// Changes it, if `version` is the next one. `Err` within for what is on record and cannot be read.
pub(super) fn change_platform(
    connection: &Connection,
    policy: &PlatformPolicy,
    version: u64,
    by: &str,
    at: Timestamp,
) -> rusqlite::Result<Result<bool, &'static str>> {
    let Some((before, present)) = platform(connection)? else { return Ok(Err("the platform's policy")) };
    if present.checked_add(1) != Some(version) {
        return Ok(Ok(false));
    }
    let sql = "INSERT INTO platform (id, policy, version) VALUES (1, ?1, 1)
               ON CONFLICT (id) DO UPDATE SET policy = excluded.policy, version = version + 1";
    connection.execute(sql, [written(serde_json::to_string(policy))?])?;
    append(connection, Change::platform_changed(&before, policy, by, at))?;
    Ok(Ok(true))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Option<Tenant>> {
    let name = TenantName::new(row.get_ref(0)?.as_str()?).ok();
    let policy = serde_json::from_str(row.get_ref(2)?.as_str()?).ok();
    let (created_at, version) = (Timestamp(row.get(1)?), row.get::<_, i64>(3)?.unsigned_abs());
    Ok(name.zip(policy).map(|(name, policy)| Tenant { name, created_at, policy, version }))
}

fn written(json: serde_json::Result<String>) -> rusqlite::Result<String> {
    json.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}
