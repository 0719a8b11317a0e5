//! `/v1/projects/{project}/metrics/{metric}/dry-run`: what a metric would say and cost, before it is put in force.

use std::sync::Arc;
use std::time::Duration;

use assize_core::{NanoUsd, ProjectName, StoreError, StoreErrorKind};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Server;
use super::auth::Admin;
use super::error::{ApiError, ErrorBody};
use super::metrics::{invalid, read};
use super::params::{self, Params, Segments, metric};
use crate::pipeline::dry_run::{self, Choice, DryRun, Tried, marker};

/// Which interactions.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DryRunParams {
    /// `random` (the same ones again, as long as little comes in) or `newest`; random where not given.
    pub items: Option<String>,
}

/// What the judges said, and what it costs.
#[derive(Debug, Serialize, ToSchema)]
pub struct DryRunBody {
    pub metric: String,
    /// At most 20 interactions whose text is kept.
    pub items: Vec<TriedView>,
    /// Calls that were made, failed ones included. Their spend is on record under this name.
    pub calls: u64,
    pub spend_recorded_as: String,
    /// Calls whose cost is not known and not in `cost_usd`.
    pub cost_unknown_calls: u64,
    /// What the others cost; null where no call's cost is known.
    pub cost_usd: Option<f64>,
    /// What 1,000 interactions like these would cost at the metric's sampling rates and shares; null where a cost is not known.
    pub estimated_usd_per_1000: Option<f64>,
    /// The same for 30 days of the project's traffic.
    pub estimated_usd_per_month: Option<f64>,
    /// The traffic that this rests on: interactions accepted in the last so many days.
    pub traffic: TrafficView,
}

/// How much comes in.
#[derive(Debug, Serialize, ToSchema)]
pub struct TrafficView {
    pub interactions: u64,
    pub days: u32,
}

/// One interaction that was judged.
#[derive(Debug, Serialize, ToSchema)]
pub struct TriedView {
    pub id: String,
    pub time: String,
    /// Why the metric does not apply to it, if so.
    pub no_content: Option<String>,
    /// The judges in cascade order; the last one's score is what the rate would be made of.
    pub judges: Vec<SaidView>,
}

/// What one judge said. In use it would see the interaction with `probability`; here it sees it for certain.
#[derive(Debug, Serialize, ToSchema)]
pub struct SaidView {
    pub judge: String,
    pub score: Option<f64>,
    pub reason: Option<String>,
    /// Why there is no score.
    pub error: Option<String>,
    pub probability: f64,
    pub cost_usd: Option<f64>,
}

/// Try a metric out on 20 stored interactions. It is not put in force, and no rate counts what comes of it; its calls are paid.
#[utoipa::path(post, path = "/v1/projects/{project}/metrics/{metric}/dry-run", operation_id = "dry_run_metric", tag = "control",
    params(("project" = String, Path), ("metric" = String, Path), DryRunParams),
    request_body(content = Object, description = "the keys of a `[[metric]]` of the configuration"),
    responses((status = 200, body = DryRunBody), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub async fn run(
    State(server): State<Arc<Server>>,
    Admin(who): Admin,
    Segments((project, name)): Segments<(String, String)>,
    Params(params): Params<DryRunParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<DryRunBody>, ApiError> {
    let project = who.project_named(&project)?;
    let name = metric(&name)?;
    let choice = match params.items.as_deref() {
        None | Some("" | "random") => Choice::Random,
        Some("newest") => Choice::Newest,
        Some(other) => return Err(params::invalid("items", format!("{other:?} is neither random nor newest"))),
    };
    let spec = read(&server, &headers, body, &name).await?;
    let panel = server.pipeline.panels.candidate(&project, spec).map_err(invalid)?;
    let place = server.pipeline.dry_runs.take(&project).ok_or_else(|| {
        let message = format!("a metric is being tried out in project {project} already: wait for its end");
        ApiError::new(StatusCode::CONFLICT, "dry_run_running", message)
    })?;
    // Whoever asked may go away; what was begun is paid, and goes on record.
    let task = tokio::spawn({
        let (server, name) = (Arc::clone(&server), name.clone());
        async move { dry_run::dry_run(&server.pipeline, &*server.results, (&panel, &name), choice, place).await }
    });
    let ended = task.await.map_err(|_| StoreError::new(StoreErrorKind::Failed, "a dry run ended early"))?;
    let run = ended?;
    let traffic = traffic(&server, &project).await?;
    let per_interaction = run.per_interaction().map(|nanos| nanos / 1e9);
    let per_month = f64::from(30_u8) * traffic.interactions as f64 / f64::from(traffic.days);
    let DryRun { items, calls, cost_unknown, cost } = run;
    Ok(Json(DryRunBody {
        metric: name.to_string(),
        items: items.into_iter().map(TriedView::from).collect(),
        calls,
        spend_recorded_as: marker(&name).to_string(),
        cost_unknown_calls: cost_unknown,
        cost_usd: if calls > 0 && cost_unknown == calls { None } else { Some(cost.to_usd()) },
        estimated_usd_per_1000: per_interaction.map(|usd| usd * 1_000.0),
        estimated_usd_per_month: per_interaction.map(|usd| usd * per_month),
        traffic,
    }))
}

/// What came in within the last week, or the last day where there was nothing before it.
async fn traffic(server: &Server, project: &ProjectName) -> Result<TrafficView, StoreError> {
    let now = server.clock().now();
    let within = async |days: u32| {
        let (from, to) = params::whole_hours(now.minus(Duration::from_secs(u64::from(days) * 86_400)), now);
        server.results.outcomes(project, from, to).await.map(|outcomes| outcomes.accepted)
    };
    let (week, day) = (within(7).await?, within(1).await?);
    Ok(if week == day { TrafficView { interactions: day, days: 1 } } else { TrafficView { interactions: week, days: 7 } })
}

impl From<Tried> for TriedView {
    fn from(tried: Tried) -> Self {
        let judges = tried.said.into_iter().map(|said| {
            let (answer, error) = match said.answer {
                Ok(answer) => (Some(answer), None),
                Err(error) => (None, Some(error)),
            };
            let (score, reason) = answer.unzip();
            let cost_usd = said.cost.map(NanoUsd::to_usd);
            SaidView { judge: said.judge.to_string(), score, reason, error, probability: said.probability, cost_usd }
        });
        Self {
            id: tried.id.to_string(),
            time: tried.time.to_rfc3339(),
            no_content: tried.no_content.map(|reason| reason.message),
            judges: judges.collect(),
        }
    }
}
