//! `POST /v1/interactions`: one object, an array of objects, or one object a line (NDJSON).
//!
//! `{id?, project?, time?, conversation_id?, model?, prompt_version?, environment?, system?, input, output, context?, reference?,
//! tags?, usage?}`. Fields that are not known are ignored, so that senders may add their own; fields that are null count as absent.
//! System and developer messages that open the input move to `system`, whatever the dialect.

mod fields;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::messages::Fault;
use super::tree::Json;
use super::{BodyError, Draft, ITEM_TEXT_MAX, ITEMS_MAX};

/// Why one item was refused. The text names the place, such as `input[2].role`, and never holds what was said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ItemError {
    /// One of `invalid_json`, `not_an_object`, `missing_field`, `invalid_field`, `item_too_large`.
    pub code: &'static str,
    /// What is wrong, where, and what to do.
    pub message: String,
}

impl ItemError {
    /// An error of `code`.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    fn invalid(field: &str, fault: Fault) -> Self {
        Self::new("invalid_field", format!("{field}{}: {}", fault.path, fault.message))
    }
}

/// The items of a body, in its order; lines that are blank do not count.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decoded {
    /// One draft or error each.
    pub items: Vec<Result<Draft, ItemError>>,
}

/// Decodes a body of `POST /v1/interactions`.
///
/// It is read line by line when `content_type` is `application/x-ndjson`, `application/ndjson`, `application/jsonl` or
/// `application/x-jsonlines`, or when it holds several objects on lines of their own. An item that is malformed does not spoil the
/// others. Errors concern the body as a whole: `empty_body`, `invalid_utf8`, `invalid_json` (with line and column),
/// `too_many_items`.
pub fn decode(body: &[u8], content_type: Option<&str>) -> Result<Decoded, BodyError> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let start = body.iter().position(|byte| !byte.is_ascii_whitespace());
    let Some(first) = start.and_then(|at| body.get(at)) else {
        return Err(BodyError::new("empty_body", "the body is empty: send one object, an array, or one object a line"));
    };
    if content_type.is_some_and(is_lines) {
        return lines(body);
    }
    match first {
        b'[' => array(text(body)?),
        b'{' if several_on_lines(body) => lines(body),
        b'{' => {
            let text = text(body)?;
            let raw: &RawValue = serde_json::from_str(text).map_err(|error| invalid_json(&error))?;
            Ok(Decoded { items: vec![item(raw.get())] })
        }
        _ => Err(BodyError::new("invalid_json", "the body is neither a JSON object nor an array: it must begin with { or [")),
    }
}

/// Decodes one line of a file or body: one object.
pub fn decode_line(line: &str) -> Result<Draft, ItemError> {
    item(line)
}

fn is_lines(content_type: &str) -> bool {
    let media = content_type.split(';').next().unwrap_or_default().trim();
    ["application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines", "application/jsonlines"]
        .iter()
        .any(|known| media.eq_ignore_ascii_case(known))
}

fn text(body: &[u8]) -> Result<&str, BodyError> {
    std::str::from_utf8(body)
        .map_err(|error| BodyError::new("invalid_utf8", format!("the body is not UTF-8 at byte {}", error.valid_up_to())))
}

fn invalid_json(error: &serde_json::Error) -> BodyError {
    BodyError::new("invalid_json", format!("the body is not valid JSON: {error}"))
}

fn too_many() -> BodyError {
    BodyError::new("too_many_items", format!("the body holds more than {ITEMS_MAX} items: send smaller batches"))
}

/// Whether there are several lines and each that is not blank begins an object, which no pretty-printed object does.
fn several_on_lines(body: &[u8]) -> bool {
    let mut lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    lines.clone().nth(1).is_some() && lines.all(|line| line.starts_with(b"{"))
}

fn lines(body: &[u8]) -> Result<Decoded, BodyError> {
    let mut items = Vec::new();
    for line in body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()) {
        if items.len() >= ITEMS_MAX {
            return Err(too_many());
        }
        items.push(match std::str::from_utf8(line) {
            Ok(line) => item(line),
            Err(error) => {
                Err(ItemError::new("invalid_json", format!("the line is not UTF-8 at its byte {}", error.valid_up_to())))
            }
        });
    }
    Ok(Decoded { items })
}

/// Splits an array first and reads its items afterwards, so that one that is malformed within itself spoils no other.
fn array(body: &str) -> Result<Decoded, BodyError> {
    struct Items;
    impl<'de> Visitor<'de> for Items {
        type Value = Vec<Result<Draft, ItemError>>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an array of interactions")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut items = Vec::new();
            while let Some(raw) = seq.next_element::<&RawValue>()? {
                if items.len() >= ITEMS_MAX {
                    return Err(serde::de::Error::custom("too many"));
                }
                items.push(item(raw.get()));
            }
            Ok(items)
        }
    }
    impl<'de> DeserializeSeed<'de> for Items {
        type Value = Vec<Result<Draft, ItemError>>;
        fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
            deserializer.deserialize_seq(self)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_str(body);
    // Only the visitor's own error is one of data; all others are of syntax.
    let items = (&mut deserializer)
        .deserialize_seq(Items)
        .map_err(|error| if error.is_data() { too_many() } else { invalid_json(&error) })?;
    deserializer.end().map_err(|error| invalid_json(&error))?;
    Ok(Decoded { items })
}

fn item(text: &str) -> Result<Draft, ItemError> {
    // A value takes up to 16 times its text when parsed. Text with escapes is at most twice as long as what it says, as a rule.
    if text.len() > 2 * ITEM_TEXT_MAX {
        return Err(too_large());
    }
    let json =
        Json::parse(text).map_err(|error| ItemError::new("invalid_json", format!("the item is not valid JSON: {error}")))?;
    let draft = fields::draft(json)?;
    if draft.text_bytes() > ITEM_TEXT_MAX {
        return Err(too_large());
    }
    Ok(draft)
}

fn too_large() -> ItemError {
    ItemError::new("item_too_large", format!("the item holds more than {ITEM_TEXT_MAX} bytes of text: shorten it"))
}

#[cfg(test)]
mod tests;
