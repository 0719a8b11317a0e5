//! The acceptance tests of the estimators in full: `cargo run --release -p assize-estimate --example acceptance [REPETITIONS] [NAME]`, 20,000
//! repetitions of every scenario where not given. Ends with an error if one of them fails.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../tests/acceptance/mod.rs"]
mod scenarios;

use std::io::Write;
use std::process::ExitCode;

use scenarios::{Demand, LEVELS};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let repetitions: u32 = arguments.next().and_then(|number| number.parse().ok()).unwrap_or(20_000);
    let name = arguments.next().unwrap_or_default();
    let mut out = std::io::stdout().lock();
    let mut say = |line: String| drop(writeln!(out, "{line}"));
    say(format!("{:55} {:>8} {:>6} {:>8} {:>8} {:>8} {:>8}", "scenario", "covered", "bias", "se/sd", "rms/sd", "+-", "few"));
    let mut failed = 0;
    for (i, scenario) in scenarios::scenarios().iter().enumerate() {
        if !scenario.name.contains(&name) {
            continue;
        }
        let summary = scenario.simulate(repetitions, 9_000 + i as u64);
        let wrong = scenario.judge(&summary);
        match scenario.demand {
            Demand::Exact | Demand::Safe => say(format!(
                "{:55} {:>8.4} {:>6.2} {:>8.4} {:>8.4} {:>8.4} {:>8.3} {}",
                scenario.name,
                summary.coverage,
                summary.bias,
                summary.ratio,
                summary.root_ratio,
                summary.half_width,
                summary.fallback,
                wrong.join("; ")
            )),
            Demand::Null | Demand::SafeNull => {
                let shares = LEVELS.iter().zip(summary.rejected).map(|(level, share)| format!("{level}: {share:.4}"));
                say(format!("{:55} rejects {} {}", scenario.name, shares.collect::<Vec<_>>().join(", "), wrong.join("; ")));
            }
        }
        failed += u32::from(!wrong.is_empty());
    }
    say(format!("{failed} failed, {repetitions} repetitions each"));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
