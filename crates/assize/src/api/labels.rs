//! `/v1/labels`: what people say of interactions.

use std::sync::Arc;

use assize_core::label::NOTE_BYTES_MAX;
use assize_core::labels::LabelFilter;
use assize_core::{InteractionId, Label, MetricName, ProjectName, ReviewState, Reviewer, RowKey, Source};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::{Labeller, Reader};
use super::error::{ApiError, ErrorBody, ErrorDetail};
use super::interactions::{RejectedItem, find};
use super::params::{Params, invalid, metric};
use super::reviews::{ReviewParams, invalid_field, reviewer};
use super::{Server, items, receive};

/// A label to store.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelRequest {
    pub interaction_id: String,
    pub metric: String,
    /// How far the metric's question is answered by yes, 0 to 1; or `"yes"`, `"no"`, true or false.
    #[schema(value_type = Option<Object>)]
    pub score: Option<serde_json::Value>,
    /// Why it cannot be said, in place of `score`: for an item of a review.
    pub skip: Option<String>,
    /// A remark, at most 2,000 bytes.
    #[serde(default)]
    pub note: String,
    /// Who says it; the key's id where not given.
    pub reviewer: Option<String>,
    /// As `GET /v1/reviews/next` gave it. Only such labels correct estimates: without it the interaction counts as picked by hand.
    pub review_id: Option<String>,
    /// `file` for labels that were read from a file; `hand_picked` where not given.
    pub source: Option<String>,
}

/// A label.
#[derive(Debug, Serialize, ToSchema)]
pub struct LabelView {
    pub interaction_id: String,
    /// When the interaction happened.
    pub time: String,
    pub metric: String,
    /// How far the metric's question is answered by yes, 0 to 1.
    pub score: f64,
    pub note: String,
    pub by: String,
    pub at: String,
    /// `review`, `hand_picked` or `file`.
    pub source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review_id: Option<String>,
    /// The probability with which it was drawn from what was judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judge_version: Option<String>,
    /// What the judge had said, which the reviewer did not see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judge_score: Option<f64>,
}

/// What became of several labels.
#[derive(Debug, Serialize, ToSchema)]
pub struct LabelsReceipt {
    pub stored: usize,
    /// Labels that were not stored, by their place in the request.
    pub rejected: Vec<RejectedItem>,
}

/// A page of labels.
#[derive(Debug, Serialize, ToSchema)]
pub struct LabelPage {
    pub labels: Vec<LabelView>,
    /// `cursor` of the next page; null at the end.
    pub next: Option<String>,
}

/// Which labels.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LabelParams {
    /// The project; the key's own where not given.
    pub project: Option<String>,
    /// Of this metric only.
    pub metric: Option<String>,
    /// Of this interaction only.
    pub interaction_id: Option<String>,
    /// `review`, `hand_picked` or `file` only.
    pub source: Option<String>,
    /// Of interactions at or after this time, RFC 3339.
    pub from: Option<String>,
    /// Of interactions before this time, RFC 3339.
    pub to: Option<String>,
    /// Score at least this.
    pub score_min: Option<f64>,
    /// Score below this.
    pub score_below: Option<f64>,
    /// `next` of the page before.
    pub cursor: Option<String>,
    /// At most this many, 1 to 1,000; 100 where not given.
    pub limit: Option<usize>,
}

impl From<Label> for LabelView {
    fn from(label: Label) -> Self {
        let source = label.source.as_str().to_owned();
        let (review_id, probability, judge_version, judge_score) = match label.source {
            Source::Review { review, probability, judge_version, judge_score } => {
                (Some(review), Some(probability), Some(judge_version.to_string()), Some(judge_score))
            }
            Source::HandPicked | Source::File => (None, None, None, None),
        };
        Self {
            interaction_id: label.id.to_string(),
            time: label.time.to_rfc3339(),
            metric: label.metric.to_string(),
            score: label.score,
            note: label.note,
            by: label.by.to_string(),
            at: label.at.to_rfc3339(),
            source,
            review_id,
            probability,
            judge_version,
            judge_score,
        }
    }
}

/// Label an interaction, or several. Needs the scopes `read` and `ingest`. A label of the same reviewer, source, metric and interaction is replaced.
#[utoipa::path(post, path = "/v1/labels", tag = "labels", params(("project" = Option<String>, Query)), request_body = LabelRequest,
    responses((status = 201, body = LabelView, description = "one label; of an array, how many were stored and which were not"),
        (status = 204, description = "skipped"), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "the item is not in this reviewer's hands")))]
pub async fn create(
    State(server): State<Arc<Server>>,
    labeller: Labeller,
    Params(params): Params<ReviewParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let _place = receive::admit(&server)?;
    let project = labeller.project(params.project.as_deref())?;
    let body = receive::body(&server, &headers, body).await?;
    let (requests, many) = items::read::<LabelRequest>(&body)?;
    let (mut labels, mut skipped, mut rejected) = (Vec::new(), 0, Vec::new());
    for (index, request) in requests.into_iter().enumerate() {
        let answered = match request.map_err(ApiError::from) {
            Ok(request) => {
                let by = reviewer(request.reviewer.as_deref(), &labeller.0);
                match by {
                    Ok(by) => answer(&server, &project, by, request).await,
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        };
        match answered {
            Ok(Some(label)) => labels.push(label),
            Ok(None) => skipped += 1,
            Err(error) if !many || error.status.is_server_error() => return Err(error),
            Err(error) => {
                let error = ErrorDetail { code: error.code.to_owned(), message: error.message };
                rejected.push(RejectedItem { index, error });
            }
        }
    }
    server.labels.put(&labels).await?;
    if many {
        let stored = labels.len() + skipped;
        let status = if stored > 0 || rejected.is_empty() { StatusCode::CREATED } else { StatusCode::BAD_REQUEST };
        return Ok((status, Json(LabelsReceipt { stored, rejected })).into_response());
    }
    Ok(match labels.pop() {
        Some(label) => (StatusCode::CREATED, Json(LabelView::from(label))).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// The label that `request` asks for; `None` where the item was skipped, which is done then.
pub async fn answer(
    server: &Server,
    project: &ProjectName,
    by: Reviewer,
    request: LabelRequest,
) -> Result<Option<Label>, ApiError> {
    let metric = metric(&request.metric)?;
    let too_long = |what: &str| invalid_field(format!("{what}: use at most {NOTE_BYTES_MAX} bytes"));
    if request.note.len() > NOTE_BYTES_MAX {
        return Err(too_long("note"));
    }
    let review_id = request.review_id.as_deref().filter(|id| !id.is_empty());
    let record = find(server, project, &request.interaction_id).await?;
    if record.row.decision(&metric).is_none() {
        let message = format!("metric: interaction {} was not asked about {metric}", record.row.id);
        return Err(ApiError::new(StatusCode::NOT_FOUND, "unknown_metric", message));
    }
    let key = record.row.key;
    let source = match (review_id, request.source.as_deref()) {
        (Some(review_id), None) => drawn(server, project, &metric, (key, &record.row.id), &by, review_id).await?,
        (None, None | Some("hand_picked")) => Source::HandPicked,
        (None, Some("file")) => Source::File,
        (Some(_), Some(_)) => return Err(invalid_field("source: leave it out where there is a review_id")),
        (None, Some(_)) => return Err(invalid_field("source: use file or hand_picked")),
    };
    if let Some(reason) = request.skip {
        if review_id.is_none() || request.score.is_some() {
            return Err(invalid_field("skip: only an item of a review can be skipped, in place of a score"));
        }
        if reason.len() > NOTE_BYTES_MAX {
            return Err(too_long("skip"));
        }
        if !server.labels.skip(project, &metric, key, &reason).await? {
            return Err(ApiError::new(StatusCode::CONFLICT, "labelled", "skip: the item has a label already"));
        }
        return Ok(None);
    }
    let score = score(request.score.as_ref()).map_err(invalid_field)?;
    Ok(Some(Label {
        project: project.clone(),
        key,
        id: record.row.id,
        time: record.row.time,
        metric,
        score,
        note: request.note,
        by,
        source,
        at: server.clock().now(),
    }))
}

/// The source of a label of a review. Only who took the item from the queue, and so saw it blind, may label it there.
async fn drawn(
    server: &Server,
    project: &ProjectName,
    metric: &MetricName,
    (key, id): (RowKey, &InteractionId),
    by: &Reviewer,
    review_id: &str,
) -> Result<Source, ApiError> {
    let item = server.labels.item(project, metric, key, server.clock().now()).await?.filter(|item| item.review == review_id);
    let Some(item) = item else {
        let message = format!("review_id: interaction {id} is no item of this review: leave review_id out to label it by hand");
        return Err(ApiError::new(StatusCode::NOT_FOUND, "not_drawn", message));
    };
    let taken = matches!(&item.state, ReviewState::Leased { by: holder, .. } if holder != by);
    if taken || item.holder.as_ref() != Some(by) {
        let message = format!("interaction {id} is not in the hands of {by}: take the next one from GET /v1/reviews/next");
        return Err(ApiError::new(StatusCode::CONFLICT, "not_leased", message));
    }
    Ok(Source::Review {
        review: item.review,
        probability: item.probability,
        judge_version: item.judge_version,
        judge_score: item.judge_score,
    })
}

fn score(given: Option<&serde_json::Value>) -> Result<f64, String> {
    let score = match given {
        Some(serde_json::Value::Number(number)) => number.as_f64(),
        Some(serde_json::Value::Bool(yes)) => Some(f64::from(u8::from(*yes))),
        Some(serde_json::Value::String(word)) => match word.as_str() {
            "yes" => Some(1.0),
            "no" => Some(0.0),
            _ => None,
        },
        Some(_) => None,
        None => return Err("score: is missing: give a number from 0 to 1, \"yes\" or \"no\"".to_owned()),
    };
    let score = score.filter(|score| (0.0..=1.0).contains(score));
    score.ok_or_else(|| "score: is neither a number from 0 to 1 nor \"yes\" nor \"no\"".to_owned())
}

/// List labels, newest first.
#[utoipa::path(get, path = "/v1/labels", tag = "labels", params(LabelParams), responses((status = 200, body = LabelPage), (status = 400, body = ErrorBody)))]
pub async fn list(
    State(server): State<Arc<Server>>,
    reader: Reader,
    Params(params): Params<LabelParams>,
) -> Result<Json<LabelPage>, ApiError> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let source = given(&params.source);
    if source.as_deref().is_some_and(|source| !["review", "hand_picked", "file"].contains(&source)) {
        return Err(invalid("source", "use review, hand_picked or file"));
    }
    let id = given(&params.interaction_id).map(|id| InteractionId::new(&id));
    let filter = LabelFilter {
        project: reader.project(params.project.as_deref())?,
        metric: given(&params.metric).map(|name| metric(&name)).transpose()?,
        id: id.transpose().map_err(|error| invalid("interaction_id", error))?,
        source,
        from: super::params::time("from", params.from.as_deref())?,
        to: super::params::time("to", params.to.as_deref())?,
        score_min: params.score_min,
        score_below: params.score_below,
        cursor: given(&params.cursor),
        limit: super::params::limit(params.limit)?,
    };
    let page = server.labels.list(&filter).await?;
    Ok(Json(LabelPage { labels: page.items.into_iter().map(LabelView::from).collect(), next: page.next }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scores_are_numbers_or_words() {
        for (given, expected) in [
            (json!(0.25), Ok(0.25)),
            (json!(1), Ok(1.0)),
            (json!("yes"), Ok(1.0)),
            (json!("no"), Ok(0.0)),
            (json!(true), Ok(1.0)),
            (json!(1.01), Err(())),
            (json!(-0.0001), Err(())),
            (json!("maybe"), Err(())),
            (json!([1]), Err(())),
        ] {
            assert_eq!(score(Some(&given)).map_err(|_| ()), expected, "{given}");
        }
        assert!(score(None).is_err());
    }
}
