//! Text that the sender cut short: how it is told, and what can be saved of JSON that ends too early.
//!
//! OpenTelemetry SDKs cut attribute values at `OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT` without a mark, so JSON simply stops; other
//! instrumentations leave a mark. Plain text that was cut without a mark cannot be told from whole text.

use super::tree::Json;

/// An attribute's text, read as JSON where it is JSON.
#[derive(Debug, PartialEq)]
pub enum Reading<'a> {
    /// Whole JSON.
    Whole(Json<'a>),
    /// JSON that stops too early, closed where it stops: the last string may be incomplete.
    Cut(Json<'static>),
    /// Not JSON. `cut` when it began as JSON and stopped where nothing could be saved.
    Plain {
        /// Whether it stopped too early.
        cut: bool,
    },
}

/// Reads `text` as JSON if it begins as an array, an object or a string.
pub fn read(text: &str) -> Reading<'_> {
    let trimmed = text.trim_start();
    if !trimmed.starts_with(['[', '{', '"']) {
        return Reading::Plain { cut: false };
    }
    match Json::parse(text) {
        Ok(json) => Reading::Whole(json),
        // A mark after the cut may stand outside of any string: `[{"role":"user"...[truncated]`.
        Err(error) if error.is_eof() || is_marked(text) => {
            match closed(trimmed).and_then(|whole| Json::parse(&whole).ok().map(Json::into_owned)) {
                Some(json) => Reading::Cut(json),
                None => Reading::Plain { cut: true },
            }
        }
        Err(_) => Reading::Plain { cut: false },
    }
}

/// Whether `text` ends with a mark that it was cut: `[truncated]`, `(truncated)`, `<truncated>`, `...truncated`, in any case and
/// with a full stop or dots around, or, in text of 128 bytes and more, an ellipsis character.
pub fn is_marked(text: &str) -> bool {
    let end = text.trim_end();
    if end.len() >= 128 && end.ends_with('…') {
        return true;
    }
    let end = end.trim_end_matches(['.', '…']);
    let bytes = end.as_bytes();
    [&b"[truncated]"[..], b"(truncated)", b"<truncated>", b"...truncated", b"...[truncated", b"\xe2\x80\xa6truncated"]
        .iter()
        .any(|mark| bytes.len() >= mark.len() && bytes[bytes.len() - mark.len()..].eq_ignore_ascii_case(mark))
}

/// The deepest nesting that is closed; serde_json goes no deeper.
const DEPTH_MAX: usize = 127;

/// What may come next while scanning.
#[derive(Clone, Copy, PartialEq)]
enum Expect {
    Key,
    Value,
    /// A comma or a closing bracket.
    After,
}

/// `text` up to where it stops being JSON, with its last string, arrays and objects closed. `None` when it nests too deep.
fn closed(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut open: Vec<u8> = Vec::new();
    let mut expect = Expect::Value;
    // Where the text can be closed so that all before is whole, and how many brackets are open there.
    let mut safe = (0, 0);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b':' => at += 1,
            b'"' => match string_end(bytes, at) {
                Ok(end) => {
                    at = end;
                    if expect == Expect::Key {
                        expect = Expect::Value;
                    } else {
                        expect = Expect::After;
                        safe = (at, open.len());
                    }
                }
                Err(end) if expect == Expect::Value => {
                    let mut whole = text.get(..end)?.to_owned();
                    whole.push('"');
                    close(&mut whole, &open);
                    return Some(whole);
                }
                Err(_) => break,
            },
            b'{' | b'[' if expect == Expect::Value => {
                if open.len() >= DEPTH_MAX {
                    return None;
                }
                open.push(byte);
                at += 1;
                expect = if byte == b'{' { Expect::Key } else { Expect::Value };
                safe = (at, open.len());
            }
            b'}' | b']' => {
                if open.pop().is_none() {
                    break;
                }
                at += 1;
                expect = Expect::After;
                safe = (at, open.len());
            }
            b',' if expect == Expect::After => {
                at += 1;
                expect = if open.last() == Some(&b'{') { Expect::Key } else { Expect::Value };
            }
            // A number or word counts only when something follows it: `12` may have been `123`.
            _ if expect == Expect::Value => {
                let end = at + bytes[at..].iter().take_while(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b)).count();
                if end == at || end == bytes.len() || serde_json::from_slice::<serde::de::IgnoredAny>(&bytes[at..end]).is_err() {
                    break;
                }
                at = end;
                expect = Expect::After;
                safe = (at, open.len());
            }
            _ => break,
        }
    }
    let (end, depth) = safe;
    let mut whole = text.get(..end)?.to_owned();
    close(&mut whole, open.get(..depth)?);
    Some(whole)
}

fn close(text: &mut String, open: &[u8]) {
    text.extend(open.iter().rev().map(|bracket| if *bracket == b'{' { '}' } else { ']' }));
}

/// The end of the string that opens at `start`, past its closing quote; or, where it never closes, the last place at which a closing
/// quote leaves no half escape behind.
fn string_end(bytes: &[u8], start: usize) -> Result<usize, usize> {
    let mut at = start + 1;
    let mut high_surrogate: Option<usize> = None;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return Ok(at + 1),
            b'\\' => {
                let length = if bytes.get(at + 1) == Some(&b'u') { 6 } else { 2 };
                let Some(escape) = bytes.get(at..at + length) else {
                    return Err(high_surrogate.unwrap_or(at));
                };
                let is_high = length == 6
                    && matches!(escape[2], b'd' | b'D')
                    && matches!(escape[3], b'8'..=b'9' | b'a'..=b'b' | b'A'..=b'B');
                high_surrogate = (is_high && high_surrogate.is_none()).then_some(at);
                at += length;
            }
            _ => {
                high_surrogate = None;
                at += 1;
            }
        }
    }
    Err(high_surrogate.unwrap_or(at))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ingest::tree::tests::any_json;

    #[test]
    fn marks_are_told() {
        let long = format!("{}…", "x".repeat(200));
        for marked in ["cut...[truncated]", "cut [TRUNCATED]", "cut (truncated)...", "cut…truncated", &long] {
            assert!(is_marked(marked), "{marked}");
        }
        for whole in ["", "well…", "so it goes...", "truncated", "the text was truncated", "[truncated] at first"] {
            assert!(!is_marked(whole), "{whole}");
        }
    }

    #[test]
    fn what_is_there_is_saved() {
        let cases = [
            (r#"[{"role":"user","content":"Hello wor"#, r#"[{"role":"user","content":"Hello wor"}]"#),
            (r#"[{"role":"user","content":"a"},{"ro"#, r#"[{"role":"user","content":"a"},{}]"#),
            (r#"[{"role":"user","content""#, r#"[{"role":"user"}]"#),
            (r#"[{"role":"user","content":"#, r#"[{"role":"user"}]"#),
            (r#"[{"role":"user","content":"a\"#, r#"[{"role":"user","content":"a"}]"#),
            (r#"[{"content":"a\ud83d"#, r#"[{"content":"a"}]"#),
            (r#"[{"content":"a\ud83d\ude"#, r#"[{"content":"a"}]"#),
            (r#"[{"content":"a\ud83d\ude00"#, r#"[{"content":"a\ud83d\ude00"}]"#),
            (r#"{"a":[1,2,3"#, r#"{"a":[1,2]}"#),
            (r#"{"a":tru"#, "{}"),
            (r#"[{"role":"user","content":"a"...[truncated]"#, r#"[{"role":"user","content":"a"}]"#),
            ("[", "[]"),
        ];
        for (cut, whole) in cases {
            assert_eq!(read(cut), Reading::Cut(Json::parse(whole).unwrap()), "{cut}");
        }
    }

    #[test]
    fn text_that_is_not_json_stays_text() {
        for plain in ["", "hello", "{name}, hello", "[1] says so", "\"a\" or \"b\"?", "12"] {
            assert_eq!(read(plain), Reading::Plain { cut: false }, "{plain}");
        }
        assert_eq!(read(&"[".repeat(1_000)), Reading::Plain { cut: false });
    }

    proptest! {
        #[test]
        fn any_prefix_of_json_is_saved(json in any_json(), cut in 0.0..1.0f64) {
            let text = serde_json::to_string(&json).unwrap();
            let mut end = (text.len() as f64 * cut) as usize;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            let read = read(&text[..end]);
            if end > 0 && text.starts_with(['[', '{', '"']) {
                prop_assert!(matches!(read, Reading::Cut(_)), "{:?}", read);
            }
        }

        #[test]
        fn any_text_is_read(text in r#"[\[{"]?.{0,40}"#) {
            let _ = read(&text);
            let _ = is_marked(&text);
        }
    }
}
