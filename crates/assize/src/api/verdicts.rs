//! `/v1/verdicts`: what judges said.

use std::sync::Arc;

use assize_core::results::VerdictRecord;
use assize_core::{NanoUsd, Verdict};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Server;
use super::auth::Reader;
use super::error::{ApiError, ErrorBody};
use super::params::{ListParams, Params};

/// What a judge said.
#[derive(Debug, Serialize, ToSchema)]
pub struct VerdictBody {
    pub judge: String,
    pub judge_version: String,
    /// How far the metric's question is answered by yes, 0 to 1.
    pub score: f64,
    pub label: Option<String>,
    /// 0 to 1, where the judge can say.
    pub confidence: Option<f64>,
    pub reason: String,
    /// The model that the provider says has answered.
    pub model: Option<String>,
    pub input_tokens: Option<u64>,
    pub cached_input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
    /// Null where usage or price is unknown.
    pub cost_usd: Option<f64>,
    pub latency_ms: u64,
    /// Made by the simulated provider of the demonstration: no judgement of a model.
    pub simulated: bool,
    /// `exact` or `similar`, where a verdict on another interaction was used again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reused: Option<String>,
    /// What the call cost that was saved, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saved_usd: Option<f64>,
}

impl From<Verdict> for VerdictBody {
    fn from(verdict: Verdict) -> Self {
        Self {
            judge: verdict.judge.to_string(),
            judge_version: verdict.version.to_string(),
            score: verdict.score,
            label: verdict.label,
            confidence: verdict.confidence,
            reason: verdict.reason,
            model: verdict.model,
            input_tokens: verdict.usage.map(|usage| usage.input),
            cached_input_tokens: verdict.usage.map(|usage| usage.cached_input),
            output_tokens: verdict.usage.map(|usage| usage.output),
            cost_usd: verdict.cost.map(NanoUsd::to_usd),
            latency_ms: verdict.latency_ms,
            simulated: verdict.simulated,
            reused: verdict.reused.map(|reused| reused.kind.as_str().to_owned()),
            saved_usd: verdict.reused.and_then(|reused| reused.saved).map(NanoUsd::to_usd),
        }
    }
}

/// A verdict and what it is about.
#[derive(Debug, Serialize, ToSchema)]
pub struct VerdictView {
    pub interaction_id: String,
    /// When the interaction happened.
    pub time: String,
    pub metric: String,
    /// Whether it is the reference judge's, of which rates are made.
    pub is_reference: bool,
    /// When it was recorded.
    pub recorded_at: String,
    #[serde(flatten)]
    pub verdict: VerdictBody,
}

/// A page of verdicts.
#[derive(Debug, Serialize, ToSchema)]
pub struct VerdictPage {
    pub verdicts: Vec<VerdictView>,
    /// `cursor` of the next page; null at the end.
    pub next: Option<String>,
}

/// List verdicts, newest first.
#[utoipa::path(get, path = "/v1/verdicts", tag = "results", params(ListParams), responses((status = 200, body = VerdictPage), (status = 400, body = ErrorBody)))]
pub async fn list(
    State(server): State<Arc<Server>>,
    reader: Reader,
    Params(params): Params<ListParams>,
) -> Result<Json<VerdictPage>, ApiError> {
    let filter = params.filter(reader.project(params.project.as_deref())?)?;
    let page = server.results.verdicts(&filter).await?;
    Ok(Json(VerdictPage { verdicts: page.items.into_iter().map(VerdictView::from).collect(), next: page.next }))
}

impl From<VerdictRecord> for VerdictView {
    fn from(record: VerdictRecord) -> Self {
        Self {
            interaction_id: record.id.to_string(),
            time: record.time.to_rfc3339(),
            metric: record.metric.to_string(),
            is_reference: record.is_reference,
            recorded_at: record.at.to_rfc3339(),
            verdict: record.verdict.into(),
        }
    }
}
