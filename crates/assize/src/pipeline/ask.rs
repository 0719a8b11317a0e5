//! Asking one judge about one interaction on behalf of all metrics that want it next.

use std::sync::Arc;

use super::Pipeline;
use super::call::call;
use super::case::Case;
use super::course::Course;
use super::seat::CalledSeat;

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

/// Has the judge that a group of courses wants next asked, and takes each on its way as far as it then goes.
pub async fn ask(pipeline: &Pipeline, case: &Case<'_>, group: &mut [&mut Course<'_>]) {
    let seats: Vec<&CalledSeat> = group.iter().filter_map(|course| course.seat()).collect();
    let called = call(pipeline, &seats, case.subject).await;
    for (course, called) in group.iter_mut().zip(called) {
        course.answered(called, &pipeline.limits, case.retries);
        if course.failure().is_some()
            && let Some(fallback) = &course.seats.fallback
        {
            for called in call(pipeline, &[fallback], case.subject).await {
                course.fell_back(called);
            }
        }
        course.advance(case);
    }
}
