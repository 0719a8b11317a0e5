//! How much judging costs us: `assize eval` against a mock provider that answers after 200 ms, at concurrency 100.
//!
//! `cargo bench -p assize --bench eval` prints, per number of records: wall time over the ideal (records / concurrency * latency),
//! evaluations per CPU-second of the child process alone, and its peak resident memory; each without and with `--budget-usd`, so that
//! the difference is what the ledger costs. `ASSIZE_BENCH_RECORDS=2000,200000` chooses
//! other numbers of records, `ASSIZE_BENCH_LATENCY_MS` another latency. Several numbers run in growing order, since the peak of memory is that of
//! the largest child so far.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod measure;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use assize_testkit::provider::{Behaviour, FakeProvider};
use measure::{Usage, numbers_from};

const CONCURRENCY: u64 = 100;

#[tokio::main]
async fn main() {
    let latency = Duration::from_millis(numbers_from("ASSIZE_BENCH_LATENCY_MS", "200")[0]);
    let provider = FakeProvider::start(Behaviour::score(0.25).latency(latency).usage(1_000, 50)).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("assize.toml");
    std::fs::write(&config, configuration(&provider.base_url())).unwrap();
    println!("ledger\trecords\twall_s\twall/ideal\tcpu_s\tevaluations/cpu_s\tpeak_mb\tcalls");
    for records in numbers_from("ASSIZE_BENCH_RECORDS", "2000,20000") {
        let input = directory.path().join("answers.jsonl");
        write_records(&input, records);
        for ledger in [false, true] {
            let (calls_before, before, started) = (provider.calls(), Usage::of_children(), Instant::now());
            run(&input, &config, ledger).await;
            let (wall, after, calls) = (started.elapsed().as_secs_f64(), Usage::of_children(), provider.calls() - calls_before);
            assert_eq!(calls, records, "every record is judged once");
            let cpu = after.cpu_seconds - before.cpu_seconds;
            let ideal = records as f64 / CONCURRENCY as f64 * latency.as_secs_f64();
            let per_cpu = records as f64 / cpu;
            println!(
                "{ledger}\t{records}\t{wall:.2}\t{:.3}\t{cpu:.2}\t{per_cpu:.0}\t{:.1}\t{calls}",
                wall / ideal,
                after.peak_mb
            );
        }
    }
}

async fn run(input: &Path, config: &Path, ledger: bool) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assize"));
    command.arg("eval").arg(input).arg("--config").arg(config).args(["--json", "--concurrency", "100"]);
    if ledger {
        // More than all of it costs.
        command.args(["--budget-usd", "1000000"]);
    }
    let child = command.stdout(Stdio::null()).spawn().unwrap();
    let status = tokio::task::spawn_blocking(move || child.wait_with_output()).await.unwrap().unwrap().status;
    assert!(status.success(), "{status}");
}

fn configuration(base_url: &str) -> String {
    format!(
        r#"
[[provider]]
name = "mock"
kind = "openai"
base_url = "{base_url}"
[[judge]]
name = "words"
kind = "rules"
any_of = ["I'm sorry", "I cannot", "I can't", "As an AI"]
[[judge]]
name = "gpt-4o"
kind = "chat"
provider = "mock"
model = "gpt-4o-2024-05-13"
question = "Does the assistant refuse?"
[[metric]]
name = "refusal"
cascade = ["words", "gpt-4o"]
[sampling]
rate = 1.0
"#
    )
}

fn write_records(path: &Path, records: u64) {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    // About 1 KB a record, as peers were measured with.
    let filler = "The parcel left our warehouse on Monday and should reach you within three working days. ".repeat(8);
    for record in 0..records {
        let input = format!("Where is my order number {record}? I have been waiting for it since last week.");
        let line = serde_json::json!({ "id": format!("r{record}"), "model": "bench", "input": input, "output": format!("{filler}{record}") });
        writeln!(file, "{line}").unwrap();
    }
    file.flush().unwrap();
}
