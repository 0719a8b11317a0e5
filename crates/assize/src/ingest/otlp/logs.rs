//! `/v1/logs`: what was said, sent as log events beside spans that do not say it.

use std::collections::HashMap;

use assize_core::{InteractionId, Message};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use serde::{Deserialize, Serialize};

use super::events;
use super::facts::Facts;
use super::span::{ResourceFacts, nanoseconds};
use super::{Refusals, SpanIds, json, value::into_text, wire};
use crate::ingest::{BodyError, Draft, ITEM_TEXT_MAX};

/// The most messages of one side that are gathered from events.
const MESSAGES_MAX: usize = 2_000;

/// What log events say about one span.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanContent {
    /// `<trace id hex>-<span id hex>`.
    pub id: InteractionId,
    /// Messages asked, each with the time of its event in nanoseconds.
    input: Vec<(u64, Message)>,
    /// Messages answered, each with the time of its event in nanoseconds.
    output: Vec<(u64, Message)>,
    /// Everything else that is known.
    rest: Draft,
}

impl SpanContent {
    /// Whether it can stand as an interaction: it has both a question and an answer.
    pub fn is_whole(&self) -> bool {
        !self.input.is_empty() && !self.output.is_empty()
    }

    /// Bytes of all its text.
    pub fn text_bytes(&self) -> usize {
        let messages =
            self.input.iter().chain(&self.output).map(|(_, m)| m.content.len() + m.tool.as_ref().map_or(0, String::len));
        messages.sum::<usize>().saturating_add(self.rest.text_bytes())
    }

    /// Adds what later events say about the same span. What was sent before, as a sender does that had no answer, is not repeated.
    /// What goes beyond 2,000 messages a side, or the text of one interaction, is left out and flagged `truncated`.
    pub fn merge(&mut self, other: Self) {
        if self.text_bytes().saturating_add(other.text_bytes()) > ITEM_TEXT_MAX
            || self.input.len().saturating_add(other.input.len()) > MESSAGES_MAX
            || self.output.len().saturating_add(other.output.len()) > MESSAGES_MAX
        {
            self.rest.flags.truncated = true;
            return;
        }
        for (mine, theirs) in [(&mut self.input, other.input), (&mut self.output, other.output)] {
            let new: Vec<_> = theirs.into_iter().filter(|message| !mine.contains(message)).collect();
            mine.extend(new);
            mine.sort_by_key(|(time, _)| *time);
        }
        self.rest.time = self.rest.time.max(other.rest.time);
        self.rest.fill_from(other.rest);
    }

    /// The interaction that it describes.
    pub fn into_draft(self) -> Draft {
        let texts = |messages: Vec<(u64, Message)>| messages.into_iter().map(|(_, message)| message).collect();
        let mut draft = Draft { id: Some(self.id), input: texts(self.input), output: texts(self.output), ..self.rest };
        draft.lift_instructions();
        draft.flags.no_content = !draft.has_input() && !draft.has_output();
        draft
    }
}

/// What a request of log records holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Logs {
    /// What was said, one for each span, in the order in which they first appear.
    pub contents: Vec<SpanContent>,
    /// Log records that say nothing about a model's work, or are empty.
    pub ignored: usize,
    /// Log records that were refused: content without the ids of its span.
    pub refused: Refusals,
}

/// Decodes an `ExportLogsServiceRequest` in protobuf, already decompressed. Errors as for traces.
pub fn from_protobuf(body: &[u8]) -> Result<Logs, BodyError> {
    let mut collector = Collector::default();
    wire::walk(body, |piece| match piece {
        wire::Piece::Resource(bytes) => collector.resource(Resource::decode(bytes).unwrap_or_default()),
        wire::Piece::Item(bytes) if bytes.len() > 2 * ITEM_TEXT_MAX => {
            collector.refuse(&format!("is larger than {} bytes", 2 * ITEM_TEXT_MAX));
        }
        wire::Piece::Item(bytes) => match LogRecord::decode(bytes) {
            Ok(record) => collector.record(record),
            Err(error) => collector.refuse(&format!("cannot be decoded: {error}")),
        },
    })?;
    Ok(collector.finish())
}

/// Decodes an `ExportLogsServiceRequest` in OTLP JSON, already decompressed. Errors as for traces.
pub fn from_json(body: &[u8]) -> Result<Logs, BodyError> {
    let mut collector = Collector::default();
    json::walk(body, |piece| match piece {
        json::Piece::Resource(raw) => {
            collector.resource(raw.and_then(|raw| json::resource(raw).ok()).unwrap_or_default());
        }
        json::Piece::Item(raw) if raw.get().len() > 2 * ITEM_TEXT_MAX => {
            collector.refuse(&format!("is larger than {} bytes", 2 * ITEM_TEXT_MAX));
        }
        json::Piece::Item(raw) => match json::log_record(raw) {
            Ok(record) => collector.record(record),
            Err(error) => collector.refuse(&format!("is not valid: {}", json::described(&error))),
        },
    })?;
    Ok(collector.finish())
}

/// Reads a request that gRPC has decoded.
pub fn from_request(request: ExportLogsServiceRequest) -> Logs {
    let mut collector = Collector::default();
    for group in request.resource_logs {
        collector.resource(group.resource.unwrap_or_default());
        group.scope_logs.into_iter().flat_map(|scope| scope.log_records).for_each(|record| collector.record(record));
    }
    collector.finish()
}

#[derive(Default)]
struct Collector {
    resource: ResourceFacts,
    places: HashMap<SpanIds, usize>,
    logs: Logs,
    /// Records so far.
    seen: usize,
}

impl Collector {
    fn resource(&mut self, resource: Resource) {
        self.resource = ResourceFacts::new(resource);
    }

    fn refuse(&mut self, reason: &str) {
        let at = self.seen;
        self.logs.refused.add(|| format!("log record {at} (counted from 0) {reason}"));
        self.seen += 1;
    }

    fn record(&mut self, record: LogRecord) {
        match read(record, &self.resource) {
            Ok(Some((ids, content))) => match self.places.get(&ids).and_then(|at| self.logs.contents.get_mut(*at)) {
                Some(known) => known.merge(content),
                None => {
                    self.places.insert(ids, self.logs.contents.len());
                    self.logs.contents.push(content);
                }
            },
            Ok(None) => self.logs.ignored += 1,
            Err(reason) => return self.refuse(&reason),
        }
        self.seen += 1;
    }

    fn finish(self) -> Logs {
        self.logs
    }
}

/// What one record says; `None` where it says nothing of a model's work.
fn read(record: LogRecord, resource: &ResourceFacts) -> Result<Option<(SpanIds, SpanContent)>, String> {
    let mut name = record.event_name;
    if name.is_empty() {
        // Before log records had a field for it.
        let attribute = record.attributes.iter().find(|attribute| attribute.key == "event.name");
        name = attribute.and_then(|a| a.value.clone()).and_then(|value| value.value).and_then(into_text).unwrap_or_default();
    }
    if !events::is_content(&name) {
        return Ok(None);
    }
    let time = if record.time_unix_nano > 0 { record.time_unix_nano } else { record.observed_time_unix_nano };
    let mut facts = Facts::default();
    facts.truncated = record.dropped_attributes_count > 0;
    events::take(&mut facts, &name, record.attributes, record.body.and_then(|body| body.value), time);
    let mut rest = facts.into_draft();
    let timed = |messages: Vec<Message>| -> Vec<(u64, Message)> { messages.into_iter().map(|message| (time, message)).collect() };
    let input = timed(std::mem::take(&mut rest.input));
    let output = timed(std::mem::take(&mut rest.output));
    if input.is_empty() && output.is_empty() && rest.system.is_none() {
        return Ok(None);
    }
    let ids = SpanIds::new(&record.trace_id, &record.span_id)
        .map_err(|reason| format!("holds what was said but not to which span it belongs: {reason}"))?;
    rest.time = nanoseconds(time);
    resource.complete(&mut rest);
    let content = SpanContent { id: ids.interaction_id()?, input, output, rest };
    if content.text_bytes() > ITEM_TEXT_MAX {
        return Err(format!("holds more than {ITEM_TEXT_MAX} bytes of text"));
    }
    Ok(Some((ids, content)))
}
