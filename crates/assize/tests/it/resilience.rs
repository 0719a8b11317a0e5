//! Providers in trouble, over the whole pipeline: every item ends, calls stay bounded, and nobody is held up by another's provider.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use assize_testkit::provider::{Behaviour, FakeProvider, Reply};
use serde_json::{Value, json};

use crate::chaos_provider::Chaos;
use crate::harness::{Server, bill, config, count, eventually, item, nanos};

fn items(count: usize) -> (Vec<String>, Vec<Value>) {
    let keys: Vec<String> = (0..count).map(|at| format!("item-{at};")).collect();
    let items = keys.iter().enumerate().map(|(at, key)| item(&format!("i-{at}"), &format!("An answer, {key}"))).collect();
    (keys, items)
}

#[tokio::test]
async fn in_chaos_every_item_ends_and_no_call_is_wasted() {
    for seed in [1, 2] {
        let chaos = Chaos { seed, ..Chaos::default() };
        let provider = FakeProvider::start(chaos.behaviour().latency(Duration::from_millis(20))).await.unwrap();
        let keys = "timeout_seconds = 1\nconcurrency = 50";
        let server = Server::start(&config(&provider, keys, "[sampling]\nrate = 1.0")).await;
        let (keys, items) = items(500);
        server.accept(items).await;
        let counts = server.settled("default", 500).await;
        assert_eq!(count(&counts, "refusal", "judged"), 500, "{counts:?}");
        // Each is asked about until it is answered, and never again: as many calls as the trouble makes necessary, to the last one.
        let necessary: u64 = keys.iter().map(|key| chaos.calls_for(key)).sum();
        assert!((550..700).contains(&necessary), "{necessary}");
        assert_eq!(provider.calls(), necessary);
        let total = server.get("/v1/spend").await.expect(200)["total"].clone();
        assert_eq!((&total["calls"], &total["failed_calls"]), (&json!(necessary), &json!(necessary - 500)));
        assert_eq!(nanos(&total["cost_usd"]), bill(&provider));
        assert!(provider.in_flight_peak() <= 50);
        server.adds_up().await;
    }
}

#[tokio::test]
async fn a_provider_that_hangs_does_not_hold_the_others_metrics() {
    const ITEMS: usize = 400;
    let [good, slow] = [Behaviour::score(1.0), Behaviour::always(Reply::Hang)].map(FakeProvider::start);
    let (good, slow) = (good.await.unwrap(), slow.await.unwrap());
    let rest = format!(
        r#"
[sampling]
rate = 1.0
[[provider]]
name = "slow"
kind = "openai"
base_url = "{}"
timeout_seconds = 20
attempts = 1
[[judge]]
name = "slow"
kind = "chat"
provider = "slow"
model = "gpt-4o"
[[metric]]
name = "toxicity"
cascade = ["slow"]
"#,
        slow.base_url()
    );
    let server = Server::start(&config(&good, "", &rest)).await;
    let begun = Instant::now();
    server.accept(items(ITEMS).1).await;
    eventually("the healthy provider's verdicts", async || {
        let (_, counts) = server.outcomes("default").await;
        (count(&counts, "refusal", "judged") == ITEMS as u64).then_some(())
    })
    .await;
    let (_, counts) = server.outcomes("default").await;
    assert_eq!(count(&counts, "toxicity", "pending"), ITEMS as u64, "the slow one has not answered, and nothing was given up");
    // All of them before the first call to the slow one could even time out; it was called for its first slots only.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!((slow.calls(), good.calls()), (25, ITEMS as u64));

    // It comes back, and everything is judged: the calls that were lost are those that hung.
    slow.set(Behaviour::score(0.5));
    let counts = server.settled("default", ITEMS as u64).await;
    assert_eq!(judged(&counts), [ITEMS as u64; 2]);
    assert_eq!((slow.calls(), good.calls()), (ITEMS as u64 + 25, ITEMS as u64));
    server.adds_up().await;
}

fn judged(counts: &BTreeMap<(String, String), u64>) -> [u64; 2] {
    ["refusal", "toxicity"].map(|metric| count(counts, metric, "judged"))
}

#[tokio::test]
async fn an_outage_costs_few_calls_and_no_verdict() {
    const ITEMS: u64 = 400;
    let provider = FakeProvider::start(Behaviour::always(Reply::status(503))).await.unwrap();
    let server = Server::start(&config(&provider, "attempts = 2", "[sampling]\nrate = 1.0")).await;
    server.accept(items(ITEMS as usize).1).await;
    eventually("the breaker opens for the second time", async || {
        (server.counter("assize_provider_breaker_openings_total{provider=\"fake\"}").await >= 2).then_some(())
    })
    .await;
    assert!(server.counter("assize_provider_breaker{provider=\"fake\"}").await > 0);
    let during = provider.calls();
    assert!(during < 80, "{during} calls to a provider that is down");
    provider.set(Behaviour::score(1.0));
    let counts = server.settled("default", ITEMS).await;
    assert_eq!(count(&counts, "refusal", "judged"), ITEMS, "{counts:?}");
    let lost = provider.calls() - ITEMS;
    assert!(lost < 100, "{lost} calls lost");
    assert_eq!(server.counter("assize_provider_breaker{provider=\"fake\"}").await, 0);
    assert_eq!(server.counter("assize_provider_calls_open{provider=\"fake\"}").await, 0);
    let log = server.log();
    for said in ["the provider is failing; calls are held back", "the provider answers again; calls go on"] {
        assert!(log.contains(said), "{log}");
    }
    server.adds_up().await;
}

#[tokio::test]
async fn a_revoked_key_pauses_and_fails_hardly_anything() {
    const ITEMS: u64 = 200;
    let provider = FakeProvider::start(Behaviour::score(1.0).key("another")).await.unwrap();
    let server = Server::start(&config(&provider, "", "[sampling]\nrate = 1.0")).await;
    server.accept(items(ITEMS as usize).1).await;
    eventually("the key is noticed", async || server.log().contains("does not take the key").then_some(())).await;
    eventually("probes", async || {
        (server.counter("assize_provider_breaker_openings_total{provider=\"fake\"}").await >= 2).then_some(())
    })
    .await;
    assert!(provider.calls() < 50, "{} calls with a key that is not taken", provider.calls());
    provider.set(Behaviour::score(1.0));
    let counts = server.settled("default", ITEMS).await;
    // Those that met the first refusals, before it was clear that it is the key.
    assert!(count(&counts, "refusal", "judged") >= ITEMS - 2, "{counts:?}");
    server.adds_up().await;
}

#[tokio::test]
async fn headers_of_answers_are_obeyed_before_anybody_is_turned_away() {
    // Ten calls are left for the next two seconds, and the host means it.
    let begun = std::sync::Mutex::new(None);
    let provider = FakeProvider::start(Behaviour::with(move |request| {
        let begun = *begun.lock().unwrap().get_or_insert_with(Instant::now);
        let left = |number: u64| 10_u64.saturating_sub(number + 1);
        let until_full = Duration::from_secs(2).saturating_sub(begun.elapsed());
        if request.number >= 10 && !until_full.is_zero() {
            return Reply::rate_limited(1);
        }
        let body = json!({"choices": [{"message": {"content": "{\"score\": 1.0, \"reason\": \"as told\"}"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5}});
        let reply = Reply::Raw { status: 200, headers: Vec::new(), body: body.to_string().into_bytes() };
        let remaining = if until_full.is_zero() { 1_000 } else { left(request.number) };
        let reset = format!("{}ms", until_full.as_millis().max(1));
        reply
            .with_header("x-ratelimit-remaining-requests", &remaining.to_string())
            .with_header("x-ratelimit-reset-requests", &reset)
    }))
    .await
    .unwrap();
    let server = Server::start(&config(&provider, "concurrency = 4", "[sampling]\nrate = 1.0")).await;
    server.accept(items(40).1).await;
    let counts = server.settled("default", 40).await;
    assert_eq!(count(&counts, "refusal", "judged"), 40);
    let refused = provider.calls() - 40;
    assert!(refused <= 2, "{refused} calls were turned away");
    server.adds_up().await;
}
