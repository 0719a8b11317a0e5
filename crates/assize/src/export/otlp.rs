//! Results as `gen_ai.evaluation.result` events: OTLP log records in protobuf, under the span that was judged.
//!
//! Names: OpenTelemetry semantic conventions for generative AI, event `gen_ai.evaluation.result`; what they have no name for is under
//! `assize.`. Answers: OTLP specification 1.x, "OTLP/HTTP Response".

use assize_core::decided::RESPONSE_ID;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;

use super::told::Told;

pub(super) const CONTENT_TYPE: &str = "application/x-protobuf";
const EVENT: &str = "gen_ai.evaluation.result";

/// The record of a result.
pub(super) fn record(told: &Told<'_>) -> LogRecord {
    let decided = told.decided;
    let nanos = u64::try_from(decided.at.0).unwrap_or(0).saturating_mul(1_000_000);
    let text = |key: &str, value: &str| attribute(key, Value::StringValue(value.to_owned()));
    let mut attributes = vec![text("gen_ai.evaluation.name", decided.metric.as_str())];
    attributes.extend(told.score.map(|score| attribute("gen_ai.evaluation.score.value", Value::DoubleValue(score))));
    let verdict = decided.verdict.as_ref();
    for (key, value) in [
        ("gen_ai.evaluation.score.label", told.label),
        ("gen_ai.evaluation.explanation", told.explanation),
        (RESPONSE_ID, told.response_id),
        ("error.type", told.error),
        ("assize.judge", verdict.map(|verdict| verdict.judge.as_str())),
        ("assize.reused", verdict.and_then(|verdict| verdict.reused).map(|reused| reused.kind.as_str())),
    ] {
        attributes.extend(value.map(|value| text(key, value)));
    }
    attributes.extend([
        text("assize.judge_version", decided.version().as_str()),
        text("assize.project", decided.project.as_str()),
        text("assize.interaction_id", decided.id.as_str()),
        text("assize.outcome", decided.outcome.as_str()),
        attribute("assize.probability", Value::DoubleValue(decided.probability)),
        text("assize.idempotency_key", &told.key),
    ]);
    let marks =
        [("assize.fallback", decided.is_fallback), ("assize.simulated", verdict.is_some_and(|verdict| verdict.simulated))];
    attributes.extend(marks.into_iter().filter(|(_, is_so)| *is_so).map(|(key, _)| attribute(key, Value::BoolValue(true))));
    let (trace_id, span_id) = told.span.map(|(trace, span)| (trace.to_vec(), span.to_vec())).unwrap_or_default();
    LogRecord {
        time_unix_nano: nanos,
        observed_time_unix_nano: nanos,
        severity_number: SeverityNumber::Info.into(),
        event_name: EVENT.to_owned(),
        attributes,
        trace_id,
        span_id,
        ..LogRecord::default()
    }
}

/// The body of a delivery.
pub(super) fn body(log_records: Vec<LogRecord>) -> Vec<u8> {
    let own = |key: &str, value: &str| attribute(key, Value::StringValue(value.to_owned()));
    let attributes = vec![own("service.name", "assize"), own("service.version", env!("CARGO_PKG_VERSION"))];
    let scope = InstrumentationScope {
        name: "assize".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let scope_logs = vec![ScopeLogs { scope: Some(scope), log_records, ..ScopeLogs::default() }];
    let resource = Some(Resource { attributes, ..Resource::default() });
    ExportLogsServiceRequest { resource_logs: vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }] }
        .encode_to_vec()
}

/// How many records an acknowledged delivery was rejected of, `of` at the most. What cannot be read rejects nothing: the status has
/// said that it was taken.
pub(super) fn rejected(answer: &[u8], of: u64) -> u64 {
    let answer = ExportLogsServiceResponse::decode(answer).ok();
    let rejected = answer.and_then(|answer| answer.partial_success).map_or(0, |partial| partial.rejected_log_records);
    u64::try_from(rejected).unwrap_or(0).min(of)
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsPartialSuccess;

    use super::super::told::tests::{failed, judged};
    use super::*;

    fn attributes(record: &LogRecord) -> BTreeMap<&str, Value> {
        record.attributes.iter().map(|pair| (pair.key.as_str(), pair.value.clone().unwrap().value.unwrap())).collect()
    }

    fn text(value: &str) -> Value {
        Value::StringValue(value.to_owned())
    }

    #[test]
    fn a_verdict_is_an_event_under_the_judged_span() {
        let id = format!("{}-{}", "1f".repeat(16), "e0".repeat(8));
        let decided = judged(&id);
        let record = record(&Told::of(&decided, true));
        assert_eq!(record.event_name, "gen_ai.evaluation.result");
        assert_eq!((record.trace_id.as_slice(), record.span_id.as_slice()), (&[0x1f; 16][..], &[0xe0; 8][..]));
        assert_eq!(record.time_unix_nano, 2_000_000_000);
        let expected = BTreeMap::from([
            ("gen_ai.evaluation.name", text("refusal")),
            ("gen_ai.evaluation.score.value", Value::DoubleValue(0.75)),
            ("gen_ai.evaluation.score.label", text("refused")),
            ("gen_ai.evaluation.explanation", text("it says \"my secret\"")),
            ("gen_ai.response.id", text("chatcmpl-1")),
            ("assize.judge", text("gpt")),
            ("assize.judge_version", text("v1")),
            ("assize.project", text("shop")),
            ("assize.interaction_id", text(&id)),
            ("assize.outcome", text("judged")),
            ("assize.probability", Value::DoubleValue(0.25)),
            ("assize.idempotency_key", text(&decided.idempotency_key())),
        ]);
        assert_eq!(attributes(&record), expected);
        assert_eq!(record.attributes.len(), expected.len(), "no attribute stands twice");
    }

    #[test]
    fn a_failure_has_a_type_and_no_score() {
        let decided = failed("order-1");
        let record = record(&Told::of(&decided, false));
        let attributes = attributes(&record);
        assert_eq!(attributes["error.type"], text("timeout"));
        assert!(!attributes.keys().any(|key| key.contains("score") || key.contains("explanation") || *key == "assize.judge"));
        assert!(record.trace_id.is_empty() && record.span_id.is_empty());
    }

    #[test]
    fn what_was_rejected_is_read_and_bounded() {
        let answer = |rejected| {
            let partial = ExportLogsPartialSuccess { rejected_log_records: rejected, error_message: "no".to_owned() };
            ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec()
        };
        for (answer, expected) in
            [(answer(3), 3), (answer(0), 0), (answer(-1), 0), (answer(99), 5), (Vec::new(), 0), (b"{}".to_vec(), 0)]
        {
            assert_eq!(rejected(&answer, 5), expected);
        }
    }
}
