//! `/v1/spend/tenants`: who spends most today, and how that compares with yesterday. For admins.

use std::collections::HashMap;
use std::sync::Arc;

use assize_core::ledger::TotalsQuery;
use assize_core::{Day, NanoUsd, StoreError, TenantName, Timestamp, Zone};
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::by_hour;
use super::csv::{self, Cell};
use super::today::money;
use crate::api::Server;
use crate::api::auth::Admin;
use crate::api::error::{ApiError, ErrorBody};
use crate::api::params::{Params, limit};
use crate::pipeline::money::Money;

/// How many.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TopParams {
    /// At most this many, 1 to 1,000; 100 where not given.
    pub limit: Option<usize>,
    /// `json` or `csv`; what `Accept` says where not given.
    pub format: Option<String>,
}

/// Tenants by what they spend today, the most first.
#[derive(Debug, Serialize, ToSchema)]
pub struct TopTenantsBody {
    pub tenants: Vec<TopTenantView>,
}

/// A tenant's day against the one before, both in its own time zone.
#[derive(Debug, Serialize, ToSchema)]
pub struct TopTenantView {
    pub tenant: String,
    pub day: String,
    pub calls: u64,
    /// Spent, assumed and reserved so far.
    pub today_usd: f64,
    pub budget_usd: Option<f64>,
    /// The whole day before.
    pub yesterday_usd: f64,
    /// The day before up to the same time of day, as far as costs were told; the hour that it ends in counts in proportion.
    pub yesterday_by_now_usd: f64,
    /// Today so far less that.
    pub change_usd: f64,
    /// The same as a part of it; null where it was nothing.
    pub change: Option<f64>,
}

/// The same as numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct TopTenant {
    pub tenant: TenantName,
    pub day: Day,
    pub calls: u64,
    pub today: NanoUsd,
    pub budget: Option<NanoUsd>,
    pub yesterday: NanoUsd,
    pub yesterday_by_now: NanoUsd,
}

impl TopTenant {
    /// Today so far against the day before up to the same time, as a part of that.
    pub fn change(&self) -> Option<f64> {
        let before = self.yesterday_by_now.0;
        if before == 0 { None } else { Some((self.today.0 as f64 - before as f64) / before as f64) }
    }
}

/// Those who spend most today, at most `limit`.
pub async fn top(server: &Server, money: &Money, limit: usize) -> Result<Vec<TopTenant>, StoreError> {
    let now = server.clock().now();
    let utc = Zone::default().day(now);
    // No time zone is further away than a day.
    let query = TotalsQuery { tenant: None, from: Day(utc.0.saturating_sub(2)), to: Day(utc.0.saturating_add(1)) };
    let mut days: HashMap<TenantName, HashMap<Day, (NanoUsd, u64)>> = HashMap::new();
    for total in money.ledger.totals(&query).await? {
        let (sum, calls) = days.entry(total.tenant).or_default().entry(total.day).or_default();
        *sum = sum.plus(total.balance.committed());
        *calls = calls.saturating_add(total.calls);
    }
    let mut tenants: Vec<TopTenant> = days
        .into_iter()
        .map(|(tenant, days)| {
            let policy = money.payers.policy(&tenant).unwrap_or_default();
            let day = policy.time_zone.day(now);
            let of = |day: i32| days.get(&Day(day)).copied().unwrap_or_default();
            let ((today, calls), (yesterday, _)) = (of(day.0), of(day.0.saturating_sub(1)));
            let budget = policy.budget.day_max;
            TopTenant { tenant, day, calls, today, budget, yesterday, yesterday_by_now: NanoUsd::ZERO }
        })
        .filter(|one| one.today > NanoUsd::ZERO || one.yesterday > NanoUsd::ZERO)
        .collect();
    tenants.sort_by(|a, b| b.today.cmp(&a.today).then(b.yesterday.cmp(&a.yesterday)).then_with(|| a.tenant.cmp(&b.tenant)));
    tenants.truncate(limit);
    for one in &mut tenants {
        let zone = money.payers.policy(&one.tenant).unwrap_or_default().time_zone.clone();
        let start = zone.start(Day(one.day.0.saturating_sub(1)));
        // As long after its beginning as now is after today's.
        let until = Timestamp(start.0.saturating_add(now.0.saturating_sub(zone.start(one.day).0)).min(zone.start(one.day).0));
        let hours = by_hour(server, &server.access.projects_of(&one.tenant), start, until).await?;
        one.yesterday_by_now = within(&hours, start, until);
    }
    Ok(tenants)
}

/// What was spent between two instants, by hours of which those at the ends count in proportion.
fn within(hours: &[(Timestamp, NanoUsd)], start: Timestamp, until: Timestamp) -> NanoUsd {
    let part = |(at, spent): &(Timestamp, NanoUsd)| {
        let inside = until.0.min(at.0.saturating_add(3_600_000)).saturating_sub(start.0.max(at.0)).clamp(0, 3_600_000);
        let part = u128::from(spent.0) * u128::from(inside.unsigned_abs()) / 3_600_000;
        NanoUsd(u64::try_from(part).unwrap_or(u64::MAX))
    };
    hours.iter().map(part).fold(NanoUsd::ZERO, NanoUsd::plus)
}

/// Who spends most today.
#[utoipa::path(get, path = "/v1/spend/tenants", operation_id = "list_top_tenants", tag = "results", params(TopParams),
    responses((status = 200, description = "As JSON, or as CSV (RFC 4180)", content((TopTenantsBody = "application/json"), (String = "text/csv"))),
        (status = 400, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub async fn list(
    State(server): State<Arc<Server>>,
    Admin(_): Admin,
    headers: HeaderMap,
    Params(params): Params<TopParams>,
) -> Result<Response, ApiError> {
    let as_csv = csv::is_wanted(params.format.as_deref(), &headers)?;
    let tenants = top(&server, money(&server)?, limit(params.limit)?).await?;
    let view = |one: &TopTenant| TopTenantView {
        tenant: one.tenant.to_string(),
        day: one.day.to_string(),
        calls: one.calls,
        today_usd: one.today.to_usd(),
        budget_usd: one.budget.map(NanoUsd::to_usd),
        yesterday_usd: one.yesterday.to_usd(),
        yesterday_by_now_usd: one.yesterday_by_now.to_usd(),
        change_usd: (i128::from(one.today.0) - i128::from(one.yesterday_by_now.0)) as f64 / 1e9,
        change: one.change(),
    };
    let body = TopTenantsBody { tenants: tenants.iter().map(view).collect() };
    Ok(if as_csv { csv::answer("tenants", &table(&body)) } else { Json(body).into_response() })
}

fn table(body: &TopTenantsBody) -> Vec<Vec<Cell>> {
    let columns = ["tenant", "day", "calls", "today_usd", "budget_usd", "yesterday_usd", "yesterday_by_now_usd", "change_usd"];
    let row = |one: &TopTenantView| {
        vec![
            Cell::Text(one.tenant.clone()),
            Cell::Text(one.day.clone()),
            Cell::from(one.calls),
            Cell::usd(Some(one.today_usd)),
            Cell::usd(one.budget_usd),
            Cell::usd(Some(one.yesterday_usd)),
            Cell::usd(Some(one.yesterday_by_now_usd)),
            Cell::usd(Some(one.change_usd)),
        ]
    };
    let header = columns.iter().map(|column| Cell::Text((*column).to_owned())).collect();
    std::iter::once(header).chain(body.tenants.iter().map(row)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_at_the_ends_count_in_proportion() {
        let hour = |at: i64| (Timestamp(at * 3_600_000), NanoUsd(100));
        let hours = [hour(0), hour(1), hour(2), hour(3)];
        assert_eq!(within(&hours, Timestamp(1_800_000), Timestamp(3 * 3_600_000 - 900_000)), NanoUsd(50 + 100 + 75));
        assert_eq!(within(&hours, Timestamp(7_200_000), Timestamp(7_200_000)), NanoUsd::ZERO);
    }
}
