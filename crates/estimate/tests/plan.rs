//! Whether plans say what closed forms say, and what drawing again and again shows.
#![cfg(test)]

mod random;

use assize_estimate::plan::{Design, Paid, Plan, Situation, StratumSpread, assumed, cost_ratio, share_of_cheap, worthwhile_from};
use assize_estimate::{Estimand, normal_quantile};
use proptest::prelude::*;
use random::Random;

const Z: f64 = 1.959_963_984_540_054;

/// Ten million answers of a month, judged at $0.00575 a call.
fn situation(population: f64, rate: f64, rho: f64) -> Situation {
    let spread = (rate * (1.0 - rate)).sqrt();
    Situation {
        population,
        rate,
        level: 0.95,
        estimand: Estimand::Window,
        spread,
        residual: spread * (1.0 - rho * rho).sqrt(),
        strata: assumed(rate, rho).unwrap(),
        reference_price: 0.00575,
        paid: None,
    }
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * b.abs().max(1e-12)
}

fn needed(of: &Situation, design: Design, half_width: f64) -> Plan {
    of.for_half_width(design, false, half_width).unwrap().unwrap()
}

#[test]
fn uniform_designs_are_the_textbook() {
    for population in [20_000.0, 1e7] {
        let of = situation(population, 0.1, 0.6);
        let v = (0.01_f64 / Z).powi(2);
        for (design, s2) in [(Design::Naive, 0.09), (Design::Ppi, 0.09 * 0.64)] {
            let plan = needed(&of, design, 0.01);
            let n = s2 / (v + s2 / population);
            assert!(close(plan.reference_calls, n) && close(plan.cost, n * 0.00575), "{plan:?} {n}");
            assert!(close(plan.half_width, 0.01) && close(plan.positives, 0.1 * n) && plan.paid_calls == 0.0);
        }
    }
}

#[test]
fn the_process_has_a_spread_of_its_own() {
    let mut of = situation(20_000.0, 0.1, 0.6);
    of.estimand = Estimand::Process;
    // S^2 (1/n - 1/N) + S^2/N = S^2/n.
    assert!(close(needed(&of, Design::Naive, 0.01).reference_calls, 0.09 / (0.01_f64 / Z).powi(2)));
    // All of 20,000 give 0.42 points, and not less.
    assert_eq!(of.for_half_width(Design::NeymanPpi, false, 0.004).unwrap(), None);
    let all = of.for_budget(Design::Naive, false, 1e6).unwrap();
    assert!(close(all.half_width, Z * (0.09_f64 / 20_000.0).sqrt()) && close(all.reference_calls, 20_000.0));
}

#[test]
fn neyman_is_the_closed_form_where_floor_and_ceiling_leave_it_alone() {
    let mut of = situation(1e6, 0.3, 0.5);
    let sum: f64 = of.strata.iter().map(|s| s.share * s.spread).sum();
    let squares: f64 = of.strata.iter().map(|s| s.share * s.spread * s.spread).sum();
    let plan = needed(&of, Design::Neyman, 0.01);
    // Cochran 5.26, solved for n.
    let n = sum * sum / ((0.01_f64 / Z).powi(2) + squares / 1e6);
    assert!(close(plan.reference_calls, n), "{} {n}", plan.reference_calls);
    // What is left within strata counts for the correction.
    of.strata.iter_mut().for_each(|s| s.residual = 0.8 * s.spread);
    assert!(needed(&of, Design::NeymanPpi, 0.01).reference_calls < 0.65 * n);
}

#[test]
fn the_floor_costs_little() {
    // Confident in most of the traffic: ideal Neyman would hardly look there.
    let mut worst = 1.0_f64;
    for (share, spread) in [(0.9, 0.001), (0.99, 0.0001), (0.99, 0.001), (0.99, 0.002), (0.999, 0.0001), (0.999, 0.001)] {
        let strata =
            [(share, spread), (1.0 - share, 0.5)].map(|(share, spread)| StratumSpread { share, spread, residual: spread });
        let ideal: f64 = strata.iter().map(|s| s.share * s.spread).sum::<f64>().powi(2);
        // So much traffic that no stratum is exhausted.
        let of = Situation { strata: strata.to_vec(), ..situation(1e13, 0.006, 0.5) };
        let over = needed(&of, Design::Neyman, 0.001).reference_calls / (ideal / (0.001_f64 / Z).powi(2));
        assert!((0.999..1.34).contains(&over), "{share} {spread}: {over}");
        worst = worst.max(over);
    }
    println!("over ideal Neyman by at most {worst:.3}");
    assert!(worst > 1.05, "the floor does not bind");
}

#[test]
fn the_specification_judges_a_tenth() {
    let of = situation(1e7, 0.1, 0.0);
    let plan = of.at_share(Design::Naive, 0.1).unwrap();
    assert!(close(plan.reference_calls, 1e6) && close(plan.cost, 5_750.0), "{plan:?}");
    assert!(close(plan.half_width, Z * (0.09_f64 * (1e-6 - 1e-7)).sqrt()), "{plan:?}");
    let all = of.at_share(Design::Naive, 1.0).unwrap();
    assert!(close(all.cost, 57_500.0) && all.half_width < 1e-9, "{all:?}");
}

#[test]
fn a_paid_cheap_judge_saves_what_the_formula_says() {
    // Without ceiling in so much traffic, and without strata.
    for (rho, c) in [(0.77, 0.001), (0.77, 0.01), (0.77, 1.0 / 17.0), (0.9, 0.2)] {
        let mut of = situation(1e13, 0.3, 0.0);
        of.paid = Some(Paid { price: c * of.reference_price, rho });
        for design in [Design::Naive, Design::Ppi] {
            let [without, with] = [false, true].map(|paid| of.for_half_width(design, paid, 0.01).unwrap().unwrap());
            assert!(close(with.cost / without.cost, cost_ratio(rho, c)), "{rho} {c}: {}", with.cost / without.cost);
            assert!(close(with.reference_calls / with.paid_calls, share_of_cheap(rho, c)) && with.with_paid);
        }
    }
    // Not worth it: it costs more.
    let mut of = situation(1e13, 0.3, 0.0);
    of.paid = Some(Paid { price: 0.1 * of.reference_price, rho: 0.9 * worthwhile_from(0.1) });
    let [without, with] = [false, true].map(|paid| of.for_half_width(Design::Ppi, paid, 0.01).unwrap().unwrap());
    assert!(with.cost > without.cost);
}

/// The standard deviation of an estimate over many draws from one population, times `Z`.
fn drawn(seed: u64, mut estimate: impl FnMut(&mut Random) -> f64) -> f64 {
    let mut random = Random(seed);
    let estimates: Vec<f64> = (0..3_000).map(|_| estimate(&mut random)).collect();
    let mean = estimates.iter().sum::<f64>() / 3_000.0;
    Z * (estimates.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / 3_000.0).sqrt()
}

/// Weighted mean over what a draw takes, and whether it took it: `population` of (probability, value).
fn weighted_mean(random: &mut Random, of: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (mut total, mut sum) = (0.0, 0.0);
    for (probability, value) in of {
        if random.uniform() < probability {
            total += 1.0 / probability;
            sum += value / probability;
        }
    }
    if total > 0.0 { sum / total } else { 0.0 }
}

/// Draws with the probabilities of a plan give the half-width of the plan: the population is exactly as the assumption has it.
#[test]
fn plans_come_true() {
    let (n, rate, rho) = (4_000_usize, 0.25, 0.6);
    let of = situation(n as f64, rate, rho);
    // The cheap judge says yes in a quarter, and is right as the correlation has it.
    let [no, yes] = [rate * (1.0 - rho), rate + rho * (1.0 - rate)];
    let cut = (n as f64 * rate) as usize;
    let rows = |g: f64, size: usize, p: f64| (0..size).map(move |i| (g, f64::from(u8::from((i as f64) < p * size as f64))));
    let population: Vec<(f64, f64)> = rows(1.0, cut, yes).chain(rows(0.0, n - cut, no)).collect();
    let lam = yes - no;
    let g_bar = rate;

    let naive = needed(&of, Design::Naive, 0.03);
    let pi = naive.reference_calls / n as f64;
    let found = drawn(1, |random| weighted_mean(random, population.iter().map(|&(_, h)| (pi, h))));
    assert!((found / 0.03 - 1.0).abs() < 0.05, "naive {found}");

    let ppi = needed(&of, Design::Ppi, 0.03);
    let pi = ppi.reference_calls / n as f64;
    let residual = |(g, h): (f64, f64)| h - lam * g;
    let found = drawn(2, |random| lam * g_bar + weighted_mean(random, population.iter().map(|&row| (pi, residual(row)))));
    assert!((found / 0.03 - 1.0).abs() < 0.05, "ppi {found}");

    let neyman = needed(&of, Design::Neyman, 0.03);
    let doubt: Vec<f64> = of.strata.iter().map(|s| s.spread).collect();
    let mean: f64 = of.strata.iter().map(|s| s.share * s.spread).sum();
    let scale = neyman.reference_calls / n as f64 / mean;
    let found = drawn(3, |random| {
        let stratum = |random: &mut Random, wanted: f64, spread: f64| {
            weighted_mean(random, population.iter().filter(|(g, _)| *g == wanted).map(|&(_, h)| (scale * spread, h)))
        };
        (1.0 - rate) * stratum(random, 0.0, doubt[0]) + rate * stratum(random, 1.0, doubt[1])
    });
    assert!((found / 0.03 - 1.0).abs() < 0.05, "neyman {found}");

    // As a paid cheap judge, seen in part; no free one.
    let paid = Situation { paid: Some(Paid { price: 0.1 * of.reference_price, rho }), residual: of.spread, ..of.clone() };
    let plan = paid.for_half_width(Design::Ppi, true, 0.03).unwrap().unwrap();
    let [pi1, pi] = [plan.paid_calls, plan.reference_calls].map(|calls| calls / n as f64);
    assert!(pi < pi1 && pi1 < 1.0);
    let found = drawn(4, |random| {
        let seen: Vec<(f64, f64)> = population.iter().copied().filter(|_| random.uniform() < pi1).collect();
        let g_mean = seen.iter().map(|(g, _)| g).sum::<f64>() / seen.len().max(1) as f64;
        lam * g_mean + weighted_mean(random, seen.into_iter().map(|row| (pi / pi1, residual(row))))
    });
    assert!((found / 0.03 - 1.0).abs() < 0.05, "double sampling {found}");
}

#[test]
fn what_cannot_be_is_refused() {
    let good = situation(1e6, 0.1, 0.5);
    assert!(good.for_half_width(Design::Ppi, false, 0.0).is_err() && good.for_half_width(Design::Ppi, false, f64::NAN).is_err());
    assert!(good.for_budget(Design::Ppi, false, -1.0).is_err() && good.at_share(Design::Naive, 1.5).is_err());
    let bad: [fn(&mut Situation); 8] = [
        |of| of.population = 0.0,
        |of| of.level = 1.0,
        |of| of.rate = f64::NAN,
        |of| of.residual = of.spread + 0.1,
        |of| of.reference_price = 0.0,
        |of| of.strata.clear(),
        |of| of.strata[0].residual = 0.9,
        |of| of.paid = Some(Paid { price: 1.0, rho: 1.0 }),
    ];
    for (at, spoil) in bad.iter().enumerate() {
        let mut of = good.clone();
        spoil(&mut of);
        assert!(of.for_half_width(Design::Ppi, true, 0.01).is_err(), "{at}");
    }
    assert!(close(normal_quantile(0.975), Z));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn plans_hold_together(
        population in 100.0..1e9_f64, rate in 0.001..0.999_f64, rho in 0.0..0.99_f64, c in 0.001..2.0_f64, partial in 0.0..0.99_f64,
        half_width in 0.001..0.2_f64, process in any::<bool>(),
    ) {
        let mut of = situation(population, rate, rho);
        of.paid = Some(Paid { price: c * of.reference_price, rho: partial });
        of.estimand = if process { Estimand::Process } else { Estimand::Window };
        for design in Design::ALL {
            for with_paid in [false, true] {
                let Some(plan) = of.for_half_width(design, with_paid, half_width).unwrap() else {
                    prop_assert!(process);
                    continue;
                };
                prop_assert!(plan.half_width <= half_width * (1.0 + 1e-9) && plan.half_width.is_finite());
                prop_assert!(0.0 <= plan.reference_calls && plan.reference_calls <= population * (1.0 + 1e-9));
                prop_assert!(plan.paid_calls <= population * (1.0 + 1e-9) && plan.cost.is_finite());
                if plan.half_width > half_width * 0.999 && plan.cost > 0.0 {
                    // A budget of what it costs buys the same; more buys more.
                    let again = of.for_budget(design, with_paid, plan.cost * (1.0 + 1e-9)).unwrap();
                    prop_assert!((again.half_width / plan.half_width - 1.0).abs() < 1e-4, "{again:?} {plan:?}");
                    let more = of.for_budget(design, with_paid, plan.cost * 1.5).unwrap();
                    prop_assert!(more.half_width <= plan.half_width);
                }
                if design != Design::Naive && !with_paid {
                    let naive = of.for_half_width(Design::Naive, false, half_width).unwrap().unwrap();
                    prop_assert!(plan.cost <= naive.cost * (1.0 + 1e-6), "{plan:?} {naive:?}");
                }
            }
        }
    }
}
