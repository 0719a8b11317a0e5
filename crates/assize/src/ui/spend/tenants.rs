//! Who spends most today.

use assize_core::NanoUsd;
use maud::{Markup, html};

use crate::ui::chart::bar;
use crate::ui::format::{NONE, count, money, share};
use crate::ui::visible::isolated;

/// A tenant's day.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantRow {
    /// Its name.
    pub name: String,
    /// Committed so far.
    pub today: NanoUsd,
    /// The most that may be.
    pub budget: Option<NanoUsd>,
    /// The whole day before.
    pub yesterday: NanoUsd,
    /// Against the day before up to the same time; `None` where that was nothing.
    pub change: Option<f64>,
    /// Calls today.
    pub calls: u64,
}

/// The section; nothing while nobody spends.
pub fn render(rows: &[TenantRow]) -> Markup {
    let most = rows.iter().map(|row| row.today.to_usd()).fold(0.0, f64::max);
    html! {
        @if !rows.is_empty() {
            section aria-labelledby="tenants-title" {
                h2 #tenants-title { "Tenants by spend today" }
                article.panel {
                    table.split.spent.tenants {
                        caption.visually-hidden { "Tenants by spend today" }
                        thead {
                            tr {
                                th scope="col" { "Tenant" }
                                th.wide scope="col" { span.visually-hidden { "Share" } }
                                th.num scope="col" { "Today" }
                                th.num scope="col" { "Of budget" }
                                th.num scope="col" title="Against the day before up to the same time of day" { "Change" }
                                th.num.yesterday scope="col" { "Yesterday" }
                                th.num.calls scope="col" { "Calls" }
                            }
                        }
                        tbody {
                            @for row in rows {
                                tr {
                                    th scope="row" { (isolated(&row.name)) }
                                    td.wide { (bar::amount(row.today.to_usd(), most)) }
                                    td.num { (money(row.today)) }
                                    td.num { (row.budget.map_or(NONE.to_owned(), |budget| share(row.today.0, budget.0))) }
                                    td.num { (change(row.change)) }
                                    td.num.yesterday { (money(row.yesterday)) }
                                    td.num.calls { (count(row.calls)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// `+12 %`, `−3 %`; a change by so much that nobody reads it as a percentage is a multiple.
fn change(change: Option<f64>) -> String {
    match change {
        None => "new".to_owned(),
        Some(part) if !part.is_finite() => NONE.to_owned(),
        Some(part) if part >= 10.0 => format!("× {:.0}", part + 1.0),
        Some(part) if part.abs() < 0.005 => "same".to_owned(),
        Some(part) if part < 0.0 => format!("−{:.0}\u{202f}%", -part * 100.0),
        Some(part) => format!("+{:.0}\u{202f}%", part * 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_read_as_people_say_them() {
        for (part, text) in [
            (None, "new"),
            (Some(0.12), "+12\u{202f}%"),
            (Some(-0.5), "−50\u{202f}%"),
            (Some(0.001), "same"),
            (Some(19.0), "× 20"),
        ] {
            assert_eq!(change(part), text);
        }
        assert_eq!(change(Some(f64::NAN)), NONE);
    }
}
