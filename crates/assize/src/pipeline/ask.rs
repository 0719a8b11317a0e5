//! Asking one judge about one interaction on behalf of all metrics that want it next.

use std::sync::Arc;

use assize_core::{MetricName, ReuseKind, StoreError};
use futures::future::join_all;

use super::Pipeline;
use super::call::{Called, call};
use super::case::Case;
use super::course::Course;
use super::reuse::{Keys, again};
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
/// is used; what somebody else is asking right now is waited for; the rest is asked in one call.
pub async fn ask(pipeline: &Pipeline, case: &Case<'_>, group: &mut [&mut Course<'_>]) -> Result<(), StoreError> {
    let mut keys = keys_of(pipeline, case, group);
    let (mut flights, mut waits) = (Vec::new(), Vec::new());
    // Before it is looked for: what was answered in between is then found.
    for at in unanswered(group) {
        let taken_on = match (&pipeline.reuse, keys.get(at).copied().flatten()) {
            (Some(reuse), Some(keys)) => reuse.take_on(keys.exact).map(Some),
            _ => Ok(None),
        };
        match taken_on {
            Ok(flight) => flights.extend(flight),
            Err(wait) => waits.push((at, wait)),
        }
    }
    let (waited, waits): (Vec<usize>, Vec<_>) = waits.into_iter().unzip();
    find_again(pipeline, case, group, &keys).await;
    let open = unanswered(group).into_iter().filter(|at| !waited.contains(at)).collect();
    let open = set_aside(pipeline, case, group, open).await?;
    call_about(pipeline, case, group, &open, &keys).await;
    // Nobody is waited for while others wait for us.
    drop(flights);
    if !waited.is_empty() {
        join_all(waits).await;
        keys = keys_of(pipeline, case, group);
        find_again(pipeline, case, group, &keys).await;
        let open: Vec<usize> = waited.into_iter().filter(|at| unanswered(group).contains(at)).collect();
        // What was waited for may have been parked, and then so is this.
        let open = set_aside(pipeline, case, group, open).await?;
        call_about(pipeline, case, group, &open, &keys).await;
    }
    for course in group.iter_mut() {
        course.advance(case);
    }
    Ok(())
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

/// Takes on the courses of which a batch has brought the answers; whether all of these were failures that may pass.
pub async fn take_answers(
    pipeline: &Pipeline,
    case: &Case<'_>,
    courses: &mut [Course<'_>],
    answers: Vec<(MetricName, Called)>,
) -> bool {
    let mut failed = 0;
    let brought = answers.len();
    for (metric, called) in answers {
        let Some(course) = courses.iter_mut().find(|course| course.decision.metric == metric) else { continue };
        let Some(seat) = course.seat().filter(|seat| case.way.brings(&seat.name)) else { continue };
        let keys = pipeline.reuse.as_ref().and_then(|reuse| reuse.keys(course, seat, case.subject));
        take_in(pipeline, case, course, seat, called, keys).await;
        course.advance(case);
        failed += usize::from(course.try_again().is_some());
    }
    brought > 0 && failed == brought
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
            course.take(again(&cached, seat, ReuseKind::Exact));
            continue;
        }
        let (Some(similar), Some(policy)) = (keys.similar, course.metric.reuse) else { continue };
        let standing = pipeline.similar.standing(&case.row.project, &course.decision.metric, &seat.version, &policy);
        if standing == Standing::Stopped || course.has_similar() {
            continue;
        }
        let mut found = reuse.find(&[similar], now).await.into_iter().next().flatten();
        if let (None, Some(similarity)) = (&found, policy.similarity) {
            let shelf = reuse.shelf(course, seat, &case.row.project);
            found = reuse.find_nearest(case, &shelf, *keys, similarity, &pipeline.counters, now).await;
        }
        if let Some(cached) = found {
            let audit = if standing == Standing::InUse { policy.audit } else { 1.0 };
            course.take_similar(again(&cached, seat, ReuseKind::Similar), audit, case);
        }
    }
}

/// Calls the judge about the courses at `open`, keeps what it says, and asks the fallback judge where it failed for good.
async fn call_about(pipeline: &Pipeline, case: &Case<'_>, group: &mut [&mut Course<'_>], open: &[usize], keys: &[Option<Keys>]) {
    let seats: Vec<&CalledSeat> = open.iter().filter_map(|&at| group.get(at)?.seat()).collect();
    if seats.is_empty() {
        return;
    }
    let called = call(pipeline, &seats, case.subject).await;
    for ((&at, seat), called) in open.iter().zip(seats).zip(called) {
        if let Some(course) = group.get_mut(at) {
            take_in(pipeline, case, course, seat, called, keys.get(at).copied().flatten()).await;
        }
    }
}

/// Takes in what the judge in `seat` said: keeps it to be used again, and asks the fallback judge where it failed for good.
async fn take_in(
    pipeline: &Pipeline,
    case: &Case<'_>,
    course: &mut Course<'_>,
    seat: &CalledSeat,
    called: Called,
    keys: Option<Keys>,
) {
    if let (Ok(verdict), Some(reuse), Some(keys)) = (&called.result, &pipeline.reuse, keys) {
        reuse.keep(course, &case.row.project, keys, verdict, pipeline.clock.now()).await;
        let (project, metric) = (&case.row.project, &course.decision.metric);
        if let Some(policy) = course.metric.reuse.filter(|_| keys.rest.is_some())
            && pipeline.similar.standing(project, metric, &seat.version, &policy) != Standing::Stopped
        {
            reuse.add_nearest(case, reuse.shelf(course, seat, project), keys, &pipeline.counters).await;
        }
    }
    if let (Ok(verdict), Some(similar)) = (&called.result, course.similar_score()) {
        let (project, metric) = (&case.row.project, &course.decision.metric);
        pipeline.similar.audited(project, metric, &seat.version, similar, verdict.score);
    }
    course.answered(called, &pipeline.limits, case.retries);
    if course.failure().is_some()
        && let Some(fallback) = &course.seats.fallback
    {
        for called in call(pipeline, &[fallback], case.subject).await {
            course.fell_back(called);
        }
    }
}
