//! Money for batches: set aside before a question is submitted, at the price of a live call, and given back where it was never asked.

use std::time::Duration;

use assize_core::batch::Member;
use assize_core::{CallId, Interaction, MetricName, StoreError};

use super::Pipeline;
use crate::pipeline::money::{Wanted, Withheld};
use crate::pipeline::seat::CalledSeat;

/// A provider may take this long after the deadline to say what came of a batch.
const AFTER_DEADLINE: Duration = Duration::from_secs(2 * 3_600);

/// The id of the call that asks a member's questions in the batch of this marker: the same at every reading, so that it counts once.
pub(super) fn call_id(member: &str, marker: &str) -> CallId {
    CallId(format!("b-{member}-{marker}"))
}

/// Sets aside what the member's questions can cost in the batch of this marker.
pub(super) async fn reserve(
    pipeline: &Pipeline,
    member: &Member,
    marker: &str,
    seat: &CalledSeat,
    questions: &[usize],
    interaction: &Interaction,
) -> Result<(), Withheld> {
    let Some(money) = &pipeline.money else { return Ok(()) };
    let now = pipeline.clock.now();
    let metrics: Vec<&MetricName> = member.metrics.iter().collect();
    let wanted = Wanted {
        project: &interaction.project,
        judge: &seat.name,
        metrics: &metrics,
        now,
        lease: member.deadline.since(now).saturating_add(AFTER_DEADLINE),
    };
    let bound = |tightness| seat.judge.bound(interaction, questions, tightness);
    money.reserve(&call_id(&member.id, marker), &wanted, bound, &pipeline.counters).await
}

/// Gives back what was set aside for members that the provider did not answer in the batch of this marker, and so does not bill.
pub(super) async fn release<'m>(
    pipeline: &Pipeline,
    marker: &str,
    members: impl Iterator<Item = &'m str>,
) -> Result<(), StoreError> {
    let Some(money) = &pipeline.money else { return Ok(()) };
    let calls: Vec<CallId> = members.map(|member| call_id(member, marker)).collect();
    money.release(&calls, pipeline.clock.now()).await
}
