//! Rows of the tables as the nouns of `core`, and back.

use assize_core::{
    Accepted, CallId, CallRecord, CallStatus, JudgeName, JudgeVersion, MetricName, NanoUsd, ProviderName, RowKey, Timestamp,
    TokenUsage, Verdict,
};
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Row, params};

use super::Failure;
use crate::sqlite::row;

/// SQLite's integers are signed: what lies beyond is stored as the largest.
pub(super) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The row in `bytes`.
pub(super) fn decode(key: RowKey, bytes: &[u8]) -> Result<Accepted, Failure> {
    row::decode(bytes).ok_or_else(|| Failure::Damaged(format!("the row of the key {key:?}")))
}

/// The place and the row of `key`.
pub(super) fn find(connection: &Connection, key: RowKey) -> Result<Option<(i64, Accepted)>, Failure> {
    let found: Option<(i64, Vec<u8>)> = connection
        .prepare_cached("SELECT seq, row FROM interaction WHERE key = ?1")?
        .query_row([key.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    found.map(|(seq, bytes)| Ok((seq, decode(key, &bytes)?))).transpose()
}

/// The statement of [`insert_verdict`].
pub(super) fn verdict_statement(connection: &Connection) -> rusqlite::Result<CachedStatement<'_>> {
    connection.prepare_cached(
        "INSERT OR IGNORE INTO verdict (key, project, metric, judge, version, is_reference, score, label, confidence, reason, model,
             input_tokens, cached_input_tokens, output_tokens, cost, latency_ms, simulated, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
    )
}

/// Stores a verdict, unless this judge version has given one on the metric before.
pub(super) fn insert_verdict(
    statement: &mut CachedStatement<'_>,
    row: &Accepted,
    metric: &MetricName,
    verdict: &Verdict,
    is_reference: bool,
    at: Timestamp,
) -> rusqlite::Result<()> {
    let usage = verdict.usage;
    let inserted = statement.execute(params![
        row.key.0,
        row.project.as_str(),
        metric.as_str(),
        verdict.judge.as_str(),
        verdict.version.as_str(),
        is_reference,
        verdict.score,
        verdict.label,
        verdict.confidence,
        verdict.reason,
        verdict.model,
        usage.map(|usage| integer(usage.input)),
        usage.map(|usage| integer(usage.cached_input)),
        usage.map(|usage| integer(usage.output)),
        verdict.cost.map(|cost| integer(cost.0)),
        integer(verdict.latency_ms),
        verdict.simulated,
        at.0,
    ]);
    inserted.map(|_| ())
}

/// The columns of [`read_verdict`].
pub(super) const VERDICT_COLUMNS: &str = "judge, version, score, label, confidence, reason, model, input_tokens, \
                                          cached_input_tokens, output_tokens, cost, latency_ms, simulated";

/// A verdict in [`VERDICT_COLUMNS`] that begin at `first`.
pub(super) fn read_verdict(row: &Row<'_>, first: usize) -> Result<Verdict, Failure> {
    Ok(Verdict {
        judge: name(row, first, JudgeName::new)?,
        version: JudgeVersion::from_stored(row.get_ref(first + 1)?.as_str().map_err(rusqlite::Error::from)?),
        score: row.get(first + 2)?,
        label: row.get(first + 3)?,
        confidence: row.get(first + 4)?,
        reason: row.get(first + 5)?,
        model: row.get(first + 6)?,
        usage: read_usage(row, first + 7)?,
        cost: row.get::<_, Option<i64>>(first + 10)?.map(|cost| NanoUsd(cost.unsigned_abs())),
        latency_ms: row.get::<_, i64>(first + 11)?.unsigned_abs(),
        simulated: row.get(first + 12)?,
    })
}

/// The statement of [`insert_call`].
pub(super) fn call_statement(connection: &Connection) -> rusqlite::Result<CachedStatement<'_>> {
    connection.prepare_cached(
        "INSERT OR IGNORE INTO call (id, key, metric, judge, provider, model, answered, error, input_tokens, cached_input_tokens,
             output_tokens, cost, latency_ms, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )
}

/// Stores a call; whether its id was new.
pub(super) fn insert_call(
    statement: &mut CachedStatement<'_>,
    key: RowKey,
    metric: &MetricName,
    call: &CallRecord,
) -> rusqlite::Result<bool> {
    let inserted = statement.execute(params![
        call.id.0,
        key.0,
        metric.as_str(),
        call.judge.as_str(),
        call.provider.as_str(),
        call.model,
        call.status == CallStatus::Answered,
        call.error,
        call.usage.map(|usage| integer(usage.input)),
        call.usage.map(|usage| integer(usage.cached_input)),
        call.usage.map(|usage| integer(usage.output)),
        call.cost.map(|cost| integer(cost.0)),
        integer(call.latency_ms),
        call.at.0,
    ])?;
    Ok(inserted == 1)
}

/// The calls made for a metric of an interaction, in order of time.
pub(super) fn calls(connection: &Connection, key: RowKey, metric: &MetricName) -> Result<Vec<CallRecord>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT id, judge, provider, model, answered, error, input_tokens, cached_input_tokens, output_tokens, cost, latency_ms, at
         FROM call WHERE key = ?1 AND metric = ?2 ORDER BY at, id",
    )?;
    let mut rows = statement.query((key.0, metric.as_str()))?;
    let mut calls = Vec::new();
    while let Some(row) = rows.next()? {
        calls.push(CallRecord {
            id: CallId(row.get(0)?),
            judge: name(row, 1, JudgeName::new)?,
            provider: name(row, 2, ProviderName::new)?,
            model: row.get(3)?,
            status: if row.get(4)? { CallStatus::Answered } else { CallStatus::Failed },
            error: row.get(5)?,
            usage: read_usage(row, 6)?,
            cost: row.get::<_, Option<i64>>(9)?.map(|cost| NanoUsd(cost.unsigned_abs())),
            latency_ms: row.get::<_, i64>(10)?.unsigned_abs(),
            at: Timestamp(row.get(11)?),
        });
    }
    Ok(calls)
}

/// Three columns: input, cached input, output.
fn read_usage(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<TokenUsage>> {
    let tokens = |column: usize| row.get::<_, Option<i64>>(first + column);
    let (Some(input), Some(cached_input), Some(output)) = (tokens(0)?, tokens(1)?, tokens(2)?) else { return Ok(None) };
    Ok(Some(TokenUsage {
        input: input.unsigned_abs(),
        cached_input: cached_input.unsigned_abs(),
        output: output.unsigned_abs(),
        ..TokenUsage::default()
    }))
}

/// A name in `column`.
pub(super) fn name<N, E>(row: &Row<'_>, column: usize, new: impl Fn(&str) -> Result<N, E>) -> Result<N, Failure> {
    let text = row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?;
    new(text).map_err(|_| Failure::Damaged(format!("the name in column {}", row.as_ref().column_name(column).unwrap_or("?"))))
}

/// The first and the last hour that the range `[from, to)` touches.
pub(super) fn hours(from: Timestamp, to: Timestamp) -> (i64, i64) {
    (from.hour().0, Timestamp(to.0.saturating_sub(1)).hour().0)
}
