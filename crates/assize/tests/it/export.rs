//! Results arrive where they are sent: every one, in order, under one key, signed, and without holding up anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use assize_testkit::provider::{Behaviour, FakeProvider, Reply, Request};
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message as _;
use serde_json::{Value, json};

use crate::command::{Files, assize};
use crate::harness::{Answer, HOOK_SECRET, Server, config, eventually, item};
use crate::otlp::{call, traces};

/// What a receiver answers.
enum Reaction {
    Take,
    Body(Vec<u8>),
    Status(u16),
    Busy,
    Hang,
}

type Decide = Box<dyn Fn(&[u8]) -> Reaction + Send>;

/// A receiver of results that remembers what it was sent.
struct Receiver {
    url: String,
    decide: Arc<Mutex<Decide>>,
    /// What came, and whether it was acknowledged.
    seen: Arc<Mutex<Vec<(HeaderMap, Bytes, bool)>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    async fn start() -> Self {
        Self::at("127.0.0.1:0").await
    }

    async fn at(address: &str) -> Self {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}/in", listener.local_addr().unwrap());
        let decide: Arc<Mutex<Decide>> = Arc::new(Mutex::new(Box::new(|_| Reaction::Take)));
        let seen: Arc<Mutex<Vec<(HeaderMap, Bytes, bool)>>> = Arc::default();
        let (deciding, seeing) = (Arc::clone(&decide), Arc::clone(&seen));
        let take = async move |headers: HeaderMap, body: Bytes| {
            let reaction = deciding.lock().unwrap()(&body);
            let is_taken = matches!(reaction, Reaction::Take | Reaction::Body(_));
            seeing.lock().unwrap().push((headers, body, is_taken));
            match reaction {
                Reaction::Take => StatusCode::OK.into_response(),
                Reaction::Body(body) => body.into_response(),
                Reaction::Status(code) => StatusCode::from_u16(code).unwrap().into_response(),
                Reaction::Busy => (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "2")]).into_response(),
                Reaction::Hang => std::future::pending().await,
            }
        };
        let router = axum::Router::new().route("/in", axum::routing::post(take));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, decide, seen, task }
    }

    fn reacts(&self, decide: impl Fn(&[u8]) -> Reaction + Send + 'static) {
        *self.decide.lock().unwrap() = Box::new(decide);
    }

    fn requests(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    fn bodies(&self, acknowledged: bool) -> Vec<Bytes> {
        self.seen.lock().unwrap().iter().filter(|seen| seen.2 == acknowledged).map(|seen| seen.1.clone()).collect()
    }

    /// The results of all acknowledged webhooks, in order of arrival.
    fn results(&self) -> Vec<Value> {
        self.results_where(true)
    }

    fn results_where(&self, acknowledged: bool) -> Vec<Value> {
        let message = |body: &Bytes| serde_json::from_slice::<Value>(body).unwrap()["results"].as_array().unwrap().clone();
        self.bodies(acknowledged).iter().flat_map(message).collect()
    }

    /// The interactions in them, each once, in order of first arrival.
    fn told_of(&self) -> Vec<String> {
        let mut met = BTreeSet::new();
        let ids = self.results().into_iter().map(|result| result["interaction_id"].as_str().unwrap().to_owned());
        ids.filter(|id| met.insert(id.clone())).collect()
    }

    /// The events of all acknowledged deliveries.
    fn events(&self) -> Vec<LogRecord> {
        let records = |body: &Bytes| {
            let request = ExportLogsServiceRequest::decode(body.as_ref()).expect("OTLP logs in protobuf");
            let logs = request.resource_logs.into_iter().flat_map(|logs| logs.scope_logs);
            logs.flat_map(|logs| logs.log_records).collect::<Vec<_>>()
        };
        self.bodies(true).iter().flat_map(records).collect()
    }
}

/// HMAC-SHA256 by the definition of RFC 2104.
fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    let sha256 = |parts: [&[u8]; 2]| ring::digest::digest(&ring::digest::SHA256, &parts.concat()).as_ref().to_vec();
    let padded = |byte: u8| (0..64).map(|at| byte ^ key.get(at).copied().unwrap_or(0)).collect::<Vec<u8>>();
    sha256([&padded(0x5c), &sha256([&padded(0x36), text])])
}

/// What a receiver of webhooks would check.
fn verify(headers: &HeaderMap, body: &[u8]) {
    let header = |name: &str| headers[name].to_str().unwrap();
    let (id, seconds) = (header("webhook-id"), header("webhook-timestamp"));
    let key = STANDARD.decode(HOOK_SECRET.strip_prefix("whsec_").unwrap()).unwrap();
    let text = [format!("{id}.{seconds}.").as_bytes(), body].concat();
    assert_eq!(header("webhook-signature"), format!("v1,{}", STANDARD.encode(hmac_sha256(&key, &text))));
    let message: Value = serde_json::from_slice(body).unwrap();
    assert_eq!((&message["type"], &message["id"]), (&json!("evaluation.results"), &json!(id)));
    let sent = assize_core::Timestamp::parse(message["sent_at"].as_str().unwrap()).unwrap();
    assert_eq!(sent.0.div_euclid(1000), seconds.parse::<i64>().unwrap());
}

/// A webhook to the receiver; `keys` are added.
fn hook(name: &str, receiver: &Receiver, keys: &str) -> String {
    let url = &receiver.url;
    format!(
        "[[export]]\nname = \"{name}\"\nkind = \"webhook\"\nurl = \"{url}\"\nsecret_env = \"HOOK_SECRET\"\nallow_private = true\n{keys}\n"
    )
}

fn otlp(name: &str, receiver: &Receiver, keys: &str) -> String {
    format!("[[export]]\nname = \"{name}\"\nkind = \"otlp\"\nurl = \"{}\"\nallow_private = true\n{keys}\n", receiver.url)
}

fn all_judged(provider: &FakeProvider, exports: &str) -> String {
    config(provider, "concurrency = 8", &format!("{exports}\n[sampling]\nrate = 1.0\n"))
}

fn items(prefix: &str, count: usize) -> Vec<Value> {
    (0..count).map(|i| item(&format!("{prefix}-{i}"), &format!("answer <{prefix}-{i}>"))).collect()
}

/// The interactions in order of recording.
async fn recorded(server: &Server) -> Vec<String> {
    let mut verdicts = server.all("verdicts", "").await;
    verdicts.reverse();
    verdicts.iter().map(|verdict| verdict["interaction_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_deliveries_nothing_is_lost_and_what_comes_twice_has_one_key() {
    const ROUNDS: usize = 4;
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let receiver = Receiver::start().await;
    let mut server = Server::start(&all_judged(&provider, &hook("hook", &receiver, "batch_max = 3"))).await;
    for round in 0..ROUNDS {
        // In the middle of the deliveries, at another place in every round; in every other one while an acknowledgement is awaited.
        let before = receiver.requests();
        let left = Mutex::new(2 * round + 1);
        receiver.reacts(move |_| {
            let mut left = left.lock().unwrap();
            *left = left.saturating_sub(1);
            if round.is_multiple_of(2) && *left == 0 { Reaction::Hang } else { Reaction::Take }
        });
        server.accept(items(&round.to_string(), 40)).await;
        eventually("deliveries to be killed after", async || (receiver.requests() > before + 2 * round).then_some(())).await;
        server.kill();
        receiver.reacts(|_| Reaction::Take);
        server.start_again().await;
    }
    let judged = 40 * ROUNDS;
    server.settled("default", judged as u64).await;
    eventually("everything is told of", async || (receiver.told_of().len() == judged).then_some(())).await;
    assert_eq!(receiver.told_of(), recorded(&server).await, "in order of recording");
    let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let hanging = receiver.results_where(false);
    assert!(!hanging.is_empty(), "a delivery was under way");
    for result in receiver.results().into_iter().chain(hanging) {
        let text = |key: &str| result[key].as_str().unwrap().to_owned();
        keys.entry(text("interaction_id")).or_default().insert(text("idempotency_key"));
        assert_eq!((&result["metric"], &result["outcome"], &result["score"]), (&json!("refusal"), &json!("judged"), &json!(1.0)));
    }
    assert!(keys.values().all(|keys| keys.len() == 1), "what comes twice comes under the same key");
    assert_eq!(keys.values().flatten().collect::<BTreeSet<_>>().len(), judged, "and under nobody else's");
    assert!(receiver.results().len() <= judged + 3 * ROUNDS, "only what was under way is repeated");
    for (headers, body, _) in receiver.seen.lock().unwrap().iter() {
        verify(headers, body);
        assert_eq!(headers["content-type"], "application/json");
    }
    server.adds_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_gets_its_verdicts_as_events() {
    let reply = |request: &Request| match request.item.contains("broken") {
        true => Reply::status(400),
        false => Reply::Score { score: 0.75, reason: "it was not helpful".to_owned() },
    };
    let provider = FakeProvider::start(Behaviour::with(reply)).await.unwrap();
    let (receiver, hooked) = (Receiver::start().await, Receiver::start().await);
    let exports = otlp("events", &receiver, "headers_env = { X-Token = \"HOOK_SECRET\" }")
        + &hook("quiet", &hooked, "explanations = false\nprojects = [\"default\"]\nmetrics = [\"refusal\"]");
    let server = Server::start(&all_judged(&provider, &exports)).await;
    let spans = traces(vec![call(0xab, 0xcd, "It left."), call(0xab, 0xce, "It is broken.")]);
    let request = server.post("/v1/traces").header("content-type", "application/x-protobuf").body(spans.encode_to_vec());
    assert_eq!(Answer::of(request).await.status.as_u16(), 200);
    let mut tagged = item("by-hand", "It left.");
    tagged["tags"] = json!({"gen_ai.response.id": "chatcmpl-7"});
    server.accept(vec![tagged]).await;
    server.settled("default", 3).await;
    eventually("all are told of", async || (receiver.events().len() == 3 && hooked.results().len() == 3).then_some(())).await;

    let attributes = |record: &LogRecord| -> BTreeMap<String, any_value::Value> {
        record.attributes.iter().map(|pair| (pair.key.clone(), pair.value.clone().unwrap().value.unwrap())).collect()
    };
    let text = |value: &str| any_value::Value::StringValue(value.to_owned());
    let events: BTreeMap<String, LogRecord> = receiver
        .events()
        .into_iter()
        .map(|record| match &attributes(&record)["assize.interaction_id"] {
            any_value::Value::StringValue(id) => (id.clone(), record),
            other => panic!("{other:?}"),
        })
        .collect();
    let id = |span: &str| format!("{}-{}", "ab".repeat(16), span.repeat(8));
    let good = &events[&id("cd")];
    assert_eq!((good.trace_id.as_slice(), good.span_id.as_slice()), (&[0xab; 16][..], &[0xcd; 8][..]));
    assert_eq!(good.event_name, "gen_ai.evaluation.result");
    let said = attributes(good);
    assert_eq!(said["gen_ai.evaluation.name"], text("refusal"));
    assert_eq!(said["gen_ai.evaluation.score.value"], any_value::Value::DoubleValue(0.75));
    assert_eq!(said["gen_ai.evaluation.explanation"], text("it was not helpful"));
    assert_eq!(said["assize.probability"], any_value::Value::DoubleValue(1.0));
    let failed = attributes(&events[&id("ce")]);
    assert!(matches!(&failed["error.type"], any_value::Value::StringValue(code) if code == "rejected"), "{failed:?}");
    assert!(!failed.contains_key("gen_ai.evaluation.score.value"), "{failed:?}");
    assert_eq!(attributes(&events["by-hand"])["gen_ai.response.id"], text("chatcmpl-7"));
    assert!(events["by-hand"].span_id.is_empty());
    for (headers, _, _) in receiver.seen.lock().unwrap().iter() {
        assert_eq!(headers["content-type"], "application/x-protobuf");
        assert_eq!(headers["x-token"], HOOK_SECRET);
    }

    // Without explanations nothing that a judge or a provider has written goes along.
    for body in hooked.bodies(true) {
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(!body.contains("helpful") && !body.contains("told to answer") && !body.contains("explanation"), "{body}");
    }
    let keys =
        |results: Vec<Value>| results.iter().map(|result| result["idempotency_key"].clone().to_string()).collect::<BTreeSet<_>>();
    let events: BTreeSet<String> = events
        .values()
        .map(|record| match &attributes(record)["assize.idempotency_key"] {
            any_value::Value::StringValue(key) => format!("{key:?}"),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(keys(hooked.results()), events, "one key, whichever the form");
    assert!(!server.log().contains(HOOK_SECRET) && !server.log().contains("helpful"), "{}", server.log());
    server.adds_up().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_in_trouble_holds_up_neither_judging_nor_the_others() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let (good, hanging, failing) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    let absent = Receiver::start().await;
    let exports = hook("good", &good, "")
        + &hook("hanging", &hanging, "timeout_seconds = 2")
        + &hook("failing", &failing, "")
        + &hook("absent", &absent, "");
    let address = absent.url.strip_prefix("http://").unwrap().strip_suffix("/in").unwrap().to_owned();
    absent.task.abort();
    drop(absent);
    hanging.reacts(|_| Reaction::Hang);
    failing.reacts(|_| Reaction::Status(500));
    let server = Server::start(&all_judged(&provider, &exports)).await;
    server.accept(items("a", 30)).await;
    server.settled("default", 30).await;
    eventually("the good one has everything", async || (good.told_of().len() == 30).then_some(())).await;
    assert!(hanging.told_of().is_empty() && failing.told_of().is_empty());
    eventually("they were tried more than once", async || (hanging.requests() > 1 && failing.requests() > 1).then_some(())).await;
    eventually("how far they are behind is counted", async || {
        (server.counter("assize_export_behind{target=\"failing\"}").await == 30).then_some(())
    })
    .await;
    // Another wave while they are down, then they come back: one of them asks for patience first.
    server.accept(items("b", 30)).await;
    server.settled("default", 60).await;
    let patience = Mutex::new(true);
    hanging.reacts(move |_| if std::mem::take(&mut *patience.lock().unwrap()) { Reaction::Busy } else { Reaction::Take });
    failing.reacts(|_| Reaction::Take);
    let absent = Receiver::at(&address).await;
    let expected = recorded(&server).await;
    for receiver in [&good, &hanging, &failing, &absent] {
        eventually("everything arrives in the end", async || (receiver.told_of().len() == 60).then_some(())).await;
        assert_eq!(receiver.told_of(), expected);
    }
    eventually("nobody is behind", async || {
        (server.counter("assize_export_behind{target=\"hanging\"}").await == 0).then_some(())
    })
    .await;
    assert!(server.counter("assize_export_failures_total{target=\"hanging\"}").await >= 2);
    assert_eq!(server.counter("assize_export_lost_total{target=\"failing\"}").await, 0);
    assert!(server.log().contains("the target takes results again"), "{}", server.log());
    server.adds_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_for_good_is_left_out_counted_and_said() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let (picky, patient, partial) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    picky.reacts(|body| match body.windows(7).any(|part| part == b"\"bad-0\"") {
        true => Reaction::Status(422),
        false => Reaction::Take,
    });
    patient.reacts(|_| Reaction::Status(404));
    partial.reacts(|_| {
        let partial = ExportLogsPartialSuccess { rejected_log_records: 1, error_message: "one is too old".to_owned() };
        Reaction::Body(ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec())
    });
    let exports =
        hook("picky", &picky, "attempts = 2") + &hook("patient", &patient, "attempts = 0") + &otlp("partial", &partial, "");
    let server = Server::start(&all_judged(&provider, &exports)).await;
    server.accept([items("a", 6), items("bad", 1), items("b", 6)].concat()).await;
    server.settled("default", 13).await;
    eventually("all but one are taken", async || (picky.told_of().len() == 12).then_some(())).await;
    let expected: Vec<String> = recorded(&server).await.into_iter().filter(|id| id != "bad-0").collect();
    assert_eq!(picky.told_of(), expected);
    assert_eq!(server.counter("assize_export_lost_total{target=\"picky\"}").await, 1);
    assert!(server.log().contains("results are left out"), "{}", server.log());
    eventually("it tries again and again", async || (patient.requests() >= 3).then_some(())).await;
    assert_eq!(server.counter("assize_export_lost_total{target=\"patient\"}").await, 0);
    eventually("what was rejected in part counts as lost, and is not sent again", async || {
        let of = async |what: &str| server.counter(&format!("assize_export_{what}_total{{target=\"partial\"}}")).await;
        (of("lost").await == partial.requests() as u64 && of("lost").await + of("delivered").await == 13).then_some(())
    })
    .await;
    assert_eq!(partial.events().len(), 13);
    assert!(!server.log().contains("too old"), "what a receiver writes may repeat what it was sent");
    server.adds_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_address_is_called_only_if_that_is_meant() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let receiver = Receiver::start().await;
    let exports = hook("hook", &receiver, "").replace("allow_private = true\n", "");
    let files = Files::new();
    let refused = all_judged(&provider, &exports);
    files.write("c.toml", &refused);
    let line = refused.lines().position(|line| line.contains("/in\"")).unwrap() + 1;
    let check =
        assize(["config", "check", "--config", "c.toml"]).env("HOOK_SECRET", HOOK_SECRET).within(files.path()).run().await;
    check.code(2).says(&[&format!("c.toml:{line}: [[export]] \"hook\": url: 127.0.0.1"), "allow_private = true"]);
    // A name is looked up when it is called.
    let server = Server::start(&refused.replace(&receiver.url, &receiver.url.replace("127.0.0.1", "localhost"))).await;
    server.accept(items("a", 1)).await;
    eventually("it is said", async || server.log().contains("allow_private = true for this export").then_some(())).await;
    assert_eq!(receiver.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_target_begins_where_it_is_told_to() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let (now, beginning) = (Receiver::start().await, Receiver::start().await);
    let mut server = Server::start(&all_judged(&provider, "")).await;
    server.accept(items("old", 5)).await;
    server.settled("default", 5).await;
    server.terminate().await;
    let exports = hook("now", &now, "") + &hook("beginning", &beginning, "from = \"beginning\"");
    server.configure(&all_judged(&provider, &exports));
    server.start_again().await;
    server.accept(items("new", 5)).await;
    eventually("both have the new ones", async || (now.told_of().len() == 5 && beginning.told_of().len() == 10).then_some(()))
        .await;
    assert!(now.told_of().iter().all(|id| id.starts_with("new-")));
    // What a target has acknowledged is not sent again after a stop in order.
    server.settled("default", 10).await;
    server.terminate().await;
    let before = (now.requests(), beginning.requests());
    server.start_again().await;
    server.accept(items("last", 1)).await;
    eventually("the last one", async || (now.told_of().len() == 6 && beginning.told_of().len() == 11).then_some(())).await;
    assert_eq!((now.requests(), beginning.requests()), (before.0 + 1, before.1 + 1));
    assert_eq!(beginning.results().len(), 11, "nothing came twice");
    server.adds_up().await;
}
