//! Sums of a range: whole hours from the rollups, the rest from rows.

use std::collections::BTreeMap;

use assize_core::results::{Sums, SumsBucket, SumsQuery};
use assize_core::scored::standing;
use assize_core::{DecisionState, Dimension, Hour, JudgeVersion, RowKey, Step, Timestamp};
use rusqlite::{Connection, OptionalExtension as _};

use super::Failure;
use super::rollup::{COLUMNS, read_sums};
use super::stored::{calls, decode, steps};

/// By hour, group and reference version.
type Buckets = BTreeMap<(Hour, String, String), Sums>;

pub(super) fn sums(connection: &Connection, query: &SumsQuery) -> Result<Vec<SumsBucket>, Failure> {
    let mut buckets = Buckets::new();
    let (first, end) = (first_whole(query.from), query.to.hour());
    if query.from < query.to {
        if first < end {
            whole_hours(connection, query, first, end, &mut buckets)?;
            scan(connection, query, query.from, first.start(), &mut buckets)?;
            scan(connection, query, end.start(), query.to, &mut buckets)?;
        } else {
            scan(connection, query, query.from, query.to, &mut buckets)?;
        }
    }
    let bucket = |((hour, group, reference), sums): ((Hour, String, String), Sums)| SumsBucket {
        group,
        hour,
        reference: JudgeVersion::from_stored(&reference),
        sums,
    };
    Ok(buckets.into_iter().map(bucket).collect())
}

/// The first hour that begins at or after `from`.
fn first_whole(from: Timestamp) -> Hour {
    let hour = from.hour();
    if hour.start() == from { hour } else { Hour(hour.0.saturating_add(1)) }
}

fn whole_hours(connection: &Connection, query: &SumsQuery, first: Hour, end: Hour, buckets: &mut Buckets) -> Result<(), Failure> {
    let project = query.project.as_str();
    // A dimension that no interaction has had is not rolled up: all belong to the group of those without a value.
    let dimension = query.by.as_ref().map(Dimension::to_string).unwrap_or_default();
    let is_known = connection
        .prepare_cached("SELECT 1 FROM dimension_value WHERE project = ?1 AND dimension = ?2 LIMIT 1")?
        .query_row((project, &dimension), |_| Ok(()))
        .optional()?
        .is_some();
    let dimension = if is_known { dimension } else { String::new() };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT hour, value, reference, {} FROM sums
         WHERE project = ?1 AND metric = ?2 AND dimension = ?3 AND hour >= ?4 AND hour < ?5",
        *COLUMNS
    ))?;
    let mut rows = statement.query((project, query.metric.as_str(), dimension, first.0, end.0))?;
    while let Some(row) = rows.next()? {
        let key = (Hour(row.get(0)?), row.get(1)?, row.get(2)?);
        buckets.entry(key).or_default().add(&read_sums(row, 3)?);
    }
    Ok(())
}

fn scan(
    connection: &Connection,
    query: &SumsQuery,
    from: Timestamp,
    to: Timestamp,
    buckets: &mut Buckets,
) -> Result<(), Failure> {
    if from >= to {
        return Ok(());
    }
    let mut statement = connection.prepare_cached(
        "SELECT interaction.key, interaction.row, outcome.outcome, outcome.score FROM interaction
         LEFT JOIN outcome ON outcome.key = interaction.key AND outcome.metric = ?4
         WHERE interaction.project = ?1 AND interaction.time >= ?2 AND interaction.time < ?3",
    )?;
    let mut rows = statement.query((query.project.as_str(), from.0, to.0, query.metric.as_str()))?;
    while let Some(found) = rows.next()? {
        let key = RowKey(found.get(0)?);
        let row = decode(key, found.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?)?;
        let Some(decision) = row.decision(&query.metric) else { continue };
        let mut sums = Sums::of_accepted(decision);
        if decision.state == DecisionState::Drawn {
            let steps = steps(connection, key)?.into_iter().filter(|(metric, _)| *metric == query.metric);
            let steps: Vec<Step> = steps.map(|(_, step)| step).collect();
            let stands = standing(decision.probability, &steps);
            if stands != decision.probability {
                sums.add(&Sums::of_moved(decision.probability, stands));
            }
            if let Some(outcome) = found.get_ref(2)?.as_str_or_null().map_err(rusqlite::Error::from)? {
                let outcome = outcome.parse().map_err(Failure::Damaged)?;
                sums.add(&Sums::of_outcome(decision, outcome, stands, found.get(3)?));
            }
            sums.add(&Sums::of_calls(&calls(connection, key, &query.metric)?));
        }
        let value = query.by.as_ref().and_then(|by| row.dimensions.iter().find(|(dimension, _)| dimension == by));
        let group = value.map(|(_, value)| value.clone()).unwrap_or_default();
        buckets.entry((row.time.hour(), group, decision.reference.as_str().to_owned())).or_default().add(&sums);
    }
    Ok(())
}
