//! What is new goes on record, and only then is settled and kept where it is found again: what is used for nothing has its cost on
//! record somewhere.

use assize_core::{Outcome, Reason, Scored, StoreError};

use super::Pipeline;
use super::case::Case;
use super::course::Course;
use super::reuse::Fresh;

/// Records what is new; the reason of one that failed for good.
pub async fn record(pipeline: &Pipeline, scored: Vec<Scored>) -> Result<Option<Reason>, StoreError> {
    if !scored.is_empty() {
        pipeline.recorder.record(&scored).await?;
        if let Some(money) = &pipeline.money {
            let now = pipeline.clock.now();
            money.settle(scored.iter().flat_map(|one| &one.calls), now).await?;
            money.scored(&scored);
        }
        scored.iter().for_each(|one| pipeline.counters.score(one));
        pipeline.note_models(&scored).await?;
    }
    let failed = scored.into_iter().find(|one| one.outcome == Some(Outcome::JudgeFailed));
    Ok(failed.and_then(|one| one.reason))
}

/// Records what is new of the courses, then keeps the verdicts among it that are to be used again; the reason of one that failed for
/// good.
pub async fn record_news<'c, 'a: 'c>(
    pipeline: &Pipeline,
    case: &Case<'_>,
    courses: impl Iterator<Item = &'c mut Course<'a>>,
    fresh: Vec<Fresh>,
) -> Result<Option<Reason>, StoreError> {
    let now = pipeline.clock.now();
    let failed = record(pipeline, courses.filter_map(|course| course.news(now)).collect()).await?;
    if let Some(reuse) = &pipeline.reuse {
        reuse.keep(case, fresh, &pipeline.counters).await;
    }
    Ok(failed)
}
