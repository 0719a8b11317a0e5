//! The surfaces over HTTP: ingestion, REST, OpenAPI, health and the dashboard's pages, on one port.

pub mod audit;
pub mod auth;
pub mod cache;
pub mod compare;
pub mod dry_run;
pub mod error;
pub mod estimates;
pub mod grpc;
pub mod health;
pub mod human;
pub mod interactions;
pub mod items;
pub mod judges;
pub mod keys;
pub mod labels;
pub mod linger;
pub mod metrics;
pub mod openapi;
pub mod otlp;
pub mod outcomes;
pub mod overload;
pub mod pages;
pub mod params;
pub mod platform;
pub mod receive;
pub mod reviews;
pub mod scores;
pub mod spend;
pub mod tenants;
pub mod tenants_change;
pub mod tenants_view;
pub mod verdicts;

use std::sync::Arc;

use assize_core::labels::Labels;
use assize_core::results::Results;
use assize_core::{Clock, Timestamp};
use axum::Router;
use axum::routing::{get, post, put};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::config::Settings;
use crate::pipeline::Pipeline;
use crate::pipeline::waiting::Waiting;

/// What every handler works with.
pub struct Server {
    pub pipeline: Arc<Pipeline>,
    pub waiting: Arc<Waiting>,
    pub results: Arc<dyn Results>,
    pub labels: Arc<dyn Labels>,
    pub access: Arc<Access>,
    pub settings: Arc<Settings>,
    /// One permit per ingestion request in hand.
    pub requests: Arc<Semaphore>,
    /// One permit per page that follows live.
    pub live: Arc<Semaphore>,
    /// When the process started.
    pub started: Timestamp,
    /// Ends long answers when the server stops.
    pub stop: CancellationToken,
}

impl Server {
    pub fn clock(&self) -> &dyn Clock {
        &*self.pipeline.clock
    }
}

/// Which surfaces a process offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Surfaces {
    pub ingest: bool,
    pub report: bool,
}

/// The routes of one port.
pub fn router(server: Arc<Server>, surfaces: Surfaces) -> Router {
    let mut router = Router::new()
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::counters))
        .route("/openapi.json", get(openapi::document));
    if surfaces.ingest {
        router = router
            .route("/v1/traces", post(otlp::traces))
            .route("/v1/logs", post(otlp::logs))
            .route("/api/public/otel/v1/traces", post(otlp::traces))
            .route("/api/public/otel/v1/logs", post(otlp::logs))
            .route("/v1/interactions", post(interactions::create))
            .route("/v1/scores", post(scores::create));
    }
    if surfaces.report {
        router = router
            .route("/v1/interactions", get(interactions::list))
            .route("/v1/interactions/{id}", get(interactions::show))
            .route("/v1/estimates", get(estimates::list))
            .route("/v1/verdicts", get(verdicts::list))
            .route("/v1/outcomes", get(outcomes::list))
            .route("/v1/spend", get(spend::list))
            .route("/v1/spend/today", get(spend::today::show))
            .route("/v1/spend/savings", get(spend::savings::show))
            .route("/v1/spend/tenants", get(spend::top::list))
            .route("/v1/reviews", get(reviews::list).post(reviews::create))
            .route("/v1/reviews/next", get(reviews::next))
            .route("/v1/labels", get(labels::list).post(labels::create))
            .route("/v1/scores", get(scores::list))
            .route("/v1/projects", get(keys::projects))
            .route("/v1/projects/{project}", put(keys::create_project))
            .route("/v1/projects/{project}/keys", get(keys::list).post(keys::create))
            .route("/v1/projects/{project}/keys/{id}", axum::routing::delete(keys::revoke))
            .route("/v1/projects/{project}/cache", get(cache::show).delete(cache::purge))
            .route("/v1/projects/{project}/metrics", get(metrics::list))
            .route("/v1/projects/{project}/metrics/{metric}", get(metrics::show).put(metrics::put).delete(metrics::delete))
            .route("/v1/projects/{project}/metrics/{metric}/versions", get(metrics::versions))
            .route("/v1/projects/{project}/metrics/{metric}/dry-run", post(dry_run::run))
            .route("/v1/projects/{project}/metrics/{metric}/bridge", get(compare::show))
            .route("/v1/estimates/compare", get(compare::compare))
            .route("/v1/judges", get(judges::list))
            .route("/v1/tenants", get(tenants::list).post(tenants::create))
            .route("/v1/tenants/{name}", get(tenants::show).patch(tenants::patch).delete(tenants::delete))
            .route("/v1/tenants/{name}/budget", put(tenants::put_budget))
            .route("/v1/tenants/{name}/sampling", put(tenants::put_sampling).delete(tenants::delete_sampling))
            .route("/v1/tenants/{name}/disable", post(tenants::disable))
            .route("/v1/tenants/{name}/enable", post(tenants::enable))
            .route("/v1/platform/budget", get(platform::show).put(platform::put))
            .route("/v1/audit", get(audit::list))
            .merge(pages::router());
    }
    let router =
        router.fallback(error::not_found).method_not_allowed_fallback(error::method_not_allowed).with_state(Arc::clone(&server));
    let router = if surfaces.ingest { router.merge(grpc::router(server)) } else { router };
    // Bodies are bounded where they are read, after the key was checked.
    router
        .layer(axum::extract::DefaultBodyLimit::disable())
        .layer(tower_http::catch_panic::CatchPanicLayer::custom(error::panicked))
        .layer(axum::middleware::from_fn(linger::hear_out))
}
