//! Tenants: what an operator lays down for them holds at once, on every way in, and every change is on record.

mod command;
mod ingestion;

use std::path::Path;

use assize_core::control::{Control, Project};
use assize_core::{ProjectName, TenantName, Timestamp};
use assize_testkit::provider::{Behaviour, FakeProvider};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, KEY, Server, config, eventually, item, time};

/// Two projects of one tenant, one of another.
const PROJECTS: &str = "[sampling]\nrate = 1.0\n[[project]]\nname = \"shop\"\ntenant = \"acme\"\n[[project]]\nname = \"help\"\n\
                        tenant = \"acme\"\n[[project]]\nname = \"blue\"";

async fn ask(server: &Server, method: Method, path: &str, body: Value) -> Answer {
    Answer::of(server.plain(method, path).bearer_auth(KEY).json(&body)).await
}

async fn tenant(server: &Server, name: &str) -> Value {
    server.get(&format!("/v1/tenants/{name}")).await.expect(200)
}

async fn key(server: &Server, project: &str, scopes: &[&str]) -> String {
    let request = server.post(&format!("/v1/projects/{project}/keys")).json(&json!({"scopes": scopes}));
    Answer::of(request).await.expect(201)["key"].as_str().unwrap().to_owned()
}

/// The configuration with its control store in a directory that the test can open too.
fn with_control(config: &str, directory: &Path) -> String {
    config.replace("cache = \"\"", &format!("cache = \"\"\ncontrol = \"sqlite:{}\"", directory.display()))
}

async fn control(directory: &Path) -> std::sync::Arc<dyn Control> {
    assize_store::control::open(&format!("sqlite:{}", directory.display())).await.unwrap()
}

#[tokio::test]
async fn a_tenant_is_created_shown_and_changed() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let mut server = Server::start(&config(&provider, "", PROJECTS)).await;
    let names = async |server: &Server, query: &str| {
        let body = server.get(&format!("/v1/tenants{query}")).await.expect(200);
        let names = body["tenants"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned());
        (names.collect::<Vec<_>>().join(" "), body["next"].clone())
    };
    // Those of the projects are there already.
    assert_eq!(names(&server, "").await, ("acme blue default".to_owned(), Value::Null));
    assert_eq!(tenant(&server, "acme").await["projects"], json!(["help", "shop"]));
    let new = json!({"name": "new", "budget": {"day_usd_max": 0.25}, "contact": "ops@new.example", "time_zone": "Europe/Berlin",
        "items_per_second_max": 50, "sampling": {"rate": 0.01}});
    let made = ask(&server, Method::POST, "/v1/tenants", new.clone()).await;
    assert_eq!(made.header("etag"), Some("\"1\""));
    let made = made.expect(201);
    assert_eq!(made["budget"], json!({"day_usd_max": 0.25, "month_usd_max": null}));
    assert_eq!(made["sampling"], json!({"rate": 0.01, "until": null, "in_force": true}));
    assert_eq!((&made["version"], &made["time_zone"], &made["ingesting"]), (&json!(1), &json!("Europe/Berlin"), &json!(true)));
    assert_eq!(ask(&server, Method::POST, "/v1/tenants", new).await.error(409).0, "tenant_exists");
    assert_eq!(names(&server, "?limit=2").await, ("acme blue".to_owned(), json!("blue")));
    assert_eq!(names(&server, "?limit=2&after=blue").await, ("default new".to_owned(), Value::Null));

    // A change of one thing leaves the others; null takes away.
    let path = "/v1/tenants/new";
    let changed = ask(&server, Method::PATCH, path, json!({"contact": null})).await.expect(200);
    assert_eq!((&changed["contact"], &changed["version"]), (&Value::Null, &json!(2)));
    let budget =
        ask(&server, Method::PUT, &format!("{path}/budget"), json!({"month_usd_max": 123456.789000001})).await.expect(200);
    assert_eq!(budget["budget"], json!({"day_usd_max": 0.25, "month_usd_max": 123456.789000001}));
    let lifted = ask(&server, Method::PUT, &format!("{path}/budget"), json!({"day_usd_max": null})).await.expect(200);
    assert_eq!(lifted["budget"], json!({"day_usd_max": null, "month_usd_max": 123456.789000001}));
    let until = time(3_600);
    let sampled = ask(&server, Method::PUT, &format!("{path}/sampling"), json!({"rate": 0.5, "until": until})).await.expect(200);
    assert_eq!(sampled["sampling"], json!({"rate": 0.5, "until": until, "in_force": true}));
    let back = ask(&server, Method::DELETE, &format!("{path}/sampling"), Value::Null).await.expect(200);
    assert_eq!((&back["sampling"], &back["items_per_second_max"], &back["version"]), (&Value::Null, &json!(50), &json!(6)));
    // What changes nothing is no change.
    let same = ask(&server, Method::DELETE, &format!("{path}/sampling"), Value::Null).await.expect(200);
    assert_eq!(same["version"], 6);

    // Whoever did not see the last change changes nothing.
    let stale = server.plain(Method::PATCH, path).bearer_auth(KEY).header("if-match", "\"5\"").json(&json!({"contact": "a@b.c"}));
    assert_eq!(Answer::of(stale).await.error(412).0, "version_conflict");
    let seen = server.plain(Method::PATCH, path).bearer_auth(KEY).header("if-match", "\"6\"").json(&json!({"contact": "a@b.c"}));
    assert_eq!(Answer::of(seen).await.expect(200)["version"], 7);

    for (method, path, body, named) in [
        (Method::PUT, "/v1/tenants/new/budget", r#"{"day_usd_max": -0.01}"#, "negative"),
        (Method::PUT, "/v1/tenants/new/budget", r#"{"day_usd_max": NaN}"#, "the body"),
        (Method::PUT, "/v1/tenants/new/budget", r#"{"day_usd_max": 1e300}"#, "day_usd_max: 1e300 is more dollars"),
        (Method::PUT, "/v1/tenants/new/budget", r#"{"month_usd_max": 0.0000000001}"#, "nine decimals"),
        (Method::PUT, "/v1/tenants/new/budget", r#"{"day_usd_max": "0.25"}"#, "not an amount"),
        (Method::PUT, "/v1/tenants/new/budget", r#"{"day_eur_max": 1}"#, "day_eur_max"),
        (Method::PUT, "/v1/tenants/new/sampling", r#"{"rate": 1.01}"#, "not a probability"),
        (Method::PUT, "/v1/tenants/new/sampling", r#"{"rate": 0.5, "until": "2001-01-01T00:00:00Z"}"#, "over already"),
        (Method::PATCH, "/v1/tenants/new", r#"{"time_zone": "Mars/Olympus"}"#, "Mars/Olympus"),
        (Method::PATCH, "/v1/tenants/new", r#"{"contact": "nobody"}"#, "contact"),
        (Method::PATCH, "/v1/tenants/new", r#"{"items_per_second_max": 0}"#, "disable"),
        (Method::PATCH, "/v1/tenants/new", "[]", "not a JSON object"),
        (Method::POST, "/v1/tenants", r#"{"name": "../etc"}"#, "tenant name"),
        (Method::PUT, "/v1/platform/budget", r#"{"tenant_share_max": 0}"#, "share"),
    ] {
        let request = server.plain(method.clone(), path).bearer_auth(KEY).header("content-type", "application/json").body(body);
        let (_, message) = Answer::of(request).await.error(400);
        assert!(message.contains(named), "{method} {path} {body}: {message}");
    }
    assert_eq!(tenant(&server, "new").await["version"], 7, "what was refused changed nothing");
    assert_eq!(ask(&server, Method::PATCH, "/v1/tenants/none", json!({})).await.error(404).0, "unknown_tenant");

    // On disk.
    let before = tenant(&server, "new").await;
    server.kill();
    server.start_again().await;
    assert_eq!(tenant(&server, "new").await, before);
    server.adds_up().await;
}

#[tokio::test]
async fn the_platform_has_a_budget_too() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let server = Server::start(&config(&provider, "", PROJECTS)).await;
    let path = "/v1/platform/budget";
    let none = json!({"day_usd_max": null, "month_usd_max": null, "tenant_share_max": 0.5, "version": 0});
    assert_eq!(server.get(path).await.expect(200), none);
    let put = ask(&server, Method::PUT, path, json!({"day_usd_max": 500, "tenant_share_max": 0.2})).await;
    assert_eq!(put.header("etag"), Some("\"1\""));
    let expected = json!({"day_usd_max": 500.0, "month_usd_max": null, "tenant_share_max": 0.2, "version": 1});
    assert_eq!(put.expect(200), expected);
    assert_eq!(server.get(path).await.expect(200), expected);
    let stale = server.plain(Method::PUT, path).bearer_auth(KEY).header("if-match", "\"0\"").json(&json!({"day_usd_max": 1}));
    assert_eq!(Answer::of(stale).await.error(412).0, "version_conflict");
    server.adds_up().await;
}

#[tokio::test]
async fn a_budget_below_what_is_spent_is_taken_and_says_so() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let server = Server::start(&config(&provider, "", PROJECTS)).await;
    server.accept(vec![item("a", "an answer")]).await;
    server.settled("default", 1).await;
    assert!(provider.calls() > 0);
    let body = json!({"day_usd_max": 0.000000001, "month_usd_max": 1000});
    let set = ask(&server, Method::PUT, "/v1/tenants/default/budget", body).await.expect(200);
    let warnings = set["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1, "{set}");
    assert!(warnings[0].as_str().unwrap().starts_with("day_usd_max: $0.000000001 is below the $0."), "{set}");
    assert_eq!(tenant(&server, "default").await["budget"]["day_usd_max"], 1e-9);
    let raised = ask(&server, Method::PUT, "/v1/tenants/default/budget", json!({"day_usd_max": 10})).await.expect(200);
    assert_eq!(raised["warnings"], Value::Null);
    server.adds_up().await;
}

#[tokio::test]
async fn a_tenants_key_sees_no_other_tenant_and_changes_none() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let server = Server::start(&config(&provider, "", PROJECTS)).await;
    let (shop, blue) = (key(&server, "shop", &["ingest", "read"]).await, key(&server, "blue", &["read"]).await);
    let own = server.get_as(&shop, "/v1/tenants/acme").await.expect(200);
    assert_eq!(own["projects"], json!(["shop"]), "and no other project of its tenant");
    assert_eq!(server.get_as(&blue, "/v1/tenants/blue").await.expect(200)["name"], "blue");
    // One that is there and one that is not are the same to a stranger.
    let (there, not_there) = (server.get_as(&blue, "/v1/tenants/acme").await, server.get_as(&blue, "/v1/tenants/acne").await);
    assert_eq!(there.error(404).0, "unknown_tenant");
    assert_eq!(there.text().replace("acme", "acne"), not_there.text());
    assert_eq!(server.get_as(&shop, "/v1/tenants/default").await.error(404).0, "unknown_tenant");
    for (method, path) in [
        (Method::GET, "/v1/tenants"),
        (Method::POST, "/v1/tenants"),
        (Method::PATCH, "/v1/tenants/acme"),
        (Method::DELETE, "/v1/tenants/acme"),
        (Method::PUT, "/v1/tenants/acme/budget"),
        (Method::PUT, "/v1/tenants/acme/sampling"),
        (Method::DELETE, "/v1/tenants/acme/sampling"),
        (Method::POST, "/v1/tenants/acme/disable"),
        (Method::POST, "/v1/tenants/acme/enable"),
        (Method::GET, "/v1/platform/budget"),
        (Method::PUT, "/v1/platform/budget"),
        (Method::GET, "/v1/audit"),
    ] {
        let refused = Answer::of(server.plain(method.clone(), path).bearer_auth(&shop).json(&json!({}))).await;
        assert_eq!(refused.error(403).0, "forbidden", "{method} {path}");
        let unknown = Answer::of(server.plain(method.clone(), path).json(&json!({}))).await;
        assert_eq!(unknown.error(401).0, "unauthorized", "{method} {path}");
    }
    assert_eq!(tenant(&server, "acme").await["version"], 1);
    server.adds_up().await;
}

#[tokio::test]
async fn every_change_is_on_record_with_who_and_what() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let mut server = Server::start(&config(&provider, "", PROJECTS)).await;
    server.metrics_change = true;
    let admin = Answer::of(server.post("/v1/projects/default/keys").json(&json!({"scopes": ["admin"]}))).await.expect(201);
    let (id, admin) = (admin["id"].as_str().unwrap(), admin["key"].as_str().unwrap());
    let by = async |method: Method, path: &str, body: Value| {
        let answer = Answer::of(server.plain(method, path).bearer_auth(admin).json(&body)).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.text());
    };
    let start = server.get("/v1/audit").await.expect(200)["entries"][0]["number"].as_u64().unwrap();
    by(Method::POST, "/v1/tenants", json!({"name": "new"})).await;
    by(Method::PUT, "/v1/tenants/new/budget", json!({"day_usd_max": 0.25})).await;
    by(Method::PUT, "/v1/tenants/new/budget", json!({"day_usd_max": 0.5})).await;
    by(Method::PUT, "/v1/projects/late", json!({"tenant": "new"})).await;
    by(Method::POST, "/v1/projects/late/keys", json!({"label": "for the shop"})).await;
    by(Method::PUT, "/v1/projects/late/metrics/rude", json!({"question": "Is it rude?", "cascade": ["gpt"]})).await;
    by(Method::DELETE, "/v1/projects/late/metrics/rude", json!({})).await;
    by(Method::PUT, "/v1/platform/budget", json!({"month_usd_max": 7})).await;
    by(Method::DELETE, "/v1/tenants/new", json!({})).await;

    let body = server.get("/v1/audit?limit=1000").await.expect(200);
    let mut entries = body["entries"].as_array().unwrap().clone();
    entries.reverse();
    let told: Vec<(&str, &str)> = entries[usize::try_from(start).unwrap()..]
        .iter()
        .map(|entry| {
            assert_eq!(entry["by"], id, "{entry}");
            (entry["action"].as_str().unwrap(), entry["subject"].as_str().unwrap().split("key-").next().unwrap())
        })
        .collect();
    assert_eq!(
        told,
        [
            ("tenant.create", "tenant/new"),
            ("tenant.change", "tenant/new"),
            ("tenant.change", "tenant/new"),
            ("project.create", "project/late"),
            ("key.put", "key/"),
            ("metric.put", "metric/late/rude"),
            ("metric.delete", "metric/late/rude"),
            ("platform.change", "platform"),
            ("tenant.delete", "tenant/new"),
        ]
    );
    let second = &entries[usize::try_from(start).unwrap() + 2];
    assert_eq!(
        (&second["before"]["budget"], &second["after"]["budget"]),
        (&json!({"day_max": 250_000_000}), &json!({"day_max": 500_000_000}))
    );
    // Each entry names the one before it, from the first on.
    let mut previous = json!("0".repeat(64));
    for (at, entry) in entries.iter().enumerate() {
        assert_eq!((&entry["number"], &entry["previous"]), (&json!(at + 1), &previous));
        previous = entry["hash"].clone();
    }
    for secret in [admin, KEY] {
        assert!(!body.to_string().contains(secret), "a key is in the log");
    }
    assert_eq!(entries[0]["by"], "configuration");
    // By subject, and by page.
    let page = server.get("/v1/audit?subject=tenant/new&limit=2").await.expect(200);
    let of = |page: &Value| page["entries"].as_array().unwrap().iter().map(|one| one["action"].clone()).collect::<Vec<_>>();
    assert_eq!(of(&page), ["tenant.delete", "tenant.change"]);
    let rest = server.get(&format!("/v1/audit?subject=tenant/new&before={}", page["next"])).await.expect(200);
    assert_eq!((of(&rest), &rest["next"]), (vec![json!("tenant.change"), json!("tenant.create")], &Value::Null));
    server.adds_up().await;
}

#[tokio::test]
async fn what_another_process_changes_holds_here_without_a_restart() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&with_control(&config(&provider, "", PROJECTS), directory.path())).await;
    let other = control(directory.path()).await;
    let mut acme = other.tenants().await.unwrap().into_iter().find(|tenant| tenant.name.as_str() == "acme").unwrap();
    acme.policy.contact = Some("them@acme.example".to_owned());
    acme.version += 1;
    let late = ProjectName::new("late").unwrap();
    let project = Project { name: late, tenant: TenantName::new("late").unwrap(), created_at: Timestamp(1) };
    let asked = std::time::Instant::now();
    assert!(other.change_tenant(&acme, "elsewhere", Timestamp(2)).await.unwrap());
    assert!(other.create_project(&project, "elsewhere").await.unwrap());
    eventually("the change shows", async || (tenant(&server, "acme").await["contact"] == "them@acme.example").then_some(()))
        .await;
    eventually("the project is there", async || {
        (server.get("/v1/outcomes?project=late").await.status.as_u16() == 200).then_some(())
    })
    .await;
    // Half a second is meant; a busy machine gets more.
    assert!(asked.elapsed() < std::time::Duration::from_secs(5), "{:?}", asked.elapsed());
    // Whoever changes it here next changes what is there now.
    let next = ask(&server, Method::PATCH, "/v1/tenants/acme", json!({"items_per_second_max": 9})).await.expect(200);
    assert_eq!((&next["contact"], &next["version"]), (&json!("them@acme.example"), &json!(3)));
    server.adds_up().await;
}
