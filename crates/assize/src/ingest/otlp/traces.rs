//! `/v1/traces`: spans to drafts.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use super::context::{self, Source};
use super::span::{self, Call, ResourceFacts, Seen};
use super::{Refusals, json, wire};
use crate::ingest::{BodyError, Draft, ITEM_TEXT_MAX};

/// What a request of spans holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Traces {
    /// The calls of models, in the order of the request, each with the id `<trace id hex>-<span id hex>`. Those without any text are
    /// flagged `no_content`.
    pub drafts: Vec<Draft>,
    /// Spans that are not calls of models. Those whose results became context count too.
    pub ignored: usize,
    /// Spans that were refused.
    pub refused: Refusals,
}

/// Decodes an `ExportTraceServiceRequest` in protobuf, already decompressed. A span that is malformed within itself, or has text
/// that is not UTF-8, is refused alone.
///
/// Error: `invalid_protobuf`, with the byte, where the request itself is malformed.
pub fn from_protobuf(body: &[u8]) -> Result<Traces, BodyError> {
    let mut collector = Collector::default();
    wire::walk(body, |piece| match piece {
        // A resource says only where its spans come from: they are worth having without it.
        wire::Piece::Resource(bytes) => collector.resource(Resource::decode(bytes).unwrap_or_default()),
        // A span of many empty attributes takes 40 times its size when decoded.
        wire::Piece::Item(bytes) if bytes.len() > SPAN_BYTES_MAX => {
            collector.refuse(&format!("is larger than {SPAN_BYTES_MAX} bytes"))
        }
        wire::Piece::Item(bytes) => match Span::decode(bytes) {
            Ok(span) => collector.span(span),
            Err(error) => collector.refuse(&format!("cannot be decoded: {error}")),
        },
    })?;
    Ok(collector.finish())
}

/// Decodes an `ExportTraceServiceRequest` in OTLP JSON, already decompressed. A span that is malformed within itself is refused
/// alone.
///
/// Errors: `invalid_utf8`, `invalid_json`, with the place, where the request itself is malformed.
pub fn from_json(body: &[u8]) -> Result<Traces, BodyError> {
    let mut collector = Collector::default();
    json::walk(body, |piece| match piece {
        json::Piece::Resource(raw) => {
            collector.resource(raw.and_then(|raw| json::resource(raw).ok()).unwrap_or_default());
        }
        json::Piece::Item(raw) if raw.get().len() > SPAN_BYTES_MAX => {
            collector.refuse(&format!("is larger than {} bytes", SPAN_BYTES_MAX));
        }
        json::Piece::Item(raw) => match json::span(raw) {
            Ok(span) => collector.span(span),
            Err(error) => collector.refuse(&format!("is not valid: {}", json::described(&error))),
        },
    })?;
    Ok(collector.finish())
}

/// Reads a request that gRPC has decoded. The codec should be limited to 4 MiB a message, since decoding costs up to 140 times that.
pub fn from_request(request: ExportTraceServiceRequest) -> Traces {
    let mut collector = Collector::default();
    for group in request.resource_spans {
        collector.resource(group.resource.unwrap_or_default());
        group.scope_spans.into_iter().flat_map(|scope| scope.spans).for_each(|span| collector.span(span));
    }
    collector.finish()
}

/// The most bytes of an encoded span: its text, and as much again for all else.
const SPAN_BYTES_MAX: usize = 2 * ITEM_TEXT_MAX;

#[derive(Default)]
struct Collector {
    resource: ResourceFacts,
    calls: Vec<Call>,
    sources: Vec<Source>,
    traces: Traces,
    /// Spans so far.
    seen: usize,
}

impl Collector {
    fn resource(&mut self, resource: Resource) {
        self.resource = ResourceFacts::new(resource);
    }

    fn span(&mut self, span: Span) {
        match span::read(span, &self.resource) {
            Ok(Seen::Call(mut call)) => {
                context::bound(&mut call);
                self.calls.push(*call);
            }
            Ok(Seen::Source(source)) => {
                self.sources.push(source);
                self.traces.ignored += 1;
            }
            Ok(Seen::Ignored) => self.traces.ignored += 1,
            Err(reason) => return self.refuse(&reason),
        }
        self.seen += 1;
    }

    fn refuse(&mut self, reason: &str) {
        let at = self.seen;
        self.traces.refused.add(|| format!("span {at} (counted from 0) {reason}"));
        self.seen += 1;
    }

    fn finish(mut self) -> Traces {
        context::attach(&mut self.calls, self.sources);
        self.traces.drafts = self.calls.into_iter().map(|call| call.draft).collect();
        self.traces
    }
}
