//! Asking one judge about one interaction on behalf of all metrics that want it next.

use std::sync::Arc;

use assize_core::{JudgeVersion, MetricName, Reason, ReusePolicy, StoreError, Verdict};
use futures::future::{BoxFuture, join_all};

use super::Pipeline;
use super::call::{Called, Errand, call};
use super::case::Case;
use super::course::Course;
use super::record::record_news;
use super::reuse::{Flight, Fresh, Keys, again, version_by_text};
use super::seat::CalledSeat;
use super::similar::Standing;

/// The courses that have somebody to ask, by judge: metrics that share a judge which can answer several questions go together.
pub fn groups<'c, 'a>(courses: &'c mut [Course<'a>]) -> Vec<Vec<&'c mut Course<'a>>> {
    let mut groups: Vec<(&CalledSeat, Vec<&'c mut Course<'a>>)> = Vec::new();
    for course in courses {
        let Some(seat) = course.seat() else { continue };
        let room = seat.judge.questions_max();
        let mate = |group: &&mut (&CalledSeat, Vec<_>)| Arc::ptr_eq(&group.0.judge, &seat.judge) && group.1.len() < room;
        match groups.iter_mut().find(mate) {
            Some((_, group)) => group.push(course),
            None => groups.push((seat, vec![course])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

/// Has the judge that a group of courses wants next asked, and takes each on its way as far as it then goes. What is known from before
/// is used; what somebody else is asking right now is waited for; the rest is asked in one call. All of it is on record when this
/// returns: the reason of a course that failed for good.
pub async fn ask(pipeline: &Pipeline, case: &Case<'_>, group: &mut [&mut Course<'_>]) -> Result<Option<Reason>, StoreError> {
    let keys = keys_of(pipeline, case, group);
    // Before it is looked for: what was answered in between is then found.
    let (flights, waits) = take_on(pipeline, group, &keys);
    let (waited, waits): (Vec<usize>, Vec<_>) = waits.into_iter().unzip();
    let is_last = waited.is_empty();
    let failed = ask_those(pipeline, case, group, &keys, |at| !waited.contains(at), is_last).await?;
    // Those that wait for us find the answers now. Nobody is waited for before that.
    drop(flights);
    if is_last {
        return Ok(failed);
    }
    join_all(waits).await;
    let keys = keys_of(pipeline, case, group);
    let later = ask_those(pipeline, case, group, &keys, |at| waited.contains(at), true).await?;
    Ok(failed.or(later))
}

/// A question of the group that somebody else is asking, by its place, and the wait for the answer.
type Wait = (usize, BoxFuture<'static, ()>);

/// Takes on the questions of the group that nobody is asking, so that others wait for the answers.
fn take_on(pipeline: &Pipeline, group: &[&mut Course<'_>], keys: &[Option<Keys>]) -> (Vec<Flight>, Vec<Wait>) {
    let (mut flights, mut waits) = (Vec::new(), Vec::new());
    let Some(reuse) = &pipeline.reuse else { return (flights, waits) };
    for at in unanswered(group) {
        let Some(keys) = keys.get(at).copied().flatten() else { continue };
        match reuse.take_on(keys.exact) {
            Ok(flight) => flights.push(flight),
            Err(wait) => waits.push((at, wait)),
        }
    }
    (flights, waits)
}

/// Uses what is known from before, and parks or asks the rest of `those` in the group; records what came of it. With the last of them
/// the group is taken on its way.
async fn ask_those(
    pipeline: &Pipeline,
    case: &Case<'_>,
    group: &mut [&mut Course<'_>],
    keys: &[Option<Keys>],
    those: impl Fn(&usize) -> bool,
    is_last: bool,
) -> Result<Option<Reason>, StoreError> {
    find_again(pipeline, case, group, keys).await;
    let open = unanswered(group).into_iter().filter(those).collect();
    // What was waited for may have been parked, and then so is this.
    let open = set_aside(pipeline, case, group, open).await?;
    let fresh = call_about(pipeline, case, group, &open, keys).await;
    if is_last {
        group.iter_mut().for_each(|course| course.advance(case));
    }
    record_news(pipeline, case, group.iter_mut().map(|course| &mut **course), fresh).await
}

/// Parks those of the group at `open` whose answers may take hours; those that are to be asked now remain.
async fn set_aside(
    pipeline: &Pipeline,
    case: &Case<'_>,
    group: &mut [&mut Course<'_>],
    open: Vec<usize>,
) -> Result<Vec<usize>, StoreError> {
    match &pipeline.batch {
        Some(lane) => lane.set_aside(pipeline, case, group, open).await,
        None => Ok(open),
    }
}

/// Takes on the courses of which a batch has brought the answers: whether all of these were failures that may pass, and the verdicts to
/// keep once they are on record.
pub async fn take_answers(
    pipeline: &Pipeline,
    case: &Case<'_>,
    courses: &mut [Course<'_>],
    answers: Vec<(MetricName, Called)>,
) -> (bool, Vec<Fresh>) {
    let (mut failed, mut fresh) = (0, Vec::new());
    let brought = answers.len();
    for (metric, called) in answers {
        let Some(course) = courses.iter_mut().find(|course| course.decision.metric == metric) else { continue };
        let Some(seat) = course.seat().filter(|seat| case.way.brings(&seat.name)) else { continue };
        let keys = pipeline.reuse.as_ref().and_then(|reuse| reuse.keys(course, seat, case.subject));
        fresh.extend(take_in(pipeline, case, course, seat, called, keys).await);
        course.advance(case);
        failed += usize::from(course.try_again().is_some());
    }
    (brought > 0 && failed == brought, fresh)
}

/// The places in the group of those that still want the judge that the group was made for.
fn unanswered(group: &[&mut Course<'_>]) -> Vec<usize> {
    group.iter().enumerate().filter(|(_, course)| course.is_asking()).map(|(at, _)| at).collect()
}

/// The keys of what the group asks, in its order.
fn keys_of(pipeline: &Pipeline, case: &Case<'_>, group: &[&mut Course<'_>]) -> Vec<Option<Keys>> {
    let Some(reuse) = &pipeline.reuse else { return vec![None; group.len()] };
    let keys = |course: &&mut Course<'_>| reuse.keys(course, course.seat().filter(|_| course.is_asking())?, case.subject);
    group.iter().map(keys).collect()
}

/// Takes verdicts of the cache, and draws whether those on nearly the same will do. What failed once is asked for.
async fn find_again(pipeline: &Pipeline, case: &Case<'_>, group: &mut [&mut Course<'_>], keys: &[Option<Keys>]) {
    let Some(reuse) = pipeline.reuse.as_ref().filter(|_| case.retries == 0) else { return };
    let now = pipeline.clock.now();
    let mut exact = reuse.find(&keys.iter().flatten().map(|keys| keys.exact).collect::<Vec<_>>(), now).await.into_iter();
    for (course, keys) in group.iter_mut().zip(keys) {
        let (Some(keys), Some(seat)) = (keys, course.seat()) else { continue };
        if let Some(cached) = exact.next().flatten() {
            course.take(again(&cached, seat, None));
            continue;
        }
        if let Some((verdict, audit)) = find_similar(pipeline, case, course, seat, *keys).await {
            course.take_similar(verdict, audit, case);
        }
    }
}

/// A verdict on nearly the same, by its text or else by its meaning, and the probability with which the judge is asked all the same.
/// Nothing is looked for in a way that errs too often.
async fn find_similar(
    pipeline: &Pipeline,
    case: &Case<'_>,
    course: &Course<'_>,
    seat: &CalledSeat,
    keys: Keys,
) -> Option<(Verdict, f64)> {
    let (reuse, policy, by_text) = (pipeline.reuse.as_ref()?, course.metric.reuse?, keys.similar?);
    if course.has_similar() {
        return None;
    }
    let now = pipeline.clock.now();
    let audit =
        |version: &JudgeVersion| match pipeline.similar.standing(&case.row.project, &course.decision.metric, version, &policy) {
            Standing::Learning => Some(1.0),
            Standing::InUse => Some(policy.audit),
            Standing::Stopped => None,
        };
    let version = version_by_text(&seat.version);
    if let Some(audit) = audit(&version)
        && let Some(cached) = reuse.find(&[by_text], now).await.into_iter().next().flatten()
    {
        return Some((again(&cached, seat, Some(version)), audit));
    }
    let similarity = policy.similarity?;
    let version = reuse.version_by_meaning(seat, similarity)?;
    let audit = audit(&version)?;
    let shelf = reuse.shelf(course, seat, &case.row.project);
    let cached = reuse.find_nearest(case, &shelf, keys, similarity, &pipeline.counters, now).await?;
    Some((again(&cached, seat, Some(version)), audit))
}

/// Whether what the judge in `seat` says is to be found by its meaning, too.
fn finds_near(pipeline: &Pipeline, case: &Case<'_>, course: &Course<'_>, seat: &CalledSeat) -> bool {
    let version = |policy: &ReusePolicy| pipeline.reuse.as_ref()?.version_by_meaning(seat, policy.similarity?);
    let errs = |policy: ReusePolicy| {
        let version = version(&policy)?;
        Some(pipeline.similar.standing(&case.row.project, &course.decision.metric, &version, &policy) == Standing::Stopped)
    };
    course.is_at_reference() && course.metric.reuse.and_then(errs) == Some(false)
}

/// Calls the judge about the courses at `open`, and asks the fallback judge where it failed for good: the verdicts to keep once they
/// are on record.
async fn call_about(
    pipeline: &Pipeline,
    case: &Case<'_>,
    group: &mut [&mut Course<'_>],
    open: &[usize],
    keys: &[Option<Keys>],
) -> Vec<Fresh> {
    let mut fresh = Vec::new();
    let asking = |&at: &usize| {
        let course = group.get(at)?;
        Some(Errand { seat: course.seat()?, spent_on: &course.decision.metric })
    };
    let asked: Vec<Errand<'_>> = open.iter().filter_map(asking).collect();
    if asked.is_empty() {
        return fresh;
    }
    let called = call(pipeline, &asked, case.subject).await;
    for ((&at, asked), called) in open.iter().zip(asked).zip(called) {
        if let Some(course) = group.get_mut(at) {
            fresh.extend(take_in(pipeline, case, course, asked.seat, called, keys.get(at).copied().flatten()).await);
        }
    }
    fresh
}

/// Takes in what the judge in `seat` said, and asks the fallback judge where it failed for good: the verdict, if it is to be kept.
async fn take_in(
    pipeline: &Pipeline,
    case: &Case<'_>,
    course: &mut Course<'_>,
    seat: &CalledSeat,
    called: Called,
    keys: Option<Keys>,
) -> Option<Fresh> {
    let project = &case.row.project;
    let fresh = called.result.as_ref().ok().and_then(|verdict| {
        let finds_near = finds_near(pipeline, case, course, seat);
        Some(pipeline.reuse.as_ref()?.fresh(course, seat, project, keys?, verdict, finds_near, pipeline.clock.now()))
    });
    if let (Ok(verdict), Some((version, similar))) = (&called.result, course.similar()) {
        pipeline.similar.audited(project, &course.decision.metric, version, *similar, verdict.score);
    }
    course.answered(called, &pipeline.limits, case.retries);
    if course.failure().is_some()
        && let Some(fallback) = &course.seats.fallback
    {
        let asked = Errand { seat: fallback, spent_on: &course.decision.metric };
        for called in call(pipeline, &[asked], case.subject).await {
            course.fell_back(called);
        }
    }
    fresh
}
