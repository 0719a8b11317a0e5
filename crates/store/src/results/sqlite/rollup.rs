//! The hourly rollups: gathered in memory for a batch, then added to the tables once for each bucket that changed.

use std::collections::HashMap;
use std::sync::LazyLock;

use assize_core::results::Sums;
use assize_core::{Accepted, CallRecord, CallStatus, Decision, Hour, MetricName, NanoUsd, ProjectName};
use rusqlite::{Connection, Row, params, params_from_iter};

use super::dimensions::Dimensions;
use super::stored::integer;

/// What a batch adds to the rollups.
#[derive(Default)]
pub(super) struct Rollup<'a> {
    sums: HashMap<SumsKey<'a>, Sums>,
    accepted: HashMap<(&'a ProjectName, Hour), i64>,
    outcomes: HashMap<OutcomeKey<'a>, i64>,
    spend: HashMap<SpendKey<'a>, Added>,
}

#[derive(PartialEq, Eq, Hash)]
struct SumsKey<'a> {
    project: &'a str,
    metric: &'a str,
    dimension: &'a str,
    hour: Hour,
    value: &'a str,
    reference: &'a str,
}

#[derive(PartialEq, Eq, Hash)]
struct OutcomeKey<'a> {
    project: &'a str,
    hour: Hour,
    metric: &'a str,
    /// Empty: pending.
    outcome: &'a str,
    code: &'a str,
}

#[derive(PartialEq, Eq, Hash)]
struct SpendKey<'a> {
    project: &'a str,
    hour: Hour,
    metric: &'a str,
    judge: &'a str,
    model: &'a str,
}

#[derive(Default)]
struct Added {
    calls: i64,
    failed: i64,
    cost_unknown: i64,
    cost: NanoUsd,
    input: u64,
    cached_input: u64,
    output: u64,
}

impl<'a> Rollup<'a> {
    /// Adds `sums` to the total and to each dimension that the row's project knows.
    pub fn add_sums(&mut self, dimensions: &'a Dimensions, row: &'a Accepted, decision: &'a Decision, sums: &Sums) {
        let mut add = |dimension, value| {
            let key = SumsKey {
                project: row.project.as_str(),
                metric: decision.metric.as_str(),
                dimension,
                hour: row.time.hour(),
                value,
                reference: decision.reference.as_str(),
            };
            self.sums.entry(key).or_default().add(sums);
        };
        add("", "");
        for name in dimensions.known(&row.project).into_iter().flat_map(|known| known.keys()) {
            let value = row.dimensions.iter().find(|(dimension, _)| is_named(dimension, name));
            add(name, value.map_or("", |(_, value)| value.as_str()));
        }
    }

    /// Counts an accepted row.
    pub fn add_accepted(&mut self, row: &'a Accepted) {
        *self.accepted.entry((&row.project, row.time.hour())).or_default() += 1;
    }

    /// Changes the count of an outcome; empty for pending.
    pub fn add_outcome(&mut self, row: &'a Accepted, metric: &'a MetricName, outcome: &'a str, code: &'a str, by: i64) {
        let key = OutcomeKey { project: row.project.as_str(), hour: row.time.hour(), metric: metric.as_str(), outcome, code };
        *self.outcomes.entry(key).or_default() += by;
    }

    /// Counts what a call cost.
    pub fn add_call(&mut self, project: &'a ProjectName, metric: &'a MetricName, call: &'a CallRecord) {
        let key = SpendKey {
            project: project.as_str(),
            hour: call.at.hour(),
            metric: metric.as_str(),
            judge: call.judge.as_str(),
            model: &call.model,
        };
        let added = self.spend.entry(key).or_default();
        let usage = call.usage.unwrap_or_default();
        added.calls += 1;
        added.failed += i64::from(call.status == CallStatus::Failed);
        added.cost_unknown += i64::from(call.cost.is_none());
        added.cost = added.cost.plus(call.cost.unwrap_or_default());
        added.input = added.input.saturating_add(usage.input);
        added.cached_input = added.cached_input.saturating_add(usage.cached_input);
        added.output = added.output.saturating_add(usage.output);
    }

    /// Adds everything to the tables.
    pub fn write(self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(&ADD_SUMS)?;
        for (key, sums) in &self.sums {
            let SumsKey { project, metric, dimension, hour, value, reference } = key;
            let (integers, reals) = numbers(sums);
            let mut position = 0;
            for text in [project, metric, dimension, value, reference] {
                position += 1;
                statement.raw_bind_parameter(position, text)?;
            }
            statement.raw_bind_parameter(position + 1, hour.0)?;
            position += 1;
            for integer in integers {
                position += 1;
                statement.raw_bind_parameter(position, integer)?;
            }
            for real in reals {
                position += 1;
                statement.raw_bind_parameter(position, real)?;
            }
            statement.raw_execute()?;
        }
        let mut statement = connection.prepare_cached(
            "INSERT INTO accepted (project, hour, count) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET count = count + excluded.count",
        )?;
        for ((project, hour), count) in self.accepted {
            statement.execute((project.as_str(), hour.0, count))?;
        }
        let mut statement = connection.prepare_cached(
            "INSERT INTO outcome_count (project, hour, metric, outcome, code, count) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET count = count + excluded.count",
        )?;
        for (OutcomeKey { project, hour, metric, outcome, code }, count) in self.outcomes {
            statement.execute(params![project, hour.0, metric, outcome, code, count])?;
        }
        let mut statement = connection.prepare_cached(&ADD_SPEND)?;
        for (SpendKey { project, hour, metric, judge, model }, added) in self.spend {
            let Added { calls, failed, cost_unknown, cost, input, cached_input, output } = added;
            let amounts = [cost.0, input, cached_input, output].map(integer);
            statement.execute(params![
                project,
                hour.0,
                metric,
                judge,
                model,
                calls,
                failed,
                cost_unknown,
                amounts[0],
                amounts[1],
                amounts[2],
                amounts[3]
            ])?;
        }
        Ok(())
    }
}

fn is_named(dimension: &assize_core::Dimension, name: &str) -> bool {
    use assize_core::Dimension::{Environment, Model, PromptVersion, Tag};
    match dimension {
        Model => name == "model",
        PromptVersion => name == "prompt_version",
        Environment => name == "environment",
        Tag(tag) => name.strip_prefix("tag:") == Some(tag),
    }
}

/// Columns that add up as integers; `cost` comes last.
const INTEGERS: [&str; 9] =
    ["population", "never_judged", "no_content", "drawn", "judged", "positives", "disagreements", "calls", "cost_unknown"];
/// Columns of numbers with a fraction; all but `max_w` add up.
const REALS: [&str; 16] =
    ["max_w", "g", "gg", "drawn_w", "w_1", "w_g", "w_h", "w_gg", "w_gh", "w_hh", "q_1", "q_g", "q_h", "q_gg", "q_gh", "q_hh"];
const KEYS: &str = "project, metric, dimension, value, reference, hour";

/// The columns of the numbers, in the order of [`numbers`] and [`read_sums`].
pub(super) static COLUMNS: LazyLock<String> = LazyLock::new(|| format!("{}, cost, {}", INTEGERS.join(", "), REALS.join(", ")));

static ADD_SUMS: LazyLock<String> = LazyLock::new(|| {
    let plus = |column: &&str| match *column {
        "max_w" => "max_w = max(max_w, excluded.max_w)".to_owned(),
        column => format!("{column} = {column} + excluded.{column}"),
    };
    let changes: Vec<String> = INTEGERS.iter().chain(&REALS).map(plus).chain([saturating("cost")]).collect();
    let places: Vec<String> = (1..=6 + INTEGERS.len() + 1 + REALS.len()).map(|position| format!("?{position}")).collect();
    format!(
        "INSERT INTO sums ({KEYS}, {}) VALUES ({}) ON CONFLICT DO UPDATE SET {}",
        *COLUMNS,
        places.join(", "),
        changes.join(", ")
    )
});

static ADD_SPEND: LazyLock<String> = LazyLock::new(|| {
    let amounts = ["cost", "input_tokens", "cached_input_tokens", "output_tokens"].map(saturating).join(", ");
    format!(
        "INSERT INTO spend (project, hour, metric, judge, model, calls, failed, cost_unknown, cost, input_tokens,
                            cached_input_tokens, output_tokens)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT DO UPDATE SET calls = calls + excluded.calls, failed = failed + excluded.failed,
             cost_unknown = cost_unknown + excluded.cost_unknown, {amounts}"
    )
});

/// What a provider reports may be absurd: sums stop at the largest integer instead of becoming inexact.
fn saturating(column: &str) -> String {
    format!(
        "{column} = CASE WHEN {column} > 9223372036854775807 - excluded.{column} THEN 9223372036854775807
                         ELSE {column} + excluded.{column} END"
    )
}

fn numbers(sums: &Sums) -> ([i64; 10], [f64; 16]) {
    let s = sums;
    let integers = [
        s.population,
        s.excluded,
        s.no_content,
        s.drawn,
        s.judged,
        s.positives,
        s.disagreements,
        s.calls,
        s.cost_unknown,
        s.cost.0,
    ];
    let [w1, wg, wh, wgg, wgh, whh] = s.w;
    let [q1, qg, qh, qgg, qgh, qhh] = s.q;
    let reals = [s.max_w, s.g, s.gg, s.drawn_w, w1, wg, wh, wgg, wgh, whh, q1, qg, qh, qgg, qgh, qhh];
    (integers.map(integer), reals)
}

/// The sums in [`COLUMNS`] that begin at `first`.
pub(super) fn read_sums(row: &Row<'_>, first: usize) -> rusqlite::Result<Sums> {
    let count = |column: usize| row.get::<_, i64>(first + column).map(i64::unsigned_abs);
    let real = |column: usize| row.get::<_, f64>(first + 10 + column);
    let mut sums = Sums {
        population: count(0)?,
        excluded: count(1)?,
        no_content: count(2)?,
        drawn: count(3)?,
        judged: count(4)?,
        positives: count(5)?,
        disagreements: count(6)?,
        calls: count(7)?,
        cost_unknown: count(8)?,
        cost: NanoUsd(count(9)?),
        max_w: real(0)?,
        g: real(1)?,
        gg: real(2)?,
        drawn_w: real(3)?,
        ..Sums::default()
    };
    for (moment, column) in sums.w.iter_mut().chain(&mut sums.q).zip(4..) {
        *moment = real(column)?;
    }
    Ok(sums)
}

/// Fills a dimension in that was not known before: so far no interaction of the project had a value of it.
pub(super) fn backfill(connection: &Connection, project: &ProjectName, dimension: &str) -> rusqlite::Result<()> {
    let columns = COLUMNS.as_str();
    let sql = format!(
        "INSERT INTO sums ({KEYS}, {columns})
         SELECT project, metric, ?2, '', reference, hour, {columns} FROM sums WHERE project = ?1 AND dimension = ''"
    );
    connection.execute(&sql, params_from_iter([project.as_str(), dimension])).map(|_| ())
}
