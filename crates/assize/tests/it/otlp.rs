//! OTLP over HTTP: spans and log records become interactions, and exporters get the answers that they understand.

use std::io::Write as _;
use std::time::Duration;

use assize_core::{Clock as _, SystemClock};
use assize_testkit::provider::{Behaviour, FakeProvider};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, KeyValueList, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::harness::{Answer, KEY, Server, config, eventually, item};

/// `google.rpc.Status`, as OTLP answers errors.
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
}

pub fn status(body: &[u8]) -> Status {
    Status::decode(body).expect("a Status in protobuf")
}

fn text(value: &str) -> Option<AnyValue> {
    Some(AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) })
}

fn attribute(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: text(value), ..KeyValue::default() }
}

/// A span of trace `trace` that ended `ago` seconds before now.
pub fn span(trace: u8, id: u8, ago: u64, attributes: &[(&str, &str)]) -> Span {
    let end = u64::try_from(SystemClock.now().0).unwrap() * 1_000_000 - ago * 1_000_000_000;
    Span {
        trace_id: vec![trace; 16],
        span_id: vec![id; 8],
        name: "test".to_owned(),
        start_time_unix_nano: end - 500_000_000,
        end_time_unix_nano: end,
        attributes: attributes.iter().map(|(key, value)| attribute(key, value)).collect(),
        ..Span::default()
    }
}

/// A call of a model with question and answer, in OpenTelemetry's spelling.
pub fn call(trace: u8, id: u8, answer: &str) -> Span {
    let output = json!([{"role": "assistant", "parts": [{"type": "text", "content": answer}], "finish_reason": "stop"}]);
    let input = json!([{"role": "user", "parts": [{"type": "text", "content": "Where is my parcel?"}]}]);
    let attributes = [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.response.model", "gpt-9"),
        ("gen_ai.input.messages", &input.to_string()),
        ("gen_ai.output.messages", &output.to_string()),
    ];
    span(trace, id, 1, &attributes)
}

/// A call of a model that does not say what was said.
pub fn silent(trace: u8, id: u8) -> Span {
    span(trace, id, 1, &[("gen_ai.operation.name", "chat"), ("gen_ai.request.model", "gpt-9")])
}

pub fn traces(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] }
}

/// What was said in a call, as the events that older instrumentations send.
pub fn said(trace: u8, id: u8, answer: &str) -> ExportLogsServiceRequest {
    let record = |name: &str, body: KeyValue| LogRecord {
        time_unix_nano: u64::try_from(SystemClock.now().0).unwrap() * 1_000_000,
        event_name: name.to_owned(),
        trace_id: vec![trace; 16],
        span_id: vec![id; 8],
        body: Some(AnyValue { value: Some(any_value::Value::KvlistValue(KeyValueList { values: vec![body] })) }),
        ..LogRecord::default()
    };
    let message = any_value::Value::KvlistValue(KeyValueList { values: vec![attribute("content", answer)] });
    let message = KeyValue { key: "message".to_owned(), value: Some(AnyValue { value: Some(message) }), ..KeyValue::default() };
    let log_records = vec![
        record("gen_ai.user.message", attribute("content", "Where is my parcel?")),
        record("gen_ai.choice", message),
        LogRecord { body: text("an ordinary line of a log"), ..LogRecord::default() },
    ];
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    ExportLogsServiceRequest { resource_logs: vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }] }
}

/// The id of the interaction of a span.
pub fn id(trace: u8, span: u8) -> String {
    format!("{}-{}", format!("{trace:02x}").repeat(16), format!("{span:02x}").repeat(8))
}

async fn post(server: &Server, path: &str, message: &impl Message) -> Answer {
    Answer::of(server.post(path).header("content-type", "application/x-protobuf").body(message.encode_to_vec())).await
}

async fn export(server: &Server, spans: Vec<Span>) -> ExportTraceServiceResponse {
    let answer = post(server, "/v1/traces", &traces(spans)).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-type")),
        (200, Some("application/x-protobuf")),
        "{}",
        answer.text()
    );
    ExportTraceServiceResponse::decode(&*answer.body).expect("the protocol's own response")
}

async fn tell(server: &Server, records: &ExportLogsServiceRequest) {
    let answer = post(server, "/v1/logs", records).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    let response = ExportLogsServiceResponse::decode(&*answer.body).expect("the protocol's own response");
    assert_eq!(response.partial_success, None);
}

/// Takes the only place among the requests in hand, until it is dropped.
pub async fn hold(server: &Server) -> TcpStream {
    let head =
        format!("POST /v1/interactions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: 100\r\n\r\n[");
    eventually("the slow request is in hand", async || {
        let mut slow = TcpStream::connect(server.address()).await.unwrap();
        slow.write_all(head.as_bytes()).await.unwrap();
        // Others are turned away: the place is taken. Or it is the slow one that came too late, behind a request of this very loop:
        // then it is answered, and another has to try.
        for _ in 0..100 {
            let answer = Answer::of(server.post("/v1/interactions").body("")).await;
            if answer.status.as_u16() == 503 {
                return Some(slow);
            }
        }
        None
    })
    .await
}

#[tokio::test]
async fn spans_are_taken_in_every_encoding_and_count_once() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let server = Server::start(&config(&provider, "", "[sampling]\nrate = 1.0")).await;
    assert_eq!(export(&server, vec![call(1, 1, "It left."), call(1, 2, "Tomorrow.")]).await.partial_success, None);

    // The same, zipped: nothing new.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&traces(vec![call(1, 1, "It left."), call(1, 3, "Zipped.")]).encode_to_vec()).unwrap();
    let zipped = server.post("/v1/traces").header("content-type", "application/x-protobuf").header("content-encoding", "gzip");
    assert_eq!(Answer::of(zipped.body(gzip.finish().unwrap())).await.status.as_u16(), 200);

    let json = serde_json::to_value(traces(vec![call(1, 4, "As JSON."), call(1, 2, "Tomorrow.")])).unwrap();
    let answer = Answer::of(server.post("/v1/traces").json(&json)).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let answer = answer.expect(200);
    serde_json::from_value::<ExportTraceServiceResponse>(answer.clone()).expect("the protocol's own response");
    assert!(answer["partialSuccess"].is_null(), "{answer}");

    // Langfuse's exporters send Basic authorization of public and secret key.
    let langfuse = server.plain(reqwest::Method::POST, "/api/public/otel/v1/traces").basic_auth("pk-lf-1", Some(KEY));
    let langfuse = langfuse.header("content-type", "application/x-protobuf; charset=utf-8");
    let langfuse = Answer::of(langfuse.body(traces(vec![call(1, 5, "Langfuse.")]).encode_to_vec())).await;
    assert_eq!(langfuse.status.as_u16(), 200, "{}", langfuse.text());
    let wrong = server.plain(reqwest::Method::POST, "/api/public/otel/v1/traces").basic_auth("pk-lf-1", Some("sk-lf-1"));
    let wrong = Answer::of(wrong.header("content-type", "application/x-protobuf").body(Vec::new())).await;
    assert_eq!((wrong.status.as_u16(), status(&wrong.body).code), (401, tonic::Code::Unauthenticated as i32));
    assert!(wrong.header("www-authenticate").is_some());

    server.settled("default", 5).await;
    assert_eq!((provider.calls(), provider.calls_of_one_item_max()), (5, 1));
    for (span, answer) in [(1, "It left."), (2, "Tomorrow."), (3, "Zipped."), (4, "As JSON."), (5, "Langfuse.")] {
        let shown = server.interaction(&id(1, span)).await;
        assert_eq!(shown["payload"]["output"][0]["content"], answer);
        assert_eq!(shown["payload"]["input"][0]["content"], "Where is my parcel?");
        assert_eq!((&shown["dimensions"]["model"], &shown["time_replaced"]), (&json!("gpt-9"), &json!(false)));
    }
    // An empty request is a good one.
    assert_eq!(export(&server, Vec::new()).await.partial_success, None);
    server.adds_up().await;
}

#[tokio::test]
async fn what_is_no_call_of_a_model_is_counted_and_what_was_retrieved_becomes_context() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let server = Server::start(&config(&provider, "", "[sampling]\nrate = 1.0")).await;
    let spans = vec![
        span(2, 1, 5, &[("http.request.method", "GET"), ("url.path", "/parcels")]),
        span(
            2,
            2,
            4,
            &[("openinference.span.kind", "RETRIEVER"), ("retrieval.documents.0.document.content", "Parcel 7 left Hamburg.")],
        ),
        span(2, 3, 3, &[("openinference.span.kind", "CHAIN"), ("input.value", "x"), ("output.value", "y")]),
        call(2, 4, "It left Hamburg."),
        // Of another trace: no context of that call.
        span(3, 5, 4, &[("openinference.span.kind", "RETRIEVER"), ("retrieval.documents.0.document.content", "Elsewhere.")]),
    ];
    assert_eq!(export(&server, spans).await.partial_success, None);
    server.settled("default", 1).await;
    assert_eq!(server.counter("assize_spans_ignored_total").await, 4);
    let shown = server.interaction(&id(2, 4)).await;
    assert_eq!(shown["payload"]["context"], json!(["Parcel 7 left Hamburg."]));
    let asked = provider.last_request().unwrap();
    assert!(asked.item.contains("Parcel 7 left Hamburg.") && !asked.item.contains("Elsewhere."), "{}", asked.item);
    server.adds_up().await;
}

#[tokio::test]
async fn a_bad_span_is_refused_alone_and_cut_text_is_flagged() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let server = Server::start(&config(&provider, "", "[sampling]\nrate = 1.0")).await;
    let bad = Span { trace_id: vec![0; 16], ..call(4, 1, "no trace") };
    let short = Span { span_id: vec![7; 3], ..call(4, 2, "short id") };
    let cut = r#"[{"role":"assistant","parts":[{"type":"text","content":"It left Ham"#;
    let cut =
        span(4, 4, 1, &[("gen_ai.operation.name", "chat"), ("gen_ai.input.messages", "[]"), ("gen_ai.output.messages", cut)]);
    let partial = export(&server, vec![bad, call(4, 3, "good"), short, cut]).await.partial_success.expect("a partial success");
    assert_eq!(partial.rejected_spans, 2);
    for told in ["span 0", "trace id is zero", "span 2", "3 bytes instead of 8"] {
        assert!(partial.error_message.contains(told), "{}", partial.error_message);
    }
    server.settled("default", 2).await;
    assert_eq!(server.interaction(&id(4, 3)).await["truncated"], false);
    let shown = server.interaction(&id(4, 4)).await;
    assert_eq!((&shown["truncated"], &shown["payload"]["output"][0]["content"]), (&json!(true), &json!("It left Ham")));
    let asked = provider.requests().into_iter().find(|request| request.item.contains("It left Ham\n")).unwrap();
    assert!(asked.item.contains("cut some of its text short"), "{}", asked.item);

    // JSON refuses in the same way.
    let mut json = serde_json::to_value(traces(vec![call(4, 5, "good"), call(4, 6, "bad")])).unwrap();
    json["resourceSpans"][0]["scopeSpans"][0]["spans"][1]["attributes"] = json!("none");
    let answer = Answer::of(server.post("/v1/traces").json(&json)).await.expect(200);
    let rejected = &answer["partialSuccess"]["rejectedSpans"];
    assert!(rejected == &json!("1") || rejected == &json!(1), "{answer}");
    assert!(answer["partialSuccess"]["errorMessage"].as_str().unwrap().contains("span 1"), "{answer}");
    server.settled("default", 3).await;
    server.adds_up().await;
}

#[tokio::test]
async fn a_span_without_text_waits_and_then_says_what_to_switch_on() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let server = Server::start(&config(&provider, "", "[ingest]\ncontent_wait_seconds = 1\n[sampling]\nrate = 1.0")).await;
    let begun = std::time::Instant::now();
    // One with text, and one that comes with and without it.
    export(&server, vec![silent(5, 3), call(5, 2, "It left."), call(5, 3, "It came.")]).await;
    export(&server, vec![silent(5, 1)]).await;
    let counts = server.settled("default", 3).await;
    assert!(begun.elapsed() >= Duration::from_secs(1), "it has not waited for its text");
    assert_eq!(counts[&("refusal".to_owned(), "no_content".to_owned())], 1);
    assert_eq!(counts[&("refusal".to_owned(), "judged".to_owned())], 2);
    let metric = server.interaction(&id(5, 1)).await["metrics"][0].clone();
    assert_eq!(metric["why"]["code"], "no_text");
    assert!(
        metric["why"]["message"].as_str().unwrap().contains("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"),
        "{metric}"
    );
    let page = Answer::of(server.plain(reqwest::Method::GET, &format!("/interactions/{}", id(5, 1))).bearer_auth(KEY)).await;
    assert!(page.text().contains("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"), "{}", page.text());
    assert_eq!(server.estimate("refusal").await["no_content"], 1);
    assert_eq!(provider.calls(), 2);
    server.adds_up().await;
}

#[tokio::test]
async fn text_in_log_events_meets_its_span_in_any_order_and_across_a_crash() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let mut server = Server::start(&config(&provider, "", "[ingest]\ncontent_wait_seconds = 30\n[sampling]\nrate = 1.0")).await;
    export(&server, vec![silent(6, 1)]).await;
    tell(&server, &said(6, 1, "span first")).await;
    tell(&server, &said(6, 2, "text first")).await;
    export(&server, vec![silent(6, 2)]).await;
    // A span that is sent again, as exporters do when an answer was lost, with its text in between.
    export(&server, vec![silent(6, 3)]).await;
    export(&server, vec![silent(6, 3)]).await;
    tell(&server, &said(6, 3, "sent twice")).await;
    export(&server, vec![silent(6, 3)]).await;
    tell(&server, &said(6, 3, "sent twice")).await;
    server.settled("default", 3).await;

    export(&server, vec![silent(6, 4)]).await;
    tell(&server, &said(6, 5, "text, crash, span")).await;
    assert_eq!(server.settled("default", 3).await.len(), 1, "both wait");
    server.kill();
    server.start_again().await;
    tell(&server, &said(6, 4, "span, crash, text")).await;
    export(&server, vec![silent(6, 5)]).await;
    let counts = server.settled("default", 5).await;
    assert_eq!(counts[&("refusal".to_owned(), "judged".to_owned())], 5);
    assert_eq!((provider.calls(), provider.calls_of_one_item_max()), (5, 1));
    let expected = ["span first", "text first", "sent twice", "span, crash, text", "text, crash, span"];
    for (span, answer) in (1..).zip(expected) {
        let shown = server.interaction(&id(6, span)).await;
        assert_eq!(shown["payload"]["output"][0]["content"], answer);
        assert_eq!(shown["payload"]["input"][0]["content"], "Where is my parcel?");
        assert_eq!(shown["dimensions"]["model"], "gpt-9");
    }
    // A second crash, after everything has met: nothing comes back.
    server.kill();
    server.start_again().await;
    server.accept(vec![item("marker", "a")]).await;
    server.settled("default", 6).await;
    assert_eq!(server.all("interactions", "").await.len(), 6);
    server.adds_up().await;
}

#[tokio::test]
async fn a_server_with_too_much_in_hand_says_when_to_come_back() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let server = Server::start(&config(&provider, "", "[ingest]\nconcurrent_requests_max = 1\n[sampling]\nrate = 1.0")).await;
    let slow = hold(&server).await;
    let turned_away = post(&server, "/v1/traces", &traces(vec![call(7, 1, "a")])).await;
    assert_eq!((turned_away.status.as_u16(), status(&turned_away.body).code), (503, tonic::Code::Unavailable as i32));
    turned_away.retry_after();
    let as_json = Answer::of(server.post("/v1/logs").json(&json!({}))).await;
    as_json.retry_after();
    assert_eq!(as_json.expect(503)["code"], tonic::Code::Unavailable as i32);
    let rest = server.send(&item("a", "b")).await;
    rest.retry_after();
    assert_eq!(rest.error(503).0, "overloaded");
    let waits: std::collections::BTreeSet<u64> =
        futures::future::join_all((0..20).map(|_| async { server.send(&item("a", "b")).await.retry_after() }))
            .await
            .into_iter()
            .collect();
    assert!(waits.len() > 3, "everybody is told to come back at once: {waits:?}");
    // A large batch that is on its way hears it too, and not a broken pipe.
    let large = vec![b' '; 8_000_000];
    let large = server.post("/v1/traces").header("content-type", "application/x-protobuf").body(large);
    let large = Answer::of(large).await;
    assert_eq!(large.status.as_u16(), 503);
    large.retry_after();
    // Reading goes on, and so does everything once the place is free.
    assert_eq!(server.outcomes("default").await.0, 0);
    drop(slow);
    eventually("the place is free again", async || {
        let answer = post(&server, "/v1/traces", &traces(vec![call(7, 1, "a")])).await;
        (answer.status.as_u16() == 200).then_some(())
    })
    .await;
    server.settled("default", 1).await;
    assert!(server.counter("assize_requests_refused_total{code=\"overloaded\"}").await >= 23);
    server.adds_up().await;
}

#[tokio::test]
async fn a_project_that_sends_too_much_is_slowed_and_no_other() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let rest = "[ingest]\nitems_per_second_max = 1\n[sampling]\nrate = 0.0\n[[project]]\nname = \"other\"";
    let server = Server::start(&config(&provider, "", rest)).await;
    let mut taken = 0;
    let refused = loop {
        let answer = server.send(&item(&format!("i-{taken}"), "a")).await;
        if answer.status.as_u16() != 202 {
            break answer;
        }
        taken += 1;
        assert!(taken < 100, "there is no limit");
    };
    refused.retry_after();
    assert_eq!(refused.error(503).0, "rate_limited");
    let spans = loop {
        let answer = post(&server, "/v1/traces", &traces(vec![call(8, u8::try_from(taken).unwrap(), "a")])).await;
        if answer.status.as_u16() != 200 {
            break answer;
        }
        taken += 1;
    };
    assert_eq!(spans.status.as_u16(), 503);
    spans.retry_after();
    assert_eq!(status(&spans.body).code, tonic::Code::Unavailable as i32);
    let made = Answer::of(server.post("/v1/projects/other/keys").json(&json!({}))).await.expect(201);
    let other: &Value = &made["key"];
    assert_eq!(server.send_as(other.as_str().unwrap(), &item("x", "a")).await.expect(202)["accepted"], 1);
    // What was refused is not there, what was taken is.
    server.settled("default", taken).await;
    server.settled("other", 1).await;
    assert_eq!(server.all("interactions", "").await.len() as u64, taken);
    server.adds_up().await;
}
