//! `/v1/scores`: what end users say of interactions. It is kept beside the verdicts and enters no rate.

use std::sync::Arc;

use assize_core::label::{CATEGORY_BYTES_MAX, COMMENT_BYTES_MAX, FEEDBACK_MAX};
use assize_core::labels::{FeedbackFilter, Kept};
use assize_core::{Feedback, FeedbackValue, InteractionId, ProjectName, ScoreName, Timestamp};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::{Reader, Sender};
use super::error::{ApiError, ErrorBody, ErrorDetail};
use super::interactions::RejectedItem;
use super::params::{Params, invalid, limit, time};
use super::{Server, items, receive};
use crate::ingest::ItemError;
use crate::pipeline::accept::AcceptError;

/// A number beyond this is no score.
const NUMBER_MAX: f64 = 1e12;
/// The most bytes of a feedback's id.
const ID_BYTES_MAX: usize = 256;

/// An end user's feedback.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScoreRequest {
    /// The interaction, which may be still to come.
    pub interaction_id: String,
    /// What it is about, such as `thumbs`: 1 to 64 of `[A-Za-z0-9._-]`.
    pub name: String,
    /// A number, true or false, or a category of at most 200 bytes.
    #[schema(value_type = Object)]
    pub value: FeedbackValue,
    /// At most 4,000 bytes.
    #[serde(default)]
    pub comment: String,
    /// Tells several of one name apart. The same interaction, name and id again replaces what was said.
    #[serde(default)]
    pub id: String,
}

/// What became of a request's feedback.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScoresReceipt {
    /// What is now on disk.
    pub accepted: usize,
    /// How many of these replaced what had been said under the same interaction, name and id.
    pub replaced: usize,
    /// What was not accepted, by its place in the request.
    pub rejected: Vec<RejectedItem>,
}

/// Feedback as it is on record.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScoreView {
    pub interaction_id: String,
    pub name: String,
    #[schema(value_type = Object)]
    pub value: FeedbackValue,
    pub comment: String,
    pub id: String,
    pub at: String,
}

/// A page of feedback.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScorePage {
    pub scores: Vec<ScoreView>,
    /// `cursor` of the next page; null at the end.
    pub next: Option<String>,
}

/// Where feedback goes.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ProjectParams {
    /// The project; the key's own where not given.
    pub project: Option<String>,
}

/// Which feedback.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ScoreParams {
    /// The project; the key's own where not given.
    pub project: Option<String>,
    /// On this interaction only.
    pub interaction_id: Option<String>,
    /// Of this name only.
    pub name: Option<String>,
    /// Received at or after this time, RFC 3339.
    pub from: Option<String>,
    /// Received before this time, RFC 3339.
    pub to: Option<String>,
    /// `next` of the page before.
    pub cursor: Option<String>,
    /// At most this many, 1 to 1,000; 100 where not given.
    pub limit: Option<usize>,
}

/// Send end users' feedback: one object or an array of at most 1,000. Accepted even before the interaction has arrived. Needs the scope `ingest`.
#[utoipa::path(post, path = "/v1/scores", tag = "labels", params(ProjectParams), request_body = ScoreRequest,
    responses((status = 202, body = ScoresReceipt), (status = 400, body = ScoresReceipt, description = "nothing was accepted"),
        (status = 413, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub async fn create(
    State(server): State<Arc<Server>>,
    Sender(who): Sender,
    Params(params): Params<ProjectParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let _place = receive::admit(&server)?;
    let project = match params.project.as_deref() {
        Some(name) if !name.is_empty() => who.project_named(name)?,
        _ => who.project.clone(),
    };
    receive::taken(&server, &who, &project)?;
    let body = receive::body(&server, &headers, body).await?;
    let (requests, _) = items::read::<ScoreRequest>(&body)?;
    if !who.admits(requests.len()) {
        return Err(AcceptError::rate_limited(&server.pipeline, &who).into());
    }
    let now = server.clock().now();
    let (mut feedback, mut places, mut rejected) = (Vec::new(), Vec::new(), Vec::new());
    let mut reject = |index, error: ItemError| {
        let error = ErrorDetail { code: error.code.to_owned(), message: error.message };
        rejected.push(RejectedItem { index, error });
    };
    for (index, request) in requests.into_iter().enumerate() {
        match request.and_then(|request| checked(request, &project, now)) {
            Ok(one) => {
                feedback.push(one);
                places.push(index);
            }
            Err(error) => reject(index, error),
        }
    }
    let kept = server.labels.put_feedback(&feedback).await?;
    for (index, _) in places.into_iter().zip(&kept).filter(|(_, kept)| **kept == Kept::TooMany) {
        reject(index, ItemError::new("too_many", format!("the interaction has {FEEDBACK_MAX} scores already")));
    }
    rejected.sort_by_key(|item| item.index);
    let replaced = kept.iter().filter(|kept| **kept == Kept::Replaced).count();
    let accepted = replaced + kept.iter().filter(|kept| **kept == Kept::New).count();
    let status = if accepted > 0 || rejected.is_empty() { StatusCode::ACCEPTED } else { StatusCode::BAD_REQUEST };
    Ok((status, Json(ScoresReceipt { accepted, replaced, rejected })).into_response())
}

fn checked(request: ScoreRequest, project: &ProjectName, at: Timestamp) -> Result<Feedback, ItemError> {
    let invalid = |message: String| ItemError::new("invalid_field", message);
    let interaction = InteractionId::new(&request.interaction_id).map_err(|error| invalid(format!("interaction_id: {error}")))?;
    let name = ScoreName::new(&request.name).map_err(|error| invalid(format!("name: {error}")))?;
    match &request.value {
        FeedbackValue::Number(number) if !number.is_finite() || number.abs() > NUMBER_MAX => {
            return Err(invalid(format!("value: a number is from -{NUMBER_MAX} to {NUMBER_MAX}")));
        }
        FeedbackValue::Category(text) if text.trim().is_empty() || text.len() > CATEGORY_BYTES_MAX => {
            return Err(invalid(format!("value: a category has 1 to {CATEGORY_BYTES_MAX} bytes")));
        }
        _ => {}
    }
    if request.comment.len() > COMMENT_BYTES_MAX {
        return Err(invalid(format!("comment: use at most {COMMENT_BYTES_MAX} bytes")));
    }
    if request.id.len() > ID_BYTES_MAX || request.id.chars().any(char::is_control) {
        return Err(invalid(format!("id: use at most {ID_BYTES_MAX} bytes without control characters")));
    }
    let ScoreRequest { value, comment, id, .. } = request;
    Ok(Feedback { project: project.clone(), interaction, name, id, value, comment, at })
}

/// List end users' feedback, newest first.
#[utoipa::path(get, path = "/v1/scores", tag = "labels", params(ScoreParams), responses((status = 200, body = ScorePage), (status = 400, body = ErrorBody)))]
pub async fn list(
    State(server): State<Arc<Server>>,
    reader: Reader,
    Params(params): Params<ScoreParams>,
) -> Result<Json<ScorePage>, ApiError> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let interaction = given(&params.interaction_id).map(|id| InteractionId::new(&id));
    let name = given(&params.name).map(|name| ScoreName::new(&name));
    let filter = FeedbackFilter {
        project: reader.project(params.project.as_deref())?,
        interaction: interaction.transpose().map_err(|error| invalid("interaction_id", error))?,
        name: name.transpose().map_err(|error| invalid("name", error))?,
        from: time("from", params.from.as_deref())?,
        to: time("to", params.to.as_deref())?,
        cursor: given(&params.cursor),
        limit: limit(params.limit)?,
    };
    let page = server.labels.feedback(&filter).await?;
    Ok(Json(ScorePage { scores: page.items.into_iter().map(ScoreView::from).collect(), next: page.next }))
}

impl From<Feedback> for ScoreView {
    fn from(feedback: Feedback) -> Self {
        Self {
            interaction_id: feedback.interaction.to_string(),
            name: feedback.name.to_string(),
            value: feedback.value,
            comment: feedback.comment,
            id: feedback.id,
            at: feedback.at.to_rfc3339(),
        }
    }
}
