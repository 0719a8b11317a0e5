//! OTLP over gRPC, on the main port and on its own.

use assize_testkit::provider::{Behaviour, FakeProvider};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use serde_json::json;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;
use tonic::{Code, Request};

use crate::harness::{Answer, KEY, Server, config, eventually};
use crate::otlp::{call, hold, id, said, silent, traces};

async fn channel(url: &str) -> Channel {
    Channel::from_shared(url.to_owned()).unwrap().connect().await.unwrap()
}

fn with_key<T>(key: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    request
}

#[tokio::test]
async fn spans_and_logs_come_in_on_both_ports() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    // A port that was free a moment ago: that of an own listener cannot be asked for.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = config(&provider, "", "[ingest]\ncontent_wait_seconds = 30\n[sampling]\nrate = 1.0");
    let server = Server::start(&config.replace("grpc_listen = \"\"", &format!("grpc_listen = \"{free}\""))).await;
    let own = format!("http://{free}");
    for (n, url) in [(1, &server.url), (2, &own)] {
        let channel = channel(url).await;
        let mut spans = TraceServiceClient::new(channel.clone());
        let response = spans.export(with_key(KEY, traces(vec![call(9, n, "It left."), silent(10, n)]))).await.unwrap();
        assert_eq!(response.into_inner().partial_success, None);
        let mut logs = LogsServiceClient::new(channel.clone());
        let response = logs.export(with_key(KEY, said(10, n, "by log"))).await.unwrap();
        assert_eq!(response.into_inner().partial_success, None);
        // Zipped, as most exporters can, and sent again.
        let mut zipped = TraceServiceClient::new(channel).send_compressed(CompressionEncoding::Gzip);
        zipped.export(with_key(KEY, traces(vec![call(9, n, "It left.")]))).await.unwrap();
    }
    let counts = server.settled("default", 4).await;
    assert_eq!(counts[&("refusal".to_owned(), "judged".to_owned())], 4);
    assert_eq!(provider.calls(), 4);
    for (trace, n) in [(9, 1), (9, 2), (10, 1), (10, 2)] {
        let shown = server.interaction(&id(trace, n)).await;
        assert_eq!(shown["payload"]["output"][0]["content"], if trace == 9 { "It left." } else { "by log" });
    }
    assert_eq!(server.counter("assize_interactions_duplicate_total").await, 2);
    // The port of gRPC alone has no REST.
    let rest = reqwest::Method::GET;
    let answer = crate::harness::client().request(rest, format!("{own}/v1/outcomes")).bearer_auth(KEY).send().await.unwrap();
    assert_ne!(answer.status().as_u16(), 200);
    server.adds_up().await;
}

#[tokio::test]
async fn errors_are_those_that_exporters_act_on() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let server = Server::start(&config(&provider, "", "[ingest]\nconcurrent_requests_max = 1\n[sampling]\nrate = 1.0")).await;
    let mut spans = TraceServiceClient::new(channel(&server.url).await);
    let message = || traces(vec![call(11, 1, "a")]);
    assert_eq!(spans.export(Request::new(message())).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(spans.export(with_key("wrong", message())).await.unwrap_err().code(), Code::Unauthenticated);
    let reader = Answer::of(server.post("/v1/projects/default/keys").json(&json!({"scopes": ["read"]}))).await.expect(201);
    let refused = spans.export(with_key(reader["key"].as_str().unwrap(), message())).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let large = spans.export(with_key(KEY, traces(vec![call(11, 1, &"x".repeat(5 << 20))]))).await.unwrap_err();
    assert!(matches!(large.code(), Code::OutOfRange | Code::ResourceExhausted), "{large:?}");
    let bomb = spans.clone().send_compressed(CompressionEncoding::Gzip);
    let bomb = { bomb }.export(with_key(KEY, traces(vec![call(11, 1, &"x".repeat(20 << 20))]))).await.unwrap_err();
    assert!(matches!(bomb.code(), Code::OutOfRange | Code::ResourceExhausted), "{bomb:?}");
    let partial = spans.export(with_key(KEY, traces(vec![call(0, 1, "no trace")]))).await.unwrap().into_inner();
    assert_eq!(partial.partial_success.unwrap().rejected_spans, 1);

    let slow = hold(&server).await;
    let busy = spans.export(with_key(KEY, message())).await.unwrap_err();
    assert_eq!(busy.code(), Code::Unavailable);
    let seconds: u64 = busy.metadata().get("retry-after").unwrap().to_str().unwrap().parse().unwrap();
    assert!((30..=60).contains(&seconds), "{seconds}");
    // Exporters read the pause from `RetryInfo`: a status (3: details) of an Any (1: type, 2: value) of a duration (1) of seconds (1).
    let pause = [0x0a, 2, 0x08, u8::try_from(seconds).unwrap()];
    assert!(busy.details().ends_with(&pause), "{:?}", busy.details());
    assert!(String::from_utf8_lossy(busy.details()).contains("google.rpc.RetryInfo"));
    drop(slow);
    eventually("the place is free again", async || {
        let mut spans = spans.clone();
        spans.export(with_key(KEY, message())).await.ok()
    })
    .await;
    server.settled("default", 1).await;
    server.adds_up().await;
}
