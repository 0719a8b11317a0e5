//! From what judging everything would have cost down to what was paid, step by step.

use assize_core::NanoUsd;
use assize_core::savings::{Lever, Savings};
use maud::{Markup, html};

use crate::ui::chart::fall::{Bar, bar};
use crate::ui::format::{count, counted, money, short_percent};
use crate::ui::overview::Range;
use crate::ui::visible::isolated;

/// What was saved.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SavingsPanel {
    /// The way down; `None` where no reference judge has answered.
    pub savings: Option<Savings>,
    /// Paid in the range and not part of it.
    pub left_out: NanoUsd,
    /// Metrics of which nobody knows.
    pub unknown: Vec<String>,
    /// What the numbers rest on.
    pub assumption: String,
}

/// The section.
pub fn render(panel: &SavingsPanel, range: Range) -> Markup {
    html! {
        section aria-labelledby="savings-title" {
            h2 #savings-title { "What it would have cost" }
            @match &panel.savings {
                None => p.empty {
                    "No reference judge has answered in the last " (range.label()) ", so that nobody knows what judging everything "
                    "with it would have cost."
                },
                Some(savings) => (way(panel, savings)),
            }
        }
    }
}

fn way(panel: &SavingsPanel, savings: &Savings) -> Markup {
    let usd = |amount: i128| amount as f64 / 1e9;
    let most = usd(savings.everything).max(usd(savings.paid));
    // Where each bar begins: what is left after the steps before it.
    let mut left = savings.everything;
    let steps: Vec<_> = savings
        .steps
        .iter()
        .map(|step| {
            let before = left;
            left -= step.saved;
            (step, before)
        })
        .filter(|(step, _)| step.saved != 0)
        .collect();
    let unused: Vec<&str> =
        savings.steps.iter().filter(|step| step.saved == 0 && step.lever.is_saving()).map(|step| name(step.lever)).collect();
    let part = savings.saved() as f64 / (savings.everything as f64).max(1.0);
    html! {
        article.panel {
            p.rate {
                strong { (signed(savings.saved())) }
                span.margin { "saved" @if part > 0.0 { ", " (short_percent((part * 1_000.0).round() / 1_000.0)) " of the price of judging everything" } }
            }
            table.falls {
                caption.visually-hidden { "From the price of everything to what was paid" }
                thead.visually-hidden {
                    tr { th scope="col" { "Step" } th scope="col" { "Bar" } th scope="col" { "Amount" } }
                }
                tbody {
                    tr.whole {
                        th scope="row" { "Everything by the reference judge" p.muted { (counted(savings.questions, "question")) } }
                        td.wide { (bar(Bar::Whole, 0.0, usd(savings.everything), most)) }
                        td.num { (signed(savings.everything)) }
                    }
                    @for (step, before) in steps {
                        tr {
                            th scope="row" {
                                (name(step.lever))
                                p.muted {
                                    (why(step.lever))
                                    @if let Some(questions) = step.questions { ": " (count(questions)) }
                                }
                            }
                            td.wide { (bar(kind(step.lever, step.saved), usd(before), usd(before - step.saved), most)) }
                            td.num { (signed(-step.saved)) }
                        }
                    }
                    tr.whole {
                        th scope="row" { "Paid" }
                        td.wide { (bar(Bar::Whole, 0.0, usd(savings.paid), most)) }
                        td.num { (signed(savings.paid)) }
                    }
                }
            }
            p.note {
                (panel.assumption) " Behind it: " (counted(savings.answers, "answer")) "."
                @if !unused.is_empty() { " Nothing came from " (unused.join(", ").to_lowercase()) "." }
                @if panel.left_out > NanoUsd::ZERO {
                    " Not in it: " (money(panel.left_out)) " for trying questions out, comparing judge versions, and metrics without such an answer."
                }
                @if !panel.unknown.is_empty() {
                    " Not known of " @for (at, metric) in panel.unknown.iter().enumerate() { @if at > 0 { ", " } (isolated(metric)) }
                    ": no called reference judge has answered."
                }
            }
        }
    }
}

fn kind(lever: Lever, saved: i128) -> Bar {
    match saved {
        ..0 => Bar::On,
        _ if lever.is_saving() => Bar::Off,
        _ => Bar::Undone,
    }
}

fn name(lever: Lever) -> &'static str {
    match lever {
        Lever::Sampling => "Sampling",
        Lever::Cascade => "Cascade",
        Lever::ExactCache => "Cache, the same text",
        Lever::SimilarCache => "Cache, similar text",
        Lever::OverBudget => "Over budget",
        Lever::Undone => "Not judged",
        Lever::FailedTries => "Failed tries",
        Lever::OtherCalls => "Other calls",
        Lever::Timing => "Judged at another time",
        Lever::PromptCache => "Prompt caching",
        Lever::Batch => "Batches",
    }
}

/// What the step is about; the questions that it counts follow.
fn why(lever: Lever) -> &'static str {
    match lever {
        Lever::Sampling => "left out by the draw",
        Lever::Cascade => "decided by cheaper judges, less what they cost",
        Lever::ExactCache | Lever::SimilarCache => "verdicts used again",
        Lever::OverBudget => "left undone for want of money; not a saving",
        Lever::Undone => "failed, expired, dropped or still waiting; not a saving",
        Lever::FailedTries => "calls of the reference judge without a verdict",
        Lever::OtherCalls => "fallback judges, and calls on record without their place",
        Lever::Timing => "questions and their calls in different hours",
        Lever::PromptCache => "input that the provider had read before",
        Lever::Batch => "below the price of live calls",
    }
}

/// Dollars with their sign.
fn signed(nanos: i128) -> String {
    let amount = money(NanoUsd(u64::try_from(nanos.unsigned_abs()).unwrap_or(u64::MAX)));
    if nanos < 0 { format!("−{amount}") } else { amount }
}
