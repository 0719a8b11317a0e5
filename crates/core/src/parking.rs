//! The port of parking: parts of interactions that were acknowledged and wait for the rest, such as a span whose text comes as log
//! events.

use async_trait::async_trait;

use crate::{ProjectName, StoreError};

/// Names one parked part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParkedId(pub u64);

/// A part of an interaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The project of its sender.
    pub project: ProjectName,
    /// The part, in a form that its owner reads.
    pub body: Vec<u8>,
}

/// Where parts wait. Everything that returns `Ok` is on disk.
#[async_trait]
pub trait Parking: Send + Sync {
    /// Stores parts in one durable commit; their ids are in the same order. All or nothing on error.
    async fn park(&self, parts: Vec<Part>) -> Result<Vec<ParkedId>, StoreError>;

    /// Everything that is parked, oldest first.
    async fn parked(&self) -> Result<Vec<(ParkedId, Part)>, StoreError>;

    /// Forgets parts. Ids that are not parked are passed over.
    async fn release(&self, ids: Vec<ParkedId>) -> Result<(), StoreError>;
}
