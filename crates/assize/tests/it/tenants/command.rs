//! `assize tenant` against a running server.

use assize_testkit::provider::{Behaviour, FakeProvider};
use serde_json::{Value, json};

use super::{PROJECTS, tenant};
use crate::command::{Assize, Finished, assize};
use crate::harness::{KEY, Server, config};

fn command<'a>(server: &Server, args: impl IntoIterator<Item = &'a str>) -> Assize {
    assize(["tenant"].into_iter().chain(args)).env("ASSIZE_URL", &server.url).env("ASSIZE_KEY", KEY)
}

/// stdout has to hold all of these.
#[track_caller]
fn prints(finished: Finished, parts: &[&str]) {
    for part in parts {
        assert!(finished.stdout.contains(part), "{part:?} is not in stdout:\n{}", finished.stdout);
    }
}

#[tokio::test]
async fn the_command_administers_a_running_server() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let server = Server::start(&config(&provider, "", PROJECTS)).await;
    let create =
        ["create", "new", "--day-usd-max", "0.25", "--contact", "ops@new.example", "--time-zone", "Europe/Berlin", "--json"];
    let made = command(&server, create).run().await.code(0).json();
    assert_eq!((&made["name"], &made["budget"]["day_usd_max"], &made["version"]), (&json!("new"), &json!(0.25), &json!(1)));
    command(&server, ["create", "new"]).run().await.code(2).says(&["there is a tenant new already"]);

    let set = ["set", "new", "--sampling", "0.01", "--for", "24h", "--items-per-second-max", "50", "--contact", "none", "--json"];
    let set = command(&server, set).run().await.code(0).json();
    assert_eq!((&set["sampling"]["rate"], &set["contact"], &set["version"]), (&json!(0.01), &Value::Null, &json!(2)));
    assert!(set["sampling"]["until"].is_string() && set["budget"]["day_usd_max"] == 0.25, "{set}");
    assert_eq!(tenant(&server, "new").await, set, "what is shown is what is there");
    command(&server, ["set", "new", "--sampling", "none", "--if-version", "1"]).run().await.code(2).says(&["version 2, not 1"]);
    let lifted = command(&server, ["budget", "new", "--day-usd-max", "none", "--month-usd-max", "7.5", "--json"]).run().await;
    assert_eq!(lifted.code(0).json()["budget"], json!({"day_usd_max": null, "month_usd_max": 7.5}));
    prints(
        command(&server, ["show", "new"]).run().await.code(0),
        &["$7.5 a month", "sampling 0.01 until", "50 interactions a second"],
    );

    let platform = ["budget", "--platform", "--day-usd-max", "500", "--tenant-share-max", "0.25", "--json"];
    assert_eq!(command(&server, platform).run().await.code(0).json()["tenant_share_max"], 0.25);
    prints(command(&server, ["budget", "--platform"]).run().await.code(0), &["$500 a day", "0.25"]);

    prints(
        command(&server, ["disable", "acme", "--reason", "unpaid", "--for", "7d"]).run().await.code(0),
        &["disabled", "unpaid"],
    );
    prints(command(&server, ["list"]).run().await.code(0), &["acme\tdisabled", "blue\tenabled", "help,shop", "new\tenabled"]);
    prints(command(&server, ["enable", "acme"]).run().await.code(0), &["enabled", "gap "]);
    prints(command(&server, ["delete", "new"]).run().await.code(0), &["deleted"]);
    assert_eq!(command(&server, ["list", "--json"]).run().await.code(0).json()["tenants"].as_array().unwrap().len(), 4);

    // What cannot be is refused, here or there.
    for (args, says) in [
        (&["set", "acme"][..], "nothing to change"),
        (&["set", "acme", "--day-usd-max=-1"], "negative"),
        (&["set", "acme", "--day-usd-max", "1e300"], "counted"),
        (&["set", "acme", "--sampling", "2"], "not a probability"),
        (&["set", "acme", "--for", "24h"], "--sampling"),
        (&["set", "acme", "--sampling", "0.1", "--for", "soon"], "not a length of time"),
        (&["set", "acme", "--time-zone", "Mars/Olympus"], "not a time zone"),
        (&["show", "none"], "there is no tenant"),
        (&["budget"], "required"),
    ] {
        command(&server, args.iter().copied()).run().await.code(2).says(&[says]);
    }
    assert_eq!(tenant(&server, "acme").await["version"], 3, "what was refused changed nothing");
    server.adds_up().await;
}

#[tokio::test]
async fn a_dry_run_shows_what_it_would_save_and_changes_nothing() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let server = Server::start(&config(&provider, "", PROJECTS)).await;
    let items =
        (0..40).map(|at| json!({"id": format!("i-{at}"), "project": "shop", "input": "q", "output": format!("answer {at}")}));
    server.accept(items.collect()).await;
    server.settled("shop", 40).await;
    assert_eq!(provider.calls(), 40);
    let spent = server.get("/v1/spend?project=shop").await.expect(200)["total"]["cost_usd"].as_f64().unwrap();
    let before = tenant(&server, "acme").await;

    let run = command(&server, ["set", "acme", "--sampling", "0.1", "--dry-run", "--json"]).run().await.code(0).json();
    let near = |value: &Value, expected: f64| {
        let value = value.as_f64().unwrap_or_else(|| panic!("no number: {run}"));
        assert!((value - expected).abs() < 1e-9, "{value} where {expected} is expected: {run}");
    };
    near(&run["spend_usd_per_day_before"], spent);
    near(&run["spend_usd_per_day_after"], spent * 0.1);
    let shop = run["metrics"].as_array().unwrap().iter().find(|one| one["project"] == "shop").unwrap();
    near(&shop["probability_before"], 1.0);
    near(&shop["probability_after"], 0.1);
    near(&shop["half_width_before"], 0.0);
    assert!(shop["half_width_after"].as_f64().unwrap() > 0.05, "four of forty tell little: {run}");
    prints(
        command(&server, ["set", "acme", "--sampling", "0.1", "--dry-run"]).run().await.code(0),
        &["1.0000 -> 0.1000", "nothing was changed"],
    );

    // A budget of half of what is spent halves the probabilities.
    let half = format!("{:.9}", spent / 2.0);
    let run = command(&server, ["set", "acme", "--day-usd-max", &half, "--dry-run", "--json"]).run().await.code(0).json();
    let shop = run["metrics"].as_array().unwrap().iter().find(|one| one["project"] == "shop").unwrap();
    assert!((shop["probability_after"].as_f64().unwrap() - 0.5).abs() < 1e-6, "{run}");
    let run = command(&server, ["disable", "acme", "--dry-run", "--json"]).run().await.code(0).json();
    assert_eq!((&run["spend_usd_per_day_after"], &run["metrics"][0]["half_width_after"]), (&json!(0.0), &Value::Null));

    assert_eq!(tenant(&server, "acme").await, before, "nothing was changed");
    assert_eq!(provider.calls(), 40, "and nobody was asked");
    server.adds_up().await;
}
