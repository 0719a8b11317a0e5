//! What judging gives and costs: verdicts, calls, money to the nano-dollar, and an outcome for everything.

use std::time::Duration;

use assize_testkit::provider::{Behaviour, FakeProvider, Reply, Request};
use serde_json::{Value, json};

use crate::harness::{KEY, Server, bill, config, count, eventually, item, nanos};

#[tokio::test]
async fn verdicts_and_costs_are_those_of_the_provider() {
    // The usage differs from item to item, so that a sum that were right by luck would have to be very lucky.
    let provider =
        FakeProvider::start(Behaviour::with(
            |request: &Request| {
                if request.item.contains("yes") { Reply::score(1.0) } else { Reply::score(0.2) }
            },
        ))
        .await
        .unwrap();
    let server = Server::start(&config(&provider, "", "[sampling]\nrate = 1.0")).await;
    let answers: Vec<(String, String)> = (0..120)
        .map(|i| (format!("i-{i}"), format!("{} {}", if i % 3 == 0 { "yes" } else { "no" }, "and so on ".repeat(i))))
        .collect();
    server.accept(answers.iter().map(|(id, text)| item(id, text)).collect()).await;
    let counts = server.settled("default", 120).await;
    assert_eq!(count(&counts, "refusal", "judged"), 120);
    assert_eq!((provider.calls(), provider.calls_of_one_item_max()), (120, 1));

    let group = server.estimate("refusal").await;
    let rate = 40.0 * 1.0 / 120.0 + 80.0 * 0.2 / 120.0;
    for key in ["estimate", "low", "high"] {
        assert!((group[key].as_f64().unwrap() - rate).abs() < 1e-12, "{key}: {group}");
    }
    assert_eq!((&group["population"], &group["judged"], &group["coverage"]), (&json!(120), &json!(120), &json!(1.0)));
    assert_eq!(nanos(&group["cost_usd"]), bill(&provider));
    let spend = server.get("/v1/spend?group_by=metric").await.expect(200);
    assert_eq!(nanos(&spend["total"]["cost_usd"]), bill(&provider));
    assert_eq!((&spend["total"]["calls"], &spend["total"]["failed_calls"]), (&json!(120), &json!(0)));
    let (input, output) = provider.billed();
    assert_eq!((&spend["total"]["input_tokens"], &spend["total"]["output_tokens"]), (&json!(input), &json!(output)));
    assert_eq!(spend["groups"][0]["key"], "refusal");

    let verdicts = server.all("verdicts", "").await;
    assert_eq!(verdicts.len(), 120);
    let mut cost = 0;
    for verdict in &verdicts {
        let id = verdict["interaction_id"].as_str().unwrap();
        let text = &answers.iter().find(|(known, _)| known == id).unwrap().1;
        assert_eq!(verdict["score"], if text.starts_with("yes") { 1.0 } else { 0.2 }, "{id}");
        assert_eq!((&verdict["reason"], &verdict["simulated"]), (&json!("as told"), &json!(false)));
        assert_eq!(verdict["is_reference"], true);
        let of_tokens = verdict["input_tokens"].as_u64().unwrap() * 5_000 + verdict["output_tokens"].as_u64().unwrap() * 15_000;
        assert_eq!(nanos(&verdict["cost_usd"]), of_tokens);
        cost += of_tokens;
    }
    assert_eq!(cost, bill(&provider));
    assert_eq!(server.all("verdicts", "score_min=0.5").await.len(), 40);
    assert_eq!(server.all("interactions", "metric=refusal&score_max=0.5").await.len(), 80);
    server.adds_up().await;
}

#[tokio::test]
async fn a_call_without_usage_costs_unknown_and_not_nothing() {
    let message = json!({"role": "assistant", "content": json!({"reason": "as told", "score": 1.0}).to_string()});
    let choices = json!([{"index": 0, "message": message, "finish_reason": "stop"}]);
    let body = json!({"object": "chat.completion", "model": "gpt-4o-2024-05-13", "choices": choices}).to_string().into_bytes();
    let reply = Reply::Raw { status: 200, headers: vec![("content-type".to_owned(), "application/json".to_owned())], body };
    let provider = FakeProvider::start(Behaviour::always(reply)).await.unwrap();
    let server = Server::start(&config(&provider, "", "[sampling]\nrate = 1.0")).await;
    server.accept(vec![item("a", "b")]).await;
    server.settled("default", 1).await;
    let shown = server.interaction("a").await;
    assert_eq!(shown["metrics"][0]["verdicts"][0]["cost_usd"], Value::Null);
    let group = server.estimate("refusal").await;
    assert_eq!((&group["cost_usd"], &group["cost_unknown_calls"], &group["estimate"]), (&Value::Null, &json!(1), &json!(1.0)));
    let total = server.get("/v1/spend").await.expect(200)["total"].clone();
    assert_eq!((&total["cost_usd"], &total["cost_unknown_calls"], &total["calls"]), (&Value::Null, &json!(1), &json!(1)));
    server.adds_up().await;
}

/// What the provider does to an item whose answer names the trouble.
fn troubles(request: &Request) -> Reply {
    type Trouble = (&'static str, fn() -> Reply);
    const TROUBLES: [Trouble; 10] = [
        ("trouble:prose", || Reply::content("The assistant does not refuse. I'd say 0.1.")),
        ("trouble:half", || Reply::content("{\"score\": 0.9, \"rea")),
        ("trouble:seven", || Reply::content("{\"score\": 7, \"reason\": \"very\"}")),
        ("trouble:nothing", || Reply::content("")),
        ("trouble:429", || Reply::status(429)),
        ("trouble:500", || Reply::status(500)),
        ("trouble:401", || Reply::status(401)),
        ("trouble:hang", || Reply::Hang),
        ("trouble:midway", || Reply::HangInBody),
        ("trouble:broken", || Reply::Break),
    ];
    TROUBLES.iter().find(|(name, _)| request.item.contains(name)).map_or(Reply::score(1.0), |(_, reply)| reply())
}

#[tokio::test]
async fn a_judge_that_cannot_be_had_fails_with_a_reason_and_holds_nobody_up() {
    let provider = FakeProvider::start(Behaviour::with(troubles)).await.unwrap();
    let limits = "[sampling]\nrate = 1.0\n[score]\nin_flight_max = 24\ndeliveries_max = 2";
    let server = Server::start(&config(&provider, "timeout_seconds = 1\nconcurrency = 24\nattempts = 2", limits)).await;
    // Two attempts twice; where another attempt cannot help, one. Answers that are no verdict are paid for, failures of the wire not.
    let expected = [
        ("trouble:prose", "invalid_answer", 4, true),
        ("trouble:half", "invalid_answer", 4, true),
        ("trouble:seven", "invalid_answer", 4, true),
        ("trouble:nothing", "invalid_answer", 4, true),
        ("trouble:429", "rate_limited", 4, false),
        ("trouble:500", "provider_unavailable", 4, false),
        ("trouble:401", "unauthorized", 1, false),
        ("trouble:hang", "timeout", 4, false),
        ("trouble:midway", "timeout", 4, false),
        ("trouble:broken", "network", 4, false),
    ];
    let bad = expected.iter().map(|(trouble, ..)| item(trouble, &format!("an answer in {trouble}")));
    server.accept(bad.collect()).await;
    // Once all the trouble is in hand, everybody else is judged meanwhile.
    eventually("calls about all the trouble", async || (provider.calls() >= 10).then_some(())).await;
    let good: Vec<Value> = (0..100).map(|i| item(&format!("good-{i}"), &format!("good answer {i}"))).collect();
    server.accept(good).await;
    eventually("the good are judged while the trouble goes on", async || {
        let (_, counts) = server.outcomes("default").await;
        let judged = count(&counts, "refusal", "judged");
        assert!(judged == 100 || count(&counts, "refusal", "pending") > 0, "the trouble is over before the good are judged");
        (judged == 100).then_some(())
    })
    .await;

    let counts = server.settled("default", 110).await;
    assert_eq!((count(&counts, "refusal", "judged"), count(&counts, "refusal", "judge_failed")), (100, 10));
    let body = server.get("/v1/outcomes").await.expect(200);
    let (mut failed_calls, mut unpaid) = (0, 0);
    for (trouble, code, calls, paid) in expected {
        let shown = server.interaction(trouble).await;
        let metric = &shown["metrics"][0];
        assert_eq!((&metric["outcome"], &metric["score"]), (&json!("judge_failed"), &Value::Null), "{trouble}: {metric}");
        assert_eq!(metric["why"]["code"], code, "{trouble}: {metric}");
        assert!(!metric["why"]["message"].as_str().unwrap().is_empty());
        assert_eq!(metric["calls"].as_array().unwrap().len(), calls, "{trouble}: {metric}");
        assert_eq!(provider.calls_with(&format!("in {trouble}")), calls as u64, "{trouble}");
        for call in metric["calls"].as_array().unwrap() {
            assert_eq!((&call["error"], call["cost_usd"].is_null()), (&json!(code), !paid), "{trouble}: {call}");
        }
        assert!(metric["verdicts"].as_array().unwrap().is_empty(), "a made-up score: {metric}");
        let told = body["outcomes"].as_array().unwrap();
        assert!(told.iter().any(|row| row["outcome"] == "judge_failed" && row["reason"] == code), "{code}: {body}");
        failed_calls += calls as u64;
        unpaid += if paid { 0 } else { calls as u64 };
    }
    let total = server.get("/v1/spend").await.expect(200)["total"].clone();
    assert_eq!(total["calls"], provider.calls());
    assert_eq!((&total["failed_calls"], &total["cost_unknown_calls"]), (&json!(failed_calls), &json!(unpaid)));
    assert_eq!(nanos(&total["cost_usd"]), bill(&provider));
    // The good are all a refusal; the estimate says what is missing rather than to count it as none.
    let group = server.estimate("refusal").await;
    assert_eq!((&group["estimate"], &group["judged"], &group["missing"]), (&json!(1.0), &json!(100), &json!(10)));
    assert_eq!(group["population"], 110);
    assert!(group["coverage"].as_f64().unwrap() < 0.92 && group["low"].as_f64().unwrap() < 1.0, "{group}");
    assert_eq!(provider.in_flight(), 0);
    server.adds_up().await;
}

#[tokio::test]
async fn a_failure_that_passes_is_tried_again() {
    let provider = FakeProvider::start(Behaviour::script([Reply::rate_limited(1), Reply::score(0.75)])).await.unwrap();
    let server = Server::start(&config(&provider, "", "[sampling]\nrate = 1.0")).await;
    let begun = std::time::Instant::now();
    server.accept(vec![item("limited", "a")]).await;
    let counts = server.settled("default", 1).await;
    assert!(begun.elapsed() >= Duration::from_secs(1), "the provider had asked to wait a second");
    assert_eq!((count(&counts, "refusal", "judged"), provider.calls()), (1, 2));
    let metric = server.interaction("limited").await["metrics"][0].clone();
    let calls = metric["calls"].as_array().unwrap();
    assert_eq!(metric["score"], 0.75);
    assert_eq!(calls.iter().map(|call| &call["error"]).collect::<Vec<_>>(), [&json!("rate_limited"), &Value::Null]);

    // Every attempt in hand fails, and the queue brings it back.
    let replies = [Reply::status(500), Reply::content("prose"), Reply::Break, Reply::status(503), Reply::score(0.5)];
    provider.set(Behaviour::script(replies));
    server.accept(vec![item("brought back", "b")]).await;
    server.settled("default", 2).await;
    let metric = server.interaction("brought back").await["metrics"][0].clone();
    assert_eq!((&metric["outcome"], &metric["score"], provider.calls()), (&json!("judged"), &json!(0.5), 2 + 5));
    assert_eq!(metric["calls"].as_array().unwrap().len(), 5, "{metric}");
    assert_eq!(metric["verdicts"].as_array().unwrap().len(), 1, "{metric}");
    let total = server.get("/v1/spend").await.expect(200)["total"].clone();
    assert_eq!((&total["calls"], &total["failed_calls"]), (&json!(7), &json!(5)));
    assert_eq!(nanos(&total["cost_usd"]), bill(&provider));
    server.adds_up().await;
}

#[tokio::test]
async fn free_judges_judge_everything_and_cost_nothing() {
    let provider = FakeProvider::start(Behaviour::score(0.0)).await.unwrap();
    let rest = r#"
[sampling]
rate = 0.0
[[judge]]
name = "mail"
kind = "rules"
pii = ["email"]
[[metric]]
name = "personal-data"
cascade = ["mail"]
[[metric]]
name = "hallucination"
cascade = ["gpt"]
"#;
    let server = Server::start(&config(&provider, "", rest)).await;
    let items =
        (0..50).map(|i| item(&format!("i-{i}"), if i % 5 == 0 { "Write to jane.doe@example.org." } else { "I'm sorry." }));
    server.accept(items.collect()).await;
    let counts = server.settled("default", 50).await;
    assert_eq!(count(&counts, "personal-data", "judged"), 50);
    assert_eq!(count(&counts, "refusal", "not_sampled"), 50);
    let group = server.estimate("personal-data").await;
    for key in ["estimate", "low", "high"] {
        assert_eq!(group[key], 0.2, "{group}");
    }
    assert_eq!((&group["population"], &group["judged"], &group["calls"]), (&json!(50), &json!(50), &json!(0)));
    let shown = server.interaction("i-0").await;
    let metric = shown["metrics"].as_array().unwrap().iter().find(|metric| metric["metric"] == "personal-data").unwrap();
    assert_eq!((&metric["score"], &metric["free_scores"][0]["judge"]), (&json!(1.0), &json!("mail")));
    assert!(!metric.to_string().contains("jane.doe"), "a reason repeats personal data: {metric}");
    assert_eq!(provider.calls(), 0);
    assert_eq!(server.get("/v1/spend").await.expect(200)["total"]["calls"], 0);
    server.adds_up().await;
}

#[tokio::test]
async fn a_metric_without_what_it_needs_says_so() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let rest = r#"
[sampling]
rate = 1.0
[[judge]]
name = "plain"
kind = "chat"
provider = "fake"
model = "gpt-4o-2024-05-13"
[[metric]]
name = "hallucination"
cascade = ["plain"]
[[metric]]
name = "correctness"
cascade = ["plain"]
"#;
    let server = Server::start(&config(&provider, "", rest)).await;
    let bare = item("bare", "a");
    let mut full = item("full", "b");
    (full["context"], full["reference"]) = (json!(["Canberra."]), json!("Canberra"));
    server.accept(vec![bare, full]).await;
    let counts = server.settled("default", 2).await;
    for (metric, code) in [("hallucination", "no_context"), ("correctness", "no_reference")] {
        assert_eq!((count(&counts, metric, "judged"), count(&counts, metric, "no_content")), (1, 1));
        let shown = server.interaction("bare").await;
        let state = shown["metrics"].as_array().unwrap().iter().find(|state| state["metric"] == metric).unwrap();
        assert_eq!(state["why"]["code"], code, "{state}");
        let group = server.estimate(metric).await;
        assert_eq!((&group["population"], &group["no_content"]), (&json!(1), &json!(1)), "{group}");
    }
    assert_eq!(provider.calls(), 4);
    server.adds_up().await;
}

#[tokio::test]
async fn text_that_is_judged_and_keys_stay_out_of_the_log() {
    let provider = FakeProvider::start(Behaviour::with(troubles)).await.unwrap();
    let server = Server::start(&config(&provider, "attempts = 1", "[sampling]\nrate = 1.0\n[score]\ndeliveries_max = 1")).await;
    let secret = "the-sender's-secret";
    server
        .accept(vec![
            item("a", secret),
            item("b", &format!("{secret} trouble:prose")),
            item("c", &format!("{secret} trouble:401")),
        ])
        .await;
    server.send(&json!([{"input": secret, "output": [{"role": secret, "content": secret}]}])).await.expect(400);
    server.settled("default", 3).await;
    let counters = server.get("/metrics").await.text();
    for place in [server.log(), counters] {
        assert!(!place.contains(secret) && !place.contains(KEY), "{place}");
    }
    server.adds_up().await;
}

#[tokio::test]
async fn a_metric_that_fails_does_not_pay_for_the_others_again() {
    let provider = FakeProvider::start(Behaviour::with(|request: &Request| match (request.model.as_str(), request.number) {
        ("gpt-4o", 0..4) => Reply::status(500),
        ("gpt-4o", _) => Reply::score(0.5),
        _ => Reply::score(1.0),
    }))
    .await
    .unwrap();
    let rest = r#"
[sampling]
rate = 1.0
[[judge]]
name = "other"
kind = "chat"
provider = "fake"
model = "gpt-4o"
[[metric]]
name = "toxicity"
cascade = ["other"]
"#;
    let server = Server::start(&config(&provider, "attempts = 2", rest)).await;
    server.accept(vec![item("a", "b")]).await;
    let counts = server.settled("default", 1).await;
    assert_eq!((count(&counts, "refusal", "judged"), count(&counts, "toxicity", "judged")), (1, 1));
    let asked = |model: &str| provider.requests().iter().filter(|request| request.model == model).count();
    // The first delivery fails twice after one call of the other metric; how many of the first four calls are whose is a race.
    assert!((4..=5).contains(&asked("gpt-4o")), "{}", asked("gpt-4o"));
    assert_eq!(asked("gpt-4o-2024-05-13"), 1, "what was judged is asked again");
    let spend = server.get("/v1/spend?group_by=metric").await.expect(200);
    assert_eq!(spend["total"]["calls"], provider.calls());
    server.adds_up().await;
}

#[tokio::test]
async fn a_cheaper_judge_is_not_paid_again_when_the_reference_has_to_wait() {
    let provider = FakeProvider::start(Behaviour::with(|request: &Request| match (request.model.as_str(), request.number) {
        ("gpt-4o", _) => Reply::score(0.25),
        (_, 0..3) => Reply::status(500),
        _ => Reply::score(1.0),
    }))
    .await
    .unwrap();
    let rest = r#"
[sampling]
rate = 1.0
[[judge]]
name = "cheap"
kind = "chat"
provider = "fake"
model = "gpt-4o"
"#;
    let both = config(&provider, "attempts = 2", rest).replace(r#"["words", "gpt"]"#, r#"["words", "cheap", "gpt"]"#);
    let server = Server::start(&both).await;
    server.accept(vec![item("a", "b")]).await;
    let counts = server.settled("default", 1).await;
    assert_eq!(count(&counts, "refusal", "judged"), 1);
    let asked = |model: &str| provider.requests().iter().filter(|request| request.model == model).count();
    assert_eq!((asked("gpt-4o"), asked("gpt-4o-2024-05-13")), (1, 3), "two failures, then the cheap verdict is on record");
    let shown = server.interaction("a").await;
    let scores: Vec<&Value> =
        shown["metrics"][0]["verdicts"].as_array().unwrap().iter().map(|verdict| &verdict["score"]).collect();
    assert_eq!((scores, &shown["metrics"][0]["score"]), (vec![&json!(0.25), &json!(1.0)], &json!(1.0)));
    assert_eq!(server.get("/v1/spend").await.expect(200)["total"]["calls"], provider.calls());
    server.adds_up().await;
}

#[tokio::test]
async fn what_waited_too_long_expires_unpaid() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let server = Server::start(&config(&provider, "", "[sampling]\nrate = 1.0\n[score]\nmax_age_hours = 0")).await;
    server.accept((0..5).map(|i| item(&format!("i-{i}"), "a")).collect()).await;
    let counts = server.settled("default", 5).await;
    assert_eq!((count(&counts, "refusal", "expired"), provider.calls()), (5, 0));
    assert_eq!(server.interaction("i-0").await["metrics"][0]["why"]["code"], "too_old");
    let group = server.estimate("refusal").await;
    assert_eq!((&group["estimate"], &group["judged"], &group["missing"]), (&Value::Null, &json!(0), &json!(5)));
    server.adds_up().await;
}

#[tokio::test]
async fn a_provider_without_headroom_is_left_alone_for_as_long_as_it_asks() {
    let arrivals = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&arrivals);
    let provider = FakeProvider::start(Behaviour::with(move |request: &Request| {
        seen.lock().unwrap().push(std::time::Instant::now());
        match request.number {
            2 => Reply::rate_limited(2).with_header("x-ratelimit-remaining-requests", "0"),
            _ => Reply::score(1.0),
        }
    }))
    .await
    .unwrap();
    let server = Server::start(&config(&provider, "concurrency = 1", "[sampling]\nrate = 1.0")).await;
    server.accept((0..10).map(|i| item(&format!("i-{i}"), &format!("answer {i}"))).collect()).await;
    let counts = server.settled("default", 10).await;
    assert_eq!((count(&counts, "refusal", "judged"), provider.calls()), (10, 11));
    let arrivals = arrivals.lock().unwrap().clone();
    let pause = arrivals[3] - arrivals[2];
    assert!(pause >= Duration::from_millis(1_950), "called again after {pause:?}");
    server.adds_up().await;
}

#[tokio::test]
async fn limits_that_everybody_runs_into_are_sat_out() {
    // Every item is turned away once.
    let known = std::sync::Mutex::new(std::collections::HashSet::new());
    let provider = FakeProvider::start(Behaviour::with(move |request: &Request| {
        if known.lock().unwrap().insert(request.item.clone()) { Reply::rate_limited(1) } else { Reply::score(1.0) }
    }))
    .await
    .unwrap();
    let server = Server::start(&config(&provider, "concurrency = 8", "[sampling]\nrate = 1.0")).await;
    server.accept((0..40).map(|i| item(&format!("i-{i}"), &format!("answer {i}"))).collect()).await;
    let counts = server.settled("default", 40).await;
    assert_eq!(count(&counts, "refusal", "judged"), 40, "{counts:?}");
    assert_eq!((provider.calls(), provider.calls_of_one_item_max()), (80, 2));
    assert!(provider.in_flight_peak() <= 8, "{} calls at once", provider.in_flight_peak());
    let total = server.get("/v1/spend").await.expect(200)["total"].clone();
    assert_eq!((&total["calls"], &total["failed_calls"]), (&json!(80), &json!(40)));
    assert_eq!(nanos(&total["cost_usd"]), bill(&provider));
    server.adds_up().await;
}
