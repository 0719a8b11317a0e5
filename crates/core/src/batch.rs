//! The port of what waits for a provider's batch: questions that may be answered hours later, at a lower price.
//!
//! A question is parked with everything that is needed to go on when its answer comes, and leaves the queue. Before a batch is submitted
//! its marker is on record with its members, so that after a crash it can be looked for at the provider instead of being paid twice.

use async_trait::async_trait;

use crate::queue::Entry;
use crate::{JudgeName, MetricName, ProviderName, RowKey, StoreError, Timestamp};

/// Questions that may share a batch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane {
    /// The provider.
    pub provider: ProviderName,
    /// The model: providers take no batches of several.
    pub model: String,
}

/// A question, or several that go together, about one interaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its own. 1 to 39 letters, digits, dashes and underscores.
    pub id: String,
    /// Which batch it may go into.
    pub lane: Lane,
    /// The interaction, to go on with.
    pub entry: Entry,
    /// Who is asked.
    pub judge: JudgeName,
    /// On behalf of which metrics, in the order of their answers.
    pub metrics: Vec<MetricName>,
    /// When it was parked.
    pub parked_at: Timestamp,
    /// When it must have been asked in some other way.
    pub deadline: Timestamp,
    /// How often it was asked outside a batch in vain.
    pub retries: u32,
}

/// A batch that is on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenBatch {
    /// What we call it.
    pub marker: String,
    /// What its members share.
    pub lane: Lane,
    /// What the provider calls it; `None` while it is not known whether the provider has it.
    pub provider_id: Option<String>,
    /// When it was put on record.
    pub intended_at: Timestamp,
    /// How many members wait for it.
    pub members: u64,
    /// The earliest of their deadlines.
    pub deadline: Timestamp,
}

/// What waits in one lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The lane.
    pub lane: Lane,
    /// How many members are in no batch.
    pub members: u64,
    /// When the oldest was parked.
    pub oldest: Timestamp,
}

/// What waits for batches.
#[async_trait]
pub trait BatchStore: Send + Sync {
    /// Parks members. Durable when it returns. A metric that its judge is to be asked about already on behalf of the same interaction
    /// stays with the member that it is parked with and is left out of the new one, so that parking again changes nothing, whatever the
    /// metric's mates; neither does a member whose id is known.
    async fn park(&self, members: &[Member]) -> Result<(), StoreError>;

    /// The metrics of an interaction that are parked for a judge, each with the id of its member.
    async fn parked(&self, key: RowKey, judge: &JudgeName) -> Result<Vec<(MetricName, String)>, StoreError>;

    /// The lanes in which members wait that are in no batch.
    async fn waiting(&self) -> Result<Vec<Waiting>, StoreError>;

    /// Up to `max` members of the lane that are in no batch and whose deadline is at or after `deadline`, the oldest first; fewer where
    /// their payloads come to more than `bytes_max`.
    async fn next(&self, lane: &Lane, deadline: Timestamp, max: usize, bytes_max: usize) -> Result<Vec<Member>, StoreError>;

    /// Up to `max` members in no batch that must be asked in another way: their deadline is before `deadline`, or they were put off
    /// until before `now`.
    async fn due(&self, deadline: Timestamp, now: Timestamp, max: usize) -> Result<Vec<Member>, StoreError>;

    /// Puts a batch of these members on record, before it is submitted. Members that are in a batch already stay there.
    async fn intend(&self, marker: &str, lane: &Lane, ids: &[String], at: Timestamp) -> Result<(), StoreError>;

    /// The provider has the batch, under this id.
    async fn submitted(&self, marker: &str, provider_id: &str) -> Result<(), StoreError>;

    /// The batches on record, the oldest first.
    async fn batches(&self) -> Result<Vec<OpenBatch>, StoreError>;

    /// Up to `max` of the members that wait for a batch, in the order in which they were parked.
    async fn members(&self, marker: &str, max: usize) -> Result<Vec<Member>, StoreError>;

    /// Forgets a batch; members that still wait for it are in no batch any more. Given a time, they are put off until then and asked
    /// outside a batch.
    async fn dissolve(&self, marker: &str, until: Option<Timestamp>) -> Result<(), StoreError>;

    /// A member is put off until a time, to be asked outside a batch, or without one goes into the next batch. `tried` counts it as
    /// asked in vain.
    async fn put_off(&self, id: &str, until: Option<Timestamp>, tried: bool) -> Result<(), StoreError>;

    /// Forgets members that have gone on.
    async fn finish(&self, ids: &[String]) -> Result<(), StoreError>;
}
