//! Fills the review page, and takes its answers.

use std::sync::Arc;
use std::time::Duration;

use assize_core::{MetricName, Reviewer};
use axum::Form;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::{Viewer, page_of_error};
use crate::api::error::ApiError;
use crate::api::labels::{LabelRequest, answer};
use crate::api::reviews::{lease, progress, question, reviewer};
use crate::api::{Server, auth, params};
use crate::pipeline::review::draw::{DrawError, Order, draw};
use crate::ui::link::Href;
use crate::ui::review::{self, Item, ReviewPage};

/// How far back the page draws.
const DRAWN_FROM: Duration = Duration::from_secs(7 * 86_400);

#[derive(Deserialize)]
pub struct ReviewParams {
    #[serde(default)]
    metric: String,
    /// Why the last draw took nothing: a code, since an address may come from anywhere.
    #[serde(default)]
    error: String,
}

/// What the buttons post.
#[derive(Deserialize)]
pub struct Answer {
    #[serde(default)]
    token: String,
    metric: String,
    review: String,
    id: String,
    answer: String,
    #[serde(default)]
    note: String,
}

/// What the form of a draw posts.
#[derive(Deserialize)]
pub struct DrawForm {
    #[serde(default)]
    token: String,
    metric: String,
    #[serde(default)]
    n: String,
    #[serde(default)]
    stratify: String,
}

/// The page.
pub async fn show(
    State(server): State<Arc<Server>>,
    viewer: Viewer,
    headers: HeaderMap,
    Query(asked): Query<ReviewParams>,
) -> Result<Response, Response> {
    let panel = server.pipeline.panels.of_project(&viewer.project);
    let metrics: Vec<MetricName> = panel.policy.metrics.iter().map(|metric| metric.name.clone()).collect();
    let metric = match asked.metric.as_str() {
        "" => metrics.first().cloned(),
        name => Some(params::metric(name).map_err(page_of_error)?),
    };
    let (mut found, mut item) = (Default::default(), None);
    if let Some(metric) = &metric {
        let by = reviewer(None, &viewer.who).map_err(page_of_error)?;
        let leased = lease(&server, &viewer.project, metric, &by).await.map_err(page_of_error)?;
        item = leased.map(|(item, text)| Item { review: item.review, id: item.id, time: item.time, text });
        found = progress(&server, &viewer.project, metric).await.map_err(page_of_error)?;
    }
    let error = match asked.error.as_str() {
        "" => None,
        "nothing_judged" => Some("Nothing was judged in the last 7 days whose text is kept."),
        "range_too_large" => {
            Some("Too much was judged in the last 7 days to draw from at once: draw by the API from shorter ranges.")
        }
        _ => Some("Nothing was drawn: ask for 1 to 5,000 interactions."),
    };
    let view = ReviewPage {
        layout: viewer.layout(&server),
        metrics,
        question: metric.as_ref().and_then(|metric| question(&server, &viewer.project, metric)),
        metric,
        progress: found,
        item,
        token: token(&server, &headers),
        error: error.map(ToOwned::to_owned),
    };
    Ok(review::render(&view).into_response())
}

/// Takes an answer, and shows the next one.
pub async fn take(
    State(server): State<Arc<Server>>,
    viewer: Viewer,
    headers: HeaderMap,
    Form(given): Form<Answer>,
) -> Result<Response, Response> {
    own_form(&server, &headers, &given.token).map_err(page_of_error)?;
    let by: Reviewer = reviewer(None, &viewer.who).map_err(page_of_error)?;
    let mut request = LabelRequest {
        interaction_id: given.id,
        metric: given.metric.clone(),
        review_id: Some(given.review),
        ..LabelRequest::default()
    };
    match given.answer.as_str() {
        "skip" => request.skip = Some(given.note),
        answer => {
            request.score = Some(answer.into());
            request.note = given.note;
        }
    }
    match answer(&server, &viewer.project, by, request).await {
        Ok(Some(label)) => server.labels.put(&[label]).await.map_err(|error| page_of_error(error.into()))?,
        Ok(None) => {}
        // A page that stood open for too long, or was sent twice: the next question is shown.
        Err(error) if error.status == StatusCode::CONFLICT => {}
        Err(error) => return Err(page_of_error(error)),
    }
    Ok(back(&viewer, &given.metric, ""))
}

/// Draws, and shows the first of what was drawn.
pub async fn draw_more(
    State(server): State<Arc<Server>>,
    viewer: Viewer,
    headers: HeaderMap,
    Form(given): Form<DrawForm>,
) -> Result<Response, Response> {
    own_form(&server, &headers, &given.token).map_err(page_of_error)?;
    let metric = params::metric(&given.metric).map_err(page_of_error)?;
    let now = server.clock().now();
    let order = Order {
        project: viewer.project.clone(),
        metric,
        from: now.minus(DRAWN_FROM),
        to: now.plus(assize_core::time::EVENT_TIME_FUTURE_MAX),
        // What is no number is refused as 0 is.
        n: given.n.trim().parse().unwrap_or(0),
        stratify: given.stratify == "true",
        by: reviewer(None, &viewer.who).map_err(page_of_error)?,
    };
    let error = match draw(&server.pipeline, &*server.results, &*server.labels, &order).await {
        Ok(_) => "",
        Err(DrawError::Store(error)) => return Err(page_of_error(error.into())),
        Err(DrawError::Nothing(_)) => "nothing_judged",
        Err(DrawError::TooMany) => "range_too_large",
        Err(DrawError::Number) => "number",
    };
    Ok(back(&viewer, &given.metric, error))
}

fn back(viewer: &Viewer, metric: &str, error: &str) -> Response {
    let page = Href::new(review::PATH).with("project", viewer.project.as_str()).with("metric", metric).with("error", error);
    Redirect::to(&page.build()).into_response()
}

/// What this browser's forms have to bring: a page from elsewhere cannot know it. (Browsers say `Origin: null` under our referrer
/// policy, so that the header proves nothing here.)
fn token(server: &Server, headers: &HeaderMap) -> String {
    let session = auth::session_of(headers).unwrap_or_default();
    server.access.secret().session_tag(format!("form.{session}").as_bytes()).to_hex().to_string()
}

fn own_form(server: &Server, headers: &HeaderMap, given: &str) -> Result<(), ApiError> {
    // Comparing hashes takes the same time wherever they differ.
    let same = || {
        let expected = blake3::Hash::from_hex(token(server, headers)).ok()?;
        Some(blake3::Hash::from_hex(given).ok()? == expected)
    };
    if headers.contains_key(header::AUTHORIZATION) || same() == Some(true) {
        return Ok(());
    }
    let message = "the form is not from this page, or from another sign-in: open the page again";
    Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", message))
}
