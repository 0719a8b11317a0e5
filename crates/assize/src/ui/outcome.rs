//! How outcomes are named, explained and drawn.

use assize_core::Outcome;
use maud::{Markup, html};

use crate::ui::chart::stacked::{Pattern, Style};

/// The outcome in words; `None` is what is still waiting.
pub fn label(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        None => "Waiting",
        Some(Outcome::Judged) => "Judged",
        Some(Outcome::Reused) => "Reused",
        Some(Outcome::NotSampled) => "Not sampled",
        Some(Outcome::OverBudget) => "Over budget",
        Some(Outcome::JudgeFailed) => "Judge failed",
        Some(Outcome::NoContent) => "No content",
        Some(Outcome::Expired) => "Expired",
        Some(Outcome::Dropped) => "Dropped",
    }
}

/// What the outcome means and, where something can be done, what.
pub fn explanation(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        None => "Drawn, and waiting for its judge.",
        Some(Outcome::Judged) => "The reference judge gave a verdict.",
        Some(Outcome::Reused) => "A verdict that was given before on the same text was used again.",
        Some(Outcome::NotSampled) => "The draw left it out. Its share is known, so the rate still speaks for it.",
        Some(Outcome::OverBudget) => "The budget did not allow the call. A larger budget or a lower sampling rate helps.",
        Some(Outcome::JudgeFailed) => "The judge could not be reached or gave no valid answer.",
        Some(Outcome::NoContent) => "There was nothing to judge: no text, or not the context or reference that the metric needs.",
        Some(Outcome::Expired) => "It waited longer than its verdict was worth. More concurrency or a lower sampling rate helps.",
        Some(Outcome::Dropped) => "An operator removed it.",
    }
}

/// How the outcome is drawn: a colour and, for whatever went wrong, a pattern, so that nothing rests on colour alone.
pub fn style(outcome: Option<Outcome>) -> Style {
    let (class, pattern) = match outcome {
        None => ("fill-waiting", Pattern::Plain),
        Some(Outcome::Judged) => ("fill-judged", Pattern::Plain),
        Some(Outcome::Reused) => ("fill-reused", Pattern::Dots),
        Some(Outcome::NotSampled) => ("fill-not-sampled", Pattern::Plain),
        Some(Outcome::OverBudget) => ("fill-over-budget", Pattern::Diagonal),
        Some(Outcome::JudgeFailed) => ("fill-judge-failed", Pattern::Cross),
        Some(Outcome::NoContent) => ("fill-no-content", Pattern::Dots),
        Some(Outcome::Expired) => ("fill-expired", Pattern::Diagonal),
        Some(Outcome::Dropped) => ("fill-dropped", Pattern::Cross),
    };
    Style { class, pattern }
}

/// Whether someone should look into it.
pub fn is_trouble(outcome: Option<Outcome>) -> bool {
    matches!(outcome, Some(Outcome::OverBudget | Outcome::JudgeFailed | Outcome::Expired))
}

/// All outcomes and what is waiting, in the order in which they are drawn.
pub const DRAWN: [Option<Outcome>; 9] = [
    Some(Outcome::Judged),
    Some(Outcome::Reused),
    None,
    Some(Outcome::OverBudget),
    Some(Outcome::JudgeFailed),
    Some(Outcome::Expired),
    Some(Outcome::Dropped),
    Some(Outcome::NoContent),
    Some(Outcome::NotSampled),
];

/// A small label with the outcome's swatch.
pub fn badge(outcome: Option<Outcome>) -> Markup {
    html! {
        span.badge.trouble[is_trouble(outcome)] title=(explanation(outcome)) {
            (style(outcome).swatch()) (label(outcome))
        }
    }
}
