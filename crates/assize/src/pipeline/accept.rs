//! `accept`: what a sender sent becomes durable, with everything decided that costs nothing to decide.

use std::collections::HashMap;

use assize_core::queue::Enqueued;
use assize_core::{ProjectName, StoreError, StoreErrorKind};

use super::Pipeline;
use super::decide::decide;
use super::pacing::Demanded;
use crate::access::Principal;
use crate::ingest::{Draft, ItemError};

/// What became of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    pub accepted: usize,
    pub duplicate: usize,
    /// Index in the batch, and why.
    pub rejected: Vec<(usize, ItemError)>,
}

/// Why nothing of a batch was accepted, though it may be later.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// Too much at once: the sender should come back.
    #[error("{0}")]
    Overloaded(String),
    /// The sender's project has sent its share of this second.
    #[error("{0}")]
    RateLimited(String),
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

/// Accepts a decoded batch on behalf of `who`. When it returns, every accepted item is on disk; duplicates changed nothing.
pub async fn accept(pipeline: &Pipeline, who: &Principal, batch: Vec<Result<Draft, ItemError>>) -> Result<Receipt, AcceptError> {
    if !who.admits(batch.len()) {
        return Err(AcceptError::rate_limited(pipeline, who));
    }
    take(pipeline, who, batch).await
}

/// Accepts what was admitted already.
pub async fn take(pipeline: &Pipeline, who: &Principal, batch: Vec<Result<Draft, ItemError>>) -> Result<Receipt, AcceptError> {
    let now = pipeline.clock.now();
    let mut receipt = Receipt::default();
    let mut entries = Vec::with_capacity(batch.len());
    let mut asked = Vec::with_capacity(batch.len());
    for (index, draft) in batch.into_iter().enumerate() {
        let admitted = draft.and_then(|draft| Ok((project_of(who, &draft)?, draft)));
        match admitted {
            Ok((project, draft)) => {
                let interaction = draft.into_interaction(project, now, || pipeline.ids.interaction());
                let panel = pipeline.panels.of_project(&interaction.project);
                let restraint = pipeline.restraint(&interaction.project);
                let entry = decide(&panel, &pipeline.draw_key, &pipeline.allocations, &restraint, &interaction, now);
                asked.push((interaction.project, Demanded::of(&entry.row, restraint.pace)));
                entries.push(entry);
            }
            Err(error) => receipt.rejected.push((index, error)),
        }
    }
    let mut demand: HashMap<ProjectName, Demanded> = HashMap::new();
    for (outcome, (project, asked)) in pipeline.queue.enqueue(entries).await.map_err(AcceptError::from)?.into_iter().zip(asked) {
        match outcome {
            Enqueued::Accepted => {
                receipt.accepted += 1;
                demand.entry(project).or_default().add(asked);
            }
            Enqueued::Duplicate => receipt.duplicate += 1,
        }
    }
    pipeline.see_demand(demand);
    pipeline.counters.accept(&receipt);
    pipeline.accepted.notify_one();
    Ok(receipt)
}

fn project_of(who: &Principal, draft: &Draft) -> Result<ProjectName, ItemError> {
    match &draft.project {
        None => Ok(who.project.clone()),
        Some(name) => who.reach(name),
    }
}

impl AcceptError {
    /// What to tell a project that has sent its share of this second.
    pub fn rate_limited(pipeline: &Pipeline, who: &Principal) -> Self {
        pipeline.counters.refuse("rate_limited");
        Self::RateLimited(format!("project {} sends more than its limit of interactions per second", who.project))
    }
}

impl From<StoreError> for AcceptError {
    fn from(error: StoreError) -> Self {
        match error.kind {
            StoreErrorKind::Overloaded => Self::Overloaded(error.message),
            _ => Self::Store(error),
        }
    }
}
