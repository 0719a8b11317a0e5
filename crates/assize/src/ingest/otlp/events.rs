//! Message events, on spans or as log records: one message each, or all of a call.

use std::borrow::Cow;

use assize_core::Role;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};

use super::facts::Facts;
use super::value::into_json;
use crate::ingest::cut::{self, Reading};
use crate::ingest::messages::MessageReader;
use crate::ingest::tree::Json;

/// The event that holds all of a call.
pub(super) const DETAILS: &str = "gen_ai.client.inference.operation.details";

/// Whether `name` is an event that can hold what was said.
pub(super) fn is_content(name: &str) -> bool {
    matches!(
        name,
        DETAILS
            | "gen_ai.system.message"
            | "gen_ai.user.message"
            | "gen_ai.assistant.message"
            | "gen_ai.tool.message"
            | "gen_ai.choice"
            | "gen_ai.content.prompt"
            | "gen_ai.content.completion"
    )
}

/// Takes an event of `name`, for which [`is_content`] holds, at `time` nanoseconds.
pub(super) fn take(facts: &mut Facts, name: &str, attributes: Vec<KeyValue>, body: Option<Value>, time: u64) {
    let role = match name {
        "gen_ai.system.message" => Role::System,
        "gen_ai.user.message" => Role::User,
        "gen_ai.assistant.message" | "gen_ai.choice" => Role::Assistant,
        "gen_ai.tool.message" => Role::Tool,
        _ => {
            facts.attributes(attributes);
            if let Some(Value::KvlistValue(list)) = body {
                facts.attributes(list.values);
            }
            return;
        }
    };
    let mut entries: Vec<(Cow<'static, str>, Json<'static>)> = Vec::new();
    let mut truncated = false;
    for KeyValue { key, value, .. } in attributes {
        let Some(value) = value.and_then(|value| value.value) else { continue };
        if key == "gen_ai.event.content" {
            put(&mut entries, into_json(value), &mut truncated);
        } else if key.starts_with("gen_ai.") || key == "session.id" {
            facts.attribute(&key, value);
        } else if key != "event.name" {
            entries.push((Cow::Owned(key), into_json(value)));
        }
    }
    if let Some(body) = body {
        put(&mut entries, into_json(body), &mut truncated);
    }
    // Instrumentations that cannot send structure write it as JSON.
    for (key, value) in &mut entries {
        if matches!(key.as_ref(), "message" | "content" | "tool_calls")
            && let Json::Text(text) = value
            && text.starts_with(['{', '['])
        {
            let read = match cut::read(text) {
                Reading::Whole(json) => Some(json.into_owned()),
                Reading::Cut(json) => {
                    truncated = true;
                    Some(json)
                }
                Reading::Plain { .. } => None,
            };
            // Text that merely is JSON stays text.
            if let Some(json) = read
                && (key != "content" || is_parts(&json))
            {
                *value = json;
            }
        }
        if key == "message" && matches!(value, Json::Text(_)) {
            *key = Cow::Borrowed("content");
        }
    }
    let mut messages = Vec::new();
    // A lenient reader gives no fault.
    let _ = MessageReader::lenient(&mut messages, role).message(Json::Object(entries));
    truncated |= messages.iter().any(|message| cut::is_marked(&message.content));
    facts.truncated |= truncated;
    let material = if name == "gen_ai.choice" { &mut facts.output } else { &mut facts.input };
    material.events.extend(messages.into_iter().map(|message| (time, message)));
}

fn is_parts(json: &Json<'_>) -> bool {
    matches!(json, Json::List(parts) if !parts.is_empty() && parts.iter().all(|part| part.get("type").is_some() || part.get("text").is_some()))
}

/// Adds what `json` holds: the entries of an object, also when it is written as text, else itself as content.
fn put(entries: &mut Vec<(Cow<'static, str>, Json<'static>)>, json: Json<'static>, truncated: &mut bool) {
    match json {
        Json::Object(inner) => entries.extend(inner),
        Json::Null => {}
        Json::Text(text) => match cut::read(&text) {
            Reading::Whole(Json::Object(inner)) => {
                entries.extend(inner.into_iter().map(|(key, value)| (Cow::Owned(key.into_owned()), value.into_owned())));
            }
            Reading::Cut(Json::Object(inner)) => {
                *truncated = true;
                entries.extend(inner);
            }
            _ => entries.push((Cow::Borrowed("content"), Json::Text(text))),
        },
        other => entries.push((Cow::Borrowed("content"), other)),
    }
}
