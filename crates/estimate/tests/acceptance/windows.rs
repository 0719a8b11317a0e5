//! Designs and judges, over traffic that stays.

use assize_estimate::allocation::{Active, Floor, Spend, neyman, smoothed_spread};
use assize_estimate::{Estimator, Options, Predictors};

use super::traffic::{Random, Row, Traffic, calibrated, coin, judged};
use super::{Demand, Scenario};

/// `n` interactions over 24 hours.
pub fn rows(n: usize, seed: u64, mut of: impl FnMut(i64, &mut Random) -> Row) -> Vec<Row> {
    let mut random = Random(seed);
    (0..n)
        .map(|i| {
            let hour = (i * 24 / n) as i64;
            Row { hour, ..of(hour, &mut random) }
        })
        .collect()
}

pub fn by(estimator: Estimator) -> Options {
    Options { estimator, ..Options::default() }
}

/// The stratum of a cheap score.
pub fn bin(g: f64) -> u16 {
    (g * 5.0).min(4.0) as u16
}

/// Neyman's probabilities for strata of the cheap score, from what it says itself.
fn allocated(rows: Vec<Row>, mean: f64) -> Vec<Row> {
    let mut spends = [Spend { population: 0.0, spread: 0.0, cost: 1.0 }; 5];
    let mut positives = [0.0; 5];
    for row in &rows {
        spends[usize::from(row.cell)].population += 1.0;
        positives[usize::from(row.cell)] += row.scores[1];
    }
    for (spend, positives) in spends.iter_mut().zip(positives) {
        spend.spread = smoothed_spread(positives / spend.population.max(1.0), 100.0);
    }
    let found = neyman(&spends, mean * rows.len() as f64, &Floor::default()).unwrap();
    rows.into_iter().map(|row| Row { probabilities: vec![found[usize::from(row.cell)]], ..row }).collect()
}

/// Probabilities by the size of the residual that `u` gives.
fn active(rows: Vec<Row>, u: &[f64], mean: f64) -> Vec<Row> {
    let design = Active::solve(u, None, mean, 0.3).unwrap();
    rows.into_iter().zip(u).map(|(row, u)| Row { probabilities: vec![design.probability(*u)], ..row }).collect()
}

/// Strata by cheap score, in which `H` is far from certain.
fn graded(seed: u64, n: usize) -> Vec<Row> {
    rows(n, seed, |_, random| {
        let g = random.uniform();
        Row { cell: bin(g), ..Row::new(g, coin(random, 0.1 + 0.7 * g * g), 0.1) }
    })
}

pub fn scenarios() -> Vec<Scenario> {
    let uniform = || {
        rows(6_000, 1, |_, random| {
            let (g, chance) = calibrated(random, 0.25);
            Row::new(g, coin(random, chance), 0.15)
        })
    };
    let u_of = |rows: &[Row]| -> Vec<f64> {
        rows.iter()
            .map(|row| {
                let p = 0.1 + 0.7 * row.scores[0].powi(2);
                (p * (1.0 - p)).sqrt()
            })
            .collect()
    };
    let shuffled = |u: &[f64]| -> Vec<f64> {
        let (mut u, mut random) = (u.to_vec(), Random(77));
        for i in (1..u.len()).rev() {
            u.swap(i, (random.uniform() * (i + 1) as f64) as usize);
        }
        u
    };
    let cheap = |seed: u64, of: fn(f64, &mut Random) -> f64| {
        Traffic::new(rows(6_000, seed, |_, random| {
            let h = coin(random, 0.3);
            Row::new(of(h, random), h, 0.12)
        }))
    };
    let base = graded(5, 14_000);
    let u = u_of(&base);
    let split = |rows: Vec<Row>| rows.into_iter().map(|row| Row { classes: true, ..row }).collect::<Vec<_>>();
    let one = |rows: Vec<Row>| rows.into_iter().map(|row| Row { cell: 0, ..row }).collect::<Vec<_>>();
    let tiers = |n: usize, seed: u64, rate: f64| {
        rows(n, seed, |_, random| {
            let (g0, chance) = calibrated(random, rate);
            let h = coin(random, chance);
            let (g1, g2) = (judged(random, h, 0.2), judged(random, h, 0.12));
            let last = 0.1 + 0.06 * (1.0 - (2.0 * g2 - 1.0).abs());
            Row {
                cell: bin(g0) / 3,
                scores: vec![g0, g1, g2, h],
                probabilities: vec![0.6, 0.3 + 0.1 * g1, last],
                ..Row::default()
            }
        })
    };
    vec![
        Traffic::new(uniform()).window("uniform, Horvitz-Thompson", Demand::Exact, by(Estimator::HorvitzThompson)),
        Traffic::new(uniform()).window("uniform, Hajek", Demand::Exact, by(Estimator::Hajek)),
        Traffic::new(uniform()).window("uniform, PPI++", Demand::Exact, by(Estimator::Ppi)),
        Traffic::new(allocated(base.clone(), 0.12)).window("Neyman strata, PPI++", Demand::Exact, by(Estimator::Ppi)),
        Traffic::new(allocated(base.clone(), 0.12)).window("Neyman strata, Hajek", Demand::Exact, by(Estimator::Hajek)),
        Traffic::new(one(active(base.clone(), &u, 0.12))).window("active", Demand::Exact, by(Estimator::Ppi)),
        Traffic::new(split(active(base.clone(), &u, 0.12))).window(
            "active, strata and classes",
            Demand::Exact,
            by(Estimator::Ppi),
        ),
        Traffic::new(one(active(base.clone(), &shuffled(&u), 0.12))).window("shuffled u", Demand::Exact, by(Estimator::Ppi)),
        cheap(11, |_, random| random.uniform()).window("a random cheap judge", Demand::Exact, by(Estimator::Ppi)),
        cheap(12, |h, random| judged(random, 1.0 - h, 0.12)).window("an inverted cheap judge", Demand::Exact, by(Estimator::Ppi)),
        cheap(13, |h, random| if random.uniform() < 0.3 { 0.0 } else { h }).window(
            "a cheap judge that only misses",
            Demand::Exact,
            by(Estimator::Ppi),
        ),
        Traffic::new(rows(20_000, 14, |_, random| {
            // One in a thousand of the confident ones is missed.
            let sure = random.uniform() < 0.98;
            let h = if sure { coin(random, 0.001) } else { coin(random, 0.8) };
            let g = if sure { 0.05 } else { 0.7 };
            Row { cell: u16::from(!sure), ..Row::new(g, h, if sure { 0.02 } else { 0.9 }) }
        }))
        .window("rare misses at heavy weights", Demand::Safe, by(Estimator::Ppi)),
        Traffic::new(rows(20_000, 15, |_, random| {
            let g = random.uniform().powi(3);
            Row { cell: bin(g), ..Row::new(g, coin(random, 0.02 * g + 0.005), 0.1) }
        }))
        .window("a rate of 1 %", Demand::Safe, by(Estimator::Ppi)),
        Traffic::new(rows(20_000, 17, |_, random| {
            let sure = random.uniform() < 0.9;
            let h = coin(random, if sure { 0.001 } else { 0.5 });
            Row::new(if sure { 0.02 * random.uniform() } else { 0.1 + 0.9 * h }, h, 0.05)
        }))
        .window("rare misses without strata", Demand::Safe, by(Estimator::Ppi)),
        Traffic::new(rows(8_000, 18, |_, random| {
            let h = coin(random, 0.3);
            Row::new(judged(random, h, 0.004), h, 0.05)
        }))
        .window("a very good judge without strata", Demand::Safe, by(Estimator::Ppi)),
        Traffic::new(rows(20_000, 19, |_, random| {
            let h = coin(random, 0.2);
            let (free, paid) = (judged(random, h, 0.2), judged(random, h, 0.01));
            Row { cell: u16::from(free > 0.5), scores: vec![free, paid, h], probabilities: vec![0.3, 0.03], ..Row::default() }
        }))
        .window("a very good paid judge", Demand::Safe, by(Estimator::Ppi)),
        Traffic::new(rows(5_000, 16, |_, random| Row::new(random.uniform(), coin(random, 0.01), 0.1))).window(
            "a rate of 1 %, 5 positives",
            Demand::Safe,
            by(Estimator::Ppi),
        ),
        Traffic::new(tiers(12_000, 21, 0.3)).window("three called tiers, strata", Demand::Exact, by(Estimator::Ppi)),
        Traffic::new(one(tiers(12_000, 22, 0.3))).window("three called tiers", Demand::Exact, by(Estimator::Ppi)),
        Traffic::new(one(tiers(12_000, 23, 0.3))).window(
            "three called tiers, all predictors",
            Demand::Exact,
            Options { predictors: Predictors::All, ..Options::default() },
        ),
        Traffic::new(one(tiers(12_000, 24, 0.3)).into_iter().map(|row| Row { failure: 0.06, ..row }).collect()).window(
            "three called tiers, failures in each",
            Demand::Exact,
            by(Estimator::Ppi),
        ),
        Traffic::new(tiers(6_000, 25, 0.01)).window("three called tiers, few positives", Demand::Safe, by(Estimator::Ppi)),
        Traffic::new(rows(16_000, 26, |hour, random| {
            // Half of the hours have a cheap paid judge, in designs of their own.
            let (g, chance) = calibrated(random, 0.3);
            let h = coin(random, chance);
            let paid = judged(random, h, 0.15);
            match hour < 12 {
                true => Row { cell: 0, ..Row::new(g, h, 0.1) },
                false => Row { cell: 1, scores: vec![g, paid, h], probabilities: vec![0.4, 0.08], ..Row::default() },
            }
        }))
        .window("strata with different tiers", Demand::Exact, by(Estimator::Ppi)),
    ]
}
