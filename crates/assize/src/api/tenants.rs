//! `/v1/tenants`: who pays, how much at the most, and what an operator has laid down for them. For admins; a read key may look at the
//! tenant of its own project.

use std::sync::Arc;

use assize_core::control::Scope;
use assize_core::{Disabled, NanoUsd, Tenant, TenantName, TenantPolicy};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::auth::{Admin, Reader};
use super::error::{ApiError, ErrorBody};
use super::params::{Params, Segments, limit};
use super::tenants_change::{BudgetChange, DisableRequest, NewTenant, SamplingChange, TenantChange};
use super::tenants_view::{TenantView, TenantsBody, full, tagged};
use super::{Server, keys, metrics, receive};
use crate::access::{Principal, TenantError};

/// Bytes of a body of these routes.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// Which tenants.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TenantsParams {
    /// Those after this name: `next` of the page before.
    pub after: Option<String>,
    /// At most this many, 1 to 1,000; 100 where not given.
    pub limit: Option<usize>,
}

/// List the tenants, by name.
#[utoipa::path(get, path = "/v1/tenants", operation_id = "list_tenants", tag = "control", params(TenantsParams),
    responses((status = 200, body = TenantsBody)))]
pub async fn list(
    State(server): State<Arc<Server>>,
    Admin(_): Admin,
    Params(params): Params<TenantsParams>,
) -> Result<Json<TenantsBody>, ApiError> {
    let (limit, now) = (limit(params.limit)?, server.clock().now());
    let after = params.after.unwrap_or_default();
    let names = server.access.policies().tenants();
    let mut rest = names.into_iter().filter(|name| name.as_str() > after.as_str());
    let page: Vec<TenantName> = rest.by_ref().take(limit).collect();
    let next = rest.next().and(page.last()).map(ToString::to_string);
    let tenants = page.iter().filter_map(|name| server.access.tenant(name));
    let tenants = tenants.map(|tenant| TenantView::new(&tenant, server.access.projects_of(&tenant.name), now)).collect();
    Ok(Json(TenantsBody { tenants, next }))
}

/// Look at a tenant. A key without the scope `admin` sees the tenant of its own project, and no other project of it.
#[utoipa::path(get, path = "/v1/tenants/{name}", operation_id = "show_tenant", tag = "control", params(("name" = String, Path)),
    responses((status = 200, body = TenantView), (status = 404, body = ErrorBody)))]
pub async fn show(
    State(server): State<Arc<Server>>,
    Reader(who): Reader,
    Segments(name): Segments<String>,
) -> Result<Response, ApiError> {
    let name = named(&name)?;
    let tenant = server.access.tenant(&name).filter(|_| who.may(Scope::Admin) || who.tenant() == name);
    let tenant = tenant.ok_or_else(|| TenantError::Unknown(name.as_str().to_owned()))?;
    let mut view = full(&server, &tenant).await?;
    if !who.may(Scope::Admin) {
        view.projects.retain(|project| project == who.project.as_str());
    }
    Ok(tagged(StatusCode::OK, view.version, view))
}

/// Create a tenant. Those of projects are there already.
#[utoipa::path(post, path = "/v1/tenants", operation_id = "create_tenant", tag = "control", request_body = NewTenant,
    responses((status = 201, body = TenantView), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub async fn create(
    State(server): State<Arc<Server>>,
    Admin(who): Admin,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let new: NewTenant = read(&server, &headers, body).await?;
    let (name, now) = (named(&new.name)?, server.clock().now());
    let patch = new.change().check(now)?;
    let mut policy = TenantPolicy::default();
    patch.apply(&mut policy);
    let tenant = server.access.create_tenant(name, policy, (&who.key_id, now)).await?;
    let view = full(&server, &tenant).await?;
    Ok(tagged(StatusCode::CREATED, view.version, view))
}

/// Change what holds for a tenant, all at once: within a second everywhere, without a restart.
#[utoipa::path(patch, path = "/v1/tenants/{name}", operation_id = "change_tenant", tag = "control",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header, description = "the version that is to be changed")),
    request_body = TenantChange,
    responses((status = 200, body = TenantView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody), (status = 412, body = ErrorBody)))]
pub async fn patch(
    State(server): State<Arc<Server>>,
    Admin(who): Admin,
    Segments(name): Segments<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let change: TenantChange = read(&server, &headers, body).await?;
    let patch = change.check(server.clock().now())?;
    alter(&server, &who, &name, &headers, move |policy| patch.apply(policy)).await
}

/// Change a tenant's budget. A budget below what is spent already is taken, and the answer says so: no paid call is made until it
/// suffices again.
#[utoipa::path(put, path = "/v1/tenants/{name}/budget", operation_id = "put_tenant_budget", tag = "control",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)), request_body = BudgetChange,
    responses((status = 200, body = TenantView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody), (status = 412, body = ErrorBody)))]
pub async fn put_budget(
    State(server): State<Arc<Server>>,
    Admin(who): Admin,
    Segments(name): Segments<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let patch = read::<BudgetChange>(&server, &headers, body).await?.check()?;
    alter(&server, &who, &name, &headers, move |policy| patch.apply(&mut policy.budget)).await
}

/// Sample all of a tenant's projects at one rate, in place of their policies'. Rates stay unbiased: each item keeps its own probability.
#[utoipa::path(put, path = "/v1/tenants/{name}/sampling", operation_id = "put_tenant_sampling", tag = "control",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)), request_body = SamplingChange,
    responses((status = 200, body = TenantView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody), (status = 412, body = ErrorBody)))]
pub async fn put_sampling(
    State(server): State<Arc<Server>>,
    Admin(who): Admin,
    Segments(name): Segments<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let set = read::<SamplingChange>(&server, &headers, body).await?.check(server.clock().now())?;
    alter(&server, &who, &name, &headers, move |policy| policy.sampling = Some(set)).await
}

/// Take a tenant's own sampling rate away: its projects' policies count again.
#[utoipa::path(delete, path = "/v1/tenants/{name}/sampling", operation_id = "delete_tenant_sampling", tag = "control",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = TenantView), (status = 404, body = ErrorBody), (status = 412, body = ErrorBody)))]
pub async fn delete_sampling(
    State(server): State<Arc<Server>>,
    Admin(who): Admin,
    Segments(name): Segments<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    alter(&server, &who, &name, &headers, |policy| policy.sampling = None).await
}

/// Take nothing from a tenant any more. Its senders are told; the gap is marked in every report. What was accepted is judged.
#[utoipa::path(post, path = "/v1/tenants/{name}/disable", operation_id = "disable_tenant", tag = "control",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)), request_body = DisableRequest,
    responses((status = 200, body = TenantView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody), (status = 412, body = ErrorBody)))]
pub async fn disable(
    State(server): State<Arc<Server>>,
    Admin(who): Admin,
    Segments(name): Segments<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let now = server.clock().now();
    let body = receive::small_body(&server, &headers, body, BODY_BYTES_MAX).await?;
    let request: DisableRequest = if body.is_empty() { DisableRequest::default() } else { keys::parse(&body)? };
    let (reason, until) = request.check(now)?;
    let change = move |policy: &mut TenantPolicy| {
        let since = policy.disabled_at(now).map_or(now, |disabled| disabled.since);
        policy.disabled = Some(Disabled { since, until, reason: reason.clone() });
    };
    alter(&server, &who, &name, &headers, change).await
}

/// Take from a tenant again.
#[utoipa::path(post, path = "/v1/tenants/{name}/enable", operation_id = "enable_tenant", tag = "control",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = TenantView), (status = 404, body = ErrorBody), (status = 412, body = ErrorBody)))]
pub async fn enable(
    State(server): State<Arc<Server>>,
    Admin(who): Admin,
    Segments(name): Segments<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    alter(&server, &who, &name, &headers, |policy| policy.disabled = None).await
}

/// Delete a tenant, for good: nothing is taken from its projects, and nothing more is paid for them. What was accepted and judged stays,
/// calls in flight still count as its spend, and its name stays taken.
#[utoipa::path(delete, path = "/v1/tenants/{name}", operation_id = "delete_tenant", tag = "control",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = TenantView), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody), (status = 412, body = ErrorBody)))]
pub async fn delete(
    State(server): State<Arc<Server>>,
    Admin(who): Admin,
    Segments(name): Segments<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let now = server.clock().now();
    let change = move |policy: &mut TenantPolicy| {
        let since = policy.disabled_at(now).map_or(now, |disabled| disabled.since);
        policy.disabled = Some(Disabled { since, until: None, reason: "it was deleted".to_owned() });
        // What still waits in the queue is not paid for.
        (policy.budget.day_max, policy.budget.month_max) = (Some(NanoUsd::ZERO), Some(NanoUsd::ZERO));
        (policy.sampling, policy.deleted_at) = (None, Some(now));
    };
    alter(&server, &who, &name, &headers, change).await
}

/// Makes a change and shows what came of it.
async fn alter(
    server: &Server,
    who: &Principal,
    name: &str,
    headers: &HeaderMap,
    change: impl Fn(&mut TenantPolicy) + Send,
) -> Result<Response, ApiError> {
    let (name, expected) = (named(name)?, metrics::expected(headers)?);
    let made = (who.key_id.as_str(), server.clock().now());
    let (before, after): (Tenant, Tenant) = server.access.change_tenant(&name, expected, change, made).await?;
    server.pipeline.counters.changed();
    let mut view = full(server, &after).await?;
    if before.policy.budget != after.policy.budget {
        view.warn_of_spent(server, &after).await?;
    }
    Ok(tagged(StatusCode::OK, view.version, view))
}

fn named(text: &str) -> Result<TenantName, ApiError> {
    TenantName::new(text).map_err(|error| ApiError::bad_request("invalid_field", error.to_string()))
}

/// The JSON object of a small body.
pub(super) async fn read<T: DeserializeOwned>(server: &Server, headers: &HeaderMap, body: Body) -> Result<T, ApiError> {
    keys::parse(&receive::small_body(server, headers, body, BODY_BYTES_MAX).await?)
}

impl From<TenantError> for ApiError {
    fn from(error: TenantError) -> Self {
        let message = error.to_string();
        match error {
            TenantError::Exists(_) => Self::new(StatusCode::CONFLICT, "tenant_exists", message),
            TenantError::Deleted(_) => Self::new(StatusCode::CONFLICT, "tenant_deleted", message),
            TenantError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, "unknown_tenant", message),
            TenantError::Conflict { .. } => Self::new(StatusCode::PRECONDITION_FAILED, "version_conflict", message),
            TenantError::Store(error) => error.into(),
        }
    }
}
