//! `/v1/platform/budget`: what all tenants together may spend, and what one of them may take of it. For admins.

use std::sync::Arc;

use assize_core::{NanoUsd, PlatformPolicy};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Admin;
use super::error::{ApiError, ErrorBody};
use super::tenants_change::PlatformBudgetChange;
use super::tenants_view::tagged;
use super::{Server, metrics, tenants};

/// The platform's budget; null where there is no limit.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlatformBudgetView {
    /// Dollars in one day of UTC.
    pub day_usd_max: Option<f64>,
    /// Dollars in one month of UTC.
    pub month_usd_max: Option<f64>,
    /// The share that one tenant may take while others have demand.
    pub tenant_share_max: f64,
    /// How often it was changed. `If-Match` takes it.
    pub version: u64,
}

impl PlatformBudgetView {
    fn new(policy: PlatformPolicy, version: u64) -> Self {
        Self {
            day_usd_max: policy.budget.day_max.map(NanoUsd::to_usd),
            month_usd_max: policy.budget.month_max.map(NanoUsd::to_usd),
            tenant_share_max: policy.tenant_share_max,
            version,
        }
    }
}

/// Look at the platform's budget.
#[utoipa::path(get, path = "/v1/platform/budget", operation_id = "show_platform_budget", tag = "control",
    responses((status = 200, body = PlatformBudgetView)))]
pub async fn show(State(server): State<Arc<Server>>, Admin(_): Admin) -> Response {
    let (policy, version) = server.access.platform();
    tagged(StatusCode::OK, version, PlatformBudgetView::new(policy, version))
}

/// Change the platform's budget: within a second everywhere, without a restart.
#[utoipa::path(put, path = "/v1/platform/budget", operation_id = "put_platform_budget", tag = "control",
    params(("If-Match" = Option<String>, Header, description = "the version that is to be changed")),
    request_body = PlatformBudgetChange,
    responses((status = 200, body = PlatformBudgetView), (status = 400, body = ErrorBody), (status = 412, body = ErrorBody)))]
pub async fn put(
    State(server): State<Arc<Server>>,
    Admin(who): Admin,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let (patch, share) = tenants::read::<PlatformBudgetChange>(&server, &headers, body).await?.check()?;
    let expected = metrics::expected(&headers)?;
    let change = move |policy: &mut PlatformPolicy| {
        patch.apply(&mut policy.budget);
        policy.tenant_share_max = share.unwrap_or(policy.tenant_share_max);
    };
    let made = (who.key_id.as_str(), server.clock().now());
    let (policy, version) = server.access.change_platform(expected, change, made).await?;
    server.pipeline.counters.changed();
    Ok(tagged(StatusCode::OK, version, PlatformBudgetView::new(policy, version)))
}
