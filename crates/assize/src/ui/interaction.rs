//! One interaction: the conversation, and all that is on record about how it was judged.

use std::time::Duration;

use assize_core::results::{InteractionRecord, MetricRecord};
use assize_core::{
    Accepted, CallRecord, CallStatus, DecisionState, Dimension, Interaction, Message, Outcome, Role, Step, TokenUsage, Verdict,
};
use maud::{Markup, html};

use crate::ui::explore::{Chip, gauge, reference_score, render_chip};
use crate::ui::format::{self, count, money_or_unknown};
use crate::ui::layout::{self, Layout, Section, simulated_badge};
use crate::ui::link::Href;
use crate::ui::outcome::{badge, explanation};
use crate::ui::visible::{Visible, isolated, plain};

/// What the page shows.
#[derive(Debug, Clone, PartialEq)]
pub struct InteractionPage {
    /// The frame.
    pub layout: Layout,
    /// Everything on record.
    pub record: InteractionRecord,
}

/// Characters of a text that are shown before it is folded, and that are shown at all: a page must stay a page.
const SHOWN_CHARS: usize = 1_500;
/// The same for what stands beside the conversation: instructions, documents, tool results.
const ASIDE_CHARS: usize = 500;
const CHARS_MAX: usize = 200_000;
/// Lines before it is folded.
const SHOWN_LINES: usize = 30;
/// Messages, documents and calls shown at the most.
const ITEMS_MAX: usize = 200;

/// The page.
pub fn render(view: &InteractionPage) -> Markup {
    let record = &view.record;
    let id = record.row.id.as_str();
    let waits = record.metrics.iter().any(|metric| metric.outcome.is_none());
    let body = html! {
        div.heading {
            div {
                p.crumb {
                    a href=(Href::new("/explore").with("project", view.layout.project.as_str()).build()) { "Explore" }
                    " / Interaction"
                }
                h1.id { (isolated(id)) }
            }
        }
        (facts(view))
        @if !record.metrics.is_empty() {
            nav #at-a-glance.glance data-live[waits] aria-label="Verdicts at a glance" {
                ul.chips {
                    @for metric in &record.metrics {
                        li { a href={ "#metric-" (metric.decision.metric) } { (render_chip(&Chip::from(metric))) } }
                    }
                }
            }
        }
        div.interaction {
            div.said {
                @match &record.payload {
                    Some(payload) => (conversation(payload, record.row.flags.no_content)),
                    None => (not_kept(record)),
                }
            }
            section.verdicts #verdicts data-live[waits] aria-labelledby="verdicts-title" {
                h2 #verdicts-title { "Verdicts" }
                @if record.metrics.is_empty() { p.empty { "The policy in force had no metric." } }
                @for metric in &record.metrics { (metric_panel(metric)) }
            }
        }
    };
    layout::page(&view.layout, Section::Explore, &format!("Interaction {}", plain(id)), &[], waits, &body)
}

fn facts(view: &InteractionPage) -> Markup {
    let row = &view.record.row;
    let payload = view.record.payload.as_ref();
    let model = payload.and_then(|payload| payload.model.as_deref());
    let is_model = |dimension: &Dimension| *dimension == Dimension::Model && model.is_some();
    html! {
        dl.facts {
            div { dt { "Time" } dd { (format::instant(row.time, view.layout.now)) " UTC" } }
            @if let Some(model) = model { div { dt { "Model" } dd { (isolated(model)) } } }
            @for (dimension, value) in row.dimensions.iter().filter(|(dimension, _)| !is_model(dimension)) {
                div { dt { (dimension_label(dimension)) } dd { (isolated(value)) } }
            }
            @if let Some(conversation) = &row.conversation_id { div { dt { "Conversation" } dd { (isolated(conversation)) } } }
            @if let Some(usage) = payload.and_then(|payload| payload.usage) { div { dt { "Tokens" } dd { (tokens(&usage)) } } }
            div {
                dt { "Size" }
                dd { (count(row.features.chars.into())) " characters, " (format::counted(row.features.turns.into(), "turn")) }
            }
            div { dt { "Accepted" } dd { (format::instant(row.accepted_at, view.layout.now)) " UTC" } }
            div { dt { "Policy" } dd { code { (isolated(row.policy.as_str())) } } }
            @if let Some(payload) = payload {
                @for (name, value) in payload.tags.iter().filter(|(name, _)| !is_dimension(row, name)).take(ITEMS_MAX) {
                    div { dt { (isolated(name)) } dd { (isolated(value)) } }
                }
            }
        }
        @if row.flags.time_replaced {
            p.notice { "The sender's clock lay outside 7 days back and 5 minutes ahead. The time of acceptance is used instead." }
        }
        @if row.flags.truncated {
            p.notice {
                "The sender cut the text short: the judge saw what is shown here. Raise the attribute limit where the "
                "application runs (" code { "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT" } ")."
            }
        }
    }
}

fn dimension_label(dimension: &Dimension) -> Markup {
    match dimension {
        Dimension::Model => html! { "Model" },
        Dimension::PromptVersion => html! { "Prompt version" },
        Dimension::Environment => html! { "Environment" },
        Dimension::Tag(tag) => isolated(tag),
    }
}

fn tokens(usage: &TokenUsage) -> Markup {
    html! {
        (count(usage.input)) " in"
        @if usage.cached_input > 0 { " (" (count(usage.cached_input)) " cached)" }
        ", " (count(usage.output)) " out"
    }
}

fn not_kept(record: &InteractionRecord) -> Markup {
    html! {
        section.conversation aria-labelledby="conversation" {
            h2 #conversation { "Conversation" }
            @if record.row.flags.no_content {
                p.empty { "It came without text. Set " code { "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true" }
                    " where the application runs, and the next ones can be judged." }
            } @else if record.metrics.iter().any(|metric| metric.decision.state == DecisionState::Drawn) {
                p.empty { "The text is no longer kept. What is on record stands here." }
            } @else {
                p.empty {
                    "The text was not kept: no metric drew this interaction, and only the text of drawn ones is stored. What is "
                    "on record stands here. To keep a share of all, set " code { "reserve" } " under " code { "[sampling]" } "."
                }
            }
        }
    }
}

/// Whether the tag stands among the dimensions already.
fn is_dimension(row: &Accepted, tag: &str) -> bool {
    row.dimensions.iter().any(|(dimension, _)| matches!(dimension, Dimension::Tag(name) if name == tag))
}

/// What was said: instructions, messages, documents, the right answer. Nothing of any judge.
pub(super) fn conversation(payload: &Interaction, no_content: bool) -> Markup {
    let earlier = payload.input.len().saturating_sub(ITEMS_MAX);
    let nothing = payload.input.is_empty() && payload.output.is_empty();
    html! {
        section.conversation aria-labelledby="conversation" {
            h2 #conversation { "Conversation" }
            @if nothing || no_content {
                p.empty {
                    "It came without text. Set " code { "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true" }
                    " where the application runs."
                }
            }
            @if let Some(system) = &payload.system { (said("system", "System", None, system)) }
            @if earlier > 0 { p.muted { (format::counted(earlier as u64, "earlier message")) " not shown." } }
            @for item in payload.input.iter().skip(earlier) { (message(item, false)) }
            @for item in payload.output.iter().take(ITEMS_MAX) { (message(item, true)) }
            @if !payload.context.is_empty() {
                h3 { "Context" }
                @for (i, document) in payload.context.iter().take(ITEMS_MAX).enumerate() {
                    (said("context", &format!("Document {}", i + 1), None, document))
                }
                @if payload.context.len() > ITEMS_MAX {
                    p.muted { (count((payload.context.len() - ITEMS_MAX) as u64)) " more not shown." }
                }
            }
            @if let Some(reference) = &payload.reference {
                h3 { "Right answer" }
                (said("context", "Reference", None, reference))
            }
        }
    }
}

fn message(message: &Message, is_answer: bool) -> Markup {
    let (class, name) = match message.role {
        Role::System => ("system", "System"),
        Role::Developer => ("system", "Developer"),
        Role::User => ("user", "User"),
        Role::Assistant if is_answer => ("assistant answer", "Assistant · the answer that is judged"),
        Role::Assistant => ("assistant", "Assistant"),
        Role::Tool => ("tool", "Tool"),
    };
    let verb = if message.role == Role::Assistant { "calls" } else { "result of" };
    said(class, name, message.tool.as_deref().map(|tool| (verb, tool)), &message.content)
}

fn said(class: &str, name: &str, tool: Option<(&str, &str)>, text: &str) -> Markup {
    html! {
        div.message.(class) {
            p.role { (name) @if let Some((verb, tool)) = tool { " · " (verb) " " code { (isolated(tool)) } } }
            (folded(text, if matches!(class, "system" | "context" | "tool") { ASIDE_CHARS } else { SHOWN_CHARS }))
        }
    }
}

/// A text as it is; what goes beyond a screen is folded, what goes beyond reason is counted.
fn folded(text: &str, shown_chars: usize) -> Markup {
    if text.is_empty() {
        return html! { p.text.muted { "(empty)" } };
    }
    let (kept, cut) = split_at_chars(text, CHARS_MAX);
    let (head, rest) = head(kept, shown_chars);
    html! {
        div.text dir="auto" { (Visible(head)) }
        @if !rest.is_empty() {
            details.fold {
                summary { (count(rest.chars().count() as u64)) " more characters" }
                div.text dir="auto" { (Visible(rest)) }
            }
        }
        @if !cut.is_empty() {
            p.muted { (count(cut.chars().count() as u64)) " more characters are not shown here; the API has them." }
        }
    }
}

fn split_at_chars(text: &str, chars: usize) -> (&str, &str) {
    text.char_indices().nth(chars).map_or((text, ""), |(at, _)| text.split_at(at))
}

/// The part that is shown at once, cut at a line or a word where one is near. A little more than that is not worth folding.
fn head(text: &str, shown_chars: usize) -> (&str, &str) {
    let (by_chars, _) = split_at_chars(text, shown_chars);
    let lines_end = text.match_indices('\n').nth(SHOWN_LINES).map_or(text.len(), |(at, _)| at);
    if lines_end < by_chars.len() {
        return text.split_at(lines_end);
    }
    if split_at_chars(text, shown_chars + shown_chars / 4).1.is_empty() {
        return (text, "");
    }
    let near = by_chars.len() / 5 * 4;
    let at = by_chars.rfind('\n').filter(|at| *at > near).or_else(|| by_chars.rfind(' ').filter(|at| *at > near));
    text.split_at(at.unwrap_or(by_chars.len()))
}

fn metric_panel(metric: &MetricRecord) -> Markup {
    let decision = &metric.decision;
    let id = format!("metric-{}", decision.metric);
    html! {
        article.panel aria-labelledby=(id) {
            header {
                h3 id=(id) { (decision.metric) }
                (badge(metric.outcome))
                @if metric.verdicts.iter().any(|verdict| verdict.simulated) { (simulated_badge()) }
            }
            @if let Some(score) = reference_score(metric) {
                p.rate {
                    strong { (format::score(score)) } " " (gauge(score)) " "
                    span.margin { @if score >= 0.5 { "yes" } @else { "no" } }
                }
            }
            (why(metric))
            @for verdict in metric.verdicts.iter().rev() { (verdict_block(verdict, metric.verdicts.len() > 1)) }
            (free_scores(metric))
            (drawn(metric))
            (later_draws(&metric.steps))
            (calls(&metric.calls))
        }
    }
}

fn why(metric: &MetricRecord) -> Markup {
    html! {
        @if !matches!(metric.outcome, Some(Outcome::Judged | Outcome::Reused)) {
            p.why {
                (explanation(metric.outcome))
                @if let Some(reason) = &metric.reason { " " (isolated(&reason.message)) " " code { (isolated(&reason.code)) } }
            }
        }
    }
}

/// A verdict in full; its score only where the panel's headline does not say it.
fn verdict_block(verdict: &Verdict, with_score: bool) -> Markup {
    html! {
        div.verdict {
            @if verdict.reason.is_empty() {
                p.muted { "The judge gave no reason." }
            } @else {
                blockquote dir="auto" { (Visible(&verdict.reason)) }
            }
            dl.facts {
                div { dt { "Judge" } dd { (verdict.judge) } }
                @if let Some(model) = &verdict.model { div { dt { "Model" } dd { (isolated(model)) } } }
                @if with_score { div { dt { "Score" } dd { (format::score(verdict.score)) } } }
                @if let Some(label) = &verdict.label { div { dt { "Label" } dd { (isolated(label)) } } }
                @if let Some(confidence) = verdict.confidence { div { dt { "Confidence" } dd { (format::score(confidence)) } } }
                div { dt { "Version" } dd { code { (isolated(verdict.version.as_str())) } } }
                div { dt { "Cost" } dd { (money_or_unknown(verdict.cost)) } }
                @if let Some(reused) = verdict.reused {
                    div { dt { "Used again" } dd { (reused.kind.as_str()) " match, saved " (money_or_unknown(reused.saved)) } }
                }
                div { dt { "Latency" } dd { (format::duration(Duration::from_millis(verdict.latency_ms))) } }
                @if let Some(usage) = &verdict.usage { div { dt { "Tokens" } dd { (tokens(usage)) } } }
            }
        }
    }
}

fn free_scores(metric: &MetricRecord) -> Markup {
    let scores = &metric.decision.scores;
    html! {
        @if !scores.is_empty() {
            table.tiers {
                caption { "Free judges, at accept" }
                thead { tr { th scope="col" { "Judge" } th.num scope="col" { "Score" } th scope="col" { "Found" } } }
                tbody {
                    @for tier in scores {
                        tr {
                            th scope="row" { (tier.judge) }
                            td.num { (format::score(tier.score)) }
                            td { @if tier.reason.is_empty() { span.muted { "nothing" } } @else { (isolated(&tier.reason)) } }
                        }
                    }
                }
            }
        }
    }
}

/// The probability, and how many interactions a verdict on this one speaks for.
fn drawn(metric: &MetricRecord) -> Markup {
    let p = metric.decision.probability;
    html! {
        p.drawn {
            @if metric.outcome == Some(Outcome::NoContent) {
                "Not drawn: there was nothing to draw for."
            } @else if p <= 0.0 {
                "The policy never judges interactions like this one; the rate does not speak of them."
            } @else if p >= 1.0 {
                "Drawn for certain: a verdict on it speaks for itself alone."
            } @else if metric.outcome == Some(Outcome::NotSampled) {
                "The probability of being drawn was " strong { (probability(p)) } "."
            } @else {
                "Drawn with probability " strong { (probability(p)) } ": a verdict on it speaks for " (weight(p)) " interactions."
            }
            " " span.muted { "Reference judge, version " code { (isolated(metric.decision.reference.as_str())) } "." }
        }
    }
}

/// Whether the judges after the first that was called saw it, and how likely that was.
fn later_draws(steps: &[Step]) -> Markup {
    html! {
        @for step in steps {
            p.drawn {
                @if step.drawn { "Then drawn for " } @else { "Then left out for " } (step.judge)
                ", with probability " strong { (probability(step.conditional)) }
                @if let Some((judge, score)) = &step.predictor { ", after " (judge) " said " (format::score(*score)) }
                "; " strong { (probability(step.probability)) } " in all"
                @if step.drawn { ": a verdict on it speaks for " (weight(step.probability)) " interactions" }
                "."
            }
        }
    }
}

/// Small probabilities never read as none.
fn probability(p: f64) -> String {
    if p < 0.0001 { format!("{:.2e}", p) } else { format::short_percent(p) }
}

fn weight(p: f64) -> String {
    let w = 1.0 / p;
    if w >= 9.95 { count(w.round().min(1e18) as u64) } else { format!("{w:.1}").trim_end_matches(".0").to_owned() }
}

fn calls(calls: &[CallRecord]) -> Markup {
    let failed = calls.iter().filter(|call| call.status == CallStatus::Failed).count() as u64;
    html! {
        @if !calls.is_empty() {
            details.figures {
                summary { (format::counted(calls.len() as u64, "call")) @if failed > 0 { ", " (count(failed)) " failed" } }
                div.scroll tabindex="0" role="region" aria-label="Calls" {
                    table {
                        caption.visually-hidden { "Calls made" }
                        thead { tr {
                            th scope="col" { "Ended" } th scope="col" { "Judge" } th scope="col" { "Provider, model" }
                            th scope="col" { "Result" }
                            th.num scope="col" { "Latency" } th.num scope="col" { "Cost" } th.num scope="col" { "Tokens" }
                        } }
                        tbody {
                            @for call in calls.iter().take(ITEMS_MAX) {
                                tr {
                                    td {
                                        time datetime=(call.at.to_rfc3339()) title=(plain(&call.id.0)) {
                                            (format::utc(call.at, "%H:%M:%S"))
                                        }
                                    }
                                    td { (call.judge) }
                                    td { (call.provider) " · " (isolated(&call.model)) }
                                    td { @match call.status {
                                        CallStatus::Answered => "verdict",
                                        CallStatus::Failed => strong { (isolated(call.error.as_deref().unwrap_or("failed"))) },
                                    } }
                                    td.num { (format::duration(Duration::from_millis(call.latency_ms))) }
                                    td.num { (money_or_unknown(call.cost)) }
                                    td.num {
                                        @match &call.usage { Some(usage) => (tokens(usage)), None => span.muted { "unknown" } }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_in_folding() {
        let long_line = "word ".repeat(2_000);
        let lines = "x\n".repeat(100);
        let wide = "é".repeat(5_000);
        for text in [long_line.as_str(), &lines, &wide, "short", "a\n\n  b"] {
            let (head, rest) = head(text, SHOWN_CHARS);
            assert_eq!(format!("{head}{rest}"), text);
            assert!(head.chars().count() <= SHOWN_CHARS && head.lines().count() <= SHOWN_LINES + 1);
        }
        assert_eq!(head("short", SHOWN_CHARS), ("short", ""));
        assert!(!head(&lines, SHOWN_CHARS).1.is_empty() && !head(&wide, SHOWN_CHARS).1.is_empty());
        let slightly_long = "y".repeat(SHOWN_CHARS + 10);
        assert_eq!(head(&slightly_long, SHOWN_CHARS).1, "", "ten characters are not worth a click");
    }

    #[test]
    fn white_space_is_kept_and_excess_is_counted() {
        assert!(folded("a\n\n  b", SHOWN_CHARS).into_string().contains("a\n\n  b"));
        let out = folded(&"z".repeat(CHARS_MAX + 5), SHOWN_CHARS).into_string();
        assert!(out.contains("5 more characters are not shown"));
    }
}
