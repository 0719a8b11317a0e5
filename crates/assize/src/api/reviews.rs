//! `/v1/reviews`: draws of what people are asked about, and the next one to look at, blind to what the judge said.
//!
//! A reviewer reads text and sends labels: a key needs the scopes `read` and `ingest`, which a key has where none are named. A key that
//! only sends, as in a web page, neither draws nor labels, and one that only reads changes nothing. Nobody needs an admin's key, which
//! would open every project.

use std::sync::Arc;
use std::time::Duration;

use assize_core::labels::Progress;
use assize_core::{Interaction, MetricName, ProjectName, Review, ReviewItem, ReviewState, Reviewer};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::{Labeller, Reader};
use super::error::{ApiError, ErrorBody};
use super::keys::parse;
use super::params::{Params, invalid, metric, range};
use super::{Server, receive};
use crate::access::Principal;
use crate::pipeline::review::draw::{DrawError, Order, draw};

/// How long an item stays in a reviewer's hands.
pub const LEASE: Duration = Duration::from_secs(15 * 60);
/// How many items without text are passed over for one question.
const TEXTLESS_MAX: usize = 50;

/// A draw to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewRequest {
    pub metric: String,
    /// Interactions at or after this time, RFC 3339; 7 days before `to` where not given.
    pub from: Option<String>,
    /// Interactions before this time, RFC 3339; now where not given.
    pub to: Option<String>,
    /// How many, 1 to 5,000. Drawing again takes the same ones; a higher number takes them and others.
    pub n: usize,
    /// Whether each range of the judge's score (from 0, 0.1, 0.5 and 0.9) gets the same number, so that rare answers are seen.
    #[serde(default)]
    pub stratify: bool,
    /// Who draws; the key's id where not given.
    pub reviewer: Option<String>,
}

/// A draw.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReviewView {
    pub id: String,
    pub metric: String,
    pub from: String,
    pub to: String,
    /// How many were asked for.
    pub n: u64,
    pub stratified: bool,
    pub by: String,
    pub at: String,
    /// Judged interactions that it was drawn from: those in the range whose text is kept.
    pub population: u64,
    pub drawn: u64,
    pub strata: Vec<StratumView>,
}

/// A part of what was drawn from.
#[derive(Debug, Serialize, ToSchema)]
pub struct StratumView {
    pub judge_version: String,
    /// The lowest score in it.
    pub score_min: f64,
    /// Scores in it are below this; the highest range includes 1.
    pub score_below: f64,
    pub population: u64,
    pub drawn: u64,
    /// The probability with which each of the population was drawn.
    pub probability: f64,
}

/// What a draw took.
#[derive(Debug, Serialize, ToSchema)]
pub struct DrawnBody {
    #[serde(flatten)]
    pub review: ReviewView,
    /// How many of the drawn were not in the queue before.
    pub new: u64,
}

/// How far a review has come.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProgressView {
    pub metric: String,
    pub drawn: u64,
    pub open: u64,
    /// In a reviewer's hands.
    pub leased: u64,
    pub labelled: u64,
    pub skipped: u64,
}

/// Draws and progress.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReviewsBody {
    /// Newest first.
    pub reviews: Vec<ReviewView>,
    pub progress: Vec<ProgressView>,
}

/// Which draws.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReviewParams {
    /// The project; the key's own where not given.
    pub project: Option<String>,
    /// Of this metric only.
    pub metric: Option<String>,
}

/// Whose next item.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct NextParams {
    /// The metric.
    pub metric: String,
    /// The project; the key's own where not given.
    pub project: Option<String>,
    /// Who looks at it; the key's id where not given.
    pub reviewer: Option<String>,
}

/// The next item, or null where nothing is open.
#[derive(Debug, Serialize, ToSchema)]
pub struct NextBody {
    pub item: Option<ReviewItemView>,
    pub progress: ProgressView,
}

/// What a reviewer sees: nothing of what any judge said, nor of what follows from it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReviewItemView {
    /// To be sent with the label.
    pub review_id: String,
    pub interaction_id: String,
    pub metric: String,
    /// What is asked, where the metric has a question.
    pub question: Option<String>,
    pub time: String,
    pub leased_until: String,
    #[schema(value_type = Object)]
    pub interaction: TextView,
}

/// An interaction's text.
#[derive(Debug, Serialize)]
pub struct TextView {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    pub input: Vec<assize_core::Message>,
    pub output: Vec<assize_core::Message>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

impl From<Interaction> for TextView {
    fn from(text: Interaction) -> Self {
        let Interaction { system, input, output, context, reference, .. } = text;
        Self { system, input, output, context, reference }
    }
}

impl From<Review> for ReviewView {
    fn from(review: Review) -> Self {
        let (population, drawn) = (review.population(), review.drawn());
        let stratum = |stratum: assize_core::Stratum| StratumView {
            judge_version: stratum.judge_version.to_string(),
            score_min: stratum.low,
            score_below: stratum.high.min(1.0),
            population: stratum.population,
            drawn: stratum.drawn,
            probability: stratum.probability,
        };
        Self {
            id: review.id,
            metric: review.metric.to_string(),
            from: review.from.to_rfc3339(),
            to: review.to.to_rfc3339(),
            n: review.n,
            stratified: review.stratified,
            by: review.by.to_string(),
            at: review.at.to_rfc3339(),
            population,
            drawn,
            strata: review.strata.into_iter().map(stratum).collect(),
        }
    }
}

impl ProgressView {
    fn new(metric: &MetricName, progress: Progress) -> Self {
        let Progress { drawn, open, leased, labelled, skipped } = progress;
        Self { metric: metric.to_string(), drawn, open, leased, labelled, skipped }
    }
}

impl From<DrawError> for ApiError {
    fn from(error: DrawError) -> Self {
        match error {
            DrawError::Store(error) => error.into(),
            DrawError::Nothing(_) => Self::new(StatusCode::NOT_FOUND, "nothing_judged", error.to_string()),
            DrawError::Number => invalid_field(error),
            DrawError::TooMany => Self::bad_request("range_too_large", error.to_string()),
        }
    }
}

/// A field of a body that cannot be used.
pub fn invalid_field(why: impl std::fmt::Display) -> ApiError {
    ApiError::bad_request("invalid_field", why.to_string())
}

/// Who is meant: the one that is named, else the holder of the key.
pub fn reviewer(named: Option<&str>, who: &Principal) -> Result<Reviewer, ApiError> {
    let name = named.filter(|name| !name.trim().is_empty()).unwrap_or(&who.key_id);
    Reviewer::new(name).map_err(|error| invalid("reviewer", error))
}

/// Draw interactions for people to label, from what the judge has judged. Needs the scopes `read` and `ingest`.
#[utoipa::path(post, path = "/v1/reviews", tag = "labels", params(("project" = Option<String>, Query)), request_body = ReviewRequest,
    responses((status = 201, body = DrawnBody), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody, description = "nothing is judged in the range")))]
pub async fn create(
    State(server): State<Arc<Server>>,
    labeller: Labeller,
    Params(params): Params<ReviewParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<DrawnBody>), ApiError> {
    let _place = receive::admit(&server)?;
    let project = labeller.project(params.project.as_deref())?;
    let request: ReviewRequest = parse(&receive::body(&server, &headers, body).await?)?;
    let (from, to) = range(request.from.as_deref(), request.to.as_deref(), server.clock().now())?;
    let metric = metric(&request.metric)?;
    let by = reviewer(request.reviewer.as_deref(), &labeller.0)?;
    let order = Order { project, metric, from, to, n: request.n, stratify: request.stratify, by };
    let (review, new) = draw(&server.pipeline, &*server.results, &*server.labels, &order).await?;
    Ok((StatusCode::CREATED, Json(DrawnBody { review: review.into(), new })))
}

/// List the draws, and how far people have come.
#[utoipa::path(get, path = "/v1/reviews", tag = "labels", params(ReviewParams), responses((status = 200, body = ReviewsBody), (status = 400, body = ErrorBody)))]
pub async fn list(
    State(server): State<Arc<Server>>,
    reader: Reader,
    Params(params): Params<ReviewParams>,
) -> Result<Json<ReviewsBody>, ApiError> {
    let project = reader.project(params.project.as_deref())?;
    let named = params.metric.as_deref().filter(|name| !name.is_empty()).map(metric).transpose()?;
    let reviews = server.labels.reviews(&project, named.as_ref()).await?;
    let progress = server.labels.progress(&project, server.clock().now()).await?.into_iter();
    let progress = progress.filter(|(metric, _)| named.as_ref().is_none_or(|named| named == metric));
    Ok(Json(ReviewsBody {
        reviews: reviews.into_iter().map(ReviewView::from).collect(),
        progress: progress.map(|(metric, progress)| ProgressView::new(&metric, progress)).collect(),
    }))
}

/// Take the next interaction to label, for 15 minutes. It comes without anything that a judge said. Needs the scopes `read` and `ingest`.
#[utoipa::path(get, path = "/v1/reviews/next", tag = "labels", params(NextParams),
    responses((status = 200, body = NextBody), (status = 404, body = ErrorBody, description = "nothing was drawn for the metric")))]
pub async fn next(
    State(server): State<Arc<Server>>,
    labeller: Labeller,
    Params(params): Params<NextParams>,
) -> Result<Json<NextBody>, ApiError> {
    let project = labeller.project(params.project.as_deref())?;
    let metric = metric(&params.metric)?;
    let by = reviewer(params.reviewer.as_deref(), &labeller.0)?;
    let item = lease(&server, &project, &metric, &by).await?;
    let progress = progress(&server, &project, &metric).await?;
    if progress.drawn == 0 {
        let message = format!("nothing was drawn for people to label of metric {metric}: POST /v1/reviews draws");
        return Err(ApiError::new(StatusCode::NOT_FOUND, "nothing_drawn", message));
    }
    let question = question(&server, &project, &metric);
    let item = item.map(|(item, text)| ReviewItemView {
        review_id: item.review,
        interaction_id: item.id.to_string(),
        metric: item.metric.to_string(),
        question,
        time: item.time.to_rfc3339(),
        leased_until: match item.state {
            ReviewState::Leased { until, .. } => until.to_rfc3339(),
            _ => server.clock().now().plus(LEASE).to_rfc3339(),
        },
        interaction: text.into(),
    });
    Ok(Json(NextBody { item, progress: ProgressView::new(&metric, progress) }))
}

/// The next item of `by` and its text. One whose text is gone is skipped.
pub async fn lease(
    server: &Server,
    project: &ProjectName,
    metric: &MetricName,
    by: &Reviewer,
) -> Result<Option<(ReviewItem, Interaction)>, ApiError> {
    for _ in 0..TEXTLESS_MAX {
        let Some(item) = server.labels.next(project, metric, by, server.clock().now(), LEASE).await? else { return Ok(None) };
        let record = server.results.interaction(project, &item.id).await?;
        match record.and_then(|record| record.payload) {
            Some(text) => return Ok(Some((item, text))),
            None => server.labels.skip(project, metric, item.key, "its text is no longer kept").await?,
        };
    }
    Ok(None)
}

/// How far the review of a metric has come.
pub async fn progress(server: &Server, project: &ProjectName, metric: &MetricName) -> Result<Progress, ApiError> {
    let all = server.labels.progress(project, server.clock().now()).await?;
    Ok(all.into_iter().find(|(of, _)| of == metric).map(|(_, progress)| progress).unwrap_or_default())
}

/// What the metric asks, where it has a question.
pub fn question(server: &Server, project: &ProjectName, metric: &MetricName) -> Option<String> {
    let panel = server.pipeline.panels.of_project(project);
    let at = panel.policy.metrics.iter().position(|configured| configured.name == *metric)?;
    panel.questions.get(at).cloned().flatten()
}
