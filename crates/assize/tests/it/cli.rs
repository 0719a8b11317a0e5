//! The commands around the server: help, completions, `why`, `key`, and how a server that cannot start says why.

use std::os::unix::fs::PermissionsExt as _;

use assize_testkit::provider::{Behaviour, FakeProvider};
use serde_json::{Value, json};

use crate::command::{Files, Serving, assize, configuration, until};

const KEY: &str = "ak-of-the-tests-0123456789abcdef0123";

/// `assize up` in `files`, on a free port, with this configuration and the bootstrap key [`KEY`].
async fn up(files: &Files, config: &str) -> Serving {
    files.write("c.toml", format!("{config}\n[server]\ngrpc_listen = \"\"\n"));
    let command = assize(["up", "--config", "c.toml", "--data", "data", "--listen", "127.0.0.1:0"]);
    command.within(files.path()).env("ASSIZE_BOOTSTRAP_KEY", KEY).serve().await
}

async fn send(server: &Serving, items: Value) -> Value {
    assize_judge::providers::install_tls();
    let request = reqwest::Client::builder().no_proxy().build().unwrap().post(format!("{}/v1/interactions", server.url));
    let response = request.bearer_auth(KEY).json(&items).send().await.unwrap();
    assert_eq!(response.status(), 202);
    response.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_explains_itself() {
    let ended = assize([]).run().await.code(2);
    for command in
        ["demo", "up", "serve", "eval", "why", "key", "tenant", "metric", "spend", "cost", "prices", "config", "completions"]
    {
        assert!(ended.stderr.contains(&format!("\n  {command} ")), "{}", ended.stderr);
    }
    let with_examples: [&[&str]; 32] = [
        &["demo"],
        &["up"],
        &["serve"],
        &["eval"],
        &["why"],
        &["key"],
        &["key", "create"],
        &["key", "list"],
        &["key", "revoke"],
        &["tenant"],
        &["tenant", "create"],
        &["tenant", "list"],
        &["tenant", "show"],
        &["tenant", "set"],
        &["tenant", "budget"],
        &["tenant", "disable"],
        &["tenant", "enable"],
        &["tenant", "delete"],
        &["metric"],
        &["spend"],
        &["metric", "list"],
        &["metric", "put"],
        &["metric", "dry-run"],
        &["metric", "delete"],
        &["cost"],
        &["prices", "list"],
        &["prices", "show"],
        &["prices", "check"],
        &["prices", "import"],
        &["config", "check"],
        &["config", "show"],
        &["completions"],
    ];
    for command in with_examples {
        let ended = assize(command.iter().copied()).arg("--help").run().await.code(0);
        let example = format!("assize {}", command.join(" "));
        let (_, examples) = ended.stdout.split_once("Example").unwrap_or_else(|| panic!("no example: {}", ended.stdout));
        assert!(examples.contains(&example), "{}", ended.stdout);
        assert_eq!(ended.stderr, "");
        assert!(ended.stdout.lines().all(|line| line.chars().count() <= 110), "{}", ended.stdout);
    }
    let version = assize(["--version"]).run().await.code(0);
    assert_eq!(version.stdout, format!("assize {}\n", env!("CARGO_PKG_VERSION")));
    assize(["evil"]).run().await.code(2).says(&["unrecognized subcommand 'evil'", "eval"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn help_and_completions_survive_a_closed_pipe() {
    for args in [["completions", "bash"], ["eval", "--help"]] {
        let (status, stderr) = assize(args).run_unread(true).await;
        assert_eq!((status.code(), stderr.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shells_complete_what_there_is() {
    for (shell, sign) in [("bash", "complete -F _assize"), ("zsh", "#compdef assize"), ("fish", "complete -c assize")] {
        let ended = assize(["completions", shell]).run().await.code(0);
        assert!(ended.stdout.contains(sign) && ended.stdout.contains("fail-if") && ended.stdout.contains("revoke"), "{shell}");
        assert_eq!(ended.stderr, "");
    }
    // bash reads its own without complaint.
    let script = assize(["completions", "bash"]).run().await.stdout;
    let files = Files::new();
    let path = files.write("assize.bash", script);
    let checked = std::process::Command::new("bash").arg("-n").arg(path).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    assize(["completions", "tcsh"]).run().await.code(2).says(&["tcsh", "bash", "zsh", "fish"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn why_tells_what_became_of_an_id() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let files = Files::new();
    let only = "rate = 1.0\nonly = { chars_min = 20 }";
    let server = up(&files, &configuration(&provider, 1.0).replace("rate = 1", only)).await;
    let long = json!({"id": "order/1042 ü", "input": "Where is my order?", "output": "I'm sorry, I cannot say."});
    let short = json!({"id": "short", "input": "Hi", "output": "Ho"});
    assert_eq!(send(&server, json!([long, short])).await["accepted"], 2);
    until("the judge is called", || provider.calls() == 1).await;
    let why = |id: &'static str| assize(["why", id, "--url", &server.url]).env("ASSIZE_KEY", KEY);
    let judged = loop {
        let ended = why("order/1042 ü").run().await.code(0);
        if !ended.stdout.contains("waiting") {
            break ended;
        }
    };
    assert_eq!(judged.stderr, "");
    for part in [
        "order/1042 ü in project default",
        "refusal: judged, score 1",
        "chance of 100 %",
        "refusal-words says 1",
        "gpt-4o says 1",
        "as told",
    ] {
        assert!(judged.stdout.contains(part), "{part}: {}", judged.stdout);
    }
    let passed_over = why("short").run().await.code(0);
    assert!(passed_over.stdout.contains("refusal: not judged: the policy judges nothing of its kind"), "{}", passed_over.stdout);
    let answer = why("short").arg("--json").run().await.code(0).json();
    assert_eq!((&answer["id"], &answer["metrics"][0]["outcome"]), (&json!("short"), &json!("not_sampled")));
    why("nosuch").run().await.code(2).says(&["nosuch", "404"]);
    assert_eq!(provider.calls(), 1);
    assert_eq!(server.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn why_says_what_it_needs() {
    assize(["why", "x"]).run().await.code(2).says(&["no API key", "--key", "ASSIZE_KEY"]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let ended = assize(["why", "x", "--key", "k", "--url", &url]).run().await.code(2);
    ended.says(&[&url, "does not answer", "assize up"]);
    assize(["why", "x", "--key", "k", "--url", "nonsense"]).run().await.code(2).says(&["nonsense"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_listed_and_revoked() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let files = Files::new();
    let server = up(&files, &configuration(&provider, 1.0)).await;
    let key = |args: &[&str]| {
        let command = assize(["key"].into_iter().chain(args.iter().copied())).option("--url", &server.url);
        command.env("ASSIZE_KEY", KEY)
    };
    let made = key(&["create", "--scope", "read", "--label", "a dashboard"]).run().await.code(0);
    let made = made.says(&["only time", "its id is "]);
    let secret = made.stdout.trim().to_owned();
    assert!(secret.len() > 20 && secret.lines().count() == 1, "stdout is the key alone: {}", made.stdout);
    let id = made.stderr.split("its id is ").nth(1).unwrap().trim().to_owned();
    let listed = key(&["list"]).run().await.code(0);
    let row = listed.stdout.lines().find(|line| line.starts_with(&id)).expect("the new key is listed");
    assert!(row.contains("read") && row.contains("a dashboard") && row.contains("in force"), "{row}");
    assert!(!listed.stdout.contains(&secret) && !listed.stdout.contains(KEY), "no key is shown again");
    // It reads and does no more.
    let with = |command: &'static [&'static str]| {
        assize(command.iter().copied()).option("--url", &server.url).env("ASSIZE_KEY", &secret)
    };
    with(&["why", "nosuch"]).run().await.code(2).says(&["404"]);
    with(&["key", "list"]).run().await.code(2).says(&["403"]);
    let revoked = key(&["revoke", &id]).run().await.code(0).says(&["revoked", &id]);
    assert_eq!(revoked.stdout, "");
    with(&["why", "nosuch"]).run().await.code(2).says(&["401"]);
    let listed = key(&["list", "--json"]).run().await.code(0).json();
    let entry = listed["keys"].as_array().unwrap().iter().find(|key| key["id"] == id.as_str()).unwrap();
    assert!(entry["revoked_at"].is_string(), "{entry}");
    key(&["revoke", "nosuch"]).run().await.code(2).says(&["404"]);
    key(&["create", "--scope", "evil"]).run().await.code(2).says(&["evil", "ingest", "read", "admin"]);
    key(&["list", "--project", "nosuch"]).run().await.code(2).says(&["nosuch"]);
    assize(["key", "list", "--url", &server.url, "--key", "wrong"]).run().await.code(2).says(&["401"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_start_says_what_to_do() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let files = Files::new();
    let server = up(&files, &configuration(&provider, 1.0)).await;
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    let second = |data: &'static str, listen: &str| {
        assize(["up", "--config", "c.toml", "--data", data, "--listen", listen]).within(files.path())
    };
    second("other", &address).run().await.code(2).says(&[&address, "in use", "--listen"]);
    let owner = format!("process {}", server.pid());
    second("data", "127.0.0.1:0").run().await.code(2).says(&["data", &owner, "choose another directory"]);
    second("other", "nonsense").run().await.code(2).says(&["nonsense"]);
    // Where a file is, no directory can be.
    files.write("file", "");
    second("file", "127.0.0.1:0").run().await.code(2).says(&["file", "data directory"]);
    files.write("bad.toml", configuration(&provider, 1.5));
    let bad = assize(["up", "--config", "bad.toml", "--data", "other", "--listen", "127.0.0.1:0"]).within(files.path());
    bad.run().await.code(2).says(&["bad.toml:24: [sampling] rate = 1.5"]);
    assize(["serve", "--roles", "ingest,scoer"])
        .within(files.path())
        .run()
        .await
        .code(2)
        .says(&["scoer", "ingest, score, report"]);
    // The first one is none the worse for it, and lets go of everything at its end.
    assert_eq!(send(&server, json!({"input": "q", "output": "a"})).await["accepted"], 1);
    assert_eq!(server.stop().await.code(), Some(0));
    let third = second("data", &address).serve().await;
    assert_eq!(third.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unwritable_data_directory_is_named() {
    let files = Files::new();
    let directory = files.at("sealed");
    std::fs::create_dir(&directory).unwrap();
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o555)).unwrap();
    if std::fs::write(directory.join("probe"), "").is_ok() {
        // The superuser writes everywhere; a file system of the kernel's own refuses even that.
        let ended = assize(["up", "--data", "/proc/assize", "--listen", "127.0.0.1:0"]).run().await.code(2);
        ended.says(&["/proc/assize", "data directory"]);
        return;
    }
    let ended = assize(["up", "--data", "sealed", "--listen", "127.0.0.1:0"]).within(files.path()).run().await.code(2);
    ended.says(&["sealed", "ermission denied"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_key_is_shown_once() {
    let files = Files::new();
    let start = || {
        let command = assize(["up", "--data", "data", "--listen", "127.0.0.1:0"]).within(files.path());
        command.env("ASSIZE_LOG", "error")
    };
    let mut server = start().serve().await;
    let line = server.next_line().await;
    let key = line.strip_prefix("first API key (all scopes, shown this once): ").expect("the first key").to_owned();
    assize(["key", "list", "--url", &server.url, "--key", &key]).run().await.code(0);
    assert_eq!(server.stop().await.code(), Some(0));
    let mut server = start().serve().await;
    assize(["key", "list", "--url", &server.url, "--key", &key]).run().await.code(0);
    let asked_to_end = server.interrupt();
    assert!(asked_to_end);
    assert!(server.next_line().await.starts_with("stopping"), "no key is shown a second time");
    assert_eq!(server.stop().await.code(), Some(0));
}
