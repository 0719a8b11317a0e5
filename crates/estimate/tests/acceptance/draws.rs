//! What happens to draws: changing probabilities, failures, sharing, redelivery, empty cells, versions, caches.

use assize_estimate::{Bucket, Estimator, Options, Stratum, estimate, probability_class};

use super::traffic::{Random, Row, Traffic, calibrated, coin};
use super::windows::{bin, by, rows};
use super::{Demand, Draw, Scenario};

pub fn scenarios() -> Vec<Scenario> {
    let ppi = || by(Estimator::Ppi);
    let mut all = vec![
        Traffic::new(rows(12_000, 31, |hour, random| {
            // Nine-fold, against a rate that rises as the probability falls.
            let phase = (hour % 9) as f64;
            let g = random.uniform();
            Row {
                cell: bin(g) / 3,
                classes: true,
                ..Row::new(g, coin(random, 0.1 + 0.04 * phase + 0.5 * g * g), 0.45 / (1.0 + phase))
            }
        }))
        .window("probabilities that change during the window", Demand::Exact, ppi()),
        Traffic::new(rows(14_000, 32, |hour, random| {
            let (g, chance) = calibrated(random, 0.3);
            Row { cell: u16::from(hour < 4), ..Row::new(g, coin(random, chance), if hour < 4 { 1.0 } else { 0.08 }) }
        }))
        .window("some items at pi = 1", Demand::Exact, ppi()),
        Traffic::new(rows(6_000, 33, |_, random| {
            let (g, chance) = calibrated(random, 0.25);
            Row { failure: 0.1, ..Row::new(g, coin(random, chance), 0.5) }
        }))
        .window("10 % failing at pi = .5", Demand::Exact, ppi()),
        Traffic::new(rows(8_000, 34, |_, random| {
            let (g, chance) = calibrated(random, 0.25);
            Row { failure: 0.1, ..Row::new(g, coin(random, chance), 1.0) }
        }))
        .window("rate 1 with failures", Demand::Exact, ppi()),
        Traffic::new(rows(16_000, 35, |hour, random| {
            // An outage, while the rate is higher, in one stratum worse than in the other.
            let down = (8..16).contains(&hour);
            let (g, chance) = calibrated(random, if down { 0.4 } else { 0.2 });
            let cell = u16::from(g > 0.5);
            let failure = if down { 0.4 + 0.3 * f64::from(cell) } else { 0.02 };
            Row { cell, failure, ..Row::new(g, coin(random, chance), 0.5) }
        }))
        .window("an outage, by hour and stratum", Demand::Exact, ppi()),
        Traffic::new(rows(30_000, 36, |_, random| {
            // Some strata hold one interaction or a few, others are never drawn from.
            let x = random.uniform();
            let (g, chance) = calibrated(random, 0.3);
            let cell = if x < 0.002 { 10 + (x * 20_000.0) as u16 } else { bin(g) };
            Row { cell, ..Row::new(g, coin(random, chance), if cell % 7 == 3 && cell > 9 { 0.001 } else { 0.1 }) }
        }))
        .window("empty cells and cells of one", Demand::Exact, ppi()),
        Traffic::new(rows(10_000, 37, |_, random| {
            // A fifth of the traffic has one of three keys; its cached verdict was one noisy answer of the reference judge.
            let key = (random.uniform() * 15.0) as usize;
            let h = coin(random, [0.9, 0.15, 0.4].get(key).copied().unwrap_or(0.2));
            let cached = [1.0, 0.0, 1.0].get(key).copied();
            Row {
                cell: u16::from(cached.is_some()),
                ..Row::new(cached.unwrap_or_else(|| 0.5 * h + 0.5 * random.uniform()), h, 0.12)
            }
        }))
        .window("recurring cache keys", Demand::Exact, ppi()),
    ];
    all.extend([packing(), redelivery(), thinning(), versions(true), versions(false)]);
    all
}

fn scenario(name: &'static str, run: impl Fn(&mut Random) -> Draw + Send + Sync + 'static) -> Scenario {
    Scenario { name, demand: Demand::Exact, run: Box::new(run) }
}

fn ended(buckets: &[Bucket], truth: f64) -> Draw {
    Draw::Estimate { estimate: estimate(buckets, &Options::default()).unwrap().expect("something is judged"), truth }
}

/// The bucket of an item's class of probability.
fn of_class(buckets: &mut Vec<Bucket>, pi: f64) -> &mut Bucket {
    let class = probability_class(pi);
    let place = buckets.iter().position(|bucket| bucket.stratum.class == class).unwrap_or_else(|| {
        buckets.push(Bucket::new(0, Stratum { class, ..Stratum::default() }, 1));
        buckets.len() - 1
    });
    &mut buckets[place]
}

/// Cheap score and reference score of `n` items.
fn items(n: usize, seed: u64, rate: f64) -> (Vec<(f64, f64)>, f64) {
    let mut random = Random(seed);
    let item = |_| {
        let (g, chance) = calibrated(&mut random, rate);
        (g, coin(&mut random, chance))
    };
    let items: Vec<(f64, f64)> = (0..n).map(item).collect();
    let truth = items.iter().map(|item| item.1).sum::<f64>() / n as f64;
    (items, truth)
}

fn push(buckets: &mut Vec<Bucket>, (g, h): (f64, f64), pi: f64, is_drawn: bool) {
    let bucket = of_class(buckets, pi);
    bucket.accept(g, None);
    if is_drawn {
        bucket.draw(1, pi).unwrap();
        bucket.score(&[pi], &[g, h], None).unwrap();
    }
}

/// Metric A is bought where metric B has its positives. What was bought for A serves B too, with the probability of the union.
fn packing() -> Scenario {
    let (items, truth) = items(12_000, 41, 0.2);
    scenario("packing of two metrics", move |random| {
        let mut buckets = Vec::new();
        for item in &items {
            let (u, for_a, for_b) = (random.uniform(), if item.0 > 0.5 { 0.8 } else { 0.05 }, 0.1_f64);
            push(&mut buckets, *item, for_b.max(for_a), u < for_a || u < for_b);
        }
        ended(&buckets, truth)
    })
}

/// An item that comes again at another probability is the one that it was: drawn or not, at the first.
fn redelivery() -> Scenario {
    let (items, truth) = items(10_000, 43, 0.3);
    scenario("redelivery at another pi", move |random| {
        let mut buckets = Vec::new();
        let mut decided: Vec<Option<(f64, bool)>> = vec![None; items.len()];
        // First deliveries, and second ones of a third, three times as likely to be drawn where the cheap score is high.
        for delivery in 0..2 {
            for (i, (g, _)) in items.iter().enumerate() {
                if delivery == 0 || (i % 3 == 0 && decided[i].is_none()) {
                    let pi = if delivery == 0 { 0.1 } else { 0.05 + 0.3 * g };
                    decided[i] = Some((pi, random.uniform() < pi));
                }
            }
        }
        for (item, (pi, is_drawn)) in items.iter().zip(decided.into_iter().flatten()) {
            push(&mut buckets, *item, pi, is_drawn);
        }
        ended(&buckets, truth)
    })
}

/// What still waits is thinned: the same number against a lower probability, the same for all that wait, blind to scores.
fn thinning() -> Scenario {
    let (items, truth) = items(16_000, 44, 0.3);
    scenario("thinning of what waits", move |random| {
        let mut buckets = Vec::new();
        for (i, item) in items.iter().enumerate() {
            let (u, first) = (random.uniform(), 0.1 + 0.2 * item.0);
            let was_drawn = u < first;
            let pi = if i % 2 == 0 { first } else { first * 0.4 };
            push(&mut buckets, *item, pi, was_drawn && u < pi);
        }
        ended(&buckets, truth)
    })
}

/// The reference judge changes in the middle of an hour: each version has its own sums, and its own truth.
fn versions(is_first: bool) -> Scenario {
    let items: Vec<(f64, f64, bool)> = {
        let mut random = Random(45);
        let mut item = |i: usize| {
            let (g, chance) = calibrated(&mut random, 0.3);
            let old = i < 7_300;
            (g, coin(&mut random, if old { chance } else { (chance + 0.1).min(1.0) }), old)
        };
        (0..14_000).map(&mut item).collect()
    };
    let mine: Vec<f64> = items.iter().filter(|item| item.2 == is_first).map(|item| item.1).collect();
    let truth = mine.iter().sum::<f64>() / mine.len() as f64;
    let name = if is_first { "a judge version changing, the old one" } else { "a judge version changing, the new one" };
    scenario(name, move |random| {
        let hour = |i: usize| (i / 1_000) as i64;
        let mut sums: Vec<[Bucket; 2]> = (0..14).map(|hour| [0, 1].map(|_| Bucket::new(hour, Stratum::default(), 1))).collect();
        for (i, (g, h, old)) in items.iter().enumerate() {
            let bucket = &mut sums[hour(i) as usize][usize::from(*old)];
            bucket.accept(*g, None);
            if random.uniform() < 0.12 {
                bucket.draw(1, 0.12).unwrap();
                bucket.score(&[0.12], &[*g, *h], None).unwrap();
            }
        }
        let of: Vec<Bucket> = sums.into_iter().map(|pair| pair[usize::from(is_first)].clone()).collect();
        ended(&of, truth)
    })
}
