//! Verdicts used again: what is not paid twice, what it is called on record, and what the rate is made of.

use assize_testkit::provider::{Behaviour, FakeProvider, Reply, Request};
use serde_json::{Value, json};

use crate::harness::{Server, bill, count, eventually, item, nanos};

/// With the cache of verdicts, which other tests do without.
fn config(provider: &FakeProvider, provider_keys: &str, rest: &str) -> String {
    crate::harness::config(provider, provider_keys, rest).replace("cache = \"\"", "")
}

#[tokio::test]
async fn the_same_question_is_paid_once() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let mut server = Server::start(&config(&provider, "", "[sampling]\nrate = 1.0")).await;
    server.accept((0..40).map(|i| item(&format!("same-{i}"), "I cannot do that.")).collect()).await;
    server.accept(vec![item("other", "I cannot do this.")]).await;
    let counts = server.settled("default", 41).await;
    assert_eq!((count(&counts, "refusal", "judged"), count(&counts, "refusal", "reused")), (2, 39));
    assert_eq!(provider.calls(), 2, "forty at once are asked about once");

    server.terminate().await;
    server.start_again().await;
    server.accept(vec![item("later", "I cannot do that.")]).await;
    server.settled("default", 42).await;
    assert_eq!(provider.calls(), 2, "what was kept outlives the process");
    let metric = server.interaction("later").await["metrics"][0].clone();
    assert_eq!((&metric["outcome"], &metric["score"], &metric["calls"]), (&json!("reused"), &json!(1.0), &json!([])));
    let verdict = &metric["verdicts"][0];
    assert_eq!((&verdict["reused"], &verdict["cost_usd"]), (&json!("exact"), &json!(0.0)));
    let price = bill(&provider) / 2;
    assert!(nanos(&verdict["saved_usd"]).abs_diff(price) < 100_000, "{verdict}");
    assert_eq!(verdict["is_reference"], Value::Null, "only listings say so");

    let group = server.estimate("refusal").await;
    assert_eq!((&group["population"], &group["judged"], &group["estimate"]), (&json!(42), &json!(42), &json!(1.0)));
    let spend = server.get("/v1/spend?group_by=judge").await.expect(200)["total"].clone();
    assert_eq!((&spend["calls"], &spend["reused"]), (&json!(2), &json!(40)));
    assert_eq!(nanos(&spend["cost_usd"]), bill(&provider));
    assert!(spend["saved_usd"].as_f64().unwrap() > 0.0);
    server.adds_up().await;
}

#[tokio::test]
async fn tenants_share_nothing_and_have_their_own_forgotten() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let projects =
        "[[project]]\nname = \"default\"\n[[project]]\nname = \"theirs\"\n[[project]]\nname = \"mine\"\ntenant = \"default\"";
    let server = Server::start(&config(&provider, "", &format!("[sampling]\nrate = 1.0\n{projects}"))).await;
    let ask = async |project: &str, id: &str| {
        let mut one = item(id, "I cannot do that.");
        one["project"] = json!(project);
        server.accept(vec![one]).await;
    };
    ask("default", "a").await;
    server.settled("default", 1).await;
    ask("mine", "b").await;
    server.settled("mine", 1).await;
    assert_eq!(provider.calls(), 1, "projects of one tenant share");
    ask("theirs", "c").await;
    server.settled("theirs", 1).await;
    assert_eq!(provider.calls(), 2, "tenants do not");

    let cache = "/v1/projects/mine/cache";
    // A verdict is kept after it is on record.
    let kept = async || (server.get(cache).await.expect(200)["entries"] == 2).then_some(());
    eventually("two verdicts that are kept", kept).await;
    let purged = server.plain(reqwest::Method::DELETE, cache).bearer_auth(crate::harness::KEY);
    let purged = crate::harness::Answer::of(purged).await.expect(200);
    assert_eq!(purged, json!({"tenant": "default", "entries": 1}));
    ask("mine", "d").await;
    server.settled("mine", 2).await;
    assert_eq!(provider.calls(), 3);
    ask("theirs", "e").await;
    server.settled("theirs", 2).await;
    assert_eq!(provider.calls(), 3, "the other tenant's are still there");
}

/// One metric that uses verdicts on nearly the same, with a limit that few audits reach.
fn similar(provider: &FakeProvider) -> String {
    let reuse = "cascade = [\"words\", \"gpt\"]\nreuse = { audit = 0.2, error_max = 0.2 }";
    config(provider, "", "[sampling]\nrate = 1.0").replace("cascade = [\"words\", \"gpt\"]", reuse)
}

#[tokio::test]
async fn nearly_the_same_is_used_once_it_is_known_to_be_right_and_stops_when_it_errs() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let server = Server::start(&similar(&provider)).await;
    let send = async |from: usize, to: usize| {
        server.accept((from..to).map(|i| item(&format!("i-{i}"), &format!("Order  {i}: I CANNOT do that."))).collect()).await;
        server.settled("default", to as u64).await
    };
    send(0, 1).await;
    let counts = send(1, 40).await;
    assert_eq!(count(&counts, "refusal", "judged"), 40, "until enough is known every hit is judged");
    let counts = send(40, 240).await;
    let (judged, reused) = (count(&counts, "refusal", "judged"), count(&counts, "refusal", "reused"));
    // Five standard errors of a fifth of 200.
    assert!((12..=68).contains(&(judged - 40)) && judged + reused == 240, "{judged} judged, {reused} reused");
    assert_eq!(provider.calls(), judged);
    let one = server.all("interactions", "outcome=reused").await.into_iter().next().unwrap();
    let metric = server.interaction(one["id"].as_str().unwrap()).await["metrics"][0].clone();
    assert_eq!((&metric["score"], &metric["why"]["code"]), (&Value::Null, &json!("similar")), "it is no verdict on this one");
    assert_eq!((&metric["draws"][0]["conditional"], &metric["draws"][0]["drawn"]), (&json!(0.2), &json!(false)));
    assert_eq!(metric["verdicts"][0]["reused"], "similar");
    let group = server.estimate("refusal").await;
    assert_eq!((&group["population"], &group["judged"], &group["missing"]), (&json!(240), &json!(judged), &json!(0)));

    // From now on the judge says the contrary of what was kept.
    provider.set(Behaviour::with(|_: &Request| Reply::score(0.0)));
    let mut to = 240;
    while !server.log().contains("wrong too often") {
        assert!(to < 2_400, "reuse never stopped");
        send(to, to + 120).await;
        to += 120;
    }
    let before = provider.calls();
    let after = send(to, to + 50).await;
    assert_eq!(provider.calls() - before, 50, "nothing is used again any more");
    let group = server.estimate("refusal").await;
    assert_eq!(group["judged"], count(&after, "refusal", "judged"));
    server.adds_up().await;
}
