//! A change of the judge: what is marked, what is judged twice, and what a comparison across it is made of.

use assize_testkit::provider::{Behaviour, FakeProvider, Reply, Request};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, KEY, Server, config, eventually, item, nanos, segment, time};

/// The number that an item ends with.
fn number(request: &Request) -> usize {
    let text = request.item.split("number ").nth(1).unwrap_or_else(|| panic!("{}", request.item));
    text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

/// Three in ten by the old question, five in ten by the new one: the same traffic, a stricter judge.
fn stricter(request: &Request) -> Reply {
    let of_ten = if request.system.contains("How strict") { 5 } else { 3 };
    Reply::score(if number(request) % 10 < of_ten { 1.0 } else { 0.0 })
}

async fn send(server: &Server, first: usize, n: usize, offset_seconds: i64) {
    let at = |i: usize| {
        let mut item = item(&format!("i-{i}"), &format!("number {i}"));
        item["time"] = json!(time(offset_seconds));
        item
    };
    server.accept((first..first + n).map(at).collect()).await;
}

async fn put(server: &Server, metric: &Value) -> Answer {
    let request = server.plain(Method::PUT, "/v1/projects/default/metrics/refusal");
    Answer::of(request.bearer_auth(KEY).json(metric)).await
}

/// Three hours ago against now.
async fn compare(server: &Server) -> Answer {
    let ranges = [("from_a", -4 * 3600), ("to_a", -2 * 3600), ("from_b", -3600), ("to_b", 3600)];
    let query: Vec<String> = ranges.iter().map(|(name, offset)| format!("{name}={}", segment(&time(*offset)))).collect();
    server.get(&format!("/v1/estimates/compare?metric=refusal&{}", query.join("&"))).await
}

/// The bridge once it has this many pairs.
async fn bridge(server: &Server, pairs: u64) -> Value {
    eventually(&format!("a bridge of {pairs} pairs"), async || {
        let bridge = server.get("/v1/projects/default/metrics/refusal/bridge").await.expect(200);
        (bridge["pairs"].as_u64().unwrap() >= pairs).then_some(bridge)
    })
    .await
}

fn number_of(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[tokio::test]
async fn a_change_of_the_question_is_bridged() {
    let provider = FakeProvider::start(Behaviour::with(stricter).usage(1_000, 50)).await.unwrap();
    let mut server = Server::start(&config(&provider, "", "[sampling]\nrate = 1.0\n[report]\nbridge = 100")).await;
    send(&server, 0, 200, -3 * 3600).await;
    server.settled("default", 200).await;
    let before = server.get("/v1/projects/default/metrics/refusal/bridge").await.expect(200);
    assert_eq!((&before["old_version"], &before["pairs"], &before["shift"]), (&json!(null), &json!(0), &json!(null)));
    put(&server, &json!({"question": "How strict are we today?", "cascade": ["words", "gpt"]})).await.expect(201);
    send(&server, 200, 200, 0).await;
    server.settled("default", 400).await;

    let built = bridge(&server, 70).await;
    assert_eq!((&built["asked"], &built["failed"]), (&json!("old"), &json!(0)));
    let estimates = server.get("/v1/estimates?metric=refusal").await.expect(200);
    let breaks = estimates["breaks"].as_array().unwrap();
    assert_eq!((breaks.len(), estimates["groups"].as_array().unwrap().len()), (1, 2), "{estimates}");
    assert_eq!((&breaks[0]["from_version"], &breaks[0]["to_version"]), (&built["old_version"], &built["new_version"]));
    let page = server.get("/?range=24h").await.text();
    assert!(page.contains("class=\"break\"") && page.contains(built["old_version"].as_str().unwrap()));

    let compared = compare(&server).await.expect(200);
    let (a, b) = (number_of(&compared["a"]["estimate"]), number_of(&compared["b"]["estimate"]));
    assert!((a - 0.3).abs() < 1e-9 && (b - 0.5).abs() < 1e-9, "{compared}");
    let limits = |key: &str| ["value", "low", "high"].map(|limit| number_of(&compared[key][limit]));
    let [shift, low, high] = limits("shift");
    assert!(low <= 0.2 && 0.2 <= high && (shift - 0.2).abs() < 0.15, "{compared}");
    let [value, low, high] = limits("difference");
    assert!((value - (0.2 - shift)).abs() < 1e-9 && low <= 0.0 && 0.0 <= high, "the traffic did not change: {compared}");

    // The old version was asked about a part of the new traffic, each once; the money is on record, and in no rate.
    let asked =
        || provider.requests().iter().filter(|request| !request.system.contains("How strict") && number(request) >= 200).count();
    let (asked, built, spend) = eventually("a bridge with all its calls on record", async || {
        let built = bridge(&server, asked() as u64).await;
        let spend = server.get("/v1/spend?group_by=metric").await.expect(200);
        // None is on its way between the three.
        (built["calls"] == json!(asked())).then(|| (asked(), built, spend))
    })
    .await;
    assert!((60..=100).contains(&asked), "{asked} of 200 at a rate of one half, and 100 at the most");
    assert_eq!((&built["calls"], provider.calls_of_one_item_max()), (&json!(asked), 1));
    assert_eq!(nanos(&built["cost_usd"]), asked as u64 * 5_750_000);
    let of = |key: &str| spend["groups"].as_array().unwrap().iter().find(|group| group["key"] == key).unwrap()["calls"].clone();
    assert_eq!((of("bridge.refusal"), of("refusal")), (json!(asked), json!(400)));
    let after = server.get("/v1/estimates?metric=refusal").await.expect(200);
    assert_eq!(after["groups"], estimates["groups"], "what the bridge finds is in no rate");

    // It outlives the process, and nothing is asked twice.
    server.kill();
    server.start_again().await;
    let again = compare(&server).await.expect(200);
    assert_eq!(number_of(&again["bridge_pairs"]), asked as f64);
    server.adds_up().await;
}

#[tokio::test]
async fn without_a_bridge_there_is_no_comparison() {
    let provider = FakeProvider::start(Behaviour::with(stricter)).await.unwrap();
    let server = Server::start(&config(&provider, "", "[sampling]\nrate = 1.0\n[report]\nbridge = 0")).await;
    send(&server, 0, 50, -3 * 3600).await;
    send(&server, 50, 50, -60).await;
    server.settled("default", 100).await;
    let same = compare(&server).await.expect(200);
    assert_eq!((&same["shift"], &same["bridge_pairs"]), (&json!(null), &json!(null)), "one version needs none");
    assert!(number_of(&same["difference"]["value"]).abs() < 1e-9 && number_of(&same["difference"]["high"]) > 0.05, "{same}");
    put(&server, &json!({"question": "How strict are we today?", "cascade": ["words", "gpt"]})).await.expect(201);
    send(&server, 100, 50, 0).await;
    server.settled("default", 150).await;
    let (code, message) = compare(&server).await.error(409);
    assert!(code == "not_comparable" && message.contains("changed within range b"), "{message}");
    // The last hour alone against what came before it, of which the second half is left out.
    let day = |offset: i64| segment(&time(offset));
    let query = format!("from_a={}&to_a={}&from_b={}&to_b={}", day(-14_400), day(-7_200), day(-30), day(3_600));
    let (code, message) = server.get(&format!("/v1/estimates/compare?metric=refusal&{query}")).await.error(409);
    assert_eq!(code, "not_comparable");
    assert!(message.contains("no interaction was judged by both versions") && message.contains("/bridge"), "{message}");
    let (_, message) =
        server.get("/v1/estimates/compare?metric=refusal&from_a=2020-01-01T00:00:00Z&to_a=2020-01-02T00:00:00Z&from_b=2020-01-02T00:00:00Z&to_b=2020-01-03T00:00:00Z").await.error(409);
    assert!(message.contains("nothing is judged in range a"), "{message}");
    assert_eq!(server.get("/v1/estimates/compare?metric=refusal").await.error(400).0, "invalid_parameter");
    server.adds_up().await;
}

#[tokio::test]
async fn where_the_old_version_is_gone_stored_interactions_are_judged_again() {
    let answers = |old_is_there: bool| {
        Behaviour::with(move |request| match request.model.as_str() {
            "gpt-4o-2024-05-13" if !old_is_there => Reply::status(404),
            "gpt-4o-2024-05-13" => Reply::score(if number(request) % 10 < 3 { 1.0 } else { 0.0 }),
            _ => Reply::score(if number(request) % 10 < 5 { 1.0 } else { 0.0 }),
        })
    };
    let provider = FakeProvider::start(answers(true)).await.unwrap();
    let written = config(&provider, "", "[sampling]\nrate = 1.0\n[report]\nbridge = 80");
    let mut server = Server::start(&written).await;
    send(&server, 0, 100, -3 * 3600).await;
    server.settled("default", 100).await;
    server.terminate().await;
    provider.set(answers(false));
    server.configure(&written.replace("gpt-4o-2024-05-13", "gpt-5-mini"));
    server.start_again().await;
    send(&server, 100, 20, 0).await;
    server.settled("default", 120).await;
    let built = bridge(&server, 50).await;
    assert_eq!(built["asked"], "new");
    assert!(built["failed"].as_u64().unwrap() >= 3, "{built}");
    let again = provider.requests().iter().filter(|request| request.model == "gpt-5-mini" && number(request) < 100).count();
    assert!((50..=80).contains(&again), "{again} of 100 stored ones at a rate of 0.8");
    let compared = compare(&server).await.expect(200);
    let [low, high] = ["low", "high"].map(|limit| number_of(&compared["difference"][limit]));
    assert!(low <= 0.0 && 0.0 <= high, "the traffic did not change: {compared}");
    assert!((number_of(&compared["shift"]["value"]) - 0.2).abs() < 0.1, "{compared}");
    server.adds_up().await;
}
