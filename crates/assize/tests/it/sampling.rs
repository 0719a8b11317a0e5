//! Which interactions are judged: what the policy says of them is recorded, and the rate is right whatever it says.

use assize_testkit::provider::{Behaviour, FakeProvider, Reply, Request};
use serde_json::{Value, json};

use crate::harness::{Server, bill, config, count, item, nanos};

#[tokio::test]
async fn a_share_is_drawn_and_its_probability_recorded() {
    let provider = FakeProvider::start(Behaviour::with(|request: &Request| {
        Reply::score(if request.item.contains("even") { 1.0 } else { 0.0 })
    }))
    .await
    .unwrap();
    let server = Server::start(&config(&provider, "", "[sampling]\nrate = 0.3")).await;
    const N: u64 = 2_000;
    let items = (0..N).map(|i| item(&format!("i-{i}"), &format!("{} answer {i}", if i % 2 == 0 { "even" } else { "odd" })));
    let items: Vec<Value> = items.collect();
    for batch in items.chunks(500) {
        server.accept(batch.to_vec()).await;
    }
    let counts = server.settled("default", N).await;
    let (judged, left) = (count(&counts, "refusal", "judged"), count(&counts, "refusal", "not_sampled"));
    assert_eq!((judged + left, counts.len()), (N, 2));
    // Five standard deviations of a draw of 0.3 out of 2,000.
    assert!((judged as f64 - 600.0).abs() < 5.0 * (2_000.0_f64 * 0.3 * 0.7).sqrt(), "{judged} of 2,000 were drawn");
    assert_eq!((provider.calls(), provider.calls_of_one_item_max()), (judged, 1));
    let group = server.estimate("refusal").await;
    assert_eq!((&group["population"], &group["judged"]), (&json!(N), &json!(judged)));
    let part = |key: &str| group[key].as_f64().unwrap();
    assert!(part("low") < part("estimate") && part("estimate") < part("high"), "{group}");
    // The rate of judging everything is 0.5; five standard errors around it are far wider than the interval.
    assert!((part("estimate") - 0.5).abs() < 5.0 * (part("high") - part("low")) / (2.0 * 1.96), "{group}");
    assert_eq!(nanos(&group["cost_usd"]), bill(&provider));

    let mut kept = 0;
    for shown in server.all("interactions", "").await {
        let metric = &shown["metrics"][0];
        assert_eq!(metric["probability"], 0.3);
        let drawn = metric["outcome"] == "judged";
        assert_eq!(metric["calls"].as_array().unwrap().len(), usize::from(drawn));
        assert_eq!(shown["payload_kept"], drawn, "text is kept where it is drawn, and nowhere else: {shown}");
        kept += u64::from(drawn);
    }
    assert_eq!(kept, judged);
    server.adds_up().await;
}

#[tokio::test]
async fn what_is_never_judged_is_said() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let only = "[sampling]\nrate = 1.0\n[sampling.only]\nturns_min = 2";
    let server = Server::start(&config(&provider, "", only)).await;
    let turns = |n: usize| -> Value {
        let turn = |i| [json!({"role": "user", "content": format!("q{i}")}), json!({"role": "assistant", "content": "a"})];
        let mut messages: Vec<Value> = (1..n).flat_map(turn).collect();
        messages.push(json!({"role": "user", "content": "last"}));
        Value::Array(messages)
    };
    let items = (0..30).map(|i| json!({"id": format!("i-{i}"), "input": turns(1 + i % 3), "output": format!("a{i}")}));
    server.accept(items.collect()).await;
    let counts = server.settled("default", 30).await;
    assert_eq!((count(&counts, "refusal", "judged"), count(&counts, "refusal", "not_sampled")), (20, 10));
    assert_eq!(provider.calls(), 20);
    let group = server.estimate("refusal").await;
    assert_eq!((&group["population"], &group["excluded"], &group["judged"]), (&json!(20), &json!(10), &json!(20)));
    assert!(group["population_description"].as_str().unwrap().contains("at least 2 turns"), "{group}");
    let outside = server.interaction("i-0").await["metrics"][0].clone();
    assert_eq!((&outside["probability"], &outside["outcome"]), (&json!(0.0), &json!("not_sampled")));
    server.adds_up().await;
}

#[tokio::test]
async fn smart_rules_raise_the_probability_and_the_estimate_undoes_it() {
    let provider = FakeProvider::start(Behaviour::with(|request: &Request| {
        Reply::score(if request.item.contains("long") { 1.0 } else { 0.0 })
    }))
    .await
    .unwrap();
    let smart = "[sampling]\nrate = 0.2\n[[sampling.smart]]\nwhen = { chars_min = 500 }\nrate = 1.0";
    let server = Server::start(&config(&provider, "", smart)).await;
    // A tenth is long and always judged, and only there is the answer yes.
    let items = (0..1_000).map(|i| {
        let text = if i % 10 == 0 { format!("long {i} {}", "x".repeat(500)) } else { format!("short {i}") };
        item(&format!("i-{i}"), &text)
    });
    server.accept(items.collect()).await;
    let counts = server.settled("default", 1_000).await;
    let judged = count(&counts, "refusal", "judged");
    assert_eq!(provider.calls(), judged);
    assert_eq!(provider.calls_with("long "), 100);
    assert!((judged as f64 - 280.0).abs() < 5.0 * (900.0_f64 * 0.2 * 0.8).sqrt(), "{judged}");
    let group = server.estimate("refusal").await;
    let (estimate, low, high) = (&group["estimate"], &group["low"], &group["high"]);
    // Unweighted it would be 100 / 280 = 0.36.
    assert!((estimate.as_f64().unwrap() - 0.1).abs() < 0.04, "{group}");
    assert!(low.as_f64().unwrap() < 0.14 && high.as_f64().unwrap() > 0.07, "{group}");
    assert_eq!(server.interaction("i-0").await["metrics"][0]["probability"], 1.0);
    assert_eq!(server.interaction("i-1").await["metrics"][0]["probability"], 0.2);
    server.adds_up().await;
}

#[tokio::test]
async fn the_reserve_keeps_text_that_is_not_drawn() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let server = Server::start(&config(&provider, "", "[sampling]\nrate = 0.0\nreserve = 0.5")).await;
    server.accept((0..400).map(|i| item(&format!("i-{i}"), &format!("answer {i}"))).collect()).await;
    let counts = server.settled("default", 400).await;
    assert_eq!(count(&counts, "refusal", "not_sampled"), 400);
    let all = server.all("interactions", "").await;
    let kept: Vec<&Value> = all.iter().filter(|shown| shown["payload_kept"] == true).collect();
    assert!((150..=250).contains(&kept.len()), "{} of 400 at a reserve of 0.5", kept.len());
    for shown in kept {
        let number = shown["id"].as_str().unwrap().strip_prefix("i-").unwrap();
        assert_eq!(shown["payload"]["output"][0]["content"], format!("answer {number}"));
    }
    assert_eq!(provider.calls(), 0);
    server.adds_up().await;
}
