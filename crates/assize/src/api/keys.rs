//! `/v1/projects`: projects and their keys, for admins.

use std::sync::Arc;

use assize_core::control::{Project, Scope, StoredKey};
use assize_core::{ProjectName, TenantName};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Admin;
use super::error::{ApiError, ErrorBody};
use super::params::Segments;
use super::{Server, receive};

/// The projects.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProjectsBody {
    pub projects: Vec<String>,
}

/// A project to create. The body may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewProject {
    /// Who pays; the project's own name where not given.
    pub tenant: Option<String>,
}

/// A key to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    /// `ingest` and `read` where not given.
    #[serde(default = "default_scopes")]
    #[schema(value_type = Vec<String>)]
    pub scopes: Vec<Scope>,
    /// A note on what it is for.
    #[serde(default)]
    pub label: String,
}

fn default_scopes() -> Vec<Scope> {
    vec![Scope::Ingest, Scope::Read]
}

/// A key as it is shown once.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewKeyBody {
    pub id: String,
    /// The key itself; it cannot be shown again.
    pub key: String,
}

/// The keys of a project.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeysBody {
    pub keys: Vec<KeyView>,
}

/// A key, but for itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyView {
    pub id: String,
    pub project: String,
    #[schema(value_type = Vec<String>)]
    pub scopes: Vec<Scope>,
    pub label: String,
    pub created_at: String,
    pub revoked_at: Option<String>,
}

impl From<StoredKey> for KeyView {
    fn from(key: StoredKey) -> Self {
        Self {
            id: key.id,
            project: key.project.to_string(),
            scopes: key.scopes,
            label: key.label,
            created_at: key.created_at.to_rfc3339(),
            revoked_at: key.revoked_at.map(assize_core::Timestamp::to_rfc3339),
        }
    }
}

/// List the projects.
#[utoipa::path(get, path = "/v1/projects", tag = "control", responses((status = 200, body = ProjectsBody)))]
pub async fn projects(State(server): State<Arc<Server>>, Admin(_): Admin) -> Json<ProjectsBody> {
    Json(ProjectsBody { projects: server.access.projects().iter().map(ToString::to_string).collect() })
}

/// Create a project; one that exists stays as it is.
#[utoipa::path(put, path = "/v1/projects/{project}", tag = "control", params(("project" = String, Path)), request_body = NewProject,
    responses((status = 201), (status = 200, description = "it existed"), (status = 400, body = ErrorBody)))]
pub async fn create_project(
    State(server): State<Arc<Server>>,
    Admin(who): Admin,
    Segments(name): Segments<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, ApiError> {
    let body = receive::body(&server, &headers, body).await?;
    let new: NewProject = if body.is_empty() { NewProject::default() } else { parse(&body)? };
    let name = project_name(&name)?;
    let tenant = match &new.tenant {
        Some(tenant) => TenantName::new(tenant),
        None => TenantName::new(name.as_str()),
    };
    let tenant = tenant.map_err(|error| ApiError::bad_request("invalid_field", format!("tenant: {error}")))?;
    let created = server.access.create_project(Project { name, tenant, created_at: server.clock().now() }, &who.key_id).await?;
    Ok(if created { StatusCode::CREATED } else { StatusCode::OK })
}

/// List a project's keys.
#[utoipa::path(get, path = "/v1/projects/{project}/keys", tag = "control", params(("project" = String, Path)), responses((status = 200, body = KeysBody)))]
pub async fn list(
    State(server): State<Arc<Server>>,
    Admin(who): Admin,
    Segments(name): Segments<String>,
) -> Result<Json<KeysBody>, ApiError> {
    let project = who.project_named(&name)?;
    let keys = server.access.keys().await?.into_iter().filter(|key| key.project == project);
    Ok(Json(KeysBody { keys: keys.map(KeyView::from).collect() }))
}

/// Make a key. It is shown in this answer and never again.
#[utoipa::path(post, path = "/v1/projects/{project}/keys", tag = "control", params(("project" = String, Path)), request_body = KeyRequest,
    responses((status = 201, body = NewKeyBody), (status = 404, body = ErrorBody)))]
pub async fn create(
    State(server): State<Arc<Server>>,
    Admin(who): Admin,
    Segments(name): Segments<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<NewKeyBody>), ApiError> {
    let body = receive::body(&server, &headers, body).await?;
    let request: KeyRequest = parse(if body.is_empty() { b"{}" } else { &body })?;
    if request.scopes.is_empty() || request.label.len() > 200 {
        return Err(ApiError::bad_request("invalid_field", "a key needs at least one scope, and a label of at most 200 bytes"));
    }
    let project = who.project_named(&name)?;
    let key =
        server.access.create_key(None, project, request.scopes, &request.label, (&who.key_id, server.clock().now())).await?;
    Ok((StatusCode::CREATED, Json(NewKeyBody { id: key.id, key: key.key })))
}

/// Revoke a key: it stops to count at once.
#[utoipa::path(delete, path = "/v1/projects/{project}/keys/{id}", tag = "control", params(("project" = String, Path), ("id" = String, Path)),
    responses((status = 204), (status = 404, body = ErrorBody)))]
pub async fn revoke(
    State(server): State<Arc<Server>>,
    Admin(who): Admin,
    Segments((name, id)): Segments<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let project = who.project_named(&name)?;
    let known = server.access.keys().await?.iter().any(|key| key.id == id && key.project == project);
    if known && server.access.revoke_key(&id, &who.key_id, server.clock().now()).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(ApiError::new(StatusCode::NOT_FOUND, "unknown_key", format!("project {project} has no key {id:?} in force")))
}

fn project_name(text: &str) -> Result<ProjectName, ApiError> {
    ProjectName::new(text).map_err(|error| ApiError::bad_request("invalid_field", error.to_string()))
}

/// The JSON object in a body.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    // serde would take an array for an object whose fields come in order.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(ApiError::bad_request("invalid_json", "the body is not a JSON object"));
    }
    serde_json::from_slice(body).map_err(|error| ApiError::bad_request("invalid_json", format!("the body: {error}")))
}
