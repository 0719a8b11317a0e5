//! Recording what scoring found out.

use assize_core::results::{Recorded, Sums};
use assize_core::{Accepted, Decision, DecisionState, MetricName, Outcome, RowKey, Scored};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::Failure;
use super::dimensions::Dimensions;
use super::rollup::Rollup;
use super::stored::{VERDICT_COLUMNS, call_statement, find, insert_call, insert_verdict, name, read_verdict, verdict_statement};

/// The metrics of an interaction whose outcome was decided in `score`.
pub(super) fn recorded(connection: &Connection, key: RowKey) -> Result<Recorded, Failure> {
    let mut statement = connection.prepare_cached("SELECT metric FROM outcome WHERE key = ?1 ORDER BY metric")?;
    let mut rows = statement.query([key.0])?;
    let accepted_at = find(connection, key)?.map(|(_, row)| row.accepted_at);
    let mut recorded = Recorded { accepted_at, ..Recorded::default() };
    while let Some(row) = rows.next()? {
        recorded.closed.push(name(row, 0, MetricName::new)?);
    }
    let mut statement =
        connection.prepare_cached(&format!("SELECT metric, {VERDICT_COLUMNS} FROM verdict WHERE key = ?1 ORDER BY seq"))?;
    let mut rows = statement.query([key.0])?;
    while let Some(row) = rows.next()? {
        recorded.verdicts.push((name(row, 0, MetricName::new)?, read_verdict(row, 1)?));
    }
    Ok(recorded)
}

/// Stores calls, verdicts and outcomes that are new and adds them to the rollups.
pub(super) fn record(connection: &Connection, dimensions: &mut Dimensions, scored: &[Scored]) -> Result<(), Failure> {
    dimensions.trim();
    let rows: Vec<Accepted> = scored.iter().map(|one| stored_row(connection, one)).collect::<Result<_, _>>()?;
    for row in &rows {
        dimensions.load(connection, &row.project)?;
    }
    let mut rollup = Rollup::default();
    let mut calls = call_statement(connection)?;
    let mut verdicts = verdict_statement(connection)?;
    let mut known = connection.prepare_cached("SELECT 1 FROM outcome WHERE key = ?1 AND metric = ?2")?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO outcome (key, metric, outcome, code, message, score, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for (row, one) in rows.iter().zip(scored) {
        let decision = drawn(row, &one.metric);
        for call in &one.calls {
            if insert_call(&mut calls, row.key, &one.metric, call)? {
                // Money that was spent counts, whatever it was spent on.
                rollup.add_call(&row.project, &one.metric, call);
                if let Some(decision) = decision {
                    rollup.add_sums(dimensions, row, decision, &Sums::of_calls(std::slice::from_ref(call)));
                }
            }
        }
        let Some(decision) = decision else { continue };
        let score = reference_score(one)?;
        if known.query_row((row.key.0, one.metric.as_str()), |_| Ok(())).optional()?.is_some() {
            continue;
        }
        let last = one.verdicts.len().saturating_sub(1);
        for (position, verdict) in one.verdicts.iter().enumerate() {
            let is_reference = score.is_some() && position == last;
            insert_verdict(&mut verdicts, row, &one.metric, verdict, is_reference, one.at)?;
        }
        let Some(outcome) = one.outcome else { continue };
        let (code, message) = one.reason.as_ref().map(|reason| (reason.code.as_ref(), reason.message.as_str())).unzip();
        insert.execute(params![row.key.0, one.metric.as_str(), outcome.as_str(), code, message, score, one.at.0])?;
        rollup.add_outcome(row, &one.metric, "", "", -1);
        rollup.add_outcome(row, &one.metric, outcome.as_str(), code.unwrap_or(""), 1);
        if let Some(score) = score {
            rollup.add_sums(dimensions, row, decision, &Sums::of_judged(decision, score));
        }
    }
    rollup.write(connection)?;
    Ok(())
}

/// The row on record: its dimension values are those that count, and its decisions those that were folded.
fn stored_row(connection: &Connection, scored: &Scored) -> Result<Accepted, Failure> {
    match find(connection, scored.row.key)? {
        Some((_, row)) => Ok(row),
        None => Err(Failure::invalid(format!(
            "interaction {} of project {} is not folded in yet: lease items only up to the folded offset",
            scored.row.id, scored.row.project
        ))),
    }
}

/// The decision that waits for an outcome.
fn drawn<'a>(row: &'a Accepted, metric: &MetricName) -> Option<&'a Decision> {
    row.decision(metric).filter(|decision| decision.state == DecisionState::Drawn)
}

/// The score of the reference judge, where it gave one.
fn reference_score(scored: &Scored) -> Result<Option<f64>, Failure> {
    let invalid = |what: &str| Failure::invalid(format!("metric {} of interaction {}: {what}", scored.metric, scored.row.id));
    if scored.verdicts.iter().any(|verdict| !(0.0..=1.0).contains(&verdict.score)) {
        return Err(invalid("a verdict's score is not within 0 to 1"));
    }
    match (scored.outcome, scored.verdicts.last()) {
        (Some(Outcome::Judged), Some(verdict)) => Ok(Some(verdict.score)),
        (Some(Outcome::Judged), None) => Err(invalid("judged, yet without a verdict")),
        _ => Ok(None),
    }
}
