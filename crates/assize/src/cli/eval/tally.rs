//! What a run has seen: sums instead of rows, so that memory does not grow with the file.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use assize_core::results::Sums;
use assize_core::{Hour, InteractionId, MetricName, NanoUsd, Outcome, Policy, ProjectName, Reason};

use super::line::{Line, key_of};
use super::summary::{Failure, Rate, Summary};
use crate::ingest::{Draft, ItemError};
use crate::pipeline::accept::Receipt;
use crate::pipeline::report::{estimate_of, known_cost};

/// Failures that no other item will be spared: a wrong key, no connection, a model that is not there. They cost nothing.
const HOPELESS: [&str; 3] = ["unauthorized", "network", "rejected"];
/// So many of them before any verdict, and the run is stopped.
const HOPELESS_MAX: u64 = 10;

/// Sums by metric.
pub struct Tally {
    level: f64,
    simulated: bool,
    metrics: Vec<Metered>,
    /// 64 bits of the key of every interaction: two of a million fall together with a chance below 1 in 30 million.
    seen: HashSet<u64>,
    resumed: HashSet<u64>,
    pub interactions: u64,
    pub rejected: u64,
    duplicates: u64,
    /// Verdicts of judges that are called, those used again included, and decisions that they failed.
    pub judged: u64,
    pub failed: u64,
    pub cost: NanoUsd,
}

struct Metered {
    name: MetricName,
    sums: Sums,
    outcomes: BTreeMap<Outcome, u64>,
    failures: BTreeMap<String, Failure>,
}

impl Tally {
    pub fn new(policy: &Policy, level: f64, simulated: bool) -> Self {
        let metered = |name: &MetricName| Metered {
            name: name.clone(),
            sums: Sums::default(),
            outcomes: BTreeMap::new(),
            failures: BTreeMap::new(),
        };
        Self {
            level,
            simulated,
            metrics: policy.metrics.iter().map(|metric| metered(&metric.name)).collect(),
            seen: HashSet::new(),
            resumed: HashSet::new(),
            interactions: 0,
            rejected: 0,
            duplicates: 0,
            judged: 0,
            failed: 0,
            cost: NanoUsd::ZERO,
        }
    }

    /// Takes over an interaction that a run before has done.
    pub fn resume(&mut self, lines: Vec<Line>) -> Result<(), String> {
        let id = lines.first().map(|line| line.id.clone()).unwrap_or_default();
        let id = InteractionId::new(&id).map_err(|error| error.to_string())?;
        if !self.resumed.insert(key_of(&project(), &id)) {
            return Ok(());
        }
        self.interactions += 1;
        for line in lines {
            let sums = line.sums()?;
            let metric = MetricName::new(&line.metric).map_err(|error| error.to_string())?;
            self.add(&metric, &sums);
            let outcome = line.outcome.parse()?;
            self.close(&metric, outcome, line.drawn, line.reason.as_deref().and_then(|reason| reason.split_once(": ")));
        }
        Ok(())
    }

    /// How many interactions a run before has done.
    pub fn resumed(&self) -> u64 {
        self.resumed.len() as u64
    }

    /// Whether neither this run nor one before has met the item.
    pub fn is_new(&mut self, item: &Result<Draft, ItemError>) -> bool {
        let Ok(Draft { id: Some(id), .. }) = item else { return true };
        let key = key_of(&project(), id);
        let first = self.seen.insert(key);
        self.duplicates += u64::from(!first);
        first && !self.resumed.contains(&key)
    }

    /// Counts what was accepted.
    pub fn received(&mut self, receipt: &Receipt) {
        self.interactions += receipt.accepted as u64;
        self.duplicates += receipt.duplicate as u64;
        self.rejected += receipt.rejected.len() as u64;
    }

    /// Adds sums of a metric.
    pub fn add(&mut self, metric: &MetricName, sums: &Sums) {
        self.cost = self.cost.plus(sums.cost);
        if let Some(metered) = self.metrics.iter_mut().find(|metered| &metered.name == metric) {
            metered.sums.add(sums);
        }
    }

    /// Counts an outcome; of a failure also why, as a code and a message.
    pub fn close(&mut self, metric: &MetricName, outcome: Outcome, called: bool, why: Option<(&str, &str)>) {
        let Some(metered) = self.metrics.iter_mut().find(|metered| &metered.name == metric) else { return };
        *metered.outcomes.entry(outcome).or_default() += 1;
        match outcome {
            Outcome::Judged | Outcome::Reused => self.judged += u64::from(called),
            Outcome::JudgeFailed => {
                self.failed += 1;
                let (code, message) = why.unwrap_or(("unknown", "no reason was given"));
                let fresh = || Failure { count: 0, example: message.to_owned(), alike: true };
                let failure = metered.failures.entry(code.to_owned()).or_insert_with(fresh);
                failure.count += 1;
                failure.alike &= failure.example == message;
            }
            _ => {}
        }
    }

    /// The commonest failure where judges were called and none gave a verdict.
    pub fn nothing_judged(&self) -> Option<String> {
        if self.judged > 0 {
            return None;
        }
        let failures = self.metrics.iter().flat_map(|metered| &metered.failures);
        let (code, failure) = failures.max_by_key(|(_, failure)| failure.count)?;
        Some(format!("nothing could be judged ({code}): {}", failure.example))
    }

    /// Whether every failure is of a kind that costs nothing and would hit every other item too. Rejections that differ are the items'
    /// own fault, such as too long a text.
    pub fn is_hopeless(&self) -> bool {
        let mut failures = self.metrics.iter().flat_map(|metered| &metered.failures);
        let hopeless = |code: &str, failure: &Failure| HOPELESS.contains(&code) && (failure.alike || code != "rejected");
        self.judged == 0 && self.failed > 0 && failures.all(|(code, failure)| hopeless(code, failure))
    }

    /// Whether to go on would be in vain.
    pub fn is_enough(&self) -> bool {
        self.failed >= HOPELESS_MAX && self.is_hopeless()
    }

    pub fn summary(&self, elapsed: Duration) -> Summary {
        let mut total = Sums::default();
        let metrics = self.metrics.iter().map(|metered| {
            total.add(&metered.sums);
            (metered.name.to_string(), metered.rate(self.level))
        });
        let metrics = metrics.collect();
        Summary {
            interactions: self.interactions,
            metrics,
            calls: total.calls,
            cost_usd: known_cost(&total).map(NanoUsd::to_usd),
            cost_unknown: total.cost_unknown,
            seconds: (elapsed.as_secs_f64() * 1_000.0).round() / 1_000.0,
            rejected: self.rejected,
            duplicates: self.duplicates,
            resumed: self.resumed(),
            simulated: self.simulated,
        }
    }
}

impl Metered {
    fn rate(&self, level: f64) -> Rate {
        let (estimate, sums) = estimate_of(std::iter::once((Hour(0), &self.sums)), level);
        let e = estimate.as_ref();
        Rate {
            estimate: e.map(|e| e.value),
            low: e.map(|e| e.low),
            high: e.map(|e| e.high),
            level,
            population: sums.population,
            judged: sums.judged,
            coverage: e.map(|e| e.coverage),
            method: e.map(|e| e.method.to_string()),
            outcomes: self.outcomes.iter().map(|(outcome, count)| (outcome.to_string(), *count)).collect(),
            failures: self.failures.clone(),
        }
    }
}

/// Code and message of a reason.
pub fn told(reason: Option<&Reason>) -> Option<(&str, &str)> {
    reason.map(|reason| (reason.code.as_ref(), reason.message.as_str()))
}

fn project() -> ProjectName {
    static PROJECT: std::sync::LazyLock<Option<ProjectName>> = std::sync::LazyLock::new(|| ProjectName::new("default").ok());
    PROJECT.clone().unwrap_or_else(|| unreachable!("`default` is a valid name"))
}
