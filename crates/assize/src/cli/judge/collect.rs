//! The results store of a run of one judge: what it said of each interaction, in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use assize_core::queue::{Entry, Offset};
use assize_core::results::{Recorded, Recorder, Sums};
use assize_core::{DecisionState, MetricName, NanoUsd, Outcome, Reason, RowKey, Scored, StoreError};
use async_trait::async_trait;
use serde::Serialize;
use tokio::sync::Notify;

use crate::cli::eval::progress::{Progress, Reached};

/// Failures that no other interaction will be spared, and that cost nothing.
const HOPELESS: [&str; 3] = ["unauthorized", "network", "rejected"];
/// So many of them, alike, before any verdict, and the run is stopped.
const HOPELESS_MAX: u64 = 10;

/// What a judge said of one interaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    pub score: f64,
    pub confidence: Option<f64>,
    pub reason: String,
    /// The model that answered, as its provider says.
    pub model: Option<String>,
}

/// Why there is no verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unjudged {
    pub code: String,
    pub message: String,
}

/// One reason why there are no verdicts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    pub count: u64,
    /// The first message of its kind.
    pub example: String,
}

/// What a run took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spent {
    pub calls: u64,
    pub cost: NanoUsd,
    /// Calls whose cost is not known.
    pub cost_unknown: u64,
    /// Verdicts that were used again, and what that saved.
    pub reused: u64,
    pub saved: NanoUsd,
}

/// What has been said so far.
pub struct Collecting {
    metric: MetricName,
    inner: Mutex<Inner>,
    progressed: Notify,
    progress: Progress,
}

#[derive(Default)]
struct Inner {
    said: HashMap<RowKey, Result<Said, Unjudged>>,
    spent: Spent,
    folded: Offset,
    items: u64,
    judged: u64,
    missing: BTreeMap<String, Missing>,
    alike: bool,
    halted: Option<String>,
}

/// What a run ends with.
pub struct Collected {
    pub said: HashMap<RowKey, Result<Said, Unjudged>>,
    pub spent: Spent,
}

impl Collecting {
    pub fn new(metric: MetricName, progress: Progress) -> Self {
        let inner = Inner { alike: true, ..Inner::default() };
        Self { metric, inner: Mutex::new(inner), progressed: Notify::new(), progress }
    }

    /// So many more interactions are on their way.
    pub fn sent(&self, items: u64) {
        let mut inner = self.inner();
        inner.items += items;
        self.tell(&inner);
    }

    /// Everything is on its way.
    pub fn all_sent(&self) {
        self.tell(&self.inner());
    }

    /// Waits until fewer than `many` interactions are on the way.
    pub async fn below(&self, many: u64) -> Result<(), String> {
        loop {
            let progressed = self.progressed.notified();
            {
                let inner = self.inner();
                if let Some(why) = &inner.halted {
                    return Err(why.clone());
                }
                if inner.items.saturating_sub(inner.said.len() as u64) < many {
                    return Ok(());
                }
            }
            progressed.await;
        }
    }

    /// What was said, and the end of the bar.
    pub fn finish(&self) -> Collected {
        self.progress.finish();
        let mut inner = self.inner();
        Collected { said: std::mem::take(&mut inner.said), spent: inner.spent.clone() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, inner: &Inner) {
        let failed = inner.missing.values().map(|missing| missing.count).sum();
        let (items, done) = (inner.items, inner.said.len() as u64);
        let (judged, cost) = (inner.judged, inner.spent.cost);
        self.progress.tell(&Reached { items, done, judged, failed, cost, ..Reached::default() });
    }
}

impl Inner {
    fn close(&mut self, key: RowKey, said: Result<Said, Unjudged>) {
        match &said {
            Ok(_) => self.judged += 1,
            Err(Unjudged { code, message }) => {
                let fresh = || Missing { count: 0, example: message.clone() };
                let missing = self.missing.entry(code.clone()).or_insert_with(fresh);
                missing.count += 1;
                self.alike &= missing.example == *message && self.missing.len() == 1;
                let count: u64 = self.missing.values().map(|missing| missing.count).sum();
                if self.judged == 0 && self.alike && count >= HOPELESS_MAX && HOPELESS.contains(&code.as_str()) {
                    self.halted.get_or_insert_with(|| format!("nothing could be judged ({code}): {message}"));
                }
            }
        }
        self.said.entry(key).or_insert(said);
    }
}

fn unjudged(outcome: Outcome, reason: Option<&Reason>) -> Unjudged {
    match reason {
        Some(reason) => Unjudged { code: reason.code.to_string(), message: reason.message.clone() },
        None => Unjudged { code: outcome.to_string(), message: "no reason was given".to_owned() },
    }
}

#[async_trait]
impl Recorder for Collecting {
    async fn folded(&self) -> Result<Offset, StoreError> {
        Ok(self.inner().folded)
    }

    async fn fold(&self, entries: &[(Offset, Entry)]) -> Result<(), StoreError> {
        let mut inner = self.inner();
        for (offset, Entry { row, .. }) in entries {
            inner.folded = *offset;
            let Some(decision) = row.decision(&self.metric) else { continue };
            let DecisionState::Closed(outcome, reason) = &decision.state else { continue };
            let said = match decision.scores.last().filter(|_| *outcome == Outcome::Judged) {
                Some(free) => Ok(Said { score: free.score, confidence: None, reason: free.reason.clone(), model: None }),
                None => Err(unjudged(*outcome, reason.as_ref())),
            };
            inner.close(row.key, said);
        }
        self.tell(&inner);
        drop(inner);
        self.progressed.notify_one();
        Ok(())
    }

    async fn record(&self, scored: &[Scored]) -> Result<(), StoreError> {
        let mut inner = self.inner();
        for one in scored {
            let sums = Sums::of_calls(&one.calls);
            let spent = &mut inner.spent;
            spent.calls += sums.calls;
            spent.cost = spent.cost.plus(sums.cost);
            spent.cost_unknown += sums.cost_unknown;
            let Some(outcome) = one.outcome else { continue };
            let said = match one.verdicts.last().filter(|_| one.reference_score().is_some()) {
                Some(verdict) => {
                    if let Some(reused) = verdict.reused {
                        spent.reused += 1;
                        spent.saved = spent.saved.plus(reused.saved.unwrap_or_default());
                    }
                    Ok(Said {
                        score: verdict.score,
                        confidence: verdict.confidence,
                        reason: verdict.reason.clone(),
                        model: verdict.model.clone(),
                    })
                }
                None => Err(unjudged(outcome, one.reason.as_ref())),
            };
            inner.close(one.row.key, said);
        }
        self.tell(&inner);
        drop(inner);
        self.progressed.notify_one();
        Ok(())
    }

    async fn recorded(&self, key: RowKey) -> Result<Recorded, StoreError> {
        let closed = if self.inner().said.contains_key(&key) { vec![self.metric.clone()] } else { Vec::new() };
        Ok(Recorded { closed, ..Recorded::default() })
    }
}
