//! `/v1/spend`: what judging cost, by whom and by what.

pub mod csv;
pub mod savings;
pub mod scope;
pub mod standing;
pub mod today;
pub mod top;

use std::collections::BTreeMap;
use std::sync::Arc;

use assize_core::results::{Spend, SpendBy};
use assize_core::{Hour, NanoUsd, ProjectName, StoreError, Timestamp};
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Server;
use super::auth::Reader;
use super::error::{ApiError, ErrorBody};
use super::params::{Params, invalid, range, whole_hours};
use scope::SpendScope;

/// Which spend.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SpendParams {
    /// The project; the key's own where not given.
    pub project: Option<String>,
    /// All projects of this tenant. A key without the scope `admin` may name the tenant of its own project, and sees no more of it
    /// than totals, by hour and by day.
    pub tenant: Option<String>,
    /// All projects of all tenants: for admins.
    pub all: Option<bool>,
    /// Calls that ended at or after this time, to the hour, RFC 3339.
    pub from: Option<String>,
    /// Calls that ended before this time, to the hour, RFC 3339.
    pub to: Option<String>,
    /// `tenant` (admins), `project`, `metric`, `judge`, `tier`, `model`, `hour` or `day`; all together where not given. `tier` is as
    /// what judges were asked: `reference`, `cheaper`, `fallback`, `study`, or `unknown` for reuse and for older records. By `tenant`, and
    /// by `project` of an admin who names none, it is all of them.
    pub group_by: Option<String>,
    /// `json` or `csv`; what `Accept` says where not given.
    pub format: Option<String>,
}

/// Spend by group, and its total.
#[derive(Debug, Serialize, ToSchema)]
pub struct SpendBody {
    /// The range, widened to whole hours; calls count when they ended.
    pub from: String,
    pub to: String,
    pub groups: Vec<SpendView>,
    pub total: SpendView,
}

/// Spend of one group.
#[derive(Debug, Serialize, ToSchema)]
pub struct SpendView {
    pub key: String,
    pub calls: u64,
    /// Questions that they carried: a call may carry those of several metrics, and counts with the first of them.
    pub questions: u64,
    /// Calls that gave no verdict.
    pub failed_calls: u64,
    /// Calls whose cost is not known and not in `cost_usd`.
    pub cost_unknown_calls: u64,
    /// What the others cost; null where no call's cost is known.
    pub cost_usd: Option<f64>,
    pub input_tokens: u64,
    /// Input tokens that were read from the provider's prompt cache.
    pub cached_input_tokens: u64,
    /// Input tokens that were written to it.
    pub cache_write_tokens: u64,
    pub output_tokens: u64,
    /// Verdicts that were used again instead of asking.
    pub reused: u64,
    /// What that saved, as far as it is known.
    pub saved_usd: f64,
    /// Interactions accepted in the range: of the group's tenant, project, hour or day, else all of them.
    pub interactions: u64,
    /// The group's cost for every thousand of them; null where there are none, or no cost is known.
    pub cost_per_1000_usd: Option<f64>,
}

impl SpendView {
    pub fn new(key: String, spend: &Spend, interactions: u64) -> Self {
        let cost = known_cost(spend);
        Self {
            key,
            calls: spend.calls,
            questions: spend.questions,
            failed_calls: spend.failed,
            cost_unknown_calls: spend.cost_unknown,
            cost_usd: cost.map(NanoUsd::to_usd),
            input_tokens: spend.input_tokens,
            cached_input_tokens: spend.cached_input_tokens,
            cache_write_tokens: spend.cache_write_tokens,
            output_tokens: spend.output_tokens,
            reused: spend.reused,
            saved_usd: spend.saved.to_usd(),
            interactions,
            cost_per_1000_usd: cost.and_then(|cost| per_1000(cost, interactions)).map(NanoUsd::to_usd),
        }
    }
}

/// What a group cost; `None` where no call's cost is known.
fn known_cost(spend: &Spend) -> Option<NanoUsd> {
    let unknown = spend.calls > 0 && spend.cost_unknown == spend.calls;
    if unknown { None } else { Some(spend.cost) }
}

/// What a thousand of so many interactions cost, rounded up.
pub fn per_1000(cost: NanoUsd, interactions: u64) -> Option<NanoUsd> {
    let each = (u128::from(cost.0) * 1_000).div_ceil(u128::from(std::num::NonZeroU64::new(interactions)?.get()));
    Some(NanoUsd(u64::try_from(each).unwrap_or(u64::MAX)))
}

/// By what spend is asked for: what the results store knows of one project, or who spends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupBy {
    Tenant,
    Project,
    Within(SpendBy),
}

impl GroupBy {
    fn parse(text: Option<&str>) -> Result<Self, ApiError> {
        Ok(match text {
            None | Some("") => Self::Within(SpendBy::Total),
            Some("tenant") => Self::Tenant,
            Some("project") => Self::Project,
            Some("metric") => Self::Within(SpendBy::Metric),
            Some("judge") => Self::Within(SpendBy::Judge),
            Some("tier") => Self::Within(SpendBy::AskedAs),
            Some("model") => Self::Within(SpendBy::Model),
            Some("hour") => Self::Within(SpendBy::Hour),
            Some("day") => Self::Within(SpendBy::Day),
            Some(other) => {
                let known = "tenant, project, metric, judge, tier, model, hour, day";
                return Err(invalid("group_by", format!("{other:?} is not one of {known}")));
            }
        })
    }
}

/// Sum up what judging cost.
#[utoipa::path(get, path = "/v1/spend", operation_id = "list_spend", tag = "results", params(SpendParams),
    responses((status = 200, description = "As JSON, or as CSV (RFC 4180) with the same columns", content((SpendBody = "application/json"), (String = "text/csv"))),
        (status = 400, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn list(
    State(server): State<Arc<Server>>,
    Reader(who): Reader,
    headers: HeaderMap,
    Params(params): Params<SpendParams>,
) -> Result<Response, ApiError> {
    let as_csv = csv::is_wanted(params.format.as_deref(), &headers)?;
    let by = GroupBy::parse(params.group_by.as_deref())?;
    let all = params.all.unwrap_or(false)
        || by == GroupBy::Tenant
        || (by == GroupBy::Project && who.may(assize_core::control::Scope::Admin));
    let scope = SpendScope::of(&server, &who, params.project.as_deref(), params.tenant.as_deref(), all)?;
    scope.allows(&who, by)?;
    let (from, to) = range(params.from.as_deref(), params.to.as_deref(), server.clock().now())?;
    let (from, to) = whole_hours(from, to);
    let groups = grouped(&server, &scope, (from, to), by).await?;
    let total = total(groups.values().map(|(spend, _)| spend));
    let interactions: u64 = accepted(&server, &scope.projects, from, to).await?.values().sum();
    let view = |(key, (spend, of)): (String, (Spend, Option<u64>))| SpendView::new(key, &spend, of.unwrap_or(interactions));
    let body = SpendBody {
        from: from.to_rfc3339(),
        to: to.to_rfc3339(),
        groups: groups.into_iter().map(view).collect(),
        total: SpendView::new("total".to_owned(), &total, interactions),
    };
    Ok(if as_csv { csv::answer("spend", &table(&body)) } else { Json(body).into_response() })
}

/// The groups, and how many interactions each stands for where that is not all of them.
async fn grouped(
    server: &Server,
    scope: &SpendScope,
    (from, to): (Timestamp, Timestamp),
    by: GroupBy,
) -> Result<BTreeMap<String, (Spend, Option<u64>)>, StoreError> {
    let mut groups: BTreeMap<String, (Spend, Option<u64>)> = BTreeMap::new();
    for project in &scope.projects {
        match by {
            GroupBy::Tenant | GroupBy::Project => {
                let spend = total(server.results.spend(project, from, to, SpendBy::Total).await?.values());
                let accepted: u64 = server.results.accepted(project, from, to).await?.values().sum();
                if spend == Spend::default() && accepted == 0 {
                    continue;
                }
                let key = match by {
                    GroupBy::Tenant => server.access.policies().policy_of(project).0.to_string(),
                    GroupBy::Project | GroupBy::Within(_) => project.to_string(),
                };
                let (sum, of) = groups.entry(key).or_default();
                sum.add(&spend);
                *of = Some(of.unwrap_or(0).saturating_add(accepted));
            }
            GroupBy::Within(by) => {
                for (key, spend) in server.results.spend(project, from, to, by).await? {
                    groups.entry(key).or_default().0.add(&spend);
                }
            }
        }
    }
    if let GroupBy::Within(by @ (SpendBy::Hour | SpendBy::Day)) = by {
        for (hour, count) in accepted(server, &scope.projects, from, to).await? {
            let of = &mut groups.entry(key_of(hour, by)).or_default().1;
            *of = Some(of.unwrap_or(0).saturating_add(count));
        }
        groups.values_mut().for_each(|(_, of)| *of = of.or(Some(0)));
    }
    Ok(groups)
}

/// The key of an hour's group, as the results store writes it.
fn key_of(hour: Hour, by: SpendBy) -> String {
    let text = hour.start().to_rfc3339();
    if by == SpendBy::Day { text.split('T').next().unwrap_or_default().to_owned() } else { text.replace(".000Z", "Z") }
}

/// Spend of several projects by hour.
pub async fn by_hour(
    server: &Server,
    projects: &[ProjectName],
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<(Timestamp, NanoUsd)>, StoreError> {
    let mut sums: BTreeMap<Timestamp, NanoUsd> = BTreeMap::new();
    for project in projects {
        for (key, spend) in server.results.spend(project, from, to, SpendBy::Hour).await? {
            if let Ok(at) = Timestamp::parse(&key) {
                let sum = sums.entry(at).or_default();
                *sum = sum.plus(spend.cost);
            }
        }
    }
    Ok(sums.into_iter().collect())
}

/// Accepted interactions of several projects by hour.
async fn accepted(
    server: &Server,
    projects: &[ProjectName],
    from: Timestamp,
    to: Timestamp,
) -> Result<BTreeMap<Hour, u64>, StoreError> {
    let mut sums: BTreeMap<Hour, u64> = BTreeMap::new();
    for project in projects {
        for (hour, count) in server.results.accepted(project, from, to).await? {
            let sum = sums.entry(hour).or_default();
            *sum = sum.saturating_add(count);
        }
    }
    Ok(sums)
}

/// The body as a table; its last row is the total.
fn table(body: &SpendBody) -> Vec<Vec<csv::Cell>> {
    let columns = [
        "key",
        "calls",
        "questions",
        "failed_calls",
        "cost_unknown_calls",
        "cost_usd",
        "input_tokens",
        "cached_input_tokens",
        "cache_write_tokens",
        "output_tokens",
        "reused",
        "saved_usd",
        "interactions",
        "cost_per_1000_usd",
    ];
    let row = |view: &SpendView| {
        vec![
            csv::Cell::Text(view.key.clone()),
            csv::Cell::from(view.calls),
            csv::Cell::from(view.questions),
            csv::Cell::from(view.failed_calls),
            csv::Cell::from(view.cost_unknown_calls),
            csv::Cell::usd(view.cost_usd),
            csv::Cell::from(view.input_tokens),
            csv::Cell::from(view.cached_input_tokens),
            csv::Cell::from(view.cache_write_tokens),
            csv::Cell::from(view.output_tokens),
            csv::Cell::from(view.reused),
            csv::Cell::usd(Some(view.saved_usd)),
            csv::Cell::from(view.interactions),
            csv::Cell::usd(view.cost_per_1000_usd),
        ]
    };
    let header = columns.iter().map(|column| csv::Cell::Text((*column).to_owned())).collect();
    std::iter::once(header).chain(body.groups.iter().chain([&body.total]).map(row)).collect()
}

/// The sum of groups.
pub fn total<'a>(groups: impl Iterator<Item = &'a Spend>) -> Spend {
    groups.fold(Spend::default(), |mut sum, spend| {
        sum.add(spend);
        sum
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_cost_their_part_rounded_up() {
        assert_eq!(per_1000(NanoUsd(5), 3), Some(NanoUsd(1_667)));
        assert_eq!(per_1000(NanoUsd(5), 0), None);
        assert_eq!(per_1000(NanoUsd(u64::MAX), 1), Some(NanoUsd(u64::MAX)));
    }
}
