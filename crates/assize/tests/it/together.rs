//! Several metrics in one call: who is asked what together, how the cost is split, and what becomes of a part that fails.

use std::sync::atomic::{AtomicU64, Ordering};

use assize_testkit::provider::{Behaviour, DecisionsProtocol, FakeDecisions, FakeProvider, Reply, Request};
use serde_json::{Value, json};

use crate::command::{Files, assize, lines};
use crate::harness::{Server, bill, count, item, nanos};

/// Three metrics of one judge, asked together if `packed`.
fn three(provider: &FakeProvider, packed: bool) -> String {
    let metrics: String = ["refusal", "toxicity", "helpfulness"]
        .iter()
        .map(|name| format!("[[metric]]\nname = \"{name}\"\ncascade = [\"gpt\"]\n\n"))
        .collect();
    let config = crate::harness::config(provider, "", "[sampling]\nrate = 1.0")
        .replace("[[metric]]\nname = \"refusal\"\ncascade = [\"words\", \"gpt\"]\n", &metrics)
        .replace("question = \"Does the assistant refuse to do what the user asks?\"\n", "");
    if packed { config.replace("kind = \"chat\"", "kind = \"chat\"\npacked = true") } else { config }
}

/// Answers every question that the form of the answer names, with `score` of its id.
fn packed(request: &Request, score: impl Fn(&str) -> Value) -> Reply {
    let schema = &request.body["response_format"]["json_schema"]["schema"]["properties"];
    let ids = schema.as_object().unwrap().keys();
    let answer: Value =
        ids.map(|id| (id.clone(), json!({"score": score(id), "reason": "as told"}))).collect::<serde_json::Map<_, _>>().into();
    Reply::content(answer.to_string())
}

#[tokio::test]
async fn three_metrics_cost_one_call() {
    let provider = FakeProvider::start(Behaviour::with(|request: &Request| {
        packed(request, |id| match id {
            "q1" => json!(1.0),
            "q2" => json!(0.25),
            _ => json!(0.5),
        })
    }))
    .await
    .unwrap();
    let server = Server::start(&three(&provider, true)).await;
    server.accept((0..10).map(|i| item(&format!("i-{i}"), &format!("an answer {i}"))).collect()).await;
    let counts = server.settled("default", 10).await;
    assert_eq!(provider.calls(), 10);
    for (metric, score) in [("refusal", 1.0), ("toxicity", 0.25), ("helpfulness", 0.5)] {
        assert_eq!(count(&counts, metric, "judged"), 10);
        assert_eq!(server.estimate(metric).await["estimate"], score, "{metric}");
    }
    let spend = server.get("/v1/spend?group_by=metric").await.expect(200);
    assert_eq!((&spend["total"]["calls"], &spend["total"]["questions"]), (&json!(10), &json!(30)));
    assert_eq!(nanos(&spend["total"]["cost_usd"]), bill(&provider), "the parts add up to what was charged");
    let costs: Vec<u64> = spend["groups"].as_array().unwrap().iter().map(|group| nanos(&group["cost_usd"])).collect();
    assert!(costs.len() == 3 && costs.iter().max().unwrap() - costs.iter().min().unwrap() <= 3 * 5_000 * 10, "{costs:?}");
    let call = server.interaction("i-0").await["metrics"][2]["calls"][0].clone();
    assert_eq!(call["questions"], 3);
    server.adds_up().await;
}

#[tokio::test]
async fn a_part_that_fails_is_asked_again_alone() {
    static ASKED: AtomicU64 = AtomicU64::new(0);
    let provider = FakeProvider::start(Behaviour::with(|request: &Request| {
        let first = ASKED.fetch_add(1, Ordering::SeqCst) == 0;
        packed(request, |id| if first && id == "q2" { json!(7) } else { json!(1.0) })
    }))
    .await
    .unwrap();
    let server = Server::start(&three(&provider, true)).await;
    server.accept(vec![item("a", "b")]).await;
    let counts = server.settled("default", 1).await;
    assert_eq!(["refusal", "toxicity", "helpfulness"].map(|metric| count(&counts, metric, "judged")), [1, 1, 1]);
    assert_eq!(provider.calls(), 2);
    let again = provider.last_request().unwrap();
    let asked = again.body["response_format"]["json_schema"]["schema"]["properties"].as_object().unwrap().clone();
    assert_eq!(asked.keys().collect::<Vec<_>>(), ["q2"], "only what failed");
    let metric = server.interaction("a").await["metrics"][1].clone();
    let errors: Vec<&Value> = metric["calls"].as_array().unwrap().iter().map(|call| &call["error"]).collect();
    assert_eq!(errors, [&json!("invalid_answer"), &Value::Null]);
    assert_eq!(nanos(&server.get("/v1/spend").await.expect(200)["total"]["cost_usd"]), bill(&provider));
    server.adds_up().await;
}

#[tokio::test]
async fn without_packing_each_metric_is_a_call() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let server = Server::start(&three(&provider, false)).await;
    server.accept(vec![item("a", "b")]).await;
    server.settled("default", 1).await;
    assert_eq!(provider.calls(), 3);
}

#[tokio::test]
async fn a_decision_model_sees_all_and_the_reference_judge_a_part() {
    let provider = FakeProvider::start(Behaviour::score(0.0)).await.unwrap();
    for (protocol, kind) in [(DecisionsProtocol::OpenAi, "openai"), (DecisionsProtocol::Gemini, "gemini")] {
        let decisions = FakeDecisions::always(0.25).await.unwrap();
        let judge = format!(
            "[[provider]]\nname = \"cheap\"\nkind = \"{kind}\"\nbase_url = \"{}\"\n\n[[judge]]\nname = \"decide\"\nkind = \"decisions\"\n\
             provider = \"cheap\"\nmodel = \"gpt-6-luna\"\nprice = {{ input = 0.1, output = 0.0 }}\n\n",
            decisions.base_url(protocol)
        );
        let cascade = "cascade = [\"decide\", { judge = \"gpt\", share = 0.1 }]";
        let config = three(&provider, false).replace("cascade = [\"gpt\"]", cascade);
        let server = Server::start(&format!("{config}\n{judge}")).await;
        let before = provider.calls();
        server.accept((0..100).map(|i| item(&format!("i-{i}"), &format!("an answer {i}"))).collect()).await;
        let counts = server.settled("default", 100).await;
        assert_eq!(decisions.calls(), 100, "{kind}: three questions a call");
        let judged: u64 = ["refusal", "toxicity", "helpfulness"].map(|metric| count(&counts, metric, "judged")).iter().sum();
        assert_eq!(provider.calls() - before, judged, "{kind}");
        assert!((3..=75).contains(&judged) && judged.is_multiple_of(3), "{kind}: one draw for all metrics, and {judged} judged");
        let verdicts = server.all("verdicts", "judge=decide").await;
        assert_eq!(verdicts.len(), 300);
        assert!(verdicts.iter().all(|verdict| verdict["score"] == 0.25 && verdict["confidence"] == 0.75), "{kind}");
        server.adds_up().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eval_counts_a_call_of_three_questions_once() {
    let provider = FakeProvider::start(Behaviour::with(|request: &Request| packed(request, |_| json!(1.0)))).await.unwrap();
    let files = Files::new();
    files.write("c.toml", three(&provider, true));
    files.write("answers.jsonl", lines(10));
    let ended = assize(["eval", "answers.jsonl", "--config", "c.toml", "--out", "out.jsonl", "--json"]).within(files.path());
    let ended = ended.run().await.code(0);
    let summary = ended.json();
    assert_eq!((provider.calls(), &summary["calls"], &summary["cost_unknown"]), (10, &json!(10), &json!(0)));
    let out = files.read("out.jsonl");
    let lines = out.lines().skip(1).map(|line| serde_json::from_str::<Value>(line).unwrap());
    let (calls, costs): (Vec<u64>, Vec<Option<f64>>) =
        lines.map(|line| (line["calls"].as_u64().unwrap(), line["cost_usd"].as_f64())).unzip();
    assert_eq!((calls.len(), calls.iter().sum::<u64>()), (30, 10));
    assert!(costs.iter().all(|cost| cost.is_some_and(|cost| cost > 0.0)), "each has paid its part: {costs:?}");
}
