//! The results store of a run: sums in memory, lines in `--out`, and what is on the way between reader and judges.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use assize_core::queue::{Entry, Offset};
use assize_core::results::{Recorded, Recorder, Sums};
use assize_core::scored::standing;
use assize_core::{CallRecord, DecisionState, MetricName, RowKey, Scored, Step, StoreError, Verdict};
use async_trait::async_trait;
use tokio::sync::Notify;

use super::line::Line;
use super::output::Output;
use super::progress::{Progress, Reached};
use super::summary::Summary;
use super::tally::{Tally, told};
use crate::ingest::{Draft, ItemError};
use crate::pipeline::accept::Receipt;

/// Rejected lines that are named; of more, only the count.
const NAMED_MAX: u64 = 20;

/// What a run records.
pub struct Recording {
    inner: Mutex<Inner>,
    progressed: Notify,
    progress: Progress,
}

struct Inner {
    tally: Tally,
    output: Option<Output>,
    folded: Offset,
    reached: Reached,
    on_the_way: usize,
    /// Calls of interactions that wait for another try, and lines of those that are not whole yet.
    open: HashMap<RowKey, Open>,
    /// Why the run cannot go on.
    halted: Option<String>,
}

#[derive(Default)]
struct Open {
    calls: BTreeMap<MetricName, Vec<CallRecord>>,
    verdicts: Vec<(MetricName, Verdict)>,
    steps: Vec<(MetricName, Step)>,
    closed: Vec<MetricName>,
    /// Empty where there is no `--out`.
    lines: Vec<Line>,
}

impl Recording {
    pub fn new(tally: Tally, output: Option<Output>, progress: Progress) -> Self {
        let inner = Inner {
            tally,
            output,
            folded: Offset(0),
            reached: Reached::default(),
            on_the_way: 0,
            open: HashMap::new(),
            halted: None,
        };
        Self { inner: Mutex::new(inner), progressed: Notify::new(), progress }
    }

    /// Of a batch of so many bytes, what neither this run nor one before has met.
    pub fn new_ones(&self, bytes: u64, items: Vec<Result<Draft, ItemError>>) -> Vec<Result<Draft, ItemError>> {
        let mut inner = self.inner();
        inner.reached.bytes += bytes;
        inner.reached.items += items.len() as u64;
        let before = items.len();
        let new: Vec<_> = items.into_iter().filter(|item| inner.tally.is_new(item)).collect();
        inner.reached.done_before += (before - new.len()) as u64;
        new
    }

    /// Counts what was accepted, and names what was not.
    pub fn received(&self, receipt: &Receipt) {
        let mut inner = self.inner();
        let named = NAMED_MAX.saturating_sub(inner.tally.rejected);
        inner.tally.received(receipt);
        inner.on_the_way += receipt.accepted;
        self.tell(&inner);
        drop(inner);
        let rejected = receipt.rejected.len() as u64;
        for (_, error) in receipt.rejected.iter().take(usize::try_from(named).unwrap_or(usize::MAX)) {
            self.progress.aside(&format!("rejected: {}", error.message));
        }
        if named > 0 && rejected > named {
            self.progress.aside("rejected: more lines, which are only counted from here on");
        }
    }

    /// Waits until fewer than `many` interactions are on the way.
    pub async fn below(&self, many: usize) -> Result<(), String> {
        loop {
            let progressed = self.progressed.notified();
            {
                let inner = self.inner();
                if let Some(why) = &inner.halted {
                    return Err(why.clone());
                }
                if inner.on_the_way < many {
                    return Ok(());
                }
            }
            progressed.await;
        }
    }

    /// Everything is read: from now on the bar knows its end.
    pub fn all_read(&self) {
        let mut inner = self.inner();
        inner.reached.all_read = true;
        self.tell(&inner);
    }

    /// The bar goes away for a last word.
    pub fn stopping(&self, word: &str) {
        self.progress.finish();
        self.progress.aside(word);
    }

    /// The end of the run, or of what a signal left of it. What was recorded is on disk; where nothing could be judged and nothing
    /// was paid, `--out` is as it was, so that the run can be repeated once the cause is put right.
    pub fn finish(&self, elapsed: Duration) -> Result<Finish, String> {
        self.progress.finish();
        let mut inner = self.inner();
        let in_vain = inner.tally.nothing_judged();
        let hopeless = inner.tally.is_hopeless();
        // Taken away, so that what is still on its way to its end writes nothing more.
        if let Some(mut output) = inner.output.take() {
            if hopeless {
                output.take_back()?;
            }
            output.finish()?;
        }
        Ok(Finish { summary: inner.tally.summary(elapsed), in_vain })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn done(&self, mut inner: MutexGuard<'_, Inner>, interactions: usize) {
        inner.on_the_way = inner.on_the_way.saturating_sub(interactions);
        self.tell(&inner);
        drop(inner);
        self.progressed.notify_one();
    }

    fn tell(&self, inner: &Inner) {
        let (reached, tally) = (&inner.reached, &inner.tally);
        let done = reached.items.saturating_sub(inner.on_the_way as u64);
        let (judged, failed, cost) = (tally.judged, tally.failed, tally.cost);
        self.progress.tell(&Reached { done, judged, failed, cost, ..*reached });
    }
}

/// What a run ends with.
pub struct Finish {
    pub summary: Summary,
    /// Why nothing could be judged, if judges were called and none gave a verdict.
    pub in_vain: Option<String>,
}

impl Inner {
    fn close(&mut self, lines: Vec<Line>) {
        let Some(output) = &mut self.output else { return };
        let texts = lines.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>();
        if let Err(error) = texts.map_err(|error| error.to_string()).and_then(|texts| output.append(&texts)) {
            self.halted.get_or_insert(error);
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
            let mut open = Open::default();
            for decision in &row.decisions {
                inner.tally.add(&decision.metric, &Sums::of_accepted(decision));
                if let DecisionState::Closed(outcome, reason) = &decision.state {
                    inner.tally.close(&decision.metric, *outcome, false, told(reason.as_ref()));
                    open.closed.push(decision.metric.clone());
                    if inner.output.is_some() {
                        open.lines.push(Line::new(row, decision, *outcome, reason.as_ref(), None, &[]));
                    }
                }
            }
            if row.is_drawn() {
                inner.open.insert(row.key, open);
            } else {
                inner.close(open.lines);
                done += 1;
            }
            inner.folded = *offset;
        }
        self.done(inner, done);
        Ok(())
    }

    async fn record(&self, scored: &[Scored]) -> Result<(), StoreError> {
        let mut inner = self.inner();
        let mut done = 0;
        for one in scored {
            inner.tally.add(&one.metric, &Sums::of_calls(&one.calls));
            let Some(mut open) = inner.open.remove(&one.row.key) else { continue };
            open.calls.entry(one.metric.clone()).or_default().extend(one.calls.iter().cloned());
            if let Some(decision) = one.row.decision(&one.metric) {
                let known = open.steps.iter().filter(|(metric, _)| *metric == one.metric).map(|(_, step)| step);
                let (before, stands) = (standing(decision.probability, known), standing(decision.probability, &one.steps));
                inner.tally.add(&one.metric, &Sums::of_moved(before, stands));
            }
            if one.outcome.is_none() {
                open.verdicts.extend(one.verdicts.iter().map(|verdict| (one.metric.clone(), verdict.clone())));
                open.steps.retain(|(metric, _)| *metric != one.metric);
                open.steps.extend(one.steps.iter().map(|step| (one.metric.clone(), step.clone())));
            }
            if let (Some(outcome), Some(decision)) = (one.outcome, one.row.decision(&one.metric)) {
                let score = one.reference_score();
                let stands = standing(decision.probability, &one.steps);
                inner.tally.add(&one.metric, &Sums::of_outcome(decision, outcome, stands, score));
                let verdict = one.verdicts.last().filter(|_| score.is_some());
                inner.tally.close(&one.metric, outcome, true, told(one.reason.as_ref()));
                open.closed.push(one.metric.clone());
                let calls = open.calls.remove(&one.metric).unwrap_or_default();
                if inner.output.is_some() {
                    let line = Line::new(&one.row, decision, outcome, one.reason.as_ref(), verdict, &calls);
                    open.lines.push(line.of_last_draw(stands));
                }
            }
            if open.closed.len() == one.row.decisions.len() {
                inner.close(open.lines);
                done += 1;
            } else {
                inner.open.insert(one.row.key, open);
            }
        }
        if inner.tally.is_enough() {
            let why = inner.tally.nothing_judged().unwrap_or_default();
            inner.halted.get_or_insert(why);
        }
        self.done(inner, done);
        Ok(())
    }

    async fn recorded(&self, key: RowKey) -> Result<Recorded, StoreError> {
        let inner = self.inner();
        let Some(open) = inner.open.get(&key) else { return Ok(Recorded::default()) };
        Ok(Recorded {
            accepted_at: None,
            closed: open.closed.clone(),
            verdicts: open.verdicts.clone(),
            steps: open.steps.clone(),
            calls: open.calls.values().flatten().cloned().collect(),
        })
    }
}
