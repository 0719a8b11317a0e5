//! What stands around every page: head, header with project and navigation, footer.

use assize_core::{ProjectName, Timestamp};
use maud::{DOCTYPE, Markup, html};

use crate::ui::link::Href;
use crate::ui::visible::plain;
use crate::ui::{assets, chart, format};

/// What the frame of a signed-in page shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    /// The project that the page is about.
    pub project: ProjectName,
    /// The projects to choose from.
    pub projects: Vec<ProjectName>,
    /// When the page was made.
    pub now: Timestamp,
    /// Some verdicts on the page come from the built-in simulated provider.
    pub simulated: bool,
    /// Signed in with a key, so that there is something to sign out of.
    pub signed_in: bool,
    /// The running version, for the footer.
    pub version: String,
}

/// The parts of the dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Rates, spend, outcomes, queue.
    Overview,
    /// Interactions.
    Explore,
    /// What people are asked about.
    Review,
    /// What it costs.
    Spend,
}

/// Where the button to sign out posts to.
pub const LOGOUT_PATH: &str = "/logout";
/// Where live updates come from; the project is its parameter.
pub const EVENTS_PATH: &str = "/events";

/// A page within the frame. `keep` are parameters that survive a change of project; `live` pages follow server-sent events.
pub fn page(layout: &Layout, section: Section, title: &str, keep: &[(&str, &str)], live: bool, main: &Markup) -> Markup {
    let project = layout.project.as_str();
    let here = |this: Section| (this == section).then_some("page");
    let path = match section {
        Section::Overview => "/",
        Section::Explore => "/explore",
        Section::Review => "/review",
        Section::Spend => crate::ui::spend::PATH,
    };
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body data-events=[live.then(|| Href::new(EVENTS_PATH).with("project", project).build())] {
                a.skip href="#main" { "Skip to content" }
                header.top {
                    a.brand href=(Href::new("/").with("project", project).build()) { (mark()) span { "Assize" } }
                    nav aria-label="Pages" {
                        a href=(Href::new("/").with("project", project).build()) aria-current=[here(Section::Overview)] {
                            "Overview"
                        }
                        a href=(Href::new("/explore").with("project", project).build()) aria-current=[here(Section::Explore)] {
                            "Explore"
                        }
                        a href=(Href::new("/review").with("project", project).build()) aria-current=[here(Section::Review)] {
                            "Review"
                        }
                        a href=(Href::new(crate::ui::spend::PATH).with("project", project).build())
                            aria-current=[here(Section::Spend)] { "Spend" }
                    }
                    span #live.live hidden { span.light aria-hidden="true" {} span { "live" } }
                    @if layout.projects.len() > 1 {
                        form.project method="get" action=(path) {
                            @for (name, value) in keep {
                                input type="hidden" name=(name) value=(value);
                            }
                            label for="project" { "Project" }
                            select #project name="project" {
                                @for name in &layout.projects {
                                    option value=(name) selected[name == &layout.project] { (name) }
                                }
                            }
                            button type="submit" { "Show" }
                        }
                    } @else {
                        span.project { span.muted { "Project " } (layout.project) }
                    }
                    @if layout.signed_in {
                        form.logout method="post" action=(LOGOUT_PATH) { button.quiet type="submit" { "Sign out" } }
                    }
                }
                @if layout.simulated {
                    aside.banner aria-label="Simulated verdicts" {
                        (simulated_badge())
                        " Some verdicts here come from a built-in provider that plays a judge. They show how Assize "
                        "works and say nothing about your models. Set " code { "OPENAI_API_KEY" } " to have real ones."
                    }
                }
                (chart::stacked::patterns())
                main #main { (main) }
                footer {
                    span { "Assize " (layout.version) }
                    span { "Times are UTC. Made " (format::instant(layout.now, layout.now)) "." }
                    a href="/openapi.json" { "API" }
                }
                @if live {
                    script src=(assets::href(&assets::LIVE)) defer {}
                }
            }
        }
    }
}

/// A page without the frame, for whoever is not signed in.
pub fn bare(title: &str, main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body.bare {
                header.top { a.brand href="/" { (mark()) span { "Assize" } } }
                (main)
            }
        }
    }
}

/// Says that verdicts were made up.
pub fn simulated_badge() -> Markup {
    html! { span.badge.simulated title="From the built-in provider that only plays a judge" { "Simulated" } }
}

fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            title { (plain(title)) " · Assize" }
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            meta name="robots" content="noindex";
            link rel="icon" type="image/svg+xml" href=(assets::href(&assets::ICON));
            link rel="stylesheet" href=(assets::href(&assets::STYLE));
        }
    }
}

/// An estimate and its interval.
fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 28 16" width="28" height="16" aria-hidden="true" {
            path d="M1.5 8h25M1.5 3.5v9M26.5 3.5v9" {}
            circle cx="12" cy="8" r="4.5" {}
        }
    }
}
