//! The flow. Read [`accept`], [`score`] and [`report`] first; the rest serves them.

pub mod accept;
pub mod allocations;
pub mod ask;
pub mod batch;
pub mod bridge;
pub mod call;
pub mod case;
pub mod clients;
pub mod code;
pub mod course;
pub mod decide;
pub mod dry_run;
pub mod fold;
pub mod gate;
pub mod judges;
pub mod local;
pub mod models;
pub mod money;
pub mod nearest;
pub mod own;
pub mod pacing;
pub mod panel;
pub mod record;
pub mod report;
pub mod reuse;
pub mod review;
pub mod score;
pub mod seat;
pub mod similar;
pub mod waiting;

use std::sync::Arc;

use assize_core::control::Control;
use assize_core::queue::{Offset, Queue};
use assize_core::results::Recorder;
use assize_core::{Clock, DrawKey};
use tokio::sync::{Notify, watch};

use crate::counters::Counters;
use crate::ids::IdSource;
use panel::Panels;

/// What accept and score work with. `eval` makes one over a queue in memory, the server one over its stores.
pub struct Pipeline {
    pub clock: Arc<dyn Clock>,
    pub ids: IdSource,
    pub draw_key: DrawKey,
    pub panels: Panels,
    pub queue: Arc<dyn Queue>,
    pub recorder: Arc<dyn Recorder>,
    pub counters: Arc<Counters>,
    pub limits: score::Limits,
    pub allocations: allocations::Allocations,
    /// The cache of verdicts, where there is one.
    pub reuse: Option<reuse::Reuse>,
    pub similar: similar::Similar,
    /// Which models answer.
    pub models: models::Models,
    /// Changes of reference judges.
    pub bridges: bridge::Bridges,
    /// Projects in which a metric is being tried out.
    pub dry_runs: dry_run::InHand,
    /// What judging may cost, where that is asked.
    pub money: Option<money::Money>,
    /// What waits for batches, where there is a place for it.
    pub batch: Option<batch::BatchLane>,
    /// Rung when something was accepted.
    pub accepted: Notify,
    /// Up to where the results store has folded in what was accepted.
    pub folded: watch::Sender<Offset>,
}

impl Pipeline {
    /// A pipeline over these stores, which uses no verdict again, sends no batches and pays whatever is asked.
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        clock: Arc<dyn Clock>,
        ids: IdSource,
        draw_key: DrawKey,
        panels: Panels,
        queue: Arc<dyn Queue>,
        recorder: Arc<dyn Recorder>,
        counters: Arc<Counters>,
        limits: score::Limits,
    ) -> Self {
        Self {
            clock,
            ids,
            draw_key,
            panels,
            queue,
            recorder,
            counters,
            limits,
            allocations: allocations::Allocations::default(),
            reuse: None,
            similar: similar::Similar::default(),
            models: models::Models::default(),
            bridges: bridge::Bridges::default(),
            dry_runs: dry_run::InHand::default(),
            money: None,
            batch: None,
            accepted: Notify::new(),
            folded: watch::Sender::new(Offset(0)),
        }
    }
}

impl Pipeline {
    /// Takes up which models answered before the process started.
    pub async fn load_models(&self) -> Result<(), assize_core::StoreError> {
        self.models.load(&self.panels.store).await
    }

    /// Looks at which models gave the verdicts that were recorded.
    pub async fn note_models(&self, scored: &[assize_core::Scored]) -> Result<(), assize_core::StoreError> {
        self.models.note(&self.panels.store, &self.counters, scored).await
    }
}

/// Where policies are kept between processes; none in `eval`.
pub type PolicyStore = Option<Arc<dyn Control>>;
