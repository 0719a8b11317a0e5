//! `/v1/judges`: who judges in a project, with what model, at what price and until when.

use std::sync::Arc;

use assize_core::NanoUsd;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Server;
use super::auth::Reader;
use super::error::{ApiError, ErrorBody};
use super::params::Params;
use crate::pipeline::judges::in_use;

/// Whose judges.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct JudgesParams {
    /// The project; the key's own where not given.
    pub project: Option<String>,
}

/// The judges in use.
#[derive(Debug, Serialize, ToSchema)]
pub struct JudgesBody {
    pub judges: Vec<JudgeView>,
}

/// A judge of one metric.
#[derive(Debug, Serialize, ToSchema)]
pub struct JudgeView {
    pub metric: String,
    pub judge: String,
    /// `free`, `tier`, `reference` or `fallback`.
    pub part: String,
    /// Hash of prompt, question, model and parameters.
    pub version: String,
    pub provider: Option<String>,
    /// The model that is asked for.
    pub model: Option<String>,
    /// The model that answered last, by the provider's account.
    pub answered_model: Option<String>,
    /// Another model answers than before, under the same name.
    pub drift: Option<DriftView>,
    /// In US dollars per million tokens; null where it is not known, or not charged by the token.
    pub price: Option<PriceView>,
    /// The day from which calls to the model fail, where its vendor has announced it.
    pub shutdown: Option<String>,
    /// What to do about it, from 60 days before.
    pub warning: Option<String>,
}

/// A change of the model that answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct DriftView {
    pub from: String,
    pub to: String,
    /// When the new one was seen first.
    pub since: String,
}

/// US dollars per million tokens.
#[derive(Debug, Serialize, ToSchema)]
pub struct PriceView {
    pub input: f64,
    pub cached_input: f64,
    pub cache_write: f64,
    pub output: f64,
}

/// List the judges in use.
#[utoipa::path(get, path = "/v1/judges", operation_id = "list_judges", tag = "results", params(JudgesParams), responses((status = 200, body = JudgesBody), (status = 404, body = ErrorBody)))]
pub async fn list(
    State(server): State<Arc<Server>>,
    reader: Reader,
    Params(params): Params<JudgesParams>,
) -> Result<Json<JudgesBody>, ApiError> {
    let project = reader.project(params.project.as_deref())?;
    let models = &server.pipeline.models;
    let now = server.clock().now();
    let judges = in_use(&server.pipeline.panels.of_project(&project)).into_iter().map(|judge| JudgeView {
        warning: judge.warning(now),
        answered_model: models.last(&judge.version),
        drift: models.drift(&judge.version).map(|drift| DriftView {
            from: drift.from,
            to: drift.to,
            since: drift.since.to_rfc3339(),
        }),
        metric: judge.metric.to_string(),
        judge: judge.judge.to_string(),
        part: judge.part.as_str().to_owned(),
        version: judge.version.to_string(),
        provider: judge.provider.map(|provider| provider.to_string()),
        model: judge.model,
        price: judge.price.map(|price| PriceView {
            input: NanoUsd::to_usd(price.input),
            cached_input: NanoUsd::to_usd(price.cached_input),
            cache_write: NanoUsd::to_usd(price.cache_write),
            output: NanoUsd::to_usd(price.output),
        }),
        shutdown: judge.shutdown.map(|day| day.to_string()),
    });
    Ok(Json(JudgesBody { judges: judges.collect() }))
}
