//! Reads a judge's answer. A score is taken from it or it is refused; none is ever made up.
//!
//! The answer has to be one JSON object, and nothing else: a score inside prose could be one that the judge quotes from the text it
//! judges. Because many hosts ignore `response_format`, two wrappings are taken off: a Markdown fence around the whole answer, and
//! the `<think>…</think>` that reasoning models put before it. Unknown keys are ignored; a missing reason is an empty one, because the
//! score is the judge's all the same.

pub mod logprobs;
pub mod packed;
pub mod word;

use serde_json::{Map, Value};

/// The form that judges are asked to answer in (JSON Schema).
pub const SCHEMA: &str = r#"{"type":"object","properties":{"score":{"type":"number","minimum":0,"maximum":1},"reason":{"type":"string"}},"required":["score","reason"],"additionalProperties":false}"#;

/// Characters of a reason that are kept.
pub const REASON_CHARS_MAX: usize = 1_000;

/// What a judge answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// In [0, 1].
    pub score: f64,
    /// Why, cut to [`REASON_CHARS_MAX`] characters.
    pub reason: String,
}

/// Reads `text`. The error says what is wrong without repeating any of the text.
pub fn parse(text: &str) -> Result<Answer, String> {
    scored(object(text)?)
}

/// The text of the object in an answer, without what may be wrapped around it; whether it is one is not known yet.
fn object(text: &str) -> Result<&str, String> {
    let text = unwrapped(text);
    if text.is_empty() {
        return Err("the answer is empty".to_owned());
    }
    if !text.starts_with('{') {
        return Err("the answer is not a JSON object".to_owned());
    }
    Ok(text)
}

fn scored(object: &str) -> Result<Answer, String> {
    let object: Map<String, Value> = serde_json::from_str(object).map_err(|error| not_an_object(&error))?;
    Ok(Answer { score: score(object.get("score"))?, reason: reason(object.get("reason"))? })
}

fn not_an_object(error: &serde_json::Error) -> String {
    let what = if error.is_eof() { "ends before the JSON object does" } else { "is not one JSON object and nothing else" };
    format!("the answer {what} (line {}, column {})", error.line(), error.column())
}

pub(crate) fn score(value: Option<&Value>) -> Result<f64, String> {
    let value = value.ok_or("the answer has no score")?;
    let score = value.as_f64().ok_or_else(|| format!("the score is {}, not a number", kind_of(value)))?;
    if (0.0..=1.0).contains(&score) {
        // Minus zero is inside the range and would read oddly.
        Ok(score.abs())
    } else {
        Err(format!("the score {score} is not within 0 to 1"))
    }
}

pub(crate) fn reason(value: Option<&Value>) -> Result<String, String> {
    match value {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.chars().take(REASON_CHARS_MAX).collect()),
        Some(other) => Err(format!("the reason is {}, not a text", kind_of(other))),
    }
}

pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn unwrapped(text: &str) -> &str {
    let mut text = text.trim();
    if text.starts_with("<think>")
        && let Some((_, rest)) = text.rsplit_once("</think>")
    {
        text = rest.trim();
    }
    let fenced = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    match fenced.and_then(|inside| inside.split_once('\n')) {
        Some((language, inside)) if matches!(language.trim(), "" | "json" | "JSON") => inside.trim(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn score_of(text: &str) -> Option<f64> {
        parse(text).ok().map(|answer| answer.score)
    }

    #[test]
    fn the_schema_is_json_and_describes_what_is_read() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        assert_eq!(schema["required"], serde_json::json!(["score", "reason"]));
        assert_eq!(schema["additionalProperties"], Value::Bool(false));
    }

    #[test]
    fn answers_that_are_taken() {
        for (text, score) in [
            (r#"{"score": 0.25, "reason": "because"}"#, 0.25),
            ("\n {\"reason\":\"r\",\"score\":1}\n", 1.0),
            (r#"{"score":0}"#, 0.0),
            (r#"{"score":-0.0,"reason":null}"#, 0.0),
            (r#"{"score":1e-3,"reason":"","confidence":0.5}"#, 0.001),
            ("```json\n{\"score\": 1, \"reason\": \"uses ``` inside\"}\n```", 1.0),
            ("```\n{\"score\": 1}\n```", 1.0),
            ("<think>Perhaps {\"score\": 0}?</think>\n\n{\"score\": 1}", 1.0),
        ] {
            assert_eq!(score_of(text), Some(score), "{text}");
        }
        assert_eq!(parse(r#"{"score":1,"reason":"é"}"#).unwrap().reason, "é");
        let long = format!("{{\"score\":1,\"reason\":\"{}\"}}", "é".repeat(5000));
        assert_eq!(parse(&long).unwrap().reason.chars().count(), REASON_CHARS_MAX);
    }

    #[test]
    fn answers_that_are_refused() {
        for (text, why) in [
            ("", "empty"),
            (" \n ", "empty"),
            ("The assistant refuses.", "not a JSON object"),
            ("0.7", "not a JSON object"),
            ("[0.5, \"reason\"]", "not a JSON object"),
            (r#"{"score": 0.5, "rea"#, "ends before"),
            ("{\"score\": 0.5,\n", "ends before"),
            (r#"{"score": 7, "reason": "very"}"#, "score 7 is not within"),
            (r#"{"score": -0.1, "reason": ""}"#, "not within"),
            (r#"{"score": 1.0000001, "reason": ""}"#, "not within"),
            (r#"{"score": 1e400, "reason": ""}"#, "not one JSON object"),
            (r#"{"score": NaN, "reason": ""}"#, "not one JSON object"),
            (r#"{"score": "0.5", "reason": ""}"#, "a text, not a number"),
            (r#"{"score": true, "reason": ""}"#, "true or false"),
            (r#"{"score": null, "reason": ""}"#, "null"),
            (r#"{"score": [1], "reason": ""}"#, "a list"),
            (r#"{"reason": "no score"}"#, "no score"),
            (r#"{"score": 0.5, "reason": 3}"#, "the reason is a number"),
            (r#"{"score": 0.5} {"score": 0.6}"#, "nothing else"),
            (r#"Sure! {"score": 0.5, "reason": ""}"#, "not a JSON object"),
            (r#"{"score": 0.5, "reason": ""} Hope this helps."#, "nothing else"),
            (r#"{"result": {"score": 0.5}}"#, "no score"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn depth_does_not_overflow_the_stack() {
        assert!(parse(&format!("{{\"score\":{}", "[".repeat(200_000))).is_err());
        assert!(parse(&"{\"a\":".repeat(200_000)).is_err());
    }

    #[test]
    fn an_error_repeats_no_text() {
        let error = parse(r#"{"score": "the secret words", "reason": ""}"#).unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }

    proptest! {
        #[test]
        fn parse_never_panics_and_never_leaves_the_range(text in any::<String>(), json in "[{}\\[\\]\":,score0-9.e`<>/think \\n-]{0,60}") {
            for text in [text, json] {
                if let Ok(answer) = parse(&text) {
                    prop_assert!((0.0..=1.0).contains(&answer.score));
                }
            }
        }

        #[test]
        fn every_answer_in_the_schema_is_read_as_it_stands(score in 0.0..=1.0_f64, reason in any::<String>()) {
            let answer = parse(&serde_json::json!({"score": score, "reason": reason}).to_string()).unwrap();
            prop_assert!((answer.score - score).abs() < 1e-15);
            prop_assert_eq!(answer.reason, reason.chars().take(REASON_CHARS_MAX).collect::<String>());
        }
    }
}
