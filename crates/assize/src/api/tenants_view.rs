//! How tenants are shown.

use assize_core::ledger::BalanceOf;
use assize_core::{Budget, Gap, NanoUsd, ProjectName, StoreError, Tenant, TenantName, Timestamp};
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::Server;

/// Gaps that are shown, the last ones.
const GAPS_MAX: usize = 100;

/// Tenants, by name.
#[derive(Debug, Serialize, ToSchema)]
pub struct TenantsBody {
    pub tenants: Vec<TenantView>,
    /// `after` of the next page; null at the end.
    pub next: Option<String>,
}

/// A tenant, and what holds for it.
#[derive(Debug, Serialize, ToSchema)]
pub struct TenantView {
    pub name: String,
    pub created_at: String,
    /// Grows with each change. `If-Match` takes it.
    pub version: u64,
    /// The projects that it pays for.
    pub projects: Vec<String>,
    pub budget: BudgetView,
    /// In place of the rates of its projects' policies, where an operator has set one.
    pub sampling: Option<SamplingView>,
    /// Whether interactions are taken from it now.
    pub ingesting: bool,
    /// Why not, or why not until a moment ago.
    pub disabled: Option<DisabledView>,
    /// Interactions a second that it may send, all projects together; null for the configuration's limit.
    pub items_per_second_max: Option<u32>,
    pub contact: Option<String>,
    /// In whose days its budget counts.
    pub time_zone: String,
    /// When it was deleted, if it was.
    pub deleted_at: Option<String>,
    /// Times in which nothing was taken from it, the last 100, oldest first. Not in listings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gaps: Option<Vec<GapView>>,
    /// What to know about the change that was made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The most that may be spent; null where there is no limit.
#[derive(Debug, Serialize, ToSchema)]
pub struct BudgetView {
    /// Dollars in one day.
    pub day_usd_max: Option<f64>,
    /// Dollars in one month.
    pub month_usd_max: Option<f64>,
}

/// A rate that an operator has set.
#[derive(Debug, Serialize, ToSchema)]
pub struct SamplingView {
    pub rate: f64,
    /// Null for good.
    pub until: Option<String>,
    /// Whether it counts now.
    pub in_force: bool,
}

/// Why nothing is taken.
#[derive(Debug, Serialize, ToSchema)]
pub struct DisabledView {
    pub since: String,
    /// Null until somebody enables it.
    pub until: Option<String>,
    pub reason: String,
}

/// A time in which nothing was taken.
#[derive(Debug, Serialize, ToSchema)]
pub struct GapView {
    pub since: String,
    /// Null where no end is known; it may lie ahead.
    pub until: Option<String>,
    pub reason: String,
}

impl From<Budget> for BudgetView {
    fn from(budget: Budget) -> Self {
        Self { day_usd_max: budget.day_max.map(NanoUsd::to_usd), month_usd_max: budget.month_max.map(NanoUsd::to_usd) }
    }
}

impl From<Gap> for GapView {
    fn from(gap: Gap) -> Self {
        let Gap { since, until, reason } = gap;
        Self { since: since.to_rfc3339(), until: until.map(Timestamp::to_rfc3339), reason }
    }
}

impl TenantView {
    /// The tenant as it stands at `now`.
    pub fn new(tenant: &Tenant, projects: Vec<ProjectName>, now: Timestamp) -> Self {
        let policy = &tenant.policy;
        let sampling = policy.sampling.map(|set| SamplingView {
            rate: set.rate,
            until: set.until.map(Timestamp::to_rfc3339),
            in_force: policy.sampling_at(now).is_some(),
        });
        let disabled = policy.disabled.as_ref().map(|disabled| DisabledView {
            since: disabled.since.to_rfc3339(),
            until: disabled.until.map(Timestamp::to_rfc3339),
            reason: disabled.reason.clone(),
        });
        Self {
            name: tenant.name.to_string(),
            created_at: tenant.created_at.to_rfc3339(),
            version: tenant.version,
            projects: projects.iter().map(ToString::to_string).collect(),
            budget: policy.budget.into(),
            sampling,
            ingesting: policy.disabled_at(now).is_none(),
            disabled,
            items_per_second_max: policy.items_per_second_max,
            contact: policy.contact.clone(),
            time_zone: policy.time_zone.name().to_owned(),
            deleted_at: policy.deleted_at.map(Timestamp::to_rfc3339),
            gaps: None,
            warnings: Vec::new(),
        }
    }

    /// Says where the budget is below what counts already in its day or month, by the ledger.
    pub async fn warn_of_spent(&mut self, server: &Server, tenant: &Tenant) -> Result<(), StoreError> {
        let Some(money) = &server.pipeline.money else { return Ok(()) };
        let (budget, now) = (tenant.policy.budget, server.clock().now());
        let day = tenant.policy.time_zone.day(now);
        let of = [BalanceOf::TenantDay(tenant.name.clone(), day), BalanceOf::TenantMonth(tenant.name.clone(), day.month())];
        let stand = money.ledger.balances(&of).await?;
        let periods = [("day_usd_max", "today", budget.day_max), ("month_usd_max", "this month", budget.month_max)];
        for ((name, when, max), balance) in periods.into_iter().zip(stand) {
            // What is only reserved may come back.
            let spent = balance.spent.plus(balance.assumed);
            if let Some(max) = max
                && spent > max
            {
                self.warnings.push(format!(
                    "{name}: {max} is below the {spent} that are spent already {when}: no further paid call is made in it"
                ));
            }
        }
        Ok(())
    }
}

/// The tenant with its gaps.
pub async fn full(server: &Server, tenant: &Tenant) -> Result<TenantView, StoreError> {
    let gaps = gaps(server, &tenant.name, Timestamp(i64::MIN), Timestamp(i64::MAX)).await?;
    let view = TenantView::new(tenant, server.access.projects_of(&tenant.name), server.clock().now());
    Ok(TenantView { gaps: Some(gaps.into_iter().map(GapView::from).collect()), ..view })
}

/// The times within a range in which nothing was taken, the last 100.
pub async fn gaps(server: &Server, tenant: &TenantName, from: Timestamp, to: Timestamp) -> Result<Vec<Gap>, StoreError> {
    server.access.control().gaps(tenant, from, to, GAPS_MAX).await
}

/// An answer with its version as `ETag`.
pub fn tagged(status: StatusCode, version: u64, view: impl Serialize) -> Response {
    let mut response = (status, Json(view)).into_response();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}
