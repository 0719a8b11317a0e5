//! How the budgets of a tenant and of the platform stand right now.

use assize_core::ledger::{Balance, BalanceOf};
use assize_core::projection::{Spending, Standing};
use assize_core::{Budget, Day, Month, NanoUsd, ProjectName, StoreError, TenantName, Timestamp, Zone};

use super::by_hour;
use crate::api::Server;
use crate::pipeline::money::Money;

/// The day and the month of whoever pays.
pub struct Standings {
    pub zone: Zone,
    pub day: Standing,
    pub month: Standing,
}

/// Where a period begins and ends.
struct Bounds {
    period: String,
    start: Timestamp,
    end: Timestamp,
}

impl Bounds {
    fn of_day(zone: &Zone, day: Day) -> Self {
        let end = zone.start(Day(day.0.saturating_add(1)));
        Self { period: day.to_string(), start: zone.start(day), end }
    }

    fn of_month(zone: &Zone, month: Month) -> Self {
        let end = zone.start(Month(month.0.saturating_add(1)).first());
        Self { period: month.to_string(), start: zone.start(month.first()), end }
    }
}

/// Those of a tenant, in its own time zone.
pub async fn of_tenant(server: &Server, money: &Money, tenant: &TenantName) -> Result<Standings, StoreError> {
    let policy = money.payers.policy(tenant).unwrap_or_default();
    let (zone, day) = (policy.time_zone.clone(), policy.time_zone.day(server.clock().now()));
    let of = [BalanceOf::TenantDay(tenant.clone(), day), BalanceOf::TenantMonth(tenant.clone(), day.month())];
    standings(server, money, of, zone, policy.budget, &server.access.projects_of(tenant)).await
}

/// Those of all tenants together, in UTC.
pub async fn of_platform(server: &Server, money: &Money) -> Result<Standings, StoreError> {
    let zone = Zone::default();
    let day = zone.day(server.clock().now());
    let of = [BalanceOf::PlatformDay(day), BalanceOf::PlatformMonth(day.month())];
    standings(server, money, of, zone, money.payers.platform().budget, &server.access.projects()).await
}

async fn standings(
    server: &Server,
    money: &Money,
    of: [BalanceOf; 2],
    zone: Zone,
    budget: Budget,
    projects: &[ProjectName],
) -> Result<Standings, StoreError> {
    let now = server.clock().now();
    let today = zone.day(now);
    let balances = money.ledger.balances(&of).await?;
    let balance = |at: usize| balances.get(at).copied().unwrap_or_default();
    let day = Bounds::of_day(&zone, today);
    let hours = by_hour(server, projects, day.start, now).await?;
    let day = standing(day, now, balance(0), budget.day_max, |spending| Spending { by_hour: &hours, ..spending }.projection());
    let month = standing(Bounds::of_month(&zone, today.month()), now, balance(1), budget.month_max, |spending| spending.evenly());
    Ok(Standings { zone, day, month })
}

fn standing(
    bounds: Bounds,
    now: Timestamp,
    balance: Balance,
    budget: Option<NanoUsd>,
    project: impl Fn(Spending<'_>) -> Option<assize_core::projection::Projection>,
) -> Standing {
    let Bounds { period, start, end } = bounds;
    let committed = balance.committed();
    let projection = project(Spending { start, now, end, by_hour: &[], committed, budget });
    Standing { period, start, now, end, balance, budget, projection }
}
