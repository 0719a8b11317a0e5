//! Rows of the tables as the nouns of `core`, and back.

use assize_core::{
    Accepted, AskedAs, CallId, CallRecord, CallStatus, JudgeName, JudgeVersion, ListCost, MetricName, NanoUsd, Part,
    ProviderName, ReuseKind, Reused, RowKey, Step, Timestamp, TokenUsage, Verdict,
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
             input_tokens, cached_input_tokens, output_tokens, cache_write_tokens, cost, latency_ms, simulated, reused, saved, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)",
    )
}

/// Stores a verdict, unless this judge version has given one on the metric before; whether it was new.
pub(super) fn insert_verdict(
    statement: &mut CachedStatement<'_>,
    row: &Accepted,
    metric: &MetricName,
    verdict: &Verdict,
    is_reference: bool,
    at: Timestamp,
) -> rusqlite::Result<bool> {
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
        usage.map(|usage| integer(usage.cache_write)),
        verdict.cost.map(|cost| integer(cost.0)),
        integer(verdict.latency_ms),
        verdict.simulated,
        verdict.reused.map(|reused| reused.kind.as_str()),
        verdict.reused.and_then(|reused| reused.saved).map(|saved| integer(saved.0)),
        at.0,
    ]);
    inserted.map(|inserted| inserted == 1)
}

/// The columns of [`read_verdict`].
pub(super) const VERDICT_COLUMNS: &str = "judge, version, score, label, confidence, reason, model, input_tokens, \
                                          cached_input_tokens, output_tokens, cache_write_tokens, cost, latency_ms, simulated, \
                                          reused, saved";

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
        cost: read_cost(row, first + 11)?,
        latency_ms: row.get::<_, i64>(first + 12)?.unsigned_abs(),
        simulated: row.get(first + 13)?,
        reused: read_reused(row, first + 14)?,
    })
}

/// Two columns: the kind and what was saved.
fn read_reused(row: &Row<'_>, first: usize) -> Result<Option<Reused>, Failure> {
    let kind = match row.get_ref(first)?.as_str_or_null().map_err(rusqlite::Error::from)? {
        None => return Ok(None),
        Some("exact") => ReuseKind::Exact,
        Some("similar") => ReuseKind::Similar,
        Some(_) => return Err(Failure::Damaged("how a verdict was used again".to_owned())),
    };
    Ok(Some(Reused { kind, saved: read_cost(row, first + 1)? }))
}

fn read_cost(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<NanoUsd>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(|cost| NanoUsd(cost.unsigned_abs())))
}

/// The statement of [`insert_call`].
pub(super) fn call_statement(connection: &Connection) -> rusqlite::Result<CachedStatement<'_>> {
    connection.prepare_cached(
        "INSERT OR IGNORE INTO call (id, key, metric, judge, provider, model, answered, error, input_tokens, cached_input_tokens,
             output_tokens, cache_write_tokens, cost, latency_ms, at, part, parts, asked_as, live, uncached)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
    )
}

/// Stores a call, or its part for a metric; whether it was new.
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
        call.usage.map(|usage| integer(usage.cache_write)),
        call.cost.map(|cost| integer(cost.0)),
        integer(call.latency_ms),
        call.at.0,
        call.part.at,
        call.part.of,
        call.asked_as.as_str(),
        call.list.map(|list| integer(list.live.0)),
        call.list.map(|list| integer(list.uncached.0)),
    ])?;
    Ok(inserted == 1)
}

const CALL_COLUMNS: &str = "id, judge, provider, model, answered, error, input_tokens, cached_input_tokens, output_tokens, \
                            cache_write_tokens, cost, latency_ms, at, part, parts, asked_as, live, uncached";

/// The calls made for a metric of an interaction, in order of time.
pub(super) fn calls(connection: &Connection, key: RowKey, metric: &MetricName) -> Result<Vec<CallRecord>, Failure> {
    let wanted = format!("SELECT {CALL_COLUMNS} FROM call WHERE key = ?1 AND metric = ?2 ORDER BY at, id");
    let mut statement = connection.prepare_cached(&wanted)?;
    read_calls(statement.query((key.0, metric.as_str()))?)
}

/// The calls made for an interaction, in no particular order.
pub(super) fn all_calls(connection: &Connection, key: RowKey) -> Result<Vec<CallRecord>, Failure> {
    let mut statement = connection.prepare_cached(&format!("SELECT {CALL_COLUMNS} FROM call WHERE key = ?1"))?;
    read_calls(statement.query([key.0])?)
}

fn read_calls(mut rows: rusqlite::Rows<'_>) -> Result<Vec<CallRecord>, Failure> {
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
            cost: read_cost(row, 10)?,
            latency_ms: row.get::<_, i64>(11)?.unsigned_abs(),
            at: Timestamp(row.get(12)?),
            part: Part { at: row.get(13)?, of: row.get(14)? },
            asked_as: asked_as(row, 15)?,
            list: read_cost(row, 16)?.zip(read_cost(row, 17)?).map(|(live, uncached)| ListCost { live, uncached }),
        });
    }
    Ok(calls)
}

/// Stores a draw between tiers; whether it was new.
pub(super) fn insert_step(connection: &Connection, key: RowKey, metric: &MetricName, step: &Step) -> rusqlite::Result<bool> {
    let inserted = connection
        .prepare_cached(
            "INSERT OR IGNORE INTO step (key, metric, tier, judge, conditional, probability, drawn, predictor, score)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            key.0,
            metric.as_str(),
            step.tier,
            step.judge.as_str(),
            step.conditional,
            step.probability,
            step.drawn,
            step.predictor.as_ref().map(|(judge, _)| judge.as_str()),
            step.predictor.as_ref().map(|(_, score)| score),
        ])?;
    Ok(inserted == 1)
}

/// The draws between the tiers of an interaction's metrics, by metric and in cascade order.
pub(super) fn steps(connection: &Connection, key: RowKey) -> Result<Vec<(MetricName, Step)>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT metric, tier, judge, conditional, probability, drawn, predictor, score FROM step WHERE key = ?1 ORDER BY metric, tier",
    )?;
    let mut rows = statement.query([key.0])?;
    let mut steps = Vec::new();
    while let Some(row) = rows.next()? {
        let score: Option<f64> = row.get(7)?;
        let predictor = score.map(|score| Ok::<_, Failure>((name(row, 6, JudgeName::new)?, score))).transpose()?;
        let step = Step {
            predictor,
            tier: row.get(1)?,
            judge: name(row, 2, JudgeName::new)?,
            conditional: row.get(3)?,
            probability: row.get(4)?,
            drawn: row.get(5)?,
        };
        steps.push((name(row, 0, MetricName::new)?, step));
    }
    Ok(steps)
}

/// As what a judge was asked; unknown where that is not on record.
pub(super) fn asked_as(row: &Row<'_>, column: usize) -> rusqlite::Result<AskedAs> {
    Ok(row.get_ref(column)?.as_str_or_null()?.map(AskedAs::from_stored).unwrap_or_default())
}

/// Four columns: input, cached input, output, and written to the cache, which older rows lack.
fn read_usage(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<TokenUsage>> {
    let tokens = |column: usize| row.get::<_, Option<i64>>(first + column);
    let (Some(input), Some(cached_input), Some(output)) = (tokens(0)?, tokens(1)?, tokens(2)?) else { return Ok(None) };
    Ok(Some(TokenUsage {
        input: input.unsigned_abs(),
        cached_input: cached_input.unsigned_abs(),
        output: output.unsigned_abs(),
        cache_write: tokens(3)?.unwrap_or_default().unsigned_abs(),
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
