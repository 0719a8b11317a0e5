//! A table of spend by something.

use assize_core::results::Spend;
use maud::{Markup, html};

use super::per_1000;
use crate::ui::chart::bar;
use crate::ui::format::{NONE, count, money};
use crate::ui::visible::isolated;

/// The spend of one name.
#[derive(Debug, Clone, PartialEq)]
pub struct SplitRow {
    /// The name as shown.
    pub name: String,
    /// Its spend.
    pub spend: Spend,
    /// Its own interactions; those of all where `None`.
    pub interactions: Option<u64>,
}

/// Rows of a table at the most.
const ROWS_MAX: usize = 12;

/// The panel of a table; nothing without rows.
pub fn render(title: &str, column: &str, rows: &[SplitRow], interactions: u64) -> Markup {
    let mut sorted: Vec<&SplitRow> = rows.iter().filter(|row| row.spend.calls > 0 || row.spend.cost.0 > 0).collect();
    sorted.sort_by(|a, b| b.spend.cost.cmp(&a.spend.cost).then_with(|| a.name.cmp(&b.name)));
    let most = sorted.first().map_or(0.0, |row| row.spend.cost.to_usd());
    html! {
        @if !sorted.is_empty() {
            article.panel {
                table.split.spent {
                    caption { (title) }
                    thead {
                        tr {
                            th scope="col" { (column) }
                            th.wide scope="col" { span.visually-hidden { "Share" } }
                            th.num scope="col" { "Cost" }
                            th.num scope="col" title="Per 1,000 interactions that were accepted" { "Per 1,000" }
                            th.num scope="col" { "Calls" }
                        }
                    }
                    tbody {
                        @for row in sorted.iter().take(ROWS_MAX) {
                            tr {
                                th scope="row" { (isolated(&row.name)) }
                                td.wide { (bar::amount(row.spend.cost.to_usd(), most)) }
                                td.num {
                                    (money(row.spend.cost))
                                    @if row.spend.cost_unknown > 0 {
                                        span title={ (count(row.spend.cost_unknown)) " calls of unknown cost" } { " +" }
                                    }
                                }
                                td.num {
                                    (per_1000(row.spend.cost, row.interactions.unwrap_or(interactions)).map_or(NONE.to_owned(), money))
                                }
                                td.num { (count(row.spend.calls)) }
                            }
                        }
                    }
                }
                @if sorted.len() > ROWS_MAX { p.muted { (count((sorted.len() - ROWS_MAX) as u64)) " more in the API." } }
            }
        }
    }
}
