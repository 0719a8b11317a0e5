//! What judging cost.

use assize_core::results::Spend;
use assize_core::{NanoUsd, Timestamp};
use maud::{Markup, html};

use super::{Overview, Range};
use crate::ui::chart::bar::{self, Column, Columns};
use crate::ui::format::{count, counted, money, short_percent, utc};
use crate::ui::layout::simulated_badge;
use crate::ui::visible::isolated;

/// What the spend panel shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SpendPanel {
    /// Everything in the range.
    pub total: Spend,
    /// By judge.
    pub by_judge: Vec<(String, Spend)>,
    /// By metric.
    pub by_metric: Vec<(String, Spend)>,
    /// Over time: where an hour (range of 24 hours) or a day (UTC) begins, and what was spent in it. Missing ones are empty.
    pub over_time: Vec<(Timestamp, Spend)>,
    /// Part of it is play money of the simulated provider.
    pub simulated: bool,
}

/// Rows of a table at the most.
const ROWS_MAX: usize = 12;

pub(super) fn render(view: &Overview) -> Markup {
    let panel = &view.spend;
    let total = &panel.total;
    html! {
        section #spend aria-labelledby="spend-title" {
            h2 #spend-title { "Spend" @if panel.simulated { " " (simulated_badge()) } }
            @if total.calls == 0 {
                p.empty {
                    "No judge was called in the last " (view.range.label()) ". Free judges cost nothing and are not counted here."
                }
            } @else {
                div.panels {
                    article.panel {
                        p.rate { strong { (money(total.cost)) } " " span.margin { "in " (view.range.label()) } }
                        p.rate-note {
                            (counted(total.calls, "call"))
                            @if total.questions > total.calls { " with " (count(total.questions)) " questions" }
                            @if total.failed > 0 { ", " (count(total.failed)) " without a verdict" }
                            @if total.cost_unknown > 0 { ", " (count(total.cost_unknown)) " of unknown cost" }
                            ". " (count(total.input_tokens)) " tokens in"
                            @if total.cached_input_tokens > 0 {
                                " (" (cached_share(total)) " from the prompt cache)"
                            }
                            ", " (count(total.output_tokens)) " out."
                            @if total.reused > 0 {
                                " " (counted(total.reused, "verdict")) " used again, " (money(total.saved)) " saved."
                            }
                        }
                        (over_time(view))
                    }
                    article.panel {
                        (split("By judge", "Judge", &panel.by_judge))
                        (split("By metric", "Metric", &panel.by_metric))
                    }
                }
            }
        }
    }
}

/// The share of the input tokens that the provider's cache had.
fn cached_share(total: &Spend) -> String {
    let share = total.cached_input_tokens as f64 / (total.input_tokens as f64).max(1.0);
    short_percent(share.min(1.0))
}

fn over_time(view: &Overview) -> Markup {
    let (hours, unit, pattern) = match view.range {
        Range::Day => (1, "hour", "%-d %b, %H:%M"),
        Range::Week | Range::Month => (24, "day", "%-d %b"),
    };
    let columns: Vec<Column> = view
        .spend
        .over_time
        .iter()
        .map(|(at, spend)| Column {
            at: *at,
            value: spend.cost.to_usd(),
            title: format!("{}: {}, {}", utc(*at, pattern), money(spend.cost), counted(spend.calls, "call")),
        })
        .collect();
    let most = view.spend.over_time.iter().max_by_key(|(_, spend)| spend.cost);
    let alternative = match most {
        Some((at, spend)) => format!("Spend per {unit}: at most {}, on {}", money(spend.cost), utc(*at, pattern)),
        None => format!("Spend per {unit}: nothing"),
    };
    let chart = Columns {
        columns: &columns,
        from: view.from,
        to: view.to,
        bucket_ms: hours * 3_600_000,
        alternative: &alternative,
        label: dollars,
    };
    html! {
        h3.minor { "Per " (unit) }
        (chart.render())
    }
}

/// A tick of the axis: round already.
pub(in crate::ui) fn dollars(usd: f64) -> String {
    if usd <= 0.0 {
        "$0".to_owned()
    } else if usd >= 1e6 {
        format!("${:.0}M", usd / 1e6)
    } else if usd >= 10_000.0 {
        format!("${:.0}k", usd / 1e3)
    } else if usd >= 1.0 {
        format!("${}", (usd * 100.0).round() / 100.0)
    } else {
        money(NanoUsd((usd * 1e9).round() as u64))
    }
}

fn split(caption: &str, column: &str, rows: &[(String, Spend)]) -> Markup {
    let mut sorted: Vec<&(String, Spend)> = rows.iter().collect();
    sorted.sort_by(|a, b| b.1.cost.cmp(&a.1.cost).then_with(|| a.0.cmp(&b.0)));
    let most = sorted.first().map_or(0.0, |(_, spend)| spend.cost.to_usd());
    html! {
        @if !rows.is_empty() {
            table.split {
                caption { (caption) }
                thead {
                    tr {
                        th scope="col" { (column) }
                        th.wide scope="col" { span.visually-hidden { "Share" } }
                        th.num scope="col" { "Cost" }
                        th.num scope="col" { "Calls" }
                    }
                }
                tbody {
                    @for (name, spend) in sorted.iter().take(ROWS_MAX) {
                        tr {
                            th scope="row" { (isolated(name)) }
                            td.wide { (bar::amount(spend.cost.to_usd(), most)) }
                            td.num {
                                (money(spend.cost))
                                @if spend.cost_unknown > 0 {
                                    span title={ (count(spend.cost_unknown)) " calls of unknown cost" } { " +" }
                                }
                            }
                            td.num { (count(spend.calls)) }
                        }
                    }
                }
            }
            @if rows.len() > ROWS_MAX { p.muted { (count((rows.len() - ROWS_MAX) as u64)) " more in the API." } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_of_money_are_short() {
        for (usd, text) in [(0.0, "$0"), (0.005, "$0.0050"), (2.5, "$2.5"), (200.0, "$200"), (20_000.0, "$20k"), (3e6, "$3M")] {
            assert_eq!(dollars(usd), text);
        }
    }
}
