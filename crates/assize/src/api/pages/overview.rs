//! Fills the overview.

use std::sync::Arc;

use assize_core::results::{Outcomes, SpendBy};
use assize_core::{Dimension, Metric, Outcome, StoreError, Timestamp};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::{Viewer, page_of_error, start_of};
use crate::api::Server;
use crate::api::spend::total;
use crate::pipeline::judges::in_use;
use crate::pipeline::models::Drift;
use crate::pipeline::panel::Panel;
use crate::pipeline::report::{EstimatesQuery, GroupBy, GroupEstimate, breaks, known_cost, population, report};
use crate::ui::chart::line::{Break, Point};
use crate::ui::format::{Rate, utc};
use crate::ui::overview::{self, EstimateView, GroupRow, IngestCounter, IngestPanel, MetricPanel, Overview, Range, SpendPanel};

#[derive(Deserialize)]
pub struct OverviewParams {
    #[serde(default)]
    range: String,
}

/// The overview.
pub async fn show(
    State(server): State<Arc<Server>>,
    viewer: Viewer,
    headers: HeaderMap,
    Query(params): Query<OverviewParams>,
) -> Result<Response, Response> {
    let range = if params.range.is_empty() { Range::Week } else { Range::from_query(&params.range) };
    let view = fill(&server, &viewer, range, &headers).await.map_err(|error| page_of_error(error.into()))?;
    Ok(overview::render(&view).into_response())
}

async fn fill(server: &Server, viewer: &Viewer, range: Range, headers: &HeaderMap) -> Result<Overview, StoreError> {
    let layout = viewer.layout(server);
    let (from, to) = range.bounds(layout.now);
    let panel = server.pipeline.panels.of_project(&viewer.project);
    let mut metrics = Vec::new();
    for metric in &panel.policy.metrics {
        metrics.push(metric_panel(server, viewer, &panel, metric, range, (from, to)).await?);
    }
    let outcomes = server.results.outcomes(&viewer.project, from, to).await?;
    Ok(Overview {
        range,
        from,
        to,
        metrics,
        without_text: without_text(&outcomes),
        outcomes,
        spend: spend_panel(server, viewer, range, (from, to), panel.simulated).await?,
        queue: server.pipeline.queue.depth(layout.now).await?,
        ingest: ingest_panel(server),
        endpoint: endpoint(headers),
        layout,
    })
}

async fn metric_panel(
    server: &Server,
    viewer: &Viewer,
    panel: &Panel,
    metric: &Metric,
    range: Range,
    (from, to): (Timestamp, Timestamp),
) -> Result<MetricPanel, StoreError> {
    let level = server.settings.report.level;
    let query = |from, to, group_by| EstimatesQuery {
        project: viewer.project.clone(),
        metric: metric.name.clone(),
        from,
        to,
        group_by,
        level,
    };
    let current = |groups: Vec<GroupEstimate>| -> Vec<GroupEstimate> {
        groups.into_iter().filter(|group| metric.reference().is_some_and(|tier| tier.version == group.reference)).collect()
    };
    let all = report(&*server.results, &query(from, to, GroupBy::All)).await?;
    let versions = all.len();
    let whole = current(all).into_iter().next();
    let breaks = if versions > 1 { breaks(&*server.results, &query(from, to, GroupBy::All)).await? } else { Vec::new() };
    let breaks = breaks.into_iter().map(|one| Break { at: one.at, from: one.old.to_string(), to: one.new.to_string() }).collect();
    let before = report(&*server.results, &query(from.minus(range.duration()), from, GroupBy::All)).await?;
    let previous = current(before).into_iter().next().and_then(|group| rate(&group));
    let over_time = report(&*server.results, &query(from, to, GroupBy::Hours(range.bucket_hours()))).await?;
    let by_model = report(&*server.results, &query(from, to, GroupBy::Dimension(Dimension::Model))).await?;
    let points = current(over_time).into_iter().filter_map(|group| {
        Some(Point { at: Timestamp::parse(&group.key).ok()?, rate: rate(&group), judged: group.sums.judged })
    });
    let rows = |group: GroupEstimate| GroupRow {
        rate: rate(&group),
        judged: group.sums.judged,
        population: group.sums.population,
        key: group.key,
    };
    let reference = metric.reference().map(|tier| tier.judge.clone());
    let at = panel.policy.metrics.iter().position(|one| one.name == metric.name);
    let called = at.and_then(|at| panel.seats.get(at)).and_then(|seats| seats.called.last());
    Ok(MetricPanel {
        name: metric.name.clone(),
        question: at.and_then(|at| panel.questions.get(at).cloned()).flatten(),
        estimate: whole.as_ref().and_then(estimate_view),
        previous,
        reference: reference.unwrap_or_else(|| unreachable!("a policy refuses an empty cascade")),
        reference_model: called.map(|seat| seat.judge.model().to_owned()),
        note: note(server, panel, metric, versions),
        points: points.collect(),
        breaks,
        models: current(by_model).into_iter().map(rows).collect(),
        simulated: panel.simulated && !metric.is_free(),
    })
}

fn rate(group: &GroupEstimate) -> Option<Rate> {
    group.estimate.as_ref().map(|estimate| Rate { value: estimate.value, low: estimate.low, high: estimate.high })
}

fn estimate_view(group: &GroupEstimate) -> Option<EstimateView> {
    let estimate = group.estimate.as_ref()?;
    Some(EstimateView {
        rate: rate(group)?,
        level: estimate.level,
        estimand: estimate.estimand.name().to_owned(),
        population: group.sums.population,
        judged: group.sums.judged,
        coverage: estimate.coverage,
        cost: known_cost(&group.sums),
    })
}

fn note(server: &Server, panel: &Panel, metric: &Metric, versions: usize) -> Option<String> {
    let narrowed = population(metric, &panel.policy.sampling);
    let mut parts = Vec::new();
    if narrowed != crate::pipeline::report::EVERYTHING {
        parts.push(format!("It speaks of {narrowed}."));
    }
    if versions > 1 {
        parts.push("The judge changed within this range; only verdicts of the present version count here.".to_owned());
    }
    for judge in in_use(panel).iter().filter(|judge| judge.metric == metric.name) {
        if let Some(Drift { from, to, since }) = server.pipeline.models.drift(&judge.version) {
            let since = utc(since, "%-d %b %Y, %H:%M");
            parts.push(format!(
                "The judge {} was answered for by {from}, and since {since} by {to}: the same name, another model.",
                judge.judge
            ));
        }
        parts.extend(judge.warning(server.clock().now()).map(|warning| format!("Note that {warning}.")));
    }
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// Interactions without an answer's text. Every metric says the same of them, so the largest count is theirs.
fn without_text(outcomes: &Outcomes) -> u64 {
    let no_text = outcomes.counts.iter().filter(|count| count.outcome == Some(Outcome::NoContent) && count.reason == "no_text");
    no_text.map(|count| count.count).max().unwrap_or(0)
}

async fn spend_panel(
    server: &Server,
    viewer: &Viewer,
    range: Range,
    (from, to): (Timestamp, Timestamp),
    simulated: bool,
) -> Result<SpendPanel, StoreError> {
    let by = |by| server.results.spend(&viewer.project, from, to, by);
    let over_time = by(if range == Range::Day { SpendBy::Hour } else { SpendBy::Day }).await?;
    let by_judge = by(SpendBy::Judge).await?;
    Ok(SpendPanel {
        total: total(by_judge.values()),
        by_judge: by_judge.into_iter().collect(),
        by_metric: by(SpendBy::Metric).await?.into_iter().collect(),
        over_time: over_time.into_iter().filter_map(|(key, spend)| Some((start_of(&key)?, spend))).collect(),
        simulated,
    })
}

fn ingest_panel(server: &Server) -> IngestPanel {
    let counts = server.pipeline.counters.ingest();
    let counter = |label: &str, value, note: &str| IngestCounter { label: label.to_owned(), value, note: note.to_owned() };
    IngestPanel {
        since: Some(server.started),
        counters: vec![
            counter("Accepted", counts.accepted, "on disk when acknowledged"),
            counter("Duplicates", counts.duplicates, "ids that had come before; they changed nothing"),
            counter("Rejected items", counts.rejected, "items that were no interaction; the sender was told which and why"),
            counter("Refused requests", counts.refused, "wrong keys, unreadable bodies, overload"),
            counter("Other spans", counts.spans_ignored, "spans that are not calls of a model"),
        ],
    }
}

fn endpoint(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1:4318");
    format!("http://{host}")
}
