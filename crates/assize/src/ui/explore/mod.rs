//! Explore: interactions with what was said about them, filtered.

mod filters;

use assize_core::results::{InteractionRecord, MetricRecord};
use assize_core::{Dimension, InteractionId, MetricName, Outcome, Timestamp};
use maud::{Markup, html};

use crate::ui::format;
use crate::ui::layout::{self, Layout, Section};
use crate::ui::link::{self, Href};
use crate::ui::outcome::{label, style};
use crate::ui::visible::{Visible, excerpt, isolated};

pub use filters::Filters;
use filters::parse_utc;

/// One line of the list.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The interaction.
    pub id: InteractionId,
    /// When it happened.
    pub time: Timestamp,
    /// The model that answered.
    pub model: Option<String>,
    /// What was asked and answered; `None` where the text was not kept.
    pub text: Option<(String, String)>,
    /// It came without text.
    pub no_content: bool,
    /// What each metric says.
    pub metrics: Vec<Chip>,
}

/// What one metric says of an interaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Chip {
    /// The metric.
    pub metric: MetricName,
    /// The outcome; `None` while it waits.
    pub outcome: Option<Outcome>,
    /// The reference judge's score, where there is one.
    pub score: Option<f64>,
    /// Else the last free judge's.
    pub free_score: Option<f64>,
    /// The verdict was made up.
    pub simulated: bool,
}

/// The score of the reference judge: the last verdict, or, where free judges decide alone, the last free score.
pub(super) fn reference_score(record: &MetricRecord) -> Option<f64> {
    if record.decision.closed() == Some(Outcome::Judged) {
        return record.decision.free_score();
    }
    match record.outcome {
        Some(Outcome::Judged | Outcome::Reused) => record.verdicts.last().map(|verdict| verdict.score),
        _ => None,
    }
}

impl From<&MetricRecord> for Chip {
    fn from(record: &MetricRecord) -> Self {
        Self {
            metric: record.decision.metric.clone(),
            outcome: record.outcome,
            score: reference_score(record),
            free_score: record.decision.free_score(),
            simulated: record.verdicts.last().is_some_and(|verdict| verdict.simulated),
        }
    }
}

impl From<&InteractionRecord> for Row {
    fn from(record: &InteractionRecord) -> Self {
        let dimension = record.row.dimensions.iter().find(|(dimension, _)| *dimension == Dimension::Model);
        let payload = record.payload.as_ref().filter(|payload| payload.has_content());
        Self {
            id: record.row.id.clone(),
            time: record.row.time,
            model: record
                .payload
                .as_ref()
                .and_then(|payload| payload.model.clone())
                .or(dimension.map(|(_, value)| value.clone())),
            // The last message is the question at hand; what stands before it is history.
            text: payload.map(|payload| {
                let question = payload.input.last().map_or("", |message| &message.content);
                (excerpt(question, WORDS_CHARS), excerpt(&payload.output_text(), WORDS_CHARS))
            }),
            no_content: record.row.flags.no_content,
            metrics: record.metrics.iter().map(Chip::from).collect(),
        }
    }
}

/// What the page shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Explore {
    /// The frame.
    pub layout: Layout,
    /// The filters in force, shown back as they came.
    pub filters: Filters,
    /// Why the filters could not be used; then `rows` is empty.
    pub error: Option<String>,
    /// Metrics to choose from.
    pub metrics: Vec<MetricName>,
    /// Models to suggest.
    pub models: Vec<String>,
    /// The interactions, newest first.
    pub rows: Vec<Row>,
    /// Where older ones begin.
    pub next: Option<String>,
}

const WORDS_CHARS: usize = 140;
const MODELS_MAX: usize = 200;

/// The page.
pub fn render(view: &Explore) -> Markup {
    let first_page = view.filters.cursor.is_empty();
    let body = html! {
        div.heading { h1 { "Explore" } }
        (filter_form(view))
        @if let Some(error) = &view.error { p.error role="alert" { (Visible(error)) } }
        div #interactions data-live[first_page] {
            @if view.rows.is_empty() { (empty(view)) } @else { (table(view)) }
            nav.pages aria-label="Older and newer" {
                @if !first_page { a.button href=(view.filters.href(&view.layout.project, "")) { "Newest" } }
                @if let Some(next) = &view.next {
                    a.button rel="next" href=(view.filters.href(&view.layout.project, next)) { "Older" }
                } @else if !view.rows.is_empty() { span.muted { "No older ones." } }
            }
        }
    };
    layout::page(&view.layout, Section::Explore, "Explore", &[], first_page, &body)
}

fn filter_form(view: &Explore) -> Markup {
    let filters = &view.filters;
    // What the browser's own control takes; a time that cannot be read is named in the error instead.
    let local = |text: &str| parse_utc(text.trim()).map(|at| format::utc(at, "%Y-%m-%dT%H:%M"));
    html! {
        form.filters method="get" action="/explore" {
            input type="hidden" name="project" value=(view.layout.project);
            label { span { "Metric" }
                select name="metric" {
                    option value="" { "Any" }
                    @for metric in &view.metrics {
                        option value=(metric) selected[metric.as_str() == filters.metric] { (metric) }
                    }
                }
            }
            label { span { "Outcome" }
                select name="outcome" {
                    option value="" { "Any" }
                    @for outcome in Outcome::ALL {
                        option value=(outcome) selected[outcome.as_str() == filters.outcome] { (label(Some(outcome))) }
                    }
                }
            }
            label { span { "Model" }
                input type="text" name="model" value=(filters.model) list="models" placeholder="Any" autocomplete="off"
                    spellcheck="false";
            }
            datalist #models { @for model in view.models.iter().take(MODELS_MAX) { option value=(model) {} } }
            div.field role="group" aria-label="Score" {
                span.label aria-hidden="true" { "Score" }
                input type="number" name="score_min" value=(filters.score_min) min="0" max="1" step="any" placeholder="0"
                    aria-label="Score from";
                span aria-hidden="true" { "–" }
                input type="number" name="score_max" value=(filters.score_max) min="0" max="1" step="any" placeholder="1"
                    aria-label="Score to";
            }
            label {
                span { "From, UTC" } input type="datetime-local" name="from" value=(local(&filters.from).unwrap_or_default());
            }
            label { span { "To, UTC" } input type="datetime-local" name="to" value=(local(&filters.to).unwrap_or_default()); }
            div.buttons {
                button.primary type="submit" { "Filter" }
                @if filters.is_narrowed() || !filters.cursor.is_empty() {
                    a.button href=(Href::new("/explore").with("project", view.layout.project.as_str()).build()) { "Clear" }
                }
            }
        }
    }
}

fn empty(view: &Explore) -> Markup {
    html! {
        @if view.error.is_some() {
            p.empty { "Change the filters and try again." }
        } @else if view.filters.is_narrowed() {
            p.empty { "No interaction fits these filters. Widen the time or the score, or choose another outcome." }
        } @else {
            p.empty {
                "No interaction yet. "
                a href=(Href::new("/").with("project", view.layout.project.as_str()).build()) { "The overview" }
                " says how to send the first."
            }
        }
    }
}

// The roles repeat what the elements mean: browsers drop it when the style sheet turns rows into cards.
fn table(view: &Explore) -> Markup {
    html! {
        table.interactions role="table" {
            caption.visually-hidden { "Interactions, newest first" }
            thead role="rowgroup" {
                tr role="row" {
                    th scope="col" role="columnheader" { "Time, UTC" }
                    th scope="col" role="columnheader" { "Model" }
                    th scope="col" role="columnheader" { "Question and answer" }
                    th scope="col" role="columnheader" { "Verdicts" }
                }
            }
            tbody role="rowgroup" { @for row in &view.rows { (line(row, view)) } }
        }
    }
}

fn line(row: &Row, view: &Explore) -> Markup {
    let href = link::interaction(&view.layout.project, &row.id);
    html! {
        tr role="row" {
            td.time role="cell" { (format::instant(row.time, view.layout.now)) }
            td.model role="cell" { @match &row.model { Some(model) => (isolated(model)), None => span.muted { (format::NONE) } } }
            td.text role="cell" {
                @match &row.text {
                    Some((question, answer)) => {
                        a.question dir="auto" href=(href) {
                            @if question.is_empty() { "(no question)" } @else { (Visible(question)) }
                        }
                        p.answer dir="auto" {
                            @if answer.is_empty() { span.muted { "(tool call only)" } } @else { (Visible(answer)) }
                        }
                    }
                    None => {
                        a.question href=(href) { code { (isolated(row.id.as_str())) } }
                        p.answer.muted { @if row.no_content { "Came without text" } @else { "Text not kept" } }
                    }
                }
            }
            td.chips role="cell" {
                ul { @for chip in &row.metrics { li { (render_chip(chip)) } } }
            }
        }
    }
}

pub(super) fn render_chip(chip: &Chip) -> Markup {
    let metric = chip.metric.as_str();
    let outcome = label(chip.outcome).to_lowercase();
    html! {
        @match (chip.score, chip.free_score) {
            (Some(score), _) => {
                @let simulated = if chip.simulated { ", simulated" } else { "" };
                span.chip.scored.yes[score >= 0.5] title={ (metric) ": " (format::score(score)) ", " (outcome) (simulated) } {
                    span.name { (metric) } " " (gauge(score)) " " span.num { (format::score(score)) }
                    @if chip.simulated { span.sim title="Simulated" { "sim" } }
                }
            }
            (None, free) => {
                @let free = free.map(|free| format!(", free {}", format::score(free))).unwrap_or_default();
                span.chip title={ (metric) ": " (outcome) (free) } {
                    (style(chip.outcome).swatch()) span.name { (metric) } " "
                    span.muted { (outcome) (free) }
                }
            }
        }
    }
}

/// A score from 0 to 1 as a small bar beside its number.
pub(super) fn gauge(score: f64) -> Markup {
    let width = if score.is_finite() { (score.clamp(0.0, 1.0) * 24.0).round() } else { 0.0 };
    html! {
        svg.gauge width="24" height="8" aria-hidden="true" {
            rect.rail width="24" height="8" rx="2" {}
            @if width > 0.0 { rect.level width=(width) height="8" rx="2" {} }
        }
    }
}
