//! The batch lane: questions whose answers may take hours leave the queue, go to the provider's batch API together, and come back with
//! their answers.
//!
//! A member holds everything that is needed to go on, so that the queue can forget the item. What is on record outlives a crash at any
//! moment: a batch is intended before it is submitted, looked for before it is submitted again, and read again until all its members
//! have gone on.

mod collect;
mod purse;
mod submit;

pub use submit::MEMBERS_MAX;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use assize_core::batch::{BatchStore, Lane, Member};
use assize_core::queue::Entry;
use assize_core::{JudgeName, MetricName, Price, StoreError, Timestamp};
use assize_judge::ChatJudge;
use assize_judge::providers::Batches;
use futures::stream::{self, StreamExt as _};
use tokio_util::sync::CancellationToken;

use super::Pipeline;
use super::case::Case;
use super::course::Course;
use super::score::{Ended, hear};
use super::seat::CalledSeat;

/// How a called judge is asked by batches.
#[derive(Clone)]
pub struct BatchSeat {
    pub judge: Arc<ChatJudge>,
    pub batches: Arc<dyn Batches>,
    /// What a call in a batch costs.
    pub price: Option<Price>,
}

/// What waits for batches, and how long.
pub struct BatchLane {
    pub store: Arc<dyn BatchStore>,
    /// A batch is submitted when its oldest member has waited this long.
    pub linger: Duration,
    /// Providers are asked this often how far they are.
    pub poll_every: Duration,
    /// Members of one batch, at the most; less than at first where a provider has refused more.
    pub members_max: AtomicUsize,
    /// Nothing new is begun once this is cancelled.
    pub stop: CancellationToken,
}

/// How an interaction comes before its judges.
pub enum Way {
    /// From the queue: what may wait for a batch is parked.
    Queue,
    /// A member with the answers that a batch has brought of its judge: what is asked next may be parked in its turn.
    Answered { id: String, judge: JudgeName, metrics: Vec<MetricName>, answers: Vec<(MetricName, super::call::Called)> },
    /// A member that waits for no batch any more; what is parked with another stays there.
    Live { id: String, metrics: Vec<MetricName> },
}

impl Way {
    fn live(member: &Member) -> Self {
        Self::Live { id: member.id.clone(), metrics: member.metrics.clone() }
    }

    /// The id of the member that it came as.
    fn member(&self) -> Option<&str> {
        match self {
            Self::Queue => None,
            Self::Answered { id, .. } | Self::Live { id, .. } => Some(id),
        }
    }

    /// Whether the metric is on this way: a member goes with its own metrics alone. Others of the same interaction have a member
    /// of their own or are with the queue, and might be asked about twice at the same time.
    pub fn carries(&self, metric: &MetricName) -> bool {
        match self {
            Self::Queue => true,
            Self::Answered { metrics, .. } | Self::Live { metrics, .. } => metrics.contains(metric),
        }
    }

    /// Whether it has brought answers of this judge. Read again after a crash, they may be those of a tier that lies behind.
    pub fn brings(&self, judge: &JudgeName) -> bool {
        matches!(self, Self::Answered { judge: by, .. } if by == judge)
    }
}

/// This long before its deadline, a question is asked outside a batch.
const MARGIN: Duration = Duration::from_secs(15 * 60);
/// Members that are taken up outside a batch at once.
const LIVE_AT_ONCE: usize = 16;
const LIVE_MAX: usize = 256;

impl BatchLane {
    /// Parks those of the group at `open` whose answers may take hours; those that are to be asked now remain.
    pub async fn set_aside(
        &self,
        pipeline: &Pipeline,
        case: &Case<'_>,
        group: &mut [&mut Course<'_>],
        open: Vec<usize>,
    ) -> Result<Vec<usize>, StoreError> {
        let may_wait =
            |course: &Course<'_>| course.metric.max_delay_hours > 0 && course.seat().is_some_and(|seat| seat.batch.is_some());
        let (delayed, mut now): (Vec<usize>, Vec<usize>) =
            open.into_iter().partition(|&at| group.get(at).is_some_and(|course| may_wait(course)));
        let Some(seat) = delayed.first().and_then(|&at| group.get(at)?.seat()) else { return Ok(now) };
        let parked = self.store.parked(case.row.key, &seat.name).await?;
        let mut joining = Vec::new();
        for at in delayed {
            let Some(course) = group.get_mut(at) else { continue };
            let found = parked.iter().find(|(metric, _)| *metric == course.decision.metric).map(|(_, id)| id.as_str());
            match found {
                // It is asked by another member already, whoever goes with it there.
                Some(id) if case.way.member() != Some(id) => course.park(),
                None if may_join(case, course, pipeline.clock.now()) => joining.push(at),
                _ => now.push(at),
            }
        }
        let courses: Vec<&Course<'_>> = joining.iter().filter_map(|&at| group.get(at).map(|course| &**course)).collect();
        if let Some(member) = member(pipeline.ids.member(), case, seat, &courses, pipeline.clock.now()) {
            self.store.park(std::slice::from_ref(&member)).await?;
        }
        for at in joining {
            if let Some(course) = group.get_mut(at) {
                course.park();
            }
        }
        now.sort_unstable();
        Ok(now)
    }
}

/// Whether a question that is parked nowhere may go into a batch, however often it went back to the queue: only what has come back from
/// a batch in vain is asked outside.
fn may_join(case: &Case<'_>, course: &Course<'_>, now: Timestamp) -> bool {
    let has_time = deadline(case, course.metric.max_delay_hours) > now.plus(MARGIN);
    has_time && !matches!(case.way, Way::Live { .. })
}

fn deadline(case: &Case<'_>, hours: u32) -> Timestamp {
    case.row.accepted_at.plus(Duration::from_secs(u64::from(hours) * 3_600))
}

/// The question of `courses`, which share `seat`'s judge, as a member of a batch; `None` where there is none of them.
fn member(id: String, case: &Case<'_>, seat: &CalledSeat, courses: &[&Course<'_>], now: Timestamp) -> Option<Member> {
    let mut metrics: Vec<MetricName> = courses.iter().map(|course| course.decision.metric.clone()).collect();
    metrics.sort();
    let hours = courses.iter().map(|course| course.metric.max_delay_hours).min()?;
    Some(Member {
        id,
        lane: Lane { provider: seat.judge.provider().clone(), model: seat.judge.model().to_owned() },
        entry: Entry { row: (**case.row).clone(), payload: serde_json::to_vec(case.subject).ok() },
        judge: seat.name.clone(),
        metrics,
        parked_at: now,
        deadline: deadline(case, hours),
        retries: 0,
    })
}

/// The seat that the member's questions were put to, and their places among its judge's; `None` if its policy cannot be opened.
async fn seat_of(pipeline: &Pipeline, member: &Member) -> Result<Option<(CalledSeat, Vec<usize>)>, StoreError> {
    let Some(panel) = pipeline.panels.of(&member.entry.row.policy).await? else { return Ok(None) };
    let mut questions = Vec::new();
    let mut found = None;
    for metric in &member.metrics {
        let at = panel.policy.metrics.iter().position(|known| known.name == *metric);
        let seat = at.and_then(|at| panel.seats.get(at)?.called.iter().find(|seat| seat.name == member.judge));
        let Some(seat) = seat else { return Ok(None) };
        questions.push(seat.question);
        found = Some(seat.clone());
    }
    Ok(found.map(|seat| (seat, questions)))
}

/// Takes a member on its way and forgets it, or has it wait again where a judge could not be had.
async fn go_on(pipeline: &Pipeline, lane: &BatchLane, member: Member, way: Way) -> Result<(), StoreError> {
    let Member { id, entry, deadline, retries, .. } = member;
    let Ended { wait, in_vain, tried, .. } = hear(pipeline, entry, retries, way).await?;
    let now = pipeline.clock.now();
    match wait {
        None => lane.store.finish(&[id]).await,
        // What failed in a batch may go into the next one, as long as there is time; not where a part was answered, or another
        // judge is waited for: all of its questions would be asked and paid again.
        Some(_) if in_vain && deadline > now.plus(MARGIN) => lane.store.put_off(&id, None, tried).await,
        Some(wait) => lane.store.put_off(&id, Some(now.plus(wait)), tried).await,
    }
}

/// Submits, follows and collects batches until it is told to stop; what is in hand then is finished.
pub async fn run(pipeline: &Pipeline) {
    let Some(lane) = &pipeline.batch else { return };
    loop {
        if let Err(error) = tick(pipeline, lane).await {
            fault(pipeline, &error);
        }
        if lane.stop.run_until_cancelled(tokio::time::sleep(lane.poll_every)).await.is_none() {
            return;
        }
    }
}

fn fault(pipeline: &Pipeline, error: &StoreError) {
    pipeline.counters.fault("batch");
    tracing::error!(%error, "what waits for batches could not be worked on; trying again");
}

/// One batch or member that cannot be worked on holds up no other.
async fn tick(pipeline: &Pipeline, lane: &BatchLane) -> Result<(), StoreError> {
    for batch in lane.store.batches().await? {
        if lane.stop.is_cancelled() {
            return Ok(());
        }
        let followed = match &batch.provider_id {
            None => submit::look_for(pipeline, lane, &batch).await,
            Some(id) => collect::collect(pipeline, lane, &batch, id).await,
        };
        if let Err(error) = followed {
            fault(pipeline, &error);
        }
    }
    ask_what_is_due(pipeline, lane).await?;
    if lane.stop.is_cancelled() { Ok(()) } else { submit::submit_waiting(pipeline, lane).await }
}

/// Asks outside a batch what has no time left for one.
async fn ask_what_is_due(pipeline: &Pipeline, lane: &BatchLane) -> Result<(), StoreError> {
    while !lane.stop.is_cancelled() {
        let now = pipeline.clock.now();
        let due = lane.store.due(now.plus(MARGIN), now, LIVE_MAX).await?;
        let more = due.len() == LIVE_MAX;
        if !go_on_live(pipeline, lane, due).await || !more {
            break;
        }
    }
    Ok(())
}

/// Takes members on outside a batch, several at once; whether that went well with all.
async fn go_on_live(pipeline: &Pipeline, lane: &BatchLane, members: Vec<Member>) -> bool {
    let live = members.into_iter().map(|member| {
        let way = Way::live(&member);
        go_on(pipeline, lane, member, way)
    });
    let ended: Vec<Result<(), StoreError>> = stream::iter(live).buffer_unordered(LIVE_AT_ONCE).collect().await;
    let failed = ended.iter().filter_map(|ended| ended.as_ref().err()).inspect(|error| fault(pipeline, error)).count();
    failed == 0
}
