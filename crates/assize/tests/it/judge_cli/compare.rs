//! Two judges on the same interactions.

use super::*;

/// Gold, what `small` says and what `large` says of 100 interactions: 12 only `large` gets right, 3 only `small`.
fn case(n: usize) -> (bool, bool, bool) {
    match n {
        0..40 => (true, true, true),
        40..47 => (true, false, true),
        47..49 => (true, true, false),
        49 => (true, false, false),
        50..92 => (false, false, false),
        92..97 => (false, true, false),
        97 => (false, false, true),
        _ => (false, true, true),
    }
}

async fn provider() -> FakeProvider {
    let decide = |request: &Request| {
        let (_, small, large) = case(number(request));
        let says = if request.model == "tiny" { small } else { large };
        Reply::score(if says { 0.9 } else { 0.1 })
    };
    FakeProvider::start(Behaviour::with(decide).usage(1_000, 50)).await.unwrap()
}

fn lines() -> String {
    written((0..100).map(|n| gold(n, case(n).0)))
}

const COMPARE: [&str; 5] = ["compare", "small", "large", "--metric", "refusal"];

#[tokio::test(flavor = "multi_thread")]
async fn with_gold_it_says_which_agrees_better() {
    let provider = provider().await;
    let files = Files::new();
    let command = judge(&files, &provider, &lines(), COMPARE).option("--gold", "gold.jsonl");
    let report = command.option("--out", "apart.jsonl").arg("--json").run().await.code(0).json();
    assert_eq!((provider.calls(), &report["a"]["calls"], &report["b"]["calls"]), (200, &json!(100), &json!(100)));
    // 1,000 and 50 tokens at 0.5 and 1 dollar a million, and at 5 and 15.
    close(&report["a"]["cost_usd"], 100.0 * 0.00055);
    close(&report["b"]["cost_usd"], 100.0 * 0.00575);
    let group = &report["groups"][0];
    assert_eq!((&group["pairs"], &group["confusion"]), (&json!(100), &json!([[43, 8], [7, 42]])));
    close(&group["agreement"]["value"], 0.85);
    close(&group["mean_difference"]["value"], 0.008);
    let gold = &group["against_gold"];
    close(&gold["a_agreement"]["value"], 0.85);
    close(&gold["b_agreement"]["value"], 0.94);
    close(&gold["difference"]["value"], 0.09);
    assert!(gold["difference"]["low"].as_f64().unwrap() > 0.0);
    // 2 (1 + 15 + 105 + 455)/2^15.
    close(&gold["p_value"], 1152.0 / 32768.0);
    let apart: Vec<Value> = files.read("apart.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(apart.len(), 15);
    assert!(apart.iter().all(|line| line["a"]["score"] != line["b"]["score"] && line["b"]["judge"] == "large"));

    let ended = judge(&files, &provider, &lines(), COMPARE).option("--gold", "gold.jsonl").run().await.code(0);
    for part in [
        "small (A) and large (B) on refusal",
        "both right 82, only A 3, only B 12, both wrong 3",
        "B agrees better",
        "p = 0.0352",
    ] {
        assert!(ended.stdout.contains(part), "{part:?} is not in\n{}", ended.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_gold_it_says_how_far_they_agree() {
    let provider = provider().await;
    let files = Files::new();
    let bare = written((0..100).map(|n| json!({"id": n, "input": "q", "output": format!("Answer <{n}>.")})));
    // `small` stands in no metric; `words` stands in one, and that decides.
    let command = judge(&files, &provider, &bare, ["compare", "small", "words"]).option("--interactions", "gold.jsonl");
    let report = command.arg("--json").run().await.code(0).json();
    assert_eq!((&report["metric"], provider.calls()), (&json!("refusal"), 100));
    assert_eq!((&report["b"]["calls"], &report["groups"][0]["against_gold"]), (&json!(0), &json!(null)));
    assert_eq!(report["groups"][0]["confusion"], json!([[51, 0], [49, 0]]));
    close(&report["groups"][0]["mean_difference"]["value"], -(0.49 * 0.9 + 0.51 * 0.1));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_overlap_and_wrong_arguments() {
    let decide = |request: &Request| {
        let mine = number(request).is_multiple_of(2) == (request.model == "tiny");
        if mine { Reply::score(1.0) } else { Reply::status(422) }
    };
    let provider = FakeProvider::start(Behaviour::with(decide)).await.unwrap();
    let files = Files::new();
    let few = written((0..10).map(|n| gold(n, true)));
    let ended = judge(&files, &provider, &few, COMPARE).option("--gold", "gold.jsonl").run().await.code(2);
    ended.says(&["no interaction has a verdict of both judges", "small judged 5 and large judged 5"]);
    let calls = provider.calls();
    let run = |args: &[&'static str]| judge(&files, &provider, &few, args.iter().copied());
    run(&["compare", "small", "small", "--gold", "gold.jsonl"]).run().await.code(2).says(&["name two"]);
    run(&COMPARE).run().await.code(2).says(&["--gold", "--interactions"]);
    run(&["compare", "small", "large", "--gold", "gold.jsonl"]).run().await.code(2).says(&["--metric"]);
    run(&["compare", "huge", "large", "--metric", "refusal", "--gold", "gold.jsonl"])
        .run()
        .await
        .code(2)
        .says(&["words, large, small"]);
    assert_eq!(provider.calls(), calls);
}
