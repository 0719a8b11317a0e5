//! What nobody should send: refused with a code and the place, and the server goes on.

use std::io::Write as _;

use assize_testkit::provider::{Behaviour, FakeProvider};
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::BodyExt as _;
use reqwest::{Body, Method};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Answer, KEY, Server, config, eventually, item};

async fn server(provider: &FakeProvider) -> Server {
    Server::start(&config(provider, "", "[sampling]\nrate = 1.0")).await
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Good interactions are still taken, and nothing has gone wrong inside.
async fn is_well(server: &Server, provider: &FakeProvider, accepted_before: u64) {
    let calls = provider.calls();
    server.accept(vec![item("good", "Canberra.")]).await;
    server.settled("default", accepted_before + 1).await;
    assert_eq!(provider.calls(), calls + 1);
    server.adds_up().await;
}

#[tokio::test]
async fn bodies_that_are_wrong_as_a_whole() {
    let provider = FakeProvider::start(Behaviour::score(0.0)).await.unwrap();
    let server = server(&provider).await;
    let deep =
        |open: &str, inside: &str, close: &str| format!("{}{inside}{}", open.repeat(100_000), close.repeat(100_000)).into_bytes();
    let cases: Vec<(&str, Vec<u8>, u16, &str, &str)> = vec![
        ("nothing", Vec::new(), 400, "empty_body", "empty"),
        ("white space", b" \r\n\t".to_vec(), 400, "empty_body", "empty"),
        ("text", b"hello".to_vec(), 400, "invalid_json", "begin with { or ["),
        ("a number", b"7".to_vec(), 400, "invalid_json", "begin with { or ["),
        ("an object cut short", br#"{"input": "q", "output": "#.to_vec(), 400, "invalid_json", "column"),
        ("an array cut short", br#"[{"input": "q", "output": "a"}, {"inp"#.to_vec(), 400, "invalid_json", "column"),
        ("something behind", br#"{"input": "q", "output": "a"} and more"#.to_vec(), 400, "invalid_json", "column"),
        ("invalid UTF-8", b"[{\"input\": \"q\", \"output\": \"\xff\xfe\"}]".to_vec(), 400, "invalid_utf8", "byte 27"),
        ("UTF-16", b"\xff\xfe{\0".to_vec(), 400, "invalid_json", "begin with"),
    ];
    for (name, body, status, code, place) in cases {
        let answer = Answer::of(server.post("/v1/interactions").header("content-type", "application/json").body(body)).await;
        let (got, message) = answer.error(status);
        assert_eq!(got, code, "{name}: {message}");
        assert!(message.contains(place), "{name}: {message:?} does not name {place:?}");
    }
    // What is wrong within an item is a matter of the item.
    for body in [deep("{\"a\":", "7", "}"), deep("[", "", "]")] {
        let answer = Answer::of(server.post("/v1/interactions").body(body)).await.expect(400);
        let error = &answer["rejected"][0]["error"];
        assert_eq!(error["code"], "invalid_json", "{answer}");
        assert!(error["message"].as_str().unwrap().contains("recursion limit"), "{error}");
    }
    for (encoding, body, status, code) in [
        ("gzip", b"not gzip".to_vec(), 400, "bad_gzip"),
        ("gzip", gzip(b"[]")[..10].to_vec(), 400, "bad_gzip"),
        ("br", b"[]".to_vec(), 415, "unsupported_encoding"),
        ("gzip, gzip", gzip(&gzip(b"[]")), 415, "unsupported_encoding"),
    ] {
        let answer = Answer::of(server.post("/v1/interactions").header("content-encoding", encoding).body(body)).await;
        assert_eq!(answer.error(status).0, code, "{encoding}");
    }
    let too_many = format!("[{}7]", "7,".repeat(20_000));
    let answer = Answer::of(server.post("/v1/interactions").body(too_many)).await;
    assert_eq!(answer.error(400).0, "too_many_items");
    is_well(&server, &provider, 0).await;
}

#[tokio::test]
async fn items_that_are_wrong_name_the_field() {
    let provider = FakeProvider::start(Behaviour::score(0.0)).await.unwrap();
    let server = server(&provider).await;
    let with = |key: &str, value: Value| {
        let mut one = item("x", "a");
        one[key] = value;
        one
    };
    let cases = [
        (json!("text"), "object"),
        (json!([[item("x", "a")]]), "object"),
        (json!({}), "input"),
        (json!({"input": null, "output": null}), "input"),
        (with("id", json!("")), "id"),
        (with("id", json!("x".repeat(257))), "id"),
        (with("id", json!("a\u{0}b")), "id"),
        (with("id", json!({})), "id"),
        (with("project", json!("../etc")), "project"),
        (with("project", json!(7)), "project"),
        (with("time", json!("2026-13-40T99:00:00Z")), "time"),
        (with("time", json!([])), "time"),
        (with("model", json!("m".repeat(5_000))), "model"),
        (with("input", json!(7)), "input"),
        (with("input", json!([{"content": "who says it?"}])), "input[0].role"),
        (with("output", json!([{"role": "assistant", "content": 7}])), "output[0].content"),
        (with("context", json!([{"title": "no text"}])), "context[0]"),
        (with("tags", json!({"a": {}})), "tags.a"),
        (with("tags", json!([])), "tags"),
        (with("usage", json!({"input_tokens": -1})), "usage.input_tokens"),
        (with("usage", json!({"input_tokens": 1, "cached_input_tokens": 2})), "usage"),
        (with("system", json!(true)), "system"),
        (with("reference", json!([])), "reference"),
    ];
    for (sent, place) in &cases {
        let body = server.send(&json!([sent])).await.expect(400);
        let error = &body["rejected"][0]["error"];
        let message = error["message"].as_str().unwrap_or_else(|| panic!("{sent}: {body}"));
        assert!(message.contains(place), "{message:?} does not name {place:?}: {sent}");
        assert!(!error["code"].as_str().unwrap().is_empty());
    }
    // Empty texts are no fault of the request: they are accepted, and there is nothing to judge.
    let blank = json!([{"id": "empty", "input": "", "output": ""}, {"id": "blank", "input": "q", "output": " \n"},
                       {"id": "no messages", "input": [], "output": []}]);
    assert_eq!(server.send(&blank).await.expect(202)["accepted"], 3);
    let counts = server.settled("default", 3).await;
    assert_eq!(counts[&("refusal".to_owned(), "no_content".to_owned())], 3);
    assert_eq!(provider.calls(), 0, "nothing is paid for nothing");
    // A line that is no UTF-8, between two that are.
    let mut lines = item("before", "a").to_string().into_bytes();
    lines.extend_from_slice(b"\n{\"input\": \"\xff\", \"output\": \"a\"}\n");
    lines.extend_from_slice(item("after", "b").to_string().as_bytes());
    let request = server.post("/v1/interactions").header("content-type", "application/x-ndjson").body(lines);
    let receipt = Answer::of(request).await.expect(202);
    assert_eq!((&receipt["accepted"], &receipt["rejected"][0]["index"]), (&json!(2), &json!(1)), "{receipt}");
    server.settled("default", 5).await;
    is_well(&server, &provider, 5).await;
}

#[tokio::test]
async fn bodies_that_are_too_large_are_refused_before_they_are_held() {
    let provider = FakeProvider::start(Behaviour::score(0.0)).await.unwrap();
    let server = server(&provider).await;
    let bomb = gzip(&vec![b' '; 100_000_000]);
    assert!(bomb.len() < 1_000_000);
    for path in ["/v1/interactions", "/v1/traces"] {
        let request = || server.post(path).header("content-type", "application/json");
        let large = Answer::of(request().body(vec![b' '; 50_000_000])).await;
        assert_eq!(large.status.as_u16(), 413, "{path}: {}", large.text());
        assert!(large.text().contains("body_too_large") && large.text().contains("33554432"), "{}", large.text());
        // The same without saying beforehand how much it will be.
        let unsized_body = http_body_util::Full::new(bytes::Bytes::from(vec![b' '; 50_000_000])).map_frame(|frame| frame);
        let streamed = Answer::of(request().body(Body::wrap(unsized_body))).await;
        assert_eq!(streamed.status.as_u16(), 413, "{path}: {}", streamed.text());
        let burst = Answer::of(request().header("content-encoding", "gzip").body(bomb.clone())).await;
        assert_eq!(burst.status.as_u16(), 413, "{path}: {}", burst.text());
    }
    is_well(&server, &provider, 0).await;
}

#[tokio::test]
async fn otlp_that_is_wrong() {
    let provider = FakeProvider::start(Behaviour::score(0.0)).await.unwrap();
    let server = server(&provider).await;
    let post = async |path: &str, content_type: &str, body: Vec<u8>| {
        Answer::of(server.post(path).header("content-type", content_type).body(body)).await
    };
    for path in ["/v1/traces", "/v1/logs", "/api/public/otel/v1/traces"] {
        for garbage in [&b"hello, this is text"[..], &[0xff; 64], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], &[0x0a, 0x05, 0x12]] {
            let answer = post(path, "application/x-protobuf", garbage.to_vec()).await;
            assert_eq!((answer.status.as_u16(), answer.header("content-type")), (400, Some("application/x-protobuf")), "{path}");
            let status = crate::otlp::status(&answer.body);
            assert_eq!(status.code, tonic::Code::InvalidArgument as i32);
            assert!(status.message.contains("invalid_protobuf") && status.message.contains("byte"), "{}", status.message);
        }
        let answer =
            post(path, "application/json", b"{\"resourceSpans\": [{\"scopeSpans\": 7}], \"resourceLogs\": 7}".to_vec()).await;
        let status = answer.expect(400);
        assert!(status["message"].as_str().unwrap().contains("invalid_json"), "{status}");
        assert!(status["message"].as_str().unwrap().contains("line 1"), "{status}");
        for content_type in ["text/plain", "", "application/xml", "multipart/form-data"] {
            let answer = post(path, content_type, b"{}".to_vec()).await;
            assert_eq!(answer.status.as_u16(), 415, "{path} {content_type}");
            assert!(crate::otlp::status(&answer.body).message.contains("application/x-protobuf"));
        }
        let deep = format!("{{\"resourceSpans\":{}", "[".repeat(200_000));
        assert_eq!(post(path, "application/json", deep.into_bytes()).await.status.as_u16(), 400);
    }
    is_well(&server, &provider, 0).await;
}

#[tokio::test]
async fn questions_that_are_wrong() {
    let provider = FakeProvider::start(Behaviour::score(0.0)).await.unwrap();
    let server = server(&provider).await;
    let long = format!("/v1/interactions/{}", "x".repeat(300));
    for (path, status, place) in [
        ("/v1/estimates", 400, "metric"),
        ("/v1/estimates?metric=", 400, "metric"),
        ("/v1/estimates?metric=none", 404, "refusal"),
        ("/v1/estimates?metric=refusal&from=yesterday", 400, "from"),
        ("/v1/estimates?metric=refusal&from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", 400, "from"),
        ("/v1/estimates?metric=refusal&level=1", 400, "level"),
        ("/v1/estimates?metric=refusal&level=NaN", 400, "level"),
        ("/v1/estimates?metric=refusal&group_by=weather", 400, "group_by"),
        ("/v1/estimates?metric=refusal&group_by=tag:undeclared", 400, "report.dimensions"),
        ("/v1/verdicts?limit=0", 400, "limit"),
        ("/v1/verdicts?limit=many", 400, "limit"),
        ("/v1/verdicts?outcome=great", 400, "outcome"),
        ("/v1/verdicts?cursor=nonsense", 400, "cursor"),
        ("/v1/interactions?cursor=%00%FF", 400, "cursor"),
        ("/v1/interactions?score_min=high", 400, "score_min"),
        ("/v1/spend?group_by=weather", 400, "group_by"),
        ("/v1/interactions/none", 404, "none"),
        (&long, 400, "id"),
        ("/v1/interactions/%FF", 400, "UTF-8"),
        ("/v1/projects/%FF/keys", 400, "UTF-8"),
        ("/v1/projects/a%20b/keys", 400, "project"),
        ("/nothing", 404, "/nothing"),
        ("/v1/traces", 405, "/v1/traces"),
    ] {
        let (_, message) = server.get(path).await.error(status);
        assert!(message.contains(place), "{path}: {message:?} does not name {place:?}");
    }
    let put =
        async |path: &str, body: &'static str| Answer::of(server.plain(Method::PUT, path).bearer_auth(KEY).body(body)).await;
    assert!(put("/v1/projects/green", "{").await.error(400).1.contains("line 1"));
    assert!(put("/v1/projects/green", r#"{"owner": "me"}"#).await.error(400).1.contains("owner"));
    assert!(put("/v1/projects/-green", "").await.error(400).1.contains("-green"));
    for bad in [r#"{"scopes": ["everything"]}"#, r#"{"scopes": []}"#, "[]"] {
        Answer::of(server.post("/v1/projects/default/keys").body(bad)).await.error(400);
    }
    is_well(&server, &provider, 0).await;
}

#[tokio::test]
async fn connections_that_misbehave() {
    let provider = FakeProvider::start(Behaviour::score(0.0)).await.unwrap();
    let server = server(&provider).await;
    let head = format!("POST /v1/interactions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n");
    // A body that breaks off leaves nothing.
    let mut broken = TcpStream::connect(server.address()).await.unwrap();
    let whole = item("broken off", "a").to_string();
    broken.write_all(format!("{head}content-length: {}\r\n\r\n{whole}", whole.len() + 1).as_bytes()).await.unwrap();
    broken.shutdown().await.unwrap();
    let mut rest = Vec::new();
    let _ = broken.read_to_end(&mut rest).await;
    drop(broken);
    // What is not HTTP is hung up on.
    let mut noise = TcpStream::connect(server.address()).await.unwrap();
    noise.write_all(&[0x16, 0x03, 0x01, 0xff, 0x00, 0x0d, 0x0a, 0x0d, 0x0a]).await.unwrap();
    let _ = noise.read_to_end(&mut rest).await;
    // A client that goes away before its answer is a client all the same: what it sent in full is taken.
    let mut hasty = TcpStream::connect(server.address()).await.unwrap();
    let whole = item("hasty", "a").to_string();
    hasty.write_all(format!("{head}content-length: {}\r\n\r\n{whole}", whole.len()).as_bytes()).await.unwrap();
    eventually("the hasty client's interaction", async || {
        (server.get("/v1/interactions/hasty").await.status.as_u16() == 200).then_some(())
    })
    .await;
    drop(hasty);
    assert_eq!(server.get("/v1/interactions/broken%20off").await.error(404).0, "unknown_interaction");
    server.settled("default", 1).await;
    is_well(&server, &provider, 1).await;
}
