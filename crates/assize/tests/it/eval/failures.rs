//! Judges that fail: for some interactions, and for all.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn some_widen_the_interval_and_the_run_goes_on() {
    // Every fifth is answered by prose, which is tried again; every seventh is refused for good.
    let provider = FakeProvider::start(Behaviour::with(|request| match number(request) {
        at if at.is_multiple_of(7) => Reply::status(400),
        at if at.is_multiple_of(5) => Reply::content("I would say it does."),
        _ => every_third(request),
    }))
    .await
    .unwrap();
    let files = Files::new();
    let config = configuration(&provider, 1.0).replace("api_key_env", "attempts = 2\napi_key_env");
    let ended = to_out(&files, &config, lines(70)).run().await.code(0);
    let summary = ended.json();
    let rate = &summary["metrics"]["refusal"];
    let by_outcome = counts(&summary, "refusal");
    assert_eq!((by_outcome["judge_failed"], by_outcome["judged"]), (22, 48));
    assert_eq!(rate["failures"]["rejected"]["count"], 10);
    assert_eq!(rate["failures"]["invalid_answer"]["count"], 12);
    assert_eq!(rate["judged"], 48);
    assert!(rate["coverage"].as_f64().unwrap() < 1.0);
    assert!(rate["low"].as_f64().unwrap() < rate["high"].as_f64().unwrap());
    // Two attempts, and once more from the queue.
    assert_eq!(provider.calls(), 48 + 10 + 12 * 4);
    assert_eq!(summary["calls"], provider.calls());
    let lines = outcomes(&files);
    assert_eq!(lines.len(), 70);
    let failed: Vec<_> = lines.iter().filter(|line| line["outcome"] == "judge_failed").collect();
    assert!(failed.iter().all(|line| line["score"].is_null() && line["reason"].is_string()), "{failed:?}");
    // Prose was billed: it has a cost. What was refused has none that is known.
    assert_eq!(lines.iter().map(|line| line["calls"].as_u64().unwrap()).sum::<u64>(), provider.calls());
    assert_eq!(summary["cost_unknown"], 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_stops_the_run_and_says_what_to_do() {
    let provider = FakeProvider::start(Behaviour::score(0.0).key("right")).await.unwrap();
    let files = Files::new();
    let command = |key: &'static str| to_out(&files, &configuration(&provider, 1.0), lines(5_000)).env("OPENAI_API_KEY", key);
    let ended = command("wrong").run().await.code(2).says(&["nothing could be judged", "401", "OPENAI_API_KEY"]);
    assert!(ended.stderr.lines().count() == 1, "{}", ended.stderr);
    assert!(!ended.stderr.contains("wrong"), "no secret: {}", ended.stderr);
    assert!(provider.calls() < 500, "it did not try all 5,000: {}", provider.calls());
    // Nothing was paid and nothing decided: with the right key the same command judges all.
    assert_eq!(outcomes(&files), Vec::<Value>::new());
    let summary = command("right").run().await.code(0).json();
    assert_eq!(summary["metrics"]["refusal"]["judged"], 5_000);
    // Counted by their key: a last call of the run that was stopped may arrive after its end.
    let with_the_right = provider.requests().iter().filter(|request| request.key.as_deref() == Some("right")).count();
    assert_eq!(with_the_right, 5_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_at_the_address_is_an_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let files = Files::new();
    let config =
        AS_WRITTEN.replace("127.0.0.1:8400", &address).replace("0.10", "1.0").replace("api_key_env", "attempts = 1\napi_key_env");
    let ended = to_out(&files, &config, lines(3)).run().await.code(2);
    let summary = ended.json();
    ended.says(&["nothing could be judged (network)", &address]);
    assert_eq!(summary["metrics"]["refusal"]["estimate"], Value::Null);
    assert_eq!(counts(&summary, "refusal")["judge_failed"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn interactions_without_an_answer_are_counted_and_not_asked_about() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let files = Files::new();
    let input = line("a", "q", "a") + "{\"id\":\"b\",\"input\":\"q\",\"output\":\"\"}\n" + "{\"id\":\"c\",\"input\":\"q\"}\n";
    let ended = eval(&files, &configuration(&provider, 1.0), input).arg("--json").run().await.code(0);
    let summary = ended.json();
    assert_eq!(provider.calls(), 1);
    assert_eq!(counts(&summary, "refusal")["judged"], 1);
    assert_eq!(summary["metrics"]["refusal"]["population"], 1);
}
