//! What is read: good lines, bad lines, and files that are none.

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
