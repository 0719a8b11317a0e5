//! What became of everything that was accepted, per metric.

use std::collections::BTreeMap;

use assize_core::results::OutcomeCount;
use assize_core::{MetricName, Outcome};
use maud::{Markup, html};

use super::Overview;
use crate::ui::chart::stacked::{self, Part};
use crate::ui::format::{count, counted, share};
use crate::ui::link::Href;
use crate::ui::outcome::{DRAWN, explanation, is_trouble, label, style};
use crate::ui::visible::isolated;

pub(super) fn render(view: &Overview) -> Markup {
    // In the order of the panels; a metric that is no longer configured still has outcomes.
    let mut metrics: Vec<&MetricName> = view.metrics.iter().map(|panel| &panel.name).collect();
    for counted in &view.outcomes.counts {
        if !metrics.contains(&&counted.metric) {
            metrics.push(&counted.metric);
        }
    }
    html! {
        section #outcomes aria-labelledby="outcomes-title" {
            h2 #outcomes-title { "Outcomes" }
            p.section-note { "Everything accepted ends in exactly one outcome per metric. What was not judged has a reason." }
            div.panels {
                @for metric in metrics { (one(metric, view)) }
            }
        }
    }
}

fn one(metric: &MetricName, view: &Overview) -> Markup {
    let counts: Vec<&OutcomeCount> =
        view.outcomes.counts.iter().filter(|count| &count.metric == metric && count.count > 0).collect();
    let of = |outcome: Option<Outcome>| {
        counts.iter().filter(|count| count.outcome == outcome).fold(0_u64, |sum, count| sum.saturating_add(count.count))
    };
    let total = counts.iter().fold(0_u64, |sum, count| sum.saturating_add(count.count));
    let present: Vec<(Option<Outcome>, u64)> =
        DRAWN.into_iter().map(|outcome| (outcome, of(outcome))).filter(|(_, n)| *n > 0).collect();
    let sentence = |(outcome, n): &(Option<Outcome>, u64)| format!("{}: {} ({})", label(*outcome), count(*n), share(*n, total));
    let parts: Vec<Part> =
        present.iter().map(|part| Part { value: part.1, style: style(part.0), title: sentence(part) }).collect();
    let alternative = format!("{metric}: {}", present.iter().map(sentence).collect::<Vec<_>>().join(", "));
    html! {
        article.panel.outcome {
            header { h3 { (metric) } span.muted { (counted(total, "interaction")) } }
            @if total == 0 {
                p.muted { "Nothing yet." }
            } @else {
                (stacked::bar(&parts, &alternative))
                table.outcomes role="table" {
                    caption.visually-hidden { "Outcomes of " (metric) }
                    thead.visually-hidden role="rowgroup" {
                        tr role="row" {
                            @for name in ["Outcome", "Count", "Share", "Reasons"] {
                                th scope="col" role="columnheader" { (name) }
                            }
                        }
                    }
                    tbody role="rowgroup" {
                        @for (outcome, n) in &present {
                            tr.trouble[is_trouble(*outcome)] role="row" {
                                th scope="row" role="rowheader" title=(explanation(*outcome)) {
                                    (style(*outcome).swatch())
                                    @match outcome {
                                        Some(known) => a href=(link(view, metric, *known)) { (label(*outcome)) },
                                        None => (label(None)),
                                    }
                                }
                                td.num role="cell" { (count(*n)) }
                                td.num.muted role="cell" { (share(*n, total)) }
                                td.why role="cell" { (reasons(&counts, *outcome)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn link(view: &Overview, metric: &MetricName, outcome: Outcome) -> String {
    Href::new("/explore")
        .with("project", view.layout.project.as_str())
        .with("metric", metric.as_str())
        .with("outcome", outcome.as_str())
        .build()
}

/// Reasons of one outcome, the most frequent first, where more is known than the outcome.
fn reasons(counts: &[&OutcomeCount], outcome: Option<Outcome>) -> Markup {
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for count in counts.iter().filter(|count| count.outcome == outcome && !count.reason.is_empty()) {
        let sum = reasons.entry(count.reason.as_str()).or_default();
        *sum = sum.saturating_add(count.count);
    }
    reasons.remove(outcome.map_or("", Outcome::as_str));
    let mut sorted: Vec<_> = reasons.into_iter().collect();
    sorted.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    html! {
        @for (i, (reason, n)) in sorted.iter().take(REASONS_MAX).enumerate() {
            @if i > 0 { ", " }
            code { (isolated(reason)) }
            @if sorted.len() > 1 { " " (count(*n)) }
        }
        @if sorted.len() > REASONS_MAX { ", and " (count((sorted.len() - REASONS_MAX) as u64)) " more" }
    }
}

/// Reasons that are named beside an outcome.
const REASONS_MAX: usize = 8;
