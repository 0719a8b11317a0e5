//! `/v1/estimates/compare` and `/v1/projects/{project}/metrics/{metric}/bridge`: what changed between two ranges, also where the judge
//! changed between them.

use std::sync::Arc;

use assize_core::results::{BridgeItem, VersionChange};
use assize_core::{NanoUsd, Timestamp};
use assize_estimate::bridge::{self, Difference, PAIRS_MIN, Refusal, Side};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Server;
use super::auth::Reader;
use super::error::{ApiError, ErrorBody};
use super::estimates::EstimateView;
use super::metrics::unknown;
use super::params::{Params, Segments, invalid, metric, range};
use crate::pipeline::bridge::{Asked, before, pairs};
use crate::pipeline::report::{EstimatesQuery, GroupBy, GroupEstimate, of_process, population};

/// Which ranges.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CompareParams {
    /// The metric.
    pub metric: String,
    /// The project; the key's own where not given.
    pub project: Option<String>,
    /// The first range: at or after this time, RFC 3339.
    pub from_a: String,
    /// Before this time.
    pub to_a: String,
    /// The second range: at or after this time, RFC 3339.
    pub from_b: String,
    /// Before this time.
    pub to_b: String,
    /// Level of the intervals, within (0, 1); the configured one where not given.
    pub level: Option<f64>,
}

/// The second range's rate less the first's.
#[derive(Debug, Serialize, ToSchema)]
pub struct CompareBody {
    pub metric: String,
    pub a: EstimateView,
    pub b: EstimateView,
    /// Of what produces the traffic; the change of the judge taken out.
    pub difference: DifferenceView,
    /// What the change of the judge alone did; null where one version judged both ranges.
    pub shift: Option<DifferenceView>,
    /// Interactions that both versions judged.
    pub bridge_pairs: Option<usize>,
}

/// A difference with its limits.
#[derive(Debug, Serialize, ToSchema)]
pub struct DifferenceView {
    pub value: f64,
    pub low: f64,
    pub high: f64,
    pub level: f64,
}

impl From<Difference> for DifferenceView {
    fn from(difference: Difference) -> Self {
        let Difference { value, low, high, level, .. } = difference;
        Self { value, low, high, level }
    }
}

/// How a bridge stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct BridgeBody {
    pub metric: String,
    /// The version of the reference judge now, and the one before; null where there was none in the last 30 days.
    pub new_version: String,
    pub old_version: Option<String>,
    /// `old` where the version before is asked about what the present one judges, `new` where it cannot be called any more and stored
    /// interactions are judged again.
    pub asked: String,
    /// Interactions that both are to judge, and have judged.
    pub wanted: u32,
    pub pairs: usize,
    /// Interactions about which the one that was asked gave no verdict.
    pub failed: usize,
    pub calls: u64,
    pub cost_usd: f64,
    pub cost_unknown_calls: u64,
    /// What the change of the judge alone does; null with fewer than 30 pairs.
    pub shift: Option<DifferenceView>,
}

fn refused(message: String) -> ApiError {
    ApiError::new(StatusCode::CONFLICT, "not_comparable", message)
}

/// Compare a metric's rate in two ranges. Where the judge changed in between, by the bridge; without one it is refused.
#[utoipa::path(get, path = "/v1/estimates/compare", operation_id = "compare_estimates", tag = "results", params(CompareParams),
    responses((status = 200, body = CompareBody), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub async fn compare(
    State(server): State<Arc<Server>>,
    reader: Reader,
    Params(params): Params<CompareParams>,
) -> Result<Json<CompareBody>, ApiError> {
    let project = reader.project(params.project.as_deref())?;
    let metric = metric(&params.metric)?;
    let level = params.level.unwrap_or(server.settings.report.level);
    if !(level > 0.0 && level < 1.0) {
        return Err(invalid("level", format!("{level} is not within 0 and 1")));
    }
    let side = async |name: &str, from: &str, to: &str| {
        let (from, to) = range(Some(from), Some(to), server.clock().now())?;
        let query = EstimatesQuery { project: project.clone(), metric: metric.clone(), from, to, group_by: GroupBy::All, level };
        one_version(name, (from, to), of_process(&*server.results, &query).await?)
    };
    let (a, b) = (side("a", &params.from_a, &params.to_a).await?, side("b", &params.from_b, &params.to_b).await?);
    let (Some(of_a), Some(of_b)) = (&a.estimate, &b.estimate) else {
        return Err(refused("nothing is judged in one of the ranges".to_owned()));
    };
    let (of_a, of_b) = (Side::from(of_a), Side::from(of_b));
    let why = |refusal: Refusal| {
        let (old, new) = (&a.reference, &b.reference);
        refused(format!(
            "versions {old} and {new}: {refusal}; GET /v1/projects/{project}/metrics/{metric}/bridge says how far it is"
        ))
    };
    let (difference, shift, pairs) = if a.reference == b.reference {
        (bridge::difference(&of_a, &of_b).map_err(why)?, None, None)
    } else {
        let change = VersionChange { metric: metric.clone(), old: a.reference.clone(), new: b.reference.clone() };
        let pairs = pairs(&*server.results, &project, &change).await?;
        let difference = bridge::compare(&of_a, &of_b, &pairs).map_err(why)?;
        (difference, Some(bridge::bridge(&pairs, level).map_err(why)?.shift), Some(pairs.len()))
    };
    let panel = server.pipeline.panels.of_project(&project);
    let description = panel.metric(&metric).map(|(metric, _)| population(metric, &panel.policy.sampling)).unwrap_or_default();
    let view =
        |group: GroupEstimate, key: &str| EstimateView::new(GroupEstimate { key: key.to_owned(), ..group }, level, &description);
    Ok(Json(CompareBody {
        metric: metric.to_string(),
        a: view(a, "a"),
        b: view(b, "b"),
        difference: difference.into(),
        shift: shift.map(DifferenceView::from),
        bridge_pairs: pairs,
    }))
}

/// The one version that judged a range.
fn one_version(name: &str, (from, to): (Timestamp, Timestamp), groups: Vec<GroupEstimate>) -> Result<GroupEstimate, ApiError> {
    let mut judged: Vec<GroupEstimate> = groups.into_iter().filter(|group| group.sums.judged > 0).collect();
    let range = format!("{} to {}", from.to_rfc3339(), to.to_rfc3339());
    match (judged.pop(), judged.is_empty()) {
        (None, _) => {
            Err(refused(format!("nothing is judged in range {name}, {range}: choose another, or wait for its verdicts")))
        }
        (Some(group), true) => Ok(group),
        (Some(_), false) => Err(refused(format!(
            "the judge changed within range {name}, {range}: choose ranges that lie on either side of the change; `breaks` of \
             /v1/estimates says when it was"
        ))),
    }
}

/// See how far the bridge over the last change of a metric's reference judge is, and what it cost.
#[utoipa::path(get, path = "/v1/projects/{project}/metrics/{metric}/bridge", operation_id = "show_bridge", tag = "results",
    params(("project" = String, Path), ("metric" = String, Path)), responses((status = 200, body = BridgeBody), (status = 404, body = ErrorBody)))]
pub async fn show(
    State(server): State<Arc<Server>>,
    reader: Reader,
    Segments((project, name)): Segments<(String, String)>,
) -> Result<Json<BridgeBody>, ApiError> {
    let project = reader.project(Some(&project))?;
    let metric = metric(&name)?;
    let panel = server.pipeline.panels.of_project(&project);
    let reference = panel.metric(&metric).and_then(|(metric, _)| metric.reference());
    let new = reference.map(|tier| tier.version.clone()).ok_or_else(|| unknown(&project, &metric))?;
    let old = before(&*server.results, &project, &metric, &new, server.clock().now()).await?.map(|before| before.version);
    let items: Vec<BridgeItem> = match &old {
        None => Vec::new(),
        Some(old) => {
            let change = VersionChange { metric: metric.clone(), old: old.clone(), new: new.clone() };
            server.results.bridge(&project, &change).await?
        }
    };
    let pairs: Vec<bridge::Pair> = items
        .iter()
        .filter_map(|item| item.scores.map(|(old, new)| bridge::Pair { old, new, probability: item.probability }))
        .collect();
    let shift = if pairs.len() < PAIRS_MIN { None } else { bridge::bridge(&pairs, server.settings.report.level).ok() };
    let cost = items.iter().fold(NanoUsd::ZERO, |sum, item| sum.plus(item.cost));
    Ok(Json(BridgeBody {
        asked: match server.pipeline.bridges.asked(&project, &metric) {
            Asked::Old => "old".to_owned(),
            Asked::New => "new".to_owned(),
        },
        metric: metric.to_string(),
        new_version: new.to_string(),
        old_version: old.map(|old| old.to_string()),
        wanted: server.settings.report.bridge,
        pairs: pairs.len(),
        failed: items.len() - pairs.len(),
        calls: items.iter().map(|item| item.calls).sum(),
        cost_usd: cost.to_usd(),
        cost_unknown_calls: items.iter().map(|item| item.cost_unknown).sum(),
        shift: shift.map(|found| found.shift.into()),
    }))
}
