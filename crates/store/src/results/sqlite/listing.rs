//! Single interactions, and pages of interactions and verdicts, newest first.
//!
//! What a filter asks for is found by walking the project's rows. A page looks at a bounded number of them: one that finds little
//! ends early, with a cursor to go on from.

use assize_core::results::{Filter, InteractionRecord, MetricRecord, Page, VerdictRecord};
use assize_core::{Accepted, Decision, DecisionState, MetricName, Outcome, Reason, ReuseKind, RowKey, Timestamp};
use rusqlite::{Connection, OptionalExtension as _};

use super::Failure;
use super::stored::{VERDICT_COLUMNS, calls, decode, find, name, read_verdict, steps};

/// How many rows one page looks at.
const LOOKED_AT_MAX: usize = 20_000;
const LIMIT_MAX: usize = 1_000;

/// Everything about one interaction.
pub(super) fn interaction(connection: &Connection, key: RowKey) -> Result<Option<InteractionRecord>, Failure> {
    find(connection, key)?.map(|(seq, row)| complete(connection, seq, row)).transpose()
}

/// A page of interactions, by time, then by order of folding. The cursor is the place of the last row looked at.
pub(super) fn interactions(connection: &Connection, filter: &Filter) -> Result<Page<InteractionRecord>, Failure> {
    let limit = filter.limit.clamp(1, LIMIT_MAX);
    let (time, seq) = match &filter.cursor {
        None => (i64::MAX, i64::MAX),
        Some(cursor) => cursor
            .split_once('.')
            .and_then(|(time, seq)| Some((time.parse().ok()?, seq.parse().ok()?)))
            .ok_or_else(|| bad_cursor(cursor))?,
    };
    let mut statement = connection.prepare_cached(
        "SELECT seq, time, key, row FROM interaction
         WHERE project = ?1 AND time >= ?2 AND time <= ?3 AND (time < ?3 OR seq < ?4)
         ORDER BY time DESC, seq DESC",
    )?;
    // Exclusive bounds as inclusive ones: the last instant before `to`, or the cursor's own.
    let end = filter.to.map_or(i64::MAX, |to| to.0.saturating_sub(1));
    let (time, seq) = if end < time { (end, i64::MAX) } else { (time, seq) };
    let from = filter.from.map_or(i64::MIN, |from| from.0);
    let mut rows = statement.query((filter.project.as_str(), from, time, seq))?;
    let (mut items, mut looked_at, mut last) = (Vec::new(), 0, None);
    while let Some(found) = rows.next()? {
        if items.len() == limit || looked_at == LOOKED_AT_MAX {
            return Ok(Page { items, next: last });
        }
        looked_at += 1;
        let (seq, time): (i64, i64) = (found.get(0)?, found.get(1)?);
        last = Some(format!("{time}.{seq}"));
        let row = decode(RowKey(found.get(2)?), found.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?)?;
        if !may_match(filter, &row) {
            continue;
        }
        let metrics = metrics(connection, &row)?;
        if metrics_match(filter, &metrics) {
            items.push(InteractionRecord { payload: payload(connection, seq, &row)?, metrics, row });
        }
    }
    Ok(Page { items, next: None })
}

/// A page of verdicts, in order of recording. `from` and `to` are about the interaction's time.
pub(super) fn verdicts(connection: &Connection, filter: &Filter) -> Result<Page<VerdictRecord>, Failure> {
    let limit = filter.limit.clamp(1, LIMIT_MAX);
    let before: i64 = match &filter.cursor {
        None => i64::MAX,
        Some(cursor) => cursor.parse().map_err(|_| bad_cursor(cursor))?,
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT seq, key, metric, is_reference, at, {VERDICT_COLUMNS} FROM verdict WHERE project = ?1 AND seq < ?2 ORDER BY seq DESC"
    ))?;
    let mut rows = statement.query((filter.project.as_str(), before))?;
    let (mut items, mut looked_at, mut last) = (Vec::new(), 0, None);
    while let Some(found) = rows.next()? {
        if items.len() == limit || looked_at == LOOKED_AT_MAX {
            return Ok(Page { items, next: last });
        }
        looked_at += 1;
        last = Some(found.get::<_, i64>(0)?.to_string());
        let metric = name(found, 2, MetricName::new)?;
        let verdict = read_verdict(found, 5)?;
        let wanted = filter.metric.as_ref().is_none_or(|wanted| *wanted == metric)
            && filter.judge.as_ref().is_none_or(|wanted| *wanted == verdict.judge)
            && score_matches(filter, verdict.score);
        if !wanted {
            continue;
        }
        let key = RowKey(found.get(1)?);
        let Some((_, row)) = find(connection, key)? else {
            return Err(Failure::Damaged(format!("the row of the key {key:?}, of which there is a verdict,")));
        };
        if !row_matches(filter, &row) || !outcome_matches(connection, filter, &row, &metric)? {
            continue;
        }
        let at = Timestamp(found.get(4)?);
        items.push(VerdictRecord { id: row.id, time: row.time, metric, is_reference: found.get(3)?, verdict, at });
    }
    Ok(Page { items, next: None })
}

fn bad_cursor(cursor: &str) -> Failure {
    let shown: String = cursor.chars().take(80).collect();
    Failure::invalid(format!("{shown:?} is not a cursor: pass the one that the page before gave, unchanged"))
}

fn complete(connection: &Connection, seq: i64, row: Accepted) -> Result<InteractionRecord, Failure> {
    Ok(InteractionRecord { payload: payload(connection, seq, &row)?, metrics: metrics(connection, &row)?, row })
}

fn payload(connection: &Connection, seq: i64, row: &Accepted) -> Result<Option<assize_core::Interaction>, Failure> {
    let json: Option<Vec<u8>> =
        connection.prepare_cached("SELECT json FROM payload WHERE seq = ?1")?.query_row([seq], |row| row.get(0)).optional()?;
    // The parser's own message might repeat the text.
    let read = |json: Vec<u8>| {
        serde_json::from_slice(&json).map_err(|_| Failure::Damaged(format!("the payload of interaction {}", row.id)))
    };
    json.map(read).transpose()
}

fn metrics(connection: &Connection, row: &Accepted) -> Result<Vec<MetricRecord>, Failure> {
    row.decisions.iter().map(|decision| metric(connection, row.key, decision)).collect()
}

fn metric(connection: &Connection, key: RowKey, decision: &Decision) -> Result<MetricRecord, Failure> {
    let mut record = MetricRecord {
        decision: decision.clone(),
        outcome: None,
        reason: None,
        verdicts: Vec::new(),
        calls: Vec::new(),
        steps: Vec::new(),
    };
    match &decision.state {
        DecisionState::Closed(outcome, reason) => {
            record.outcome = Some(*outcome);
            record.reason.clone_from(reason);
        }
        DecisionState::Drawn => {
            if let Some((outcome, reason)) = outcome(connection, key, &decision.metric)? {
                record.outcome = Some(outcome);
                record.reason = reason;
            }
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {VERDICT_COLUMNS} FROM verdict WHERE key = ?1 AND metric = ?2 ORDER BY is_reference, seq"
            ))?;
            let mut rows = statement.query((key.0, decision.metric.as_str()))?;
            while let Some(row) = rows.next()? {
                record.verdicts.push(read_verdict(row, 0)?);
            }
            record.calls = calls(connection, key, &decision.metric)?;
            record.steps =
                steps(connection, key)?.into_iter().filter(|(of, _)| *of == decision.metric).map(|(_, step)| step).collect();
        }
    }
    Ok(record)
}

/// The outcome of a drawn decision, and its reason.
fn outcome(connection: &Connection, key: RowKey, metric: &MetricName) -> Result<Option<(Outcome, Option<Reason>)>, Failure> {
    let found: Option<(String, Option<String>, Option<String>)> = connection
        .prepare_cached("SELECT outcome, code, message FROM outcome WHERE key = ?1 AND metric = ?2")?
        .query_row((key.0, metric.as_str()), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((outcome, code, message)) = found else { return Ok(None) };
    let reason = code.map(|code| Reason { code: code.into(), message: message.unwrap_or_default() });
    Ok(Some((outcome.parse().map_err(Failure::Damaged)?, reason)))
}

fn score_matches(filter: &Filter, score: f64) -> bool {
    filter.score_min.is_none_or(|min| score >= min) && filter.score_max.is_none_or(|max| score <= max)
}

fn row_matches(filter: &Filter, row: &Accepted) -> bool {
    filter.from.is_none_or(|from| row.time >= from)
        && filter.to.is_none_or(|to| row.time < to)
        && filter.dimension.as_ref().is_none_or(|wanted| row.dimensions.contains(wanted))
}

/// Whether the row may match, before anything else about it is read: outcomes that were decided at accept are on the row.
fn may_match(filter: &Filter, row: &Accepted) -> bool {
    let asks_of_metric = filter.metric.is_some() || filter.outcome.is_some();
    let one_may = |decision: &Decision| {
        filter.metric.as_ref().is_none_or(|wanted| *wanted == decision.metric)
            && filter.outcome.is_none_or(|wanted| decision.closed().is_none_or(|outcome| outcome == wanted))
    };
    row_matches(filter, row) && (!asks_of_metric || row.decisions.iter().any(one_may))
}

/// Whether one of the metrics is of the name, has the outcome, and a score of the judge within the bounds. Without a judge the score
/// is the reference judge's.
fn metrics_match(filter: &Filter, metrics: &[MetricRecord]) -> bool {
    let Filter { metric, judge, outcome, score_min, score_max, .. } = filter;
    let asks_of_score = judge.is_some() || score_min.is_some() || score_max.is_some();
    if metric.is_none() && outcome.is_none() && !asks_of_score {
        return true;
    }
    let matches = |record: &MetricRecord| {
        let free = record.decision.scores.iter().map(|tier| (&tier.judge, tier.score));
        let mut scores: Vec<_> = free.chain(record.verdicts.iter().map(|verdict| (&verdict.judge, verdict.score))).collect();
        if judge.is_none() {
            // The last score is the reference judge's exactly when the outcome is `judged`, or `reused`.
            let is_similar =
                record.verdicts.last().and_then(|verdict| verdict.reused).is_some_and(|r| r.kind == ReuseKind::Similar);
            let counts = matches!(record.outcome, Some(Outcome::Judged | Outcome::Reused)) && !is_similar;
            let reference = scores.pop().filter(|_| counts);
            scores = reference.into_iter().collect();
        }
        metric.as_ref().is_none_or(|wanted| *wanted == record.decision.metric)
            && outcome.is_none_or(|wanted| record.outcome == Some(wanted))
            && (!asks_of_score
                || scores
                    .iter()
                    .any(|(by, score)| judge.as_ref().is_none_or(|judge| *by == judge) && score_matches(filter, *score)))
    };
    metrics.iter().any(matches)
}

fn outcome_matches(connection: &Connection, filter: &Filter, row: &Accepted, metric: &MetricName) -> Result<bool, Failure> {
    let Some(wanted) = filter.outcome else { return Ok(true) };
    let at_accept = row.decision(metric).and_then(Decision::closed);
    let outcome = match at_accept {
        Some(outcome) => Some(outcome),
        None => outcome(connection, row.key, metric)?.map(|(outcome, _)| outcome),
    };
    Ok(outcome == Some(wanted))
}
