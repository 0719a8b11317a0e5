//! One span: a call of a model, something that gives context to one, or neither.

use assize_core::Timestamp;
use opentelemetry_proto::tonic::trace::v1::Span;

use super::context::Source;
use super::events;
use super::facts::{Facts, Kind};
use super::{SpanIds, value::into_text};
use crate::ingest::{Draft, ITEM_TEXT_MAX};

/// What the resource says about all of its spans.
#[derive(Debug, Default)]
pub(super) struct ResourceFacts {
    service: Option<String>,
    environment: Option<String>,
}

impl ResourceFacts {
    /// Reads the attributes of a resource: `service.name`, and the environment under its new and old name and Langfuse's.
    pub(super) fn new(resource: opentelemetry_proto::tonic::resource::v1::Resource) -> Self {
        let mut facts = Self::default();
        let mut older = None;
        for attribute in resource.attributes {
            let Some(value) = attribute.value.and_then(|value| value.value) else { continue };
            match attribute.key.as_str() {
                "service.name" => facts.service = into_text(value),
                "deployment.environment.name" => facts.environment = into_text(value),
                "deployment.environment" | "langfuse.environment" => older = into_text(value),
                _ => {}
            }
        }
        facts.environment = facts.environment.or(older).and_then(crate::ingest::draft::label);
        facts
    }

    /// Gives a draft what it does not say itself.
    pub(super) fn complete(&self, draft: &mut Draft) {
        if draft.environment.is_none() {
            draft.environment.clone_from(&self.environment);
        }
        if let Some(service) = &self.service {
            draft.tag("service.name", service.clone());
        }
    }
}

/// A call of a model.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) ids: SpanIds,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) draft: Draft,
}

/// What a span is.
#[derive(Debug)]
pub(super) enum Seen {
    Call(Box<Call>),
    Source(Source),
    Ignored,
}

/// Reads a span. Errors say what is wrong with it; they concern only calls of models, since the rest is of no consequence.
pub(super) fn read(span: Span, resource: &ResourceFacts) -> Result<Seen, String> {
    let mut facts = Facts::default();
    facts.attributes(span.attributes);
    let mut dropped = span.dropped_attributes_count > 0;
    for event in span.events {
        if events::is_content(&event.name) {
            dropped |= event.dropped_attributes_count > 0;
            events::take(&mut facts, &event.name, event.attributes, None, event.time_unix_nano);
        }
    }
    facts.truncated |= dropped;
    let kind = facts.kind();
    if kind == Kind::Other {
        return Ok(Seen::Ignored);
    }
    let ids = SpanIds::new(&span.trace_id, &span.span_id);
    let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
    if kind != Kind::Llm {
        let texts = match kind {
            Kind::Tool => tool_result(facts),
            _ => retrieved(facts),
        };
        return Ok(match ids {
            Ok(ids) if !texts.is_empty() => {
                let parent = span.parent_span_id.as_slice().try_into().unwrap_or_default();
                Seen::Source(Source { trace: ids.trace, parent, end, texts })
            }
            _ => Seen::Ignored,
        });
    }
    let ids = ids?;
    let mut draft = facts.into_draft();
    draft.lift_instructions();
    draft.id = Some(ids.interaction_id()?);
    draft.time = nanoseconds(end);
    draft.flags.no_content = !draft.has_input() && !draft.has_output();
    resource.complete(&mut draft);
    if draft.text_bytes() > ITEM_TEXT_MAX {
        return Err(format!("holds more than {ITEM_TEXT_MAX} bytes of text"));
    }
    Ok(Seen::Call(Box::new(Call { ids, start, end, draft })))
}

/// The instant, to the millisecond; `None` for 0, which means that none was given.
pub(super) fn nanoseconds(nanos: u64) -> Option<Timestamp> {
    (nanos > 0).then(|| Timestamp(i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX)))
}

fn tool_result(mut facts: Facts) -> Vec<String> {
    match facts.tool_result.take().and_then(into_text).filter(|text| !text.trim().is_empty()) {
        Some(text) => vec![text],
        None => facts.output.into_plain_text().into_iter().collect(),
    }
}

fn retrieved(mut facts: Facts) -> Vec<String> {
    let documents = facts.take_documents();
    if documents.is_empty() { facts.output.into_documents() } else { documents }
}
