//! Whether what is said of a judge holds as often as it says, by drawing again and again. Seeded, so that every run is the same.
#![cfg(test)]

mod random;

use assize_estimate::agreement::{Confusion, Drawn, Figure};
use assize_estimate::bridge::{Pair, Side, bridge, compare};
use assize_estimate::calibration::{Scored, auc};
use assize_estimate::gold::{Label, Stratum, correct};
use assize_estimate::reuse::Audits;
use assize_estimate::trust::{Audit, Item, calibrate, default_thresholds, thin};
use assize_estimate::{Bucket, Estimand, IntervalKind, Options, estimate};
use random::Random;

const REPETITIONS: u32 = 2_000;

fn share(count: u32) -> f64 {
    f64::from(count) / f64::from(REPETITIONS)
}

fn indicator(condition: bool) -> f64 {
    f64::from(u8::from(condition))
}

/// Within 3 Monte-Carlo errors of .95.
#[track_caller]
fn exact(name: &str, covered: u32) {
    println!("{name}: {}", share(covered));
    assert!((0.935..=0.965).contains(&share(covered)), "{name}: {}", share(covered));
}

/// At least .94: intervals for few.
#[track_caller]
fn safe(name: &str, covered: u32) {
    println!("{name}: {}", share(covered));
    assert!(share(covered) >= 0.94, "{name}: {}", share(covered));
}

fn holds(figure: &Figure, truth: f64) -> bool {
    figure.low <= truth && truth <= figure.high
}

/// A cell of a table of shares, drawn.
fn cell(random: &mut Random, table: &[f64], labels: usize) -> (usize, usize) {
    let mut left = random.uniform();
    let i = table.iter().position(|p| {
        left -= p;
        left < 0.0
    });
    let i = i.unwrap_or(table.len() - 1);
    (i / labels, i % labels)
}

fn kappa(table: &[f64], labels: usize) -> f64 {
    let row = |i: usize| (0..labels).map(|j| table[i * labels + j]).sum::<f64>();
    let column = |j: usize| (0..labels).map(|i| table[i * labels + j]).sum::<f64>();
    let (po, pe) = (0..labels).fold((0.0, 0.0), |(o, e), i| (o + table[i * labels + i], e + row(i) * column(i)));
    (po - pe) / (1.0 - pe)
}

#[test]
fn kappa_of_hand_picked_items() {
    let tables: [(&str, usize, &[f64]); 4] = [
        ("even", 2, &[0.4, 0.1, 0.1, 0.4]),
        ("rare", 2, &[0.86, 0.03, 0.05, 0.06]),
        ("poor", 2, &[0.4, 0.2, 0.2, 0.2]),
        ("three", 3, &[0.5, 0.04, 0.03, 0.05, 0.2, 0.02, 0.02, 0.04, 0.1]),
    ];
    for (seed, (name, labels, table)) in tables.into_iter().enumerate() {
        let truth = kappa(table, labels);
        for n in [60, 400] {
            let mut random = Random(100 + seed as u64);
            let (mut covered, mut normal, mut kappas) = (0, 0, 0);
            for _ in 0..REPETITIONS {
                let items: Vec<(usize, usize)> = (0..n).map(|_| cell(&mut random, table, labels)).collect();
                let quality = Confusion::hand_picked(labels, items).unwrap().quality(0.95).unwrap().unwrap();
                let Some(kappa) = quality.kappa else { continue };
                kappas += 1;
                covered += u32::from(holds(&kappa, truth));
                normal += u32::from((kappa.value - truth).abs() <= 1.96 * kappa.std_error);
            }
            println!("kappa {name} {n}: normal interval {}", share(normal));
            assert!(kappas > REPETITIONS - 5, "one label only happens next to never");
            safe(&format!("kappa {name} {n}"), covered);
            assert!(share(covered) < 0.985, "not useless");
        }
    }
}

/// Disagreements are drawn more often than the rest, out of a window; the weights undo it.
#[test]
fn agreement_of_drawn_items() {
    let mut random = Random(200);
    let table = [0.6, 0.05, 0.1, 0.25];
    let window: Vec<(usize, usize)> = (0..5_000).map(|_| cell(&mut random, &table, 2)).collect();
    let probability = |gold: usize, judge: usize| if judge == 1 { 0.3 } else { 0.06 + 0.04 * gold as f64 };
    let shares: Vec<f64> =
        (0..4).map(|i| window.iter().filter(|(gold, judge)| gold * 2 + judge == i).count() as f64 / 5_000.0).collect();
    let truths =
        [shares[0] + shares[3], kappa(&shares, 2), shares[3] / (shares[1] + shares[3]), shares[3] / (shares[2] + shares[3])];
    let f1 = 2.0 * shares[3] / (shares[1] + shares[2] + 2.0 * shares[3]);
    let (mut covered, mut unweighted) = ([0; 5], 0);
    for _ in 0..REPETITIONS {
        let mut drawn = Vec::new();
        for &(gold, judge) in &window {
            let probability = probability(gold, judge);
            if random.uniform() < probability {
                drawn.push(Drawn { gold, judge, probability });
            }
        }
        let picked = Confusion::hand_picked(2, drawn.iter().map(|item| (item.gold, item.judge))).unwrap();
        unweighted += u32::from(holds(&picked.quality(0.95).unwrap().unwrap().labels[1].recall.unwrap(), truths[3]));
        let quality = Confusion::drawn(2, drawn, Estimand::Window).unwrap().quality(0.95).unwrap().unwrap();
        let one = quality.labels[1];
        let figures = [quality.agreement, quality.kappa.unwrap(), one.precision.unwrap(), one.recall.unwrap(), one.f1.unwrap()];
        for (i, figure) in figures.iter().enumerate() {
            covered[i] += u32::from(holds(figure, *truths.get(i).unwrap_or(&f1)));
        }
    }
    for (name, covered) in ["agreement", "kappa", "precision", "recall", "f1"].into_iter().zip(covered) {
        safe(&format!("drawn {name}"), covered);
        assert!(share(covered) < 0.98, "not useless");
    }
    assert!(share(unweighted) < 0.05, "recall without weights: {}", share(unweighted));
}

#[test]
fn area_under_the_curve() {
    // Scores uniform; positives are x^(1/k): AUC = k/(k+1).
    for (seed, (positives, negatives, k)) in
        [(100, 100, 3.0), (15, 150, 5.0), (40, 40, 1.0), (20, 20, 30.0)].into_iter().enumerate()
    {
        let mut random = Random(300 + seed as u64);
        let mut covered = 0;
        for _ in 0..REPETITIONS {
            let mut items: Vec<Scored> = (0..positives).map(|_| Scored::new(random.uniform().powf(1.0 / k), true)).collect();
            items.extend((0..negatives).map(|_| Scored::new(random.uniform(), false)));
            let found = auc(&items, 0.95).unwrap().unwrap();
            covered += u32::from(found.low <= k / (k + 1.0) && k / (k + 1.0) <= found.high);
        }
        println!("auc {positives} {negatives} {k}: {}", share(covered));
        assert!((0.935..=0.985).contains(&share(covered)), "auc {positives} {negatives} {k}: {}", share(covered));
    }
}

/// Share of calibrations whose threshold errs on more than `alpha` of future items, and the mean share of items trusted. `draw` gives a
/// confidence and its chance of error; the true risk of a threshold comes from a large sample.
fn violations(seed: u64, n: usize, alpha: f64, delta: f64, draw: impl Fn(&mut Random) -> (f64, f64)) -> (f64, f64) {
    let mut random = Random(seed);
    let mut world: Vec<(f64, f64)> = (0..100_000).map(|_| draw(&mut random)).collect();
    world.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut sums = vec![0.0];
    world.iter().for_each(|(_, error)| sums.push(sums[sums.len() - 1] + error));
    let (mut broken, mut trusted) = (0, 0.0);
    for _ in 0..REPETITIONS {
        let items: Vec<Item> = (0..n)
            .map(|_| {
                let (confidence, error) = draw(&mut random);
                Item { confidence, agrees: random.uniform() >= error }
            })
            .collect();
        let found = calibrate(&items, &default_thresholds(&items, alpha, delta), alpha, delta).unwrap();
        let Some(found) = found else { continue };
        assert!(found.bound <= alpha + 1e-12 && found.admitted <= n as u64);
        let admitted = world.partition_point(|(confidence, _)| *confidence >= found.threshold);
        trusted += admitted as f64 / 1e5;
        broken += u32::from(sums[admitted] / admitted as f64 > alpha);
    }
    (share(broken), trusted / f64::from(REPETITIONS))
}

#[test]
fn trust_keeps_its_word() {
    type Draw = fn(&mut Random) -> (f64, f64);
    let scenarios: [(&str, usize, f64, f64, Draw, f64); 9] = [
        (
            "well calibrated",
            500,
            0.1,
            0.1,
            |r| {
                let c = 0.5 + r.uniform() / 2.0;
                (c, 1.0 - c)
            },
            0.15,
        ),
        (
            "well calibrated, many",
            3_000,
            0.1,
            0.1,
            |r| {
                let c = 0.5 + r.uniform() / 2.0;
                (c, 1.0 - c)
            },
            0.33,
        ),
        (
            "overconfident",
            500,
            0.05,
            0.1,
            |r| {
                let c = 0.95 + r.uniform() / 20.0;
                (c, 0.4 * (1.0 - c) / 0.05)
            },
            0.0,
        ),
        ("confidence means nothing, at the limit", 300, 0.1, 0.1, |r| (r.uniform(), 0.1001), 0.0),
        (
            "confidence is upside down",
            500,
            0.1,
            0.1,
            |r| {
                let c = r.uniform();
                (c, 0.25 * c)
            },
            0.0,
        ),
        (
            "ties",
            400,
            0.1,
            0.1,
            |r| {
                let c = (r.uniform() * 5.0).floor() / 4.0;
                (c, 0.3 * (1.0 - c))
            },
            0.3,
        ),
        ("one tie above the limit", 200, 0.1, 0.05, |r| (f64::from(r.uniform() < 0.9), 0.105), 0.0),
        (
            "few items",
            45,
            0.05,
            0.1,
            |r| {
                let c = r.uniform();
                (c, 0.1 * (1.0 - c))
            },
            0.0,
        ),
        (
            "bad at the top",
            1_500,
            0.1,
            0.1,
            |r| {
                let c = r.uniform();
                (c, if c > 0.9 { 0.15 } else { 0.06 })
            },
            0.0,
        ),
    ];
    for (seed, (name, n, alpha, delta, draw, least)) in scenarios.into_iter().enumerate() {
        let (broken, trusted) = violations(400 + seed as u64, n, alpha, delta, draw);
        println!("trust {name}: violations {broken}, trusted {trusted}");
        assert!(broken <= delta, "{name}: {broken}");
        assert!(trusted >= least, "{name}: {trusted}");
    }
}

/// Audits drawn ten times as often where the judge errs seldom: as they are they would flatter the judge; thinned they do not.
#[test]
fn thinned_audits_keep_their_word() {
    let (alpha, delta) = (0.1, 0.1);
    let mut random = Random(500);
    let (mut broken, mut broken_unthinned) = (0, 0);
    for _ in 0..REPETITIONS {
        let mut audits = Vec::new();
        for _ in 0..4_000 {
            // Risk .12 over all, at any confidence.
            let (confidence, easy) = (random.uniform(), random.uniform() < 0.5);
            let (error, probability) = if easy { (0.02, 0.5) } else { (0.22, 0.05) };
            if random.uniform() < probability {
                let item = Item { confidence, agrees: random.uniform() >= error };
                audits.push(Audit { item, probability, uniform: random.uniform() });
            }
        }
        let trusts = |items: &[Item]| {
            u32::from(calibrate(items, &default_thresholds(items, alpha, delta), alpha, delta).unwrap().is_some())
        };
        broken += trusts(&thin(&audits, 0.05).unwrap());
        broken_unthinned += trusts(&audits.iter().map(|audit| audit.item).collect::<Vec<_>>());
    }
    println!("thinned {}, as drawn {}", share(broken), share(broken_unthinned));
    assert!(share(broken) <= delta && share(broken_unthinned) > 0.9);
}

/// A judge's score, a human's, and the probability of a label.
type Traffic = Vec<(f64, f64, f64)>;

/// Draws labels from `rows`, in strata of the judge's score at `cuts`.
fn label(random: &mut Random, rows: &Traffic, cuts: &[f64]) -> Vec<Stratum> {
    let mut strata = vec![Stratum::default(); cuts.len() + 1];
    for &(judge, human, probability) in rows {
        let stratum = &mut strata[cuts.partition_point(|cut| *cut <= judge)];
        stratum.population += 1;
        stratum.judge_sum += judge;
        if random.uniform() < probability {
            let human = (random.uniform() >= 0.03).then_some(human);
            stratum.drawn.push(Label { probability, judge, human });
        }
    }
    strata
}

struct Gold {
    covered: u32,
    judge_covered: u32,
    normal: u32,
    half_width: f64,
    bias: f64,
}

fn gold(seed: u64, estimand: Estimand, cuts: &[f64], mut world: impl FnMut(&mut Random) -> (Traffic, f64)) -> Gold {
    let mut random = Random(seed);
    let (mut covered, mut judge_covered, mut normal, mut width) = (0, 0, 0, 0.0);
    let mut errors = Vec::new();
    for _ in 0..REPETITIONS {
        let (rows, truth) = world(&mut random);
        let found = correct(&label(&mut random, &rows, cuts), 0.95, estimand).unwrap().unwrap();
        covered += u32::from(found.low <= truth && truth <= found.high);
        normal += u32::from(found.interval == IntervalKind::Normal);
        width += found.high - found.low;
        errors.push(found.value - truth);
        let half = 1.96 * (found.judge * (1.0 - found.judge) / found.population as f64).sqrt();
        judge_covered += u32::from((found.judge - truth).abs() <= half);
    }
    let n = f64::from(REPETITIONS);
    let mean = errors.iter().sum::<f64>() / n;
    let sd = (errors.iter().map(|error| (error - mean).powi(2)).sum::<f64>() / n).sqrt();
    Gold { covered, judge_covered, normal, half_width: width / n / 2.0, bias: mean / sd * n.sqrt() }
}

#[track_caller]
fn corrected(name: &str, found: &Gold, exactly: bool, half_width: f64) {
    println!("gold {name}: half width {}, normal {}, bias {}", found.half_width, share(found.normal), found.bias);
    if exactly {
        exact(&format!("gold {name}"), found.covered);
        assert!(share(found.normal) > 0.95, "{name}: {}", share(found.normal));
    } else {
        safe(&format!("gold {name}"), found.covered);
    }
    assert!(share(found.judge_covered) < 0.01, "{name}: the judge alone covers {}", share(found.judge_covered));
    assert!(found.half_width <= half_width && found.bias.abs() < 3.5, "{name}: {} {}", found.half_width, found.bias);
}

/// Judge and human on one interaction, graded: the judge is too low by a fifth.
fn graded(random: &mut Random) -> (f64, f64) {
    let human = random.uniform() * random.uniform();
    (human * 0.6 + 0.1 * random.uniform(), human)
}

/// Judge and human yes or no, the judge with a graded score: three tenths are yes, of which the judge overlooks a third.
fn binary(random: &mut Random) -> (f64, f64) {
    let human = random.uniform() < 0.3;
    let yes = random.uniform() < if human { 0.65 } else { 0.05 };
    let score = if yes { 0.5 + random.uniform() / 2.0 } else { random.uniform().powi(2) / 4.0 };
    (score, indicator(human))
}

fn fixed(
    seed: u64,
    n: usize,
    probability: fn(f64) -> f64,
    one: fn(&mut Random) -> (f64, f64),
) -> impl FnMut(&mut Random) -> (Traffic, f64) {
    let mut random = Random(seed);
    let rows: Traffic = (0..n)
        .map(|_| {
            let (judge, human) = one(&mut random);
            (judge, human, probability(judge))
        })
        .collect();
    let truth = rows.iter().map(|row| row.1).sum::<f64>() / n as f64;
    move |_| (rows.clone(), truth)
}

#[test]
fn gold_labels_correct_the_judge() {
    let window = Estimand::Window;
    let found = gold(601, window, &[0.3], fixed(600, 8_000, |_| 0.05, graded));
    corrected("graded, uniform", &found, true, 0.01);
    let found = gold(603, window, &[0.5], fixed(602, 8_000, |_| 0.08, binary));
    corrected("binary, uniform", &found, true, 0.03);
    let found = gold(605, window, &[0.1, 0.5], fixed(604, 8_000, |g| if (0.1..0.8).contains(&g) { 0.15 } else { 0.04 }, binary));
    corrected("binary, doubtful ones more often", &found, false, 0.031);
    let found = gold(607, window, &[0.5], fixed(606, 3_000, |_| 0.03, binary));
    corrected("binary, 90 labels, hardly better than without the judge", &found, false, 0.095);
    let found = gold(
        609,
        window,
        &[],
        fixed(
            608,
            4_000,
            |_| 0.5,
            |random| {
                let (g, h) = binary(random);
                (indicator(g > 0.5), h)
            },
        ),
    );
    corrected("judge says yes or no, half labelled", &found, true, 0.012);
}

#[test]
fn gold_labels_and_the_process() {
    let world = |random: &mut Random| {
        (
            (0..1_500)
                .map(|_| {
                    let (g, h) = binary(random);
                    (g, h, 0.3)
                })
                .collect(),
            0.3,
        )
    };
    let found = gold(611, Estimand::Process, &[0.5], world);
    corrected("process", &found, true, 0.042);
}

/// A period in which a share `rate` is yes to the old version; the new one overlooks `misses` of it and adds `adds` of the rest.
struct Period {
    rate: f64,
    misses: f64,
    adds: f64,
}

impl Period {
    fn scores(&self, random: &mut Random) -> (f64, f64) {
        let old = random.uniform() < self.rate;
        let new = random.uniform() < if old { 1.0 - self.misses } else { self.adds };
        (indicator(old), indicator(new))
    }

    /// What `n` interactions, drawn with probability .5, say by the version chosen.
    fn value(&self, random: &mut Random, n: u32, newer: bool) -> Side {
        let mut bucket = Bucket::default();
        for _ in 0..n {
            let (old, new) = self.scores(random);
            let drawn = random.uniform() < 0.5;
            let reference = drawn.then_some(if newer { new } else { old });
            bucket.push(assize_estimate::Item { probability: 0.5, drawn, free: 0.0, reference });
        }
        let options = Options { estimand: Estimand::Process, ..Options::default() };
        Side::from(&estimate(&[bucket], &options).unwrap().unwrap())
    }
}

#[test]
fn bridges_carry() {
    for (seed, (name, rates, misses, adds, n, exactly)) in [
        ("nothing happened but the version", [0.3, 0.3], 0.1, 0.25, 1_000, true),
        ("both changed", [0.2, 0.35], 0.3, 0.02, 1_000, true),
        ("versions nearly agree", [0.2, 0.25], 0.01, 0.002, 1_000, false),
        ("rare", [0.04, 0.03], 0.3, 0.01, 3_000, false),
    ]
    .into_iter()
    .enumerate()
    {
        let mut random = Random(700 + seed as u64);
        let [before, after] = rates.map(|rate| Period { rate, misses, adds });
        let shift = (1.0 - after.rate) * adds - after.rate * misses;
        let (mut covered, mut shifts, mut uncorrected) = (0, 0, 0);
        for _ in 0..REPETITIONS {
            let mut pairs = Vec::new();
            while pairs.len() < 300 {
                // Drawn with probabilities that go with the old score.
                let (old, new) = after.scores(&mut random);
                let probability = if old > 0.5 { 0.5 } else { 0.25 };
                if random.uniform() < probability {
                    pairs.push(Pair { old, new, probability });
                }
            }
            let found = bridge(&pairs, 0.95).unwrap().shift;
            shifts += u32::from(found.low <= shift && shift <= found.high);
            let (old, new) = (before.value(&mut random, n, false), after.value(&mut random, n, true));
            let truth = after.rate - before.rate;
            let difference = compare(&old, &new, &pairs).unwrap();
            covered += u32::from(difference.low <= truth && truth <= difference.high);
            let half = 1.96 * old.std_error.hypot(new.std_error);
            uncorrected += u32::from((new.value - old.value - truth).abs() <= half);
        }
        println!("bridge {name}: uncorrected {}", share(uncorrected));
        if exactly {
            exact(&format!("bridge {name}, shift"), shifts);
            exact(&format!("bridge {name}"), covered);
            assert!(share(uncorrected) < 0.9, "{name}: {}", share(uncorrected));
        } else {
            safe(&format!("bridge {name}, shift"), shifts);
            safe(&format!("bridge {name}"), covered);
        }
    }
}

/// Looked at after every audit of a stream of 10,000 hits, of which one in twenty is audited: how many of 2,000 streams ever have a bound
/// below the mean chance of error.
fn ever_missed(seed: u64, chance: impl Fn(u32, &Audits) -> f64, graded: bool) -> f64 {
    let mut random = Random(seed);
    let mut missed = 0;
    for _ in 0..REPETITIONS {
        let (mut audits, mut chances, mut miss) = (Audits::default(), 0.0, false);
        for hit in 0..10_000 {
            if random.uniform() >= 0.05 {
                continue;
            }
            let chance = chance(hit, &audits);
            chances += chance;
            let error = random.uniform() < chance;
            // Graded errors of the same mean.
            audits.push(if graded { 2.0 * chance * random.uniform() } else { indicator(error) });
            miss |= audits.below(chances / audits.judged as f64, 0.05).unwrap();
        }
        missed += u32::from(miss);
    }
    share(missed)
}

/// The same for `n` audits with one chance of error. No audit raises the logarithm of the capital against `chance` by more than
/// `-ln(1 - chance)`, so that after a look at which it is below `ln 2` the bound cannot be missed for a while, and need not be asked.
fn ever_missed_steadily(seed: u64, n: u32, chance: f64) -> (f64, f64) {
    let mut random = Random(seed);
    let pause = (10.0_f64.ln() / -(-chance).ln_1p()) as u32;
    let (mut missed, mut bounds) = (0, 0.0);
    for _ in 0..REPETITIONS {
        let (mut audits, mut miss, mut next) = (Audits::default(), false, 0);
        for audit in 0..n {
            audits.push(indicator(random.uniform() < chance));
            if audit >= next && !miss {
                miss = audits.below(chance, 0.05).unwrap();
                next = if audits.below(chance, 0.5).unwrap() { audit + 1 } else { audit + pause };
            }
        }
        missed += u32::from(miss);
        bounds += audits.upper(0.05).unwrap();
    }
    (share(missed), bounds / f64::from(REPETITIONS))
}

#[test]
fn reuse_is_bounded_at_all_times() {
    for (name, chance) in [("1 %", 0.01), ("2 %", 0.02), ("20 %", 0.2)] {
        for n in [1_000, 10_000] {
            let (missed, bound) = ever_missed_steadily(800, n, chance);
            println!("reuse {name}: ever missed {missed}, bound after {n} audits {bound}");
            assert!(missed <= 0.05 && missed > 0.001, "{name}: {missed}");
            // A bound for one look is about p + 1.64 sqrt(p (1-p)/n).
            assert!(
                bound < chance + 4.4 * (chance * (1.0 - chance) / f64::from(n)).sqrt() + 2.0 / f64::from(n),
                "{name}: {bound}"
            );
        }
    }
    // Chances that drift, and that answer to what was seen.
    let missed = ever_missed(803, |hit, _| if hit < 5_000 { 0.005 } else { 0.06 }, false);
    assert!(missed <= 0.05, "drift: {missed}");
    let missed = ever_missed(804, |_, audits| if audits.rate().unwrap_or(0.0) > 0.03 { 0.0 } else { 0.06 }, false);
    assert!(missed <= 0.05, "replies: {missed}");
    let missed = ever_missed(805, |_, _| 0.05, true);
    assert!(missed <= 0.05, "graded: {missed}");
}

/// An interval for one look, looked at all the time.
#[test]
fn a_bound_for_one_look_does_not_last() {
    let mut random = Random(810);
    let mut missed = 0;
    for _ in 0..200 {
        let (mut errors, mut miss) = (0, false);
        for n in 1..=1_000u64 {
            errors += u64::from(random.uniform() < 0.1);
            miss |= n >= 30 && assize_estimate::binomial::binomial_cdf(errors, n, 0.1) <= 0.05;
        }
        missed += u32::from(miss);
    }
    assert!(missed > 30, "{missed} of 200: more than three times what one look may miss");
}
