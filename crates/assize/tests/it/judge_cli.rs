//! `assize judge check | calibrate | compare`: figures of known answers, calls and cost, slices, failures, bad input.

mod calibrate;
mod check;
mod compare;

use assize_testkit::provider::{Behaviour, FakeProvider, Reply, Request};
use serde_json::{Value, json};

use crate::command::{Assize, Files, assize, number};

/// Two called judges of different price, and free rules.
fn config(provider: &FakeProvider) -> String {
    let url = provider.base_url();
    format!(
        r#"
[[provider]]
name = "openai"
kind = "openai"
base_url = "{url}"
concurrency = 8

[[judge]]
name = "words"
kind = "rules"
any_of = ["sorry"]

[[judge]]
name = "large"
kind = "chat"
provider = "openai"
model = "gpt-4o-2024-05-13"

[[judge]]
name = "small"
kind = "chat"
provider = "openai"
model = "tiny"
price = {{ input = 0.5, output = 1.0 }}

[[metric]]
name = "refusal"
cascade = ["words", "large"]

[[metric]]
name = "rude"
question = "Is it rude?"
cascade = ["large"]
"#
    )
}

/// A line of a gold file; its answer is known by its number.
fn gold(n: usize, label: bool) -> Value {
    json!({"id": format!("i{n}"), "input": format!("Question <{n}>?"), "output": format!("Answer <{n}>."), "label": label})
}

fn written(lines: impl IntoIterator<Item = Value>) -> String {
    lines.into_iter().map(|line| format!("{line}\n")).collect()
}

/// Answers with what is right of so many interactions, by number.
async fn judging(score: impl Fn(usize) -> f64 + Send + Sync + 'static) -> FakeProvider {
    let decide = move |request: &Request| Reply::score(score(number(request)));
    FakeProvider::start(Behaviour::with(decide).usage(1_000, 50)).await.unwrap()
}

/// `assize judge …` in a directory that holds the configuration and the gold file.
fn judge<'a>(files: &Files, provider: &FakeProvider, lines: &str, args: impl IntoIterator<Item = &'a str>) -> Assize {
    files.write("c.toml", config(provider));
    files.write("gold.jsonl", lines);
    assize(["judge"].into_iter().chain(args)).option("--config", "c.toml").within(files.path())
}

#[track_caller]
fn close(found: &Value, expected: f64) {
    let found = found.as_f64().unwrap_or_else(|| panic!("{found} is no number"));
    assert!((found - expected).abs() < 1e-9, "{found}, not {expected}");
}
