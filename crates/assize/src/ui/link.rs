//! Addresses of pages. Every value is percent-encoded, so that no id or model name can change where a link leads.

use std::fmt::Write;

use assize_core::{InteractionId, ProjectName};

/// An address under construction.
#[derive(Debug, Clone)]
pub struct Href(String, char);

impl Href {
    /// Begins at `path`, which is used as it is.
    pub fn new(path: &str) -> Self {
        Self(path.to_owned(), '?')
    }

    /// Adds a parameter. An empty value is left out.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        if !value.is_empty() {
            let _ = write!(self.0, "{}{name}={}", self.1, percent_encoded(value));
            self.1 = '&';
        }
        self
    }

    /// The finished address. Escape it like any text when it goes into an attribute (maud does).
    pub fn build(self) -> String {
        self.0
    }
}

/// Where one interaction is shown: `/interactions/{id}?project=`. The ids `.` and `..` cannot be a path segment, since browsers
/// resolve them even when encoded; they go to `/interactions?id=&project=`.
pub fn interaction(project: &ProjectName, id: &InteractionId) -> String {
    match id.as_str() {
        dots @ ("." | "..") => Href::new("/interactions").with("id", dots),
        id => Href::new(&format!("/interactions/{}", percent_encoded(id))),
    }
    .with("project", project.as_str())
    .build()
}

/// `text` with everything outside the unreserved characters of RFC 3986 percent-encoded.
pub fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// `next` if it leads to a page of this server, else `/`: what a login may redirect to.
pub fn local(next: &str) -> &str {
    let bytes = next.as_bytes();
    let leads_away = matches!(bytes.get(1), Some(b'/' | b'\\'));
    if bytes.first() == Some(&b'/') && !leads_away && bytes.iter().all(|b| b.is_ascii_graphic()) { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn href(id: &str) -> String {
        interaction(&ProjectName::new("p").unwrap(), &InteractionId::new(id).unwrap())
    }

    #[test]
    fn ids_cannot_leave_their_segment() {
        assert_eq!(href("a/../b?c#d&e=\"f\"é"), "/interactions/a%2F..%2Fb%3Fc%23d%26e%3D%22f%22%C3%A9?project=p");
        assert_eq!(href(".."), "/interactions?id=..&project=p");
        assert_eq!(href("javascript:alert(1)"), "/interactions/javascript%3Aalert%281%29?project=p");
    }

    #[test]
    fn empty_parameters_are_left_out() {
        assert_eq!(Href::new("/explore").with("a", "").with("b", "x y").with("c", "1").build(), "/explore?b=x%20y&c=1");
        assert_eq!(Href::new("/").build(), "/");
    }

    #[test]
    fn a_login_never_redirects_elsewhere() {
        assert_eq!(local("/explore?metric=a%20b"), "/explore?metric=a%20b");
        for bad in ["", "https://evil.example/", "//evil.example", "/\\evil.example", "/a\r\nSet-Cookie: x", "javascript:x"] {
            assert_eq!(local(bad), "/", "{bad}");
        }
    }
}
