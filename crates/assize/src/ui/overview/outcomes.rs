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
                ul.legend {
                    @for (outcome, n) in &present {
                        li.trouble[is_trouble(*outcome)] title=(explanation(*outcome)) {
                            (style(*outcome).swatch())
                            @match outcome {
                                Some(known) => a href=(link(view, metric, *known)) { (label(*outcome)) },
                                None => (label(None)),
                            }
                            span.num { (count(*n)) }
                            span.num.muted { (share(*n, total)) }
                        }
                    }
                }
                (reasons(&counts))
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

/// Why things were not judged, where more is known than the outcome.
fn reasons(counts: &[&OutcomeCount]) -> Markup {
    let mut reasons: BTreeMap<(Option<Outcome>, &str), u64> = BTreeMap::new();
    for count in
        counts.iter().filter(|count| !count.reason.is_empty() && count.reason != count.outcome.map_or("", Outcome::as_str))
    {
        let sum = reasons.entry((count.outcome, count.reason.as_str())).or_default();
        *sum = sum.saturating_add(count.count);
    }
    let mut sorted: Vec<_> = reasons.into_iter().collect();
    sorted.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    html! {
        @if !sorted.is_empty() {
            table.reasons {
                caption { "Reasons" }
                thead.visually-hidden { tr { th scope="col" { "Outcome" } th scope="col" { "Reason" } th scope="col" { "Count" } } }
                tbody {
                    @for ((outcome, reason), n) in sorted.iter().take(20) {
                        tr { td { (label(*outcome)) } td { code { (isolated(reason)) } } td.num { (count(*n)) } }
                    }
                }
            }
        }
    }
}
