//! Following a batch, and taking its members on when it has ended.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use assize_core::batch::{Member, OpenBatch};
use assize_core::judge::CallFailure;
use assize_core::{Part, StoreError, Timestamp};
use assize_judge::providers::Completion;
use assize_judge::providers::batch::{BatchEnd, BatchRef, BatchState};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};

use super::purse::{call_id, release};
use super::submit::say;
use super::{BatchLane, MARGIN, Pipeline, Way, go_on, seat_of};
use crate::pipeline::call::{Called, record};

/// Members that go on at once.
const AT_ONCE: usize = 32;

/// Asks how far the batch is, and takes on what was answered if it has ended.
pub(super) async fn collect(pipeline: &Pipeline, lane: &BatchLane, batch: &OpenBatch, id: &str) -> Result<(), StoreError> {
    let members = lane.store.members(&batch.marker, 1).await?;
    let now = pipeline.clock.now();
    let Some(first) = members.first() else { return lane.store.dissolve(&batch.marker, None).await };
    let Some(client) = seat_of(pipeline, first).await?.and_then(|(seat, _)| seat.batch) else {
        return lane.store.dissolve(&batch.marker, Some(now)).await;
    };
    let reference = BatchRef { id: id.to_owned(), marker: batch.marker.clone() };
    let status = match client.batches.poll(&reference).await {
        Ok(status) => status,
        Err(failure) => {
            say(&failure, "a batch could not be asked after");
            return keep(lane, batch, now).await;
        }
    };
    match status.state {
        BatchState::Waiting if batch.deadline < now.plus(MARGIN) => {
            // What is answered by then is read when it has ended; the rest is asked outside a batch.
            if let Err(failure) = client.batches.cancel(&reference).await {
                say(&failure, "a batch whose time is up could not be cancelled");
            }
            return Ok(());
        }
        BatchState::Waiting | BatchState::Cancelling => return Ok(()),
        BatchState::Ended(BatchEnd::Failed) if status.why.as_deref().is_some_and(|why| why.contains("limit")) => {
            // Too much at once for the account: smaller batches pass.
            let half = (usize::try_from(batch.members).unwrap_or(usize::MAX) / 2).max(1);
            lane.members_max.fetch_min(half, Ordering::Relaxed);
            tracing::warn!(batch = id, why = status.why, members_max = half, "a batch was too large: smaller ones are made");
            return give_up(pipeline, lane, batch, None).await;
        }
        BatchState::Ended(BatchEnd::Failed) => {
            tracing::warn!(batch = id, why = status.why, "a batch was refused: its questions are asked one by one");
            return give_up(pipeline, lane, batch, Some(now)).await;
        }
        BatchState::Ended(_) => {}
    }
    let members = lane.store.members(&batch.marker, usize::MAX).await?;
    let mut waiting: HashMap<String, Member> = members.into_iter().map(|member| (member.id.clone(), member)).collect();
    let expected = waiting.keys().cloned().collect();
    let mut results = match client.batches.results(&reference, expected).await {
        Ok(results) => results,
        Err(failure) => {
            say(&failure, "the answers of a batch could not be read");
            return keep(lane, batch, now).await;
        }
    };
    let mut going: FuturesUnordered<BoxFuture<'_, Result<(), StoreError>>> = FuturesUnordered::new();
    let mut failed: Option<StoreError> = None;
    loop {
        if lane.stop.is_cancelled() {
            // The rest is read at the next start.
            while let Some(gone) = going.next().await {
                failed = gone.err().or(failed);
            }
            return failed.map_or(Ok(()), Err);
        }
        let result = match results.next().await {
            Ok(Some(result)) => result,
            Ok(None) => break,
            Err(failure) => {
                say(&failure, "the answers of a batch could not be read to the end");
                while let Some(gone) = going.next().await {
                    failed = gone.err().or(failed);
                }
                return match failed {
                    Some(error) => Err(error),
                    None => keep(lane, batch, pipeline.clock.now()).await,
                };
            }
        };
        if let Some(member) = waiting.remove(&result.custom_id) {
            going.push(Box::pin(answer(pipeline, lane, &batch.marker, member, result.outcome)));
        }
        if going.len() >= AT_ONCE
            && let Some(gone) = going.next().await
        {
            failed = gone.err().or(failed);
        }
    }
    while let Some(gone) = going.next().await {
        failed = gone.err().or(failed);
    }
    if let Some(error) = failed {
        // All others have gone on. The batch is read again for those that could not.
        return Err(error);
    }
    let report = results.finish();
    release(pipeline, &batch.marker, report.missing.iter().map(String::as_str)).await?;
    tracing::info!(
        batch = id,
        answered = report.answered,
        missing = report.missing.len(),
        duplicate = report.duplicate,
        unknown = report.unknown,
        malformed = report.malformed,
        "a batch has ended"
    );
    // What has time left goes into the next one; what has not is due.
    lane.store.dissolve(&batch.marker, None).await
}

/// Gives up a batch of which nobody was asked anything, and gives back what was set aside for it: in this order, since what is given
/// back must not be submitted under the same marker.
async fn give_up(pipeline: &Pipeline, lane: &BatchLane, batch: &OpenBatch, until: Option<Timestamp>) -> Result<(), StoreError> {
    let members = lane.store.members(&batch.marker, usize::MAX).await?;
    lane.store.dissolve(&batch.marker, until).await?;
    release(pipeline, &batch.marker, members.iter().map(|member| member.id.as_str())).await
}

/// Keeps a batch that cannot be followed now until its time is up; then what still waits for it is asked outside a batch.
pub(super) async fn keep(lane: &BatchLane, batch: &OpenBatch, now: Timestamp) -> Result<(), StoreError> {
    if batch.deadline > now { Ok(()) } else { lane.store.dissolve(&batch.marker, Some(now)).await }
}

/// Takes a member on with what was answered about it.
async fn answer(
    pipeline: &Pipeline,
    lane: &BatchLane,
    marker: &str,
    member: Member,
    outcome: Result<Completion, CallFailure>,
) -> Result<(), StoreError> {
    let answers = match seat_of(pipeline, &member).await? {
        None => Vec::new(),
        Some((seat, questions)) => {
            let Some(batch) = &seat.batch else { return Ok(()) };
            let of = u16::try_from(member.metrics.len()).unwrap_or(u16::MAX);
            let id = call_id(&member.id, marker);
            let read = batch.judge.read(&questions, outcome, batch.price);
            let called = read.into_iter().enumerate().map(|(at, result)| {
                let part = Part { at: u16::try_from(at).unwrap_or(u16::MAX), of };
                let call = record(id.clone(), part, &seat, &result, true, pipeline.clock.now());
                pipeline.counters.call(&call);
                Called { result, calls: vec![call], withheld: None }
            });
            member.metrics.iter().cloned().zip(called).collect()
        }
    };
    let way = Way::Answered { id: member.id.clone(), judge: member.judge.clone(), metrics: member.metrics.clone(), answers };
    go_on(pipeline, lane, member, way).await
}
