//! Spans without text and text without spans: acknowledged, on disk, and waiting for each other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use assize_core::parking::{ParkedId, Parking, Part};
use assize_core::{InteractionId, ProjectName, StoreError, StoreErrorKind};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::Pipeline;
use super::accept::{AcceptError, Receipt, take};
use crate::access::Principal;
use crate::ingest::{Draft, JoinLimits, Joiner, Released, SpanContent};

/// What waits, in memory for meeting and on disk for keeping.
pub struct Waiting {
    joiner: Mutex<Joiner<ParkedId>>,
    parking: Arc<dyn Parking>,
    /// What has met and could not be accepted yet. Bounded by what may wait.
    again: Mutex<Vec<Released<ParkedId>>>,
}

/// An interaction that has come together, and its parts on disk.
type Met = (Box<Draft>, Vec<ParkedId>);

/// What is parked.
#[derive(Serialize, Deserialize)]
enum Parked {
    Span(Box<Draft>),
    Content(Box<SpanContent>),
}

/// For how long half a conversation is kept for a span that is still to come.
const KEEP: Duration = Duration::from_secs(600);
const TICK: Duration = Duration::from_millis(250);

impl Waiting {
    /// Takes up what waited when the process before this one ended.
    pub async fn open(parking: Arc<dyn Parking>, span_wait: Duration, pipeline: &Pipeline) -> Result<Self, StoreError> {
        let limits = JoinLimits { span_wait, content_wait: KEEP, keep: KEEP, ..JoinLimits::default() };
        let waiting = Self { joiner: Mutex::new(Joiner::new(limits)), parking, again: Mutex::default() };
        let mut released = Vec::new();
        let mut unreadable = Vec::new();
        for (id, Part { project, body }) in waiting.parking.parked().await? {
            match serde_json::from_slice(&body) {
                Ok(parked) => released.extend(waiting.meet(&project, parked, id, pipeline)),
                Err(error) => {
                    tracing::error!(%project, category = ?error.classify(), "a parked part cannot be read; it is left out");
                    unreadable.push(id);
                }
            }
        }
        waiting.parking.release(unreadable).await?;
        waiting.settle(pipeline, released).await?;
        Ok(waiting)
    }

    fn joiner(&self) -> MutexGuard<'_, Joiner<ParkedId>> {
        self.joiner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn meet(&self, project: &ProjectName, parked: Parked, id: ParkedId, pipeline: &Pipeline) -> Option<Released<ParkedId>> {
        let now = pipeline.clock.now();
        match parked {
            Parked::Span(draft) => self.joiner().span(project, *draft, id, now),
            Parked::Content(content) => self.joiner().content(project, *content, id, now),
        }
    }

    /// Whether an interaction has come as a span without text, and its text is still awaited.
    pub fn awaits(&self, project: &ProjectName, id: &InteractionId) -> bool {
        self.joiner().waits_for(project, id)
    }

    /// Accepts the drafts of spans. Those without an answer are parked; those whose text waits here already meet it.
    pub async fn spans(&self, pipeline: &Pipeline, who: &Principal, drafts: Vec<Draft>) -> Result<Receipt, AcceptError> {
        if !who.admits(drafts.len()) {
            return Err(AcceptError::rate_limited(pipeline, who));
        }
        let (early, whole): (Vec<Draft>, Vec<Draft>) = {
            let joiner = self.joiner();
            drafts.into_iter().partition(|draft| joiner.concerns(&who.project, draft))
        };
        let ids = self.remembered(&who.project, &whole);
        let mut receipt = take(pipeline, who, whole.into_iter().map(Ok).collect()).await?;
        for id in ids {
            self.joiner().settled(&who.project, &id, true, pipeline.clock.now());
        }
        let parked = early.into_iter().map(|draft| Parked::Span(Box::new(draft))).collect();
        let waiting = self.park(pipeline, who, parked).await?;
        receipt.accepted += waiting;
        Ok(receipt)
    }

    /// Of spans that come with their text, the ids that log events may still speak of.
    fn remembered(&self, project: &ProjectName, drafts: &[Draft]) -> Vec<InteractionId> {
        if self.joiner().is_speaking(project) { drafts.iter().filter_map(|draft| draft.id.clone()).collect() } else { Vec::new() }
    }

    /// Takes what log events say about spans.
    pub async fn contents(
        &self,
        pipeline: &Pipeline,
        who: &Principal,
        contents: Vec<SpanContent>,
    ) -> Result<Receipt, AcceptError> {
        if !who.admits(contents.len()) {
            return Err(AcceptError::rate_limited(pipeline, who));
        }
        let bytes = contents.iter().map(SpanContent::text_bytes).sum();
        if !self.joiner().has_room(contents.len(), bytes) {
            pipeline.counters.refuse("overloaded");
            return Err(AcceptError::Overloaded("too much log content waits for its spans; send it again later".to_owned()));
        }
        let parked = contents.into_iter().map(|content| Parked::Content(Box::new(content))).collect();
        let accepted = self.park(pipeline, who, parked).await?;
        Ok(Receipt { accepted, ..Receipt::default() })
    }

    /// Parks durably, then lets meet what can. Returns how many parts were taken.
    async fn park(&self, pipeline: &Pipeline, who: &Principal, parked: Vec<Parked>) -> Result<usize, AcceptError> {
        if parked.is_empty() {
            return Ok(0);
        }
        let parts: Result<Vec<Part>, _> =
            parked.iter().map(|part| serde_json::to_vec(part).map(|body| Part { project: who.project.clone(), body })).collect();
        let parts = parts.map_err(|error| StoreError::new(StoreErrorKind::Failed, error.to_string()))?;
        let ids = self.parking.park(parts).await?;
        let released = ids.iter().zip(parked).filter_map(|(id, part)| self.meet(&who.project, part, *id, pipeline)).collect();
        if let Err(error) = self.settle(pipeline, released).await {
            tracing::warn!(%error, "what met could not be accepted at once; trying again");
        }
        Ok(ids.len())
    }

    /// Accepts what has met or waited long enough, and only then forgets its parts. What cannot be accepted now is tried again later:
    /// it is on disk, and acknowledged.
    async fn settle(&self, pipeline: &Pipeline, released: Vec<Released<ParkedId>>) -> Result<(), StoreError> {
        let mut done: Vec<ParkedId> = Vec::new();
        let mut met: BTreeMap<ProjectName, Vec<Met>> = BTreeMap::new();
        for release in released {
            match release {
                Released::Interaction { project, draft, tickets } => met.entry(project).or_default().push((draft, tickets)),
                Released::Redundant { tickets } => done.extend(tickets),
                Released::Refused { tickets, reason } => {
                    tracing::debug!(reason, "log content was left out");
                    pipeline.counters.orphan_content(tickets.len());
                    done.extend(tickets);
                }
            }
        }
        let mut failed = None;
        for (project, met) in met {
            let drafts = met.iter().map(|(draft, _)| Ok((**draft).clone())).collect();
            if let Err(error) = take(pipeline, &Principal::local(project.clone()), drafts).await {
                failed = Some(error);
                let again =
                    met.into_iter().map(|(draft, tickets)| Released::Interaction { project: project.clone(), draft, tickets });
                self.again().extend(again);
                continue;
            }
            let now = pipeline.clock.now();
            for (draft, tickets) in met {
                done.extend(tickets);
                if let Some(id) = &draft.id {
                    self.joiner().settled(&project, id, draft.has_output(), now);
                }
            }
        }
        if !done.is_empty() {
            self.parking.release(done).await?;
        }
        match failed {
            None => Ok(()),
            Some(AcceptError::Overloaded(message) | AcceptError::RateLimited(message)) => {
                Err(StoreError::new(StoreErrorKind::Overloaded, message))
            }
            Some(AcceptError::Store(error)) => Err(error),
        }
    }

    fn again(&self) -> MutexGuard<'_, Vec<Released<ParkedId>>> {
        self.again.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go what has waited long enough, until `stop`. What waits then is on disk.
    pub async fn run(&self, pipeline: &Pipeline, stop: &CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(TICK)).await.is_some() {
            let mut released = std::mem::take(&mut *self.again());
            released.extend(self.joiner().expire(pipeline.clock.now()));
            if let Err(error) = self.settle(pipeline, released).await {
                pipeline.counters.fault("waiting");
                tracing::error!(%error, "what waited could not be accepted; trying again");
            }
        }
    }
}
