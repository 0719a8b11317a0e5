//! `POST /v1/interactions`: what is taken, what is said about it, and that the same thing sent twice counts once.

use std::collections::BTreeSet;

use assize_testkit::provider::{Behaviour, FakeProvider};
use serde_json::{Value, json};

use crate::harness::{Answer, Server, config, item, segment, time};

#[tokio::test]
async fn one_object_an_array_and_lines_are_taken() {
    let provider = FakeProvider::start(Behaviour::score(0.0)).await.unwrap();
    let server = Server::start(&config(&provider, "", "[sampling]\nrate = 1.0")).await;

    let one = server.send(&item("one", "Canberra.")).await.expect(202);
    assert_eq!(one, json!({"accepted": 1, "duplicate": 0, "rejected": []}));
    let array = server.send(&json!([item("two", "Melbourne."), item("three", "Sydney.")])).await.expect(202);
    assert_eq!(array, json!({"accepted": 2, "duplicate": 0, "rejected": []}));
    let lines = format!("{}\n\n{}\r\n", item("four", "a"), item("five", "b"));
    for (content_type, expected) in [("application/x-ndjson", (2, 0)), ("application/json", (0, 2))] {
        let request = server.post("/v1/interactions").header("content-type", content_type).body(lines.clone());
        let receipt = Answer::of(request).await.expect(202);
        assert_eq!(receipt, json!({"accepted": expected.0, "duplicate": expected.1, "rejected": []}), "{content_type}");
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, item("six", "c").to_string().as_bytes()).unwrap();
    let zipped = server.post("/v1/interactions").header("content-encoding", "gzip").body(gzip.finish().unwrap());
    assert_eq!(Answer::of(zipped).await.expect(202)["accepted"], 1);

    let counts = server.settled("default", 6).await;
    assert_eq!(counts[&("refusal".to_owned(), "judged".to_owned())], 6);
    assert_eq!((provider.calls(), provider.calls_of_one_item_max()), (6, 1));
    server.adds_up().await;
}

#[tokio::test]
async fn every_field_arrives() {
    let provider = FakeProvider::start(Behaviour::score(0.25)).await.unwrap();
    let rest = "[sampling]\nrate = 1.0\n[report]\ndimensions = [\"model\", \"environment\", \"prompt_version\", \"tag:team\"]";
    let server = Server::start(&config(&provider, "", rest)).await;
    let happened = time(-3600);
    let sent = json!({
        "id": "full", "project": "default", "time": happened, "conversation_id": "c-1", "model": "gpt-9", "prompt_version": "v3",
        "environment": "production", "system": "Be brief.",
        "input": [{"role": "user", "content": "What is the capital of Australia?"}, {"role": "assistant", "content": "Sydney?"},
                  {"role": "user", "content": "Really?"}],
        "output": [{"role": "assistant", "content": "No: Canberra."}], "context": ["Canberra is the capital."],
        "reference": "Canberra", "tags": {"team": "geo"}, "usage": {"input_tokens": 120, "output_tokens": 9},
        "a field of the sender's own": [1, 2],
    });
    server.accept(vec![sent]).await;
    server.settled("default", 1).await;
    let shown = server.interaction("full").await;
    assert_eq!(shown["time"], happened);
    assert_eq!(
        (&shown["time_replaced"], &shown["truncated"], &shown["payload_kept"]),
        (&json!(false), &json!(false), &json!(true))
    );
    assert_eq!(shown["conversation_id"], "c-1");
    let dimensions = json!({"model": "gpt-9", "environment": "production", "prompt_version": "v3", "tag:team": "geo"});
    assert_eq!(shown["dimensions"], dimensions);
    assert_eq!(shown["payload"]["reference"], "Canberra");
    assert_eq!(shown["payload"]["usage"]["input"], 120);
    let metric = &shown["metrics"][0];
    assert_eq!((&metric["outcome"], &metric["score"], &metric["probability"]), (&json!("judged"), &json!(0.25), &json!(1.0)));
    assert_eq!(metric["verdicts"][0]["cost_usd"], metric["calls"][0]["cost_usd"]);

    let asked = provider.last_request().unwrap();
    for text in ["Be brief.", "Sydney?", "Really?", "No: Canberra.", "Canberra is the capital."] {
        assert!(asked.item.contains(text), "{text} is not in {}", asked.item);
    }
    assert_eq!(asked.body["response_format"]["json_schema"]["strict"], true);
    for (group_by, key) in [("model", "gpt-9"), ("tag:team", "geo"), ("environment", "production"), ("prompt_version", "v3")] {
        let groups = server.get(&format!("/v1/estimates?metric=refusal&group_by={group_by}")).await.expect(200);
        assert_eq!((&groups["groups"][0]["key"], &groups["groups"][0]["judged"]), (&json!(key), &json!(1)), "{groups}");
    }
    server.adds_up().await;
}

#[tokio::test]
async fn a_mixed_batch_keeps_the_good_and_names_the_bad() {
    let provider = FakeProvider::start(Behaviour::score(0.0)).await.unwrap();
    let server = Server::start(&config(&provider, "", "[sampling]\nrate = 1.0")).await;
    let mixed = json!([
        item("good", "Canberra."),
        {"id": "no-output", "input": "q"},
        {"id": "bad-role", "input": [{"role": "user", "content": "a"}, {"role": "emperor", "content": "secret question"}], "output": "c"},
        7,
        {"id": "bad-time", "time": "yesterday", "input": "q", "output": "a"},
        {"id": "", "input": "q", "output": "a"},
        {"id": "elsewhere", "project": "nobodys", "input": "q", "output": "a"},
        item("good too", "Canberra."),
        item("good", "Sydney."),
    ]);
    let receipt = server.send(&mixed).await.expect(202);
    assert_eq!((&receipt["accepted"], &receipt["duplicate"]), (&json!(2), &json!(1)));
    let keys: BTreeSet<&str> = receipt.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, BTreeSet::from(["accepted", "duplicate", "rejected"]));
    let rejected = receipt["rejected"].as_array().unwrap();
    let expected = [
        (1, "missing_field", "output"),
        (2, "invalid_field", "input[1].role"),
        (3, "not_an_object", "number"),
        (4, "invalid_field", "time"),
        (5, "invalid_field", "id"),
        (6, "unknown_project", "nobodys"),
    ];
    assert_eq!(rejected.len(), expected.len(), "{receipt}");
    for (told, (index, code, place)) in rejected.iter().zip(expected) {
        assert_eq!((&told["index"], &told["error"]["code"]), (&json!(index), &json!(code)));
        let message = told["error"]["message"].as_str().unwrap();
        assert!(message.contains(place), "{message:?} does not name {place:?}");
        assert!(!message.contains("secret question"), "a message repeats what was said: {message}");
    }
    // The first of the two stays.
    server.settled("default", 2).await;
    assert_eq!(server.interaction("good").await["payload"]["output"][0]["content"], "Canberra.");

    let nothing = server.send(&json!([{"input": "q"}, "text"])).await.expect(400);
    assert_eq!((&nothing["accepted"], &nothing["duplicate"]), (&json!(0), &json!(0)));
    assert_eq!(nothing["rejected"].as_array().unwrap().len(), 2);
    // Nothing but a duplicate is no error: the sender's retry has arrived before.
    let again = server.send(&item("good", "Canberra.")).await.expect(202);
    assert_eq!(again, json!({"accepted": 0, "duplicate": 1, "rejected": []}));
    assert_eq!(server.counter("assize_interactions_accepted_total").await, 2);
    assert_eq!(server.counter("assize_interactions_duplicate_total").await, 2);
    assert_eq!(server.counter("assize_interactions_rejected_total{code=\"missing_field\"}").await, 2);
    assert_eq!((server.settled("default", 2).await.len(), provider.calls()), (1, 2));
    server.adds_up().await;
}

#[tokio::test]
async fn sent_again_changes_nothing_not_even_after_a_restart() {
    let provider = FakeProvider::start(Behaviour::with(|request| {
        assize_testkit::provider::Reply::score(if request.item.contains("answer 1") { 1.0 } else { 0.0 })
    }))
    .await
    .unwrap();
    let mut server = Server::start(&config(&provider, "", "[sampling]\nrate = 0.5")).await;
    let batch: Vec<Value> = (0..60).map(|i| item(&format!("i-{i}"), &format!("answer {i}"))).collect();
    // The whole batch twice in one request: the second half is known.
    let twice: Vec<Value> = batch.iter().chain(&batch).cloned().collect();
    let receipt = server.send(&Value::Array(twice)).await.expect(202);
    assert_eq!(receipt, json!({"accepted": 60, "duplicate": 60, "rejected": []}));
    server.settled("default", 60).await;

    let to = segment(&time(600));
    let (from, calls) = (segment(&time(-3600)), provider.calls());
    let estimates = async |server: &Server| {
        let mut seen = Vec::new();
        for group_by in ["", "hour", "day", "model"] {
            let path = format!("/v1/estimates?metric=refusal&from={from}&to={to}&group_by={group_by}");
            seen.push(server.get(&path).await.expect(200));
        }
        seen.push(server.get(&format!("/v1/spend?from={from}&to={to}")).await.expect(200));
        seen.push(server.get(&format!("/v1/outcomes?from={from}&to={to}")).await.expect(200));
        seen
    };
    let before = estimates(&server).await;
    assert!(before[0]["groups"][0]["estimate"].is_number(), "{}", before[0]);

    for round in 0..3 {
        match round {
            1 => {
                server.terminate().await;
                server.start_again().await;
            }
            2 => {
                server.kill();
                server.start_again().await;
            }
            _ => {}
        }
        let receipt = server.send(&Value::Array(batch.clone())).await.expect(202);
        assert_eq!(receipt, json!({"accepted": 0, "duplicate": 60, "rejected": []}), "round {round}");
        // Something new is folded in behind what was sent again, so that its effect would show by now.
        let marker =
            json!({"id": format!("marker-{round}"), "project": "marked", "input": "q", "output": format!("marker {round}")});
        Answer::of(server.plain(reqwest::Method::PUT, "/v1/projects/marked").bearer_auth(crate::harness::KEY)).await;
        server.accept(vec![marker]).await;
        server.settled("marked", round + 1).await;
        assert_eq!(estimates(&server).await, before, "round {round}");
    }
    assert_eq!(provider.calls_of_one_item_max(), 1);
    let markers = server.get("/v1/spend?project=marked").await.expect(200)["total"]["calls"].as_u64().unwrap();
    assert_eq!(provider.calls(), calls + markers);
    server.adds_up().await;
}

#[tokio::test]
async fn ids_are_made_where_absent_and_times_are_believed_within_bounds() {
    let provider = FakeProvider::start(Behaviour::score(0.0)).await.unwrap();
    let server = Server::start(&config(&provider, "", "[sampling]\nrate = 0.0")).await;
    let nameless = json!({"input": "q", "output": "a"});
    // Without an id nothing can be told to be the same.
    server.accept(vec![nameless.clone(), nameless]).await;
    server.settled("default", 2).await;
    let made: BTreeSet<String> =
        server.all("interactions", "").await.iter().map(|shown| shown["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(made.len(), 2);
    for id in &made {
        server.interaction(id).await;
    }

    const DAY: i64 = 86_400;
    let cases = [
        ("week", -7 * DAY + 60, false),
        ("older", -7 * DAY - 60, true),
        ("ahead", 240, false),
        ("further", 360, true),
        ("epoch", -50 * 365 * DAY, true),
        ("far", 5_000 * 365 * DAY, true),
    ];
    let items = cases.iter().map(|(id, offset, _)| json!({"id": id, "time": time(*offset), "input": "q", "output": "a"}));
    server.accept(items.collect()).await;
    for (id, offset, replaced) in cases {
        let shown = server.interaction(id).await;
        assert_eq!(shown["time_replaced"], replaced, "{id}: {shown}");
        let parse = |text: &str| assize_core::Timestamp::parse(text).unwrap().0;
        let [happened, accepted] = ["time", "accepted_at"].map(|key| parse(shown[key].as_str().unwrap()));
        if replaced {
            assert_eq!(happened, accepted, "{id}");
        } else {
            assert!((happened - accepted - offset * 1000).abs() < 30_000, "{id}: {shown}");
        }
    }
    // Unix seconds, milliseconds, and text that is no time at all.
    let now = assize_core::Timestamp::parse(&time(0)).unwrap().0;
    for (id, given) in [("seconds", json!(now / 1000)), ("millis", json!(now))] {
        server.accept(vec![json!({"id": id, "time": given, "input": "q", "output": "a"})]).await;
        let shown = server.interaction(id).await;
        assert_eq!(shown["time_replaced"], false, "{id}");
        let happened = assize_core::Timestamp::parse(shown["time"].as_str().unwrap()).unwrap().0;
        assert_eq!(happened / 1000, now / 1000, "{id}");
    }
    assert_eq!(provider.calls(), 0);
    server.adds_up().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_batch_from_many_senders_at_once_counts_once() {
    let provider = FakeProvider::start(Behaviour::score(0.0)).await.unwrap();
    let server = Server::start(&config(&provider, "", "[sampling]\nrate = 1.0")).await;
    let batch = Value::Array((0..50).map(|i| item(&format!("i-{i}"), &format!("answer {i}"))).collect());
    let receipts = futures::future::join_all((0..16).map(|_| async { server.send(&batch).await.expect(202) })).await;
    let sum = |key: &str| receipts.iter().map(|receipt| receipt[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("accepted"), sum("duplicate")), (50, 15 * 50));
    server.settled("default", 50).await;
    assert_eq!((provider.calls(), provider.calls_of_one_item_max()), (50, 1));
    server.adds_up().await;
}
