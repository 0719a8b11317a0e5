//! The fields of one item of `POST /v1/interactions`.

use std::collections::BTreeMap;

use assize_core::{Flags, InteractionId, Message, ProjectName, Role, Timestamp, TokenUsage};

use super::ItemError;
use crate::ingest::messages::{Fault, MessageReader};
use crate::ingest::tree::Json;
use crate::ingest::{Draft, LABEL_MAX, TAG_KEY_MAX, TAG_VALUE_MAX, TAGS_MAX};

/// Reads one object. An answer that is an empty string is accepted and flagged `no_content`; one that is missing is an error.
pub(super) fn draft(json: Json<'_>) -> Result<Draft, ItemError> {
    let Json::Object(entries) = json else {
        return Err(ItemError::new(
            "not_an_object",
            format!("the item is {}: send an object with input and output", json.kind()),
        ));
    };
    let mut draft = Draft::default();
    let (mut has_input, mut has_output) = (false, false);
    for (key, value) in entries {
        if value == Json::Null {
            continue;
        }
        let read = match key.as_ref() {
            "id" => id(value).map(|id| draft.id = Some(id)),
            "project" => project(value).map(|project| draft.project = Some(project)),
            "time" => time(&value).map(|time| draft.time = Some(time)),
            "conversation_id" => label(value).map(|label| draft.conversation_id = label),
            "model" => label(value).map(|label| draft.model = label),
            "prompt_version" => label(value).map(|label| draft.prompt_version = label),
            "environment" => label(value).map(|label| draft.environment = label),
            "system" => system(value).map(|text| draft.system = text),
            "reference" => text(value).map(|text| draft.reference = Some(text)),
            "input" => {
                has_input = true;
                messages(value, Role::User).map(|messages| draft.input = messages)
            }
            "output" => {
                has_output = true;
                messages(value, Role::Assistant).map(|messages| draft.output = messages)
            }
            "context" => context(value).map(|context| draft.context = context),
            "tags" => tags(value).map(|tags| draft.tags = tags),
            "usage" => usage(&value).map(|usage| draft.usage = usage),
            _ => Ok(()),
        };
        read.map_err(|fault| ItemError::invalid(&key, fault))?;
    }
    for (field, is_there) in [("input", has_input), ("output", has_output)] {
        if !is_there {
            return Err(ItemError::new("missing_field", format!("{field}: is missing: give a string or role messages")));
        }
    }
    draft.lift_instructions();
    draft.flags = Flags { no_content: !draft.has_output(), ..Flags::default() };
    Ok(draft)
}

fn fault<T>(message: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { path: String::new(), message: message.into() })
}

fn text(json: Json<'_>) -> Result<String, Fault> {
    match json {
        Json::Text(text) => Ok(text.into_owned()),
        other => fault(format!("is {}: give a string", other.kind())),
    }
}

fn id(json: Json<'_>) -> Result<InteractionId, Fault> {
    let given = match json {
        Json::Text(text) => text.into_owned(),
        Json::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
        other => return fault(format!("is {}: give a string", other.kind())),
    };
    InteractionId::new(&given).or_else(|error| fault(error.to_string()))
}

fn project(json: Json<'_>) -> Result<ProjectName, Fault> {
    ProjectName::new(&text(json)?).or_else(|error| fault(error.to_string()))
}

fn label(json: Json<'_>) -> Result<Option<String>, Fault> {
    let label = match json {
        Json::Number(number) => number.to_string(),
        other => text(other)?,
    };
    if label.len() > LABEL_MAX {
        return fault(format!("is longer than {LABEL_MAX} bytes"));
    }
    Ok((!label.trim().is_empty()).then_some(label))
}

/// RFC 3339, or a number since 1970: seconds below 10^11, milliseconds below 10^14, microseconds below 10^17, else nanoseconds.
/// (10^11 seconds are in the year 5138, 10^11 milliseconds in 1973.)
fn time(json: &Json<'_>) -> Result<Timestamp, Fault> {
    match json {
        Json::Text(text) if text.len() > 64 => fault("is too long for a time: give RFC 3339 such as 2026-11-24T09:30:00Z"),
        Json::Text(text) => Timestamp::parse(text).or_else(fault),
        Json::Number(number) => {
            let value = number.as_f64().unwrap_or(f64::INFINITY);
            let millis = match value.abs() {
                seconds if seconds < 1e11 => value * 1e3,
                millis if millis < 1e14 => value,
                micros if micros < 1e17 => value / 1e3,
                _ => value / 1e6,
            };
            Ok(Timestamp(millis.round() as i64))
        }
        other => {
            fault(format!("is {}: give RFC 3339 such as 2026-11-24T09:30:00Z, or Unix seconds or milliseconds", other.kind()))
        }
    }
}

/// A string, or OpenAI's parts.
fn system(json: Json<'_>) -> Result<Option<String>, Fault> {
    let mut parts = Vec::new();
    MessageReader::strict(&mut parts).content(json, Role::System, None)?;
    let texts: Vec<String> = parts.into_iter().map(|part| part.content).collect();
    Ok((!texts.is_empty()).then(|| texts.join("\n")))
}

fn messages(json: Json<'_>, role: Role) -> Result<Vec<Message>, Fault> {
    let mut messages = Vec::new();
    match json {
        Json::Text(text) => messages.push(Message::new(role, text)),
        Json::List(items) => MessageReader::strict(&mut messages).list(items)?,
        one @ Json::Object(_) => MessageReader::strict(&mut messages).message(one)?,
        other => return fault(format!("is {}: give a string or role messages", other.kind())),
    }
    Ok(messages)
}

/// A string, or an array of strings and of objects with `content`, `text` or `page_content`. Empty ones are left out.
fn context(json: Json<'_>) -> Result<Vec<String>, Fault> {
    let items = match json {
        Json::List(items) => items,
        one @ (Json::Text(_) | Json::Object(_)) => vec![one],
        other => return fault(format!("is {}: give a string or an array", other.kind())),
    };
    let mut context = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let piece = match item {
            Json::Text(text) => Ok(text.into_owned()),
            mut object @ Json::Object(_) => match ["content", "text", "page_content"].iter().find_map(|key| object.take(key)) {
                Some(Json::Text(text)) => Ok(text.into_owned()),
                Some(other) => fault(format!("holds {}, not a string", other.kind())),
                None => fault("has none of content, text and page_content"),
            },
            other => fault(format!("is {}: give a string or an object with content", other.kind())),
        };
        context.push(piece.map_err(|fault| fault.under(format_args!("[{index}]")))?);
    }
    context.retain(|piece| !piece.is_empty());
    Ok(context)
}

fn tags(json: Json<'_>) -> Result<BTreeMap<String, String>, Fault> {
    let Json::Object(entries) = json else {
        return fault(format!("is {}: give an object of strings", json.kind()));
    };
    let mut tags = BTreeMap::new();
    for (key, value) in entries {
        if key.is_empty() || key.len() > TAG_KEY_MAX {
            return fault(format!("has a key of {} bytes: use 1 to {TAG_KEY_MAX}", key.len()));
        }
        let kind = value.kind();
        let value = match value {
            Json::Null => continue,
            scalar => match scalar.into_scalar_text() {
                Some(text) if text.len() <= TAG_VALUE_MAX => Ok(text),
                Some(text) => fault(format!("is {} bytes long: use at most {TAG_VALUE_MAX}", text.len())),
                None => fault(format!("is {kind}: give a string, a number or a boolean")),
            },
        };
        tags.insert(key.clone().into_owned(), value.map_err(|fault| fault.under(format_args!(".{key}")))?);
        if tags.len() > TAGS_MAX {
            return fault(format!("has more than {TAGS_MAX} keys"));
        }
    }
    Ok(tags)
}

/// Our own spelling, that of OpenAI's chat and responses, and Anthropic's, whose input tokens leave cached ones out.
/// `None` where no count is given under a name that is known: unknown is not zero.
fn usage(json: &Json<'_>) -> Result<Option<TokenUsage>, Fault> {
    if !matches!(json, Json::Object(_)) {
        return fault(format!("is {}: give an object with input_tokens and output_tokens", json.kind()));
    }
    let input = count(json, &["input_tokens", "prompt_tokens", "input"])?;
    let output = count(json, &["output_tokens", "completion_tokens", "output"])?;
    let detail = ["prompt_tokens_details", "input_tokens_details"].iter().find_map(|key| json.get(key));
    let cached = match count(json, &["cached_input_tokens"])? {
        None => detail.map_or(Ok(None), |detail| count(detail, &["cached_tokens"]))?,
        own => own,
    };
    let read = count(json, &["cache_read_input_tokens"])?;
    let written = count(json, &["cache_creation_input_tokens"])?;
    if input.is_none() && output.is_none() && cached.is_none() && read.is_none() && written.is_none() {
        return Ok(None);
    }
    let usage = match cached {
        None if read.is_some() || written.is_some() => {
            let cached = read.unwrap_or(0);
            let input = input.unwrap_or(0).saturating_add(cached).saturating_add(written.unwrap_or(0));
            TokenUsage { input, output: output.unwrap_or(0), cached_input: cached, ..TokenUsage::default() }
        }
        cached => TokenUsage {
            input: input.unwrap_or(0),
            output: output.unwrap_or(0),
            cached_input: cached.unwrap_or(0),
            ..TokenUsage::default()
        },
    };
    if usage.cached_input > usage.input {
        return fault("has more cached tokens than input tokens, which include them");
    }
    Ok(Some(usage))
}

fn count(json: &Json<'_>, keys: &[&str]) -> Result<Option<u64>, Fault> {
    for key in keys {
        match json.get(key) {
            None | Some(Json::Null) => {}
            Some(value) => {
                return match value.as_u64() {
                    Some(count) => Ok(Some(count)),
                    None => fault("is not a whole number of tokens").map_err(|fault: Fault| fault.under(format_args!(".{key}"))),
                };
            }
        }
    }
    Ok(None)
}
