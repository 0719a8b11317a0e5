//! Starts the roles of a process over its stores, and stops them in order: stop accepting, finish what is in hand, close.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use assize_core::batch::BatchStore;
use assize_core::control::{Control, Project, Scope};
use assize_core::export::ExportCursors;
use assize_core::labels::Labels;
use assize_core::ledger::Ledger;
use assize_core::parking::Parking;
use assize_core::queue::Queue;
use assize_core::results::{Recorder, Results};
use assize_core::{Clock, ProjectName, SystemClock, TenantName, TierKind, VerdictCache};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::access::{Access, KeyState, NewKey};
use crate::api::{Server, Surfaces, router};
use crate::config::cascade::TIERS_MAX;
use crate::config::policy::paces;
use crate::config::{PolicySpec, Settings};
use crate::counters::Counters;
use crate::export::{self, Delivery};
use crate::ids::IdSource;
use crate::pipeline::batch::{self, BatchLane};
use crate::pipeline::clients::Providers;
use crate::pipeline::judges::warnings;
use crate::pipeline::money::Money;
use crate::pipeline::nearest::embeddings;
use crate::pipeline::panel::Panels;
use crate::pipeline::reuse::Reuse;
use crate::pipeline::score::Limits;
use crate::pipeline::waiting::Waiting;
use crate::pipeline::{Pipeline, bridge, fold, pacing, score};
use crate::secrets::RootSecret;

/// Which parts of the flow this process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    pub ingest: bool,
    pub score: bool,
    pub report: bool,
}

impl Roles {
    pub const ALL: Self = Self { ingest: true, score: true, report: true };
}

impl std::str::FromStr for Roles {
    type Err = String;
    /// Names separated by commas, such as `ingest,score`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut roles = Self { ingest: false, score: false, report: false };
        for name in text.split(',').map(str::trim) {
            match name {
                "ingest" => roles.ingest = true,
                "score" => roles.score = true,
                "report" => roles.report = true,
                "all" => roles = Self::ALL,
                _ => return Err(format!("{name:?} is not a role: use ingest, score, report, or all")),
            }
        }
        Ok(roles)
    }
}

/// What a process is started with.
pub struct Start {
    pub settings: Settings,
    pub data: PathBuf,
    pub roles: Roles,
    /// An all-scope key of the first project, from the operator; else one is made if there is none.
    pub bootstrap_key: Option<String>,
}

/// A started process.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// The first key, if this start made it.
    pub first_key: Option<NewKey>,
    pub server: Arc<Server>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

/// What is still in hand when the process stops gets this long.
const GRACE: Duration = Duration::from_secs(40);
const SWEEP_EVERY: Duration = Duration::from_secs(600);
const LEARN_EVERY: Duration = Duration::from_secs(300);
/// Who makes what the configuration names, in the audit log.
const BY_CONFIGURATION: &str = "configuration";
/// Who makes the first key.
const BY_START: &str = "start";

/// Opens the stores and starts the roles. The listeners are bound before this returns.
pub async fn start(start: Start) -> Result<Running, String> {
    let Start { settings, data, roles, bootstrap_key } = start;
    let spec = PolicySpec::of(&settings).map_err(|error| error.to_string())?;
    let targets = export::open(&settings, &|name| std::env::var_os(name)).map_err(|error| error.to_string())?;
    let listener = bind(&settings.server.listen).await?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let started = clock.now();
    let stores = open_stores(&settings, &data).await?;
    let secret = RootSecret::open(&data)
        .map_err(|error| format!("{}: the secret of the data directory cannot be used: {error}", data.display()))?;
    let draw_key = secret.draw_key();
    let platform = settings.budget.policy().map_err(text)?;
    let access = Access::open(secret, Arc::clone(&stores.control), settings.ingest.items_per_second_max, platform);
    let access = access.await.map_err(text)?;
    set_up(&access, &settings, clock.as_ref()).await?;
    let providers = Providers::kept_from(directories(&settings, &data));
    let panels = Panels::open(&spec, providers, Some(Arc::clone(&stores.control)), clock.now()).await.map_err(text)?;
    let settings = Arc::new(settings);
    let panels = panels.with_projects(Arc::clone(&settings), clock.now()).await.map_err(text)?;
    for warning in warnings(&panels.current(), clock.now()) {
        tracing::warn!("{warning}");
    }
    // A project's own metrics may name any of the judges, each once.
    let called = settings.judge.iter().filter(|judge| judge.kind.tier() == TierKind::Called).count();
    let limits = Limits {
        in_flight_max: settings.score.in_flight_max.max(1),
        deliveries_max: settings.score.deliveries_max.max(1),
        age_max: Duration::from_secs(settings.score.max_age_hours.saturating_mul(3_600)),
        lease: Limits::lease_for(&paces(&settings.provider, &settings.judge), called.min(TIERS_MAX + 1)),
        log_failures: true,
        requeue_first: Duration::from_secs(2),
    };
    let ids = IdSource::new(random_prefix()?);
    let recorder = Arc::clone(&stores.results) as Arc<dyn Recorder>;
    let counters = Arc::new(Counters::new());
    let nearest = if roles.score { embeddings::open(&settings, &spec).map_err(text)? } else { None };
    let reuse = stores.cache.map(|cache| Reuse::new(cache, access.tenants()).with_nearest(nearest));
    let stop = CancellationToken::new();
    let batch = BatchLane {
        store: stores.batch,
        linger: Duration::from_secs(settings.batch.linger_seconds),
        poll_every: Duration::from_secs(settings.batch.poll_seconds.max(1)),
        members_max: AtomicUsize::new(batch::MEMBERS_MAX),
        stop: stop.clone(),
    };
    let pipeline = Pipeline::new(clock, ids, draw_key, panels, stores.queue, recorder, counters, limits);
    let mut money = Money::new(stores.ledger, Arc::new(access.policies()));
    money.is_paced = settings.budget.pacing;
    let pipeline = Arc::new(Pipeline { reuse, money: Some(money), batch: Some(batch), ..pipeline });
    pipeline.load_models().await.map_err(text)?;
    let content_wait = Duration::from_secs(settings.ingest.content_wait_seconds);
    let waiting = Arc::new(Waiting::open(stores.parking, content_wait, &pipeline).await.map_err(text)?);
    let deliveries = match stores.cursors {
        // What is exported is what is reported.
        Some(cursors) if roles.report => {
            export::begin(targets, &stores.results, &cursors, &pipeline.clock, &pipeline.counters).await.map_err(text)?
        }
        Some(_) => {
            tracing::warn!("this process exports nothing: it has not the role report");
            Vec::new()
        }
        None => Vec::new(),
    };
    // Last of all that can fail: a key that was made and not shown would be lost.
    let first_key = first_key(&access, bootstrap_key, &SystemClock).await?;
    let server = Arc::new(Server {
        pipeline: Arc::clone(&pipeline),
        waiting,
        results: stores.results,
        labels: stores.labels,
        access: Arc::new(access),
        requests: Arc::new(Semaphore::new(settings.ingest.concurrent_requests_max.clamp(1, Semaphore::MAX_PERMITS))),
        live: crate::api::pages::live_places(),
        started,
        settings,
        stop: stop.clone(),
    });
    let mut running = Running { address, first_key, server: Arc::clone(&server), stop, tasks: JoinSet::new() };
    running.spawn_flow(&pipeline, roles);
    running.spawn_deliveries(deliveries);
    running.spawn_listeners(listener, roles).await;
    Ok(running)
}

struct Stores {
    parking: Arc<dyn Parking>,
    control: Arc<dyn Control>,
    results: Arc<dyn Results>,
    labels: Arc<dyn Labels>,
    queue: Arc<dyn Queue>,
    cache: Option<Arc<dyn VerdictCache>>,
    batch: Arc<dyn BatchStore>,
    ledger: Arc<dyn Ledger>,
    /// Where there is anything to export.
    cursors: Option<Arc<dyn ExportCursors>>,
}

/// The directories that hold data.
fn directories(settings: &Settings, data: &std::path::Path) -> Vec<PathBuf> {
    let elsewhere = [&settings.store.queue, &settings.store.results, &settings.store.control, &settings.store.ledger].into_iter();
    let elsewhere = elsewhere.filter_map(|url| url.strip_prefix("sqlite:")).map(|path| path.strip_prefix("//").unwrap_or(path));
    elsewhere.map(PathBuf::from).chain([data.to_owned()]).collect()
}

async fn open_stores(settings: &Settings, data: &std::path::Path) -> Result<Stores, String> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .recursive(true)
        .create(data)
        .map_err(|error| format!("{}: the data directory cannot be made: {error}", data.display()))?;
    // A bare `sqlite` means the data directory.
    let url = |backend: &str| if backend == "sqlite" { format!("sqlite:{}", data.display()) } else { backend.to_owned() };
    let control = assize_store::control::open(&url(&settings.store.control)).await.map_err(text)?;
    let results = assize_store::results::open(&url(&settings.store.results)).await.map_err(text)?;
    let cursors = match settings.export.as_slice() {
        [] => None,
        _ => Some(assize_store::export::open(&url(&settings.store.results)).await.map_err(text)?),
    };
    let folded = results.folded().await.map_err(text)?;
    let queue = assize_store::queue::open(&url(&settings.store.queue), folded).await.map_err(text)?;
    let parking = assize_store::parking::open(&url(&settings.store.queue)).await.map_err(text)?;
    let labels = assize_store::labels::open(&url(&settings.store.control)).await.map_err(text)?;
    let cache = match settings.store.cache.as_str() {
        "" => None,
        backend => Some(assize_store::cache::open(&url(backend), settings.cache.bounds()).await.map_err(text)?),
    };
    let batch = assize_store::batch::open(&url(&settings.store.queue)).await.map_err(text)?;
    let ledger = assize_store::ledger::open(&url(&settings.store.ledger)).await.map_err(text)?;
    Ok(Stores { parking, control, results, labels, queue, cache, batch, ledger, cursors })
}

/// Creates the projects of the configuration, and `default`.
async fn set_up(access: &Access, settings: &Settings, clock: &dyn Clock) -> Result<(), String> {
    let default = ProjectName::new("default").map_err(text)?;
    let mut projects: Vec<(ProjectName, Option<TenantName>)> =
        settings.project.iter().map(|spec| (spec.name.clone(), spec.tenant.clone())).collect();
    if !projects.iter().any(|(name, _)| name == &default) {
        projects.push((default, None));
    }
    for (name, tenant) in projects {
        let tenant = tenant.map_or_else(|| TenantName::new(name.as_str()), Ok).map_err(text)?;
        access.create_project(Project { name, tenant, created_at: clock.now() }, BY_CONFIGURATION).await.map_err(text)?;
    }
    Ok(())
}

/// The first key: the operator's, else one at random where there is none yet. Returned if it was made, to be shown this once.
async fn first_key(access: &Access, given: Option<String>, clock: &dyn Clock) -> Result<Option<NewKey>, String> {
    let given = given.map(|key| key.trim().to_owned()).filter(|key| !key.is_empty());
    match &given {
        None if access.has_keys() => return Ok(None),
        None => {}
        Some(key) => match access.state_of(key).await.map_err(text)? {
            KeyState::Unknown if access.has_keys() => {
                tracing::warn!(
                    "ASSIZE_BOOTSTRAP_KEY is new and is added; the keys before it stay in force until they are revoked"
                );
            }
            KeyState::Unknown => {}
            KeyState::InForce => return Ok(None),
            KeyState::Revoked => {
                tracing::warn!("ASSIZE_BOOTSTRAP_KEY was revoked and stays so: set another");
                return Ok(None);
            }
        },
    }
    let default = ProjectName::new("default").map_err(text)?;
    let scopes = vec![Scope::Ingest, Scope::Read, Scope::Admin];
    let key = access.create_key(given.as_deref(), default, scopes, "first key", (BY_START, clock.now())).await.map_err(text)?;
    Ok(given.is_none().then_some(key))
}

impl Running {
    fn spawn_flow(&mut self, pipeline: &Arc<Pipeline>, roles: Roles) {
        if roles.ingest || roles.score {
            let (pipeline, stop) = (Arc::clone(pipeline), self.stop.clone());
            self.tasks.spawn(async move { fold::run(&pipeline, &stop).await });
        }
        if roles.ingest || roles.score {
            let (pipeline, stop) = (Arc::clone(pipeline), self.stop.clone());
            self.tasks.spawn(async move { pacing::run(&pipeline, &stop).await });
        }
        if roles.score {
            let (pipeline, stop) = (Arc::clone(pipeline), self.stop.clone());
            self.tasks.spawn(async move { score::run(&pipeline, &stop).await });
            let pipeline = Arc::clone(&self.server.pipeline);
            self.tasks.spawn(async move { batch::run(&pipeline).await });
        }
        if roles.score {
            let (server, stop) = (Arc::clone(&self.server), self.stop.clone());
            self.tasks.spawn(async move {
                let wanted = server.settings.report.bridge;
                bridge::run(&server.pipeline, &*server.results, wanted, || server.access.projects(), &stop).await;
            });
        }
        if roles.ingest {
            let (pipeline, stop, waiting) = (Arc::clone(pipeline), self.stop.clone(), Arc::clone(&self.server.waiting));
            self.tasks.spawn(async move { waiting.run(&pipeline, &stop).await });
        }
        let (server, stop) = (Arc::clone(&self.server), self.stop.clone());
        self.tasks.spawn(async move { learn(&server, &stop).await });
        let (server, stop) = (Arc::clone(&self.server), self.stop.clone());
        self.tasks.spawn(async move {
            let fault = |error: &assize_core::StoreError| {
                server.pipeline.counters.fault("control");
                tracing::error!(%error, "what others change of tenants, projects and keys is not seen; all stays as it was");
            };
            server.access.watch(&stop, fault).await;
        });
        let days = self.server.settings.store.duplicate_days;
        let horizon = Duration::from_secs(u64::from(days) * 86_400);
        let (pipeline, stop) = (Arc::clone(pipeline), self.stop.clone());
        self.tasks.spawn(async move {
            while stop.run_until_cancelled(tokio::time::sleep(SWEEP_EVERY)).await.is_some() {
                if let Err(error) = pipeline.queue.forget_before(pipeline.clock.now().minus(horizon)).await {
                    pipeline.counters.fault("forget");
                    tracing::error!(%error, "old keys of duplicates could not be forgotten");
                }
            }
        });
    }

    fn spawn_deliveries(&mut self, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            let stop = self.stop.clone();
            self.tasks.spawn(async move { delivery.run(&stop).await });
        }
    }

    async fn spawn_listeners(&mut self, listener: TcpListener, roles: Roles) {
        let surfaces = Surfaces { ingest: roles.ingest, report: roles.report };
        self.serve(listener, router(Arc::clone(&self.server), surfaces));
        let grpc = self.server.settings.server.grpc_listen.clone();
        if !roles.ingest || grpc.is_empty() {
            return;
        }
        match bind(&grpc).await {
            Ok(listener) => self.serve(listener, crate::api::grpc::router(Arc::clone(&self.server))),
            Err(error) => tracing::warn!(%error, "gRPC is served on the main port only"),
        }
    }

    fn serve(&mut self, listener: TcpListener, router: axum::Router) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let serving = axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await });
            if let Err(error) = serving.await {
                tracing::error!(%error, "the listener failed");
            }
        });
    }

    /// Stops: nothing new is taken, what is in hand is finished within a grace, and everything acknowledged is on disk.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let finished = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, finished).await.is_err() {
            tracing::warn!("some items were still being judged; they are judged again after the next start");
            self.tasks.abort_all();
        }
    }
}

/// Learns where doubt lies, now and every few minutes.
async fn learn(server: &Server, stop: &CancellationToken) {
    let pipeline = &server.pipeline;
    loop {
        let projects = server.access.projects();
        let results = server.results.as_ref();
        let learned = async {
            pipeline.allocations.learn(results, &projects, pipeline.clock.now()).await?;
            pipeline.similar.learn(results, &projects).await
        };
        if let Err(error) = learned.await {
            pipeline.counters.fault("learn");
            tracing::error!(%error, "what the results say of doubt and of reuse could not be learned; all stays as it was");
        }
        if stop.run_until_cancelled(tokio::time::sleep(LEARN_EVERY)).await.is_none() {
            return;
        }
    }
}

async fn bind(address: &str) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            format!("{address} is in use: is another Assize running? Choose another address with --listen")
        }
        _ => format!("cannot listen on {address}: {error}"),
    })
}

fn random_prefix() -> Result<u64, String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| format!("the system gives no random numbers: {error}"))?;
    Ok(u64::from_le_bytes(bytes))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
