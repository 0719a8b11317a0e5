//! What produces the traffic: new traffic every time, alike within conversations; and comparisons where nothing differs.

use assize_estimate::{Bucket, Estimand, Estimator, Fit, Options, Stratum, estimate, fit};

use super::traffic::{Random, coin, judged};
use super::windows::bin;
use super::{Demand, Draw, Scenario};

/// How traffic comes about.
#[derive(Clone, Copy)]
struct Process {
    conversations: usize,
    /// Interactions of a conversation.
    turns: usize,
    /// Whether they are spread over hours and strata.
    across: bool,
    rate: f64,
    /// Probability, lowest and highest: it falls with the cheap score.
    pi: (f64, f64),
    failure: f64,
    /// Whether conversations are on record.
    grouped: bool,
    tiers: usize,
}

const PLAIN: Process =
    Process { conversations: 600, turns: 5, across: false, rate: 0.3, pi: (0.3, 0.3), failure: 0.0, grouped: true, tiers: 1 };

/// One lot of traffic, drawn from.
fn traffic(process: &Process, random: &mut Random) -> Vec<Bucket> {
    let strata = 2;
    let mut buckets: Vec<Bucket> = (0..24 * strata)
        .map(|i| Bucket::new(i64::from(i / strata), Stratum { cell: (i % strata) as u16, ..Stratum::default() }, process.tiers))
        .collect();
    for conversation in 0..process.conversations {
        // Half of the variance is the conversation's.
        let level = random.uniform();
        let group = process.grouped.then_some((random.uniform() * 64.0) as u8);
        let start = (conversation * 24 / process.conversations) as i64;
        for turn in 0..process.turns {
            let hour = if process.across { (start + 5 * turn as i64) % 24 } else { start };
            // Alike within: a chance that is the conversation's, of mean `rate`.
            let chance = if level < process.rate { 0.8 } else { 0.2 * process.rate / (1.0 - process.rate) };
            let h = coin(random, chance);
            let g = (0.2 * h + 0.25 * chance + 0.55 * random.uniform()).clamp(0.0, 1.0);
            let cell = if process.across { bin(g) / 3 } else { 0 };
            let bucket = &mut buckets[hour as usize * strata as usize + usize::from(cell)];
            bucket.accept(g, group);
            let last = process.pi.1 + (process.pi.0 - process.pi.1) * g;
            let (paid, u) = (judged(random, h, 0.15), random.uniform());
            let (probabilities, scores) =
                if process.tiers == 2 { (vec![(2.0 * last).min(1.0), last], vec![g, paid, h]) } else { (vec![last], vec![g, h]) };
            for k in 0..process.tiers {
                if u >= probabilities[k] {
                    break;
                }
                bucket.draw(k + 1, probabilities[k]).unwrap();
                if random.uniform() < process.failure {
                    break;
                }
                bucket.score(&probabilities[..=k], &scores[..=k + 1], group).unwrap();
            }
        }
    }
    buckets
}

fn truth(process: &Process) -> f64 {
    process.rate * 0.8 + (1.0 - process.rate) * 0.2 * process.rate / (1.0 - process.rate)
}

fn of_process(name: &'static str, demand: Demand, process: Process, estimator: Estimator) -> Scenario {
    let options = Options { estimand: Estimand::Process, estimator, ..Options::default() };
    let run = move |random: &mut Random| {
        let estimate = estimate(&traffic(&process, random), &options).unwrap().expect("something is judged");
        Draw::Estimate { estimate, truth: truth(&process) }
    };
    Scenario { name, demand, run: Box::new(run) }
}

fn null(name: &'static str, demand: Demand, a: Process, b: Process) -> Scenario {
    let options = Options { estimand: Estimand::Process, ..Options::default() };
    let fitted = move |process: &Process, random: &mut Random| -> Fit {
        fit(&traffic(process, random), &options).unwrap().expect("something is judged")
    };
    let run = move |random: &mut Random| {
        let (a, b) = (fitted(&a, random), fitted(&b, random));
        Draw::null(&a, &b)
    };
    Scenario { name, demand, run: Box::new(run) }
}

pub fn scenarios() -> Vec<Scenario> {
    let ppi = Estimator::Ppi;
    let alone = Process { conversations: 3_000, turns: 1, grouped: false, ..PLAIN };
    let across = Process { conversations: 1_500, across: true, pi: (0.25, 0.5), ..PLAIN };
    vec![
        of_process("process, each on its own", Demand::Exact, alone, ppi),
        of_process("process, each on its own, Hajek", Demand::Exact, alone, Estimator::Hajek),
        of_process(
            "process, each on its own, strata",
            Demand::Exact,
            Process { conversations: 7_000, across: true, pi: (0.25, 0.5), ..alone },
            ppi,
        ),
        of_process("process, all judged", Demand::Exact, Process { conversations: 1_200, pi: (1.0, 1.0), ..alone }, ppi),
        of_process("process, conversations of 5", Demand::Exact, PLAIN, ppi),
        of_process("process, conversations of 5, Hajek", Demand::Exact, PLAIN, Estimator::Hajek),
        of_process("process, conversations of 5, Horvitz-Thompson", Demand::Exact, PLAIN, Estimator::HorvitzThompson),
        of_process("process, conversations of 5 across hours and strata", Demand::Exact, across, ppi),
        of_process("process, conversations of 5, failures", Demand::Exact, Process { failure: 0.1, ..across }, ppi),
        of_process("process, conversations of 5, two called tiers", Demand::Exact, Process { tiers: 2, ..across }, ppi),
        of_process(
            "process, conversations of 5, few positives",
            Demand::Safe,
            Process { conversations: 400, rate: 0.012, pi: (0.4, 0.4), ..PLAIN },
            ppi,
        ),
        null("p-values, each on its own", Demand::Null, alone, Process { conversations: 1_500, pi: (0.2, 0.6), ..alone }),
        null("p-values, conversations of 5", Demand::Null, PLAIN, across),
        null(
            "p-values, few positives",
            Demand::SafeNull,
            Process { conversations: 800, rate: 0.03, pi: (0.5, 0.5), ..alone },
            Process { conversations: 500, rate: 0.03, pi: (1.0, 1.0), ..alone },
        ),
    ]
}
