//! Bridges: what two versions of a judge said of the same interactions.

use assize_core::results::{BridgeItem, BridgeVerdict, VersionChange};
use assize_core::{NanoUsd, ProjectName, RowKey};
use rusqlite::{Connection, params};

use super::Failure;
use super::rollup::Rollup;
use super::stored::{call_statement, find, insert_call, insert_verdict, integer, verdict_statement};

/// Stores an item of a bridge, the extra verdict and its calls. The money counts as spend; no sum of a rate changes.
pub(super) fn record(connection: &Connection, extra: &BridgeVerdict) -> Result<(), Failure> {
    let BridgeVerdict { project, change, item, verdict, calls, spent_on, at } = extra;
    let invalid = |what: &str| Failure::invalid(format!("the bridge of metric {} in project {project}: {what}", change.metric));
    let within = |score: f64| (0.0..=1.0).contains(&score);
    if !item.scores.is_none_or(|(old, new)| within(old) && within(new)) || !verdict.as_ref().is_none_or(|one| within(one.score)) {
        return Err(invalid("a score is not within 0 to 1"));
    }
    if [item.probability, item.rate].into_iter().any(|part| !(part > 0.0 && part <= 1.0)) {
        return Err(invalid("a probability is not within 0 to 1"));
    }
    let Some((_, row)) = find(connection, item.key)?.filter(|(_, row)| row.project == *project) else {
        return Err(invalid("there is no such interaction"));
    };
    let (old_score, new_score) = item.scores.unzip();
    let inserted = connection
        .prepare_cached(
            "INSERT OR IGNORE INTO bridge (project, metric, old, new, key, old_score, new_score, probability, rate, calls, cost,
                 cost_unknown, at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute(params![
            project.as_str(),
            change.metric.as_str(),
            change.old.as_str(),
            change.new.as_str(),
            item.key.0,
            old_score,
            new_score,
            item.probability,
            item.rate,
            integer(item.calls),
            integer(item.cost.0),
            integer(item.cost_unknown),
            at.0,
        ])?;
    if inserted == 0 {
        return Ok(());
    }
    if let Some(verdict) = verdict {
        insert_verdict(&mut verdict_statement(connection)?, &row, &change.metric, verdict, false, *at)?;
    }
    let mut rollup = Rollup::default();
    let mut statement = call_statement(connection)?;
    for call in calls {
        if insert_call(&mut statement, row.key, spent_on, call)? {
            rollup.add_call(&row.project, spent_on, call);
        }
    }
    Ok(rollup.write(connection)?)
}

/// The items of a bridge.
pub(super) fn items(connection: &Connection, project: &ProjectName, change: &VersionChange) -> Result<Vec<BridgeItem>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT key, old_score, new_score, probability, rate, calls, cost, cost_unknown FROM bridge
         WHERE project = ?1 AND metric = ?2 AND old = ?3 AND new = ?4",
    )?;
    let mut rows = statement.query((project.as_str(), change.metric.as_str(), change.old.as_str(), change.new.as_str()))?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        let (old, new): (Option<f64>, Option<f64>) = (row.get(1)?, row.get(2)?);
        items.push(BridgeItem {
            key: RowKey(row.get(0)?),
            scores: old.zip(new),
            probability: row.get(3)?,
            rate: row.get(4)?,
            calls: row.get::<_, i64>(5)?.unsigned_abs(),
            cost: NanoUsd(row.get::<_, i64>(6)?.unsigned_abs()),
            cost_unknown: row.get::<_, i64>(7)?.unsigned_abs(),
        });
    }
    Ok(items)
}
