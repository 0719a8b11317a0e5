//! `/v1/spend/today`: today and this month against their budgets, and what is done without for their sake.

use std::sync::Arc;

use assize_core::control::Scope;
use assize_core::ledger::CapScope;
use assize_core::projection::Standing;
use assize_core::{NanoUsd, Timestamp};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::scope::tenant_named;
use super::standing::{Standings, of_platform, of_tenant};
use crate::api::Server;
use crate::api::auth::Reader;
use crate::api::error::{ApiError, ErrorBody};
use crate::api::params::Params;
use crate::pipeline::money::{Degradation, Degraded, Money};

/// Whose budget.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TodayParams {
    /// The tenant; that of the project where not given.
    pub tenant: Option<String>,
    /// The project whose tenant is meant; the key's own where not given.
    pub project: Option<String>,
}

/// How the budgets stand.
#[derive(Debug, Serialize, ToSchema)]
pub struct TodayBody {
    pub at: String,
    pub tenant: TenantTodayView,
    /// All tenants together, in UTC; null for keys without the scope `admin`.
    pub platform: Option<BudgetsView>,
}

/// How a tenant's budgets stand.
#[derive(Debug, Serialize, ToSchema)]
pub struct TenantTodayView {
    pub name: String,
    #[serde(flatten)]
    pub budgets: BudgetsView,
    /// By how much inclusion probabilities are scaled down right now so that the budgets last: 1 where they are not.
    pub pace: f64,
    /// What was done without within the last day, the oldest first.
    pub degradations: Vec<DegradationView>,
}

/// A day and its month.
#[derive(Debug, Serialize, ToSchema)]
pub struct BudgetsView {
    /// In whose days it is counted.
    pub time_zone: String,
    pub day: StandingView,
    pub month: StandingView,
}

/// How a budget stands in a period.
#[derive(Debug, Serialize, ToSchema)]
pub struct StandingView {
    /// Such as `2026-11-24`, or `2026-11`.
    pub period: String,
    pub starts_at: String,
    pub ends_at: String,
    /// The part of the period, in [0, 1], that is over.
    pub elapsed: f64,
    /// Paid.
    pub spent_usd: f64,
    /// Charged for calls whose cost nobody told.
    pub assumed_usd: f64,
    /// Set aside for calls under way.
    pub reserved_usd: f64,
    /// The sum of the three: what counts towards the budget.
    pub committed_usd: f64,
    /// The most that may be; null without a limit.
    pub budget_usd: Option<f64>,
    /// The part of it that is committed; null without one.
    pub share: Option<f64>,
    /// What it would be at the end if nothing held it back. Of a day: what is committed, plus the mean rate of the hours so far, each
    /// weighted by half for every three hours that it lies back, times what is left. Of a month: all days alike. Null in the first
    /// quarter of an hour of a day, and on the first day of a month.
    pub projected_usd: Option<f64>,
    /// When the budget would be used up, if that is before the end.
    pub used_up_at: Option<String>,
    /// Which of 0.5, 0.8 and 0.95 of the budget are passed.
    pub thresholds_passed: Vec<f64>,
}

/// Something that was done without for a while, for want of money.
#[derive(Debug, Serialize, ToSchema)]
pub struct DegradationView {
    /// `judge`: cheaper ones decided alone. `pace`: less was drawn than the policies say.
    pub what: String,
    /// The judge that was not asked.
    pub judge: Option<String>,
    /// On which metric.
    pub metric: Option<String>,
    /// The cap behind it: `tenant_day`, `tenant_month`, `platform_day`, `platform_month`, `share_of_day` or `share_of_month`.
    pub why: String,
    /// The same in a sentence.
    pub message: String,
    pub since: String,
    pub last: String,
    pub count: u64,
}

impl StandingView {
    fn new(standing: &Standing) -> Self {
        let balance = standing.balance;
        Self {
            period: standing.period.clone(),
            starts_at: standing.start.to_rfc3339(),
            ends_at: standing.end.to_rfc3339(),
            elapsed: standing.elapsed(),
            spent_usd: balance.spent.to_usd(),
            assumed_usd: balance.assumed.to_usd(),
            reserved_usd: balance.reserved.to_usd(),
            committed_usd: balance.committed().to_usd(),
            budget_usd: standing.budget.map(NanoUsd::to_usd),
            share: standing.share(),
            projected_usd: standing.projection.map(|seen| seen.total.to_usd()),
            used_up_at: standing.projection.and_then(|seen| seen.used_up_at).map(Timestamp::to_rfc3339),
            thresholds_passed: standing.passed().into_iter().map(|percent| f64::from(percent) / 100.0).collect(),
        }
    }
}

impl BudgetsView {
    fn new(standings: &Standings) -> Self {
        Self {
            time_zone: standings.zone.name().to_owned(),
            day: StandingView::new(&standings.day),
            month: StandingView::new(&standings.month),
        }
    }
}

impl DegradationView {
    fn new(of: &Degradation) -> Self {
        let (what, judge, metric) = match &of.what {
            Degraded::Judge { metric, judge } => ("judge", Some(judge.to_string()), Some(metric.to_string())),
            Degraded::Pace => ("pace", None, None),
        };
        Self {
            what: what.to_owned(),
            judge,
            metric,
            why: of.why.as_str().to_owned(),
            message: said(of),
            since: of.since.to_rfc3339(),
            last: of.last.to_rfc3339(),
            count: of.count,
        }
    }
}

/// A degradation in a sentence.
pub fn said(of: &Degradation) -> String {
    match &of.what {
        Degraded::Judge { metric, judge } => {
            format!("{judge} was not asked about {metric}, and cheaper judges decided alone: {} is used up", cap(of.why))
        }
        Degraded::Pace => format!("Less was drawn than the policies say, so that {} lasts", cap(of.why)),
    }
}

fn cap(scope: CapScope) -> &'static str {
    match scope {
        CapScope::TenantDay => "the tenant's budget of the day",
        CapScope::TenantMonth => "the tenant's budget of the month",
        CapScope::PlatformDay => "the platform's budget of the day",
        CapScope::PlatformMonth => "the platform's budget of the month",
        CapScope::ShareOfDay => "the tenant's share of the platform's day",
        CapScope::ShareOfMonth => "the tenant's share of the platform's month",
    }
}

/// The money of the flow; an error where this process has none.
pub fn money(server: &Server) -> Result<&Money, ApiError> {
    let none = || ApiError::unavailable("no_ledger", "this process keeps no ledger: ask the one that scores", 60);
    server.pipeline.money.as_ref().ok_or_else(none)
}

/// Today and this month against their budgets.
#[utoipa::path(get, path = "/v1/spend/today", operation_id = "show_spend_today", tag = "results", params(TodayParams),
    responses((status = 200, body = TodayBody), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn show(
    State(server): State<Arc<Server>>,
    reader: Reader,
    Params(params): Params<TodayParams>,
) -> Result<Json<TodayBody>, ApiError> {
    let (who, money) = (&reader.0, money(&server)?);
    let tenant = match params.tenant.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => tenant_named(&server, who, name)?,
        None => money.payers.policy_of(&reader.project(params.project.as_deref())?).0,
    };
    let budgets = BudgetsView::new(&of_tenant(&server, money, &tenant).await?);
    let platform = match who.may(Scope::Admin) {
        true => Some(BudgetsView::new(&of_platform(&server, money).await?)),
        false => None,
    };
    let degradations = money.degradations.of(&tenant).iter().map(DegradationView::new).collect();
    let pace = money.paces.of(&tenant);
    let tenant = TenantTodayView { name: tenant.to_string(), budgets, pace, degradations };
    Ok(Json(TodayBody { at: server.clock().now().to_rfc3339(), tenant, platform }))
}
