//! `assize plan`: figures from assumptions and from what a server has seen, the files it writes, and what it says of bad input.

use assize_testkit::provider::{Behaviour, FakeProvider, Reply, Request};
use serde_json::{Value, json};

use crate::command::{Assize, Files, Finished, Serving, assize, configuration};
use crate::harness::{bill, client, eventually};

const KEY: &str = "ak-of-the-tests-0123456789abcdef0123";
const MODEL: [&str; 2] = ["--model", "gpt-4o-2024-05-13"];

fn plan(args: &[&str]) -> Assize {
    assize(["plan"].into_iter().chain(args.iter().copied()))
}

/// Ten million answers a month at $0.00575, a tenth of them positive, a free score with a correlation of .6.
async fn assumed(args: &[&str]) -> Finished {
    plan(args)
        .option("--traffic", "10M/month")
        .option("--rate", "10%")
        .option("--rho", "0.6")
        .option(MODEL[0], MODEL[1])
        .run()
        .await
}

fn line<'v>(report: &'v Value, name: &str) -> &'v Value {
    let plans = report["plans"].as_array().unwrap();
    plans.iter().find(|line| line["name"].as_str().unwrap().starts_with(name)).unwrap_or_else(|| panic!("no {name}: {report}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_width_costs_what_the_formulas_say() {
    let report = assumed(&["--half-width", "0.01", "--json"]).await.code(0).json();
    let z = 1.959_963_984_540_054_f64;
    let v = (0.01 / z).powi(2);
    let calls = |s2: f64| (s2 / (v + s2 / 1e7)).ceil();
    for (name, expected) in [("naive", calls(0.09)), ("free score", calls(0.09 * 0.64))] {
        let found = line(&report, name);
        assert_eq!(found["reference_calls"].as_f64(), Some(expected), "{found}");
        assert!((found["cost_usd"].as_f64().unwrap() - expected * 0.005_75).abs() < 1e-9, "{found}");
        assert_eq!(found["meets_goal"], true);
    }
    let everything = line(&report, "everything");
    assert_eq!((&everything["reference_calls"], &everything["cost_usd"]), (&json!(10_000_000), &json!(57_500.0)));
    let tenth = line(&report, "10 %");
    assert_eq!((&tenth["reference_calls"], &tenth["cost_usd"]), (&json!(1_000_000), &json!(5_750.0)));
    // Two strata, .9 with a rate of .04 and .1 with one of .64.
    let neyman = (0.9 * (0.04_f64 * 0.96).sqrt() + 0.1 * (0.64_f64 * 0.36).sqrt()).powi(2) / v;
    let found = line(&report, "strata by doubt (Neyman)")["reference_calls"].as_f64().unwrap();
    assert!((found / neyman - 1.0).abs() < 0.01, "{found} {neyman}");
    let best = &report["recommendation"];
    assert_eq!((&best["escalate"], &best["line"]["reference_calls"].as_f64()), (&json!(true), &Some(found)));
    assert!((best["sampling_rate"].as_f64().unwrap() * 1e7 - found).abs() < 1.0);
    assert_eq!((&report["rho"]["source"], &report["judged_so_far"]), (&json!("stated"), &Value::Null));
    assert!(report["unknown"].as_array().unwrap().len() >= 4);
    // What is not said of the cheap judge is what it has to reach: 2 sqrt(c) / (1 + c).
    let cheap = &report["cheap_tier"];
    let c = 0.000_18 / 0.005_75;
    assert!((cheap["price_ratio"].as_f64().unwrap() - c).abs() < 1e-9, "{cheap}");
    assert!((cheap["worthwhile_from"].as_f64().unwrap() - 2.0 * c.sqrt() / (1.0 + c)).abs() < 1e-9, "{cheap}");
    assert_eq!(cheap["is_worth_it"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_cheap_judge_is_weighed_at_its_price() {
    for (rho, is_worth_it) in [("0.8", true), ("0.2", false)] {
        let report =
            assumed(&["--half-width", "1%", "--cheap-model", "gpt-4o-mini", "--cheap-rho", rho, "--json"]).await.code(0).json();
        let cheap = &report["cheap_tier"];
        assert_eq!(cheap["is_worth_it"], is_worth_it, "{cheap}");
        let best = &report["recommendation"];
        assert_eq!(best["line"]["with_paid"], is_worth_it, "{best}");
        assert_eq!(best["share"].is_number(), is_worth_it);
        let with = line(&report, "strata + PPI++ with gpt-4o-mini");
        let ratio = with["cost_usd"].as_f64().unwrap() / line(&report, "strata by doubt + PPI++")["cost_usd"].as_f64().unwrap();
        let rho: f64 = rho.parse().unwrap();
        let c: f64 = 0.000_18 / 0.005_75;
        if is_worth_it {
            assert!((ratio - ((1.0 - rho * rho).sqrt() + rho * c.sqrt()).powi(2)).abs() < 0.02, "{ratio}");
        } else {
            assert!(ratio > 1.0, "{ratio}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_buys_a_half_width_and_is_kept() {
    let month = assumed(&["--budget-usd", "200/month", "--json"]).await.code(0).json();
    for found in month["plans"].as_array().unwrap().iter().skip(1).filter(|line| line["meets_goal"] == true) {
        assert!(found["cost_usd"].as_f64().unwrap() <= 200.0 && found["half_width"].as_f64().unwrap() < 0.01, "{found}");
    }
    assert_eq!((&line(&month, "10 %")["meets_goal"], &line(&month, "everything")["meets_goal"]), (&json!(false), &json!(false)));
    assert_eq!(line(&month, "naive")["reference_calls"], json!((200.0 / 0.005_75) as u64));
    // The same by the day is the same by the month.
    let day = assumed(&["--budget-usd", "6.5708418891/day", "--json"]).await.code(0).json();
    let width = |report: &Value| report["recommendation"]["line"]["half_width"].as_f64().unwrap();
    assert!((width(&day) / width(&month) - 1.0).abs() < 1e-3);
    assumed(&["--budget-usd", "0.001"]).await.code(2).says(&["--budget-usd", "$0.00575", "buys none"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_get_a_table_a_picture_and_what_is_not_known() {
    let files = Files::new();
    let args = ["--metric", "refusal", "--half-width", "1%", "--svg", "p.svg", "--html", "p.html"];
    let said =
        plan(&args).option("--traffic", "10M/month").option("--rate", "10%").option("--rho", "0.6").within(files.path()).run();
    let said = said.await.code(0);
    assert_eq!(said.stderr, "");
    for part in [
        "of refusal in a month to ±1.0 points",
        "naive sampling",
        "10 % of everything",
        "strata by doubt",
        "Recommended (*)",
        "rate = ",
        "A paid cheap tier: gpt-4o-mini",
        "± points against dollars",
        "Not known:",
        "$30,000",
    ] {
        assert!(said.stdout.contains(part), "{part}: {}", said.stdout);
    }
    assert!(said.stdout.lines().all(|line| line.chars().count() <= 110), "{}", said.stdout);
    let (svg, page) = (files.read("p.svg"), files.read("p.html"));
    assert!(svg.starts_with("<svg xmlns=") && svg.matches("class=\"curve").count() >= 6 && svg.contains("circle"), "{svg}");
    for file in [&svg, &page] {
        assert!(
            !file.contains("NaN") && !file.contains("inf\"") && !file.contains("href=") && !file.contains("<script"),
            "{file}"
        );
    }
    assert!(
        page.contains("<svg xmlns=")
            && page.contains("Not known:")
            && page.contains("<title>What the rate of refusal costs</title>")
    );
    let to_nowhere = plan(&["--half-width", "1%", "--svg", "no/where.svg"])
        .option("--traffic", "1M")
        .option("--rate", "10%")
        .option("--rho", "0.6");
    to_nowhere.within(files.path()).run().await.code(2).says(&["no/where.svg", "cannot be written"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_money_buys_fails() {
    let args = ["--half-width", "0.0001", "--estimand", "process", "--traffic", "10k/day", "--rate", "10%", "--rho", "0.6"];
    let ended = plan(&args).run().await.code(1);
    assert!(ended.stdout.contains("Not to be had: even judging everything leaves ±0.59 points"), "{}", ended.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_named() {
    let enough = ["--traffic", "10M/month", "--rate", "5%", "--rho", "0.6"];
    let cases: [(&[&str], &[&str]); 13] = [
        (&[], &["--half-width", "--budget-usd"]),
        (&["--half-width", "1%", "--budget-usd", "5"], &["cannot be used with"]),
        (&["--half-width", "0"], &["--half-width 0", "between 0 and 1"]),
        (&["--half-width", "two"], &["\"two\"", "0.01 or 1%"]),
        (&["--half-width", "1%", "--model", "gpt-9"], &["gpt-9", "--call-usd"]),
        (&["--half-width", "1%", "--cheap-model", "nope"], &["--cheap-model", "nope"]),
        (&["--half-width", "1%", "--call-usd", "0"], &["--call-usd", "not the price of a call"]),
        (&["--half-width", "1%", "--level", "1"], &["--level 1"]),
        (&["--half-width", "1%", "--input-tokens", "0", "--output-tokens", "0"], &["costs nothing"]),
        (&["--budget-usd", "200/fortnight"], &["fortnight", "day, week, month or year"]),
        (&["--budget-usd", "NaN"], &["NaN", "amount above 0"]),
        (&["--half-width", "1%", "--data", "nowhere"], &["--metric"]),
        (&["--half-width", "1%", "--metric", "a b", "--data", "nowhere"], &["metric name \"a b\""]),
    ];
    for (args, says) in cases {
        let args: Vec<&str> = args.iter().chain(&enough).copied().collect();
        let ended = plan(&args).run().await.code(2);
        assert_eq!(ended.stdout, "", "{args:?}");
        ended.says(says);
    }
    for (given, says) in
        [(&["--rate", "5%"][..], "--traffic, --rho"), (&["--rho", "1", "--rate", "1%", "--traffic", "5k"], "--rho 1")]
    {
        plan(&["--half-width", "1%"]).run().await.code(2).says(&["--traffic, --rate, --rho", "--data DIR", "--key"]);
        let args: Vec<&str> = ["--half-width", "1%"].into_iter().chain(given.iter().copied()).collect();
        plan(&args).run().await.code(2).says(&[says]);
    }
    let files = Files::new();
    let nowhere = plan(&["--half-width", "1%", "--metric", "refusal", "--data", "nowhere"]).within(files.path()).run().await;
    nowhere.code(2).says(&["no results in nowhere", "assize up --data"]);
    assert!(!files.at("nowhere").exists(), "looking makes no directory");
}

#[tokio::test(flavor = "multi_thread")]
async fn help_has_examples() {
    let ended = plan(&["--help"]).run().await.code(0);
    assert!(ended.stdout.contains("assize plan --metric refusal --half-width 0.01"), "{}", ended.stdout);
    assert!(ended.stdout.lines().all(|line| line.chars().count() <= 110), "{}", ended.stdout);
}

/// Four hundred answers: a fifth with words of refusal, which the judge calls one in four of five cases; and one in sixteen of the others.
fn answers() -> Value {
    let answer = |i: usize| {
        let words = if i.is_multiple_of(5) { "I cannot do that" } else { "Here it is" };
        let judged = if (i.is_multiple_of(5) && !i.is_multiple_of(25)) || i % 20 == 3 { "<one>" } else { "<zero>" };
        json!({"id": format!("i{i}"), "input": format!("Question {i}?"), "output": format!("{words}, {i}. {judged}")})
    };
    (0..400).map(answer).collect()
}

async fn settled(server: &Serving) -> Value {
    let url = format!("{}/v1/estimates?metric=refusal", server.url);
    let client = client();
    eventually("all verdicts", async || {
        let answer: Value = client.get(&url).bearer_auth(KEY).send().await.unwrap().json().await.unwrap();
        let group = answer["groups"][0].clone();
        (group["population"] == 400 && group["missing"] == 0).then_some(group)
    })
    .await
}

/// The running server and the directory of the stopped one say the same, and it is what was judged and paid.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_seen_is_what_is_planned_from() {
    let behaviour = Behaviour::with(|request: &Request| Reply::score(if request.item.contains("<one>") { 1.0 } else { 0.0 }));
    let provider = FakeProvider::start(behaviour).await.unwrap();
    let files = Files::new();
    files.write("c.toml", format!("{}\n[server]\ngrpc_listen = \"\"\n", configuration(&provider, 0.5)));
    let up = assize(["up", "--config", "c.toml", "--data", "data", "--listen", "127.0.0.1:0"]).within(files.path());
    let server = up.env("ASSIZE_BOOTSTRAP_KEY", KEY).serve().await;
    let sent = client().post(format!("{}/v1/interactions", server.url)).bearer_auth(KEY).json(&answers()).send().await.unwrap();
    assert_eq!(sent.status(), 202);
    let group = settled(&server).await;
    assert_eq!(group["judged"], provider.calls());

    let wanted = ["--metric", "refusal", "--half-width", "1%", "--json"];
    let asked = plan(&wanted).option("--url", &server.url).env("ASSIZE_KEY", KEY).run().await.code(0).json();
    // A directory in use is not read.
    let locked = plan(&wanted).option("--data", "data").within(files.path()).run().await;
    locked.code(2).says(&["give --key to ask the running server"]);
    plan(&["--metric", "nosuch", "--half-width", "1%", "--url", &server.url])
        .env("ASSIZE_KEY", KEY)
        .run()
        .await
        .code(2)
        .says(&["nosuch"]);
    assert_eq!(server.stop().await.code(), Some(0));
    let read = plan(&wanted).option("--data", "data").within(files.path()).run().await.code(0).json();

    for report in [&asked, &read] {
        assert_eq!(report["judged_so_far"], provider.calls(), "{report}");
        assert_eq!((&report["rate"]["value"], &report["rate"]["low"]), (&group["estimate"], &group["low"]));
        assert_eq!((&report["rho"]["source"], &report["strata"]), (&json!("measured"), &json!("measured")));
        // In all four hundred it is .724, and the interval is one of 95 %.
        let rho = |key: &str| report["rho"][key].as_f64().unwrap();
        assert!(rho("low") < rho("value") && rho("value") < rho("high") && (rho("value") - 0.724).abs() < 0.15, "{report}");
        // All of one hour, or of two if it struck meanwhile.
        let hours = 400.0 * 730.5 / report["traffic"]["value"].as_f64().unwrap();
        assert!((hours - 1.0).abs() < 1e-9 || (hours - 2.0).abs() < 1e-9, "{hours}");
        // A call costs what calls have cost.
        let paid = bill(&provider).div_ceil(provider.calls());
        assert!((report["call_usd"].as_f64().unwrap() * 1e9 - paid as f64).abs() <= 1.0, "{report}");
        assert!(line(report, "strata by doubt (Neyman)")["ratio_to_naive"].as_f64().unwrap() < 0.75, "{report}");
    }
    let rho = |report: &Value| report["rho"]["value"].as_f64().unwrap();
    assert!((rho(&asked) - rho(&read)).abs() < 1e-9);
    assert_eq!(asked["recommendation"]["line"]["reference_calls"], read["recommendation"]["line"]["reference_calls"]);

    // What is stated goes before what was seen.
    let stated = plan(&wanted).option("--data", "data").option("--rate", "3%").option(MODEL[0], MODEL[1]).within(files.path());
    let stated = stated.run().await.code(0).json();
    assert_eq!(
        (&stated["rate"]["value"], &stated["rate"]["source"], &stated["call_usd"]),
        (&json!(0.03), &json!("stated"), &json!(0.00575))
    );
    let other = plan(&wanted).option("--data", "data").option("--project", "other").within(files.path()).run().await;
    other.code(2).says(&["no verdict on refusal in project other", "--days"]);
}
