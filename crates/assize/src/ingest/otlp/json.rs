//! OTLP as JSON: ids in hexadecimal, 64-bit numbers as text or number, unknown fields passed over, null as absent.
//!
//! Our own reader, because the generated one refuses what real senders write: `{"arrayValue":{}}` for an empty array, null, enum
//! names instead of numbers; and because one bad span would refuse a whole request.

use std::fmt;

use base64::Engine;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{Span, span::Event};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::ingest::BodyError;

/// A part of the body, still as text.
pub(super) enum Piece<'b> {
    /// The resource of the items that follow, where a group has one.
    Resource(Option<&'b RawValue>),
    /// One span or log record.
    Item(&'b RawValue),
}

/// Calls `visit` for every resource and item in `body`, a resource before its items.
///
/// Errors: `invalid_utf8`, `invalid_json` with line and column.
pub(super) fn walk<'b>(body: &'b [u8], mut visit: impl FnMut(Piece<'b>)) -> Result<(), BodyError> {
    let text = std::str::from_utf8(body)
        .map_err(|error| BodyError::new("invalid_utf8", format!("the body is not UTF-8 at byte {}", error.valid_up_to())))?;
    let invalid = |place: &str, error: &serde_json::Error| {
        BodyError::new("invalid_json", format!("{place} is not valid OTLP JSON: {}", described(error)))
    };
    // Derived readers also take arrays for objects.
    if !text.trim_start().starts_with('{') {
        return Err(BodyError::new(
            "invalid_json",
            "the body is not valid OTLP JSON: it must be an object with resourceSpans or resourceLogs",
        ));
    }
    let request: Request<'b> = serde_json::from_str(text).map_err(|error| invalid("the body", &error))?;
    for (at, group) in request.groups.into_iter().enumerate() {
        let group: Group<'b> =
            serde_json::from_str(group.get()).map_err(|error| invalid(&format!("resource {at} of the body"), &error))?;
        visit(Piece::Resource(group.resource));
        for scope in group.scopes {
            let scope: Scope<'b> =
                serde_json::from_str(scope.get()).map_err(|error| invalid(&format!("a scope of resource {at}"), &error))?;
            scope.items.into_iter().for_each(|item| visit(Piece::Item(item)));
        }
    }
    Ok(())
}

/// What is wrong and where, without the value: an error of types would quote it, and it may be what was said.
pub(super) fn described(error: &serde_json::Error) -> String {
    if error.is_data() {
        format!("a value of the wrong type at line {} column {}", error.line(), error.column())
    } else {
        error.to_string()
    }
}

#[derive(serde::Deserialize)]
struct Request<'b> {
    #[serde(
        borrow,
        default,
        rename = "resourceSpans",
        alias = "resource_spans",
        alias = "resourceLogs",
        alias = "resource_logs"
    )]
    #[serde(deserialize_with = "or_default")]
    groups: Vec<&'b RawValue>,
}

#[derive(serde::Deserialize)]
struct Group<'b> {
    #[serde(borrow, default)]
    resource: Option<&'b RawValue>,
    #[serde(borrow, default, rename = "scopeSpans", alias = "scope_spans", alias = "scopeLogs", alias = "scope_logs")]
    #[serde(deserialize_with = "or_default")]
    scopes: Vec<&'b RawValue>,
}

#[derive(serde::Deserialize)]
struct Scope<'b> {
    #[serde(borrow, default, rename = "spans", alias = "logRecords", alias = "log_records")]
    #[serde(deserialize_with = "or_default")]
    items: Vec<&'b RawValue>,
}

/// Reads a span.
pub(super) fn span(raw: &RawValue) -> Result<Span, serde_json::Error> {
    let span: JsonSpan = serde_json::from_str(raw.get())?;
    Ok(Span {
        trace_id: span.trace_id.0,
        span_id: span.span_id.0,
        parent_span_id: span.parent_span_id.0,
        name: span.name,
        start_time_unix_nano: span.start_time_unix_nano.0,
        end_time_unix_nano: span.end_time_unix_nano.0,
        attributes: attributes(span.attributes),
        dropped_attributes_count: u32::try_from(span.dropped_attributes_count.0).unwrap_or(u32::MAX),
        events: span.events.into_iter().map(event).collect(),
        ..Span::default()
    })
}

fn event(event: JsonEvent) -> Event {
    Event {
        time_unix_nano: event.time_unix_nano.0,
        name: event.name,
        attributes: attributes(event.attributes),
        dropped_attributes_count: u32::try_from(event.dropped_attributes_count.0).unwrap_or(u32::MAX),
    }
}

/// Reads a log record.
pub(super) fn log_record(raw: &RawValue) -> Result<LogRecord, serde_json::Error> {
    let record: JsonLogRecord = serde_json::from_str(raw.get())?;
    Ok(LogRecord {
        time_unix_nano: record.time_unix_nano.0,
        observed_time_unix_nano: record.observed_time_unix_nano.0,
        body: record.body.map(|body| AnyValue { value: body.0 }),
        attributes: attributes(record.attributes),
        dropped_attributes_count: u32::try_from(record.dropped_attributes_count.0).unwrap_or(u32::MAX),
        trace_id: record.trace_id.0,
        span_id: record.span_id.0,
        event_name: record.event_name,
        ..LogRecord::default()
    })
}

/// Reads a resource.
pub(super) fn resource(raw: &RawValue) -> Result<Resource, serde_json::Error> {
    let resource: JsonResource = serde_json::from_str(raw.get())?;
    Ok(Resource { attributes: attributes(resource.attributes), ..Resource::default() })
}

fn attributes(attributes: Vec<JsonAttribute>) -> Vec<KeyValue> {
    let convert = |attribute: JsonAttribute| KeyValue {
        key: attribute.key,
        value: attribute.value.map(|value| AnyValue { value: value.0 }),
        ..KeyValue::default()
    };
    attributes.into_iter().map(convert).collect()
}

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

macro_rules! record {
    ($name:ident { $($field:ident: $type:ty $(, alias $alias:literal)?;)* }) => {
        #[derive(Default, serde::Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct $name {
            $(#[serde(deserialize_with = "or_default" $(, alias = $alias)?)] $field: $type,)*
        }
    };
}

record!(JsonSpan {
    trace_id: Id, alias "trace_id";
    span_id: Id, alias "span_id";
    parent_span_id: Id, alias "parent_span_id";
    name: String;
    start_time_unix_nano: Unsigned, alias "start_time_unix_nano";
    end_time_unix_nano: Unsigned, alias "end_time_unix_nano";
    attributes: Vec<JsonAttribute>;
    dropped_attributes_count: Unsigned, alias "dropped_attributes_count";
    events: Vec<JsonEvent>;
});
record!(JsonEvent {
    time_unix_nano: Unsigned, alias "time_unix_nano";
    name: String;
    attributes: Vec<JsonAttribute>;
    dropped_attributes_count: Unsigned, alias "dropped_attributes_count";
});
record!(JsonLogRecord {
    time_unix_nano: Unsigned, alias "time_unix_nano";
    observed_time_unix_nano: Unsigned, alias "observed_time_unix_nano";
    body: Option<JsonValue>;
    attributes: Vec<JsonAttribute>;
    dropped_attributes_count: Unsigned, alias "dropped_attributes_count";
    trace_id: Id, alias "trace_id";
    span_id: Id, alias "span_id";
    event_name: String, alias "event_name";
});
record!(JsonResource {
    attributes: Vec<JsonAttribute>;
});
record!(JsonAttribute {
    key: String;
    value: Option<JsonValue>;
});
record!(JsonArray {
    values: Vec<JsonValue>;
});
record!(JsonMap {
    values: Vec<JsonAttribute>;
});

/// An id in hexadecimal. What is not hexadecimal is left empty: the span is then refused for its id, and not its whole request.
#[derive(Default)]
struct Id(Vec<u8>);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let bytes: Option<Vec<u8>> = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
        Ok(Self(bytes.filter(|_| rest.is_empty()).unwrap_or_default()))
    }
}

/// A whole number that is not negative: text or number.
#[derive(Default)]
struct Unsigned(u64);

impl<'de> Deserialize<'de> for Unsigned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UnsignedVisitor;
        impl Visitor<'_> for UnsignedVisitor {
            type Value = Unsigned;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number that is not negative, as number or text")
            }
            fn visit_u64<E>(self, value: u64) -> Result<Unsigned, E> {
                Ok(Unsigned(value))
            }
            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Unsigned, E> {
                if value >= 0.0 {
                    Ok(Unsigned(value as u64))
                } else {
                    Err(E::invalid_value(serde::de::Unexpected::Float(value), &self))
                }
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Unsigned, E> {
                if text.is_empty() {
                    return Ok(Unsigned(0));
                }
                text.parse().map(Unsigned).map_err(|_| E::invalid_value(serde::de::Unexpected::Other("other text"), &self))
            }
        }
        deserializer.deserialize_any(UnsignedVisitor)
    }
}

struct JsonValue(Option<Value>);

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Scalar<'a> {
    Integer(i64),
    Float(f64),
    Text(#[serde(borrow)] std::borrow::Cow<'a, str>),
}

impl Scalar<'_> {
    fn integer(self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(value),
            Self::Float(value) => Some(value as i64),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }

    fn float(self) -> Option<f64> {
        match self {
            Self::Integer(value) => Some(value as f64),
            Self::Float(value) => Some(value),
            // Also takes NaN, Infinity and -Infinity.
            Self::Text(text) => text.trim().parse().ok(),
        }
    }
}

impl<'de> Deserialize<'de> for JsonValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor;
        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = JsonValue;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an OTLP value such as {\"stringValue\": \"text\"}")
            }
            fn visit_unit<E>(self) -> Result<JsonValue, E> {
                Ok(JsonValue(None))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonValue, A::Error> {
                let mut value = None;
                while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                    let found = match key.as_ref() {
                        "stringValue" | "string_value" => map.next_value::<Option<String>>()?.map(Value::StringValue),
                        "boolValue" | "bool_value" => map.next_value::<Option<bool>>()?.map(Value::BoolValue),
                        "intValue" | "int_value" => {
                            map.next_value::<Option<Scalar<'de>>>()?.and_then(Scalar::integer).map(Value::IntValue)
                        }
                        "doubleValue" | "double_value" => {
                            map.next_value::<Option<Scalar<'de>>>()?.and_then(Scalar::float).map(Value::DoubleValue)
                        }
                        "arrayValue" | "array_value" => map.next_value::<Option<JsonArray>>()?.map(|array| {
                            let values = array.values.into_iter().map(|value| AnyValue { value: value.0 }).collect();
                            Value::ArrayValue(ArrayValue { values })
                        }),
                        "kvlistValue" | "kvlist_value" => map
                            .next_value::<Option<JsonMap>>()?
                            .map(|list| Value::KvlistValue(KeyValueList { values: attributes(list.values) })),
                        "bytesValue" | "bytes_value" => map
                            .next_value::<Option<String>>()?
                            .and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok())
                            .map(Value::BytesValue),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            None
                        }
                    };
                    value = found.or(value);
                }
                Ok(JsonValue(value))
            }
        }
        deserializer.deserialize_any(ValueVisitor)
    }
}
