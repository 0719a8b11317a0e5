//! Fills the page of spend.

use std::collections::BTreeMap;
use std::sync::Arc;

use assize_core::results::{Spend, SpendBy};
use assize_core::{StoreError, Timestamp};
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::{Viewer, page_of_error, start_of};
use crate::api::Server;
use crate::api::spend::savings::{ASSUMPTION, known};
use crate::api::spend::standing::{of_platform, of_tenant};
use crate::api::spend::today::said;
use crate::api::spend::{top, total};
use crate::pipeline::money::Money;
use crate::ui::overview::Range;
use crate::ui::spend::{self, DegradationRow, SavingsPanel, SpendPage, SplitRow, TenantRow, TodayPanel};

/// Tenants of the table.
const TENANTS_MAX: usize = 10;

#[derive(Deserialize)]
pub struct SpendPageParams {
    #[serde(default)]
    range: String,
}

/// The page.
pub async fn show(
    State(server): State<Arc<Server>>,
    viewer: Viewer,
    Query(params): Query<SpendPageParams>,
) -> Result<Response, Response> {
    let range = if params.range.is_empty() { Range::Week } else { Range::from_query(&params.range) };
    let view = fill(&server, &viewer, range).await.map_err(|error| page_of_error(error.into()))?;
    Ok(spend::render(&view).into_response())
}

async fn fill(server: &Server, viewer: &Viewer, range: Range) -> Result<SpendPage, StoreError> {
    let layout = viewer.layout(server);
    let (from, to) = range.bounds(layout.now);
    let project = &viewer.project;
    let by = |by| server.results.spend(project, from, to, by);
    let by_judge = by(SpendBy::Judge).await?;
    let over_time = by(if range == Range::Day { SpendBy::Hour } else { SpendBy::Day }).await?;
    let accepted = server.results.accepted(project, from, to).await?;
    let known = known(server, std::slice::from_ref(project), from, to).await?;
    let savings = SavingsPanel {
        savings: known.total,
        left_out: known.left_out,
        unknown: known.unknown,
        assumption: ASSUMPTION.to_owned(),
    };
    let (today, tenants) = match &server.pipeline.money {
        Some(money) => (Some(today(server, money, viewer).await?), tenants(server, money).await?),
        None => (None, Vec::new()),
    };
    Ok(SpendPage {
        range,
        from,
        to,
        today,
        total: total(by_judge.values()),
        interactions: accepted.values().sum(),
        over_time: over_time.into_iter().filter_map(|(key, spend)| Some((start_of(&key)?, spend))).collect(),
        by_metric: rows(by(SpendBy::Metric).await?),
        by_judge: rows(by_judge),
        by_tier: rows(by(SpendBy::AskedAs).await?),
        by_project: projects(server, viewer, from, to).await?,
        savings,
        tenants,
        simulated: server.pipeline.panels.of_project(project).simulated,
        layout,
    })
}

fn rows(spend: BTreeMap<String, Spend>) -> Vec<SplitRow> {
    spend.into_iter().map(|(name, spend)| SplitRow { name, spend, interactions: None }).collect()
}

/// The projects of the same tenant.
async fn projects(server: &Server, viewer: &Viewer, from: Timestamp, to: Timestamp) -> Result<Vec<SplitRow>, StoreError> {
    let (tenant, _) = server.access.policies().policy_of(&viewer.project);
    let mut rows = Vec::new();
    for project in server.access.projects_of(&tenant) {
        let spend = total(server.results.spend(&project, from, to, SpendBy::Total).await?.values());
        let interactions = server.results.accepted(&project, from, to).await?.values().sum();
        rows.push(SplitRow { name: project.to_string(), spend, interactions: Some(interactions) });
    }
    Ok(rows)
}

async fn today(server: &Server, money: &Money, viewer: &Viewer) -> Result<TodayPanel, StoreError> {
    let (tenant, _) = money.payers.policy_of(&viewer.project);
    let standings = of_tenant(server, money, &tenant).await?;
    let platform = of_platform(server, money).await?;
    let degradation = |of: &crate::pipeline::money::Degradation| DegradationRow {
        message: said(of),
        since: of.since,
        last: of.last,
        count: of.count,
    };
    Ok(TodayPanel {
        zone: standings.zone.name().to_owned(),
        day: standings.day,
        month: standings.month,
        platform: Some((platform.day, platform.month)),
        pace: money.paces.of(&tenant),
        degradations: money.degradations.of(&tenant).iter().map(degradation).collect(),
        tenant,
    })
}

async fn tenants(server: &Server, money: &Money) -> Result<Vec<TenantRow>, StoreError> {
    let row = |one: top::TopTenant| TenantRow {
        change: one.change(),
        name: one.tenant.to_string(),
        today: one.today,
        budget: one.budget,
        yesterday: one.yesterday,
        calls: one.calls,
    };
    Ok(top::top(server, money, TENANTS_MAX).await?.into_iter().map(row).collect())
}
