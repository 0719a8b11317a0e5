//! The flow in this process, over stores of a test's own: what a test wants to hold between two of its steps.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use assize::access::Principal;
use assize::config::{PolicySpec, load};
use assize::counters::Counters;
use assize::ids::IdSource;
use assize::ingest::json::decode_line;
use assize::pipeline::accept::accept;
use assize::pipeline::batch::{BatchLane, MEMBERS_MAX};
use assize::pipeline::clients::Providers;
use assize::pipeline::money::{Money, Payers};
use assize::pipeline::nearest::Nearest;
use assize::pipeline::panel::Panels;
use assize::pipeline::reuse::Reuse;
use assize::pipeline::score::{Limits, score};
use assize::pipeline::{Pipeline, fold};
use assize::secrets::RootSecret;
use assize_core::ledger::Ledger;
use assize_core::queue::{Leased, Offset};
use assize_core::results::{MetricRecord, Recorder, Results};
use assize_core::{CacheBounds, Clock, InteractionId, ProjectName, TenantName, Timestamp};
use assize_store::queue::MemoryQueue;
use assize_testkit::clock::ManualClock;
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A clock that a test moves.
pub struct Hands(pub ManualClock);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

/// A pipeline and its stores. Nothing in it happens by itself.
pub struct Flow {
    pub pipeline: Pipeline,
    pub results: Arc<dyn Results>,
    pub clock: Arc<Hands>,
    pub bounds: CacheBounds,
    pub directory: TempDir,
}

impl Flow {
    /// A pipeline over the configuration, without a cache and without batches.
    pub async fn open(config: &str) -> Self {
        let settings = load::parse(config).unwrap();
        let spec = PolicySpec::of(&settings).unwrap();
        let clock = Arc::new(Hands(ManualClock::new(assize_testkit::samples::MORNING)));
        let panels = Panels::open(&spec, Providers::default(), None, clock.now()).await.unwrap();
        let directory = TempDir::new().unwrap();
        let results = assize_store::results::open(&format!("sqlite:{}", directory.path().display())).await.unwrap();
        let limits = Limits {
            in_flight_max: 8,
            deliveries_max: 2,
            age_max: Duration::from_secs(3_600),
            lease: Duration::from_secs(600),
            log_failures: false,
            requeue_first: Duration::from_secs(1),
        };
        let pipeline = Pipeline::new(
            Arc::clone(&clock) as Arc<dyn Clock>,
            IdSource::new(0),
            RootSecret::known(0).draw_key(),
            panels,
            Arc::new(MemoryQueue::new(10_000, 10_000, Offset(0))),
            Arc::clone(&results) as Arc<dyn Recorder>,
            Arc::new(Counters::new()),
            limits,
        );
        Self { pipeline, results, clock, bounds: settings.cache.bounds(), directory }
    }

    /// The same with a cache of verdicts, and an index of what they mean.
    pub async fn with_cache(self, nearest: Option<Nearest>) -> Self {
        let cache = assize_store::cache::open("memory:", self.bounds).await.unwrap();
        let reuse = Reuse::new(cache, Arc::new(TenantName::of_project)).with_nearest(nearest);
        let pipeline = Pipeline { reuse: Some(reuse), ..self.pipeline };
        Self { pipeline, ..self }
    }

    /// The same with a place for what waits for batches.
    pub async fn with_batches(self) -> Self {
        let store = assize_store::batch::open(&format!("sqlite:{}", self.directory.path().display())).await.unwrap();
        let batch = BatchLane {
            store,
            linger: Duration::ZERO,
            poll_every: Duration::from_secs(1),
            members_max: AtomicUsize::new(MEMBERS_MAX),
            stop: CancellationToken::new(),
        };
        let pipeline = Pipeline { batch: Some(batch), ..self.pipeline };
        Self { pipeline, ..self }
    }

    /// The same with money.
    pub fn with_money(self, ledger: Arc<dyn Ledger>, payers: Arc<dyn Payers>) -> Self {
        let pipeline = Pipeline { money: Some(Money::new(ledger, payers)), ..self.pipeline };
        Self { pipeline, ..self }
    }

    /// Takes an interaction in, up to where it can be leased.
    pub async fn accept(&self, item: &Value) {
        let who = Principal::local(ProjectName::new("default").unwrap());
        let receipt = accept(&self.pipeline, &who, vec![decode_line(&item.to_string())]).await.unwrap();
        assert_eq!((receipt.accepted, receipt.rejected.len()), (1, 0));
        fold::catch_up(&self.pipeline).await.unwrap();
    }

    /// All that can be leased now.
    pub async fn lease(&self) -> Vec<Leased> {
        let up_to = *self.pipeline.folded.borrow();
        self.pipeline.queue.lease(10, up_to, self.clock.now(), self.pipeline.limits.lease).await.unwrap()
    }

    /// Takes one interaction through all of it.
    pub async fn judge(&self, item: &Value) {
        self.accept(item).await;
        let leased = self.lease().await;
        assert_eq!(leased.len(), 1);
        for item in leased {
            score(&self.pipeline, item).await.unwrap();
        }
    }

    /// What is on record of the one metric of `i-AT`.
    pub async fn metrics_of(&self, at: usize) -> MetricRecord {
        self.metrics(&format!("i-{at}")).await.remove(0)
    }

    /// What is on record of an interaction, metric by metric.
    pub async fn metrics(&self, id: &str) -> Vec<MetricRecord> {
        let id = InteractionId::new(id).unwrap();
        let record = self.results.interaction(&ProjectName::new("default").unwrap(), &id).await.unwrap();
        record.unwrap().metrics
    }
}
