//! What judging costs: today against the budget, where it goes, and what it would have cost.

mod savings;
mod split;
mod tenants;
mod today;

use assize_core::results::Spend;
use assize_core::{NanoUsd, Timestamp};
use maud::{Markup, html};

use crate::ui::chart::bar::{Column, Columns};
use crate::ui::format::{count, counted, money, short_percent, utc};
use crate::ui::layout::{self, Layout, Section, simulated_badge};
use crate::ui::link::Href;
use crate::ui::overview::{Range, dollars};

pub use savings::SavingsPanel;
pub use split::SplitRow;
pub use tenants::TenantRow;
pub use today::{DegradationRow, TodayPanel};

/// Where the page is.
pub const PATH: &str = "/spend";

/// What the page shows.
#[derive(Debug, Clone, PartialEq)]
pub struct SpendPage {
    /// The frame.
    pub layout: Layout,
    /// The range that was chosen: of everything but today.
    pub range: Range,
    /// Its first instant.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
    /// The budgets; `None` where this process keeps no ledger.
    pub today: Option<TodayPanel>,
    /// The project's spend in the range.
    pub total: Spend,
    /// Interactions that the project accepted in it.
    pub interactions: u64,
    /// Over time: where an hour (range of 24 hours) or a day (UTC) begins, and what was spent in it. Missing ones are empty.
    pub over_time: Vec<(Timestamp, Spend)>,
    /// By metric.
    pub by_metric: Vec<SplitRow>,
    /// By judge.
    pub by_judge: Vec<SplitRow>,
    /// By as what judges were asked.
    pub by_tier: Vec<SplitRow>,
    /// By project of the same tenant.
    pub by_project: Vec<SplitRow>,
    /// What it would have cost.
    pub savings: SavingsPanel,
    /// Who spends most today.
    pub tenants: Vec<TenantRow>,
    /// Part of it is play money of the simulated provider.
    pub simulated: bool,
}

impl SpendPage {
    /// The same numbers as a file.
    fn csv(&self, group_by: &str) -> String {
        Href::new("/v1/spend")
            .with("project", self.layout.project.as_str())
            .with("from", &self.from.to_rfc3339())
            .with("to", &self.to.to_rfc3339())
            .with("group_by", group_by)
            .with("format", "csv")
            .build()
    }
}

/// The page.
pub fn render(view: &SpendPage) -> Markup {
    let project = view.layout.project.as_str();
    let body = html! {
        div.heading {
            h1 { "Spend" @if view.simulated { " " (simulated_badge()) } }
            nav.ranges aria-label="Range" {
                @for range in Range::ALL {
                    a href=(Href::new(PATH).with("project", project).with("range", range.as_str()).build())
                        aria-current=[(range == view.range).then_some("true")] { (range.label()) }
                }
            }
        }
        div #spend-page data-live {
            @match &view.today {
                Some(today) => (today::render(today, view.layout.now)),
                None => p.empty { "This process keeps no ledger: budgets are shown by the one that scores." },
            }
            section aria-labelledby="range-title" {
                h2 #range-title { "The last " (view.range.label()) " of " (view.layout.project) }
                @if view.total.calls == 0 && view.total.reused == 0 {
                    p.empty { "No judge was called in this time. Free judges cost nothing and are not counted here." }
                } @else {
                    (over_time(view))
                    div.panels {
                        (split::render("By metric", "Metric", &view.by_metric, view.interactions))
                        (split::render("By judge", "Judge", &view.by_judge, view.interactions))
                        (split::render("By tier", "Asked as", &view.by_tier, view.interactions))
                        @if view.by_project.len() > 1 {
                            (split::render("By project of the tenant", "Project", &view.by_project, view.interactions))
                        }
                    }
                    p.note {
                        "As CSV: "
                        @for (at, by) in ["day", "hour", "metric", "judge", "tier", "model"].into_iter().enumerate() {
                            @if at > 0 { ", " }
                            a href=(view.csv(by)) { "by " (by) }
                        }
                        "."
                    }
                }
            }
            (savings::render(&view.savings, view.range))
            (tenants::render(&view.tenants))
        }
    };
    layout::page(&view.layout, Section::Spend, "Spend", &[("range", view.range.as_str())], true, &body)
}

/// What a thousand interactions cost.
fn per_1000(cost: NanoUsd, interactions: u64) -> Option<NanoUsd> {
    let each = (u128::from(cost.0) * 1_000).div_ceil(u128::from(std::num::NonZeroU64::new(interactions)?.get()));
    Some(NanoUsd(u64::try_from(each).unwrap_or(u64::MAX)))
}

fn over_time(view: &SpendPage) -> Markup {
    let total = &view.total;
    let (hours, unit, pattern) = match view.range {
        Range::Day => (1, "hour", "%-d %b, %H:%M"),
        Range::Week | Range::Month => (24, "day", "%-d %b"),
    };
    let columns: Vec<Column> = view
        .over_time
        .iter()
        .map(|(at, spend)| Column {
            at: *at,
            value: spend.cost.to_usd(),
            title: format!("{}: {}, {}", utc(*at, pattern), money(spend.cost), counted(spend.calls, "call")),
        })
        .collect();
    let most = view.over_time.iter().max_by_key(|(_, spend)| spend.cost);
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
    let cached = total.cached_input_tokens as f64 / (total.input_tokens as f64).max(1.0);
    html! {
        article.panel {
            p.rate {
                strong { (money(total.cost)) }
                @if let Some(each) = per_1000(total.cost, view.interactions) {
                    span.margin { (money(each)) " per 1,000 interactions" }
                }
            }
            p.rate-note {
                (counted(view.interactions, "interaction")) ", " (counted(total.calls, "call"))
                @if total.questions > total.calls { " with " (count(total.questions)) " questions" }
                @if total.failed > 0 { ", " (count(total.failed)) " without a verdict" }
                @if total.cost_unknown > 0 { ", " (count(total.cost_unknown)) " of unknown cost" }
                ". " (count(total.input_tokens)) " tokens in"
                @if total.cached_input_tokens > 0 { " (" (short_percent(cached.min(1.0))) " from the prompt cache)" }
                ", " (count(total.output_tokens)) " out."
            }
            h3.minor { "Per " (unit) }
            (chart.render())
        }
    }
}
