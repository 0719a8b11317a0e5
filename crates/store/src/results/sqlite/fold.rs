//! Folding accepted rows in.

use assize_core::allocation::Cell;
use assize_core::queue::{Entry, Offset};
use assize_core::results::Sums;
use assize_core::{Accepted, Decision, DecisionState, NanoUsd, Outcome, Verdict};
use rusqlite::{CachedStatement, Connection, params};

use super::Failure;
use super::decided;
use super::dimensions::Dimensions;
use super::rollup::Rollup;
use super::stored::{insert_verdict, integer, verdict_statement};
use crate::sqlite::row;

/// The offset up to which rows are folded in.
pub(super) fn folded(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("SELECT folded FROM progress")?.query_row([], |row| row.get(0))
}

/// Stores the rows that are new and adds them to the rollups. A key that is on record already (the queue has forgotten it) is passed
/// over: an interaction counts once.
pub(super) fn fold(connection: &Connection, dimensions: &mut Dimensions, entries: &[(Offset, Entry)]) -> Result<(), Failure> {
    dimensions.trim();
    let before = folded(connection)?;
    let Some(up_to) = entries.iter().map(|(offset, _)| integer(offset.0)).max().filter(|up_to| *up_to > before) else {
        return Ok(());
    };
    let mut insert =
        connection.prepare_cached("INSERT OR IGNORE INTO interaction (key, project, time, row) VALUES (?1, ?2, ?3, ?4)")?;
    let mut keep = connection.prepare_cached("INSERT INTO payload (seq, json) VALUES (?1, ?2)")?;
    let mut rows = Vec::with_capacity(entries.len());
    for (offset, Entry { row, payload }) in entries {
        if integer(offset.0) <= before {
            continue;
        }
        let row = dimensions.admit(connection, row)?;
        if insert.execute(params![row.key.0, row.project.as_str(), row.time.0, row::encode(&row)])? == 0 {
            continue;
        }
        if let Some(payload) = payload {
            keep.execute((connection.last_insert_rowid(), payload))?;
        }
        rows.push(row);
    }
    let mut rollup = Rollup::default();
    let mut verdicts = verdict_statement(connection)?;
    for row in &rows {
        rollup.add_accepted(row);
        for decision in &row.decisions {
            let sums = Sums::of_accepted(decision);
            rollup.add_sums(dimensions, row, decision, &sums);
            if let Some(tier) = decision.scores.last().filter(|_| sums.population > 0) {
                rollup.add_cell(row, decision, &tier.judge, tier.score, &Cell { population: 1.0, ..Cell::default() });
            }
            match &decision.state {
                DecisionState::Drawn => rollup.add_outcome(row, &decision.metric, "", "", 1),
                DecisionState::Closed(outcome, reason) => {
                    let code = reason.as_ref().map_or("", |reason| &reason.code);
                    rollup.add_outcome(row, &decision.metric, outcome.as_str(), code, 1);
                    if *outcome == Outcome::Judged {
                        insert_free_verdict(&mut verdicts, row, decision)?;
                        decided::add(connection, row, &decision.metric, *outcome)?;
                    }
                }
            }
        }
    }
    rollup.write(connection)?;
    connection.prepare_cached("UPDATE progress SET folded = ?1")?.execute([up_to])?;
    Ok(())
}

/// The verdict of a metric that free tiers decide alone: what the last of them said, for nothing.
fn insert_free_verdict(verdicts: &mut CachedStatement<'_>, row: &Accepted, decision: &Decision) -> rusqlite::Result<()> {
    let Some(tier) = decision.scores.last() else { return Ok(()) };
    let verdict = Verdict {
        judge: tier.judge.clone(),
        version: decision.reference.clone(),
        score: tier.score,
        label: None,
        confidence: None,
        reason: tier.reason.clone(),
        model: None,
        usage: None,
        cost: Some(NanoUsd::ZERO),
        latency_ms: 0,
        simulated: false,
        reused: None,
    };
    insert_verdict(verdicts, row, &decision.metric, &verdict, true, row.accepted_at).map(|_| ())
}
