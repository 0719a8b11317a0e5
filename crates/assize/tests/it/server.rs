//! What surrounds the flow: health, the description of the surface, and the dashboard's doors.

use assize_testkit::provider::{Behaviour, FakeProvider};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, KEY, Server, config, eventually, segment};

/// Every route that a sender or reader may use.
const ROUTES: &[(&str, &str)] = &[
    ("post", "/v1/interactions"),
    ("get", "/v1/interactions"),
    ("get", "/v1/interactions/{id}"),
    ("get", "/v1/estimates"),
    ("get", "/v1/verdicts"),
    ("get", "/v1/outcomes"),
    ("get", "/v1/spend"),
    ("get", "/v1/spend/today"),
    ("get", "/v1/spend/savings"),
    ("get", "/v1/spend/tenants"),
    ("get", "/v1/reviews"),
    ("post", "/v1/reviews"),
    ("get", "/v1/reviews/next"),
    ("get", "/v1/labels"),
    ("post", "/v1/labels"),
    ("get", "/v1/scores"),
    ("post", "/v1/scores"),
    ("get", "/v1/projects/{project}/cache"),
    ("delete", "/v1/projects/{project}/cache"),
    ("get", "/v1/projects"),
    ("put", "/v1/projects/{project}"),
    ("get", "/v1/projects/{project}/keys"),
    ("post", "/v1/projects/{project}/keys"),
    ("delete", "/v1/projects/{project}/keys/{id}"),
    ("get", "/v1/projects/{project}/metrics"),
    ("get", "/v1/projects/{project}/metrics/{metric}"),
    ("put", "/v1/projects/{project}/metrics/{metric}"),
    ("delete", "/v1/projects/{project}/metrics/{metric}"),
    ("get", "/v1/projects/{project}/metrics/{metric}/versions"),
    ("post", "/v1/projects/{project}/metrics/{metric}/dry-run"),
    ("get", "/v1/projects/{project}/metrics/{metric}/bridge"),
    ("get", "/v1/estimates/compare"),
    ("get", "/v1/judges"),
    ("get", "/v1/tenants"),
    ("post", "/v1/tenants"),
    ("get", "/v1/tenants/{name}"),
    ("patch", "/v1/tenants/{name}"),
    ("delete", "/v1/tenants/{name}"),
    ("put", "/v1/tenants/{name}/budget"),
    ("put", "/v1/tenants/{name}/sampling"),
    ("delete", "/v1/tenants/{name}/sampling"),
    ("post", "/v1/tenants/{name}/disable"),
    ("post", "/v1/tenants/{name}/enable"),
    ("get", "/v1/platform/budget"),
    ("put", "/v1/platform/budget"),
    ("get", "/v1/audit"),
    ("post", "/v1/traces"),
    ("post", "/v1/logs"),
    ("post", "/api/public/otel/v1/traces"),
    ("post", "/api/public/otel/v1/logs"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
    ("get", "/openapi.json"),
];

#[tokio::test]
async fn the_description_lists_every_route_and_answers_have_its_shape() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let server = Server::start(&config(&provider, "", "[sampling]\nrate = 1.0")).await;
    for (path, text) in [("/healthz", "ok"), ("/readyz", "ready")] {
        let answer = Answer::of(server.plain(Method::GET, path)).await;
        assert_eq!((answer.status.as_u16(), answer.text().trim()), (200, text));
    }
    let document = Answer::of(server.plain(Method::GET, "/openapi.json")).await.expect(200);
    for (method, path) in ROUTES.iter().copied() {
        assert!(document["paths"][path][method].is_object(), "{method} {path} is not described");
        // What is described is there: whatever it says without a key, it is not "there is nothing".
        let concrete =
            path.replace("{project}", "default").replace("{id}", "x").replace("{metric}", "refusal").replace("{name}", "default");
        let answer = Answer::of(server.plain(method.to_uppercase().parse().unwrap(), &concrete)).await;
        assert!(!matches!(answer.status.as_u16(), 404 | 405), "{method} {path}: {}", answer.status);
    }
    let described: usize = document["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum();
    assert_eq!(described, ROUTES.len(), "a route is described that this test does not know");

    let receipt = server.send(&json!([{"id": "a", "input": "q", "output": "a", "model": "m"}, 7])).await.expect(202);
    server.settled("default", 1).await;
    shaped(&document, "ReceiptBody", &receipt);
    let verdicts = server.get("/v1/verdicts").await.expect(200);
    assert_eq!(verdicts["verdicts"].as_array().unwrap().len(), 1);
    for (schema, path) in [
        ("InteractionView", "/v1/interactions/a"),
        ("InteractionPage", "/v1/interactions"),
        ("EstimatesBody", "/v1/estimates?metric=refusal"),
        ("VerdictPage", "/v1/verdicts"),
        ("OutcomesBody", "/v1/outcomes"),
        ("SpendBody", "/v1/spend?group_by=metric"),
        ("TodayBody", "/v1/spend/today"),
        ("SavingsBody", "/v1/spend/savings"),
        ("TopTenantsBody", "/v1/spend/tenants"),
        ("ProjectsBody", "/v1/projects"),
        ("KeysBody", "/v1/projects/default/keys"),
        ("MetricsBody", "/v1/projects/default/metrics"),
        ("OwnMetricView", "/v1/projects/default/metrics/refusal"),
        ("ChangesBody", "/v1/projects/default/metrics/refusal/versions"),
        ("BridgeBody", "/v1/projects/default/metrics/refusal/bridge"),
        ("JudgesBody", "/v1/judges"),
        ("TenantsBody", "/v1/tenants"),
        ("TenantView", "/v1/tenants/default"),
        ("PlatformBudgetView", "/v1/platform/budget"),
        ("AuditBody", "/v1/audit"),
    ] {
        shaped(&document, schema, &server.get(path).await.expect(200));
    }
    shaped(&document, "ErrorBody", &server.get("/v1/interactions/none").await.expect(404));
    let made = Answer::of(server.post("/v1/projects/default/keys").json(&json!({}))).await.expect(201);
    shaped(&document, "NewKeyBody", &made);
    let group = server.estimate("refusal").await;
    for key in ["key", "estimate", "low", "high", "level", "estimand", "population", "judged", "coverage", "cost_usd"] {
        assert!(!group[key].is_null(), "{key}: {group}");
    }
    server.adds_up().await;
}

/// Whether `value` has what the schema `name` requires, nothing that it does not know, and the types that it says.
fn shaped(document: &Value, name: &str, value: &Value) {
    let schema = &document["components"]["schemas"][name];
    assert!(schema.is_object(), "there is no schema {name}");
    conforms(document, schema, value, name);
}

fn conforms(document: &Value, schema: &Value, value: &Value, place: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        return conforms(document, &document["components"]["schemas"][name], value, place);
    }
    if let Some(parts) = schema["allOf"].as_array() {
        return parts.iter().for_each(|part| conforms(document, part, value, place));
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        if !value.is_null() {
            let choice = choices.iter().find(|choice| choice["type"] != "null").unwrap();
            conforms(document, choice, value, place);
        }
        return;
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().map(|one| one.as_str().unwrap()).collect(),
        _ => return,
    };
    let fits = types.iter().any(|kind| match *kind {
        "null" => value.is_null(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        _ => false,
    });
    assert!(fits, "{place} is {value} and not {types:?}");
    for required in schema["required"].as_array().into_iter().flatten() {
        let key = required.as_str().unwrap();
        assert!(value.get(key).is_some(), "{place} lacks {key}: {value}");
    }
    if let Some(properties) = schema["properties"].as_object() {
        for (key, inner) in properties {
            if let Some(value) = value.get(key) {
                conforms(document, inner, value, &format!("{place}.{key}"));
            }
        }
    }
    for (index, inner) in value.as_array().into_iter().flatten().enumerate() {
        conforms(document, &schema["items"], inner, &format!("{place}[{index}]"));
    }
}

const HOSTILE: &str = "<script>alert('x')</script>\"'&<img src=x onerror=alert(1)>\u{202e}😀";

#[tokio::test]
async fn the_dashboard_needs_the_key_and_shows_hostile_text_as_text() {
    let provider =
        FakeProvider::start(Behaviour::always(assize_testkit::provider::Reply::Score { score: 1.0, reason: HOSTILE.to_owned() }))
            .await
            .unwrap();
    let server = Server::start(&config(&provider, "", "[sampling]\nrate = 1.0")).await;
    let ids = [HOSTILE.to_owned(), "a/b?c#d%2e".to_owned(), "..".to_owned(), " ".to_owned(), "é".repeat(128)];
    let items = ids.iter().map(|id| {
        json!({"id": id, "model": HOSTILE, "input": HOSTILE, "output": HOSTILE, "conversation_id": HOSTILE,
               "system": HOSTILE, "context": [HOSTILE], "tags": {(HOSTILE): HOSTILE}})
    });
    server.accept(items.collect()).await;
    server.settled("default", ids.len() as u64).await;

    Answer::of(server.post("/v1/reviews").json(&json!({"metric": "refusal", "n": 5}))).await.expect(201);
    let fixed = ["/", "/explore", "/explore?outcome=judged&metric=refusal", "/review"];
    let pages: Vec<String> = fixed
        .map(ToOwned::to_owned)
        .into_iter()
        .chain(ids.iter().map(|id| format!("/interactions/{}", segment(id)).replace("/..", "?id=..")))
        .collect();
    for page in &pages {
        let answer = Answer::of(server.plain(Method::GET, page)).await;
        let to = answer.header("location").unwrap_or_default().to_owned();
        assert!(answer.status.is_redirection() && to.starts_with("/login"), "{page}: {} {to}", answer.status);
    }
    let form = Answer::of(server.plain(Method::GET, "/login?next=/explore")).await;
    assert_eq!(form.status.as_u16(), 200);
    assert!(form.text().contains("<form"), "{}", form.text());

    let sign_in = async |key: &str, next: &str| {
        let body = format!("key={}&next={}", segment(key), segment(next));
        let request = server.plain(Method::POST, "/login").header("content-type", "application/x-www-form-urlencoded");
        Answer::of(request.body(body)).await
    };
    let wrong = sign_in("wrong", "/").await;
    assert_eq!((wrong.status.as_u16(), wrong.header("set-cookie")), (401, None));
    let reader =
        Answer::of(server.post("/v1/projects/default/keys").json(&json!({"scopes": ["read", "ingest"]}))).await.expect(201);
    assert_eq!(sign_in(reader["key"].as_str().unwrap(), "/").await.status.as_u16(), 401);
    for (next, expected) in
        [("/explore?metric=refusal", "/explore?metric=refusal"), ("https://evil.example/", "/"), ("//evil.example", "/")]
    {
        let welcome = sign_in(KEY, next).await;
        assert_eq!((welcome.status.as_u16(), welcome.header("location")), (303, Some(expected)), "{next}");
    }
    let cookie = sign_in(KEY, "/").await.header("set-cookie").unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let session = cookie.split(';').next().unwrap().to_owned();
    let browse = async |path: &str| Answer::of(server.plain(Method::GET, path).header("cookie", &session)).await;

    for page in &pages {
        let answer = eventually(page, async || {
            let answer = browse(page).await;
            (answer.status.as_u16() == 200).then_some(answer)
        })
        .await;
        let html = answer.text();
        assert!(html.contains("</html>"), "{page}");
        for raw in ["<script>alert", "<img src=x", "</script>\"'"] {
            assert!(!html.contains(raw), "{page} holds {raw:?} as it was sent");
        }
        let policy = answer.header("content-security-policy").expect("a content security policy");
        assert!(policy.contains("default-src") && !policy.contains("unsafe-inline"), "{policy}");
    }
    let shown = browse(&format!("/interactions/{}", segment(HOSTILE))).await.text();
    assert!(shown.contains("&lt;script&gt;alert"), "the text is shown");
    assert!(browse("/review").await.text().contains("&lt;script&gt;alert"), "and to whoever is to label it");
    // A page that is open is told of what happens.
    let mut live = server.plain(Method::GET, "/events").header("cookie", &session).send().await.unwrap();
    assert_eq!(live.status().as_u16(), 200);
    let told = async |live: &mut reqwest::Response| loop {
        let chunk = live.chunk().await.unwrap().expect("the stream goes on");
        if chunk.starts_with(b"data: changed") {
            return;
        }
    };
    told(&mut live).await;
    server.accept(vec![json!({"id": "while it is open", "input": "q", "output": "a"})]).await;
    told(&mut live).await;
    drop(live);
    for (path, status) in [("/interactions/none", 404), ("/?project=nobodys", 404), ("/explore?score_min=x", 200)] {
        let answer = browse(path).await;
        assert!(answer.status.as_u16() == status || answer.status.as_u16() == 400, "{path}: {}", answer.status);
        assert!(answer.text().contains("</html>"), "{path} is not a page: {}", answer.text());
    }
    let last = session.chars().last().unwrap();
    let forged = session.replace(last, if last == '0' { "1" } else { "0" });
    let answer = Answer::of(server.plain(Method::GET, "/").header("cookie", forged)).await;
    assert!(answer.status.is_redirection(), "a forged session is let in");
    let out = Answer::of(server.plain(Method::POST, "/logout").header("cookie", &session)).await;
    assert!(out.header("set-cookie").unwrap().contains("Max-Age=0"));
    server.adds_up().await;
}
