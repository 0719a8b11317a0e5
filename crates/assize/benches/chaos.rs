//! What a provider in trouble costs: `assize eval` against a mock that answers after 200 ms, turns away 10 % of the calls with HTTP
//! 429, fails 5 % with 500 and leaves 2 % hanging, at concurrency 100.
//!
//! `cargo bench -p assize --bench chaos` prints calls over the ideal (one a record) and over what the trouble alone makes necessary, and
//! wall time over the ideal (records / concurrency * latency). `ASSIZE_BENCH_RECORDS`, `ASSIZE_BENCH_LATENCY_MS`,
//! `ASSIZE_BENCH_TIMEOUT_S` (5: after this a hanging call is given up) and `ASSIZE_BENCH_SEED` choose otherwise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "../tests/it/chaos_provider.rs"]
mod chaos_provider;
mod measure;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use assize_testkit::provider::FakeProvider;
use chaos_provider::Chaos;
use measure::numbers_from;

const CONCURRENCY: u64 = 100;

#[tokio::main]
async fn main() {
    let latency = Duration::from_millis(numbers_from("ASSIZE_BENCH_LATENCY_MS", "200")[0]);
    let timeout = numbers_from("ASSIZE_BENCH_TIMEOUT_S", "5")[0];
    let chaos = Chaos { seed: numbers_from("ASSIZE_BENCH_SEED", "1")[0], ..Chaos::default() };
    println!("records\tjudged\tcalls\tcalls/ideal\tcalls/necessary\twall_s\twall/ideal");
    for records in numbers_from("ASSIZE_BENCH_RECORDS", "2000") {
        let provider = FakeProvider::start(chaos.behaviour().latency(latency)).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let (config, input) = (directory.path().join("assize.toml"), directory.path().join("answers.jsonl"));
        std::fs::write(&config, configuration(&provider.base_url(), timeout)).unwrap();
        write_records(&input, records);
        let started = Instant::now();
        let judged = run(&input, &config).await;
        let wall = started.elapsed().as_secs_f64();
        let (ideal, calls) = (records as f64 / CONCURRENCY as f64 * latency.as_secs_f64(), provider.calls());
        let necessary: u64 = (0..records).map(|record| chaos.calls_for(&key(record))).sum();
        let (over_ideal, over_necessary) = (calls as f64 / records as f64, calls as f64 / necessary as f64);
        println!("{records}\t{judged}\t{calls}\t{over_ideal:.3}\t{over_necessary:.3}\t{wall:.2}\t{:.3}", wall / ideal);
    }
}

async fn run(input: &Path, config: &Path) -> u64 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assize"));
    command.arg("eval").arg(input).arg("--config").arg(config).args(["--json", "--concurrency", "100"]);
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    let output = tokio::task::spawn_blocking(move || child.wait_with_output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", output.status);
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    summary["metrics"]["refusal"]["judged"].as_u64().unwrap()
}

fn configuration(base_url: &str, timeout_seconds: u64) -> String {
    format!(
        r#"
[[provider]]
name = "mock"
kind = "openai"
base_url = "{base_url}"
timeout_seconds = {timeout_seconds}
[[judge]]
name = "gpt-4o"
kind = "chat"
provider = "mock"
model = "gpt-4o-2024-05-13"
question = "Does the assistant refuse?"
[[metric]]
name = "refusal"
cascade = ["gpt-4o"]
[sampling]
rate = 1.0
"#
    )
}

fn key(record: u64) -> String {
    format!("item-{record};")
}

fn write_records(path: &Path, records: u64) {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    for record in 0..records {
        let output = format!("The parcel should reach you within three working days. {}", key(record));
        let line = serde_json::json!({ "id": format!("r{record}"), "model": "bench", "input": "Where is it?", "output": output });
        writeln!(file, "{line}").unwrap();
    }
    file.flush().unwrap();
}
