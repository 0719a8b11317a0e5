//! The feed of what was decided, in order of recording.

use std::collections::BTreeMap;

use assize_core::decided::{Decided, DecidedPage, DecidedQuery, RESPONSE_ID, TOLD};
use assize_core::{Accepted, DecisionState, MetricName, Outcome, ProjectName, Reason, RowKey, Timestamp, Verdict};
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::value::RawValue;

use super::Failure;
use super::stored::{VERDICT_COLUMNS, find, integer, name, read_verdict};

/// How many places one part looks at.
const LOOKED_AT_MAX: usize = 20_000;
const LIMIT_MAX: usize = 1_000;
/// The code of the reason where the fallback judge was asked.
const FALLBACK: &str = "fallback";

/// Adds to the feed, if this outcome is told of.
pub(super) fn add(connection: &Connection, row: &Accepted, metric: &MetricName, outcome: Outcome) -> rusqlite::Result<()> {
    if TOLD.contains(&outcome) {
        connection.prepare_cached("INSERT INTO decided (project, metric, key) VALUES (?1, ?2, ?3)")?.execute((
            row.project.as_str(),
            metric.as_str(),
            row.key.0,
        ))?;
    }
    Ok(())
}

/// The last place that was given, 0 if none was.
pub(super) fn last(connection: &Connection) -> Result<u64, Failure> {
    let last: Option<i64> = connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'decided'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(last.unwrap_or(0).unsigned_abs())
}

/// What comes after a place.
pub(super) fn after(connection: &Connection, query: &DecidedQuery) -> Result<DecidedPage, Failure> {
    let limit = query.limit.clamp(1, LIMIT_MAX);
    let mut statement = connection.prepare_cached("SELECT seq, project, metric, key FROM decided WHERE seq > ?1 ORDER BY seq")?;
    let mut rows = statement.query([integer(query.after)])?;
    let mut page = DecidedPage { items: Vec::new(), up_to: query.after, is_end: false };
    let mut looked_at = 0;
    while page.items.len() < limit && looked_at < LOOKED_AT_MAX {
        let Some(found) = rows.next()? else {
            page.is_end = true;
            break;
        };
        looked_at += 1;
        let seq = found.get::<_, i64>(0)?.unsigned_abs();
        let project = name(found, 1, ProjectName::new)?;
        let metric = name(found, 2, MetricName::new)?;
        let is_wanted = (query.projects.is_empty() || query.projects.contains(&project))
            && (query.metrics.is_empty() || query.metrics.contains(&metric));
        if is_wanted && let Some(decided) = complete(connection, seq, metric, RowKey(found.get(3)?))? {
            page.items.push(decided);
        }
        page.up_to = seq;
    }
    Ok(page)
}

/// What is on record about it; `None` if that was deleted since.
fn complete(connection: &Connection, seq: u64, metric: MetricName, key: RowKey) -> Result<Option<Decided>, Failure> {
    let Some((place, row)) = find(connection, key)? else { return Ok(None) };
    let Some(decision) = row.decision(&metric) else { return Ok(None) };
    let mut decided = Decided {
        seq,
        response_id: response_id(connection, place)?,
        outcome: Outcome::Judged,
        reason: None,
        verdict: None,
        is_fallback: false,
        reference: decision.reference.clone(),
        probability: decision.probability,
        at: row.accepted_at,
        project: row.project.clone(),
        id: row.id.clone(),
        time: row.time,
        metric,
    };
    if let DecisionState::Closed(outcome, reason) = &decision.state {
        (decided.outcome, decided.reason) = (*outcome, reason.clone());
    } else {
        let mut statement = connection
            .prepare_cached("SELECT outcome, code, message, probability, at FROM outcome WHERE key = ?1 AND metric = ?2")?;
        let mut rows = statement.query((key.0, decided.metric.as_str()))?;
        let Some(found) = rows.next()? else { return Ok(None) };
        decided.outcome = found.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?.parse().map_err(Failure::Damaged)?;
        let code: Option<String> = found.get(1)?;
        let message: Option<String> = found.get(2)?;
        decided.reason = code.map(|code| Reason { code: code.into(), message: message.unwrap_or_default() });
        decided.probability = found.get::<_, Option<f64>>(3)?.unwrap_or(decision.probability);
        decided.at = Timestamp(found.get(4)?);
    }
    decided.is_fallback =
        decided.outcome == Outcome::JudgeFailed && decided.reason.as_ref().is_some_and(|reason| reason.code == FALLBACK);
    // Where no judge could be had, what cheaper judges said is not the answer.
    if decided.outcome != Outcome::JudgeFailed || decided.is_fallback {
        decided.verdict = verdict(connection, key, &decided.metric)?;
    }
    Ok(Some(decided))
}

/// The reference judge's verdict; else the last one: that was used again, or the fallback judge's.
fn verdict(connection: &Connection, key: RowKey, metric: &MetricName) -> Result<Option<Verdict>, Failure> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {VERDICT_COLUMNS} FROM verdict WHERE key = ?1 AND metric = ?2 ORDER BY is_reference DESC, seq DESC LIMIT 1"
    ))?;
    let mut rows = statement.query((key.0, metric.as_str()))?;
    rows.next()?.map(|row| read_verdict(row, 0)).transpose()
}

fn response_id(connection: &Connection, place: i64) -> Result<Option<String>, Failure> {
    let json: Option<Vec<u8>> =
        connection.prepare_cached("SELECT json FROM payload WHERE seq = ?1")?.query_row([place], |row| row.get(0)).optional()?;
    // Only the tags are looked into, and texts passed over.
    let tag = |json: &[u8]| {
        let fields: BTreeMap<&str, &RawValue> = serde_json::from_slice(json).ok()?;
        let mut tags: BTreeMap<String, String> = serde_json::from_str(fields.get("tags")?.get()).ok()?;
        tags.remove(RESPONSE_ID)
    };
    Ok(json.as_deref().and_then(tag))
}
