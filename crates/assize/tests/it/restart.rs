//! What was acknowledged is there after a crash, once; what was in hand is judged after it, once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use assize_testkit::provider::{Behaviour, FakeProvider, Reply, Request};
use serde_json::{Value, json};

use crate::harness::{KEY, Server, client, config, eventually, item};

const CRASHES: u64 = 10;
const SENDERS: u64 = 4;
const BATCH: usize = 20;

/// Sends batches of its own until the server is gone. Returns ids sent and, of these, acknowledged.
async fn send_until_gone(
    url: &str,
    round: u64,
    sender: u64,
    acknowledged: &Mutex<BTreeSet<String>>,
    sent: &Mutex<BTreeSet<String>>,
    batches: &AtomicU64,
) {
    let client = client();
    for number in 0.. {
        let ids: Vec<String> = (0..BATCH).map(|i| format!("{round}-{sender}-{number}-{i}")).collect();
        sent.lock().unwrap().extend(ids.iter().cloned());
        let items: Vec<Value> = ids.iter().map(|id| item(id, &format!("answer <{id}>"))).collect();
        let Ok(response) = client.post(format!("{url}/v1/interactions")).bearer_auth(KEY).json(&items).send().await else {
            return;
        };
        assert_eq!(response.status().as_u16(), 202);
        // The status is the acknowledgement, whatever becomes of the rest of the answer.
        acknowledged.lock().unwrap().extend(ids);
        batches.fetch_add(1, Ordering::SeqCst);
        if let Ok(receipt) = response.json::<Value>().await {
            assert_eq!(receipt, json!({"accepted": BATCH, "duplicate": 0, "rejected": []}));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_ten_times_under_load_nothing_is_lost_and_nothing_counts_twice() {
    let provider = FakeProvider::start(Behaviour::score(1.0).latency(Duration::from_millis(20))).await.unwrap();
    let mut server = Server::start(&config(&provider, "concurrency = 16", "[sampling]\nrate = 0.2")).await;
    let (acknowledged, sent) = (Mutex::new(BTreeSet::new()), Mutex::new(BTreeSet::new()));
    for round in 0..CRASHES {
        let batches = AtomicU64::new(0);
        let url = server.url.clone();
        let senders = futures::future::join_all(
            (0..SENDERS).map(|sender| send_until_gone(&url, round, sender, &acknowledged, &sent, &batches)),
        );
        let crash = async {
            // At another moment of the flow in every round: right after an acknowledgement, and later and later.
            eventually("acknowledgements to crash after", async || (batches.load(Ordering::SeqCst) > 3 + round).then_some(()))
                .await;
            server.kill();
        };
        tokio::join!(senders, crash);
        server.start_again().await;
    }
    let (acknowledged, sent) = (acknowledged.into_inner().unwrap(), sent.into_inner().unwrap());
    assert!(acknowledged.len() as u64 > CRASHES * SENDERS * BATCH as u64 / 2, "{}", acknowledged.len());

    // Folded in is what is listed; wait until that is everything that was accepted.
    let stored = eventually("everything acknowledged is listed", async || {
        let listed: Vec<String> =
            server.all("interactions", "").await.iter().map(|shown| shown["id"].as_str().unwrap().to_owned()).collect();
        let stored: BTreeSet<String> = listed.iter().cloned().collect();
        assert_eq!(listed.len(), stored.len(), "an interaction is listed twice");
        (acknowledged.is_subset(&stored) && server.outcomes("default").await.0 == stored.len() as u64).then_some(stored)
    })
    .await;
    assert!(stored.is_subset(&sent), "an interaction that nobody has sent");
    let counts = server.settled("default", stored.len() as u64).await;
    let judged = counts[&("refusal".to_owned(), "judged".to_owned())];
    assert_eq!(counts.values().sum::<u64>(), stored.len() as u64);
    assert_eq!(counts.keys().map(|(_, outcome)| outcome.as_str()).collect::<Vec<_>>(), ["judged", "not_sampled"]);

    // No verdict is doubled, and every judged one has been asked about. A call in flight at a crash may have been made again.
    let verdicts = server.all("verdicts", "").await;
    let about: BTreeSet<&str> = verdicts.iter().map(|verdict| verdict["interaction_id"].as_str().unwrap()).collect();
    assert_eq!((verdicts.len() as u64, about.len() as u64), (judged, judged));
    let group = server.estimate("refusal").await;
    assert_eq!((&group["population"], &group["judged"], &group["estimate"]), (&json!(stored.len()), &json!(judged), &json!(1.0)));
    let total = server.get("/v1/spend").await.expect(200)["total"].clone();
    assert!(total["calls"].as_u64().unwrap() >= judged && total["calls"].as_u64().unwrap() <= provider.calls(), "{total}");
    assert!(provider.calls() <= judged + CRASHES * 16, "{} calls for {judged} verdicts", provider.calls());

    // Sent again as a whole: the stored are duplicates, the others new.
    let ids: Vec<&String> = sent.iter().collect();
    let (mut new, mut known) = (0, 0);
    for chunk in ids.chunks(500) {
        let items: Vec<Value> = chunk.iter().map(|id| item(id, &format!("answer <{id}>"))).collect();
        let receipt = server.send(&Value::Array(items)).await.expect(202);
        new += receipt["accepted"].as_u64().unwrap();
        known += receipt["duplicate"].as_u64().unwrap();
    }
    assert_eq!((known, new), (stored.len() as u64, (sent.len() - stored.len()) as u64));
    server.settled("default", sent.len() as u64).await;
    server.adds_up().await;
}

#[tokio::test]
async fn what_was_in_hand_at_a_crash_is_judged_after_it() {
    let provider = FakeProvider::start(Behaviour::always(Reply::Hang)).await.unwrap();
    let mut server = Server::start(&config(&provider, "concurrency = 8", "[sampling]\nrate = 1.0")).await;
    server.accept((0..40).map(|i| item(&format!("i-{i}"), &format!("answer <{i}>"))).collect()).await;
    // A quarter of what is allowed: nobody has answered yet.
    eventually("calls in flight", async || (provider.in_flight() == 2).then_some(())).await;
    server.kill();
    eventually("the calls ended with the process", async || (provider.in_flight() == 0).then_some(())).await;
    provider.set(Behaviour::score(1.0));
    let begun = std::time::Instant::now();
    server.start_again().await;
    let counts = server.settled("default", 40).await;
    assert_eq!(counts, BTreeMap::from([(("refusal".to_owned(), "judged".to_owned()), 40)]));
    assert!(begun.elapsed() < Duration::from_secs(30), "what was in hand waited for its lease to end");
    assert_eq!(
        (provider.calls(), provider.calls_of_one_item_max()),
        (42, 2),
        "once more for what was in flight, and for no other"
    );
    assert_eq!(server.all("verdicts", "").await.len(), 40);
    server.adds_up().await;
}

#[tokio::test]
async fn a_stop_in_order_finishes_what_is_in_hand() {
    let provider = FakeProvider::start(Behaviour::score(1.0).latency(Duration::from_millis(300))).await.unwrap();
    let mut server =
        Server::start(&config(&provider, "concurrency = 4", "[sampling]\nrate = 1.0\n[score]\nin_flight_max = 4")).await;
    server.accept((0..30).map(|i| item(&format!("i-{i}"), &format!("answer <{i}>"))).collect()).await;
    eventually("calls in flight", async || (provider.in_flight() == 4).then_some(())).await;
    server.terminate().await;
    let made = provider.calls();
    assert!(made < 30, "the stop has waited for everything");
    server.start_again().await;
    server.settled("default", 30).await;
    assert_eq!((provider.calls(), provider.calls_of_one_item_max()), (30, 1), "nothing in hand was paid twice");
    server.adds_up().await;
}

#[tokio::test]
async fn an_item_keeps_the_policy_that_it_was_accepted_under() {
    let provider = FakeProvider::start(Behaviour::with(|request: &Request| match request.system.contains("rude") {
        true => Reply::score(0.25),
        false => Reply::Hang,
    }))
    .await
    .unwrap();
    let first = config(&provider, "timeout_seconds = 600", "[sampling]\nrate = 1.0");
    let mut server = Server::start(&first).await;
    server.accept(vec![item("old", "a")]).await;
    eventually("the old question is asked", async || (provider.in_flight() == 1).then_some(())).await;
    server.kill();
    server.configure(&first.replace("Does the assistant refuse to do what the user asks?", "Is the assistant rude?"));
    server.start_again().await;
    server.accept(vec![item("new", "b")]).await;
    eventually("the new question is answered", async || {
        (server.interaction("new").await["metrics"][0]["outcome"] == "judged").then_some(())
    })
    .await;
    provider.set(Behaviour::with(|request: &Request| Reply::score(if request.system.contains("rude") { 0.25 } else { 0.75 })));
    // The old item's call hangs still, or again; it is asked the old question in the end.
    server.kill();
    server.start_again().await;
    server.settled("default", 2).await;
    let [old, new] = [server.interaction("old").await, server.interaction("new").await].map(|shown| shown["metrics"][0].clone());
    assert_eq!((&old["score"], &new["score"]), (&json!(0.75), &json!(0.25)));
    assert_ne!(old["judge_version"], new["judge_version"]);
    // Two versions of the judge are two rates.
    let body = server.get("/v1/estimates?metric=refusal").await.expect(200);
    let mut rates: Vec<f64> =
        body["groups"].as_array().unwrap().iter().map(|group| group["estimate"].as_f64().unwrap()).collect();
    rates.sort_by(f64::total_cmp);
    assert_eq!(rates, [0.25, 0.75]);
    server.adds_up().await;
}
