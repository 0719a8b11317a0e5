//! `--out`: every outcome a line, resumed without paying twice, refused where it belongs to something else.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn every_outcome_has_a_line_and_a_second_run_costs_nothing() {
    let provider = FakeProvider::start(Behaviour::with(every_third).usage(1_000, 50)).await.unwrap();
    let files = Files::new();
    let first = to_out(&files, &configuration(&provider, 0.3), lines(200)).run().await.code(0).json();
    let calls = provider.calls();
    let written = files.read("out.jsonl");
    let lines = outcomes(&files);
    assert_eq!(lines.len(), 200);
    for line in &lines {
        assert_eq!(line["probability"], 0.3);
        match line["outcome"].as_str().unwrap() {
            "judged" => {
                assert_eq!((&line["judge"], &line["calls"], &line["cost_usd"]), (&json!("gpt-4o"), &json!(1), &json!(0.00575)));
                assert!(line["score"].is_number() && line["reason"] == "as told", "{line}");
            }
            "not_sampled" => assert!(line["score"].is_null() && line["calls"] == 0, "{line}"),
            other => panic!("{other}"),
        }
    }
    let second = again(&files).option("--out", "out.jsonl").arg("--json").run().await.code(0).json();
    assert_eq!(provider.calls(), calls, "nothing is paid twice");
    assert_eq!(lasting(&second), lasting(&first));
    assert_eq!(second["resumed"], 200);
    assert_eq!(files.read("out.jsonl"), written);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_something_else_is_refused_and_left_alone() {
    let provider = FakeProvider::start(Behaviour::score(0.0)).await.unwrap();
    let files = Files::new();
    let config = configuration(&provider, 1.0);
    to_out(&files, &config, lines(5)).run().await.code(0);
    let (calls, written) = (provider.calls(), files.read("out.jsonl"));
    let refused = ["out.jsonl", "cannot be resumed", "name another --out"];
    to_out(&files, &config, lines(6)).run().await.code(2).says(&refused).says(&["another input"]);
    let other = config.replace("fully or in part", "wholly");
    to_out(&files, &other, lines(5)).run().await.code(2).says(&refused).says(&["another configuration"]);
    let other = config.replace("rate = 1", "rate = 0.5");
    to_out(&files, &other, lines(5)).run().await.code(2).says(&refused).says(&["another configuration"]);
    assert_eq!(files.read("out.jsonl"), written);
    // How fast it is judged does not change what is judged.
    let faster = config.replace("api_key_env", "concurrency = 2\napi_key_env");
    to_out(&files, &faster, lines(5)).run().await.code(0);
    for foreign in ["my notes", "my notes\n", "{\"a\":1}\n", "\u{0}\u{1}\n"] {
        files.write("out.jsonl", foreign);
        to_out(&files, &config, lines(5)).run().await.code(2).says(&refused).says(&["not written by this command"]);
        assert_eq!(files.read("out.jsonl"), foreign);
    }
    let damaged = written.replacen("\"outcome\"", "\"outcom", 1);
    files.write("out.jsonl", &damaged);
    to_out(&files, &config, lines(5)).run().await.code(2).says(&refused).says(&["line 2 is damaged"]);
    assert_eq!(files.read("out.jsonl"), damaged, "what follows was paid for");
    // Nor is the input overwritten.
    again(&files).option("--out", "answers.jsonl").run().await.code(2).says(&["not written by this command"]);
    again(&files).option("--out", ".").run().await.code(2).says(&["cannot use ."]);
    again(&files).option("--out", "no/such/out.jsonl").run().await.code(2).says(&["no/such/out.jsonl"]);
    assert_eq!(provider.calls(), calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_cut_short_is_repaired() {
    let provider = FakeProvider::start(Behaviour::with(every_third)).await.unwrap();
    let files = Files::new();
    let config = configuration(&provider, 1.0);
    let first = to_out(&files, &config, lines(20)).run().await.code(0).json();
    let written = files.read("out.jsonl");
    let header = written.find('\n').unwrap() + 1;
    let last = written[..written.len() - 1].rfind('\n').unwrap() + 1;
    for (cut, again) in [(written.len() - 1, 1), (last + 10, 1), (last, 1), (header, 20), (header / 2, 20), (0, 20)] {
        files.write("out.jsonl", &written[..cut]);
        let before = provider.calls();
        let summary = to_out(&files, &config, lines(20)).run().await.code(0).json();
        assert_eq!(provider.calls() - before, again, "cut at {cut}");
        assert_eq!(lasting(&summary), lasting(&first), "cut at {cut}");
        assert_eq!(outcomes(&files).len(), 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_several_metrics_is_resumed_by_whole_interactions() {
    let provider = FakeProvider::start(Behaviour::with(every_third)).await.unwrap();
    let files = Files::new();
    let more = "[[metric]]\nname = \"helpfulness\"\nquestion = \"Does it help?\"\ncascade = [\"gpt-4o\"]\n[[metric]]\nname = \"words\"\ncascade = [\"refusal-words\"]\n[sampling]";
    let config = configuration(&provider, 1.0).replace("[sampling]", more);
    let first = to_out(&files, &config, lines(10)).run().await.code(0).json();
    assert_eq!(provider.calls(), 20);
    assert_eq!(provider.calls_of_one_item_max(), 1);
    let written = files.read("out.jsonl");
    let last = written[..written.len() - 1].rfind('\n').unwrap() + 1;
    // One line of three is missing: the two before it go, and their interaction is judged anew.
    files.write("out.jsonl", &written[..last]);
    let second = to_out(&files, &config, lines(10)).run().await.code(0).json();
    assert_eq!(provider.calls(), 22);
    assert_eq!(lasting(&second), lasting(&first));
    assert_eq!(outcomes(&files).len(), 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_pays_no_outcome_twice() {
    let latency = Duration::from_millis(15);
    let provider = FakeProvider::start(Behaviour::with(every_third).latency(latency)).await.unwrap();
    let files = Files::new();
    let config = configuration(&provider, 1.0);
    const ALL: u64 = 300;
    const AT_ONCE: u64 = 8;
    let mut command = to_out(&files, &config, lines(ALL as usize)).option("--concurrency", "8").start();
    for calls in [60, 140] {
        until("so many calls are made", || provider.calls() >= calls).await;
        command.signal("KILL");
        command.end().await;
        command = again(&files).option("--out", "out.jsonl").arg("--json").option("--concurrency", "8").start();
    }
    let summary = command.end().await.code(0).json();
    assert_eq!(counts(&summary, "refusal")["judged"], ALL);
    assert_eq!(summary["metrics"]["refusal"]["estimate"], 100.0 / 300.0);
    assert_eq!(summary["calls"], ALL, "the calls on record");
    assert!(provider.in_flight_peak() as u64 <= 2 * AT_ONCE);
    let paid_again = provider.calls() - ALL;
    assert!(paid_again <= 2 * AT_ONCE, "only what was in flight at a kill: {paid_again}");
    let mut by_number = BTreeMap::new();
    provider.requests().iter().for_each(|request| *by_number.entry(number(request)).or_insert(0_u64) += 1);
    assert_eq!(by_number.len() as u64, ALL);
    assert_eq!(by_number.values().filter(|times| **times > 1).count() as u64, paid_again);
    let mut ids: Vec<_> = outcomes(&files).iter().map(|line| line["id"].to_string()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len() as u64, ALL);
    assert!(summary["resumed"].as_u64().unwrap() >= 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_do_not_share_one() {
    let provider = FakeProvider::start(Behaviour::always(Reply::Hang)).await.unwrap();
    let files = Files::new();
    let config = configuration(&provider, 1.0);
    let first = to_out(&files, &config, lines(5)).start();
    until("the first run calls", || provider.calls() == 5).await;
    again(&files).option("--out", "out.jsonl").run().await.code(2).says(&["another run", "out.jsonl", "--out"]);
    assert_eq!(provider.calls(), 5);
    first.signal("KILL");
    first.end().await;
    // A killed run holds nothing.
    provider.set(Behaviour::score(0.0));
    again(&files).option("--out", "out.jsonl").run().await.code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_larger_limit_goes_on() {
    let provider = FakeProvider::start(Behaviour::with(every_third)).await.unwrap();
    let files = Files::new();
    let config = configuration(&provider, 1.0);
    to_out(&files, &config, lines(50)).option("--limit", "20").run().await.code(0);
    assert_eq!(provider.calls(), 20);
    let summary = again(&files).option("--out", "out.jsonl").arg("--json").run().await.code(0).json();
    assert_eq!(provider.calls(), 50);
    assert_eq!((&summary["interactions"], &summary["resumed"]), (&json!(50), &json!(20)));
}
