//! One metric: its rate with the interval, what it rests on, how it went, and how models differ.

use assize_core::{JudgeName, MetricName, NanoUsd};
use maud::{Markup, html};

use super::{Overview, with_gaps};
use crate::ui::chart::axis::Scale;
use crate::ui::chart::bar;
use crate::ui::chart::line::{Break, LineChart, Point};
use crate::ui::format::{self, Rate, count, short_percent};
use crate::ui::layout::simulated_badge;
use crate::ui::visible::isolated;

/// An estimate, and what it rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct EstimateView {
    /// The rate and its interval.
    pub rate: Rate,
    /// Level of the interval, in [0, 1].
    pub level: f64,
    /// What is estimated: `window` (this traffic) or `process` (what produces it).
    pub estimand: String,
    /// Interactions that the estimate speaks of.
    pub population: u64,
    /// Interactions that the reference judge has judged.
    pub judged: u64,
    /// Share of what was drawn that was judged, in [0, 1].
    pub coverage: f64,
    /// What the verdicts cost; `None` where no price is known.
    pub cost: Option<NanoUsd>,
}

/// The rate of one value of a dimension.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupRow {
    /// The value, such as the model; empty where interactions have none.
    pub key: String,
    /// The rate; `None` where nothing was judged.
    pub rate: Option<Rate>,
    /// Interactions judged.
    pub judged: u64,
    /// Interactions that the rate speaks of.
    pub population: u64,
}

/// What the panel of a metric shows.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricPanel {
    /// The metric.
    pub name: MetricName,
    /// What is asked, where it is known.
    pub question: Option<String>,
    /// The estimate over the range; `None` where nothing was judged.
    pub estimate: Option<EstimateView>,
    /// The rate over the range of equal length before this one.
    pub previous: Option<Rate>,
    /// The judge whose verdicts the rate speaks of.
    pub reference: JudgeName,
    /// Its model, if it is one.
    pub reference_model: Option<String>,
    /// What the estimate leaves out or rests on besides, in a sentence: a population that sampling narrows, a change of judge.
    pub note: Option<String>,
    /// The rate over time, one point per bucket of the range. Missing buckets are shown as gaps.
    pub points: Vec<Point>,
    /// Changes of the judge within the range.
    pub breaks: Vec<Break>,
    /// The rate by model.
    pub models: Vec<GroupRow>,
    /// The verdicts come from the simulated provider.
    pub simulated: bool,
}

/// Rows that are shown without unfolding, and at all.
const MODELS_SHOWN: usize = 6;
const MODELS_MAX: usize = 200;

pub(super) fn render(panel: &MetricPanel, view: &Overview) -> Markup {
    let id = format!("metric-{}", panel.name);
    let points = with_gaps(&panel.points, view.from, view.to, view.bucket_ms());
    let level = panel.estimate.as_ref().map_or(0.95, |estimate| estimate.level);
    let chart = LineChart {
        name: panel.name.as_str(),
        points: &points,
        from: view.from,
        to: view.to,
        bucket_ms: view.bucket_ms(),
        level,
        breaks: &panel.breaks,
    };
    html! {
        article.panel aria-labelledby=(id) {
            header {
                h3 id=(id) { a href=(view.explore().with("metric", panel.name.as_str()).build()) { (panel.name) } }
                @if panel.simulated { (simulated_badge()) }
            }
            @if let Some(question) = &panel.question { p.question { (isolated(question)) } }
            @match &panel.estimate {
                Some(estimate) => {
                    (headline(estimate, panel.previous.as_ref(), view.range.label()))
                    (chart.render())
                    (basis(panel, estimate))
                    (models(&panel.models))
                }
                None => (nothing_judged(panel, view)),
            }
        }
    }
}

fn headline(estimate: &EstimateView, previous: Option<&Rate>, range: &str) -> Markup {
    let rate = &estimate.rate;
    html! {
        p.rate {
            strong { (rate.percent()) }
            " "
            span.margin { (rate.margin()) @if !rate.is_exact() { ", " (short_percent(estimate.level)) } }
        }
        p.rate-note {
            @if rate.is_exact() { "Everything was judged: there is no sampling error." }
            @else { "Between " (rate.between()) "." }
            @if let Some(before) = previous { " The " (range) " before: " (before.percent()) " " (before.margin()) "." }
        }
    }
}

fn basis(panel: &MetricPanel, estimate: &EstimateView) -> Markup {
    html! {
        dl.basis {
            div {
                dt { "Judged" }
                dd {
                    (count(estimate.judged)) " of " (count(estimate.population))
                    span.muted { " · " (format::share(estimate.judged, estimate.population)) }
                }
            }
            div {
                dt title="Share of what was drawn that got its verdict. The rest failed, waits, or was over budget." {
                    "Coverage"
                }
                dd { (short_percent(estimate.coverage)) span.muted { " of the drawn" } }
            }
            div { dt { "Cost" } dd { (format::money_or_unknown(estimate.cost)) } }
            div {
                dt { "Judge" }
                dd {
                    (panel.reference)
                    @if let Some(model) = &panel.reference_model {
                        @if model != panel.reference.as_str() { span.muted { " · " (isolated(model)) } }
                    }
                }
            }
            div {
                dt title="What the rate speaks of: this window's traffic, or the process that produces it." { "Estimand" }
                dd { (isolated(&estimate.estimand)) span.muted { (estimand_in_words(&estimate.estimand)) } }
            }
        }
        @if let Some(note) = &panel.note { p.note { (isolated(note)) } }
    }
}

fn estimand_in_words(estimand: &str) -> &'static str {
    match estimand {
        "window" => " · this traffic",
        "process" => " · what produces this traffic",
        _ => "",
    }
}

fn models(rows: &[GroupRow]) -> Markup {
    let most = rows.iter().filter_map(|row| row.rate).filter(Rate::is_finite).map(|rate| rate.high).fold(0.0, f64::max).min(1.0);
    let mut sorted: Vec<&GroupRow> = rows.iter().collect();
    sorted.sort_by(|a, b| b.population.cmp(&a.population).then_with(|| a.key.cmp(&b.key)));
    let (shown, rest) = sorted.split_at(sorted.len().min(MODELS_SHOWN));
    html! {
        @if !rows.is_empty() {
            (model_table(shown, most, "By model"))
            @if !rest.is_empty() {
                details.figures {
                    summary { (count(rest.len() as u64)) " more" }
                    (model_table(&rest[..rest.len().min(MODELS_MAX)], most, "More models"))
                    @if rest.len() > MODELS_MAX { p.muted { "The API has the others." } }
                }
            }
        }
    }
}

fn model_table(rows: &[&GroupRow], most: f64, caption: &str) -> Markup {
    html! {
        table.models role="table" {
            caption { (caption) }
            // The roles repeat what the elements mean: browsers drop it when the style sheet rearranges rows.
            thead role="rowgroup" {
                tr role="row" {
                    th scope="col" role="columnheader" { "Model" }
                    th.num scope="col" role="columnheader" { "Rate" }
                    th.wide scope="col" role="columnheader" {
                        "Interval, 0 to " (format::percent(Scale::new(0.0, most, 4).high, 0))
                    }
                    th.num scope="col" role="columnheader" { "Judged" }
                }
            }
            tbody role="rowgroup" {
                @for row in rows {
                    tr role="row" {
                        th scope="row" role="rowheader" {
                            @if row.key.is_empty() { span.muted { "not named" } } @else { (isolated(&row.key)) }
                        }
                        @match &row.rate {
                            Some(rate) => {
                                td.num.rated role="cell" { (rate.percent()) span.margin { " " (rate.margin()) } }
                                td.wide role="cell" { (bar::interval(rate, most)) }
                            }
                            None => {
                                td.num.rated.muted role="cell" { (format::NONE) } td.wide.muted role="cell" { "none judged" }
                            }
                        }
                        td.num role="cell" { (count(row.judged)) }
                    }
                }
            }
        }
    }
}

fn nothing_judged(panel: &MetricPanel, view: &Overview) -> Markup {
    let counts = || view.outcomes.counts.iter().filter(|count| count.metric == panel.name && count.count > 0);
    let waiting = counts().filter(|count| count.outcome.is_none()).fold(0_u64, |sum, count| sum.saturating_add(count.count));
    html! {
        p.rate.none { strong { "No verdict yet" } }
        @if waiting > 0 {
            p.rate-note {
                (format::counted(waiting, "interaction")) " " @if waiting == 1 { "waits" } @else { "wait" } " for the judge "
                strong { (panel.reference) } ". The rate appears with the first verdicts."
            }
        } @else if counts().next().is_none() {
            p.rate-note { "Nothing that this metric is asked about came in during the last " (view.range.label()) "." }
        } @else {
            p.rate-note {
                "In the last " (view.range.label()) " the judge " strong { (panel.reference) } " gave no verdict. "
                a href="#outcomes" { "Outcomes" } " say why."
            }
        }
    }
}
