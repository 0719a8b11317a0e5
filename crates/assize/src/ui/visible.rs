//! Hostile text made visible. Escaping keeps text from becoming markup; this keeps it from lying: characters that turn the
//! direction of a line, that are invisible, or that carry hidden instructions are shown by their code point.

use std::fmt::Write;

use maud::{Escaper, Markup, Render, html};

/// Text with hidden characters shown, escaped, and otherwise verbatim. Right for element content; use [`plain`] in attributes.
#[derive(Debug, Clone, Copy)]
pub struct Visible<'a>(pub &'a str);

impl Render for Visible<'_> {
    fn render_to(&self, buffer: &mut String) {
        for piece in pieces(self.0) {
            match piece {
                Piece::Text(text) => text.render_to(buffer),
                Piece::Hidden { first, count } => {
                    let _ = write!(buffer, "<span class=\"hidden-character\" title=\"{}\">", describe(first));
                    let _ = write!(Escaper::new(buffer), "{}", marker(first, count));
                    buffer.push_str("</span>");
                }
            }
        }
    }
}

/// `text` isolated from the direction of what surrounds it.
pub fn isolated(text: &str) -> Markup {
    html! { bdi { (Visible(text)) } }
}

/// `text` with hidden characters written as `‹U+202E›`: for attributes, where there can be no markup.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Hidden { first, count } => {
                let _ = write!(out, "‹{}›", marker(first, count));
            }
        }
    }
    out
}

/// The first words of `text` on one line: at most `chars` characters, cut between words where that is possible.
pub fn excerpt(text: &str, chars: usize) -> String {
    let mut out = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        let gap = usize::from(length > 0);
        let room = chars.saturating_sub(length + gap);
        let word_length = word.chars().take(room + 1).count();
        if word_length > room {
            if length == 0 || room > chars / 2 {
                out.push_str(if gap == 1 { " " } else { "" });
                out.extend(word.chars().take(room));
            }
            out.push('…');
            return out;
        }
        if gap == 1 {
            out.push(' ');
        }
        out.push_str(word);
        length += gap + word_length;
    }
    out
}

enum Piece<'a> {
    Text(&'a str),
    Hidden { first: char, count: usize },
}

/// Cuts `text` into what can be shown and runs of what cannot.
fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let hidden = is_hidden(first);
        let end = rest.find(|c| is_hidden(c) != hidden).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(if hidden { Piece::Hidden { first, count: piece.chars().count() } } else { Piece::Text(piece) })
    })
}

/// Whether a reader would not see `c`, or would see other text in a wrong order because of it. Joiners stay: Persian and emoji
/// need them.
fn is_hidden(c: char) -> bool {
    match c {
        '\n' | '\t' | '\r' => false,
        // Marks, embeddings, overrides and isolates of the bidirectional algorithm (UAX #9).
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        // Nothing to see: zero width space, word joiner and invisible operators, soft hyphen, byte order mark.
        '\u{00ad}' | '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{206a}'..='\u{206f}' | '\u{feff}' => true,
        // Line and paragraph separators would break a line where no line break is shown.
        '\u{2028}' | '\u{2029}' => true,
        // Tags and supplementary variation selectors: text smuggled past the eye.
        '\u{e0000}'..='\u{e01ef}' => true,
        c => c.is_control(),
    }
}

fn marker(first: char, count: usize) -> String {
    let code = format!("U+{:04X}", u32::from(first));
    if count == 1 { code } else { format!("{code} ×{count}") }
}

fn describe(c: char) -> &'static str {
    match c {
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            "A character that changes the direction of text"
        }
        '\u{e0000}'..='\u{e007f}' => "Tag characters: invisible text",
        '\u{e0100}'..='\u{e01ef}' => "Variation selectors: invisible",
        c if c.is_control() => "A control character",
        _ => "An invisible character",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_shown_and_markup_is_escaped() {
        let out = html! { (Visible("a<b>\u{202e}c\u{0}\u{1}\u{e0041}")) }.into_string();
        assert!(out.starts_with("a&lt;b&gt;<span class=\"hidden-character\""), "{out}");
        assert!(out.contains(">U+202E</span>c<span"), "{out}");
        assert!(out.contains(">U+0000 ×3</span>"), "{out}");
        assert!(!out.contains('\u{202e}') && !out.contains('\u{0}') && !out.contains('\u{e0041}'));
        assert_eq!(plain("x\u{202e}\u{202d}y"), "x‹U+202E ×2›y");
    }

    #[test]
    fn ordinary_text_of_any_script_is_left_alone() {
        for text in ["", "naïve\n\ttext", "می‌خواهم", "👩‍👩‍👧 ☺️", "עברית", "a\u{a0}b\u{202f}c"] {
            assert_eq!(plain(text), text);
        }
    }

    #[test]
    fn an_excerpt_is_cut_between_words() {
        assert_eq!(excerpt("  one\n two  three ", 100), "one two three");
        assert_eq!(excerpt("one two three four", 9), "one two…");
        assert_eq!(excerpt("", 9), "");
        assert_eq!(excerpt("ééééééééééé", 4), "éééé…");
        assert_eq!(excerpt("a bbbbbbbbbbbbbbbbbbbbbbb", 10), "a bbbbbbbb…");
        assert_eq!(excerpt("abc", 0), "…");
    }
}
