//! `/v1/outcomes`: what became of everything that was accepted.

use std::sync::Arc;

use assize_core::Timestamp;
use assize_core::results::Outcomes;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Server;
use super::auth::Reader;
use super::error::{ApiError, ErrorBody};
use super::params::{Params, range, whole_hours};

/// Which outcomes.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OutcomeParams {
    /// The project; the key's own where not given.
    pub project: Option<String>,
    /// At or after this time, to the hour, RFC 3339.
    pub from: Option<String>,
    /// Before this time, to the hour, RFC 3339.
    pub to: Option<String>,
}

/// Outcomes of a range. For each metric the counts add up to `accepted`, or to those of them that were accepted while it was in force.
#[derive(Debug, Serialize, ToSchema)]
pub struct OutcomesBody {
    /// The range, widened to whole hours.
    pub from: String,
    pub to: String,
    /// Accepted interactions.
    pub accepted: u64,
    pub outcomes: Vec<OutcomeView>,
}

/// How many decisions of a metric ended one way.
#[derive(Debug, Serialize, ToSchema)]
pub struct OutcomeView {
    pub metric: String,
    /// One of `judged`, `reused`, `not_sampled`, `over_budget`, `judge_failed`, `no_content`, `expired`, `dropped`, or `pending`.
    pub outcome: String,
    /// The reason's code, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub count: u64,
}

/// Count outcomes by metric: accepted interactions are all accounted for.
#[utoipa::path(get, path = "/v1/outcomes", tag = "results", params(OutcomeParams), responses((status = 200, body = OutcomesBody), (status = 400, body = ErrorBody)))]
pub async fn list(
    State(server): State<Arc<Server>>,
    reader: Reader,
    Params(params): Params<OutcomeParams>,
) -> Result<Json<OutcomesBody>, ApiError> {
    let project = reader.project(params.project.as_deref())?;
    let (from, to) = range(params.from.as_deref(), params.to.as_deref(), server.clock().now())?;
    let (from, to) = whole_hours(from, to);
    Ok(Json(OutcomesBody::new(server.results.outcomes(&project, from, to).await?, from, to)))
}

impl OutcomesBody {
    fn new(outcomes: Outcomes, from: Timestamp, to: Timestamp) -> Self {
        let counts = outcomes.counts.into_iter().map(|count| OutcomeView {
            metric: count.metric.to_string(),
            outcome: count.outcome.map_or("pending", |outcome| outcome.as_str()).to_owned(),
            reason: Some(count.reason).filter(|reason| !reason.is_empty()),
            count: count.count,
        });
        Self { from: from.to_rfc3339(), to: to.to_rfc3339(), accepted: outcomes.accepted, outcomes: counts.collect() }
    }
}
