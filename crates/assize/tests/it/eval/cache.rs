//! `--data`: the same file judged again costs no call.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_same_file_judged_again_costs_no_call() {
    let provider = FakeProvider::start(Behaviour::with(every_third).usage(1_000, 50)).await.unwrap();
    let files = Files::new();
    let config = configuration(&provider, 1.0);
    let first = eval(&files, &config, lines(60)).option("--data", "kept").arg("--json").run().await.code(0).json();
    assert_eq!((provider.calls(), first["calls"].as_u64()), (60, Some(60)));
    let second = again(&files).option("--data", "kept").arg("--json").run().await.code(0).json();
    assert_eq!((provider.calls(), second["calls"].as_u64()), (60, Some(0)));
    let rate = |summary: &Value| summary["metrics"]["refusal"]["estimate"].clone();
    assert_eq!(rate(&second), rate(&first), "and says the same");
    assert_eq!(counts(&second, "refusal").get("reused"), Some(&60));
    again(&files).option("--data", "kept").arg("--no-cache").run().await.code(0);
    assert_eq!(provider.calls(), 120, "unless it is told to ask anew");

    // Another question is another judge version: nothing of the old one is taken for it.
    let other = config.replace("fully or in part?", "in full?");
    eval(&files, &other, lines(60)).option("--data", "kept").run().await.code(0);
    assert_eq!(provider.calls(), 180);
    // And --out says of each line what was saved.
    let out = again(&files).option("--data", "kept").option("--out", "out.jsonl").arg("--json").run().await.code(0).json();
    assert_eq!((provider.calls(), &out["calls"]), (180, &json!(0)));
    assert!(outcomes(&files).iter().all(|line| line["outcome"] == "reused" && line["saved_nano_usd"] == 5_750_000));
    let resumed = again(&files).option("--out", "out.jsonl").arg("--json").run().await.code(0).json();
    assert_eq!((provider.calls(), rate(&resumed)), (180, rate(&out)), "resumed lines count as they were written");
}
