//! Several judges in one cascade: who is asked about what, what is recorded of each draw, and what the rate is made of.

use assize_testkit::provider::{Behaviour, FakeProvider, Reply, Request};
use serde_json::json;

use crate::harness::{Server, count, item, nanos};

/// A cheap judge of the same provider before the reference judge, which sees a fifth of what it saw.
fn config(provider: &FakeProvider, rest: &str) -> String {
    let two_tiers = r#"cascade = ["words", "mini", { judge = "gpt", share = 0.2 }]"#;
    let mini = "[[judge]]\nname = \"mini\"\nkind = \"chat\"\nprovider = \"fake\"\nmodel = \"mini\"\n\
                price = { input = 0.15, output = 0.6 }\n\n";
    crate::harness::config(provider, "", &format!("{mini}{rest}")).replace(r#"cascade = ["words", "gpt"]"#, two_tiers)
}

/// The cheap judge is unsure of all; the reference judge says yes to a third.
fn judges(request: &Request) -> Reply {
    match request.model.as_str() {
        "mini" => Reply::score(if request.item.contains("yes") { 0.55 } else { 0.45 }),
        _ => Reply::score(if request.item.contains("yes") { 1.0 } else { 0.0 }),
    }
}

#[tokio::test]
async fn each_judge_sees_a_recorded_part_of_what_the_one_before_saw() {
    let provider = FakeProvider::start(Behaviour::with(judges)).await.unwrap();
    let server = Server::start(&config(&provider, "[sampling]\nrate = 0.5")).await;
    let n = 600;
    let text = |i: usize| format!("{} {i}", if i.is_multiple_of(3) { "yes" } else { "no" });
    for first in (0..n).step_by(200) {
        server.accept((first..first + 200).map(|i| item(&format!("i-{i}"), &text(i))).collect()).await;
    }
    let counts = server.settled("default", n as u64).await;
    let models = |model: &str| provider.requests().iter().filter(|request| request.model == model).count() as u64;
    let (mini, gpt) = (models("mini"), models("gpt-4o-2024-05-13"));
    // Five standard errors of half of 600, and of a fifth of that.
    assert!((240..=360).contains(&mini) && (30..=95).contains(&gpt), "{mini} and {gpt} calls");
    assert_eq!((count(&counts, "refusal", "judged"), count(&counts, "refusal", "not_sampled")), (gpt, n as u64 - gpt));

    let mut reference = 0;
    for verdict in server.all("verdicts", "").await {
        let shown = server.interaction(verdict["interaction_id"].as_str().unwrap()).await;
        let metric = &shown["metrics"][0];
        assert_eq!(metric["probability"], 0.5);
        let draw = &metric["draws"][0];
        assert_eq!((&draw["judge"], &draw["conditional"], &draw["probability"]), (&json!("gpt"), &json!(0.2), &json!(0.1)));
        assert_eq!((&draw["predictor"], metric["draws"].as_array().unwrap().len()), (&json!("mini"), 1));
        let judged = draw["drawn"] == true;
        assert_eq!(metric["outcome"], if judged { "judged" } else { "not_sampled" });
        assert_eq!(metric["score"].is_null(), !judged, "what the cheap judge says is not the reference score");
        assert_eq!(metric["verdicts"].as_array().unwrap().len(), if judged { 2 } else { 1 });
        reference += u64::from(verdict["is_reference"] == true);
    }
    assert_eq!(reference, gpt);

    let group = server.estimate("refusal").await;
    assert_eq!((&group["population"], &group["judged"], &group["missing"]), (&json!(600), &json!(gpt), &json!(0)), "{group}");
    let (low, high) = (group["low"].as_f64().unwrap(), group["high"].as_f64().unwrap());
    assert!(low < 1.0 / 3.0 && 1.0 / 3.0 < high && high - low < 0.5, "{group}");
    let (input, output) = provider.billed();
    let spend = server.get("/v1/spend?group_by=judge").await.expect(200);
    assert_eq!(spend["total"]["calls"], mini + gpt);
    assert_eq!((&spend["total"]["input_tokens"], &spend["total"]["output_tokens"]), (&json!(input), &json!(output)));
    let of = |judge: &str| spend["groups"].as_array().unwrap().iter().find(|group| group["key"] == judge).unwrap().clone();
    assert_eq!((&of("mini")["calls"], &of("gpt")["calls"]), (&json!(mini), &json!(gpt)));
    assert_eq!(nanos(&spend["total"]["cost_usd"]), nanos(&of("mini")["cost_usd"]) + nanos(&of("gpt")["cost_usd"]));
    server.adds_up().await;
}

#[tokio::test]
async fn a_cheap_judge_that_cannot_be_had_is_passed_over() {
    let provider = FakeProvider::start(Behaviour::with(|request: &Request| match request.model.as_str() {
        "mini" => Reply::status(400),
        _ => judges(request),
    }))
    .await
    .unwrap();
    let server = Server::start(&config(&provider, "[sampling]\nrate = 1.0").replace("share = 0.2", "share = 1.0")).await;
    server.accept(vec![item("a", "yes")]).await;
    let counts = server.settled("default", 1).await;
    assert_eq!(count(&counts, "refusal", "judged"), 1);
    let shown = server.interaction("a").await;
    assert_eq!(shown["metrics"][0]["score"], 1.0);
    assert_eq!(shown["metrics"][0]["draws"][0]["predictor"], "words", "the draw looked at what there was");
    server.adds_up().await;
}

#[tokio::test]
async fn the_fallback_judge_is_on_record_and_in_no_rate() {
    let provider = FakeProvider::start(Behaviour::with(|request: &Request| match request.model.as_str() {
        "other" => Reply::score(0.75),
        _ if request.item.contains("unlucky") => Reply::status(400),
        _ => Reply::score(0.0),
    }))
    .await
    .unwrap();
    let other = "[[judge]]\nname = \"other\"\nkind = \"chat\"\nprovider = \"fake\"\nmodel = \"other\"\nprice = \"free\"\n\n";
    let config = crate::harness::config(&provider, "", &format!("{other}[sampling]\nrate = 1.0"))
        .replace(r#"cascade = ["words", "gpt"]"#, "cascade = [\"words\", \"gpt\"]\nfallback = \"other\"");
    let server = Server::start(&config).await;
    server.accept(vec![item("a", "lucky"), item("b", "unlucky")]).await;
    let counts = server.settled("default", 2).await;
    assert_eq!((count(&counts, "refusal", "judged"), count(&counts, "refusal", "judge_failed")), (1, 1));
    let metric = server.interaction("b").await["metrics"][0].clone();
    assert_eq!((&metric["why"]["code"], &metric["score"]), (&json!("fallback"), &json!(null)));
    assert_eq!((&metric["verdicts"][0]["judge"], &metric["verdicts"][0]["score"]), (&json!("other"), &json!(0.75)));
    assert_ne!(metric["verdicts"][0]["judge_version"], metric["judge_version"]);
    let group = server.estimate("refusal").await;
    assert_eq!((&group["judged"], &group["missing"], &group["estimate"]), (&json!(1), &json!(1), &json!(0.0)));
    server.adds_up().await;
}
