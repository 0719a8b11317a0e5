//! Reads an answer that is one of the words yes and no, and where in the text the word stands, so that its log-probabilities can be
//! found.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{not_an_object, object, reason};

/// The form that judges are asked to answer in (JSON Schema).
pub const SCHEMA: &str = r#"{"type":"object","properties":{"answer":{"type":"string","enum":["yes","no"]},"reason":{"type":"string"}},"required":["answer","reason"],"additionalProperties":false}"#;

/// A word that a model chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// It is yes.
    pub yes: bool,
    /// Where its first letter stands in the answer's text, in bytes.
    pub at: usize,
    /// Why, cut like that of a score.
    pub reason: String,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    answer: Option<&'a RawValue>,
    reason: Option<Value>,
}

/// Whether `word` is yes or no, whatever its case; `None` where it is neither.
pub fn is_yes(word: &str) -> Option<bool> {
    if word.eq_ignore_ascii_case("yes") {
        Some(true)
    } else if word.eq_ignore_ascii_case("no") {
        Some(false)
    } else {
        None
    }
}

/// Reads `text`. The error says what is wrong without repeating any of the text.
pub fn parse(text: &str) -> Result<Word, String> {
    let wire: Wire<'_> = serde_json::from_str(object(text)?).map_err(|error| not_an_object(&error))?;
    let raw = wire.answer.ok_or("the answer has no key `answer`")?.get();
    let neither = || "the key `answer` is neither \"yes\" nor \"no\"".to_owned();
    let word = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or_else(neither)?;
    let yes = is_yes(word).ok_or_else(neither)?;
    // Both are slices of the same text: the parser borrows.
    let at = word.as_ptr() as usize - text.as_ptr() as usize;
    Ok(Word { yes, at, reason: reason(wire.reason.as_ref())? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_word_is_found_where_it_stands() {
        for (text, yes) in [
            (r#"{"answer": "yes", "reason": "because"}"#, true),
            (r#"{"answer":"no"}"#, false),
            ("<think>{\"answer\":\"yes\"}</think>\n{\"reason\": \"yes no\", \"answer\":  \"No\"}", false),
            ("```json\n{\"answer\": \"YES\", \"reason\": null}\n```", true),
        ] {
            let word = parse(text).unwrap();
            assert_eq!(word.yes, yes, "{text}");
            assert!(text[word.at..].to_lowercase().starts_with(if yes { "yes\"" } else { "no\"" }), "{text}");
            assert!(
                !text[..word.at].ends_with("{\"answer\":\"") || !text.starts_with("<think>"),
                "not the one in the thought: {text}"
            );
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for (text, why) in [
            ("yes", "not a JSON object"),
            (r#"{"answer": true}"#, "neither"),
            (r#"{"answer": "yes."}"#, "neither"),
            (r#"{"answer": "maybe"}"#, "neither"),
            (r#"{"answer": "\u0079es"}"#, "neither"),
            (r#"{"answer": ["yes"]}"#, "neither"),
            (r#"{"score": 1}"#, "no key"),
            (r#"{"answer": "yes", "answer": "no"}"#, "not one JSON object"),
            (r#"{"answer": "yes", "reason": 7}"#, "the reason is a number"),
            (r#"{"answer": "yes"} no"#, "nothing else"),
            (r#"{"answer": "ye"#, "ends before"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn the_schema_is_json() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        assert_eq!(schema["properties"]["answer"]["enum"], serde_json::json!(["yes", "no"]));
    }

    proptest! {
        #[test]
        fn never_panics(text in any::<String>(), json in "[{}\":,answeryo` \\n]{0,60}") {
            for text in [text, json] {
                if let Ok(word) = parse(&text) {
                    prop_assert!(text.get(word.at..).is_some());
                }
            }
        }
    }
}
