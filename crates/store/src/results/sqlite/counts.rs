//! Counts of outcomes, and spend.

use std::collections::BTreeMap;

use assize_core::allocation::Cell;
use assize_core::results::{CellBucket, OutcomeCount, Outcomes, ReuseAudit, Spend, SpendBy};
use assize_core::{AskedAs, Hour, JudgeName, JudgeVersion, MetricName, Outcome, ProjectName, Timestamp};
use rusqlite::Connection;

use super::Failure;
use super::rollup::{SPEND_COLUMNS, read_spend};
use super::stored::{asked_as, hours, name};

/// Outcomes of all hours that `[from, to)` touches. Both queries see one snapshot, so that the counts add up.
pub(super) fn outcomes(
    connection: &Connection,
    project: &ProjectName,
    from: Timestamp,
    to: Timestamp,
) -> Result<Outcomes, Failure> {
    if from >= to {
        return Ok(Outcomes::default());
    }
    let (first, last) = hours(from, to);
    let accepted: i64 = connection
        .prepare_cached("SELECT coalesce(sum(count), 0) FROM accepted WHERE project = ?1 AND hour BETWEEN ?2 AND ?3")?
        .query_row((project.as_str(), first, last), |row| row.get(0))?;
    let mut statement = connection.prepare_cached(
        "SELECT metric, outcome, code, sum(count) FROM outcome_count WHERE project = ?1 AND hour BETWEEN ?2 AND ?3
         GROUP BY metric, outcome, code HAVING sum(count) <> 0 ORDER BY metric, outcome, code",
    )?;
    let mut rows = statement.query((project.as_str(), first, last))?;
    let mut counts = Vec::new();
    while let Some(row) = rows.next()? {
        let outcome: String = row.get(1)?;
        let outcome = match outcome.as_str() {
            "" => None,
            text => Some(text.parse::<Outcome>().map_err(Failure::Damaged)?),
        };
        let count = row.get::<_, i64>(3)?.unsigned_abs();
        counts.push(OutcomeCount { metric: name(row, 0, MetricName::new)?, outcome, reason: row.get(2)?, count });
    }
    Ok(Outcomes { accepted: accepted.unsigned_abs(), counts })
}

/// The cells of hours from `from` on.
pub(super) fn cells(connection: &Connection, project: &ProjectName, from: Timestamp) -> Result<Vec<CellBucket>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT metric, reference, predictor, bin, sum(population), sum(judged), sum(w), sum(wh) FROM cell
         WHERE project = ?1 AND hour >= ?2 GROUP BY metric, reference, predictor, bin ORDER BY metric, reference, predictor, bin",
    )?;
    let mut rows = statement.query((project.as_str(), from.hour().0))?;
    let mut cells = Vec::new();
    while let Some(row) = rows.next()? {
        cells.push(CellBucket {
            metric: name(row, 0, MetricName::new)?,
            reference: JudgeVersion::from_stored(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?),
            predictor: name(row, 2, JudgeName::new)?,
            bin: row.get(3)?,
            cell: Cell { population: row.get(4)?, judged: row.get::<_, i64>(5)?.unsigned_abs(), w: row.get(6)?, wh: row.get(7)? },
        });
    }
    Ok(cells)
}

/// Of the verdicts on nearly the same, those whose interaction the reference judge has judged too.
pub(super) fn reuse_audits(connection: &Connection, project: &ProjectName) -> Result<Vec<ReuseAudit>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT similar.metric, similar.version, count(*), sum((similar.score >= 0.5) <> (real.score >= 0.5))
         FROM verdict AS similar
         JOIN verdict AS real ON real.key = similar.key AND real.metric = similar.metric AND real.is_reference = 1
         WHERE similar.project = ?1 AND similar.reused = 'similar'
         GROUP BY similar.metric, similar.version",
    )?;
    let mut rows = statement.query([project.as_str()])?;
    let mut audits = Vec::new();
    while let Some(row) = rows.next()? {
        audits.push(ReuseAudit {
            metric: name(row, 0, MetricName::new)?,
            version: JudgeVersion::from_stored(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?),
            judged: row.get::<_, i64>(2)?.unsigned_abs(),
            errors: row.get::<_, i64>(3)?.unsigned_abs(),
        });
    }
    Ok(audits)
}

/// Spend in all hours that `[from, to)` touches. Keys: empty for the total, names, models, `2026-11-24T08:00:00Z`, `2026-11-24`.
pub(super) fn spend(
    connection: &Connection,
    project: &ProjectName,
    from: Timestamp,
    to: Timestamp,
    by: SpendBy,
) -> Result<BTreeMap<String, Spend>, Failure> {
    let mut groups = BTreeMap::new();
    if from >= to {
        return Ok(groups);
    }
    let (first, last) = hours(from, to);
    let mut statement = connection.prepare_cached(&format!(
        "SELECT hour, metric, judge, model, asked_as, {} FROM spend WHERE project = ?1 AND hour BETWEEN ?2 AND ?3",
        SPEND_COLUMNS.join(", ")
    ))?;
    let mut rows = statement.query((project.as_str(), first, last))?;
    while let Some(row) = rows.next()? {
        let key = match by {
            SpendBy::Total => String::new(),
            SpendBy::Metric => row.get(1)?,
            SpendBy::Judge => row.get(2)?,
            SpendBy::Model => row.get(3)?,
            SpendBy::AskedAs => row.get(4)?,
            SpendBy::Hour => Hour(row.get(0)?).start().to_rfc3339().replace(".000Z", "Z"),
            SpendBy::Day => Hour(row.get(0)?).start().to_rfc3339().split('T').next().unwrap_or_default().to_owned(),
        };
        groups.entry(key).or_default().add(&read_spend(row, 5)?);
    }
    Ok(groups)
}

/// Spend in all hours that `[from, to)` touches, by metric and by what judges were asked as.
pub(super) fn spend_by_place(
    connection: &Connection,
    project: &ProjectName,
    from: Timestamp,
    to: Timestamp,
) -> Result<BTreeMap<(String, AskedAs), Spend>, Failure> {
    let mut groups: BTreeMap<(String, AskedAs), Spend> = BTreeMap::new();
    if from >= to {
        return Ok(groups);
    }
    let (first, last) = hours(from, to);
    let mut statement = connection.prepare_cached(&format!(
        "SELECT metric, asked_as, {} FROM spend WHERE project = ?1 AND hour BETWEEN ?2 AND ?3",
        SPEND_COLUMNS.join(", ")
    ))?;
    let mut rows = statement.query((project.as_str(), first, last))?;
    while let Some(row) = rows.next()? {
        groups.entry((row.get(0)?, asked_as(row, 1)?)).or_default().add(&read_spend(row, 2)?);
    }
    Ok(groups)
}

/// How many interactions were accepted in all hours that `[from, to)` touches, by hour.
pub(super) fn accepted(
    connection: &Connection,
    project: &ProjectName,
    from: Timestamp,
    to: Timestamp,
) -> Result<BTreeMap<Hour, u64>, Failure> {
    let mut by_hour = BTreeMap::new();
    if from >= to {
        return Ok(by_hour);
    }
    let (first, last) = hours(from, to);
    let mut statement = connection
        .prepare_cached("SELECT hour, count FROM accepted WHERE project = ?1 AND hour BETWEEN ?2 AND ?3 AND count > 0")?;
    let mut rows = statement.query((project.as_str(), first, last))?;
    while let Some(row) = rows.next()? {
        by_hour.insert(Hour(row.get(0)?), row.get::<_, i64>(1)?.unsigned_abs());
    }
    Ok(by_hour)
}
