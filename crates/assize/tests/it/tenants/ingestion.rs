//! What a disabled or a slowed tenant's senders hear, on every way in, and what reports say of the gap.

use assize_core::tenant::Disabled;
use assize_core::{Clock as _, SystemClock};
use assize_testkit::provider::{Behaviour, FakeProvider};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;
use reqwest::Method;
use serde_json::{Value, json};
use tonic::Request;

use super::{PROJECTS, ask, control, key, tenant, with_control};
use crate::harness::{Answer, KEY, Server, config, eventually, item, segment, time};
use crate::otlp::{call, said, silent, span, status, traces};

async fn export(server: &Server, key: &str, path: &str, message: &impl Message) -> Answer {
    let request = server.plain(Method::POST, path).bearer_auth(key).header("content-type", "application/x-protobuf");
    Answer::of(request.body(message.encode_to_vec())).await
}

fn with_key<T>(key: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    request
}

#[tokio::test]
async fn nothing_is_taken_from_a_disabled_tenant_and_every_sender_hears_why() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let server = Server::start(&config(&provider, "", PROJECTS)).await;
    let (shop, help, blue) = (
        key(&server, "shop", &["ingest", "read"]).await,
        key(&server, "help", &["ingest"]).await,
        key(&server, "blue", &["ingest"]).await,
    );
    assert_eq!(server.send_as(&shop, &item("before", "a 1")).await.expect(202)["accepted"], 1);
    let off = ask(&server, Method::POST, "/v1/tenants/acme/disable", json!({"reason": "unpaid since May"})).await.expect(200);
    assert_eq!((&off["ingesting"], &off["disabled"]["reason"]), (&json!(false), &json!("unpaid since May")));

    // REST, at once, in all its projects, whatever the size of the body.
    for holder in [&shop, &help] {
        let (code, message) = server.send_as(holder, &item("during", "a 2")).await.error(403);
        assert_eq!(code, "tenant_disabled");
        assert!(message.contains("acme") && message.contains("unpaid since May"), "{message}");
    }
    let large = json!([item("large", &"x".repeat(4_000_000))]);
    assert_eq!(server.send_as(&shop, &large).await.error(403).0, "tenant_disabled");
    let score = json!({"interaction_id": "before", "name": "thumbs", "value": 1});
    let score = Answer::of(server.plain(Method::POST, "/v1/scores").bearer_auth(&shop).json(&score)).await;
    assert_eq!(score.error(403).0, "tenant_disabled");
    // An admin's key sends for others: each item by its own project.
    let mixed = json!([{"id": "m", "project": "shop", "input": "q", "output": "a"}, {"id": "m", "project": "blue", "input": "q", "output": "a 3"}]);
    let receipt = server.send(&mixed).await.expect(202);
    assert_eq!((&receipt["accepted"], &receipt["rejected"][0]["error"]["code"]), (&json!(1), &json!("tenant_disabled")));
    let foreign = json!([{"id": "n", "project": "help", "input": "q", "output": "a"}]);
    assert_eq!(server.send(&foreign).await.error(403).0, "tenant_disabled");

    // OTLP: taken and refused, span by span, so that no exporter tries again.
    let spans =
        || traces(vec![call(1, 1, "It left."), silent(1, 2), span(1, 3, 1, &[("http.method", "GET")]), call(0, 4, "no trace")]);
    let answer = export(&server, &shop, "/v1/traces", &spans()).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (200, None), "{}", answer.text());
    let partial = ExportTraceServiceResponse::decode(&*answer.body).unwrap().partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 4, "every span: {partial:?}");
    assert!(partial.error_message.contains("tenant_disabled") && partial.error_message.contains("unpaid since May"));
    let answer = export(&server, &help, "/v1/logs", &said(1, 2, "by log")).await;
    assert_eq!(answer.status.as_u16(), 200);
    let partial = ExportLogsServiceResponse::decode(&*answer.body).unwrap().partial_success.unwrap();
    assert!(partial.rejected_log_records > 0 && partial.error_message.contains("unpaid since May"), "{partial:?}");
    let channel = tonic::transport::Channel::from_shared(server.url.clone()).unwrap().connect().await.unwrap();
    let mut client = TraceServiceClient::new(channel.clone());
    let partial = client.export(with_key(&shop, spans())).await.unwrap().into_inner().partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 4);
    assert!(partial.error_message.contains("unpaid since May"));
    let mut client = LogsServiceClient::new(channel);
    let partial = client.export(with_key(&shop, said(1, 1, "by log"))).await.unwrap().into_inner().partial_success.unwrap();
    assert!(partial.rejected_log_records > 0 && partial.error_message.contains("unpaid since May"), "{partial:?}");

    // Others go on, reading goes on, what was taken before is judged.
    assert_eq!(server.send_as(&blue, &item("other", "a 4")).await.expect(202)["accepted"], 1);
    assert_eq!(server.get_as(&shop, "/v1/outcomes").await.expect(200)["accepted"], 1);
    server.settled("shop", 1).await;
    assert!(server.counter("assize_requests_refused_total{code=\"tenant_disabled\"}").await >= 5);
    assert!(server.counter("assize_interactions_rejected_total{code=\"tenant_disabled\"}").await >= 11);

    let on = ask(&server, Method::POST, "/v1/tenants/acme/enable", json!({})).await.expect(200);
    assert_eq!((&on["ingesting"], &on["disabled"]), (&json!(true), &Value::Null));
    assert_eq!(server.send_as(&shop, &item("after", "a 5")).await.expect(202)["accepted"], 1);
    let answer = export(&server, &help, "/v1/traces", &traces(vec![call(2, 1, "It left.")])).await;
    assert_eq!(ExportTraceServiceResponse::decode(&*answer.body).unwrap().partial_success, None);
    server.settled("shop", 2).await;
    server.settled("help", 1).await;
    server.settled("blue", 2).await;
    server.adds_up().await;
}

#[tokio::test]
async fn reports_mark_the_time_in_which_nothing_was_taken() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let server = Server::start(&config(&provider, "", PROJECTS)).await;
    let before = time(-1);
    for (project, id) in [("shop", "a"), ("blue", "b")] {
        server.accept(vec![json!({"id": id, "project": project, "input": "q", "output": format!("answer {id}")})]).await;
        server.settled(project, 1).await;
    }
    let path = |project: &str, query: &str| format!("/v1/estimates?metric=refusal&project={project}&{query}");
    let warned = |body: &Value| {
        let groups = body["groups"].as_array().unwrap();
        assert!(!groups.is_empty(), "{body}");
        groups.iter().all(|group| group["warnings"].as_array().unwrap().contains(&json!("ingestion_gap")))
    };
    let clean = server.get(&path("shop", "")).await.expect(200);
    assert_eq!((&clean["gaps"], warned(&clean)), (&json!([]), false));

    ask(&server, Method::POST, "/v1/tenants/acme/disable", json!({"reason": "one"})).await.expect(200);
    // Another reason is the same gap.
    ask(&server, Method::POST, "/v1/tenants/acme/disable", json!({"reason": "two"})).await.expect(200);
    let open = server.get(&path("shop", "")).await.expect(200);
    assert_eq!(open["gaps"].as_array().unwrap().len(), 1, "{open}");
    assert_eq!((&open["gaps"][0]["until"], &open["gaps"][0]["reason"], warned(&open)), (&Value::Null, &json!("two"), true));
    ask(&server, Method::POST, "/v1/tenants/acme/enable", json!({})).await.expect(200);
    let closed = server.get(&path("shop", "group_by=hour")).await.expect(200);
    assert!(warned(&closed), "{closed}");
    assert!(closed["gaps"][0]["since"].as_str() <= closed["gaps"][0]["until"].as_str());
    assert_eq!(tenant(&server, "acme").await["gaps"], closed["gaps"]);
    assert!(warned(&server.get(&path("shop", "group_by=model")).await.expect(200)));
    // A range that ends before it knows nothing of it, and neither does another tenant.
    let earlier = server.get(&path("shop", &format!("to={}", segment(&before)))).await.expect(200);
    assert_eq!(earlier["gaps"], json!([]));
    let other = server.get(&path("blue", "")).await.expect(200);
    assert_eq!((&other["gaps"], warned(&other)), (&json!([]), false));
    server.adds_up().await;
}

#[tokio::test]
async fn what_is_laid_down_for_a_time_ends_by_itself() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&with_control(&config(&provider, "", PROJECTS), directory.path())).await;
    let soon = SystemClock.now().plus(std::time::Duration::from_secs(3)).to_rfc3339();
    let off = ask(&server, Method::POST, "/v1/tenants/acme/disable", json!({"until": soon})).await.expect(200);
    assert_eq!(off["disabled"]["until"], soon);
    let shop = key(&server, "shop", &["ingest"]).await;
    let (code, message) = server.send_as(&shop, &item("a", "a 1")).await.error(403);
    assert!(code == "tenant_disabled" && message.contains(&soon), "{message}");
    eventually("it is over", async || (server.send_as(&shop, &item("b", "a 2")).await.status.as_u16() == 202).then_some(()))
        .await;
    assert!(SystemClock.now().to_rfc3339() >= soon, "not before its time");
    let shown = tenant(&server, "acme").await;
    assert_eq!((&shown["ingesting"], &shown["gaps"][0]["until"]), (&json!(true), &json!(soon)));
    // One that was over when it was written, as by another process with another clock, never held.
    let other = control(directory.path()).await;
    let mut blue = other.tenants().await.unwrap().into_iter().find(|tenant| tenant.name.as_str() == "blue").unwrap();
    let at = SystemClock.now();
    blue.policy.disabled = Some(Disabled { since: at, until: Some(at), reason: String::new() });
    blue.policy.contact = Some("seen@blue.example".to_owned());
    blue.version += 1;
    assert!(other.change_tenant(&blue, "elsewhere", at).await.unwrap());
    eventually("seen", async || (tenant(&server, "blue").await["contact"] == "seen@blue.example").then_some(())).await;
    let shown = tenant(&server, "blue").await;
    assert_eq!((&shown["ingesting"], &shown["gaps"]), (&json!(true), &json!([])));
    server.settled("shop", 1).await;
    server.adds_up().await;
}

#[tokio::test]
async fn a_tenant_that_sends_too_much_is_slowed_over_all_its_projects() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let server = Server::start(&config(&provider, "", &PROJECTS.replace("rate = 1.0", "rate = 0.0"))).await;
    let (shop, help) = (key(&server, "shop", &["ingest"]).await, key(&server, "help", &["ingest"]).await);
    let batch = |name: &str| Value::Array((0..1_000).map(|at| item(&format!("{name}-{at}"), "a")).collect());
    assert_eq!(server.send_as(&shop, &batch("free")).await.expect(202)["accepted"], 1_000);
    ask(&server, Method::PATCH, "/v1/tenants/acme", json!({"items_per_second_max": 1})).await.expect(200);
    // A second's burst lets one batch through; what it takes beyond is owed for a quarter of an hour, by every project of the tenant.
    assert_eq!(server.send_as(&shop, &batch("burst")).await.expect(202)["accepted"], 1_000);
    for holder in [&shop, &help] {
        let refused = server.send_as(holder, &item("x", "a")).await;
        refused.retry_after();
        let (code, message) = refused.error(503);
        assert_eq!(code, "rate_limited", "{message}");
        let spans = export(&server, holder, "/v1/traces", &traces(vec![call(3, 1, "a")])).await;
        assert_eq!(spans.status.as_u16(), 503);
        spans.retry_after();
        assert_eq!(status(&spans.body).code, tonic::Code::Unavailable as i32);
    }
    assert_eq!(server.send(&item("other", "a")).await.expect(202)["accepted"], 1, "others are not slowed");
    // Lifted, at once.
    ask(&server, Method::PATCH, "/v1/tenants/acme", json!({"items_per_second_max": null})).await.expect(200);
    assert_eq!(server.send_as(&help, &item("x", "a")).await.expect(202)["accepted"], 1);
    server.settled("shop", 2_000).await;
    server.settled("help", 1).await;
    server.adds_up().await;
}

#[tokio::test]
async fn a_deleted_tenant_stays_as_a_tombstone() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let mut server = Server::start(&config(&provider, "", PROJECTS)).await;
    let shop = key(&server, "shop", &["ingest", "read"]).await;
    assert_eq!(server.send_as(&shop, &item("a", "a 1")).await.expect(202)["accepted"], 1);
    server.settled("shop", 1).await;
    let spent = server.get_as(&shop, "/v1/spend").await.expect(200);
    let gone = ask(&server, Method::DELETE, "/v1/tenants/acme", json!({})).await.expect(200);
    assert!(gone["deleted_at"].is_string() && gone["ingesting"] == false, "{gone}");
    assert_eq!(gone["budget"], json!({"day_usd_max": 0.0, "month_usd_max": 0.0}), "nothing more is paid");
    for round in 0..2 {
        assert_eq!(server.send_as(&shop, &item("b", "a 2")).await.error(403).0, "tenant_disabled");
        for (method, path) in
            [(Method::POST, "/v1/tenants/acme/enable"), (Method::PATCH, "/v1/tenants/acme"), (Method::DELETE, "/v1/tenants/acme")]
        {
            let answer = ask(&server, method, path, json!({"contact": "a@b.c"})).await;
            assert_eq!(answer.error(409).0, "tenant_deleted", "{path}");
        }
        assert_eq!(ask(&server, Method::POST, "/v1/tenants", json!({"name": "acme"})).await.error(409).0, "tenant_exists");
        // What it did stays, and what it spent.
        assert_eq!(server.get_as(&shop, "/v1/outcomes").await.expect(200)["accepted"], 1);
        assert_eq!(server.get_as(&shop, "/v1/spend").await.expect(200)["total"], spent["total"]);
        if round == 0 {
            server.kill();
            server.start_again().await;
        }
    }
    assert_eq!(Answer::of(server.plain(Method::GET, "/v1/tenants/acme").bearer_auth(KEY)).await.status.as_u16(), 200);
    server.adds_up().await;
}
