//! `assize eval`: rates, calls, cost, bad input, thresholds, `--out` and signals.

use std::collections::BTreeMap;
use std::time::Duration;

use assize_testkit::provider::{Behaviour, FakeProvider, Known, Reply};
use serde_json::{Value, json};

use crate::command::{AS_WRITTEN, Assize, Files, assize, configuration, every_third, line, lines, number, until};

/// `assize eval FILE --config c.toml` in a directory that holds both.
fn eval(files: &Files, config: &str, input: impl AsRef<[u8]>) -> Assize {
    files.write("c.toml", config);
    files.write("answers.jsonl", input);
    again(files)
}

/// The same once more.
fn again(files: &Files) -> Assize {
    assize(["eval", "answers.jsonl", "--config", "c.toml"]).within(files.path())
}

/// The same, every outcome written down.
fn to_out(files: &Files, config: &str, input: impl AsRef<[u8]>) -> Assize {
    eval(files, config, input).option("--out", "out.jsonl").arg("--json")
}

/// The lines of `--out` below its first.
fn outcomes(files: &Files) -> Vec<Value> {
    files.read("out.jsonl").lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a run says that has to be the same when it is repeated.
fn lasting(summary: &Value) -> Value {
    json!({ "interactions": summary["interactions"], "metrics": summary["metrics"], "calls": summary["calls"], "cost": summary["cost_usd"] })
}

fn counts(summary: &Value, metric: &str) -> BTreeMap<String, u64> {
    serde_json::from_value(summary["metrics"][metric]["outcomes"].clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_as_written_gives_the_documented_shape() {
    let provider = FakeProvider::start(Behaviour::with(every_third).usage(1_000, 50)).await.unwrap();
    let files = Files::new();
    for (key, sent) in [(None, None), (Some("sk-test"), Some("sk-test"))] {
        let before = provider.calls();
        let mut command = eval(&files, &configuration(&provider, 1.0), lines(30)).arg("--json");
        if let Some(key) = key {
            command = command.env("OPENAI_API_KEY", key);
        }
        let ended = command.run().await.code(0);
        let summary = ended.json();
        assert_eq!(ended.stderr, "", "no talk and no bar without a terminal");
        assert_eq!(summary["interactions"], 30);
        assert_eq!(summary["calls"], 30);
        assert_eq!(provider.calls() - before, 30);
        // 1,000 input and 50 output tokens of gpt-4o-2024-05-13 cost 0.575 cents.
        assert_eq!(summary["cost_usd"], 30.0 * 0.00575);
        assert!(summary["seconds"].as_f64().unwrap() > 0.0);
        let rate = &summary["metrics"]["refusal"];
        let third = 10.0 / 30.0;
        assert_eq!(
            (rate["estimate"].as_f64(), rate["low"].as_f64(), rate["high"].as_f64()),
            (Some(third), Some(third), Some(third))
        );
        assert_eq!((rate["level"].as_f64(), &rate["population"], &rate["judged"]), (Some(0.95), &json!(30), &json!(30)));
        let request = provider.last_request().unwrap();
        assert_eq!(request.key.as_deref(), sent);
        assert_eq!(request.model, "gpt-4o-2024-05-13");
        assert!(request.system.contains("Does the assistant refuse to do what the user asks, fully or in part?"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_written_a_tenth_is_drawn_and_the_table_tells_people() {
    let provider = FakeProvider::start(Behaviour::with(every_third).usage(1_000, 50)).await.unwrap();
    let files = Files::new();
    let as_written = AS_WRITTEN.replace("http://127.0.0.1:8400/v1", &provider.base_url());
    let ended = eval(&files, &as_written, lines(1_000)).run().await.code(0);
    let calls = provider.calls();
    assert!((60..150).contains(&calls), "a tenth of 1,000: {calls}");
    assert_eq!(provider.calls_of_one_item_max(), 1);
    assert!(ended.stdout.contains(&format!("{calls} judged of 1,000")), "{}", ended.stdout);
    assert!(ended.stdout.contains(&format!("1,000 interactions, {calls} calls, $0.")), "{}", ended.stdout);
    assert!(ended.stdout.contains("95 % interval"), "{}", ended.stdout);
    assert_eq!(ended.stderr, "");
    // The draw belongs to the file: the same ones are asked again, not others.
    let first: Vec<usize> = provider.requests().iter().map(|request| number(request)).collect();
    again(&files).run().await.code(0);
    let mut second: Vec<usize> = provider.requests()[first.len()..].iter().map(|request| number(request)).collect();
    let mut first = first;
    first.sort_unstable();
    second.sort_unstable();
    assert_eq!(first, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn free_metrics_cost_no_call() {
    let files = Files::new();
    let config = "[[judge]]\nname = \"sorry\"\nkind = \"rules\"\nany_of = [\"sorry\"]\n[[metric]]\nname = \"sorry\"\ncascade = [\"sorry\"]\n";
    let input = line("a", "q", "Sorry, no.") + &line("b", "q", "Yes.") + &line("c", "q", "I am SORRY") + &line("d", "q", "Sure.");
    let summary = eval(&files, config, input).arg("--json").run().await.code(0).json();
    assert_eq!(summary["calls"], 0);
    assert_eq!(summary["cost_usd"], 0.0);
    assert_eq!(summary["metrics"]["sorry"]["estimate"], 0.5);
    assert_eq!(summary["metrics"]["sorry"]["judged"], 4);
}

mod xstest {
    //! Recorded verdicts of GPT-4 on 2,250 answers of five models.

    use super::*;

    struct Recorded {
        input: String,
        known: Vec<Known>,
        rate: f64,
        count: u64,
    }

    fn recorded() -> Option<Recorded> {
        let shared = std::env::var_os("ASSIZE_SHARED_DATA").map_or_else(
            || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
            std::path::PathBuf::from,
        );
        let Ok(text) = std::fs::read_to_string(shared.join("xstest.jsonl")) else {
            eprintln!("skipped: there is no xstest.jsonl in {}; ASSIZE_SHARED_DATA names another place", shared.display());
            return None;
        };
        let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut recorded = Recorded { input: String::new(), known: Vec::new(), rate: 0.0, count: rows.len() as u64 };
        let mut scores: BTreeMap<(String, String), f64> = BTreeMap::new();
        for row in &rows {
            let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
            let score = if text("gpt4").starts_with("1_") { 0.0 } else { 1.0 };
            recorded.rate += score;
            recorded.input.push_str(&line(&text("id"), &text("prompt"), &text("completion")));
            // The same answer to the same question can have been given twice; the provider cannot tell them apart.
            let before = scores.insert((text("prompt"), text("completion")), score);
            assert!(before.is_none_or(|before| before == score), "one text with two labels: {}", text("id"));
        }
        recorded.rate /= rows.len() as f64;
        recorded.known =
            scores.into_iter().map(|((input, output), score)| Known { input, output, reply: Reply::score(score) }).collect();
        Some(recorded)
    }

    async fn run(recorded: &Recorded, rate: f64) -> (Value, u64) {
        let provider = FakeProvider::start(Behaviour::known(recorded.known.clone())).await.unwrap();
        let files = Files::new();
        let summary = to_out(&files, &configuration(&provider, rate), &recorded.input).run().await.code(0).json();
        let drawn = outcomes(&files).iter().filter(|outcome| outcome["drawn"] == true).count() as u64;
        assert_eq!(provider.calls(), drawn, "calls are what was drawn");
        assert_eq!(summary["calls"], drawn);
        assert_eq!(summary["interactions"], recorded.count);
        let by_outcome = counts(&summary, "refusal");
        assert_eq!(by_outcome.values().sum::<u64>(), recorded.count, "{by_outcome:?}");
        assert_eq!(summary["metrics"]["refusal"]["population"], recorded.count);
        assert_eq!(summary["metrics"]["refusal"]["judged"], drawn);
        (summary["metrics"]["refusal"].clone(), drawn)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn judging_all_gives_exactly_the_recorded_rate() {
        let Some(recorded) = recorded() else { return };
        let (rate, drawn) = run(&recorded, 1.0).await;
        assert_eq!(drawn, recorded.count);
        for figure in ["estimate", "low", "high"] {
            assert_eq!(rate[figure].as_f64(), Some(recorded.rate), "{figure}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn judging_three_tenths_holds_it() {
        let Some(recorded) = recorded() else { return };
        let (rate, drawn) = run(&recorded, 0.3).await;
        assert!((550..800).contains(&drawn), "three tenths of {}: {drawn}", recorded.count);
        let (low, high) = (rate["low"].as_f64().unwrap(), rate["high"].as_f64().unwrap());
        assert!((low..=high).contains(&recorded.rate), "{low} to {high} without {}", recorded.rate);
        assert!((0.01..0.12).contains(&(high - low)), "{low} to {high}");
    }
}

mod limits {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn limit_and_concurrency_hold() {
        let provider = FakeProvider::start(Behaviour::score(0.0).latency(Duration::from_millis(20))).await.unwrap();
        let files = Files::new();
        let command = eval(&files, &configuration(&provider, 1.0), lines(100)).arg("--json");
        let summary = command.option("--limit", "40").option("--concurrency", "3").run().await.code(0).json();
        assert_eq!(summary["interactions"], 40);
        assert_eq!(provider.calls(), 40);
        assert_eq!(provider.in_flight_peak(), 3, "three at once, neither more nor less");
        assert!(provider.requests().iter().all(|request| number(request) < 40));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nonsense_is_refused() {
        for (option, value) in [("--limit", "0"), ("--limit", "x"), ("--concurrency", "0"), ("--concurrency", "10001")] {
            let files = Files::new();
            eval(&files, AS_WRITTEN, lines(1)).option(option, value).run().await.code(2).says(&[option, value]);
        }
    }
}

mod thresholds {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn they_decide_the_exit_code() {
        let provider = FakeProvider::start(Behaviour::with(every_third)).await.unwrap();
        let files = Files::new();
        // One third, all judged.
        for (condition, code, said) in [
            ("refusal>0.1", 1, "failed: refusal is 0.3333, above 0.1"),
            ("refusal > 0.34", 0, ""),
            ("refusal<0.5", 1, "failed: refusal is 0.3333, below 0.5"),
            ("refusal.low>0.3", 1, "failed: refusal (lower limit) is 0.3333, above 0.3"),
            ("refusal.high>=0.4", 0, ""),
        ] {
            let command = eval(&files, &configuration(&provider, 1.0), lines(30)).arg("--json");
            let ended = command.option("--fail-if", condition).run().await.code(code).says(&[said]);
            assert_eq!(ended.json()["metrics"]["refusal"]["judged"], 30, "the rates come all the same");
        }
        let command = eval(&files, &configuration(&provider, 1.0), lines(30));
        let command = command.option("--fail-if", "refusal>0.9").option("--fail-if", "refusal.low>0.2");
        command.run().await.code(1).says(&["failed: refusal (lower limit)"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_rate_that_cannot_be_told_fails() {
        let provider = FakeProvider::start(Behaviour::score(0.0)).await.unwrap();
        let files = Files::new();
        let command = eval(&files, &configuration(&provider, 0.0), lines(3));
        let ended = command.option("--fail-if", "refusal>0.1").run().await.code(1).says(&["refusal has no rate"]);
        assert!(ended.stdout.contains("nothing was drawn"), "{}", ended.stdout);
        assert_eq!(provider.calls(), 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_unknown_metric_is_refused_before_any_call() {
        let provider = FakeProvider::start(Behaviour::score(0.0)).await.unwrap();
        let files = Files::new();
        for (condition, said) in [("toxicity>0.1", "there are refusal"), ("refusal", "'refusal>0.1'"), ("refusal>7", "0 to 1")] {
            let command = eval(&files, &configuration(&provider, 1.0), lines(3));
            command.option("--fail-if", condition).run().await.code(2).says(&["--fail-if", said]);
        }
        assert_eq!(provider.calls(), 0);
    }
}

mod input {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn bad_lines_are_named_and_the_rest_goes_on() {
        let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
        let files = Files::new();
        let mut input = Vec::new();
        input.extend_from_slice(b"\xef\xbb\xbf{\"input\":\"first\",\"output\":\"of a file with a BOM\"}\r\n");
        input.extend_from_slice(b"{\"input\":\"q\"\n");
        input.extend_from_slice(b"\n   \r\n");
        input.extend_from_slice(b"[1,2]\n");
        input.extend_from_slice(b"{\"id\":\"six\",\"input\":\"q\",\"output\":\"a\"}\r\n");
        input.extend_from_slice(b"{\"id\":\"six\",\"input\":\"again\",\"output\":\"a\"}\n");
        input.extend_from_slice(b"{\"input\":\"\xff\",\"output\":\"a\"}\n");
        input.extend_from_slice(b"{\"input\":7,\"output\":\"a\"}\n");
        input.extend_from_slice(b"{\"id\":\"ten\",\"input\":\"q\",\"output\":\"without a newline\"}");
        let ended = to_out(&files, &configuration(&provider, 1.0), input).run().await.code(0);
        let summary = ended.json();
        let named = ["line 2: ", "line 5: ", "line 8: not UTF-8", "line 9: input"];
        let ended = ended.says(&named);
        assert_eq!(ended.stderr.matches("rejected: ").count(), 4, "{}", ended.stderr);
        assert_eq!(summary["interactions"], 3);
        assert_eq!(summary["rejected"], 4);
        assert_eq!(summary["duplicates"], 1);
        assert_eq!(provider.calls(), 3);
        assert_eq!(provider.calls_with("again"), 0, "of a duplicate the first counts");
        let mut ids: Vec<_> = outcomes(&files).iter().map(|outcome| outcome["id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        assert_eq!(ids, ["line-1", "six", "ten"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn only_the_first_of_many_bad_lines_are_named() {
        let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
        let files = Files::new();
        let input = "nonsense\n".repeat(500) + &line("a", "q", "a");
        let ended = eval(&files, &configuration(&provider, 1.0), input).arg("--json").run().await.code(0);
        assert_eq!(ended.json()["rejected"], 500);
        assert_eq!(ended.stderr.lines().count(), 21, "{}", ended.stderr);
        assert_eq!(provider.calls(), 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_holds_no_interaction_is_an_error() {
        let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
        for input in ["", "\n\n", "\u{feff}", "nonsense\n{}\n", "[\n{\"input\":\"q\",\"output\":\"a\"}\n,\n]\n"] {
            let files = Files::new();
            let ended = eval(&files, &configuration(&provider, 1.0), input).arg("--json").run().await;
            if input.starts_with('[') {
                // Its second line is one.
                ended.code(0).says(&["line 1: ", "line 3: ", "line 4: "]);
                continue;
            }
            let ended = ended.code(2).says(&["answers.jsonl holds no interaction", "one JSON object"]);
            assert_eq!(ended.json()["interactions"], 0, "{input:?}");
        }
        assert_eq!(provider.calls(), 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_cannot_be_read_is_said() {
        let files = Files::new();
        files.write("c.toml", AS_WRITTEN);
        let with = |file: &str| assize(["eval", file, "--config", "c.toml"]).within(files.path());
        with("nosuch.jsonl").run().await.code(2).says(&["cannot read nosuch.jsonl", "No such file"]);
        with(".").run().await.code(2).says(&["cannot read .", "directory"]);
        with("-").option("--out", "out.jsonl").stdin(lines(1)).run().await.code(2).says(&["--out", "stdin"]);
        assert!(!files.at("out.jsonl").exists());
        assize(["eval", "c.toml", "--config", "nosuch.toml"]).within(files.path()).run().await.code(2).says(&["nosuch.toml"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn stdin_is_read() {
        let provider = FakeProvider::start(Behaviour::with(every_third)).await.unwrap();
        let files = Files::new();
        files.write("c.toml", configuration(&provider, 1.0));
        let command = assize(["eval", "-", "--config", "c.toml", "--json"]).within(files.path());
        let summary = command.stdin(lines(60)).run().await.code(0).json();
        assert_eq!(summary["interactions"], 60);
        assert_eq!(summary["metrics"]["refusal"]["estimate"], 20.0 / 60.0);
        assert_eq!(provider.calls(), 60);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_line_of_10_mb_is_refused_alone() {
        let provider = FakeProvider::start(Behaviour::score(0.0)).await.unwrap();
        let files = Files::new();
        let long = |bytes: usize| line("long", "q", &"x".repeat(bytes));
        let input = line("a", "q", "a") + &long(10 << 20) + &line("b", "q", "b") + &long(5 << 20) + &line("c", "q", "c");
        let ended = eval(&files, &configuration(&provider, 1.0), input).arg("--json").run().await.code(0);
        let summary = ended.json();
        ended.says(&["line 2: longer than", "line 4: the item holds more than"]);
        assert_eq!(summary["interactions"], 3);
        assert_eq!(summary["rejected"], 2);
        assert_eq!(provider.calls(), 3);
    }
}

mod failures {
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
        let before = provider.calls();
        assert_eq!(outcomes(&files), Vec::<Value>::new());
        let summary = command("right").run().await.code(0).json();
        assert_eq!(summary["metrics"]["refusal"]["judged"], 5_000);
        assert_eq!(provider.calls() - before, 5_000);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nobody_at_the_address_is_an_error() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let files = Files::new();
        let config = AS_WRITTEN
            .replace("127.0.0.1:8400", &address)
            .replace("0.10", "1.0")
            .replace("api_key_env", "attempts = 1\napi_key_env");
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
}

mod out {
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
                    assert_eq!(
                        (&line["judge"], &line["calls"], &line["cost_usd"]),
                        (&json!("gpt-4o"), &json!(1), &json!(0.00575))
                    );
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
}

mod signals {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn an_interrupted_run_is_resumed() {
        let provider = FakeProvider::start(Behaviour::with(every_third).latency(Duration::from_millis(20))).await.unwrap();
        let files = Files::new();
        let config = configuration(&provider, 1.0);
        let running = to_out(&files, &config, lines(400)).option("--concurrency", "4").start();
        until("it is in the middle", || provider.calls() >= 40).await;
        running.signal("INT");
        let ended = running.end().await.code(130).says(&["goes on from out.jsonl"]);
        assert_eq!(ended.stdout, "", "half a result is no data");
        let calls = provider.calls();
        assert!(calls < 200, "it stopped soon: {calls}");
        assert_eq!(outcomes(&files).len() as u64, calls, "what was in hand was finished and written down");
        let summary = again(&files).option("--out", "out.jsonl").arg("--json").run().await.code(0).json();
        assert_eq!(provider.calls(), 400, "nothing was paid twice");
        assert_eq!(provider.calls_of_one_item_max(), 1);
        assert_eq!(summary["calls"], 400);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_second_signal_does_not_wait() {
        let provider = FakeProvider::start(Behaviour::always(Reply::Hang)).await.unwrap();
        let files = Files::new();
        let running = eval(&files, &configuration(&provider, 1.0), lines(3)).start();
        until("it calls", || provider.calls() == 3).await;
        let began = std::time::Instant::now();
        running.signal("INT");
        running.has_said("stopping").await;
        running.signal("INT");
        running.end().await.code(130).says(&["stopping", "nothing is kept", "--out"]);
        assert!(began.elapsed() < Duration::from_secs(8));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_signal_while_stdin_is_silent_ends_it() {
        let provider = FakeProvider::start(Behaviour::score(0.0)).await.unwrap();
        let files = Files::new();
        files.write("c.toml", configuration(&provider, 1.0));
        let (reader, writer) = std::io::pipe().unwrap();
        let command = assize(["eval", "-", "--config", "c.toml"]).within(files.path());
        let running = command.start_reading(reader);
        std::io::Write::write_all(&mut &writer, line("a", "q", "a").repeat(70).as_bytes()).unwrap();
        until("it judges", || provider.calls() == 1).await;
        running.signal("TERM");
        running.end().await.code(130);
        drop(writer);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_reader_that_went_away_is_no_error() {
        let provider = FakeProvider::start(Behaviour::score(0.0)).await.unwrap();
        let files = Files::new();
        let (status, stderr) = eval(&files, &configuration(&provider, 1.0), lines(3)).run_unread(true).await;
        assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
        let (status, stdout) = eval(&files, &configuration(&provider, 1.0), "nonsense\n".to_owned() + &lines(3))
            .arg("--json")
            .run_unread(false)
            .await;
        assert_eq!(status.code(), Some(0));
        assert!(stdout.contains("\"interactions\": 3"), "{stdout}");
    }
}
