//! Recording what scoring found out.

use assize_core::allocation::Cell;
use assize_core::results::{Recorded, Sums};
use assize_core::scored::standing;
use assize_core::{Accepted, Decision, DecisionState, MetricName, Outcome, RowKey, Scored, Step};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::Failure;
use super::decided;
use super::dimensions::Dimensions;
use super::rollup::Rollup;
use super::stored::{
    VERDICT_COLUMNS, all_calls, call_statement, find, insert_call, insert_step, insert_verdict, name, read_verdict, steps,
    verdict_statement,
};

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
    recorded.steps = steps(connection, key)?;
    recorded.calls = all_calls(connection, key)?;
    Ok(recorded)
}

/// Stores calls, verdicts and outcomes that are new and adds them to the rollups.
pub(super) fn record(connection: &Connection, dimensions: &mut Dimensions, scored: &[Scored]) -> Result<(), Failure> {
    dimensions.trim();
    let rows: Vec<Accepted> = scored.iter().map(|one| stored_row(connection, one)).collect::<Result<_, _>>()?;
    for row in &rows {
        dimensions.load(connection, &row.project)?;
    }
    let taken: Vec<Vec<Step>> =
        rows.iter().zip(scored).map(|(row, one)| taken(connection, row, one)).collect::<Result<_, _>>()?;
    let mut rollup = Rollup::default();
    let mut calls = call_statement(connection)?;
    let mut verdicts = verdict_statement(connection)?;
    let mut known = connection.prepare_cached("SELECT 1 FROM outcome WHERE key = ?1 AND metric = ?2")?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO outcome (key, metric, outcome, code, message, score, at, probability) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for ((row, one), steps) in rows.iter().zip(scored).zip(&taken) {
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
        let mut fresh = Vec::new();
        for step in &one.steps {
            if insert_step(connection, row.key, &one.metric, step)? {
                fresh.push(step);
            }
        }
        let known = steps.iter().filter(|step| fresh.iter().all(|new| new.tier != step.tier));
        let (before, stands) = (standing(decision.probability, known), standing(decision.probability, steps));
        if before != stands {
            rollup.add_sums(dimensions, row, decision, &Sums::of_moved(before, stands));
        }
        let last = one.verdicts.len().saturating_sub(1);
        for (position, verdict) in one.verdicts.iter().enumerate() {
            let is_reference = score.is_some() && position == last;
            if insert_verdict(&mut verdicts, row, &one.metric, verdict, is_reference, one.at)?
                && let Some(reused) = verdict.reused
            {
                rollup.add_reused(row, &one.metric, verdict, reused, one.at);
            }
        }
        let Some(outcome) = one.outcome else { continue };
        let (code, message) = one.reason.as_ref().map(|reason| (reason.code.as_ref(), reason.message.as_str())).unzip();
        let (key, metric) = (row.key.0, one.metric.as_str());
        insert.execute(params![key, metric, outcome.as_str(), code, message, score, one.at.0, stands])?;
        decided::add(connection, row, &one.metric, outcome)?;
        rollup.add_outcome(row, &one.metric, "", "", -1);
        rollup.add_outcome(row, &one.metric, outcome.as_str(), code.unwrap_or(""), 1);
        rollup.add_sums(dimensions, row, decision, &Sums::of_outcome(decision, outcome, stands, score));
        add_cells(&mut rollup, row, decision, steps, stands, score);
    }
    rollup.write(connection)?;
    Ok(())
}

/// The draws of the metric, those on record first: they are final.
fn taken(connection: &Connection, row: &Accepted, one: &Scored) -> Result<Vec<Step>, Failure> {
    let on_record = steps(connection, row.key)?.into_iter().filter(|(metric, _)| *metric == one.metric).map(|(_, step)| step);
    let mut taken: Vec<Step> = on_record.collect();
    for step in &one.steps {
        if taken.iter().all(|known| known.tier != step.tier) {
            taken.push(step.clone());
        }
    }
    Ok(taken)
}

/// What the outcome says of the cheaper judges: how the reference judge scored where they said what they said. Each called judge
/// adds what it saw, weighted by the probability that it was to see it.
fn add_cells<'a>(
    rollup: &mut Rollup<'a>,
    row: &'a Accepted,
    decision: &'a Decision,
    steps: &'a [Step],
    probability: f64,
    score: Option<f64>,
) {
    let judged =
        score.map_or(Cell::default(), |h| Cell { population: 0.0, judged: 1, w: 1.0 / probability, wh: h / probability });
    let free = decision.scores.last();
    if let (Some(tier), Some(_)) = (free, score) {
        rollup.add_cell(row, decision, &tier.judge, tier.score, &judged);
    }
    let mut seen = decision.probability;
    for step in steps {
        if let Some((judge, score)) = &step.predictor
            && free.is_none_or(|tier| tier.judge != *judge)
        {
            rollup.add_cell(row, decision, judge, *score, &Cell { population: 1.0 / seen, ..judged });
        }
        seen = step.probability;
    }
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
    if scored.steps.iter().any(|step| !(step.probability > 0.0 && step.probability <= 1.0)) {
        return Err(invalid("the probability of a draw is not within 0 to 1"));
    }
    match (scored.outcome, scored.reference_score()) {
        (Some(Outcome::Judged), None) => Err(invalid("judged, yet without a verdict")),
        (_, score) => Ok(score),
    }
}
