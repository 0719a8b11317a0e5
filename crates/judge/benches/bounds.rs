//! How long a bound on a call's cost takes, by how tight it is: `cargo bench -p assize-judge --bench bounds`.
#![allow(clippy::print_stdout, clippy::expect_used)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use assize_core::judge::{CalledJudge, Tightness};
use assize_core::{Interaction, JudgeName};
use assize_judge::bounds::Counting;
use assize_judge::spec::{ChatSpec, ProviderSpec};
use assize_judge::{ChatJudge, metrics, providers};
use serde_json::json;

const ENGLISH: &str = "Your card will arrive within five working days; please activate it in the app before its first use, under \
    Cards, then Activate. If it has not come by then, call us at +1 555 0100 and we will send another one, free of charge. ";

fn main() {
    let started = Instant::now();
    black_box(Counting::O200k.tight("a"));
    println!("{:<40} {:>10.1} ms", "o200k_base, first use", started.elapsed().as_secs_f64() * 1e3);
    let started = Instant::now();
    black_box(Counting::Cl100k.tight("a"));
    println!("{:<40} {:>10.1} ms", "cl100k_base, first use", started.elapsed().as_secs_f64() * 1e3);

    let chinese = "您的卡将在五个工作日内送达,首次使用前请在应用程序中激活。如果届时还没有收到,请致电我们。".repeat(7);
    for (name, text) in [("English", ENGLISH.repeat(4)), ("Chinese", chinese), ("English, 100 KB", ENGLISH.repeat(460))] {
        let item: Interaction = serde_json::from_value(json!({
            "id": "i", "project": "p", "time": 0,
            "input": [{"role": "user", "content": "When will my card arrive, and what do I have to do then?"}],
            "output": [{"role": "assistant", "content": text}],
        }))
        .expect("an interaction");
        for (kind, model) in [("openai", "gpt-4o"), ("anthropic", "claude-haiku-4-5")] {
            let judge = judge(kind, model);
            for tightness in [Tightness::Quick, Tightness::Tight] {
                let bound = judge.bound(&item, &[0], tightness).expect("a bound");
                let micros = micros(|| {
                    black_box(judge.bound(black_box(&item), &[0], tightness));
                });
                println!("{name}, {} bytes, {model}, {tightness:?}: {micros:.2} us, {bound}", text.len());
            }
        }
    }
    for (name, unit) in [("one letter", "a"), ("one emoji", "👾"), ("one space", " "), ("U+FDFA", "\u{fdfa}")] {
        let text = unit.repeat((1 << 20) / unit.len());
        let started = Instant::now();
        let tokens = Counting::O200k.tight(&text);
        let tight = started.elapsed().as_secs_f64() * 1e3;
        let started = Instant::now();
        let bytes = Counting::Bytes.quick(&text);
        let quick = started.elapsed().as_secs_f64() * 1e3;
        println!("1 MB of {name}: o200k_base {tokens} in {tight:.1} ms, bytes {bytes} in {quick:.1} ms");
    }
}

fn judge(kind: &str, model: &str) -> ChatJudge {
    let provider = json!({"name": "p", "kind": kind, "base_url": "http://127.0.0.1:9/v1"});
    let provider: ProviderSpec = serde_json::from_value(provider).expect("a provider");
    let spec: ChatSpec = serde_json::from_value(json!({"provider": "p", "model": model})).expect("a judge");
    let open = providers::open(&provider, None).expect("an open provider");
    let question = metrics::builtin("refusal").expect("a metric").question();
    ChatJudge::open(&JudgeName::new("judge").expect("a name"), &spec, &[question], open).expect("an open judge")
}

/// Microseconds of a call, the least of several rounds: whatever else the machine does only adds to it.
fn micros(mut call: impl FnMut()) -> f64 {
    call();
    let mut least = f64::INFINITY;
    for _ in 0..20 {
        let (started, mut calls) = (Instant::now(), 0_u32);
        while started.elapsed() < Duration::from_millis(10) {
            call();
            calls += 1;
        }
        least = least.min(started.elapsed().as_secs_f64() * 1e6 / f64::from(calls));
    }
    least
}
