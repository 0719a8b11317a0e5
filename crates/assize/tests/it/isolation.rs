//! Nothing of one project is visible to another, and a key allows what its scopes say and no more.

use assize_testkit::provider::{Behaviour, FakeProvider};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, KEY, Server, config, item};

const PROJECTS: &str = "[sampling]\nrate = 1.0\n[[project]]\nname = \"red\"\n[[project]]\nname = \"blue\"";

async fn key(server: &Server, project: &str, scopes: &[&str]) -> (String, String) {
    let request = server.post(&format!("/v1/projects/{project}/keys")).json(&json!({"scopes": scopes, "label": "test"}));
    let made = Answer::of(request).await.expect(201);
    let part = |name: &str| made[name].as_str().unwrap().to_owned();
    (part("id"), part("key"))
}

async fn listed(server: &Server, key: &str, path: &str) -> Value {
    server.get_as(key, path).await.expect(200)
}

#[tokio::test]
async fn two_projects_see_nothing_of_each_other() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let server = Server::start(&config(&provider, "", PROJECTS)).await;
    let scopes = ["ingest", "read"];
    let (_, red) = key(&server, "red", &scopes).await;
    let (blue_id, blue) = key(&server, "blue", &scopes).await;

    // The same id in both is two interactions.
    for (holder, text) in [(&red, "red text"), (&blue, "blue text")] {
        let receipt =
            server.send_as(holder, &json!([item("shared", text), item(&format!("only {text}"), &format!("{text}, only"))])).await;
        assert_eq!(receipt.expect(202)["accepted"], 2);
    }
    // Naming the other's project is refused, whatever else is in the batch; so is a project that does not exist, in the same words.
    let foreign = json!([{"id": "x", "project": "blue", "input": "q", "output": "a"},
                         {"id": "y", "project": "green", "input": "q", "output": "a"},
                         {"id": "z", "project": "red", "input": "q", "output": "red text"}]);
    let receipt = server.send_as(&red, &foreign).await.expect(202);
    assert_eq!((&receipt["accepted"], receipt["rejected"].as_array().unwrap().len()), (&json!(1), 2));
    let told = |at: usize| receipt["rejected"][at]["error"]["message"].as_str().unwrap().to_owned();
    assert_eq!(told(0).replace("blue", "green"), told(1));
    assert_eq!(receipt["rejected"][0]["error"]["code"], "unknown_project");
    server.settled("red", 3).await;
    server.settled("blue", 2).await;

    for path in [
        "/v1/interactions",
        "/v1/interactions/shared",
        "/v1/verdicts",
        "/v1/estimates?metric=refusal",
        "/v1/estimates?metric=refusal&group_by=model",
        "/v1/outcomes",
        "/v1/spend",
        "/v1/spend?group_by=metric",
        "/v1/spend/savings",
        "/v1/judges",
    ] {
        let own = listed(&server, &red, path).await;
        assert!(!own.to_string().contains("blue"), "{path}: {own}");
        let joint = if path.contains('?') { '&' } else { '?' };
        assert_eq!(listed(&server, &red, &format!("{path}{joint}project=red")).await.to_string().len(), own.to_string().len());
        for other in ["blue", "green", "default"] {
            let answer = server.get_as(&red, &format!("{path}{joint}project={other}")).await;
            assert_eq!(answer.error(404).0, "unknown_project", "{path} of {other}");
        }
    }
    assert_eq!(listed(&server, &red, "/v1/outcomes").await["accepted"], 3);
    assert_eq!(listed(&server, &blue, "/v1/outcomes").await["accepted"], 2);
    assert_eq!(listed(&server, &red, "/v1/estimates?metric=refusal").await["groups"][0]["population"], 3);
    assert_eq!(listed(&server, &red, "/v1/spend").await["total"]["calls"], 3);
    assert_eq!(listed(&server, &blue, "/v1/spend").await["total"]["calls"], 2);
    assert_eq!(listed(&server, &red, "/v1/verdicts").await["verdicts"].as_array().unwrap().len(), 3);
    let shared = listed(&server, &blue, "/v1/interactions/shared").await;
    assert_eq!(shared["payload"]["output"][0]["content"], "blue text");
    assert_eq!(server.get_as(&red, "/v1/interactions/only%20blue%20text").await.error(404).0, "unknown_interaction");

    // A page's cursor of one project opens nothing of another.
    let page = listed(&server, &blue, "/v1/interactions?limit=1").await;
    let cursor = crate::harness::segment(page["next"].as_str().unwrap());
    let crossed = server.get_as(&red, &format!("/v1/interactions?limit=10&cursor={cursor}")).await;
    assert!(!crossed.text().contains("blue"), "{}", crossed.text());

    for (method, path) in [
        (Method::GET, "/v1/projects".to_owned()),
        (Method::GET, "/v1/projects/blue/keys".to_owned()),
        (Method::POST, "/v1/projects/blue/keys".to_owned()),
        (Method::POST, "/v1/projects/red/keys".to_owned()),
        (Method::PUT, "/v1/projects/green".to_owned()),
        (Method::DELETE, format!("/v1/projects/blue/keys/{blue_id}")),
        (Method::PUT, "/v1/projects/red/metrics/refusal".to_owned()),
        (Method::DELETE, "/v1/projects/red/metrics/refusal".to_owned()),
        (Method::POST, "/v1/projects/red/metrics/refusal/dry-run".to_owned()),
    ] {
        let answer = Answer::of(server.plain(method.clone(), &path).bearer_auth(&red)).await;
        assert_eq!(answer.error(403).0, "forbidden", "{method} {path}");
    }
    // An admin's key names the project under which a key is revoked.
    let crossed = Answer::of(server.plain(Method::DELETE, &format!("/v1/projects/red/keys/{blue_id}")).bearer_auth(KEY)).await;
    assert_eq!(crossed.error(404).0, "unknown_key");
    assert_eq!(server.get_as(&blue, "/v1/outcomes").await.status.as_u16(), 200);
    server.adds_up().await;
}

#[tokio::test]
async fn a_key_allows_its_scopes_until_it_is_revoked() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let mut server = Server::start(&config(&provider, "", PROJECTS)).await;
    let (_, ingest) = key(&server, "red", &["ingest"]).await;
    let (_, read) = key(&server, "red", &["read"]).await;
    let (_, admin) = key(&server, "red", &["admin"]).await;
    let (both_id, both) = key(&server, "red", &["ingest", "read"]).await;

    let send = async |server: &Server, key: &str, id: &str| server.send_as(key, &item(id, &format!("answer {id}"))).await;
    assert_eq!(send(&server, &ingest, "1").await.expect(202)["accepted"], 1);
    assert_eq!(send(&server, &both, "2").await.expect(202)["accepted"], 1);
    assert_eq!(send(&server, &admin, "3").await.expect(202)["accepted"], 1);
    let (code, message) = send(&server, &read, "4").await.error(403);
    assert_eq!(code, "forbidden");
    assert!(message.contains("ingest") && !message.contains(&read), "{message}");
    assert_eq!(server.get_as(&ingest, "/v1/outcomes").await.error(403).0, "forbidden");
    for key in [&read, &both, &admin] {
        assert_eq!(server.get_as(key, "/v1/outcomes").await.status.as_u16(), 200);
    }
    for key in [&read, &ingest, &both] {
        assert_eq!(server.get_as(key, "/v1/projects").await.error(403).0, "forbidden");
    }
    assert_eq!(server.get_as(&admin, "/v1/projects").await.status.as_u16(), 200);

    // The listing shows everything about the keys but themselves.
    let keys = server.get("/v1/projects/red/keys").await.expect(200);
    assert_eq!(keys["keys"].as_array().unwrap().len(), 4, "{keys}");
    for secret in [&ingest, &read, &admin, &both] {
        assert!(!keys.to_string().contains(secret.as_str()));
        assert!(!server.log().contains(secret.as_str()), "a key is in the log");
    }

    let revoke = async |server: &Server| {
        Answer::of(server.plain(Method::DELETE, &format!("/v1/projects/red/keys/{both_id}")).bearer_auth(KEY)).await
    };
    assert_eq!(revoke(&server).await.status.as_u16(), 204);
    // A call that is under way at the crash would be made again after it.
    server.settled("red", 3).await;
    for round in 0..2 {
        assert_eq!(send(&server, &both, "5").await.error(401).0, "unauthorized");
        assert_eq!(server.get_as(&both, "/v1/outcomes").await.error(401).0, "unauthorized");
        assert_eq!(revoke(&server).await.error(404).0, "unknown_key", "revoked twice");
        if round == 0 {
            server.kill();
            server.start_again().await;
        }
    }
    assert_eq!(send(&server, &ingest, "6").await.expect(202)["accepted"], 1);
    server.settled("red", 4).await;
    assert_eq!(provider.calls(), 4, "for the four that were accepted, and no other");
    server.adds_up().await;
}

#[tokio::test]
async fn without_a_valid_key_there_is_nothing_but_the_way_to_send_one() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let server = Server::start(&config(&provider, "", PROJECTS)).await;
    let routes = [
        (Method::POST, "/v1/interactions"),
        (Method::GET, "/v1/interactions"),
        (Method::GET, "/v1/interactions/x"),
        (Method::GET, "/v1/estimates?metric=refusal"),
        (Method::GET, "/v1/verdicts"),
        (Method::GET, "/v1/outcomes"),
        (Method::GET, "/v1/spend"),
        (Method::GET, "/v1/spend/today"),
        (Method::GET, "/v1/spend/savings"),
        (Method::GET, "/v1/spend/tenants"),
        (Method::GET, "/v1/projects"),
        (Method::PUT, "/v1/projects/red"),
        (Method::GET, "/v1/projects/red/keys"),
        (Method::POST, "/v1/projects/red/keys"),
        (Method::DELETE, "/v1/projects/red/keys/x"),
        (Method::GET, "/v1/projects/red/metrics"),
        (Method::GET, "/v1/projects/red/metrics/x"),
        (Method::PUT, "/v1/projects/red/metrics/x"),
        (Method::DELETE, "/v1/projects/red/metrics/x"),
        (Method::GET, "/v1/projects/red/metrics/x/versions"),
        (Method::POST, "/v1/projects/red/metrics/x/dry-run"),
        (Method::GET, "/v1/judges"),
        (Method::POST, "/v1/traces"),
        (Method::POST, "/v1/logs"),
        (Method::POST, "/api/public/otel/v1/traces"),
    ];
    let wrong = [
        None,
        Some("Bearer wrong".to_owned()),
        Some("Bearer ".to_owned()),
        Some(format!("Bearer {KEY}x")),
        Some(format!("Digest {KEY}")),
        Some("Basic !!!".to_owned()),
        Some(KEY.to_owned()),
    ];
    for (method, path) in routes {
        for authorization in &wrong {
            let mut request = server.plain(method.clone(), path).header("content-type", "application/json").body("[]");
            if let Some(value) = authorization {
                request = request.header("authorization", value);
            }
            let answer = Answer::of(request).await;
            assert_eq!(answer.status.as_u16(), 401, "{method} {path} with {authorization:?}: {}", answer.text());
            let challenge = answer.header("www-authenticate").unwrap_or_else(|| panic!("{method} {path}: no WWW-Authenticate"));
            assert!(challenge.contains("Bearer") && challenge.contains("Basic"), "{challenge}");
            assert!(!answer.text().contains(KEY));
        }
    }
    // A sender of much hears it too, and not a broken pipe.
    for path in ["/v1/interactions", "/v1/traces"] {
        let request = server.plain(Method::POST, path).bearer_auth("wrong").header("content-type", "application/json");
        assert_eq!(Answer::of(request.body(vec![b' '; 8_000_000])).await.status.as_u16(), 401, "{path}");
    }
    // The key is good in every form that senders have for it.
    for (user, password) in [("pk-lf-anything", Some(KEY)), (KEY, None)] {
        let request = server.plain(Method::GET, "/v1/outcomes").basic_auth(user, password);
        assert_eq!(Answer::of(request).await.expect(200)["accepted"], 0);
    }
    server.adds_up().await;
}
