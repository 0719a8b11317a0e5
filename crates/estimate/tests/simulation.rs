//! Whether intervals hold the truth as often as they say, by drawing again and again. Seeded, so that every run is the same.
#![cfg(test)]

mod random;

use assize_estimate::{Bucket, Estimand, Estimator, Item, Options, Predictors, estimate};
use random::Random;

const REPETITIONS: u32 = 2_000;
const HAJEK: Options =
    Options { level: 0.95, estimand: Estimand::Window, estimator: Estimator::Hajek, predictors: Predictors::Last };

/// One interaction of the traffic: when, how likely drawn, how likely its judge fails, and the score it has or is to have.
#[derive(Clone, Copy)]
struct Traffic {
    hour: i64,
    probability: f64,
    failure: f64,
    score: f64,
}

/// `n` interactions over 24 hours. `of` gives probability, failure and score from the hour and two uniform numbers.
fn traffic(n: usize, seed: u64, of: impl Fn(i64, f64, f64) -> (f64, f64, f64)) -> Vec<Traffic> {
    let mut random = Random(seed);
    let hour = |i: usize| (i * 24 / n) as i64;
    (0..n)
        .map(|i| {
            let (probability, failure, score) = of(hour(i), random.uniform(), random.uniform());
            Traffic { hour: hour(i), probability, failure, score }
        })
        .collect()
}

fn indicator(condition: bool) -> f64 {
    f64::from(u8::from(condition))
}

#[derive(Debug)]
struct Summary {
    coverage: f64,
    /// Mean error over its standard error.
    bias: f64,
    /// Mean estimated standard error over the standard deviation of the estimates.
    error_ratio: f64,
    /// Mean half of the width.
    half_width: f64,
    /// Share of the intervals that are Wilson's.
    wilson: f64,
}

/// Draws `REPETITIONS` times from what `world` gives (traffic and truth, the same or new each time).
fn simulate(seed: u64, options: Options, mut world: impl FnMut(&mut Random) -> (Vec<Traffic>, f64)) -> Summary {
    let mut random = Random(seed);
    let (mut covered, mut wilson, mut width, mut errors, mut std_errors) = (0, 0, 0.0, Vec::new(), 0.0);
    for _ in 0..REPETITIONS {
        let (rows, truth) = world(&mut random);
        let mut hours: Vec<Bucket> = (0..24).map(|hour| Bucket { hour, ..Bucket::default() }).collect();
        for row in rows {
            let drawn = random.uniform() < row.probability;
            let fails = drawn && random.uniform() < row.failure;
            let reference = (drawn && !fails).then_some(row.score);
            hours[row.hour as usize].push(Item { probability: row.probability, drawn, free: 0.0, reference });
        }
        let e = estimate(&hours, &options).unwrap().expect("something is judged in every scenario");
        covered += u32::from(e.low <= truth && truth <= e.high);
        wilson += u32::from(e.method.interval.name() == "wilson");
        width += e.high - e.low;
        errors.push(e.value - truth);
        std_errors += e.std_error;
    }
    let n = f64::from(REPETITIONS);
    let mean = errors.iter().sum::<f64>() / n;
    let sd = (errors.iter().map(|error| (error - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    Summary {
        coverage: f64::from(covered) / n,
        bias: mean / (sd / n.sqrt()),
        error_ratio: std_errors / n / sd,
        half_width: width / n / 2.0,
        wilson: f64::from(wilson) / n,
    }
}

/// The same traffic every time, its own mean the truth.
fn window(seed: u64, rows: &[Traffic]) -> Summary {
    window_by(seed, rows, HAJEK)
}

fn window_by(seed: u64, rows: &[Traffic], options: Options) -> Summary {
    let truth = rows.iter().map(|row| row.score).sum::<f64>() / rows.len() as f64;
    simulate(seed, options, |_| (rows.to_vec(), truth))
}

/// The normal interval: within 3 Monte-Carlo errors of .95 at 2,000 repetitions; no bias beyond 3 standard errors; standard errors right to 3
/// Monte-Carlo errors (1/sqrt(2n) each, 5 %).
#[track_caller]
fn exact(name: &str, summary: &Summary) {
    println!("{name}: {summary:?}");
    assert!((0.935..=0.965).contains(&summary.coverage), "{name}: {summary:?}");
    assert!(summary.bias.abs() < 3.0, "{name}: {summary:?}");
    assert!((0.95..=1.05).contains(&summary.error_ratio) && summary.wilson < 0.1, "{name}: {summary:?}");
}

/// Wilson's interval: at least .94, and not useless: `half_width` at most.
#[track_caller]
fn safe(name: &str, summary: &Summary, half_width: f64) {
    println!("{name}: {summary:?}");
    assert!(summary.coverage >= 0.94, "{name}: {summary:?}");
    assert!(summary.bias.abs() < 3.0, "{name}: {summary:?}");
    assert!(summary.half_width <= half_width && summary.wilson > 0.9, "{name}: {summary:?}");
}

#[test]
fn uniform() {
    let rows = traffic(5_000, 1, |_, _, y| (0.1, 0.0, indicator(y < 0.2)));
    exact("uniform", &window(2, &rows));
    let options = Options { estimator: Estimator::HorvitzThompson, ..HAJEK };
    exact("uniform, Horvitz-Thompson", &window_by(3, &rows, options));
    let options = Options { level: 0.8, ..HAJEK };
    let at_80 = window_by(4, &rows, options);
    assert!((0.773..=0.827).contains(&at_80.coverage), "{at_80:?}");
}

#[test]
fn smart_sampling_that_goes_with_the_score() {
    let rows =
        traffic(6_000, 11, |_, x, y| if x < 0.3 { (0.5, 0.0, indicator(y < 0.6)) } else { (0.05, 0.0, indicator(y < 0.25)) });
    exact("smart", &window(12, &rows));
    let options = Options { estimator: Estimator::HorvitzThompson, ..HAJEK };
    exact("smart, Horvitz-Thompson", &window_by(13, &rows, options));
    // Rates this far apart leave few residuals at the small probability: Wilson, on the safe side.
    let rows =
        traffic(6_000, 14, |_, x, y| if x < 0.3 { (0.5, 0.0, indicator(y < 0.4)) } else { (0.05, 0.0, indicator(y < 0.05)) });
    safe("smart, few at the small probability", &window(15, &rows), 0.035);
}

#[test]
fn few_positives() {
    for (i, (n, pi, rate, half_width)) in
        [(5_000, 0.1, 0.02, 0.015), (2_000, 0.1, 0.02, 0.026), (2_000, 0.5, 0.005, 0.005), (20_000, 0.02, 0.01, 0.013)]
            .into_iter()
            .enumerate()
    {
        let mut left = (rate * n as f64) as i64;
        let rows = traffic(n, 21, |_, _, _| (pi, 0.0, 0.0));
        let rows: Vec<Traffic> = rows
            .into_iter()
            .map(|row| {
                left -= 1;
                Traffic { score: indicator(left >= 0), ..row }
            })
            .collect();
        safe(&format!("rate {rate} of {n} at {pi}"), &window(22 + i as u64, &rows), half_width);
    }
}

/// Weights of 50:1, and a part of the traffic that is certain to be judged.
#[test]
fn a_few_heavy_weights() {
    let rows =
        traffic(20_000, 31, |_, x, y| if x < 0.1 { (1.0, 0.0, indicator(y < 0.3)) } else { (0.02, 0.0, indicator(y < 0.002)) });
    safe("certain and heavy", &window(32, &rows), 0.02);
    let rows = traffic(20_000, 33, |_, x, y| if x < 0.5 { (1.0, 0.0, 1.0) } else { (0.02, 0.0, indicator(y < 0.01)) });
    exact("half certain", &window(34, &rows));
    let rows =
        traffic(20_000, 35, |_, x, y| if x < 0.1 { (1.0, 0.0, indicator(y < 0.9)) } else { (0.02, 0.0, indicator(y < 0.01)) });
    safe("one in ten certain", &window(36, &rows), 0.03);
}

/// Two classes of traffic, each with a share, a probability and a rate: whichever interval is chosen, none covers too little.
#[test]
fn no_design_covers_too_little() {
    for (i, (n, share, [pi_a, rate_a], [pi_b, rate_b])) in [
        (20_000, 0.0, [1.0, 0.0], [0.1, 0.02]),
        (4_000, 0.0, [1.0, 0.0], [0.9, 0.02]),
        (10_000, 0.5, [1.0, 0.9], [0.01, 0.1]),
        (10_000, 0.5, [1.0, 0.5], [0.01, 0.1]),
        (14_000, 0.5, [1.0, 0.8], [0.01, 0.1]),
        (10_000, 0.5, [1.0, 0.5], [0.005, 0.98]),
        (40_000, 0.05, [0.01, 0.5], [0.1, 0.05]),
        (10_000, 0.2, [0.5, 0.5], [0.05, 0.05]),
        (7_000, 0.1, [1.0, 0.5], [0.05, 0.1]),
        (3_500, 0.5, [0.01, 0.5], [0.01, 0.5]),
    ]
    .into_iter()
    .enumerate()
    {
        let rows =
            traffic(
                n,
                91,
                |_, x, y| {
                    if x < share { (pi_a, 0.0, indicator(y < rate_a)) } else { (pi_b, 0.0, indicator(y < rate_b)) }
                },
            );
        let summary = window(92 + i as u64, &rows);
        println!("{pi_a} {rate_a} {pi_b} {rate_b}: {summary:?}");
        assert!(summary.coverage >= 0.935 && summary.bias.abs() < 3.5, "{pi_a} {rate_a} {pi_b} {rate_b}: {summary:?}");
    }
}

/// What sums without a cell per probability cannot know: 1 in 20 interactions, half of them positive, seen about five times.
#[test]
fn a_hidden_class_is_the_limit() {
    let rows =
        traffic(10_000, 91, |_, x, y| if x < 0.05 { (0.01, 0.0, indicator(y < 0.5)) } else { (0.1, 0.0, indicator(y < 0.05)) });
    let summary = window(98, &rows);
    println!("hidden class: {summary:?}");
    assert!(summary.coverage >= 0.88 && summary.bias.abs() < 3.0, "{summary:?}");
}

#[test]
fn non_response() {
    let rows = traffic(3_000, 41, |_, _, y| (0.5, 0.1, indicator(y < 0.2)));
    exact("10 % failing at .5", &window(42, &rows));
    let rows = traffic(5_000, 43, |_, _, y| (1.0, 0.1, indicator(y < 0.2)));
    exact("10 % failing at 1", &window(44, &rows));
    // An outage and a rate that rises during it: what remains of those hours has to stand for them.
    let rows = traffic(8_000, 45, |hour, _, y| {
        let down = (8..16).contains(&hour);
        (0.5, if down { 0.7 } else { 0.02 }, indicator(y < if down { 0.35 } else { 0.15 }))
    });
    exact("an outage", &window(46, &rows));
}

#[test]
fn probabilities_that_change_over_the_hours() {
    // Nine-fold, against a rate that rises as the probability falls; some failures too.
    let rows = traffic(10_000, 51, |hour, _, y| {
        let pi = 0.45 / (1.0 + (hour % 9) as f64);
        (pi, 0.05, indicator(y < 0.15 + 0.02 * (hour % 9) as f64))
    });
    exact("pacing", &window(52, &rows));
    let rows = traffic(10_000, 53, |hour, _, y| (if hour < 4 { 1.0 } else { 0.05 }, 0.0, indicator(y < 0.3)));
    exact("some hours at 1", &window(54, &rows));
}

/// Scores between 0 and 1: graded ones are exact, a few 1s among low ones are caught.
#[test]
fn graded_scores() {
    let rows = traffic(5_000, 61, |_, _, y| (0.1, 0.0, y * y));
    exact("graded", &window(62, &rows));
    let rows = traffic(1_000, 63, |_, x, y| (0.05, 0.0, (x + y) / 2.0));
    safe("graded, 50 judged", &window(64, &rows), 0.075);
    let rows = traffic(3_000, 65, |_, x, y| (0.1, 0.0, if x < 0.005 { 1.0 } else { 0.04 * y }));
    safe("low scores and a few 1s", &window(66, &rows), 0.015);
    let rows = traffic(3_000, 67, |_, x, y| (0.1, 0.0, if x < 0.01 { 0.0 } else { 0.9 + 0.1 * y }));
    safe("high scores and a few 0s", &window(68, &rows), 0.015);
}

/// New traffic every time; the truth is the rate that it comes from.
#[test]
fn the_process_behind_the_traffic() {
    let options = Options { estimand: Estimand::Process, ..HAJEK };
    let new = |random: &mut Random, n: usize, pi: f64, rate: f64| {
        let rows = (0..n).map(|i| Traffic {
            hour: (i * 24 / n) as i64,
            probability: pi,
            failure: 0.03,
            score: indicator(random.uniform() < rate),
        });
        (rows.collect(), rate)
    };
    exact("process, half judged", &simulate(71, options, |random| new(random, 1_500, 0.5, 0.25)));
    exact("process, all judged", &simulate(72, options, |random| new(random, 1_500, 1.0, 0.25)));
    safe("process, few positives", &simulate(73, options, |random| new(random, 1_000, 0.6, 0.02)), 0.015);
}

/// Failures that go with the score cannot be undone: the answer says so, and its bounds hold.
#[test]
fn failures_that_depend_on_the_score_are_marked() {
    let mut random = Random(81);
    for _ in 0..50 {
        let mut hours = vec![Bucket::default()];
        let mut truth = 0.0;
        for _ in 0..4_000 {
            let h = indicator(random.uniform() < 0.3);
            truth += h / 4_000.0;
            let fails = random.uniform() < if h > 0.5 { 0.4 } else { 0.02 };
            hours[0].push(Item { probability: 1.0, drawn: true, free: 0.0, reference: (!fails).then_some(h) });
        }
        let e = estimate(&hours, &HAJEK).unwrap().unwrap();
        assert!(e.high < truth && e.bound_low <= truth && truth <= e.bound_high, "{e:?}");
        assert_eq!(e.warnings.iter().map(|warning| warning.name()).collect::<Vec<_>>(), ["missing_matters"]);
    }
}
