//! Metrics of a project's own: put by the API, in force at once, kept with every change, tried out before; and what is known of the
//! judges in use.

use assize_testkit::provider::{Behaviour, FakeProvider, Reply};
use reqwest::Method;
use serde_json::{Value, json};

use crate::command::{Files, assize};
use crate::harness::{Answer, KEY, Server, bill, config, item, nanos};

const PROJECTS: &str = "[sampling]\nrate = 1.0\n[[project]]\nname = \"red\"\n[[project]]\nname = \"blue\"";

async fn change(server: &Server, method: Method, project: &str, metric: &str, body: &Value, version: Option<&str>) -> Answer {
    let request = server.plain(method, &format!("/v1/projects/{project}/metrics/{metric}")).bearer_auth(KEY).json(body);
    Answer::of(match version {
        Some(version) => request.header("if-match", version),
        None => request,
    })
    .await
}

async fn put(server: &Server, project: &str, metric: &str, body: &Value) -> Answer {
    change(server, Method::PUT, project, metric, body, None).await
}

async fn accept(server: &Server, project: &str, items: Vec<Value>) {
    let of = |mut item: Value| {
        item["project"] = json!(project);
        item
    };
    server.accept(items.into_iter().map(of).collect()).await;
}

async fn metric_of(server: &Server, project: &str, id: &str, metric: &str) -> Value {
    let shown = server.get(&format!("/v1/interactions/{id}?project={project}")).await.expect(200);
    let found = shown["metrics"].as_array().unwrap().iter().find(|one| one["metric"] == metric).cloned();
    found.unwrap_or_else(|| panic!("{id} is not asked about {metric}: {shown}"))
}

#[tokio::test]
async fn a_metric_is_in_force_as_soon_as_it_is_put() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let mut server = Server::start(&config(&provider, "", PROJECTS)).await;
    server.metrics_change = true;
    accept(&server, "red", vec![item("before", "a 1")]).await;
    server.settled("red", 1).await;
    let old = metric_of(&server, "red", "before", "refusal").await["judge_version"].clone();

    // Two projects with different metrics of one name.
    let red = put(&server, "red", "rude", &json!({"question": "Is it rude to red?", "cascade": ["gpt"]})).await;
    assert_eq!(red.header("etag"), Some("\"1\""));
    let red = red.expect(201);
    assert_eq!((&red["source"], &red["version"], &red["question"]), (&json!("project"), &json!(1), &json!("Is it rude to red?")));
    put(&server, "blue", "rude", &json!({"question": "Is it rude to blue?", "cascade": ["words", "gpt"]})).await.expect(201);
    // In place of the configuration's.
    put(&server, "red", "refusal", &json!({"question": "Does it decline?", "cascade": ["gpt"], "sampling": {"rate": 1.0}}))
        .await
        .expect(201);
    let questions = |text: &str| provider.requests().iter().filter(|request| request.system.contains(text)).count();
    for (project, n) in [("red", 2), ("blue", 1), ("default", 1)] {
        accept(&server, project, vec![item("after", "a 2")]).await;
        server.settled(project, n).await;
    }
    assert_eq!((questions("rude to red"), questions("rude to blue"), questions("Does it decline")), (1, 1, 1));
    assert_eq!(questions("refuse to do what the user asks"), 3, "before in red, and where nothing was changed");
    assert_eq!(provider.calls(), 6);
    let new = metric_of(&server, "red", "after", "refusal").await["judge_version"].clone();
    assert_ne!(old, new);
    assert_eq!(metric_of(&server, "red", "before", "refusal").await["judge_version"], old, "what was accepted before keeps it");
    assert_eq!(metric_of(&server, "default", "after", "refusal").await["judge_version"], old);
    let groups = server.get("/v1/estimates?metric=refusal&project=red").await.expect(200);
    assert_eq!(groups["groups"].as_array().unwrap().len(), 2, "versions are never pooled: {groups}");
    assert!(server.get("/v1/estimates?metric=rude").await.error(404).1.contains("refusal"), "default has no such metric");

    for round in 0..2 {
        let listed = server.get("/v1/projects/red/metrics").await.expect(200);
        let rows: Vec<(&str, &str)> = listed["metrics"]
            .as_array()
            .unwrap()
            .iter()
            .map(|metric| (metric["metric"].as_str().unwrap(), metric["source"].as_str().unwrap()))
            .collect();
        assert_eq!(rows, [("refusal", "project"), ("rude", "project")]);
        let page = server.get("/?project=blue").await.text();
        assert!(page.contains("Is it rude to blue?") && !page.contains("rude to red"));
        if round == 0 {
            server.kill();
            server.start_again().await;
        }
    }
    accept(&server, "blue", vec![item("later", "a 3")]).await;
    server.settled("blue", 2).await;
    assert_eq!(questions("rude to blue"), 2, "it outlives the process");

    // Taken away, the configuration's counts again; every change is on record.
    let gone = change(&server, Method::DELETE, "red", "refusal", &json!({}), None).await;
    assert_eq!(gone.status.as_u16(), 204);
    assert_eq!(change(&server, Method::DELETE, "red", "refusal", &json!({}), None).await.error(404).0, "unknown_metric");
    accept(&server, "red", vec![item("last", "a 4")]).await;
    server.settled("red", 3).await;
    assert_eq!(metric_of(&server, "red", "last", "refusal").await["judge_version"], old);
    let metric = server.get("/v1/projects/red/metrics/refusal").await.expect(200);
    assert_eq!((&metric["source"], &metric["version"]), (&json!("configuration"), &json!(2)));
    let versions = server.get("/v1/projects/red/metrics/refusal/versions").await.expect(200);
    let seen: Vec<(u64, bool)> = versions["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["version"].as_u64().unwrap(), one["definition"].is_null()))
        .collect();
    assert_eq!(seen, [(2, true), (1, false)], "{versions}");
    assert_eq!(versions["versions"][1]["definition"]["question"], "Does it decline?");
    assert!(versions["versions"][1]["changed_by"].as_str().unwrap().starts_with("key-"), "{versions}");
    server.adds_up().await;
}

#[tokio::test]
async fn an_item_keeps_the_metric_that_it_was_accepted_under() {
    let provider = FakeProvider::start(Behaviour::always(Reply::Hang)).await.unwrap();
    let mut server = Server::start(&config(&provider, "timeout_seconds = 60", PROJECTS)).await;
    put(&server, "red", "rude", &json!({"question": "Is it rude?", "cascade": ["gpt"]})).await.expect(201);
    accept(&server, "red", vec![item("waits", "a")]).await;
    crate::harness::eventually("both questions asked", async || (provider.calls() == 2).then_some(())).await;
    put(&server, "red", "rude", &json!({"question": "Is it polite?", "cascade": ["gpt"]})).await.expect(200);
    server.kill();
    provider.set(Behaviour::score(1.0));
    server.start_again().await;
    server.settled("red", 1).await;
    let asked: Vec<_> = provider.requests();
    assert!(asked.iter().all(|request| !request.system.contains("Is it polite?")));
    assert_eq!(asked.iter().filter(|request| request.system.contains("Is it rude?")).count(), 2);
    let version = metric_of(&server, "red", "waits", "rude").await["judge_version"].clone();
    assert_ne!(version, server.get("/v1/projects/red/metrics/rude").await.expect(200)["judge_version"]);
    server.adds_up().await;
}

#[tokio::test]
async fn what_is_no_metric_is_refused_in_the_words_of_the_file() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let server = Server::start(&config(&provider, "", PROJECTS)).await;
    for (body, part) in [
        (json!({}), "missing key `cascade`"),
        (json!([]), "is not a JSON object"),
        (json!({"cascade": []}), "`cascade` is empty"),
        (json!({"cascade": ["gpt"], "questions": "?"}), "unknown key `questions`"),
        (json!({"cascade": ["nobody"]}), "names the judge \"nobody\", which is not configured"),
        (json!({"cascade": ["gpt", "words"]}), "put free judges first"),
        (json!({"cascade": ["gpt", "gpt"]}), "twice"),
        (json!({"cascade": ["gpt"], "sampling": {"rate": 2.0}}), "sampling."),
        (json!({"cascade": ["gpt"], "question": " "}), "`question` is empty"),
        (json!({"cascade": ["builtin:nosuch"]}), "no built-in rules of that name"),
        (json!({"cascade": [{"judge": "gpt", "kind": "command", "command": ["id"]}]}), "expected the name of a judge"),
        (json!({"name": "other", "cascade": ["gpt"]}), "`name` differs"),
    ] {
        let (code, message) = put(&server, "red", "m", &body).await.error(400);
        assert_eq!(code, "invalid_metric", "{message}");
        assert!(message.starts_with("[[metric]] \"m\": ") && message.contains(part), "{body}: {message}");
    }
    let good = json!({"question": "Is it rude?", "cascade": ["gpt"]});
    assert_eq!(put(&server, "red", "a%20b", &good).await.error(400).0, "invalid_parameter");
    assert_eq!(put(&server, "green", "m", &good).await.error(404).0, "unknown_project");
    let large = json!({"question": "x".repeat(70_000), "cascade": ["gpt"]});
    assert_eq!(put(&server, "red", "m", &large).await.error(413).0, "body_too_large");
    assert_eq!(server.get("/v1/projects/red/metrics/m").await.error(404).0, "unknown_metric");

    // Whoever has not seen the last change changes nothing.
    let at = async |version: &str| change(&server, Method::PUT, "red", "m", &good, Some(version)).await;
    at("\"0\"").await.expect(201);
    let (code, message) = at("\"0\"").await.error(412);
    assert!(code == "version_conflict" && message.contains("at version 1"), "{message}");
    at("1").await.expect(200);
    assert_eq!(at("latest").await.error(400).0, "invalid_parameter");
    assert_eq!(change(&server, Method::DELETE, "red", "m", &json!({}), Some("1")).await.error(412).0, "version_conflict");
    for n in 1..50 {
        put(&server, "red", &format!("m-{n}"), &good).await.expect(201);
    }
    assert_eq!(put(&server, "red", "m-50", &good).await.error(400).0, "too_many_metrics");
    assert_eq!(provider.calls(), 0);
    server.adds_up().await;
}

#[tokio::test]
async fn a_metric_whose_judge_is_gone_is_not_in_force_and_says_so() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let judge = "[[judge]]\nname = \"own\"\nkind = \"chat\"\nprovider = \"fake\"\nmodel = \"mini\"\nprice = \"free\"\n";
    let mut server = Server::start(&config(&provider, "", &format!("{judge}{PROJECTS}"))).await;
    put(&server, "red", "rude", &json!({"question": "Is it rude?", "cascade": ["own"]})).await.expect(201);
    put(&server, "red", "kind", &json!({"question": "Is it kind?", "cascade": ["gpt"]})).await.expect(201);
    server.terminate().await;
    server.configure(&config(&provider, "", PROJECTS));
    server.start_again().await;
    let rude = server.get("/v1/projects/red/metrics/rude").await.expect(200);
    assert_eq!(rude["in_force"], false);
    assert!(rude["problem"].as_str().unwrap().contains("\"own\", which is not configured"), "{rude}");
    accept(&server, "red", vec![item("a", "a")]).await;
    server.settled("red", 1).await;
    let asked: Vec<String> = provider.requests().iter().map(|request| request.system.clone()).collect();
    assert!(asked.iter().any(|system| system.contains("Is it kind?")) && asked.len() == 2, "the other one is: {asked:?}");
    assert!(server.log().contains("not in force"), "{}", server.log());
    server.adds_up().await;
}

#[tokio::test]
async fn a_dry_run_says_what_it_costs_and_leaves_rates_alone() {
    let provider = FakeProvider::start(Behaviour::score(1.0).usage(1_000, 50)).await.unwrap();
    let server = Server::start(&config(&provider, "", "[sampling]\nrate = 0.5\nreserve = 1.0")).await;
    server.accept((0..30).map(|i| item(&format!("i-{i}"), &format!("answer {i}"))).collect()).await;
    server.settled("default", 30).await;
    let (before, calls, paid) = (server.estimate("refusal").await, provider.calls(), bill(&provider));
    let spent = server.get("/v1/spend").await.expect(200)["total"].clone();
    assert_eq!(nanos(&spent["cost_usd"]), paid);

    let candidate = json!({"question": "Does it decline?", "cascade": ["words", "gpt"], "sampling": {"rate": 0.2}});
    let path = "/v1/projects/default/metrics/refusal/dry-run";
    let run = Answer::of(server.post(path).json(&candidate)).await.expect(200);
    assert_eq!((run["items"].as_array().unwrap().len(), &run["calls"]), (20, &json!(20)), "{run}");
    assert_eq!(provider.calls() - calls, 20);
    assert_eq!(nanos(&run["cost_usd"]), bill(&provider) - paid);
    assert!(provider.last_request().unwrap().system.contains("Does it decline?"));
    for tried in run["items"].as_array().unwrap() {
        let said = &tried["judges"][1];
        assert_eq!((&said["judge"], &said["score"], &said["probability"]), (&json!("gpt"), &json!(1.0), &json!(0.2)), "{tried}");
        assert_eq!((&tried["judges"][0]["judge"], nanos(&said["cost_usd"])), (&json!("words"), 5_750_000));
    }
    // A fifth of the interactions at $0.00575 each; thirty came within the day.
    assert!((run["estimated_usd_per_1000"].as_f64().unwrap() - 1.15).abs() < 1e-9, "{run}");
    assert!((run["estimated_usd_per_month"].as_f64().unwrap() - 0.00115 * 900.0).abs() < 1e-9, "{run}");
    assert_eq!(run["traffic"], json!({"interactions": 30, "days": 1}));

    assert_eq!(server.estimate("refusal").await, before, "no rate counts it");
    assert_eq!(server.get("/v1/verdicts?limit=1000").await.expect(200)["verdicts"].as_array().unwrap().len() as u64, calls);
    let spend = server.get("/v1/spend?group_by=metric").await.expect(200);
    let of = |key: &str| spend["groups"].as_array().unwrap().iter().find(|group| group["key"] == key).cloned().unwrap();
    assert_eq!(nanos(&of("dry-run.refusal")["cost_usd"]), bill(&provider) - paid, "the money is on record");
    assert_eq!(nanos(&of("refusal")["cost_usd"]), paid);
    let again = Answer::of(server.post(path).json(&candidate)).await.expect(200);
    let ids = |run: &Value| run["items"].as_array().unwrap().iter().map(|item| item["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&again), ids(&run), "the same ones again");

    let wrong = json!({"cascade": ["nobody"]});
    assert_eq!(Answer::of(server.post(path).json(&wrong)).await.error(400).0, "invalid_metric");
    assert_eq!(server.get("/v1/projects/default/metrics/refusal").await.expect(200)["version"], 0, "nothing was put in force");

    // One at a time.
    provider.set(Behaviour::score(1.0).latency(std::time::Duration::from_millis(500)));
    let both =
        futures::future::join(Answer::of(server.post(path).json(&candidate)), Answer::of(server.post(path).json(&candidate)));
    let (one, other) = both.await;
    let statuses = [one.status.as_u16(), other.status.as_u16()];
    assert!(statuses == [200, 409] || statuses == [409, 200], "{statuses:?}");
    server.adds_up().await;
}

/// A verdict of a model that calls itself `model`.
fn answered_by(model: &str) -> Reply {
    let body = json!({"id": "x", "object": "chat.completion", "model": model, "choices": [{"index": 0, "finish_reason": "stop",
        "message": {"role": "assistant", "content": "{\"score\": 1, \"reason\": \"r\"}"}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}});
    Reply::Raw {
        status: 200,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: body.to_string().into_bytes(),
    }
}

#[tokio::test]
async fn another_model_under_the_same_name_is_noticed() {
    let provider = FakeProvider::start(Behaviour::always(answered_by("gpt-4o-2024-05-13"))).await.unwrap();
    let mut server = Server::start(&config(&provider, "", PROJECTS)).await;
    let judge = async |server: &Server| {
        let judges = server.get("/v1/judges").await.expect(200);
        let judge = judges["judges"].as_array().unwrap().iter().find(|judge| judge["judge"] == "gpt").cloned();
        judge.unwrap_or_else(|| panic!("{judges}"))
    };
    server.accept(vec![item("a", "a")]).await;
    server.settled("default", 1).await;
    let before = judge(&server).await;
    assert_eq!((&before["part"], &before["answered_model"]), (&json!("reference"), &json!("gpt-4o-2024-05-13")));
    assert_eq!(
        (&before["drift"], &before["price"]["input"], &before["price"]["output"]),
        (&json!(null), &json!(5.0), &json!(15.0))
    );
    server.kill();
    server.start_again().await;
    provider.set(Behaviour::always(answered_by("gpt-4o-2030-01-01")));
    server.accept((0..20).map(|i| item(&format!("b-{i}"), &format!("b {i}"))).collect()).await;
    server.settled("default", 21).await;
    let after = judge(&server).await;
    assert_eq!((&after["drift"]["from"], &after["drift"]["to"]), (&json!("gpt-4o-2024-05-13"), &json!("gpt-4o-2030-01-01")));
    assert_eq!((&after["version"], &after["answered_model"]), (&before["version"], &json!("gpt-4o-2030-01-01")));
    assert_eq!(server.log().matches("another model answers under the same name").count(), 1, "said once");
    assert_eq!(server.counter("assize_judge_models_drifted_total").await, 1);
    assert!(server.get("/").await.text().contains("the same name, another model"));
    server.adds_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_asks_the_same() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let server = Server::start(&config(&provider, "", PROJECTS)).await;
    accept(&server, "red", vec![item("a", "a")]).await;
    server.settled("red", 1).await;
    let files = Files::new();
    files.write("rude.json", r#"{"question": "Is it rude?", "cascade": ["gpt"]}"#);
    files.write("rude.toml", "question = \"Is it very rude?\"\ncascade = [\"gpt\"]\n");
    let metric = |arguments: &[&str]| {
        let command = assize(["metric"].iter().chain(arguments).copied()).within(files.path());
        command.env("ASSIZE_KEY", KEY).env("ASSIZE_URL", &server.url).option("--project", "red")
    };
    let tried = metric(&["dry-run", "rude", "rude.json"]).run().await.code(0);
    assert!(tried.stdout.contains("1.00  gpt") && tried.stdout.contains("per 1,000 interactions"), "{}", tried.stdout);
    metric(&["put", "rude", "rude.json", "--if-version", "0"]).run().await.code(0);
    metric(&["put", "rude", "rude.json", "--if-version", "0"]).run().await.code(2).says(&["at version 1, not 0"]);
    let put = metric(&["put", "rude", "rude.toml"]).run().await.code(0);
    assert_eq!(put.stdout, "rude\tproject 2\tgpt\tIs it very rude?\n");
    let listed = metric(&["list"]).run().await.code(0);
    assert_eq!(listed.stdout.lines().count(), 2, "{}", listed.stdout);
    metric(&["delete", "rude"]).run().await.code(0);
    assert_eq!(metric(&["list"]).run().await.code(0).stdout.lines().count(), 1);
    server.adds_up().await;
}
