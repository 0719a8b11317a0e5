//! What a run has seen: sums instead of rows, so that memory does not grow with the file.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use assize_core::queue::{Entry, Offset};
use assize_core::results::{Recorder, Sums};
use assize_core::{
    CallRecord, Hour, MetricName, NanoUsd, Outcome, Policy, ProjectName, RowKey, Scored, StoreError, StoreErrorKind,
};
use async_trait::async_trait;
use serde::Serialize;
use tokio::sync::Notify;

use super::output::{Line, Output, key_of};
use super::progress::Progress;
use crate::ingest::{Draft, ItemError};
use crate::pipeline::accept::Receipt;
use crate::pipeline::report::{estimate_of, known_cost};

/// What a run ends with.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// Interactions accepted.
    pub interactions: u64,
    pub metrics: BTreeMap<String, Rate>,
    /// Calls made, by this run and by those that it resumed.
    pub calls: u64,
    /// What they cost; null where no call's cost is known.
    pub cost_usd: Option<f64>,
    pub seconds: f64,
    /// Lines that were no interaction.
    pub rejected: u64,
    /// Lines whose id had come before.
    pub duplicates: u64,
    /// Interactions that a run before this one had done.
    pub resumed: u64,
}

/// A metric's rate.
#[derive(Debug, Serialize)]
pub struct Rate {
    pub estimate: Option<f64>,
    pub low: Option<f64>,
    pub high: Option<f64>,
    pub level: f64,
    /// How many interactions the rate speaks of.
    pub population: u64,
    pub judged: u64,
    pub coverage: Option<f64>,
    pub method: Option<String>,
    pub outcomes: BTreeMap<String, u64>,
}

impl Summary {
    /// The summary for people.
    pub fn table(&self) -> String {
        let mut lines = Vec::new();
        for (name, rate) in &self.metrics {
            let figure = match (rate.estimate, rate.low, rate.high) {
                (Some(estimate), Some(low), Some(high)) => {
                    let level = rate.level * 100.0;
                    format!("{:.2} %   {level} % interval {:.2} to {:.2} %", estimate * 100.0, low * 100.0, high * 100.0)
                }
                _ => "no rate: nothing was judged".to_owned(),
            };
            lines.push(format!("{name}: {figure}   ({} judged of {})", rate.judged, rate.population));
            let missing = rate.outcomes.iter().filter(|(outcome, _)| !matches!(outcome.as_str(), "judged" | "not_sampled"));
            lines.extend(missing.map(|(outcome, count)| format!("  {count} {}", outcome.replace('_', " "))));
        }
        let cost = match self.cost_usd {
            Some(usd) => NanoUsd((usd * 1e9).round() as u64).to_string(),
            None => "cost unknown: give the judge a price".to_owned(),
        };
        let plural = |count: u64, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
        let mut total = format!(
            "{}, {}, {cost}, {:.1} s",
            plural(self.interactions, "interaction"),
            plural(self.calls, "call"),
            self.seconds
        );
        for (count, what) in [(self.resumed, "done before"), (self.duplicates, "duplicate"), (self.rejected, "rejected")] {
            if count > 0 {
                total.push_str(&format!(", {count} {what}"));
            }
        }
        lines.push(total);
        lines.join("\n")
    }
}

/// Sums by metric.
pub struct Tally {
    level: f64,
    metrics: Vec<(MetricName, Sums, BTreeMap<Outcome, u64>)>,
    /// 64 bits of the key of every interaction: two of a million fall together with a chance below 1 in 30 million.
    seen: HashSet<u64>,
    interactions: u64,
    rejected: u64,
    duplicates: u64,
    resumed: HashSet<u64>,
    judged: u64,
    cost: NanoUsd,
}

impl Tally {
    pub fn new(policy: &Policy, level: f64) -> Self {
        let metrics = policy.metrics.iter().map(|metric| (metric.name.clone(), Sums::default(), BTreeMap::new())).collect();
        Self {
            level,
            metrics,
            seen: HashSet::new(),
            interactions: 0,
            rejected: 0,
            duplicates: 0,
            resumed: HashSet::new(),
            judged: 0,
            cost: NanoUsd::ZERO,
        }
    }

    /// Takes over an interaction that a run before has done.
    pub fn resume(&mut self, lines: Vec<Line>) -> Result<(), String> {
        let id = lines.first().map(|line| line.id.clone()).unwrap_or_default();
        let id = assize_core::InteractionId::new(&id).map_err(|error| error.to_string())?;
        if !self.resumed.insert(key_of(&project(), &id)) {
            return Ok(());
        }
        self.interactions += 1;
        for line in lines {
            let sums = line.sums()?;
            let metric = MetricName::new(&line.metric).map_err(|error| error.to_string())?;
            self.add(&metric, &sums, line.outcome.parse().ok());
        }
        Ok(())
    }

    fn add(&mut self, metric: &MetricName, sums: &Sums, outcome: Option<Outcome>) {
        self.judged += sums.judged;
        self.cost = self.cost.plus(sums.cost);
        if let Some((_, total, outcomes)) = self.metrics.iter_mut().find(|(name, ..)| name == metric) {
            total.add(sums);
            if let Some(outcome) = outcome {
                *outcomes.entry(outcome).or_default() += 1;
            }
        }
    }

    fn summary(&self, elapsed: Duration) -> Summary {
        let mut total = Sums::default();
        let metrics = self.metrics.iter().map(|(name, sums, outcomes)| {
            total.add(sums);
            let (estimate, sums) = estimate_of(std::iter::once((Hour(0), sums)), self.level);
            let e = estimate.as_ref();
            let rate = Rate {
                estimate: e.map(|e| e.value),
                low: e.map(|e| e.low),
                high: e.map(|e| e.high),
                level: self.level,
                population: sums.population,
                judged: sums.judged,
                coverage: e.map(|e| e.coverage),
                method: e.map(|e| e.method.to_string()),
                outcomes: outcomes.iter().map(|(outcome, count)| (outcome.to_string(), *count)).collect(),
            };
            (name.to_string(), rate)
        });
        let metrics = metrics.collect();
        Summary {
            interactions: self.interactions,
            metrics,
            calls: total.calls,
            cost_usd: known_cost(&total).map(NanoUsd::to_usd),
            seconds: (elapsed.as_secs_f64() * 1_000.0).round() / 1_000.0,
            rejected: self.rejected,
            duplicates: self.duplicates,
            resumed: self.resumed.len() as u64,
        }
    }
}

fn project() -> ProjectName {
    static PROJECT: std::sync::LazyLock<Option<ProjectName>> = std::sync::LazyLock::new(|| ProjectName::new("default").ok());
    PROJECT.clone().unwrap_or_else(|| unreachable!("`default` is a valid name"))
}

/// The results of a run: sums in memory, lines in `--out`.
pub struct Recording {
    inner: Mutex<Inner>,
    on_the_way: AtomicUsize,
    progressed: Notify,
    progress: Progress,
}

struct Inner {
    tally: Tally,
    output: Option<Output>,
    folded: Offset,
    /// Calls of interactions that wait for another try, and lines of those that are not whole yet.
    open: std::collections::HashMap<RowKey, Open>,
    /// Why `--out` could not be written.
    failed: Option<String>,
}

#[derive(Default)]
struct Open {
    calls: BTreeMap<MetricName, Vec<CallRecord>>,
    lines: Vec<Line>,
}

impl Recording {
    pub fn new(tally: Tally, output: Option<Output>, progress: Progress) -> Self {
        let inner = Inner { tally, output, folded: Offset(0), open: std::collections::HashMap::new(), failed: None };
        Self { inner: Mutex::new(inner), on_the_way: AtomicUsize::new(0), progressed: Notify::new(), progress }
    }

    /// Counts bytes of input.
    pub fn read(&self, bytes: u64) {
        self.progress.advance(bytes);
        let inner = self.inner();
        self.progress.tell(inner.tally.interactions, inner.tally.judged, inner.tally.cost);
    }

    /// Of a batch, what neither this run nor one before has met.
    pub fn new_ones(&self, items: Vec<Result<Draft, ItemError>>) -> Vec<Result<Draft, ItemError>> {
        let mut inner = self.inner();
        let tally = &mut inner.tally;
        let mut is_new = |item: &Result<Draft, ItemError>| {
            let Ok(Draft { id: Some(id), .. }) = item else { return true };
            let key = key_of(&project(), id);
            let first = tally.seen.insert(key);
            if !first {
                tally.duplicates += 1;
            }
            let done = first && tally.resumed.contains(&key);
            first && !done
        };
        items.into_iter().filter(|item| is_new(item)).collect()
    }

    /// Counts what was accepted.
    pub fn received(&self, receipt: &Receipt) {
        let mut inner = self.inner();
        inner.tally.interactions += receipt.accepted as u64;
        inner.tally.rejected += receipt.rejected.len() as u64;
        self.on_the_way.fetch_add(receipt.accepted, Ordering::Relaxed);
        for (_, error) in receipt.rejected.iter().take(if inner.tally.rejected > 20 { 0 } else { 20 }) {
            eprintln!("rejected: {}", error.message);
        }
    }

    /// Waits until fewer than `many` interactions are on the way.
    pub async fn below(&self, many: usize) -> Result<(), String> {
        loop {
            let progressed = self.progressed.notified();
            if let Some(failed) = &self.inner().failed {
                return Err(failed.clone());
            }
            if self.on_the_way.load(Ordering::Relaxed) < many {
                return Ok(());
            }
            progressed.await;
        }
    }

    /// The end of the run.
    pub fn finish(&self, elapsed: Duration) -> Result<Summary, String> {
        self.progress.finish();
        let mut inner = self.inner();
        if let Some(output) = &mut inner.output {
            output.finish()?;
        }
        Ok(inner.tally.summary(elapsed))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn done(&self, interactions: usize) {
        self.on_the_way.fetch_sub(interactions, Ordering::Relaxed);
        self.progressed.notify_one();
    }
}

impl Inner {
    fn close(&mut self, lines: Vec<Line>) {
        let Some(output) = &mut self.output else { return };
        let texts = lines.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>();
        if let Err(error) = texts.map_err(|error| error.to_string()).and_then(|texts| output.append(&texts)) {
            self.failed.get_or_insert(error);
        }
    }
}

#[async_trait]
impl Recorder for Recording {
    async fn folded(&self) -> Result<Offset, StoreError> {
        Ok(self.inner().folded)
    }

    async fn fold(&self, entries: &[(Offset, Entry)]) -> Result<(), StoreError> {
        let mut inner = self.inner();
        let mut done = 0;
        for (offset, Entry { row, .. }) in entries {
            let mut lines = Vec::new();
            for decision in &row.decisions {
                inner.tally.add(&decision.metric, &Sums::of_accepted(decision), decision.closed());
                if let assize_core::DecisionState::Closed(outcome, reason) = &decision.state {
                    lines.push(Line::new(row, decision, *outcome, reason.as_ref(), None, &[]));
                }
            }
            if row.is_drawn() {
                inner.open.insert(row.key, Open { lines, ..Open::default() });
            } else {
                inner.close(lines);
                done += 1;
            }
            inner.folded = *offset;
        }
        drop(inner);
        self.done(done);
        Ok(())
    }

    async fn record(&self, scored: &[Scored]) -> Result<(), StoreError> {
        let mut inner = self.inner();
        let mut done = 0;
        for one in scored {
            inner.tally.add(&one.metric, &Sums::of_calls(&one.calls), one.outcome);
            let Some(mut open) = inner.open.remove(&one.row.key) else { continue };
            open.calls.entry(one.metric.clone()).or_default().extend(one.calls.iter().cloned());
            if let (Some(outcome), Some(decision)) = (one.outcome, one.row.decision(&one.metric)) {
                let verdict = if outcome == Outcome::Judged { one.verdicts.last() } else { None };
                if let Some(verdict) = verdict {
                    inner.tally.add(&one.metric, &Sums::of_judged(decision, verdict.score), None);
                }
                let calls = open.calls.remove(&one.metric).unwrap_or_default();
                open.lines.push(Line::new(&one.row, decision, outcome, one.reason.as_ref(), verdict, &calls));
            }
            if open.lines.len() == one.row.decisions.len() {
                inner.close(open.lines);
                done += 1;
            } else {
                inner.open.insert(one.row.key, open);
            }
        }
        let failed = inner.failed.clone();
        drop(inner);
        self.done(done);
        match failed {
            Some(message) => Err(StoreError::new(StoreErrorKind::Failed, message)),
            None => Ok(()),
        }
    }

    async fn recorded(&self, key: RowKey) -> Result<Vec<MetricName>, StoreError> {
        let inner = self.inner();
        let lines = inner.open.get(&key).map(|open| open.lines.as_slice()).unwrap_or_default();
        Ok(lines.iter().filter_map(|line| MetricName::new(&line.metric).ok()).collect())
    }
}
