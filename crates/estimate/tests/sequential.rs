//! Whether what may be looked at all the time keeps its promise over all the time, and how fast it finds what is there. Seeded.
//!
//! `STREAMS` runs per scenario, by default; all 2,000 of the acceptance test with
//! `ASSIZE_REPETITIONS=2000 cargo test -p assize-estimate --test sequential -- --nocapture` (52 s on two cores). It gave, of 2,000 streams of
//! 10,000 at alpha .05 (100 are allowed; the fixed interval misses in 991):
//!
//! | | streams |
//! |---|---|
//! | confidence sequence ever misses: 2 % positive, 30 %, graded, half constant | 27, 23, 14, 27; 1.98 to 2.45 times the fixed width |
//! | false alarm of a change: rose at .02, rose at .3, fell at .3, either at .1, rose while below | 32, 58, 61, 49, 1 |
//! | false alarm of a difference: .05 in equal parts, .3 with a fifth of B | 22, 29 |
//! | weighted, looked at 400 times over 20,000: limits, rose, differ | 33, 24, 28 |
//!
//! Median scores until a change is found, after 0 (5,000) without one: .02 to .04 573 (940), .3 to .4 176 (438), .02 to .1 (186), .3 to .6
//! (116). Until a difference is found, scores of both: .05 and .1 1,399; .3 and .4 1,114; .3 and .6 with a fifth of B 292.
#![cfg(test)]

mod random;

use assize_estimate::sequential::{Asymptotic, Change, ConfidenceSequence, Difference, Direction, Running, Version};
use random::Random;

const STREAMS: usize = 200;
const LENGTH: usize = 10_000;
const ALPHA: f64 = 0.05;

fn streams() -> usize {
    std::env::var("ASSIZE_REPETITIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(STREAMS)
}

/// What may at most be counted of so many: `ALPHA` of them, and three standard errors of chance where they are few.
fn at_most() -> usize {
    let n = streams() as f64;
    let chance = if streams() < 2_000 { 3.0 * (n * ALPHA * (1.0 - ALPHA)).sqrt() } else { 0.0 };
    (n * ALPHA + chance).floor() as usize
}

fn coin(random: &mut Random, rate: f64) -> f64 {
    f64::from(u8::from(random.uniform() < rate))
}

/// The number of streams in which `wrong` ever says yes.
fn ever(seed: u64, name: &str, mut stream: impl FnMut(&mut Random) -> bool) -> usize {
    let mut random = Random(seed);
    let count = (0..streams()).filter(|_| stream(&mut random)).count();
    println!("{name}: {count} of {} streams", streams());
    count
}

#[test]
fn a_confidence_sequence_ever_misses_in_at_most_alpha() {
    type Draw = fn(&mut Random) -> f64;
    let scores: [(&str, f64, Draw); 4] = [
        ("2 % positive", 0.02, |random| coin(random, 0.02)),
        ("30 % positive", 0.3, |random| coin(random, 0.3)),
        ("graded scores", 1.0 / 3.0, |random| random.uniform().powi(2)),
        ("half of them constant", 0.3, |random| if random.uniform() < 0.5 { 0.3 } else { coin(random, 0.3) }),
    ];
    for (name, mean, draw) in scores {
        let (mut width, mut fixed) = (0.0, 0.0);
        let missed = ever(1, name, |random| {
            let mut sequence = ConfidenceSequence::new(1.0 - ALPHA).unwrap();
            let (mut missed, mut squares) = (false, 0.0);
            for _ in 0..LENGTH {
                let score = draw(random);
                squares += (score - mean) * (score - mean);
                sequence.update(score).unwrap();
                let interval = sequence.interval();
                missed |= !(interval.low <= mean && mean <= interval.high);
            }
            let interval = sequence.interval();
            width += interval.high - interval.low;
            fixed += 2.0 * 1.96 * squares.sqrt() / LENGTH as f64;
            missed
        });
        let ratio = width / fixed;
        println!("  at the end {ratio:.2} times as wide as the fixed interval");
        assert!(missed <= at_most(), "{name}: {missed}");
        assert!((1.2..3.0).contains(&ratio), "{name}: {ratio}");
    }
}

/// The reason for all this: the fixed interval, looked at after every score.
#[test]
fn the_fixed_interval_does_not_keep_it() {
    let missed = ever(2, "fixed interval", |random| {
        let (mut sum, mut missed) = (0.0, false);
        for n in 1..=LENGTH {
            sum += coin(random, 0.3);
            let mean = sum / n as f64;
            missed |= n >= 100 && (mean - 0.3).abs() > 1.96 * (mean * (1.0 - mean) / n as f64).sqrt();
        }
        missed
    });
    assert!(missed > 5 * at_most() / 2, "{missed}");
}

/// When the alarm is raised in a stream of `before` scores at one rate and then of another, if it is.
fn found(random: &mut Random, change: &mut Change, before: usize, rates: [f64; 2], length: usize) -> Option<usize> {
    (0..length).find(|&at| {
        let score = coin(random, if at < before { rates[0] } else { rates[1] });
        change.update(score).unwrap();
        change.verdict().is_raised
    })
}

#[test]
fn false_alarms_of_a_change_are_at_most_alpha() {
    for (rate, reference, direction) in [
        (0.02, 0.02, Direction::Rose),
        (0.3, 0.3, Direction::Rose),
        (0.015, 0.02, Direction::Rose),
        (0.3, 0.3, Direction::Fell),
        (0.1, 0.1, Direction::Either),
    ] {
        let raised = ever(3, &format!("{direction:?} at {rate} against {reference}"), |random| {
            let mut change = Change::new(reference, direction, ALPHA).unwrap();
            found(random, &mut change, LENGTH, [rate; 2], LENGTH).is_some()
        });
        assert!(raised <= at_most(), "{rate} {direction:?}: {raised}");
    }
}

/// The middle of what was found, counted from the change; what was not found counts as the length.
fn median_delay(seed: u64, reference: f64, to: f64, before: usize) -> (usize, usize) {
    let (mut random, mut delays, mut early) = (Random(seed), Vec::new(), 0);
    for _ in 0..100 {
        let mut change = Change::new(reference, Direction::Rose, ALPHA).unwrap();
        match found(&mut random, &mut change, before, [reference, to], before + LENGTH) {
            Some(at) if at < before => early += 1,
            Some(at) => delays.push(at - before + 1),
            None => delays.push(LENGTH),
        }
    }
    delays.sort_unstable();
    let median = delays[delays.len() / 2];
    println!("from {reference} to {to} after {before}: median {median} scores, {early} of 100 early");
    (median, early)
}

/// A one-sided 5 % test of a size fixed beforehand needs about `(1.645 + 1.28)^2 p(1-p) / d^2` scores for 90 % power: 420 from .02 to .04, 180
/// from .3 to .4. Late changes cost more, since the alarm was not to be raised in the time before.
#[test]
fn a_real_change_is_found_soon() {
    for (reference, to, before, soon) in [
        (0.02, 0.04, 0, 1_000),
        (0.02, 0.04, 5_000, 2_000),
        (0.02, 0.1, 5_000, 250),
        (0.3, 0.4, 0, 500),
        (0.3, 0.4, 5_000, 1_000),
        (0.3, 0.6, 5_000, 200),
    ] {
        let (median, early) = median_delay(4, reference, to, before);
        assert!(median <= soon && early <= 12, "{reference} to {to} after {before}: {median}, {early} early");
    }
}

#[test]
fn false_alarms_of_a_difference_are_at_most_alpha() {
    for (rate, share_of_b) in [(0.05, 0.5), (0.3, 0.2)] {
        let raised = ever(5, &format!("two versions at {rate}, {share_of_b} of B"), |random| {
            let mut both = Difference::new(Direction::Either, ALPHA).unwrap();
            (0..LENGTH).any(|_| {
                let version = if random.uniform() < share_of_b { Version::B } else { Version::A };
                let score = coin(random, rate);
                both.update(version, score).unwrap();
                both.verdict().is_raised
            })
        });
        assert!(raised <= at_most(), "{rate}: {raised}");
    }
}

#[test]
fn a_real_difference_is_found_soon() {
    for (a, b, share_of_b, soon) in [(0.05, 0.1, 0.5, 4_000), (0.3, 0.4, 0.5, 2_500), (0.3, 0.6, 0.2, 500)] {
        let mut random = Random(6);
        let mut sizes: Vec<usize> = (0..100)
            .map(|_| {
                let mut both = Difference::new(Direction::Either, ALPHA).unwrap();
                let size = (0..LENGTH).find(|_| {
                    let is_b = random.uniform() < share_of_b;
                    let (version, rate) = if is_b { (Version::B, b) } else { (Version::A, a) };
                    let score = coin(&mut random, rate);
                    both.update(version, score).unwrap();
                    both.verdict().is_raised
                });
                size.unwrap_or(LENGTH)
            })
            .collect();
        sizes.sort_unstable();
        println!("{a} against {b}, {share_of_b} of B: median {} scores of both", sizes[50]);
        assert!(sizes[50] <= soon, "{a} {b}: {}", sizes[50]);
    }
}

/// Traffic in two strata with a cheap score: an interaction is judged with probability .5 or .2, and gives `g + (H - g) xi / pi`, whose mean
/// is the rate. Looked at after every 50 (the ends of hours). In the larger stratum one in 125 has a residual that is not 0: the first look
/// waits until some thirty of these have come. (At 500, where there are four, the limits ever miss in about 10 % of the streams.)
struct Weighted {
    n: u64,
    sum: f64,
    squares: f64,
}

impl Weighted {
    const RATE: f64 = 0.2 * 0.6 + 0.8 * 0.05;

    fn new() -> Self {
        Self { n: 0, sum: 0.0, squares: 0.0 }
    }

    fn push(&mut self, random: &mut Random, more: f64) {
        let is_doubtful = random.uniform() < 0.2;
        let (pi, rate, g) = if is_doubtful { (0.5, 0.6, 0.5) } else { (0.2, 0.05, 0.0) };
        let h = coin(random, rate + more);
        let value = g + if random.uniform() < pi { (h - g) / pi } else { 0.0 };
        self.n += 1;
        self.sum += value;
        self.squares += value * value;
    }

    fn running(&self) -> Running {
        Running::of_sums(self.n, self.sum, self.squares)
    }
}

#[test]
fn weighted_observations_keep_it_too() {
    let boundary = Asymptotic::new(ALPHA, 10_000.0, 4_000).unwrap();
    let missed = ever(7, "weighted, limits", |random| {
        let mut sums = Weighted::new();
        (1..=2 * LENGTH).any(|n| {
            sums.push(random, 0.0);
            let interval = boundary.interval(&sums.running());
            n % 50 == 0 && !(interval.low <= Weighted::RATE && Weighted::RATE <= interval.high)
        })
    });
    let raised = ever(8, "weighted, rose", |random| {
        let mut sums = Weighted::new();
        (1..=2 * LENGTH).any(|n| {
            sums.push(random, 0.0);
            n % 50 == 0 && boundary.rose_above(&sums.running(), Weighted::RATE)
        })
    });
    let differ = ever(9, "weighted, two versions", |random| {
        let mut sums = [Weighted::new(), Weighted::new()];
        (1..=2 * LENGTH).any(|n| {
            sums[n % 2].push(random, 0.0);
            n % 50 == 0 && boundary.differ(&sums[0].running(), &sums[1].running())
        })
    });
    for (name, count) in [("limits", missed), ("rose", raised), ("differ", differ)] {
        assert!(count <= at_most(), "{name}: {count}");
    }
}

#[test]
fn weighted_changes_are_found() {
    let boundary = Asymptotic::new(ALPHA, 10_000.0, 4_000).unwrap();
    let mut random = Random(10);
    let (mut rose, mut differed) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        let mut sums = [Weighted::new(), Weighted::new()];
        let (mut first_rose, mut first_differed) = (2 * LENGTH, 2 * LENGTH);
        for n in 1..=2 * LENGTH {
            sums[n % 2].push(&mut random, if n % 2 == 0 { 0.1 } else { 0.0 });
            let [changed, same] = &sums;
            if n % 50 == 0 && boundary.rose_above(&changed.running(), Weighted::RATE) {
                first_rose = first_rose.min(n);
            }
            if n % 50 == 0 && boundary.differ(&same.running(), &changed.running()) {
                first_differed = first_differed.min(n);
            }
        }
        rose.push(first_rose);
        differed.push(first_differed);
    }
    rose.sort_unstable();
    differed.sort_unstable();
    println!("weighted, 10 points more in one of two versions: rose after {} of both, differ after {}", rose[50], differed[50]);
    assert!(rose[50] <= 10_000 && differed[50] <= 10_000, "{} {}", rose[50], differed[50]);
}
