//! The hourly rollups: gathered in memory for a batch, then added to the tables once for each bucket that changed.

use std::collections::HashMap;
use std::sync::LazyLock;

use assize_core::allocation::{Cell, bin};
use assize_core::results::{Spend, Sums};
use assize_core::{
    Accepted, AskedAs, CallRecord, CallStatus, Decision, Hour, JudgeName, ListCost, MetricName, NanoUsd, ProjectName, Reused,
    Timestamp, Verdict,
};
use rusqlite::{Connection, Row, params, params_from_iter};

use super::dimensions::Dimensions;
use super::stored::integer;

/// What a batch adds to the rollups.
#[derive(Default)]
pub(super) struct Rollup<'a> {
    sums: HashMap<SumsKey<'a>, Sums>,
    accepted: HashMap<(&'a ProjectName, Hour), i64>,
    outcomes: HashMap<OutcomeKey<'a>, i64>,
    spend: HashMap<SpendKey<'a>, Spend>,
    cells: HashMap<CellKey<'a>, Cell>,
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
struct CellKey<'a> {
    project: &'a str,
    metric: &'a str,
    reference: &'a str,
    predictor: &'a str,
    hour: Hour,
    bin: usize,
}

#[derive(PartialEq, Eq, Hash)]
struct SpendKey<'a> {
    project: &'a str,
    hour: Hour,
    metric: &'a str,
    judge: &'a str,
    model: &'a str,
    asked_as: AskedAs,
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
            asked_as: call.asked_as,
        };
        let cost = call.cost.unwrap_or_default();
        let list = call.list.unwrap_or(ListCost { live: cost, uncached: cost });
        let listed = call.list.filter(|_| call.status == CallStatus::Answered);
        let usage = call.usage.unwrap_or_default();
        // What a call is, its first question stands for; tokens and cost are every question's own.
        let once = u64::from(call.part.at == 0);
        self.spend.entry(key).or_default().add(&Spend {
            calls: once,
            questions: 1,
            failed: if call.status == CallStatus::Failed { once } else { 0 },
            cost_unknown: if call.cost.is_none() { once } else { 0 },
            cost,
            live: list.live,
            uncached: list.uncached,
            listed: u64::from(listed.is_some()),
            uncached_listed: listed.map_or(NanoUsd::ZERO, |list| list.uncached),
            input_tokens: usage.input,
            cached_input_tokens: usage.cached_input,
            cache_write_tokens: usage.cache_write,
            output_tokens: usage.output,
            ..Spend::default()
        });
    }

    /// Counts a verdict that was used again, at `at`, instead of asking `model`.
    pub fn add_reused(&mut self, row: &'a Accepted, metric: &'a MetricName, verdict: &'a Verdict, reused: Reused, at: Timestamp) {
        let key = SpendKey {
            project: row.project.as_str(),
            hour: at.hour(),
            metric: metric.as_str(),
            judge: verdict.judge.as_str(),
            model: verdict.model.as_deref().unwrap_or_default(),
            // Nobody was asked.
            asked_as: AskedAs::Unknown,
        };
        let saved = reused.saved.unwrap_or_default();
        self.spend.entry(key).or_default().add(&Spend { reused: 1, saved, ..Spend::default() });
    }

    /// Adds to the cell of a cheaper judge's score.
    pub fn add_cell(&mut self, row: &'a Accepted, decision: &'a Decision, predictor: &'a JudgeName, score: f64, cell: &Cell) {
        let key = CellKey {
            project: row.project.as_str(),
            metric: decision.metric.as_str(),
            reference: decision.reference.as_str(),
            predictor: predictor.as_str(),
            hour: row.time.hour(),
            bin: bin(score),
        };
        self.cells.entry(key).or_default().add(cell);
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
        for (SpendKey { project, hour, metric, judge, model, asked_as }, spend) in self.spend {
            for (position, text) in (1..).zip([project, metric, judge, model, asked_as.as_str()]) {
                statement.raw_bind_parameter(position, text)?;
            }
            statement.raw_bind_parameter(6, hour.0)?;
            for (position, amount) in (7..).zip(spend_numbers(&spend)) {
                statement.raw_bind_parameter(position, amount)?;
            }
            statement.raw_execute()?;
        }
        let mut statement = connection.prepare_cached(
            "INSERT INTO cell (project, metric, reference, predictor, hour, bin, population, judged, w, wh)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT DO UPDATE SET population = population + excluded.population, judged = judged + excluded.judged,
                 w = w + excluded.w, wh = wh + excluded.wh",
        )?;
        for (CellKey { project, metric, reference, predictor, hour, bin }, cell) in self.cells {
            let Cell { population, judged, w, wh } = cell;
            let bin = integer(bin as u64);
            statement.execute(params![project, metric, reference, predictor, hour.0, bin, population, integer(judged), w, wh])?;
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
const INTEGERS: [&str; 10] = [
    "population",
    "never_judged",
    "no_content",
    "drawn",
    "left_out",
    "judged",
    "positives",
    "disagreements",
    "calls",
    "cost_unknown",
];
/// Columns of numbers with a fraction; all but `max_w` add up.
const REALS: [&str; 17] = [
    "max_w",
    "g",
    "gg",
    "drawn_w",
    "left_out_w",
    "w_1",
    "w_g",
    "w_h",
    "w_gg",
    "w_gh",
    "w_hh",
    "q_1",
    "q_g",
    "q_h",
    "q_gg",
    "q_gh",
    "q_hh",
];
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

/// The amounts of the spend table, in the order of [`spend_numbers`] and [`read_spend`].
pub(super) const SPEND_COLUMNS: [&str; 15] = [
    "calls",
    "questions",
    "failed",
    "cost_unknown",
    "cost",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reused",
    "saved",
    "live",
    "uncached",
    "listed",
    "uncached_listed",
];

static ADD_SPEND: LazyLock<String> = LazyLock::new(|| {
    let places: Vec<String> = (1..=6 + SPEND_COLUMNS.len()).map(|position| format!("?{position}")).collect();
    format!(
        "INSERT INTO spend (project, metric, judge, model, asked_as, hour, {}) VALUES ({})
         ON CONFLICT DO UPDATE SET {}",
        SPEND_COLUMNS.join(", "),
        places.join(", "),
        SPEND_COLUMNS.map(saturating).join(", ")
    )
});

fn spend_numbers(spend: &Spend) -> [i64; 15] {
    let s = spend;
    [
        s.calls,
        s.questions,
        s.failed,
        s.cost_unknown,
        s.cost.0,
        s.input_tokens,
        s.cached_input_tokens,
        s.cache_write_tokens,
        s.output_tokens,
        s.reused,
        s.saved.0,
        s.live.0,
        s.uncached.0,
        s.listed,
        s.uncached_listed.0,
    ]
    .map(integer)
}

/// The spend in [`SPEND_COLUMNS`] that begin at `first`.
pub(super) fn read_spend(row: &Row<'_>, first: usize) -> rusqlite::Result<Spend> {
    let count = |column: usize| row.get::<_, i64>(first + column).map(i64::unsigned_abs);
    Ok(Spend {
        calls: count(0)?,
        questions: count(1)?,
        failed: count(2)?,
        cost_unknown: count(3)?,
        cost: NanoUsd(count(4)?),
        input_tokens: count(5)?,
        cached_input_tokens: count(6)?,
        cache_write_tokens: count(7)?,
        output_tokens: count(8)?,
        reused: count(9)?,
        saved: NanoUsd(count(10)?),
        live: NanoUsd(count(11)?),
        uncached: NanoUsd(count(12)?),
        listed: count(13)?,
        uncached_listed: NanoUsd(count(14)?),
    })
}

/// What a provider reports may be absurd: sums stop at the largest integer instead of becoming inexact.
fn saturating(column: &str) -> String {
    format!(
        "{column} = CASE WHEN {column} > 9223372036854775807 - excluded.{column} THEN 9223372036854775807
                         ELSE {column} + excluded.{column} END"
    )
}

fn numbers(sums: &Sums) -> ([i64; 11], [f64; 17]) {
    let s = sums;
    let integers = [
        s.population,
        s.excluded,
        s.no_content,
        s.drawn,
        s.left_out,
        s.judged,
        s.positives,
        s.disagreements,
        s.calls,
        s.cost_unknown,
        s.cost.0,
    ];
    let [w1, wg, wh, wgg, wgh, whh] = s.w;
    let [q1, qg, qh, qgg, qgh, qhh] = s.q;
    let reals = [s.max_w, s.g, s.gg, s.drawn_w, s.left_out_w, w1, wg, wh, wgg, wgh, whh, q1, qg, qh, qgg, qgh, qhh];
    (integers.map(integer), reals)
}

/// The sums in [`COLUMNS`] that begin at `first`.
pub(super) fn read_sums(row: &Row<'_>, first: usize) -> rusqlite::Result<Sums> {
    let count = |column: usize| row.get::<_, i64>(first + column).map(i64::unsigned_abs);
    let real = |column: usize| row.get::<_, f64>(first + 11 + column);
    let mut sums = Sums {
        population: count(0)?,
        excluded: count(1)?,
        no_content: count(2)?,
        drawn: count(3)?,
        left_out: count(4)?,
        judged: count(5)?,
        positives: count(6)?,
        disagreements: count(7)?,
        calls: count(8)?,
        cost_unknown: count(9)?,
        cost: NanoUsd(count(10)?),
        max_w: real(0)?,
        g: real(1)?,
        gg: real(2)?,
        drawn_w: real(3)?,
        left_out_w: real(4)?,
        ..Sums::default()
    };
    for (moment, column) in sums.w.iter_mut().chain(&mut sums.q).zip(5..) {
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
