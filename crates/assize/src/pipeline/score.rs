//! `score`: what was drawn is judged, recorded and acknowledged.

use std::sync::Arc;
use std::time::Duration;

use assize_core::queue::{Entry, Leased, Settlement};
use assize_core::{Interaction, Reason, StoreError};
use futures::future::join_all;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Pipeline;
use super::ask::{ask, groups, take_answers};
use super::batch::Way;
use super::case;
use super::course::Course;
use super::gate::{SLOT_WAIT_MAX, WAIT_IN_HAND_MAX};
use super::nearest::EMBED_MAX;
use super::record::{record, record_news};
use crate::config::policy::Pace;

/// How drawn items are worked on.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Items in hand at once.
    pub in_flight_max: usize,
    /// How often an item goes back to the queue before it is given up.
    pub deliveries_max: u32,
    /// Age at which a drawn item expires.
    pub age_max: Duration,
    /// Longer than any item stays in hand.
    pub lease: Duration,
    /// Whether failed calls are said in the log; `eval` tells of them at its end.
    pub log_failures: bool,
    /// How long an item waits in the queue the first time, where its judge did not say; four times as long each time after.
    pub requeue_first: Duration,
}

impl Limits {
    /// A lease that outlives every wait and attempt that the settings of what is called allow for one item, of whose judges at most
    /// `called_max`, the fallback included, are asked one after the other.
    pub fn lease_for(paces: &[Pace], called_max: usize) -> Duration {
        let longest = paces.iter().map(|pace| {
            let attempt = SLOT_WAIT_MAX + 2 * WAIT_IN_HAND_MAX + pace.attempt_max;
            attempt.saturating_mul(pace.attempts)
        });
        // In each round a group may ask for some of its metrics, wait for what others ask, and ask for the rest after all.
        let round = longest.max().unwrap_or_default().saturating_mul(2).saturating_add(super::reuse::WAIT_MAX);
        round.saturating_mul(u32::try_from(called_max.max(1)).unwrap_or(u32::MAX)).saturating_add(SLOT_WAIT_MAX + EMBED_MAX)
    }

    /// How long an item that went back `retries` times waits before it is offered again.
    pub fn requeue(&self, retries: u32) -> Duration {
        self.requeue_first.saturating_mul(4_u32.saturating_pow(retries)).min(REQUEUE_MAX)
    }
}

const REQUEUE_MAX: Duration = Duration::from_secs(64);
const IDLE: Duration = Duration::from_millis(250);

/// Scores one leased item: every metric that drew it and has no outcome yet. Everything is on record before the lease ends.
pub async fn score(pipeline: &Pipeline, leased: Leased) -> Result<(), StoreError> {
    let Leased { receipt, entry, retries, .. } = leased;
    let settlement = match hear(pipeline, entry, retries, Way::Queue).await? {
        Ended { wait: None, failed: None, .. } => Settlement::Done(receipt),
        Ended { wait: None, failed: Some(reason), .. } => Settlement::Dead { receipt, reason },
        Ended { wait: Some(wait), tried, .. } => {
            let reason = Reason::new("retry", "a judge could not be had; see the calls on record");
            Settlement::Retry { receipt, not_before: pipeline.clock.now().plus(wait), reason, tried }
        }
    };
    pipeline.queue.settle(vec![settlement]).await
}

/// How hearing an interaction ended.
#[derive(Default)]
pub struct Ended {
    /// How long to wait before another try; `None` where there is nothing left to do.
    pub wait: Option<Duration>,
    /// Whether a call was made in vain, rather than only waited.
    pub tried: bool,
    /// Whether all the answers that a batch has brought were failures that may pass.
    pub in_vain: bool,
    /// Why a metric failed for good.
    pub failed: Option<Reason>,
}

/// Takes the metrics of an interaction that are on this way as far as they go now.
pub async fn hear(pipeline: &Pipeline, entry: Entry, retries: u32, way: Way) -> Result<Ended, StoreError> {
    let row = Arc::new(entry.row);
    let recorded = pipeline.recorder.recorded(row.key).await?;
    if recorded.accepted_at.is_some_and(|at| at != row.accepted_at) {
        // An id that came again after the queue had forgotten it: the first record stays, and nobody is paid for a second.
        return Ok(Ended::default());
    }
    if let Some(money) = &pipeline.money {
        // Calls of a delivery that came to no end: they may have been recorded and not settled.
        money.settle_again(recorded.calls.iter(), pipeline.clock.now()).await?;
    }
    let panel = pipeline.panels.of(&row.policy).await?;
    let subject = entry.payload.as_deref().and_then(parse);
    let (given_up, case) = case::open(pipeline, &row, panel.as_deref(), subject.as_ref(), retries, &recorded, way);
    let mut failed = record(pipeline, given_up).await?;
    let Some(mut case) = case else { return Ok(Ended { failed, ..Ended::default() }) };
    let answers = case.answers();
    let mut courses = case.courses();
    let (in_vain, fresh) = take_answers(pipeline, &case, &mut courses, answers).await;
    failed = failed.or(record_news(pipeline, &case, courses.iter_mut(), fresh).await?);
    // In each round every judge is asked once, about all metrics that want it next. Each group is on record as soon as it is answered,
    // so that a slow judge costs the others nothing at a crash.
    while courses.iter().any(|course| course.seat().is_some()) {
        let groups = join_all(groups(&mut courses).into_iter().map(async |mut group| ask(pipeline, &case, &mut group).await));
        // None is dropped because another could not be recorded: it may be in the middle of a call.
        let failures = groups.await.into_iter().collect::<Result<Vec<_>, _>>()?;
        failed = failures.into_iter().flatten().next().or(failed);
    }
    let tried = courses.iter().any(|course| course.try_again().is_some() && course.called);
    Ok(Ended { wait: courses.iter().filter_map(Course::try_again).max(), tried, in_vain, failed })
}

fn parse(payload: &[u8]) -> Option<Interaction> {
    serde_json::from_slice(payload).ok()
}

/// Leases and scores until `stop`, then waits for what is in hand.
pub async fn run(pipeline: &Arc<Pipeline>, stop: &CancellationToken) {
    let mut tasks = JoinSet::new();
    let mut folded = pipeline.folded.subscribe();
    let room_min = (pipeline.limits.in_flight_max / 8).max(1);
    while !stop.is_cancelled() {
        while tasks.try_join_next().is_some() {}
        let room = pipeline.limits.in_flight_max.saturating_sub(tasks.len());
        let mut idle = true;
        if room >= room_min {
            let up_to = *folded.borrow_and_update();
            match pipeline.queue.lease(room, up_to, pipeline.clock.now(), pipeline.limits.lease).await {
                Ok(leased) => {
                    idle = leased.is_empty();
                    for item in leased {
                        let pipeline = Arc::clone(pipeline);
                        tasks.spawn(async move {
                            if let Err(error) = score(&pipeline, item).await {
                                pipeline.counters.fault("score");
                                tracing::error!(%error, "an item could not be recorded; it comes back when its lease ends");
                            }
                        });
                    }
                }
                Err(error) => {
                    pipeline.counters.fault("lease");
                    tracing::error!(%error, "the queue gave no work; trying again");
                }
            }
        }
        if idle {
            tokio::select! {
                () = stop.cancelled() => {}
                Ok(()) = folded.changed() => {}
                Some(_) = tasks.join_next() => {}
                () = tokio::time::sleep(IDLE) => {}
            }
        }
    }
    while tasks.join_next().await.is_some() {}
}
