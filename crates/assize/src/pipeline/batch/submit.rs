//! Making batches of what waits, and finding those whose submission was cut short.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use assize_core::batch::{Member, OpenBatch, Waiting};
use assize_core::judge::{CallFailure, CallFailureKind};
use assize_core::{Interaction, StoreError};
use assize_judge::providers::Batches;
use assize_judge::providers::batch::{BatchRequest, may_have_been_taken};

use futures::stream::{self, StreamExt as _};

use super::collect::keep;
use super::purse::{release, reserve};
use super::{BatchLane, MARGIN, Pipeline, go_on_live, seat_of};
use crate::pipeline::money::Withheld;
use crate::pipeline::seat::CalledSeat;

/// All bodies of a batch are in memory when it is sent; so are its members.
pub const MEMBERS_MAX: usize = 10_000;
const BYTES_MAX: usize = 64 << 20;
/// A provider's clock may differ from ours by this much.
const RESERVED_AT_ONCE: usize = 64;
const CLOCKS_DIFFER: Duration = Duration::from_secs(600);

/// Submits a batch for each lane in which enough waits, or for long enough.
pub(super) async fn submit_waiting(pipeline: &Pipeline, lane: &BatchLane) -> Result<(), StoreError> {
    for Waiting { lane: of, members, oldest } in lane.store.waiting().await? {
        let most = lane.members_max.load(Ordering::Relaxed).clamp(1, MEMBERS_MAX);
        let now = pipeline.clock.now();
        let is_due = pipeline.clock.now().since(oldest) >= lane.linger || members >= most as u64;
        if !is_due {
            continue;
        }
        let waiting = lane.store.next(&of, now.plus(MARGIN), most, BYTES_MAX).await?;
        let marker = pipeline.ids.marker();
        let Some((batches, requests)) = requests(pipeline, lane, &marker, waiting).await? else { continue };
        let ids: Vec<String> = requests.iter().map(|request| request.custom_id.clone()).collect();
        lane.store.intend(&marker, &of, &ids, pipeline.clock.now()).await?;
        send(pipeline, lane, &marker, batches.as_ref(), &requests).await?;
    }
    Ok(())
}

/// The client of the members' provider and their requests, as many as go into one batch and can be paid. Those of which none can be made,
/// or that the budget does not allow, are taken on without, several at once; for the others there may be money later.
async fn requests(
    pipeline: &Pipeline,
    lane: &BatchLane,
    marker: &str,
    members: Vec<Member>,
) -> Result<Option<(Arc<dyn Batches>, Vec<BatchRequest>)>, StoreError> {
    let (mut prepared, mut unfit) = (Vec::<Prepared>::new(), Vec::new());
    let mut bytes = 0_usize;
    for member in members {
        let one = match prepare(pipeline, member).await? {
            Ok(one) => one,
            Err(member) => {
                unfit.push(member);
                continue;
            }
        };
        let limits = one.batches.limits();
        bytes = bytes.saturating_add(one.body.len());
        if prepared.len() >= limits.requests_max || (bytes > limits.bytes_max && !prepared.is_empty()) {
            break;
        }
        prepared.push(one);
    }
    let reserving = prepared.into_iter().map(async |one| {
        let Prepared { member, seat, questions, interaction, .. } = &one;
        let reserved = reserve(pipeline, member, marker, seat, questions, interaction).await;
        (one, reserved)
    });
    let reserved: Vec<(Prepared, Result<(), Withheld>)> = stream::iter(reserving).buffered(RESERVED_AT_ONCE).collect().await;
    let (mut client, mut requests) = (None, Vec::new());
    for (one, reserved) in reserved {
        match reserved {
            Ok(()) => {
                requests.push(BatchRequest { custom_id: one.member.id, body: one.body });
                client = Some(one.batches);
            }
            Err(Withheld::Wait(_)) => {}
            Err(Withheld::Refused(_)) => unfit.push(one.member),
        }
    }
    go_on_live(pipeline, lane, unfit).await;
    Ok(client.filter(|_| !requests.is_empty()).map(|client| (client, requests)))
}

/// A member with what it asks its provider.
struct Prepared {
    member: Member,
    seat: CalledSeat,
    questions: Vec<usize>,
    interaction: Interaction,
    batches: Arc<dyn Batches>,
    body: Vec<u8>,
}

/// The member with its request; without, where there is no client for it any more, or nothing to ask.
async fn prepare(pipeline: &Pipeline, member: Member) -> Result<Result<Prepared, Member>, StoreError> {
    let Some((seat, questions)) = seat_of(pipeline, &member).await? else { return Ok(Err(member)) };
    let interaction = member.entry.payload.as_deref().and_then(|payload| serde_json::from_slice::<Interaction>(payload).ok());
    let made = interaction.zip(seat.batch.clone()).and_then(|(interaction, batch)| {
        let call = batch.judge.call(&interaction, &questions).ok()?;
        let body = batch.batches.body(&call.request()).ok()?;
        Some((interaction, batch.batches, body))
    });
    Ok(match made {
        Some((interaction, batches, body)) => Ok(Prepared { member, seat, questions, interaction, batches, body }),
        None => Err(member),
    })
}

/// Submits what is intended already.
async fn send(
    pipeline: &Pipeline,
    lane: &BatchLane,
    marker: &str,
    batches: &dyn Batches,
    requests: &[BatchRequest],
) -> Result<(), StoreError> {
    match batches.submit(marker, requests).await {
        Ok(submitted) => {
            tracing::info!(marker, batch = submitted.id, requests = requests.len(), "a batch was submitted");
            lane.store.submitted(marker, &submitted.id).await
        }
        Err(failure) => {
            pipeline.counters.fault("batch_submit");
            say(&failure, "a batch could not be submitted");
            if may_have_been_taken(&failure) {
                // It is looked for before it is submitted again.
                return Ok(());
            }
            // Where it was rejected, the next one would be as well.
            let until = (failure.kind == CallFailureKind::Rejected).then(|| pipeline.clock.now());
            lane.store.dissolve(marker, until).await?;
            // Only now: what is given back must not be submitted under the same marker.
            release(pipeline, marker, requests.iter().map(|request| request.custom_id.as_str())).await
        }
    }
}

/// Looks for a batch of which it is not known whether the provider has it, and submits it if not.
pub(super) async fn look_for(pipeline: &Pipeline, lane: &BatchLane, batch: &OpenBatch) -> Result<(), StoreError> {
    if pipeline.clock.now().since(batch.intended_at) < lane.poll_every.saturating_mul(2) {
        // It may not be listed yet.
        return Ok(());
    }
    let members = lane.store.members(&batch.marker, usize::MAX).await?;
    let Some(first) = members.first() else { return lane.store.dissolve(&batch.marker, None).await };
    let Some(client) = seat_of(pipeline, first).await?.and_then(|(seat, _)| seat.batch) else {
        return lane.store.dissolve(&batch.marker, Some(pipeline.clock.now())).await;
    };
    let found = match client.batches.list(&batch.marker, batch.intended_at.minus(CLOCKS_DIFFER)).await {
        Ok(found) => found,
        Err(failure) => {
            say(&failure, "batches could not be looked for");
            return keep(lane, batch, pipeline.clock.now()).await;
        }
    };
    if let Some(own) = found.iter().find(|found| found.marker.as_deref() == Some(batch.marker.as_str())) {
        tracing::info!(marker = batch.marker, batch = own.id, "a batch that was submitted before is found again");
        return lane.store.submitted(&batch.marker, &own.id).await;
    }
    let fits = |requests: Option<u64>| requests.is_none_or(|requests| requests == batch.members);
    if found.iter().any(|found| found.marker.is_none() && fits(found.requests)) {
        // It may be ours; that shows when it ends.
        return keep(lane, batch, pipeline.clock.now()).await;
    }
    let ids = members.len();
    match requests(pipeline, lane, &batch.marker, members).await? {
        Some((client, requests)) if requests.len() == ids => {
            send(pipeline, lane, &batch.marker, client.as_ref(), &requests).await
        }
        // Not all of it can be made any more: what can goes into another.
        made => {
            let requests = made.map(|(_, requests)| requests).unwrap_or_default();
            lane.store.dissolve(&batch.marker, None).await?;
            release(pipeline, &batch.marker, requests.iter().map(|request| request.custom_id.as_str())).await
        }
    }
}

/// The failure's kind; its own words may quote what was judged.
pub(super) fn say(failure: &CallFailure, what: &str) {
    tracing::warn!(failure = failure.kind.code(), "{what}");
}
