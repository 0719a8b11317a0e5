//! `/v1/spend`: what judging cost.

use std::sync::Arc;

use assize_core::results::{Spend, SpendBy};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Server;
use super::auth::Reader;
use super::error::{ApiError, ErrorBody};
use super::params::{Params, invalid, range, whole_hours};

/// Which spend.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SpendParams {
    /// The project; the key's own where not given.
    pub project: Option<String>,
    /// Calls that ended at or after this time, to the hour, RFC 3339.
    pub from: Option<String>,
    /// Calls that ended before this time, to the hour, RFC 3339.
    pub to: Option<String>,
    /// `metric`, `judge`, `model`, `hour` or `day`; all together where not given.
    pub group_by: Option<String>,
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
}

impl SpendView {
    pub fn new(key: String, spend: &Spend) -> Self {
        let unknown = spend.calls > 0 && spend.cost_unknown == spend.calls;
        Self {
            key,
            calls: spend.calls,
            questions: spend.questions,
            failed_calls: spend.failed,
            cost_unknown_calls: spend.cost_unknown,
            cost_usd: if unknown { None } else { Some(spend.cost.to_usd()) },
            input_tokens: spend.input_tokens,
            cached_input_tokens: spend.cached_input_tokens,
            cache_write_tokens: spend.cache_write_tokens,
            output_tokens: spend.output_tokens,
            reused: spend.reused,
            saved_usd: spend.saved.to_usd(),
        }
    }
}

/// Sum up what judging cost.
#[utoipa::path(get, path = "/v1/spend", tag = "results", params(SpendParams), responses((status = 200, body = SpendBody), (status = 400, body = ErrorBody)))]
pub async fn list(
    State(server): State<Arc<Server>>,
    reader: Reader,
    Params(params): Params<SpendParams>,
) -> Result<Json<SpendBody>, ApiError> {
    let project = reader.project(params.project.as_deref())?;
    let (from, to) = range(params.from.as_deref(), params.to.as_deref(), server.clock().now())?;
    let (from, to) = whole_hours(from, to);
    let by = match params.group_by.as_deref() {
        None | Some("") => SpendBy::Total,
        Some("metric") => SpendBy::Metric,
        Some("judge") => SpendBy::Judge,
        Some("model") => SpendBy::Model,
        Some("hour") => SpendBy::Hour,
        Some("day") => SpendBy::Day,
        Some(other) => return Err(invalid("group_by", format!("{other:?} is not one of metric, judge, model, hour, day"))),
    };
    let groups = server.results.spend(&project, from, to, by).await?;
    let total = total(groups.values());
    let groups = groups.iter().map(|(key, spend)| SpendView::new(key.clone(), spend));
    Ok(Json(SpendBody {
        from: from.to_rfc3339(),
        to: to.to_rfc3339(),
        groups: groups.collect(),
        total: SpendView::new("total".to_owned(), &total),
    }))
}

/// The sum of groups.
pub fn total<'a>(groups: impl Iterator<Item = &'a Spend>) -> Spend {
    groups.fold(Spend::default(), |mut sum, spend| {
        sum.add(spend);
        sum
    })
}
