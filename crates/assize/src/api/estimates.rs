//! `/v1/estimates`: rates with intervals.

use std::sync::Arc;

use assize_core::{Dimension, Gap, Metric, NanoUsd, Timestamp};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Server;
use super::auth::Reader;
use super::error::{ApiError, ErrorBody};
use super::human::HumanView;
use super::params::{Params, invalid, metric, range};
use super::tenants_view::{GapView, gaps};
use crate::pipeline::report::{EstimatesQuery, GroupBy, GroupEstimate, breaks, known_cost, population, report};
use crate::pipeline::review::human::{HumanQuery, Humans, human};

/// Which rates.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EstimateParams {
    /// The metric.
    pub metric: String,
    /// The project; the key's own where not given.
    pub project: Option<String>,
    /// Interactions at or after this time, RFC 3339; 7 days before `to` where not given.
    pub from: Option<String>,
    /// Interactions before this time, RFC 3339; now where not given.
    pub to: Option<String>,
    /// `model`, `prompt_version`, `environment`, `tag:NAME` (declared ones), `hour` or `day`.
    pub group_by: Option<String>,
    /// Level of the intervals, within (0, 1); the configured one where not given.
    pub level: Option<f64>,
}

/// Rates by group.
#[derive(Debug, Serialize, ToSchema)]
pub struct EstimatesBody {
    pub metric: String,
    pub from: String,
    pub to: String,
    pub groups: Vec<EstimateView>,
    /// Changes of the reference judge within the range: groups of different `judge_version` are compared by `/v1/estimates/compare`.
    pub breaks: Vec<BreakView>,
    /// Times within the range in which the project's tenant was disabled and nothing was taken, the last 100: no rate speaks of them.
    pub gaps: Vec<GapView>,
}

/// A change of the reference judge.
#[derive(Debug, Serialize, ToSchema)]
pub struct BreakView {
    /// The beginning of the first hour of which the new version judged anything.
    pub at: String,
    pub from_version: String,
    pub to_version: String,
}

/// The rate of one group, as one version of the reference judge would have it.
#[derive(Debug, Serialize, ToSchema)]
pub struct EstimateView {
    /// `all`, a value of the dimension (`(none)` where an interaction has none, `other` beyond 1,000 values), or the start of the hour or day.
    pub key: String,
    /// The share, 0 to 1; null while nothing is judged.
    pub estimate: Option<f64>,
    pub low: Option<f64>,
    pub high: Option<f64>,
    pub level: f64,
    /// `window`: the rate of this very traffic.
    pub estimand: String,
    /// How many interactions the rate speaks of.
    pub population: u64,
    /// How many of them the reference judge has judged.
    pub judged: u64,
    /// Share of what was drawn that has a verdict, weighted by the design.
    pub coverage: Option<f64>,
    /// What judging them cost; null where no call's cost is known.
    pub cost_usd: Option<f64>,
    /// Which interactions the rate speaks of, in words.
    pub population_description: String,
    /// Interactions that the policy never judges, and of which the rate does not speak.
    pub excluded: u64,
    /// Interactions without what the metric needs.
    pub no_content: u64,
    /// Drawn, and without a verdict yet or for good.
    pub missing: u64,
    /// How estimate and interval were made, such as `hajek/normal`.
    pub method: Option<String>,
    /// What to know before trusting it: `missing_matters` where what has no verdict could move the rate out of its interval,
    /// `ingestion_gap` where nothing was taken for a part of its time.
    pub warnings: Vec<String>,
    /// The rate if all that is missing scored 0, and 1.
    pub bounds: Option<[f64; 2]>,
    /// The reference judge's version: rates of two versions are never pooled.
    pub judge_version: String,
    /// Calls made. One that carried the questions of several metrics counts with the first of them.
    pub calls: u64,
    /// Questions whose cost is not known.
    pub cost_unknown_calls: u64,
    /// The rate that people would have given, by labels of drawn reviews, where there are any: for the whole range only, not by group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub human: Option<HumanView>,
}

impl EstimateView {
    /// How `group` is shown; `metric` is the configured one, if it still is.
    pub fn new(group: GroupEstimate, level: f64, description: &str) -> Self {
        let GroupEstimate { key, reference, estimate, sums } = group;
        let e = estimate.as_ref();
        Self {
            key,
            estimate: e.map(|e| e.value),
            low: e.map(|e| e.low),
            high: e.map(|e| e.high),
            level,
            estimand: e.map_or("window", |e| e.estimand.name()).to_owned(),
            population: sums.population,
            judged: sums.judged,
            coverage: e.map(|e| e.coverage),
            cost_usd: known_cost(&sums).map(NanoUsd::to_usd),
            population_description: description.to_owned(),
            excluded: sums.excluded,
            no_content: sums.no_content,
            missing: sums.drawn_for_reference().saturating_sub(sums.judged),
            method: e.map(|e| e.method.to_string()),
            warnings: e.map(|e| e.warnings.iter().map(|warning| warning.name().to_owned()).collect()).unwrap_or_default(),
            bounds: e.map(|e| [e.bound_low, e.bound_high]),
            judge_version: reference.to_string(),
            calls: sums.calls,
            cost_unknown_calls: sums.cost_unknown,
            human: None,
        }
    }
}

/// Estimate how often a metric's question is answered by yes.
#[utoipa::path(get, path = "/v1/estimates", tag = "results", params(EstimateParams), responses((status = 200, body = EstimatesBody), (status = 400, body = ErrorBody)))]
pub async fn list(
    State(server): State<Arc<Server>>,
    reader: Reader,
    Params(params): Params<EstimateParams>,
) -> Result<Json<EstimatesBody>, ApiError> {
    let project = reader.project(params.project.as_deref())?;
    let (from, to) = range(params.from.as_deref(), params.to.as_deref(), server.clock().now())?;
    let metric = metric(&params.metric)?;
    let level = params.level.unwrap_or(server.settings.report.level);
    if !(level > 0.0 && level < 1.0) {
        return Err(invalid("level", format!("{level} is not within 0 and 1")));
    }
    let group_by = group_by(params.group_by.as_deref(), &server.settings.report.dimensions)?;
    let query = EstimatesQuery { project, metric, from, to, group_by, level };
    let mut groups = report(&*server.results, &query).await?;
    let is_one = groups.windows(2).all(|pair| matches!(pair, [a, b] if a.reference == b.reference));
    let breaks = if is_one { Vec::new() } else { breaks(&*server.results, &query).await? };
    let panel = server.pipeline.panels.of_project(&query.project);
    let configured: Option<&Metric> = panel.policy.metrics.iter().find(|configured| configured.name == query.metric);
    if configured.is_none() && groups.is_empty() {
        let names: Vec<&str> = panel.policy.metrics.iter().map(|metric| metric.name.as_str()).collect();
        return Err(ApiError::new(
            axum::http::StatusCode::NOT_FOUND,
            "unknown_metric",
            format!("metric: there is no metric {:?}; there are {}", query.metric.as_str(), names.join(", ")),
        ));
    }
    if let (Some(reference), GroupBy::All, true) = (configured.and_then(Metric::reference), &query.group_by, groups.is_empty()) {
        let (key, reference) = (String::new(), reference.version.clone());
        groups.push(GroupEstimate { key, reference, estimate: None, sums: assize_core::results::Sums::default() });
    }
    let description =
        configured.map_or_else(|| "interactions with an answer".to_owned(), |metric| population(metric, &panel.policy.sampling));
    let mut humans = match query.group_by {
        GroupBy::All => humans(&server, &query).await?,
        GroupBy::Dimension(_) | GroupBy::Hours(_) => Humans::default(),
    };
    let (tenant, _) = server.access.policies().policy_of(&query.project);
    let gaps = gaps(&server, &tenant, from, to).await?;
    let view = |group: GroupEstimate| {
        let has_gap = !gaps.is_empty() && touches(&gaps, &group.key, &query.group_by);
        let of_people = match humans.too_many {
            true => Some(HumanView::too_many()),
            false => humans.versions.remove(&group.reference).map(HumanView::from),
        };
        let mut view = EstimateView { human: of_people, ..EstimateView::new(named(group, &query.group_by), level, &description) };
        if has_gap {
            view.warnings.push("ingestion_gap".to_owned());
        }
        view
    };
    let groups = groups.into_iter().map(view).collect();
    let breaks = breaks.into_iter().map(|one| BreakView {
        at: one.at.to_rfc3339(),
        from_version: one.old.to_string(),
        to_version: one.new.to_string(),
    });
    let breaks = breaks.collect();
    let gaps = gaps.into_iter().map(GapView::from).collect();
    let (from, to) = (from.to_rfc3339(), to.to_rfc3339());
    Ok(Json(EstimatesBody { metric: query.metric.to_string(), from, to, groups, breaks, gaps }))
}

/// Whether any of `gaps`, which touch the range, touch the time of a group.
fn touches(gaps: &[Gap], key: &str, group_by: &GroupBy) -> bool {
    let GroupBy::Hours(hours) = group_by else { return true };
    let Ok(start) = Timestamp::parse(key) else { return true };
    let end = Timestamp(start.0.saturating_add(hours.saturating_mul(3_600_000)));
    gaps.iter().any(|gap| gap.since < end && gap.until.is_none_or(|until| until > start))
}

async fn humans(server: &Server, query: &EstimatesQuery) -> Result<Humans, ApiError> {
    let EstimatesQuery { project, metric, from, to, level, .. } = query.clone();
    let query = HumanQuery { project, metric, from, to, level };
    Ok(human(&*server.results, &*server.labels, &server.pipeline.panels, &query).await?)
}

fn named(mut group: GroupEstimate, group_by: &GroupBy) -> GroupEstimate {
    match group_by {
        GroupBy::All => "all".clone_into(&mut group.key),
        GroupBy::Dimension(_) if group.key.is_empty() => "(none)".clone_into(&mut group.key),
        GroupBy::Dimension(_) | GroupBy::Hours(_) => {}
    }
    group
}

fn group_by(text: Option<&str>, declared: &[Dimension]) -> Result<GroupBy, ApiError> {
    match text {
        None | Some("") => Ok(GroupBy::All),
        Some("hour") => Ok(GroupBy::Hours(1)),
        Some("day") => Ok(GroupBy::Hours(24)),
        Some(text) => match text.parse::<Dimension>() {
            Ok(dimension) if declared.contains(&dimension) => Ok(GroupBy::Dimension(dimension)),
            Ok(dimension) => {
                let declared: Vec<String> = declared.iter().map(ToString::to_string).collect();
                Err(invalid(
                    "group_by",
                    format!("{dimension} does not roll up: declare it in report.dimensions (declared: {})", declared.join(", ")),
                ))
            }
            Err(error) => Err(invalid("group_by", format!("{error}, hour or day"))),
        },
    }
}
