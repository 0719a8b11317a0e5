//! The acceptance tests of the estimators in their quick form. In full, 20,000 repetitions:
//! `cargo run --release -p assize-estimate --example acceptance`.
#![cfg(test)]

#[path = "acceptance/mod.rs"]
mod scenarios;

use scenarios::{Demand, Random};

const REPETITIONS: u32 = 1_000;

#[test]
fn every_scenario_keeps_its_promise() {
    let mut failed = Vec::new();
    for (i, scenario) in scenarios::scenarios().iter().enumerate() {
        let summary = scenario.simulate(REPETITIONS, 1_000 + i as u64);
        println!("{}: {summary:?}", scenario.name);
        let mut wrong = scenario.judge(&summary);
        // A scenario that is meant to be exact is to be so by the normal interval.
        if scenario.demand == Demand::Exact && summary.fallback > 0.1 {
            wrong.push(format!("few positives in {}", summary.fallback));
        }
        failed.extend(wrong.into_iter().map(|wrong| format!("{}: {wrong}", scenario.name)));
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// The tests themselves would notice: intervals at half the variance, or values that are off, fail the same demands.
#[test]
fn a_wrong_estimator_would_be_noticed() {
    let scenario = scenarios::scenarios().into_iter().find(|scenario| scenario.name == "uniform, PPI++").unwrap();
    let right = scenario.simulate(REPETITIONS, 5);
    assert!(scenario.judge(&right).is_empty());
    let run = scenario.run;
    let narrow = scenarios::Scenario {
        run: Box::new(move |random: &mut Random| match run(random) {
            scenarios::Draw::Estimate { mut estimate, truth } => {
                let half = (estimate.high - estimate.low) / 2.0 * 0.7;
                (estimate.low, estimate.high) = (estimate.value - half, estimate.value + half);
                estimate.std_error *= 0.7;
                scenarios::Draw::Estimate { estimate, truth: truth + 0.003 }
            }
            other => other,
        }),
        ..scenario
    };
    assert_eq!(narrow.judge(&narrow.simulate(REPETITIONS, 5)).len(), 3);
}
