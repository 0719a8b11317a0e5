//! OTLP values as text, counts and JSON.

use std::borrow::Cow;

use base64::Engine;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};

use crate::ingest::tree::Json;

/// A scalar as text, an array or map as JSON; `None` for what is empty.
pub(super) fn into_text(value: Value) -> Option<String> {
    match value {
        Value::StringValue(text) => Some(text),
        other => match into_json(other) {
            Json::Null => None,
            json => Some(json.into_text()),
        },
    }
}

/// A count: a whole number that is not negative, also when it came as text.
pub(super) fn into_count(value: &Value) -> Option<u64> {
    match value {
        Value::IntValue(count) => u64::try_from(*count).ok(),
        Value::DoubleValue(count) if count.fract() == 0.0 && (0.0..9e15).contains(count) => Some(*count as u64),
        Value::StringValue(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// The value as JSON. Bytes become base64. Its nesting is bounded by the decoders: 100 in protobuf, fewer in JSON.
pub(super) fn into_json(value: Value) -> Json<'static> {
    match value {
        Value::StringValue(text) => Json::Text(Cow::Owned(text)),
        Value::BoolValue(value) => Json::Bool(value),
        Value::IntValue(number) => Json::Number(number.into()),
        Value::DoubleValue(number) => serde_json::Number::from_f64(number).map_or(Json::Null, Json::Number),
        Value::ArrayValue(array) => {
            Json::List(array.values.into_iter().map(|item| item.value.map_or(Json::Null, into_json)).collect())
        }
        Value::KvlistValue(list) => object(list.values),
        Value::BytesValue(bytes) => Json::Text(Cow::Owned(base64::engine::general_purpose::STANDARD.encode(bytes))),
        // A reference into another signal's dictionary: OTLP says to treat it as absent here.
        Value::StringValueStrindex(_) => Json::Null,
    }
}

/// Attributes as a JSON object.
pub(super) fn object(attributes: Vec<KeyValue>) -> Json<'static> {
    let entries = attributes.into_iter().map(|entry| {
        let value = entry.value.and_then(|value| value.value).map_or(Json::Null, into_json);
        (Cow::Owned(entry.key), value)
    });
    Json::Object(entries.collect())
}

/// The texts of a list, or of a JSON array in a string; a single text is a list of one.
pub(super) fn into_texts(value: Value) -> Vec<String> {
    let json = match value {
        Value::StringValue(text) => match Json::parse(&text) {
            Ok(Json::List(items)) => return items.into_iter().filter_map(Json::into_scalar_text).collect(),
            _ => Json::Text(Cow::Owned(text)),
        },
        other => into_json(other),
    };
    match json {
        Json::List(items) => items.into_iter().filter_map(Json::into_scalar_text).collect(),
        other => other.into_scalar_text().into_iter().collect(),
    }
}
