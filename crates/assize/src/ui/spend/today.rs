//! Today and this month against their budgets, and what is done without for their sake.

use assize_core::projection::Standing;
use assize_core::{NanoUsd, TenantName, Timestamp};
use maud::{Markup, html};

use crate::ui::chart::budget::Rail;
use crate::ui::format::{count, instant, money, share, short_percent, utc};
use crate::ui::visible::isolated;

/// How budgets stand.
#[derive(Debug, Clone, PartialEq)]
pub struct TodayPanel {
    /// Who pays for the project.
    pub tenant: TenantName,
    /// In whose days it counts.
    pub zone: String,
    /// Its day.
    pub day: Standing,
    /// Its month.
    pub month: Standing,
    /// All tenants' day and month, in UTC.
    pub platform: Option<(Standing, Standing)>,
    /// By how much probabilities are scaled down right now, in (0, 1].
    pub pace: f64,
    /// What was done without within a day, oldest first.
    pub degradations: Vec<DegradationRow>,
}

/// Something that was done without.
#[derive(Debug, Clone, PartialEq)]
pub struct DegradationRow {
    /// What and why, in a sentence without its full stop.
    pub message: String,
    /// Since when.
    pub since: Timestamp,
    /// When last.
    pub last: Timestamp,
    /// How often.
    pub count: u64,
}

/// The section.
pub fn render(panel: &TodayPanel, now: Timestamp) -> Markup {
    html! {
        section aria-labelledby="today-title" {
            h2 #today-title { "Today, against the budget" }
            div.panels {
                article.panel {
                    header {
                        h3 { "Tenant " (isolated(panel.tenant.as_str())) }
                        span.muted { (panel.day.period) " in " (panel.zone) }
                    }
                    (standing(&panel.day, "today"))
                    (standing_short("This month", &panel.month))
                    @if panel.pace < 0.999 {
                        p.pace {
                            span.badge.trouble { "Pacing" }
                            " Drawing at " (short_percent(panel.pace)) " of the usual rate, so that the budget lasts. Rates stay unbiased; "
                            "their intervals are wider."
                        }
                    }
                }
                @if let Some((day, month)) = &panel.platform {
                    article.panel {
                        header { h3 { "All tenants" } span.muted { (day.period) " in UTC" } }
                        (standing(day, "today"))
                        (standing_short("This month", month))
                    }
                }
            }
            @if !panel.degradations.is_empty() { (degradations(&panel.degradations, now)) }
        }
    }
}

fn standing(standing: &Standing, when: &str) -> Markup {
    let balance = standing.balance;
    let committed = balance.committed();
    html! {
        p.rate {
            strong { (money(committed)) }
            span.margin {
                @match standing.budget {
                    Some(budget) => { "of " (money(budget)) @if let Some(part) = standing.share() { ", " (short_percent((part * 1_000.0).round() / 1_000.0)) } },
                    None => { (when) ", no budget set" },
                }
            }
        }
        p.rate-note {
            (money(balance.spent)) " spent"
            @if balance.reserved > NanoUsd::ZERO { ", " (money(balance.reserved)) " set aside for calls under way" }
            @if balance.assumed > NanoUsd::ZERO { ", " (money(balance.assumed)) " assumed where nobody told the cost" }
            "."
        }
        (rail(standing, when))
        p.outlook { (outlook(standing)) }
    }
}

/// Where it is going, in a sentence.
fn outlook(standing: &Standing) -> Markup {
    let passed = standing.passed();
    html! {
        @match standing.projection {
            None => "Too early to say where the day ends.",
            Some(seen) => {
                "On course for " strong { (money(seen.total)) } " by the end of the day"
                @match seen.used_up_at {
                    Some(at) if standing.balance.committed() >= standing.budget.unwrap_or(NanoUsd(u64::MAX)) => {
                        @let _ = at;
                        "; the budget is used up, and no more is paid."
                    }
                    Some(at) => { "; the budget would be used up at about " (utc(at, "%H:%M")) " UTC." },
                    None => ".",
                }
            }
        }
        @if let Some(last) = passed.last() { " " span.badge.trouble { (last) " % passed" } }
    }
}

fn rail(standing: &Standing, when: &str) -> Markup {
    let balance = standing.balance;
    let rail = Rail {
        certain: balance.certain().to_usd(),
        reserved: balance.reserved.to_usd(),
        projected: standing.projection.map(|seen| seen.total.to_usd()),
        budget: standing.budget.map(NanoUsd::to_usd),
    };
    let of = standing.budget.map(|budget| format!(" of {}", money(budget))).unwrap_or_default();
    let goes_on = standing.projection.map(|seen| format!(", on course for {}", money(seen.total))).unwrap_or_default();
    rail.render(&format!("{}{of} {when}{goes_on}", money(balance.committed())))
}

/// A line for the month.
fn standing_short(title: &str, standing: &Standing) -> Markup {
    let committed = standing.balance.committed();
    html! {
        p.month {
            span.muted { (title) ": " } (money(committed))
            @if let Some(budget) = standing.budget {
                " of " (money(budget)) " (" (share(committed.0, budget.0)) ")"
            }
            @if let Some(seen) = standing.projection { span.muted { ", on course for " (money(seen.total)) } }
            @if let Some(at) = standing.projection.and_then(|seen| seen.used_up_at) {
                span.muted { ", used up on " (utc(at, "%-d %b")) }
            }
        }
    }
}

fn degradations(rows: &[DegradationRow], now: Timestamp) -> Markup {
    html! {
        div.notice.degraded {
            h3 { "Done without for want of money, in the last day" }
            ul {
                @for row in rows.iter().rev() {
                    li {
                        p { (isolated(&row.message)) "." }
                        p.muted {
                            @if row.count == 1 { "Once, at " (instant(row.since, now)) }
                            @else { (count(row.count)) " times, from " (instant(row.since, now)) " to " (instant(row.last, now)) }
                        }
                    }
                }
            }
            p.muted { "Each interaction that was left out says so itself." }
        }
    }
}
