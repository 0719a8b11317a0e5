//! `/v1/projects/{project}/metrics`: what is asked in a project: the metrics of the configuration, and those that the project has in
//! their place or besides.

use std::collections::BTreeSet;
use std::sync::Arc;

use assize_core::{MetricName, ProjectName};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::{Admin, Reader};
use super::error::{ApiError, ErrorBody};
use super::params::{Params, Segments, metric};
use super::{Server, receive};
use crate::config::ConfigError;
use crate::config::metric::from_json;
use crate::config::settings::MetricSpec;
use crate::pipeline::judges::warnings;
use crate::pipeline::own::{self, ChangeError, OwnMetric};

/// Bytes of a metric.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Changes on a page.
const CHANGES: usize = 100;

/// The metrics of a project.
#[derive(Debug, Serialize, ToSchema)]
pub struct MetricsBody {
    pub metrics: Vec<OwnMetricView>,
}

/// A metric of a project.
#[derive(Debug, Serialize, ToSchema)]
pub struct OwnMetricView {
    pub metric: String,
    /// `configuration`, or `project` where it is the project's own.
    pub source: String,
    /// How often the project has changed it; 0 for never. `If-Match` takes it.
    pub version: u64,
    /// Whether it is asked. If not, `problem` says why.
    pub in_force: bool,
    pub problem: Option<String>,
    /// As written: the keys of a `[[metric]]`. Null where a stored one cannot be read.
    #[schema(value_type = Object)]
    pub definition: Option<MetricSpec>,
    /// What is asked, where a judge is asked.
    pub question: Option<String>,
    /// The judge that the rate speaks of, and its version. Rates of two versions are never pooled.
    pub judge: Option<String>,
    pub judge_version: Option<String>,
    /// The id of the key that changed it last, and when.
    pub changed_by: Option<String>,
    pub changed_at: Option<String>,
    /// What to know ahead, such as that a model will be shut down.
    pub warnings: Vec<String>,
}

/// Which changes.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ChangesParams {
    /// Changes before this version only: `next` of the page before.
    pub before: Option<u64>,
}

/// Changes of a metric, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChangesBody {
    pub metric: String,
    pub versions: Vec<ChangeView>,
    /// `before` of the next page; null at the end.
    pub next: Option<u64>,
}

/// One change of a metric.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChangeView {
    pub version: u64,
    /// The metric from then on; null where the project's own was taken away.
    #[schema(value_type = Object)]
    pub definition: Option<MetricSpec>,
    pub changed_by: String,
    pub changed_at: String,
}

/// List the metrics of a project.
#[utoipa::path(get, path = "/v1/projects/{project}/metrics", tag = "control", params(("project" = String, Path)), responses((status = 200, body = MetricsBody)))]
pub async fn list(
    State(server): State<Arc<Server>>,
    reader: Reader,
    Segments(name): Segments<String>,
) -> Result<Json<MetricsBody>, ApiError> {
    let project = reader.project(Some(&name))?;
    let own = server.pipeline.panels.own_metrics(&project);
    let panel = server.pipeline.panels.of_project(&project);
    let names: BTreeSet<MetricName> =
        panel.policy.metrics.iter().map(|metric| metric.name.clone()).chain(own.into_keys()).collect();
    let metrics = names.iter().filter_map(|name| view(&server, &project, name)).collect();
    Ok(Json(MetricsBody { metrics }))
}

/// Look at a metric of a project.
#[utoipa::path(get, path = "/v1/projects/{project}/metrics/{metric}", operation_id = "show_metric", tag = "control",
    params(("project" = String, Path), ("metric" = String, Path)), responses((status = 200, body = OwnMetricView), (status = 404, body = ErrorBody)))]
pub async fn show(
    State(server): State<Arc<Server>>,
    reader: Reader,
    Segments((project, name)): Segments<(String, String)>,
) -> Result<Response, ApiError> {
    let project = reader.project(Some(&project))?;
    let name = metric(&name)?;
    let view = view(&server, &project, &name).ok_or_else(|| unknown(&project, &name))?;
    Ok(tagged(StatusCode::OK, view))
}

/// Put a metric of the project's own in force, in place of the configuration's of this name if there is one. What is accepted from now
/// on is judged by it; what was accepted before keeps the metric that it was accepted under. Judges are named, not described.
#[utoipa::path(put, path = "/v1/projects/{project}/metrics/{metric}", operation_id = "put_metric", tag = "control",
    params(("project" = String, Path), ("metric" = String, Path), ("If-Match" = Option<String>, Header, description = "the version that is to be changed; 0 where there is to be none")),
    request_body(content = Object, description = "the keys of a `[[metric]]` of the configuration"),
    responses((status = 201, body = OwnMetricView), (status = 200, body = OwnMetricView), (status = 400, body = ErrorBody), (status = 412, body = ErrorBody)))]
pub async fn put(
    State(server): State<Arc<Server>>,
    Admin(who): Admin,
    Segments((project, name)): Segments<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let project = who.project_named(&project)?;
    let (name, expected) = (metric(&name)?, expected(&headers)?);
    let spec = read(&server, &headers, body, &name).await?;
    let panels = &server.pipeline.panels;
    let had = panels.own_metrics(&project).get(&name).is_some_and(|own| own.spec.is_some());
    let made = (who.key_id.as_str(), server.clock().now());
    panels.change(&project, &name, Some(spec), expected, made).await.map_err(|error| refused(&project, &name, error))?;
    server.pipeline.counters.changed();
    let view = view(&server, &project, &name).ok_or_else(|| unknown(&project, &name))?;
    Ok(tagged(if had { StatusCode::OK } else { StatusCode::CREATED }, view))
}

/// Take a project's own metric away: the configuration's of this name is asked again, if there is one.
#[utoipa::path(delete, path = "/v1/projects/{project}/metrics/{metric}", operation_id = "delete_metric", tag = "control",
    params(("project" = String, Path), ("metric" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204), (status = 404, body = ErrorBody), (status = 412, body = ErrorBody)))]
pub async fn delete(
    State(server): State<Arc<Server>>,
    Admin(who): Admin,
    Segments((project, name)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let project = who.project_named(&project)?;
    let (name, expected) = (metric(&name)?, expected(&headers)?);
    let made = (who.key_id.as_str(), server.clock().now());
    let change = server.pipeline.panels.change(&project, &name, None, expected, made);
    change.await.map_err(|error| refused(&project, &name, error))?;
    server.pipeline.counters.changed();
    Ok(StatusCode::NO_CONTENT)
}

/// List the changes of a project's metric: every one is kept.
#[utoipa::path(get, path = "/v1/projects/{project}/metrics/{metric}/versions", operation_id = "list_metric_versions", tag = "control",
    params(("project" = String, Path), ("metric" = String, Path), ChangesParams), responses((status = 200, body = ChangesBody)))]
pub async fn versions(
    State(server): State<Arc<Server>>,
    reader: Reader,
    Segments((project, name)): Segments<(String, String)>,
    Params(params): Params<ChangesParams>,
) -> Result<Json<ChangesBody>, ApiError> {
    let project = reader.project(Some(&project))?;
    let name = metric(&name)?;
    let before = params.before.unwrap_or(u64::MAX);
    let changes = server.access.control().metric_changes(&project, &name, before, CHANGES).await?;
    if changes.is_empty() && params.before.is_none() {
        view(&server, &project, &name).ok_or_else(|| unknown(&project, &name))?;
    }
    let next = changes.last().map(|change| change.version).filter(|version| changes.len() == CHANGES && *version > 1);
    let changes = changes.into_iter().map(|change| {
        let OwnMetric { version, spec, by, at, .. } = own::read(change);
        ChangeView { version, definition: spec, changed_by: by, changed_at: at.to_rfc3339() }
    });
    Ok(Json(ChangesBody { metric: name.to_string(), versions: changes.collect(), next }))
}

/// The metric that the body describes.
pub async fn read(server: &Server, headers: &HeaderMap, body: Body, name: &MetricName) -> Result<MetricSpec, ApiError> {
    let body = receive::small_body(server, headers, body, BODY_BYTES_MAX).await?;
    let json = serde_json::from_slice(&body);
    let json = json.map_err(|error| ApiError::bad_request("invalid_json", format!("the body: {error}")))?;
    from_json(name, json).map_err(invalid)
}

/// A metric that is none.
pub fn invalid(error: ConfigError) -> ApiError {
    ApiError::bad_request("invalid_metric", error.message)
}

fn refused(project: &ProjectName, name: &MetricName, error: ChangeError) -> ApiError {
    let message = error.to_string();
    match error {
        ChangeError::Invalid(error) => invalid(error),
        ChangeError::Conflict { .. } => ApiError::new(StatusCode::PRECONDITION_FAILED, "version_conflict", message),
        ChangeError::Unknown => {
            let message = format!("project {project} has no metric {:?} of its own", name.as_str());
            ApiError::new(StatusCode::NOT_FOUND, "unknown_metric", message)
        }
        ChangeError::TooMany => ApiError::bad_request("too_many_metrics", message),
        ChangeError::Store(error) => error.into(),
    }
}

/// A metric that neither the configuration nor the project has.
pub fn unknown(project: &ProjectName, name: &MetricName) -> ApiError {
    let message = format!("project {project} has no metric {:?}, and the configuration has none", name.as_str());
    ApiError::new(StatusCode::NOT_FOUND, "unknown_metric", message)
}

/// The version that `If-Match` names.
pub(super) fn expected(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    let version = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text).parse();
    let wrong =
        |_| ApiError::bad_request("invalid_parameter", format!("If-Match: {text:?} is no version: use one such as \"3\""));
    version.map(Some).map_err(wrong)
}

fn tagged(status: StatusCode, view: OwnMetricView) -> Response {
    let tag = HeaderValue::from_str(&format!("\"{}\"", view.version));
    let mut response = (status, Json(view)).into_response();
    if let Ok(tag) = tag {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// How a metric stands; `None` where there is none of the name.
fn view(server: &Server, project: &ProjectName, name: &MetricName) -> Option<OwnMetricView> {
    let panels = &server.pipeline.panels;
    let own = panels.own_metrics(project).remove(name);
    let panel = panels.of_project(project);
    let at = panel.policy.metrics.iter().position(|metric| &metric.name == name);
    let reference = at.and_then(|at| panel.policy.metrics.get(at)?.reference());
    let is_own = own.as_ref().is_some_and(|own| own.spec.is_some() || own.problem.is_some());
    if !is_own && reference.is_none() {
        return None;
    }
    let warnings = warnings(&panel, server.clock().now());
    let names_judge = |warning: &String| reference.is_some_and(|tier| warning.contains(&format!("judge {} ", tier.judge)));
    let definition = own.as_ref().and_then(|own| own.spec.clone()).or_else(|| panels.default_metric(name).filter(|_| !is_own));
    let problem = own.as_ref().and_then(|own| own.problem.clone());
    Some(OwnMetricView {
        metric: name.to_string(),
        source: if is_own { "project" } else { "configuration" }.to_owned(),
        version: own.as_ref().map_or(0, |own| own.version),
        in_force: problem.is_none(),
        problem,
        definition,
        question: at.and_then(|at| panel.questions.get(at).cloned().flatten()),
        judge: reference.map(|tier| tier.judge.to_string()),
        judge_version: reference.map(|tier| tier.version.to_string()),
        changed_by: own.as_ref().map(|own| own.by.clone()),
        changed_at: own.as_ref().map(|own| own.at.to_rfc3339()),
        warnings: warnings.into_iter().filter(names_judge).collect(),
    })
}
