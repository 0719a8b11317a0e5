//! `assize prices`, prices of one's own, and judges that are refused for want of one.

use assize_testkit::provider::{Behaviour, FakeProvider};
use serde_json::{Value, json};

use crate::command::{AS_WRITTEN, Files, Finished, assize, configuration, lines};

async fn prices(files: &Files, args: &[&str]) -> Finished {
    assize(["prices"].into_iter().chain(args.iter().copied())).within(files.path()).run().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_price_has_its_day_and_its_source() {
    let files = Files::new();
    let listed = prices(&files, &["list", "--json"]).await.code(0).json();
    let rows = listed["prices"].as_array().unwrap();
    for host in ["openai", "anthropic", "gemini", "mistral", "deepseek", "groq", "together", "fireworks", "deepinfra"] {
        assert!(rows.iter().any(|row| row["host"] == host), "{host}");
    }
    for row in rows {
        assert!(row["as_of"].as_str().unwrap().starts_with("2026-"), "{row}");
        assert!(row["source"].as_str().unwrap().starts_with("https://"), "{row}");
    }
    let shown = prices(&files, &["list", "--host", "groq"]).await.code(0).stdout;
    assert!(shown.contains("openai/gpt-oss-120b") && shown.contains("Sources") && !shown.contains("claude"), "{shown}");
    let shown = prices(&files, &["show", "gpt-4o-2024-05-13"]).await.code(0).stdout;
    assert!(shown.contains("1,000 tokens in and 50 out: $0.00575") && shown.contains("fail from 2026-10-23"), "{shown}");
    prices(&files, &["show", "GPT 4o"]).await.code(2).says(&["no price is known for \"GPT 4o\"", "like it are", "gpt-4o"]);
    prices(&files, &["list", "--host", "azure"]).await.code(2).says(&["use one of openai"]);
}

fn judge(model: &str, more: &str) -> String {
    AS_WRITTEN.replace("model = \"gpt-4o-2024-05-13\"\n", &format!("model = \"{model}\"\n{more}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_judge_without_a_price_is_refused_with_the_line_to_add() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let files = Files::new();
    files.write("in.jsonl", lines(3));
    let at = |text: &str| text.replace("http://127.0.0.1:8400/v1", &provider.base_url()).replace("rate = 0.10", "rate = 1.0");
    let unpriced = at(&judge("my-finetune", ""));
    let refusal = ["[[judge]] \"gpt-4o\"", "my-finetune", "price = { input = USD, output = USD }", "price = \"free\""];
    files.write("c.toml", &unpriced);
    for command in
        [&["eval", "in.jsonl"][..], &["config", "check"], &["up", "--data", "d"], &["serve", "--data", "d", "--roles", "score"]]
    {
        let run = assize(command.iter().copied()).option("--config", "c.toml").env("OPENAI_API_KEY", "k").within(files.path());
        let ended = run.run().await.code(2).says(&refusal);
        // The line of the model.
        assert!(ended.stderr.contains("c.toml:16: "), "{}", ended.stderr);
    }
    assert_eq!(provider.calls(), 0, "nothing was paid");

    for (priced, cost) in [
        (at(&judge("my-finetune", "price = \"free\"\n")), 0.0),
        (at(&judge("my-finetune", "price = { input = 1.0, output = 2.0 }\n")), 0.0012),
        (format!("{unpriced}\n[[price]]\nmodel = \"my-finetune\"\ninput_usd = 3.0\noutput_usd = 6.0\n"), 0.0036),
        (
            format!("{unpriced}\n[[price]]\nmodel = \"my-finetune\"\nprovider = \"openai\"\ninput_usd = 5\noutput_usd = 10\n"),
            0.006,
        ),
    ] {
        let provider = FakeProvider::start(Behaviour::score(1.0).usage(1_000, 100)).await.unwrap();
        let own = priced.lines().map(|line| {
            if line.starts_with("base_url") { format!("base_url = \"{}\"", provider.base_url()) } else { line.to_owned() }
        });
        files.write("p.toml", own.collect::<Vec<_>>().join("\n"));
        let run = assize(["eval", "in.jsonl", "--config", "p.toml", "--json"]).env("OPENAI_API_KEY", "k").within(files.path());
        let summary = run.run().await.code(0).json();
        assert_eq!((&summary["calls"], &summary["cost_unknown"]), (&json!(3), &json!(0)), "{summary}");
        assert!((summary["cost_usd"].as_f64().unwrap() - 3.0 * cost).abs() < 1e-12, "{cost}: {summary}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_who_has_no_price_and_whose_model_ends() {
    let files = Files::new();
    let check = async |text: &str, on: &str| {
        files.write("c.toml", text);
        prices(&files, &["check", "--config", "c.toml", "--on", on, "--json"]).await
    };
    let state = |found: &Value| found["judges"][1]["state"].clone();
    let free = check(AS_WRITTEN, "2026-01-01").await.code(0).json();
    assert_eq!((&free["judges"][0]["state"], &free["judges"][1]["state"]), (&json!("free"), &json!("ok")));
    let soon = check(AS_WRITTEN, "2026-08-24").await.code(1).json();
    assert_eq!((state(&soon), &soon["judges"][1]["days_left"]), (json!("ends_soon"), &json!(60)));
    check(AS_WRITTEN, "2026-08-23").await.code(0);
    assert_eq!(state(&check(AS_WRITTEN, "2026-10-23").await.code(1).json()), "ended");
    assert_eq!(state(&check(&judge("m", ""), "2026-01-01").await.code(1).json()), "no_price");
    assert_eq!(state(&check(&judge("m", "price = \"free\"\n"), "2026-01-01").await.code(0).json()), "free");
    let words = prices(&files, &["check", "--config", "c.toml", "--on", "someday"]).await.code(2);
    assert!(words.stderr.contains("--on"), "{}", words.stderr);
    files.write("c.toml", format!("{AS_WRITTEN}\n[[price]]\nmodel = \"m\"\ninput_usd = -1\noutput_usd = 1\n"));
    prices(&files, &["check", "--config", "c.toml"]).await.code(2).says(&[
        "c.toml:28: ",
        "[[price]] \"m\"",
        "`input_usd` = -1 is not a price",
    ]);
}

fn map() -> Value {
    let chat = |provider: &str, input: f64, output: f64| json!({"litellm_provider": provider, "mode": "chat", "input_cost_per_token": input, "output_cost_per_token": output, "max_tokens": 8192});
    json!({
        "sample_spec": {"mode": "one of: chat", "input_cost_per_token": 0.0},
        "my-finetune": chat("openai", 3e-6, 6e-6),
        "groq/openai/gpt-oss-120b": chat("groq", 2e-7, 8e-7),
        "azure/gpt-4o": chat("azure", 2.5e-6, 1e-5),
        "text-embedding-3-small": {"litellm_provider": "openai", "mode": "embedding", "input_cost_per_token": 2e-8},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_is_imported_and_put_in_force() {
    let files = Files::new();
    files.write("map.json", map().to_string());
    let dry = prices(&files, &["import", "map.json", "--dry-run", "--json"]).await.code(0).json();
    assert_eq!((dry["taken"].as_array().unwrap().len(), &dry["written"]), (2, &Value::Null));
    assert!(!files.at("assize-data").exists());
    let ended = prices(&files, &["import", "map.json"]).await.code(0);
    assert!(
        ended.stdout.contains("taken: 2 models")
            && ended.stdout.contains("azure/gpt-4o")
            && ended.stdout.contains("for embedding"),
        "{}",
        ended.stdout
    );
    let ended = ended.says(&["[prices]", "file = \"assize-data/prices.toml\""]);
    drop(ended);
    files.write("c.toml", format!("[prices]\nfile = \"assize-data/prices.toml\"\n{}", judge("my-finetune", "")));
    let check = prices(&files, &["check", "--config", "c.toml", "--json"]).await.code(0).json();
    let found = &check["judges"][1];
    assert_eq!((&found["source"], &found["usd_per_million"]["output"]), (&json!("file"), &json!(6.0)));
    // The configuration goes before the file, and the file before the lists.
    let own = "\n[[price]]\nmodel = \"my-finetune\"\ninput_usd = 4\noutput_usd = 8\n";
    files.write("c.toml", format!("[prices]\nfile = \"assize-data/prices.toml\"\n{}{own}", judge("my-finetune", "")));
    let check = prices(&files, &["check", "--config", "c.toml", "--json"]).await.code(0).json();
    assert_eq!(check["judges"][1]["usd_per_million"]["output"], 8.0);
    let cost =
        assize(["cost", "--config", "c.toml", "--model", "groq/openai/gpt-oss-120b", "--json"]).within(files.path()).run().await;
    assert_eq!(cost.code(0).json()["monthly_usd"], 2_400.0);
    // Whoever breaks the file is told where.
    files.write("assize-data/prices.toml", "[[price]]\nmodel = \"m\"\n\ninput_usd = nan\noutput_usd = 1\n");
    prices(&files, &["check", "--config", "c.toml"]).await.code(2).says(&["assize-data/prices.toml:4: ", "`input_usd` = NaN"]);
    files.write("c.toml", "[prices]\nfile = \"nosuch.toml\"\n");
    prices(&files, &["check", "--config", "c.toml"]).await.code(2).says(&["nosuch.toml", "cannot read the prices"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_wrong_changes_nothing() {
    let files = Files::new();
    files.write("map.json", map().to_string());
    prices(&files, &["import", "map.json", "--out", "prices.toml"]).await.code(0);
    let before = files.read("prices.toml");
    let with = |change: Value| {
        let mut map = map();
        map["my-finetune"].as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        map.to_string()
    };
    let whole = map().to_string();
    for (text, part) in [
        (whole[..whole.len() / 2].to_owned(), "cut short"),
        (whole.replacen("3e-6", "NaN", 1), "not the JSON"),
        (with(json!({"input_cost_per_token": -1.0})), "my-finetune: input_cost_per_token = -1.0 is not a price"),
        (with(json!({"output_cost_per_token": 1e12})), "output_cost_per_token"),
        (with(json!({"currency": "EUR"})), "currency = \"EUR\""),
        (with(json!({"mode": "telepathy"})), "mode = \"telepathy\""),
        ("[]".to_owned(), "not the JSON"),
        ("{}".to_owned(), "names no model"),
        (String::new(), "cut short"),
    ] {
        files.write("bad.json", &text);
        prices(&files, &["import", "bad.json", "--out", "prices.toml"]).await.code(2).says(&["bad.json", part]);
        assert_eq!(files.read("prices.toml"), before, "{text}");
    }
    files.write("bad.json", with(json!({"mode": "telepathy"})));
    let left = prices(&files, &["import", "bad.json", "--out", "prices.toml", "--leave-invalid"]).await.code(0);
    assert!(left.stdout.contains("taken: 1 model") && left.stdout.contains("wrong: my-finetune"), "{}", left.stdout);
    // One that cannot be written leaves nothing beside it.
    std::fs::create_dir_all(files.at("taken/prices.toml/in-the-way")).unwrap();
    prices(&files, &["import", "map.json", "--out", "taken/prices.toml"]).await.code(2).says(&["cannot write the prices"]);
    let beside: Vec<_> = std::fs::read_dir(files.at("taken")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(beside, ["prices.toml"]);
    prices(&files, &["import", "nosuch.json"]).await.code(2).says(&["nosuch.json", "cannot read"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shipped_configuration_needs_no_price() {
    let files = Files::new();
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    files.write("c.toml", configuration(&provider, 0.1));
    assize(["config", "check", "--config", "c.toml"]).within(files.path()).run().await.code(0);
}
