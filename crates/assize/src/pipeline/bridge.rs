//! Bridges: when a metric's reference judge changes, both versions judge one random sample, so that rates before and after can be
//! compared. Works in the background on what is on record, and on nobody's way.
//!
//! While the old version can be called it is asked about what the new one judges; else the new one is asked about stored interactions
//! that the old one judged. What is drawn is decided by a hash of its own; the probability is recorded with each pair.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use assize_core::judge::CallFailure;
use assize_core::results::{BridgeItem, BridgeVerdict, Filter, Results, SumsQuery, VersionChange};
use assize_core::{
    AskedAs, Hour, InteractionId, JudgeVersion, MetricName, NanoUsd, Outcome, ProjectName, RowKey, StoreError, Timestamp,
};
use assize_estimate::bridge::Pair;
use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::Pipeline;
use super::call::{Errand, call};
use super::dry_run::{all_of, marked};
use super::seat::CalledSeat;

/// How far back a version before the present one is looked for.
const LOOK_BACK: Duration = Duration::from_secs(30 * 86_400);
const EVERY: Duration = Duration::from_secs(5);
/// Interactions in hand at once, and asked about in one turn.
const AT_ONCE: usize = 4;
const TURN: usize = 40;
/// Verdicts of a page, and pages that are looked through in one turn.
const PAGE: usize = 500;
const PAGES: usize = 20;
/// After so many failures of the old version in a row that waiting would not help, it is taken to be gone.
const GONE_AFTER: u32 = 3;

/// What is known of the changes, by project and metric.
#[derive(Default)]
pub struct Bridges(Mutex<HashMap<(ProjectName, MetricName), Bridge>>);

/// How a bridge stands.
#[derive(Debug, Clone, Default, PartialEq)]
struct Bridge {
    /// The version that it leads to.
    new: Option<JudgeVersion>,
    /// The version before; `None` where there was none.
    old: Option<Before>,
    old_is_gone: bool,
    failures: u32,
    /// While the old version is asked: verdicts recorded before this were looked at.
    looked_at: Option<Timestamp>,
    /// While the new version is asked: where to go on; whether there is anything left to look at.
    cursor: Option<String>,
    all_seen: bool,
    /// Drawn, and to be asked about.
    pending: VecDeque<InteractionId>,
    /// All that there was has been looked at, or as many pairs as wanted are there.
    done: bool,
}

/// The version before the present one.
#[derive(Debug, Clone, PartialEq)]
pub struct Before {
    pub version: JudgeVersion,
    /// The last hour of which it judged anything.
    pub last: Hour,
    /// What it judged within [`LOOK_BACK`], and within its last day.
    pub judged: u64,
    pub judged_last_day: u64,
}

/// Whom a bridge asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The old version, about what the new one judges.
    Old,
    /// The new version, about what the old one judged.
    New,
}

impl Bridges {
    /// Whether the old version could not be called when it was last asked for.
    pub fn asked(&self, project: &ProjectName, metric: &MetricName) -> Asked {
        if self.get(project, metric).old_is_gone { Asked::New } else { Asked::Old }
    }

    fn get(&self, project: &ProjectName, metric: &MetricName) -> Bridge {
        let bridges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bridges.get(&(project.clone(), metric.clone())).cloned().unwrap_or_default()
    }

    fn put(&self, project: &ProjectName, metric: &MetricName, bridge: Bridge) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((project.clone(), metric.clone()), bridge);
    }
}

/// The version that judged before `new`: of those within the last 30 days the one that judged last.
pub async fn before(
    results: &dyn Results,
    project: &ProjectName,
    metric: &MetricName,
    new: &JudgeVersion,
    now: Timestamp,
) -> Result<Option<Before>, StoreError> {
    let to = now.plus(Duration::from_secs(3_600));
    let query = SumsQuery { project: project.clone(), metric: metric.clone(), from: now.minus(LOOK_BACK), to, by: None };
    let buckets = results.sums(&query).await?;
    let others = buckets.iter().filter(|bucket| &bucket.reference != new && bucket.sums.judged > 0);
    let Some(last) = others.max_by_key(|bucket| (bucket.hour, bucket.sums.judged)) else { return Ok(None) };
    let its = || buckets.iter().filter(|bucket| bucket.reference == last.reference);
    let lately = its().filter(|bucket| bucket.hour.0 > last.hour.0 - 24);
    Ok(Some(Before {
        version: last.reference.clone(),
        last: last.hour,
        judged: its().map(|bucket| bucket.sums.judged).sum(),
        judged_last_day: lately.map(|bucket| bucket.sums.judged).sum(),
    }))
}

/// The pairs of a change, in its direction; those of a bridge that was built the other way round are turned.
pub async fn pairs(results: &dyn Results, project: &ProjectName, change: &VersionChange) -> Result<Vec<Pair>, StoreError> {
    let there = results.bridge(project, change).await?;
    let back = VersionChange { metric: change.metric.clone(), old: change.new.clone(), new: change.old.clone() };
    let back = results.bridge(project, &back).await?;
    let pair = |item: BridgeItem, turned: bool| {
        let (old, new) = item.scores?;
        let (old, new) = if turned { (new, old) } else { (old, new) };
        Some(Pair { old, new, probability: item.probability })
    };
    let there = there.into_iter().filter_map(|item| pair(item, false));
    Ok(there.chain(back.into_iter().filter_map(|item| pair(item, true))).collect())
}

/// Builds bridges until `stop`.
pub async fn run(
    pipeline: &Pipeline,
    results: &dyn Results,
    wanted: u32,
    projects: impl Fn() -> Vec<ProjectName>,
    stop: &CancellationToken,
) {
    if wanted == 0 {
        return;
    }
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        for project in projects() {
            let panel = pipeline.panels.of_project(&project);
            for (metric, seats) in panel.policy.metrics.iter().zip(&panel.seats) {
                let Some(seat) = seats.called.last() else { continue };
                let turn = turn(pipeline, results, wanted as usize, &project, &metric.name, seat);
                match stop.run_until_cancelled(turn).await {
                    None => return,
                    Some(Ok(())) => {}
                    Some(Err(error)) => {
                        pipeline.counters.fault("bridge");
                        tracing::error!(%error, %project, metric = %metric.name, "a bridge could not be built on; trying again");
                    }
                }
            }
        }
    }
}

/// Goes on with the bridge of one metric, if its judge has changed.
async fn turn(
    pipeline: &Pipeline,
    results: &dyn Results,
    wanted: usize,
    project: &ProjectName,
    metric: &MetricName,
    new: &CalledSeat,
) -> Result<(), StoreError> {
    let now = pipeline.clock.now();
    let mut bridge = pipeline.bridges.get(project, metric);
    if bridge.new.as_ref() != Some(&new.version) {
        let old = before(results, project, metric, &new.version, now).await?;
        bridge = Bridge { new: Some(new.version.clone()), done: old.is_none(), old, ..Bridge::default() };
    }
    if let Some(old) = bridge.old.clone().filter(|_| !bridge.done) {
        build(pipeline, results, wanted, (project, metric), new, &old, &mut bridge).await?;
    }
    pipeline.bridges.put(project, metric, bridge);
    Ok(())
}

async fn build(
    pipeline: &Pipeline,
    results: &dyn Results,
    wanted: usize,
    (project, metric): (&ProjectName, &MetricName),
    new: &CalledSeat,
    old: &Before,
    bridge: &mut Bridge,
) -> Result<(), StoreError> {
    let change = VersionChange { metric: metric.clone(), old: old.version.clone(), new: new.version.clone() };
    let on_record = results.bridge(project, &change).await?;
    let missing = wanted.saturating_sub(on_record.iter().filter(|item| item.scores.is_some()).count());
    if missing == 0 {
        bridge.done = true;
        return Ok(());
    }
    let old_seat = match bridge.old_is_gone {
        true => None,
        false => seat_of(pipeline, results, project, metric, old).await?,
    };
    bridge.old_is_gone = old_seat.is_none();
    let (asked, base, expected) = match &old_seat {
        Some(seat) => (seat, &new.version, old.judged_last_day),
        None => (new, &old.version, old.judged),
    };
    // As was begun, so that what was not drawn then is not drawn now.
    let begun = on_record.iter().find(|item| item.scores.is_some());
    let rate = begun.map_or_else(|| (wanted as f64 / expected.max(1) as f64).min(1.0), |item| item.rate);
    let known: HashSet<RowKey> = on_record.iter().map(|item| item.key).collect();
    let drawn = |id: &InteractionId| {
        let key = RowKey::of(project, id);
        !known.contains(&key) && pipeline.draw_key.bridge(key).falls_below(rate)
    };
    look(results, project, metric, base, bridge, drawn).await?;
    let due = bridge.pending.len().min(missing).min(TURN);
    let ids: Vec<InteractionId> = bridge.pending.drain(..due).collect();
    let change = &change;
    let asking = ids.into_iter().map(|id| async move {
        let scene = Scene { project, change, asked, base, rate };
        let met = both(pipeline, results, &scene, &id).await;
        (id, met)
    });
    let ended: Vec<_> = futures::stream::iter(asking).buffered(AT_ONCE).collect().await;
    for (id, met) in ended {
        match met? {
            Met::Waited => bridge.pending.push_back(id),
            Met::Asked(Some(failure)) if old_seat.is_some() && !failure.kind.is_retryable() => bridge.failures += 1,
            Met::Asked(Some(_)) => {}
            Met::Asked(None) | Met::Gone => bridge.failures = 0,
        }
    }
    if bridge.failures >= GONE_AFTER {
        tracing::warn!(%project, %metric, "the version before cannot be called any more: stored interactions are judged again");
        *bridge = Bridge { new: bridge.new.take(), old: bridge.old.take(), old_is_gone: true, ..Bridge::default() };
        return Ok(());
    }
    bridge.done = bridge.old_is_gone && bridge.all_seen && bridge.pending.is_empty();
    Ok(())
}

/// Looks for interactions that `base` judged as the reference, that were not looked at before and that are drawn.
async fn look(
    results: &dyn Results,
    project: &ProjectName,
    metric: &MetricName,
    base: &JudgeVersion,
    bridge: &mut Bridge,
    drawn: impl Fn(&InteractionId) -> bool,
) -> Result<(), StoreError> {
    let backwards = bridge.old_is_gone;
    if bridge.pending.len() >= TURN || (backwards && bridge.all_seen) {
        return Ok(());
    }
    let cursor = bridge.cursor.clone().filter(|_| backwards);
    let mut filter = Filter { metric: Some(metric.clone()), limit: PAGE, cursor, ..all_of(project) };
    let mut newest = bridge.looked_at;
    'pages: for _ in 0..PAGES {
        let page = results.verdicts(&filter).await?;
        for verdict in page.items {
            if !backwards && bridge.looked_at.is_some_and(|at| verdict.at < at) {
                break 'pages;
            }
            newest = newest.max(Some(verdict.at));
            let is_base = verdict.is_reference && &verdict.verdict.version == base;
            if is_base && drawn(&verdict.id) && !bridge.pending.contains(&verdict.id) {
                bridge.pending.push_back(verdict.id);
            }
        }
        filter.cursor = page.next;
        if filter.cursor.is_none() || (backwards && bridge.pending.len() >= TURN) {
            break;
        }
    }
    bridge.looked_at = newest;
    bridge.all_seen = filter.cursor.is_none();
    bridge.cursor = filter.cursor;
    Ok(())
}

/// What is the same for all interactions of a turn.
struct Scene<'a> {
    project: &'a ProjectName,
    change: &'a VersionChange,
    asked: &'a CalledSeat,
    /// The version whose verdict is on record.
    base: &'a JudgeVersion,
    rate: f64,
}

/// What came of asking about an interaction.
enum Met {
    /// It, its text or its verdict is not there any more.
    Gone,
    /// Nobody was asked: there was no slot, or no money. Another time.
    Waited,
    /// It was asked, and why it gave no verdict, if so.
    Asked(Option<CallFailure>),
}

/// Asks the other version about an interaction and records both.
async fn both(pipeline: &Pipeline, results: &dyn Results, scene: &Scene<'_>, id: &InteractionId) -> Result<Met, StoreError> {
    let Scene { project, change, asked, base, rate } = *scene;
    let Some(mut record) = results.interaction(project, id).await? else { return Ok(Met::Gone) };
    let Some(text) = record.payload.take() else { return Ok(Met::Gone) };
    let Some(metric) = record.metrics.iter().find(|one| one.decision.metric == change.metric) else { return Ok(Met::Gone) };
    let Some(known) = metric.verdicts.iter().rev().find(|verdict| &verdict.version == base) else { return Ok(Met::Gone) };
    let reference = metric.steps.last().map_or(metric.decision.probability, |step| step.probability);
    let spent_on = marked("bridge", &change.metric);
    let seat = CalledSeat { asked_as: AskedAs::Study, ..asked.clone() };
    let asking = Errand { seat: &seat, spent_on: &spent_on };
    let Some(called) = call(pipeline, &[asking], &text).await.into_iter().next() else { return Ok(Met::Gone) };
    if called.calls.is_empty() {
        return Ok(Met::Waited);
    }
    let (verdict, failure) = match called.result {
        Ok(verdict) => (Some(verdict), None),
        Err(failure) => (None, Some(failure)),
    };
    let scores =
        verdict.as_ref().map(|said| if base == &change.new { (said.score, known.score) } else { (known.score, said.score) });
    let item = BridgeItem {
        key: record.row.key,
        scores,
        probability: (reference * rate).clamp(f64::MIN_POSITIVE, 1.0),
        rate,
        calls: called.calls.len() as u64,
        cost: called.calls.iter().filter_map(|call| call.cost).fold(NanoUsd::ZERO, NanoUsd::plus),
        cost_unknown: called.calls.iter().filter(|call| call.cost.is_none()).count() as u64,
    };
    let extra = BridgeVerdict {
        project: project.clone(),
        change: change.clone(),
        item,
        verdict,
        calls: called.calls,
        spent_on,
        at: pipeline.clock.now(),
    };
    results.record_bridge(&extra).await?;
    if let Some(money) = &pipeline.money {
        money.settle(extra.calls.iter(), pipeline.clock.now()).await?;
    }
    pipeline.counters.changed();
    Ok(Met::Asked(failure))
}

/// The seat of the version before, opened from the policy under which it judged; `None` where it cannot be opened any more.
async fn seat_of(
    pipeline: &Pipeline,
    results: &dyn Results,
    project: &ProjectName,
    metric: &MetricName,
    old: &Before,
) -> Result<Option<CalledSeat>, StoreError> {
    let mut filter = Filter {
        metric: Some(metric.clone()),
        outcome: Some(Outcome::Judged),
        from: Some(old.last.start()),
        to: Some(Hour(old.last.0.saturating_add(1)).start()),
        ..all_of(project)
    };
    for _ in 0..PAGES {
        let page = results.interactions(&filter).await?;
        let by_old = |row: &assize_core::Accepted| row.decision(metric).is_some_and(|one| one.reference == old.version);
        if let Some(record) = page.items.iter().find(|record| by_old(&record.row)) {
            let panel = pipeline.panels.of(&record.row.policy).await?;
            let seat = panel.and_then(|panel| panel.metric(metric).and_then(|(_, seats)| seats.called.last().cloned()));
            return Ok(seat.filter(|seat| seat.version == old.version));
        }
        filter.cursor = page.next;
        if filter.cursor.is_none() {
            break;
        }
    }
    Ok(None)
}
