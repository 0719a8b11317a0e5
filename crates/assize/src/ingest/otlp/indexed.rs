//! Messages that are spread over numbered attributes: `gen_ai.prompt.0.content`, `llm.input_messages.0.message.content`.

use std::collections::BTreeMap;

use assize_core::{Message, Role};
use opentelemetry_proto::tonic::common::v1::any_value::Value;

use super::value::into_text;
use crate::ingest::cut::{self, Reading};
use crate::ingest::messages::MessageReader;
use crate::ingest::tree::Json;

/// Messages under construction, by number.
#[derive(Debug, Default)]
pub(super) struct Indexed(BTreeMap<u32, Partial>);

#[derive(Debug, Default)]
struct Partial {
    role: Option<Role>,
    content: Option<String>,
    parts: BTreeMap<u32, String>,
    calls: BTreeMap<u32, Call>,
    name: Option<String>,
}

#[derive(Debug, Default)]
struct Call {
    name: Option<String>,
    arguments: Option<String>,
}

/// `3.rest` as 3 and `rest`.
pub(super) fn numbered(key: &str) -> Option<(u32, &str)> {
    let (number, rest) = key.split_once('.')?;
    Some((number.parse().ok()?, rest))
}

impl Indexed {
    /// Takes the attribute whose key, without its prefix, is `key`: a number, a dot and the name of a field.
    pub(super) fn put(&mut self, key: &str, value: Value) {
        let Some((number, field)) = numbered(key) else { return };
        let field = ["message.", "prompt.", "completion."].iter().find_map(|prefix| field.strip_prefix(prefix)).unwrap_or(field);
        let message = self.0.entry(number).or_default();
        match field {
            "role" => message.role = into_text(value).and_then(|role| role.parse().ok()),
            "content" | "text" => message.content = into_text(value),
            "name" => message.name = into_text(value),
            "function_call.name" | "function_call_name" => message.calls.entry(0).or_default().name = into_text(value),
            "function_call.arguments" | "function_call_arguments_json" => {
                message.calls.entry(0).or_default().arguments = into_text(value);
            }
            _ => {
                if let Some((number, field)) = field.strip_prefix("tool_calls.").and_then(numbered) {
                    let field = field.strip_prefix("tool_call.").unwrap_or(field);
                    match field.strip_prefix("function.").unwrap_or(field) {
                        "name" => message.calls.entry(number).or_default().name = into_text(value),
                        "arguments" => message.calls.entry(number).or_default().arguments = into_text(value),
                        _ => {}
                    }
                } else if let Some((number, field)) = field.strip_prefix("contents.").and_then(numbered) {
                    match field.strip_prefix("message_content.").unwrap_or(field) {
                        "text" => {
                            if let Some(text) = into_text(value) {
                                message.parts.insert(number, text);
                            }
                        }
                        "type" => {
                            if let Some(kind) = into_text(value).filter(|kind| kind != "text" && kind.len() <= 40) {
                                message.parts.entry(number).or_insert_with(|| format!("[{kind}]"));
                            }
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    /// Whether any attribute was taken.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The messages in the order of their numbers; `role` speaks where none is named. Also whether JSON among them was cut short.
    pub(super) fn into_messages(self, role: Role) -> (Vec<Message>, bool) {
        let mut messages = Vec::with_capacity(self.0.len());
        let mut truncated = false;
        for partial in self.0.into_values() {
            let role = partial.role.unwrap_or(role);
            let tool = partial.name.filter(|_| role == Role::Tool);
            let parts: Vec<String> = partial.parts.into_values().collect();
            let content = partial.content.filter(|content| !content.is_empty()).unwrap_or_else(|| parts.join("\n"));
            // OpenLLMetry writes a list of parts as JSON.
            let read = if content.starts_with("[{") { cut::read(&content) } else { Reading::Plain { cut: false } };
            match read {
                Reading::Whole(json) if is_parts(&json) => put_parts(&mut messages, json, role, tool),
                Reading::Cut(json) if is_parts(&json) => {
                    truncated = true;
                    put_parts(&mut messages, json, role, tool);
                }
                _ if content.is_empty() => {}
                _ => messages.push(Message { role, content, tool }),
            }
            messages.extend(partial.calls.into_values().filter_map(|call| {
                let tool = call.name?;
                Some(Message { role: Role::Assistant, content: call.arguments.unwrap_or_default(), tool: Some(tool) })
            }));
        }
        (messages, truncated)
    }
}

fn is_parts(json: &Json<'_>) -> bool {
    matches!(json, Json::List(parts) if parts.iter().all(|part| part.get("type").is_some_and(|kind| kind.as_text().is_some())))
}

fn put_parts(messages: &mut Vec<Message>, json: Json<'_>, role: Role, tool: Option<String>) {
    // A lenient reader gives no fault.
    let _ = MessageReader::lenient(messages, role).content(json, role, tool);
}
