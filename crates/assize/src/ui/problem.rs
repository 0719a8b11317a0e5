//! The error page: the status, what happened, and what to do.

use maud::{Markup, html};

use crate::ui::layout;
use crate::ui::visible::Visible;

/// What the error page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status of the response.
    pub status: u16,
    /// What happened, in a few words.
    pub title: String,
    /// What happened, in a sentence.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl Problem {
    /// The page for an address that leads nowhere.
    pub fn not_found() -> Self {
        Self {
            status: 404,
            title: "There is no such page".into(),
            what: "Nothing is served at this address.".into(),
            remedy: "Go back to the overview, or look an interaction up under Explore.".into(),
        }
    }
}

/// The page.
pub fn render(problem: &Problem) -> Markup {
    let body = html! {
        main.narrow #main {
            p.status { "Error " (problem.status) }
            h1 { (Visible(&problem.title)) }
            p.lead { (Visible(&problem.what)) }
            p { strong { "What to do: " } (Visible(&problem.remedy)) }
            p { a.button href="/" { "To the overview" } " " a.button href="/explore" { "Explore" } }
        }
    };
    layout::bare(&problem.title, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_status_cause_and_remedy_escaped() {
        let page = render(&Problem {
            status: 400,
            title: "Bad <filter>".into(),
            what: "score_min <x>".into(),
            remedy: "Use a number".into(),
        })
        .into_string();
        for part in
            ["Error 400", "<h1>Bad &lt;filter&gt;</h1>", "score_min &lt;x&gt;", "Use a number", "<title>Bad &lt;filter&gt;"]
        {
            assert!(page.contains(part), "{part}: {page}");
        }
    }
}
