//! The login page: a form that posts an admin key.

use maud::{Markup, html};

use crate::ui::visible::Visible;
use crate::ui::{layout, link};

/// What the login page shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// Where to go afterwards; anything but a local path becomes `/`.
    pub next: String,
    /// Why the last attempt was refused.
    pub error: Option<String>,
}

/// Where the form posts `key` and `next` to.
pub const PATH: &str = "/login";

/// The page.
pub fn render(login: &Login) -> Markup {
    let body = html! {
        main.narrow #main {
            h1 { "Sign in" }
            p.lead { "The dashboard shows what users and models said to each other. It opens with an admin key." }
            form.login method="post" action=(PATH) {
                input type="hidden" name="next" value=(link::local(&login.next));
                // For password managers, which want a name beside a secret; without a name of its own it is not sent.
                input type="text" autocomplete="username" value="admin" readonly hidden;
                label for="key" { "Admin key" }
                input #key type="password" name="key" required autocomplete="current-password" autofocus spellcheck="false"
                    autocapitalize="none" aria-invalid=[login.error.as_ref().map(|_| "true")]
                    aria-describedby=[login.error.as_ref().map(|_| "login-error")];
                @if let Some(error) = &login.error {
                    p.error #login-error role="alert" { (Visible(error)) }
                }
                button.primary type="submit" { "Sign in" }
            }
            h2 { "Where is the key?" }
            p {
                "It was printed once, when Assize first started with an empty data directory. A key of your own is set on that "
                "first "
                "start with " code { "ASSIZE_BOOTSTRAP_KEY" } ". A lost key cannot be shown again; whoever holds another "
                "admin key can make a new one:"
            }
            pre { code { "assize key create --scope admin" } }
        }
    };
    layout::bare("Sign in", &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_next_is_dropped_and_an_error_is_announced() {
        let page = render(&Login { next: "//evil.example".into(), error: Some("<b>no</b>".into()) }).into_string();
        assert!(page.contains(r#"name="next" value="/""#), "{page}");
        assert!(page.contains("&lt;b&gt;no&lt;/b&gt;") && page.contains(r#"role="alert""#));
        assert!(!render(&Login::default()).into_string().contains("aria-invalid"));
    }
}
