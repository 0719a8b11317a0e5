//! Finds the conversation in what a span calls its input or output: a provider's request or response, a list of messages, or text.

use assize_core::{Message, Role};

use super::messages::MessageReader;
use super::tree::Json;

/// Which side of the model is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What was asked.
    Input,
    /// What was answered.
    Output,
}

impl Side {
    /// Who speaks where nothing else is said.
    pub fn role(self) -> Role {
        match self {
            Self::Input => Role::User,
            Self::Output => Role::Assistant,
        }
    }
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Instructions that stood beside the messages.
    pub system: Option<String>,
    /// The messages, in order.
    pub messages: Vec<Message>,
}

impl Found {
    fn read(&mut self, json: Json<'_>, side: Side) {
        let mut reader = MessageReader::lenient(&mut self.messages, side.role());
        // A lenient reader gives no fault.
        let _ = match json {
            Json::List(items) => reader.list(items),
            one => reader.message(one),
        };
    }
}

/// Reads what is declared to be messages: an array of them, one of them, or a provider's envelope around them.
pub fn declared(json: Json<'_>, side: Side) -> Found {
    match recognised(json, side) {
        Ok(found) => found,
        Err(json) => {
            let mut found = Found::default();
            found.read(json, side);
            found
        }
    }
}

/// Reads a value that may be a conversation: messages, or the request or response of OpenAI chat and responses, Anthropic, Gemini,
/// a completion API or LangChain. Gives the value back when it is none of these, since a model may well answer in JSON of its own.
pub fn recognised<'a>(mut json: Json<'a>, side: Side) -> Result<Found, Json<'a>> {
    let mut found = Found::default();
    match &json {
        Json::List(items) => {
            if !items.iter().all(is_message_or_list) || items.is_empty() {
                return Err(json);
            }
            found.read(json, side);
        }
        Json::Object(_) if is_message(&json) && json.get("messages").is_none() => found.read(json, side),
        Json::Object(_) => {
            let Some(key) = envelope(&json, side) else { return Err(json) };
            let inner = json.take(key).unwrap_or(Json::Null);
            for key in ["system", "instructions", "systemInstruction", "system_instruction"] {
                if let Some(system) = json.take(key) {
                    found.system = instructions(system);
                    break;
                }
            }
            match inner {
                Json::List(items) if key == "generations" => generations(items, side, &mut found),
                Json::List(items) if key == "candidates" => {
                    found.read(Json::List(items.into_iter().filter_map(|mut item| item.take("content")).collect()), side);
                }
                Json::List(items) if key == "choices" => {
                    for mut choice in items {
                        match choice.take("text") {
                            Some(text) if choice.get("message").is_none() => found.read(text, side),
                            _ => found.read(choice, side),
                        }
                    }
                }
                inner => found.read(inner, side),
            }
        }
        _ => return Err(json),
    }
    Ok(found)
}

/// Instructions as text: a string, or parts, or an object that holds either.
pub fn instructions(json: Json<'_>) -> Option<String> {
    let mut messages = Vec::new();
    let mut reader = MessageReader::lenient(&mut messages, Role::System);
    let _ = match json {
        Json::List(items) => items.into_iter().try_for_each(|item| match item {
            message @ Json::Object(_) if message.get("role").is_some() => reader.message(message),
            part => reader.content(part, Role::System, None),
        }),
        message @ Json::Object(_) if message.get("parts").is_some() || message.get("role").is_some() => reader.message(message),
        other => reader.content(other, Role::System, None),
    };
    let texts: Vec<String> = messages.into_iter().map(|message| message.content).filter(|text| !text.is_empty()).collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

/// Whether `json` looks like a message of any provider.
fn is_message(json: &Json<'_>) -> bool {
    let has = |key| json.get(key).is_some_and(|value| *value != Json::Null);
    let is_text = |key| json.get(key).and_then(Json::as_text).is_some();
    if is_text("role") {
        return has("content") || has("parts") || has("tool_calls") || has("toolCalls") || has("function_call") || has("refusal");
    }
    if matches!(json.get("message"), Some(inner @ Json::Object(_)) if is_message(inner)) {
        return true;
    }
    match json.get("type").and_then(Json::as_text) {
        Some("function_call") => is_text("name") && has("arguments"),
        Some("function_call_output") => has("call_id"),
        Some("reasoning") => has("summary") || has("content") || has("encrypted_content"),
        Some("constructor") => matches!(json.get("kwargs"), Some(Json::Object(_))),
        Some(
            "human" | "ai" | "system" | "tool" | "HumanMessage" | "AIMessage" | "AIMessageChunk" | "SystemMessage"
            | "ToolMessage",
        ) => has("content") || has("data"),
        _ => false,
    }
}

fn is_message_or_list(json: &Json<'_>) -> bool {
    match json {
        Json::List(items) => !items.is_empty() && items.iter().all(is_message),
        other => is_message(other),
    }
}

/// The key under which an API's request or response keeps its messages, where `json` is one.
fn envelope(json: &Json<'_>, side: Side) -> Option<&'static str> {
    let list = |key| matches!(json.get(key), Some(Json::List(_)));
    let text = |key| json.get(key).and_then(Json::as_text).is_some();
    let starts =
        |key, test: fn(&Json<'_>) -> bool| matches!(json.get(key), Some(Json::List(items)) if items.first().is_some_and(test));
    match side {
        Side::Input => {
            if starts("messages", is_message_or_list) {
                Some("messages")
            } else if starts("contents", is_message) {
                Some("contents")
            } else if starts("input", is_message) || (text("input") && text("model")) {
                Some("input")
            } else if text("model") && (text("prompt") || starts("prompt", |item| item.as_text().is_some())) {
                Some("prompt")
            } else if starts("prompts", |item| item.as_text().is_some()) {
                Some("prompts")
            } else {
                None
            }
        }
        Side::Output => {
            if starts("choices", |choice| {
                matches!(choice.get("message"), Some(Json::Object(_)))
                    || choice.get("text").is_some_and(|text| text.as_text().is_some())
            }) {
                Some("choices")
            } else if starts("candidates", |candidate| matches!(candidate.get("content"), Some(Json::Object(_)))) {
                Some("candidates")
            } else if starts("output", is_message) {
                Some("output")
            } else if list("generations") {
                Some("generations")
            } else if starts("messages", is_message_or_list) {
                Some("messages")
            } else if matches!(json.get("message"), Some(message @ Json::Object(_)) if is_message(message)) {
                Some("message")
            } else {
                None
            }
        }
    }
}

/// LangChain's `LLMResult`: lists of generations, each with a message or a text.
fn generations(items: Vec<Json<'_>>, side: Side, found: &mut Found) {
    for item in items {
        let inner = match item {
            Json::List(inner) => inner,
            one => vec![one],
        };
        for mut generation in inner {
            if let Some(said) = generation.take("message").or_else(|| generation.take("text")) {
                found.read(said, side);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ingest::tree::tests::any_json;

    type Said = (Option<String>, Vec<(&'static str, String)>);

    fn said(json: &str, side: Side) -> Option<Said> {
        let found = recognised(Json::parse(json).unwrap(), side).ok()?;
        Some((found.system, found.messages.into_iter().map(|m| (m.role.as_str(), m.content)).collect()))
    }

    #[test]
    fn requests_are_recognised() {
        let asked = |system: Option<&str>| Some((system.map(str::to_owned), vec![("user", "q".to_owned())]));
        let cases = [
            (r#"{"model":"m","messages":[{"role":"user","content":"q"}],"temperature":0}"#, asked(None)),
            (r#"{"system":"s","messages":[{"role":"user","content":[{"type":"text","text":"q"}]}]}"#, asked(Some("s"))),
            (r#"{"model":"m","instructions":"s","input":"q"}"#, asked(Some("s"))),
            (r#"{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"q"}]}]}"#, asked(None)),
            (
                r#"{"contents":[{"role":"user","parts":[{"text":"q"}]}],"systemInstruction":{"parts":[{"text":"s"}]}}"#,
                asked(Some("s")),
            ),
            (r#"{"model":"m","prompt":"q"}"#, asked(None)),
            (
                r#"{"messages":[[{"lc":1,"type":"constructor","id":["x","HumanMessage"],"kwargs":{"content":"q","type":"human"}}]]}"#,
                asked(None),
            ),
            (r#"[{"role":"user","content":"q"}]"#, asked(None)),
            (r#"{"prompts":["q"]}"#, asked(None)),
        ];
        for (json, expected) in cases {
            assert_eq!(said(json, Side::Input), expected, "{json}");
        }
    }

    #[test]
    fn responses_are_recognised() {
        let cases = [
            r#"{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}],"usage":{}}"#,
            r#"{"choices":[{"text":"a","index":0}]}"#,
            r#"{"id":"m","type":"message","role":"assistant","content":[{"type":"text","text":"a"}]}"#,
            r#"{"output":[{"type":"reasoning","summary":[]},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"a"}]}]}"#,
            r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"a"}]},"finishReason":"STOP"}]}"#,
            r#"{"generations":[[{"text":"a","message":{"lc":1,"type":"constructor","id":["x","AIMessage"],"kwargs":{"content":"a"}}}]]}"#,
            r#"{"generations":[[{"text":"a"}]]}"#,
            r#"{"model":"m","message":{"role":"assistant","content":"a"},"done":true}"#,
            r#"{"messages":[{"role":"assistant","content":"a"}]}"#,
        ];
        for json in cases {
            assert_eq!(said(json, Side::Output), Some((None, vec![("assistant", "a".to_owned())])), "{json}");
        }
    }

    #[test]
    fn json_of_the_models_own_stays_what_it_is() {
        for own in [
            r#"{"answer":42}"#,
            r#"{"text":"a"}"#,
            r#"[1,2]"#,
            "[]",
            r#"{"role":"admin"}"#,
            r#"{"message":"hi"}"#,
            r#"{"output":[1]}"#,
        ] {
            for side in [Side::Input, Side::Output] {
                assert_eq!(said(own, side), None, "{own}");
            }
        }
    }

    #[test]
    fn instructions_in_every_shape() {
        for json in [
            r#""s""#,
            r#"[{"type":"text","content":"s"}]"#,
            r#"{"parts":[{"text":"s"}]}"#,
            r#"[{"type":"text","text":"s","cache_control":{}}]"#,
            r#"[{"role":"system","content":"s"}]"#,
        ] {
            assert_eq!(instructions(Json::parse(json).unwrap()).as_deref(), Some("s"), "{json}");
        }
        assert_eq!(instructions(Json::Null), None);
    }

    proptest! {
        #[test]
        fn any_value_is_read_or_given_back(json in any_json()) {
            for side in [Side::Input, Side::Output] {
                if let Err(back) = recognised(json.clone(), side) {
                    prop_assert_eq!(&back, &json);
                }
                let _ = declared(json.clone(), side);
            }
            let _ = instructions(json);
        }
    }
}
