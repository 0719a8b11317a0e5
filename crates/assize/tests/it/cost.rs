//! `assize cost`: the specification's table to the cent, each lever, what traffic was seen, and what is refused.

use assize_testkit::provider::{Behaviour, FakeProvider};
use serde_json::{Value, json};

use crate::command::{Files, Finished, assize};
use crate::harness::{KEY, Server, bill, config, item};

async fn cost(args: &[&str]) -> Finished {
    assize(["cost"].into_iter().chain(args.iter().copied())).run().await
}

fn step<'v>(figures: &'v Value, name: &str) -> &'v Value {
    let steps = figures["steps"].as_array().unwrap();
    steps.iter().find(|step| step["step"] == name).unwrap_or_else(|| panic!("no step {name}: {figures}"))
}

const SPECIFIED: [&str; 8] =
    ["--requests", "10M", "--input-tokens", "1000", "--output-tokens", "50", "--model", "gpt-4o-2024-05-13"];

#[tokio::test(flavor = "multi_thread")]
async fn the_specifications_table_to_the_cent() {
    let ended = cost(&SPECIFIED).await.code(0);
    for figure in ["$57,500.00", "$5,750.00", "$2,875.00", "$1,294.00", "$59,500.00", "$7,750.00", "$4,875.00", "$0.00575"] {
        assert!(ended.stdout.contains(figure), "{figure} is not in\n{}", ended.stdout);
    }
    // The levers are an offer until they are asked for.
    let everything = cost(&[&SPECIFIED[..], &["--json"]].concat()).await.code(0).json();
    assert_eq!((&everything["monthly_usd"], &everything["total_monthly_usd"]), (&json!(57500.0), &json!(59500.0)));
    assert_eq!(everything, cost(&["--json"]).await.code(0).json(), "these are the defaults");

    let sampled = cost(&[&SPECIFIED[..], &["--sample", "0.10", "--json"]].concat()).await.code(0).json();
    assert_eq!((&sampled["monthly_usd"], &sampled["total_monthly_usd"]), (&json!(5750.0), &json!(7750.0)));
    assert_eq!(step(&sampled, "sampling")["saved_usd"], 51750.0);

    let args = ["--sample", "10%", "--cheap-share", "0.8", "--cheap-model", "gpt-4o-mini", "--infra", "2000", "--json"];
    let cascade = cost(&[&SPECIFIED[..], &args].concat()).await.code(0).json();
    assert_eq!((&cascade["monthly_usd"], &cascade["total_monthly_usd"]), (&json!(1294.0), &json!(3294.0)));
    let last = step(&cascade, "cascade");
    assert_eq!((&last["specification_usd"], &last["specification_total_usd"]), (&json!(2875.0), &json!(4875.0)));
    assert_eq!((&last["calls"], &last["cheap_calls"]), (&json!(200_000), &json!(800_000)));
    let today = cascade["today"].as_array().unwrap();
    assert!(today.len() > 5);
    assert!(today.iter().all(|plan| plan["with_levers_usd"].as_f64() < plan["everything_usd"].as_f64()), "{today:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_lever_has_its_line() {
    let levers = ["--model", "gpt-4o", "--cache-hit", "0.2", "--batch-share", "0.5", "--prompt-cached-share", "0.8"];
    let figures = cost(&[&levers[..], &["--infra", "0", "--json"]].concat()).await.code(0).json();
    // 10 M x $0.003; four of five of these; half of them at half the price; $1.25 off 0.8 of the input of the live ones.
    assert_eq!(step(&figures, "everything")["monthly_usd"], 30_000.0);
    assert_eq!(step(&figures, "cache")["monthly_usd"], 24_000.0);
    assert_eq!(step(&figures, "batch")["monthly_usd"], 18_000.0);
    assert_eq!(step(&figures, "prompt_caching")["monthly_usd"], 14_000.0);
    assert_eq!((&figures["monthly_usd"], &figures["infra_usd"]), (&json!(14_000.0), &json!(0.0)));
    let shown = cost(&levers).await.code(0).stdout;
    for line in ["+ cache: 20 % reused", "+ batches: 50 % may wait", "+ prompt caching: 80 % of the input"] {
        assert!(shown.contains(line), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn infrastructure_is_a_table_to_edit() {
    let files = Files::new();
    let printed = assize(["cost", "--print-infra"]).run().await.code(0).stdout;
    files.write("infra.toml", printed.replace("monthly_usd = 400", "monthly_usd = 133.25\ncount = 6"));
    let run = |args: &'static [&'static str]| {
        assize(["cost", "--json"].into_iter().chain(args.iter().copied())).within(files.path()).run()
    };
    let figures = run(&["--infra-file", "infra.toml"]).await.code(0).json();
    assert_eq!((&figures["infra_usd"], &figures["total_monthly_usd"]), (&json!(2399.5), &json!(59899.5)));
    files.write("infra.toml", printed.replace("400", "-400"));
    run(&["--infra-file", "infra.toml"]).await.code(2).says(&["infra.toml", "monthly_usd = -400"]);
    run(&["--infra-file", "nosuch.toml"]).await.code(2).says(&["nosuch.toml", "cannot read"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_told_what_is_wrong() {
    for (args, parts) in [
        (&["--requests", "-1"][..], &["\"-1\" is negative", "such as 250000, 2.5M"][..]),
        (&["--requests", "NaN"], &["\"NaN\" is not a number"]),
        (&["--requests", "1e30"], &["is not a number"]),
        (&["--requests", "99999999999B"], &["is too large"]),
        (&["--sample", "1.5"], &["is more than everything", "0.1 or 10%"]),
        (&["--sample", "-0.1"], &["is negative"]),
        (&["--input-tokens", "many"], &["is not a number"]),
        (&["--model", "gpt4o"], &["no price is known for \"gpt4o\"", "gpt-4o"]),
        (&["--cheap-model", "gpt-4o"], &["add --cheap-share"]),
        (&["--infra", "9999999999"], &["is too large"]),
        (&["--infra", "1", "--infra-file", "x"], &["cannot be used with"]),
        (&["--requests", "1000000B", "--input-tokens", "100000000"], &["more than can be counted"]),
        (&["--days", "3"], &["--from-data"]),
        (&["--from-data", "nosuch"], &["nosuch: holds no results"]),
    ] {
        cost(args).await.code(2).says(parts);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ones_own_prices_count() {
    let files = Files::new();
    files.write("c.toml", "[[price]]\nmodel = \"mine\"\ninput_usd = 1.0\noutput_usd = 2.0\n");
    let ended =
        assize(["cost", "--config", "c.toml", "--model", "mine", "--infra", "0", "--json"]).within(files.path()).run().await;
    assert_eq!(ended.code(0).json()["monthly_usd"], 11_000.0);
}

#[tokio::test]
async fn traffic_is_taken_from_a_running_server_and_from_its_directory() {
    let provider = FakeProvider::start(Behaviour::score(1.0).usage(800, 40)).await.unwrap();
    let mut server = Server::start(&config(&provider, "", "[sampling]\nrate = 1.0")).await;
    server.accept((0..20).map(|n| item(&format!("i{n}"), &format!("answer {n}"))).collect()).await;
    server.settled("default", 20).await;
    let asked = assize(["cost", "--from-data", "--url", &server.url, "--key", KEY, "--json"]).run().await.code(0).json();
    let seen = &asked["seen"];
    assert_eq!((&seen["evaluations"], &seen["questions"], &seen["sample"]), (&json!(20), &json!(20), &json!(1.0)));
    assert_eq!(
        (&asked["input_tokens"], &asked["output_tokens"], &asked["model"]),
        (&json!(800.0), &json!(40.0), &json!("gpt-4o-2024-05-13"))
    );
    // What it computes for one is what one was billed.
    let spent = (seen["spent_usd"].as_f64().unwrap() * 1e9).round() as u64;
    assert_eq!(spent, bill(&provider));
    assert_eq!(crate::harness::nanos(&asked["usd_per_evaluation"]) * 20, spent);
    assert_eq!((&asked["levers"]["applied"], &asked["levers"]["sample"]), (&json!(true), &json!(1.0)), "those that were seen");
    let monthly = asked["requests"].as_u64().unwrap();
    assert_eq!(monthly, seen["monthly"].as_u64().unwrap());
    assert!((7_200..=14_400).contains(&monthly), "20 within one or two hours: {monthly}");

    let data = server.data();
    let busy = assize(["cost", "--from-data"]).arg(&data).run().await.code(2);
    assert!(busy.stderr.contains("of a server that runs ask without a directory"), "{}", busy.stderr);
    server.terminate().await;
    let read = assize(["cost", "--json", "--from-data"]).arg(&data).run().await.code(0).json();
    for key in ["evaluations", "questions", "sample", "spent_usd", "model"] {
        assert_eq!(read["seen"][key], seen[key], "{key}");
    }
    let other = assize(["cost", "--json", "--project", "other", "--from-data"]).arg(&data).run().await.code(2);
    assert!(other.stderr.contains("no model was asked anything"), "{}", other.stderr);
}
