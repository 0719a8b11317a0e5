//! `/v1/interactions`: send them, list them, and ask what became of one.

use std::sync::Arc;

use assize_core::control::Scope;
use assize_core::results::{InteractionRecord, MetricRecord};
use assize_core::{DecisionState, Interaction, ProjectName, Step, Timestamp};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::{Reader, Sender};
use super::error::{ApiError, ErrorBody, ErrorDetail};
use super::params::{ListParams, Params, Segments};
use super::verdicts::VerdictBody;
use super::{Server, receive};
use crate::access::Principal;
use crate::ingest::{self, Draft, ItemError};
use crate::pipeline::accept::{Receipt, accept};

/// What became of a request's items.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReceiptBody {
    /// Items that are now on disk.
    pub accepted: usize,
    /// Items that had been accepted before.
    pub duplicate: usize,
    /// Items that were not accepted, by their place in the request.
    pub rejected: Vec<RejectedItem>,
}

/// An item that was not accepted.
#[derive(Debug, Serialize, ToSchema)]
pub struct RejectedItem {
    /// Its place in the request, from 0.
    pub index: usize,
    pub error: ErrorDetail,
}

impl From<Receipt> for ReceiptBody {
    fn from(receipt: Receipt) -> Self {
        let rejected = receipt.rejected.into_iter().map(|(index, error)| {
            let error = ErrorDetail { code: error.code.to_owned(), message: error.message };
            RejectedItem { index, error }
        });
        Self { accepted: receipt.accepted, duplicate: receipt.duplicate, rejected: rejected.collect() }
    }
}

/// An interaction as it is sent. `input` and `output` are a string, or messages with role and content.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the JSON that `ingest::json` reads")]
pub struct InteractionBody {
    /// Unique within the project, 1 to 256 bytes; one is made where there is none. The same id within 7 days is a duplicate; later it is taken, and changes nothing of what is on record.
    id: Option<String>,
    /// The key's own project where not given.
    project: Option<String>,
    /// RFC 3339, or Unix seconds or milliseconds; believed within -7 days and +5 minutes.
    time: Option<String>,
    conversation_id: Option<String>,
    model: Option<String>,
    prompt_version: Option<String>,
    environment: Option<String>,
    system: Option<String>,
    #[schema(value_type = Object)]
    input: serde_json::Value,
    #[schema(value_type = Object)]
    output: serde_json::Value,
    /// A string, strings, or objects with `content` or `text`.
    #[schema(value_type = Option<Object>)]
    context: Option<serde_json::Value>,
    /// The right answer, where it is known.
    reference: Option<String>,
    /// At most 64.
    tags: Option<std::collections::BTreeMap<String, String>>,
    usage: Option<UsageBody>,
}

/// The tokens that the application paid for.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the JSON that `ingest::json` reads")]
pub struct UsageBody {
    /// Cached ones included.
    input_tokens: u64,
    output_tokens: u64,
    cached_input_tokens: Option<u64>,
}

/// Send interactions: one object, an array, or NDJSON. Answered when every accepted item is on disk.
#[utoipa::path(post, path = "/v1/interactions", tag = "ingest", request_body = InteractionBody,
    responses((status = 202, body = ReceiptBody), (status = 400, body = ReceiptBody, description = "nothing was accepted; a body that cannot be read is answered with an error"),
        (status = 401, body = ErrorBody), (status = 403, body = ErrorBody, description = "the key may not send, or `tenant_disabled`: do not send it again"),
        (status = 413, body = ErrorBody), (status = 503, body = ErrorBody, description = "come back after `Retry-After` seconds")))]
pub async fn create(
    State(server): State<Arc<Server>>,
    Sender(who): Sender,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let now = server.clock().now();
    // An admin's key may send for other projects, whose tenants are asked about one by one below.
    if !who.may(Scope::Admin) {
        receive::taken(&server, &who, &who.project)?;
    }
    let _place = receive::admit(&server)?;
    let body = receive::body(&server, &headers, body).await?;
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let decoded = ingest::json::decode(&body, content_type).inspect_err(|error| server.pipeline.counters.refuse(error.code))?;
    let items = refuse_disabled(&who, decoded.items, now);
    if let Some(error) = all_refused(&items) {
        server.pipeline.counters.refuse(error.code);
        return Err(receive::disabled(error));
    }
    let receipt = accept(&server.pipeline, &who, items).await?;
    let status = if receipt.accepted + receipt.duplicate > 0 { StatusCode::ACCEPTED } else { StatusCode::BAD_REQUEST };
    Ok((status, Json(ReceiptBody::from(receipt))).into_response())
}

type Item = Result<Draft, ItemError>;

/// Turns away the items for projects of which nothing is taken.
fn refuse_disabled(who: &Principal, items: Vec<Item>, now: Timestamp) -> Vec<Item> {
    let own = who.refused(&who.project, now);
    let refused = |draft: &Draft| match &draft.project {
        None => own.clone(),
        // Who may not reach a project learns nothing about it.
        Some(name) => who.reach(name).ok().and_then(|project| who.refused(&project, now)),
    };
    items.into_iter().map(|item| item.and_then(|draft| refused(&draft).map_or(Ok(draft), Err))).collect()
}

/// Why nothing is taken, where that is the reason for every item.
fn all_refused(items: &[Item]) -> Option<ItemError> {
    let is_refused = |item: &Item| matches!(item, Err(error) if error.code == "tenant_disabled");
    let first = items.first()?.as_ref().err()?;
    items.iter().all(is_refused).then(|| first.clone())
}

/// An interaction and what became of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct InteractionView {
    pub id: String,
    pub project: String,
    /// When it happened, RFC 3339.
    pub time: String,
    pub accepted_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<String>,
    /// Values of the declared dimensions.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    pub dimensions: serde_json::Map<String, serde_json::Value>,
    /// The sender's time was not believed.
    pub time_replaced: bool,
    /// The sender cut its text short.
    pub truncated: bool,
    pub policy_version: String,
    /// Whether the text was kept: drawn, or in the reserve.
    pub payload_kept: bool,
    /// The interaction itself, where it was kept.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Interaction>,
    /// What became of each metric.
    pub metrics: Vec<MetricView>,
}

/// What became of one metric of one interaction.
#[derive(Debug, Serialize, ToSchema)]
pub struct MetricView {
    pub metric: String,
    /// One of `judged`, `reused`, `not_sampled`, `over_budget`, `judge_failed`, `no_content`, `expired`, `dropped`, or `pending`.
    pub outcome: String,
    /// Why it was not judged, where it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<ErrorDetail>,
    /// The probability with which the first judge that is called was to see it.
    pub probability: f64,
    /// The draws for the judges after it, in the order of the cascade.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub draws: Vec<DrawView>,
    /// The reference judge's score; null where there is none.
    pub score: Option<f64>,
    /// The reference judge's version as configured when it was accepted.
    pub judge_version: String,
    /// What the free judges said.
    pub free_scores: Vec<FreeScore>,
    /// Verdicts of the judges that were called.
    pub verdicts: Vec<VerdictBody>,
    /// Calls made for it, failed ones included.
    pub calls: Vec<CallView>,
}

/// The draw that decided whether a judge sees what the one before it saw.
#[derive(Debug, Serialize, ToSchema)]
pub struct DrawView {
    pub judge: String,
    /// The probability of seeing what the judge before saw.
    pub conditional: f64,
    /// The probability over all draws so far.
    pub probability: f64,
    pub drawn: bool,
    /// The judge whose score the probability may depend on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predictor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predictor_score: Option<f64>,
}

impl From<Step> for DrawView {
    fn from(step: Step) -> Self {
        let (predictor, predictor_score) = step.predictor.map(|(judge, score)| (judge.to_string(), score)).unzip();
        Self {
            judge: step.judge.to_string(),
            conditional: step.conditional,
            probability: step.probability,
            drawn: step.drawn,
            predictor,
            predictor_score,
        }
    }
}

/// A free judge's score.
#[derive(Debug, Serialize, ToSchema)]
pub struct FreeScore {
    pub judge: String,
    pub score: f64,
    /// What it found.
    pub reason: String,
}

/// One attempt at a provider.
#[derive(Debug, Serialize, ToSchema)]
pub struct CallView {
    pub id: String,
    pub at: String,
    pub judge: String,
    pub provider: String,
    pub model: String,
    /// `null` for an answered call, else what went wrong.
    pub error: Option<String>,
    /// How many questions the call carried; tokens and cost are this metric's part.
    pub questions: u16,
    pub latency_ms: u64,
    pub input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
    /// Null where usage or price is unknown.
    pub cost_usd: Option<f64>,
}

/// Ask what became of an interaction: its verdicts, its outcome, and why it was not judged.
#[utoipa::path(get, path = "/v1/interactions/{id}", tag = "results", params(("id" = String, Path), ("project" = Option<String>, Query)),
    responses((status = 200, body = InteractionView), (status = 404, body = ErrorBody)))]
pub async fn show(
    State(server): State<Arc<Server>>,
    reader: Reader,
    Segments(id): Segments<String>,
    Params(params): Params<ListParams>,
) -> Result<Json<InteractionView>, ApiError> {
    let project = reader.project(params.project.as_deref())?;
    match find(&server, &project, &id).await {
        Ok(record) => Ok(Json(InteractionView::from(record))),
        Err(error) => awaiting(&server, &project, &id).map(Json).ok_or(error),
    }
}

/// A span that was acknowledged and waits for its text: nothing is decided about it yet.
fn awaiting(server: &Server, project: &ProjectName, id: &str) -> Option<InteractionView> {
    let parsed = assize_core::InteractionId::new(id).ok()?;
    if !server.waiting.awaits(project, &parsed) {
        return None;
    }
    let panel = server.pipeline.panels.of_project(project);
    let why =
        || ErrorDetail { code: "awaiting_text".to_owned(), message: "a part of it has come, and waits for the rest".to_owned() };
    let metrics = panel.policy.metrics.iter().map(|metric| MetricView {
        metric: metric.name.to_string(),
        outcome: "pending".to_owned(),
        why: Some(why()),
        probability: 0.0,
        draws: Vec::new(),
        score: None,
        judge_version: metric.reference().map_or_else(String::new, |tier| tier.version.to_string()),
        free_scores: Vec::new(),
        verdicts: Vec::new(),
        calls: Vec::new(),
    });
    let now = server.clock().now().to_rfc3339();
    Some(InteractionView {
        id: id.to_owned(),
        project: project.to_string(),
        time: now.clone(),
        accepted_at: now,
        conversation_id: None,
        dimensions: serde_json::Map::new(),
        time_replaced: false,
        truncated: false,
        policy_version: panel.policy.version.to_string(),
        payload_kept: false,
        payload: None,
        metrics: metrics.collect(),
    })
}

/// The record of `id`, or 404.
pub async fn find(server: &Server, project: &ProjectName, id: &str) -> Result<InteractionRecord, ApiError> {
    let parsed =
        assize_core::InteractionId::new(id).map_err(|error| ApiError::bad_request("invalid_parameter", error.to_string()))?;
    let missing = || {
        let message = format!("project {project} has accepted no interaction {id:?} (an acknowledged one shows within a second)");
        ApiError::new(StatusCode::NOT_FOUND, "unknown_interaction", message)
    };
    server.results.interaction(project, &parsed).await?.ok_or_else(missing)
}

/// A page of interactions.
#[derive(Debug, Serialize, ToSchema)]
pub struct InteractionPage {
    pub interactions: Vec<InteractionView>,
    /// `cursor` of the next page; null at the end.
    pub next: Option<String>,
}

/// List interactions, newest first.
#[utoipa::path(get, path = "/v1/interactions", tag = "results", params(ListParams), responses((status = 200, body = InteractionPage), (status = 400, body = ErrorBody)))]
pub async fn list(
    State(server): State<Arc<Server>>,
    reader: Reader,
    Params(params): Params<ListParams>,
) -> Result<Json<InteractionPage>, ApiError> {
    let filter = params.filter(reader.project(params.project.as_deref())?)?;
    let page = server.results.interactions(&filter).await?;
    Ok(Json(InteractionPage { interactions: page.items.into_iter().map(InteractionView::from).collect(), next: page.next }))
}

impl From<InteractionRecord> for InteractionView {
    fn from(record: InteractionRecord) -> Self {
        let row = record.row;
        let dimensions = row.dimensions.iter().map(|(dimension, value)| (dimension.to_string(), value.as_str().into()));
        Self {
            id: row.id.to_string(),
            project: row.project.to_string(),
            time: row.time.to_rfc3339(),
            accepted_at: row.accepted_at.to_rfc3339(),
            conversation_id: row.conversation_id,
            dimensions: dimensions.collect(),
            time_replaced: row.flags.time_replaced,
            truncated: row.flags.truncated,
            policy_version: row.policy.to_string(),
            payload_kept: record.payload.is_some(),
            payload: record.payload,
            metrics: record.metrics.into_iter().map(MetricView::from).collect(),
        }
    }
}

impl From<MetricRecord> for MetricView {
    fn from(record: MetricRecord) -> Self {
        let decision = record.decision;
        let called =
            record.verdicts.iter().rev().find(|verdict| verdict.version == decision.reference).map(|verdict| verdict.score);
        let free = matches!(decision.state, DecisionState::Closed(assize_core::Outcome::Judged, _))
            .then(|| decision.free_score())
            .flatten();
        Self {
            metric: decision.metric.to_string(),
            outcome: record.outcome.map_or("pending", |outcome| outcome.as_str()).to_owned(),
            why: record.reason.map(|reason| ErrorDetail { code: reason.code.into_owned(), message: reason.message }),
            probability: decision.probability,
            draws: record.steps.into_iter().map(DrawView::from).collect(),
            score: called.or(free),
            judge_version: decision.reference.to_string(),
            free_scores: decision
                .scores
                .into_iter()
                .map(|tier| FreeScore { judge: tier.judge.to_string(), score: tier.score, reason: tier.reason })
                .collect(),
            verdicts: record.verdicts.into_iter().map(VerdictBody::from).collect(),
            calls: record.calls.into_iter().map(CallView::from).collect(),
        }
    }
}

impl From<assize_core::CallRecord> for CallView {
    fn from(call: assize_core::CallRecord) -> Self {
        Self {
            id: call.id.0,
            at: call.at.to_rfc3339(),
            judge: call.judge.to_string(),
            provider: call.provider.to_string(),
            model: call.model,
            error: call.error,
            questions: call.part.of,
            latency_ms: call.latency_ms,
            input_tokens: call.usage.map(|usage| usage.input),
            output_tokens: call.usage.map(|usage| usage.output),
            cost_usd: call.cost.map(assize_core::NanoUsd::to_usd),
        }
    }
}
