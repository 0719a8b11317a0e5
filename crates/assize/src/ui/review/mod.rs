//! Review: one interaction at a time, the metric's question, and three buttons. Nothing here knows what a judge said: the view has no
//! place for it.

use assize_core::labels::Progress;
use assize_core::{Interaction, InteractionId, MetricName, Timestamp};
use maud::{Markup, html};

use crate::ui::assets;
use crate::ui::format::{self, count, counted};
use crate::ui::interaction::conversation;
use crate::ui::layout::{self, Layout, Section};
use crate::ui::link::Href;
use crate::ui::visible::{Visible, isolated};

/// Where the page is, and where its forms post to.
pub const PATH: &str = "/review";
/// Where a draw is asked for.
pub const DRAW_PATH: &str = "/review/draw";
/// How many a draw takes unless another number is asked for: a rate to about five points.
pub const DRAW_DEFAULT: u64 = 200;

/// What the page shows.
#[derive(Debug, Clone, PartialEq)]
pub struct ReviewPage {
    /// The frame.
    pub layout: Layout,
    /// The metrics to choose from.
    pub metrics: Vec<MetricName>,
    /// The metric that is reviewed; `None` where there is no metric.
    pub metric: Option<MetricName>,
    /// What it asks, where it has a question.
    pub question: Option<String>,
    /// How far the review has come.
    pub progress: Progress,
    /// The interaction to look at.
    pub item: Option<Item>,
    /// Sent back with every form, so that only this page's own forms count.
    pub token: String,
    /// Why the last draw took nothing.
    pub error: Option<String>,
}

/// An interaction to look at: its text, and what it takes to answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The draw.
    pub review: String,
    /// The interaction.
    pub id: InteractionId,
    /// When it happened.
    pub time: Timestamp,
    /// What was said.
    pub text: Interaction,
}

/// The page.
pub fn render(view: &ReviewPage) -> Markup {
    let metric = view.metric.as_ref().map_or("", MetricName::as_str);
    let body = html! {
        div.heading {
            h1 { "Review" }
            @if view.metrics.len() > 1 { (choice(view)) }
        }
        @match &view.metric {
            None => p.empty { "There is no metric to review." },
            Some(metric) => {
                (head(view, metric))
                @match &view.item {
                    Some(item) => (asked(view, metric, item)),
                    None => (nothing(view, metric)),
                }
            }
        }
        script src=(assets::href(&assets::REVIEW)) defer {}
    };
    layout::page(&view.layout, Section::Review, "Review", &[("metric", metric)], false, &body)
}

fn choice(view: &ReviewPage) -> Markup {
    html! {
        form.filters method="get" action=(PATH) {
            input type="hidden" name="project" value=(view.layout.project);
            label { span { "Metric" }
                select name="metric" {
                    @for metric in &view.metrics {
                        option value=(metric) selected[Some(metric) == view.metric.as_ref()] { (metric) }
                    }
                }
            }
            div.buttons { button type="submit" { "Show" } }
        }
    }
}

fn head(view: &ReviewPage, metric: &MetricName) -> Markup {
    let Progress { drawn, labelled, skipped, leased, .. } = view.progress;
    html! {
        section.panel.asked aria-label="Question" {
            p.asked-of { (metric) }
            p.ask dir="auto" {
                @match &view.question {
                    Some(question) => (Visible(question)),
                    None => { "Does " strong { (metric) } " hold for this interaction?" },
                }
            }
            @if drawn > 0 {
                div.progressed {
                    progress max=(drawn) value=(labelled + skipped) aria-label="Progress" {}
                    span.muted {
                        (count(labelled)) " of " (count(drawn)) " labelled"
                        @if skipped > 0 { ", " (count(skipped)) " skipped" }
                        @if leased > 1 { ", " (count(leased)) " in hand" }
                    }
                }
            }
        }
    }
}

fn action(view: &ReviewPage, path: &str) -> String {
    Href::new(path).with("project", view.layout.project.as_str()).build()
}

fn asked(view: &ReviewPage, metric: &MetricName, item: &Item) -> Markup {
    html! {
        form.labelling #answer method="post" action=(action(view, PATH)) {
            input type="hidden" name="token" value=(view.token);
            input type="hidden" name="metric" value=(metric);
            input type="hidden" name="review" value=(item.review);
            input type="hidden" name="id" value=(item.id);
            div.answers {
                button.primary type="submit" name="answer" value="yes" data-key="y" { "Yes" kbd { "y" } }
                button.primary type="submit" name="answer" value="no" data-key="n" { "No" kbd { "n" } }
                button type="submit" name="answer" value="skip" data-key="s" { "Skip" kbd { "s" } }
            }
            label.note { span { "Note, or why it is skipped (optional)" }
                input type="text" name="note" maxlength="500" autocomplete="off";
            }
        }
        p.muted.about {
            bdi { (isolated(item.id.as_str())) } ", " (format::instant(item.time, view.layout.now))
            " UTC. What the judge said is not shown, so that it does not sway you."
        }
        div.said { (conversation(&item.text, item.text.flags.no_content)) }
    }
}

fn nothing(view: &ReviewPage, metric: &MetricName) -> Markup {
    let Progress { drawn, leased, .. } = view.progress;
    html! {
        section.panel aria-labelledby="draw-title" {
            h2 #draw-title { @if drawn == 0 { "Nothing was drawn yet" } @else { "Nothing is left to label" } }
            @if leased > 0 {
                p.muted { (counted(leased, "interaction")) " in the hands of others; a place that is left comes free after 15 minutes." }
            }
            p {
                "Draw interactions that were judged in the last 7 days. Chance decides which, and how likely each was is recorded: so "
                "your answers correct the rate and say how often the judge is right. A higher number takes the same ones and others."
            }
            @if let Some(error) = &view.error { p.error role="alert" { (Visible(error)) } }
            form.draw method="post" action=(action(view, DRAW_PATH)) {
                input type="hidden" name="token" value=(view.token);
                input type="hidden" name="metric" value=(metric);
                label { span { "How many" }
                    input type="number" name="n" min="1" max="5000" required value=(drawn.saturating_add(DRAW_DEFAULT).min(5_000));
                }
                label.check {
                    input type="checkbox" name="stratify" value="true" checked;
                    span { "As many of each range of the judge's score, so that rare answers are seen" }
                }
                button.primary type="submit" { "Draw" }
            }
        }
    }
}
