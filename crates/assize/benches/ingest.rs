//! How much ingestion costs us: OTLP spans of about 2.6 KB in batches of 100, each acknowledged when durable, at sampling rate 0.
//!
//! `cargo bench -p assize --bench ingest` starts the real server and prints: spans per CPU-second of the server, acknowledgement times,
//! resident memory, and how long after its acknowledgement a span is found over the API. `ASSIZE_BENCH_SPANS` and
//! `ASSIZE_BENCH_SENDERS` choose how many spans and how many senders at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod measure;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use measure::{Usage, numbers_from};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

const KEY: &str = "bench-key";
const BATCH: u64 = 100;

#[tokio::main]
async fn main() {
    let spans = numbers_from("ASSIZE_BENCH_SPANS", "200000")[0];
    let senders = numbers_from("ASSIZE_BENCH_SENDERS", "8")[0];
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("assize.toml");
    std::fs::write(&config, CONFIGURATION).unwrap();
    let mut server = start(&directory.path().join("data"), &config);
    let url = address(&mut server);
    assize_judge::providers::install_tls();
    let client = reqwest::Client::new();
    let span_bytes = batch(u64::MAX - 1).len() / BATCH as usize;

    // Warm up: connections, caches, first pages.
    for number in 0..20 {
        send(&client, &url, batch(1 << 40 | number)).await;
    }
    let before = Usage::of(server.id());
    let started = Instant::now();
    let next = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..senders)
        .map(|_| {
            let (client, url, next) = (client.clone(), url.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                let mut waits = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= spans / BATCH {
                        return waits;
                    }
                    let body = batch(number);
                    let sent = Instant::now();
                    send(&client, &url, body).await;
                    waits.push(sent.elapsed());
                }
            })
        })
        .collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await.unwrap());
    }
    let wall = started.elapsed().as_secs_f64();
    let last = spans / BATCH - 1;
    let delay = until_found(&client, &url, &id(last, BATCH - 1)).await;
    // What is acknowledged is still being folded in: its CPU time counts.
    until_folded(&client, &url, spans + 20 * BATCH).await;
    let after = Usage::of(server.id());
    waits.sort();
    let quantile = |q: f64| waits[((waits.len() - 1) as f64 * q) as usize].as_secs_f64() * 1e3;
    let cpu = after.cpu_seconds - before.cpu_seconds;
    println!("spans of {span_bytes} bytes, batches of {BATCH}, {senders} senders, sampling rate 0");
    println!(
        "spans per CPU-second of the server: {:.0}   (CPU {cpu:.2} s, wall {wall:.2} s, {:.0} spans/s)",
        spans as f64 / cpu,
        spans as f64 / wall
    );
    println!("acknowledged after: median {:.1} ms, p99 {:.1} ms, worst {:.1} ms", quantile(0.5), quantile(0.99), quantile(1.0));
    println!("peak resident memory: {:.0} MB", after.peak_mb);
    println!("found over the API {:.0} ms after the last acknowledgement", delay.as_secs_f64() * 1e3);
    server.kill().unwrap();
    server.wait().unwrap();
}

const CONFIGURATION: &str = r#"
[server]
grpc_listen = ""
[[provider]]
name = "nobody"
kind = "openai"
base_url = "http://127.0.0.1:9/v1"
[[judge]]
name = "words"
kind = "rules"
any_of = ["I'm sorry", "I cannot", "I can't", "As an AI"]
[[judge]]
name = "gpt-4o"
kind = "chat"
provider = "nobody"
model = "gpt-4o-2024-05-13"
question = "Does the assistant refuse?"
[[metric]]
name = "refusal"
cascade = ["words", "gpt-4o"]
[sampling]
rate = 0.0
"#;

fn start(data: &std::path::Path, config: &std::path::Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assize"));
    command.arg("up").arg("--data").arg(data).arg("--config").arg(config).args(["--listen", "127.0.0.1:0"]);
    command.env("ASSIZE_BOOTSTRAP_KEY", KEY).stderr(Stdio::piped()).spawn().unwrap()
}

fn address(server: &mut Child) -> String {
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines().map_while(Result::ok);
    let url = lines.find_map(|line| line.strip_prefix("listening on ").map(str::to_owned)).expect("the server starts");
    std::thread::spawn(move || lines.for_each(|line| eprintln!("{line}")));
    url
}

async fn send(client: &reqwest::Client, url: &str, body: Vec<u8>) {
    let request =
        client.post(format!("{url}/v1/traces")).bearer_auth(KEY).header("content-type", "application/x-protobuf").body(body);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let answer = ExportTraceServiceResponse::decode(response.bytes().await.unwrap()).unwrap();
    assert_eq!(answer.partial_success, None);
}

async fn until_found(client: &reqwest::Client, url: &str, id: &str) -> Duration {
    let started = Instant::now();
    while client.get(format!("{url}/v1/interactions/{id}")).bearer_auth(KEY).send().await.unwrap().status() != 200 {
        assert!(started.elapsed() < Duration::from_secs(60), "{id} is never found");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    started.elapsed()
}

async fn until_folded(client: &reqwest::Client, url: &str, accepted: u64) {
    let started = Instant::now();
    loop {
        let answer = client.get(format!("{url}/v1/outcomes")).bearer_auth(KEY).send().await.unwrap();
        let outcomes: serde_json::Value = answer.json().await.unwrap();
        if outcomes["accepted"] == accepted {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{outcomes} instead of {accepted}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn id(number: u64, at: u64) -> String {
    format!("{:016x}{number:016x}-{:016x}", 1_u64 << 60, at + 1)
}

fn batch(number: u64) -> Vec<u8> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let question =
        "My order has not arrived, although it was to be here on Tuesday. Could you tell me where it is and when it comes? ";
    let answer = "I have looked at your order: it left our warehouse on Monday and is with the carrier, who expects to deliver it on Thursday. ";
    let spans = (0..BATCH).map(|at| {
        let input = serde_json::json!([{ "role": "user", "parts": [{ "type": "text", "content": format!("{}{number} {at}", question.repeat(7)) }] }]);
        let output = serde_json::json!([{ "role": "assistant", "parts": [{ "type": "text", "content": answer.repeat(9) }], "finish_reason": "stop" }]);
        let attributes = [
            ("gen_ai.operation.name", "chat".to_owned()),
            ("gen_ai.provider.name", "openai".to_owned()),
            ("gen_ai.request.model", "gpt-4o-mini".to_owned()),
            ("gen_ai.conversation.id", format!("c{number}-{}", at / 4)),
            ("gen_ai.input.messages", input.to_string()),
            ("gen_ai.output.messages", output.to_string()),
        ];
        let numbers = [("gen_ai.usage.input_tokens", 211), ("gen_ai.usage.output_tokens", 296)];
        let text = attributes.into_iter().map(|(key, value)| attribute(key, Value::StringValue(value)));
        let counts = numbers.into_iter().map(|(key, value)| attribute(key, Value::IntValue(value)));
        Span {
            trace_id: [(1_u64 << 60).to_be_bytes(), number.to_be_bytes()].concat(),
            span_id: (at + 1).to_be_bytes().to_vec(),
            name: "chat gpt-4o-mini".to_owned(),
            start_time_unix_nano: now - 1_000_000_000,
            end_time_unix_nano: now,
            attributes: text.chain(counts).collect(),
            ..Span::default()
        }
    });
    let scope = ScopeSpans { spans: spans.collect(), ..ScopeSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() }] }
        .encode_to_vec()
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
