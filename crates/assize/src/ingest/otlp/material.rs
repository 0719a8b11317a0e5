//! The places where one side of a conversation may stand on a span, and which of them to believe.

use assize_core::Message;
use opentelemetry_proto::tonic::common::v1::any_value::Value;

use super::indexed::Indexed;
use super::value::{into_json, into_text};
use crate::ingest::conversation::{self, Found, Side};
use crate::ingest::cut::{self, Reading};
use crate::ingest::tree::Json;

/// What a span says about its input, or its output.
#[derive(Debug, Default)]
pub(super) struct Material {
    /// `gen_ai.input.messages`: messages by declaration.
    pub declared: Option<Value>,
    /// `langfuse.observation.input`: anything, JSON where it is not text.
    pub langfuse: Option<Value>,
    /// Numbered attributes.
    pub indexed: Indexed,
    /// Message events, with their time in nanoseconds.
    pub events: Vec<(u64, Message)>,
    /// `input.value`: anything, as its MIME type says.
    pub value: Option<Value>,
    /// The MIME type of `value`.
    pub mime: Option<String>,
    /// Older or less exact places: `gen_ai.prompt`, `ai.prompt.messages`, `llm.prompts`, `traceloop.entity.input`.
    pub loose: Option<Value>,
    /// Tool calls that stand beside the text: `ai.response.toolCalls`.
    pub calls: Option<Value>,
}

/// One side as it was found.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    pub found: Found,
    /// Whether the sender cut any of it short.
    pub truncated: bool,
}

/// How far a value says what it is.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// Messages.
    Messages,
    /// JSON of some kind.
    Json,
    /// Perhaps a conversation as JSON, perhaps text.
    Either,
    /// Text.
    Text,
}

impl Material {
    /// Whether there is anything that only a model's input or output has.
    pub(super) fn has_messages(&self) -> bool {
        self.declared.is_some() || self.loose.is_some() || !self.indexed.is_empty() || !self.events.is_empty()
    }

    /// Reads the first place that yields anything: declared messages, then Langfuse's, numbered attributes, events, the value of
    /// OpenInference, the loose ones.
    pub(super) fn resolve(self, side: Side) -> Resolved {
        let form = match self.mime.as_deref().map(str::trim) {
            Some(mime) if mime.starts_with("application/json") => Form::Json,
            Some(mime) if mime.starts_with("text/") => Form::Text,
            _ => Form::Either,
        };
        let mut resolved = Resolved::default();
        let places = [(self.declared, Form::Messages), (self.langfuse, Form::Json)];
        let yielded = places.into_iter().any(|(value, form)| resolved.read(value, form, side));
        let yielded = yielded || {
            let (messages, truncated) = self.indexed.into_messages(side.role());
            resolved.take(messages, truncated)
        };
        let yielded = yielded || {
            let mut events = self.events;
            events.sort_by_key(|(time, _)| *time);
            resolved.take(events.into_iter().map(|(_, message)| message).collect(), false)
        };
        if !yielded {
            let places = [(self.value, form), (self.loose, Form::Json)];
            let _ = places.into_iter().any(|(value, form)| resolved.read(value, form, side));
        }
        if let Some(calls) = self.calls {
            let mut beside = Resolved::default();
            beside.read(Some(calls), Form::Messages, side);
            let calls = beside.found.messages.into_iter().filter(|message| message.tool.is_some());
            resolved.found.messages.extend(calls);
        }
        resolved.truncated |= resolved.found.messages.iter().any(|message| cut::is_marked(&message.content));
        resolved
    }

    /// What the span gave as a whole, as one text: the result of a tool.
    pub(super) fn into_plain_text(self) -> Option<String> {
        let value = self.langfuse.or(self.value).or(self.loose)?;
        let text = into_text(value)?;
        let text = match Json::parse(&text) {
            Ok(Json::Text(inner)) => inner.into_owned(),
            Ok(json) => match conversation::recognised(json, Side::Output) {
                Ok(found) => found.messages.into_iter().map(|message| message.content).collect::<Vec<_>>().join("\n"),
                Err(_) => text,
            },
            Err(_) => text,
        };
        (!text.trim().is_empty()).then_some(text)
    }

    /// What the span gave, as documents: a JSON array of texts or of objects that hold one, else one text.
    pub(super) fn into_documents(self) -> Vec<String> {
        match self.langfuse.or(self.value).or(self.loose) {
            Some(value) => documents(value),
            None => Vec::new(),
        }
    }
}

impl Resolved {
    fn take(&mut self, messages: Vec<Message>, truncated: bool) -> bool {
        self.truncated |= truncated;
        let yielded = !messages.is_empty();
        if yielded {
            self.found.messages = messages;
        }
        yielded
    }

    fn read(&mut self, value: Option<Value>, form: Form, side: Side) -> bool {
        let found = match value {
            None => return false,
            Some(Value::StringValue(text)) => self.read_text(text, form, side),
            Some(other) => {
                let json = into_json(other);
                if form == Form::Messages {
                    conversation::declared(json, side)
                } else {
                    conversation::recognised(json, side).unwrap_or_else(|json| plain(json.into_text(), side))
                }
            }
        };
        let yielded = !found.messages.is_empty();
        if found.system.is_some() {
            self.found.system = found.system;
        }
        self.found.messages = found.messages;
        yielded
    }

    fn read_text(&mut self, text: String, form: Form, side: Side) -> Found {
        if form == Form::Text {
            return plain(text, side);
        }
        let (json, was_cut) = match cut::read(&text) {
            Reading::Whole(json) => (json, false),
            Reading::Cut(json) => (json, true),
            Reading::Plain { cut } => {
                self.truncated |= cut && form != Form::Either;
                return plain(text, side);
            }
        };
        self.truncated |= was_cut && form != Form::Either;
        let recognised = match (json, form) {
            (json, Form::Messages) => Some(conversation::declared(json, side)),
            (Json::Text(inner), Form::Json) => Some(plain(inner.into_owned(), side)),
            (json, _) => conversation::recognised(json, side).ok(),
        };
        match recognised {
            Some(found) => {
                self.truncated |= was_cut;
                found
            }
            None => plain(text, side),
        }
    }
}

fn plain(text: String, side: Side) -> Found {
    let messages = if text.trim().is_empty() { Vec::new() } else { vec![Message::new(side.role(), text)] };
    Found { system: None, messages }
}

/// The texts of documents: strings, or objects with `content`, `page_content`, `text` or `document.content`.
pub(super) fn documents(value: Value) -> Vec<String> {
    fn text_of(json: Json<'_>) -> Option<String> {
        match json {
            Json::Text(text) => Some(text.into_owned()),
            mut object @ Json::Object(_) => {
                if let Some(inner) = object.take("document") {
                    return text_of(inner);
                }
                ["content", "page_content", "pageContent", "text", "document.content"]
                    .iter()
                    .find_map(|key| object.take(key))
                    .map(Json::into_text)
            }
            _ => None,
        }
    }
    fn texts(json: Json<'_>) -> Vec<String> {
        match json {
            Json::List(items) => items.into_iter().filter_map(text_of).collect(),
            mut object @ Json::Object(_) => match ["documents", "results", "matches"].iter().find_map(|key| object.take(key)) {
                Some(Json::List(items)) => items.into_iter().filter_map(text_of).collect(),
                _ => text_of(object).into_iter().collect(),
            },
            other => text_of(other).into_iter().collect(),
        }
    }
    let mut found = match value {
        Value::StringValue(text) => {
            let read = match cut::read(&text) {
                Reading::Whole(json) => texts(json),
                Reading::Cut(json) => texts(json),
                Reading::Plain { .. } => Vec::new(),
            };
            if read.is_empty() { vec![text] } else { read }
        }
        other => texts(into_json(other)),
    };
    found.retain(|text| !text.trim().is_empty());
    found
}
