use proptest::prelude::*;

use super::*;

/// A day of traffic with a peak in the morning, in dollars an hour at pace 1.
fn morning_peak(hour: f64) -> f64 {
    let hour = hour.rem_euclid(24.0);
    25.0 + 130.0 * (-(hour - 9.5).powi(2) / 4.0).exp() + 70.0 * (-(hour - 15.0).powi(2) / 18.0).exp()
}

struct Day {
    spent: f64,
    demand: f64,
    paces: Vec<f64>,
    by_hour: [f64; 24],
    /// Per item: probability, drawn, whether the reference judge would say yes.
    items: Vec<(f64, bool, bool)>,
}

/// A small generator of numbers in [0, 1), the same in every run: SplitMix64 (Steele, Lea, Flood 2014).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

const TICKS_PER_HOUR: usize = 360;
/// Dollars of a call.
const CALL: f64 = 0.01;

/// One day, ticked every ten seconds; every item costs a cent, and none that the budget does not allow is judged.
fn day(controller: &mut Controller, profile: &Profile, budget: f64, demand: impl Fn(f64) -> f64, seed: u64) -> Day {
    let mut numbers = Numbers(seed);
    let mut day = Day { spent: 0.0, demand: 0.0, paces: Vec::new(), by_hour: [0.0; 24], items: Vec::new() };
    let step = 1.0 / TICKS_PER_HOUR as f64;
    for tick in 0..24 * TICKS_PER_HOUR {
        let hour = tick as f64 * step;
        let elapsed = hour / 24.0;
        let pace = controller.steer([Allowance { left: budget - day.spent, hours: profile.left(elapsed) }], 0.0, step);
        day.paces.push(pace);
        let wanted = demand(hour) * step / CALL;
        let items = wanted.floor() as usize + usize::from(numbers.next() < wanted.fract());
        for _ in 0..items {
            let truth = numbers.next() < if hour < 12.0 { 0.10 } else { 0.05 };
            let drawn = numbers.next() < pace && day.spent + CALL <= budget + 1e-9;
            day.spent += if drawn { CALL } else { 0.0 };
            day.items.push((pace, drawn, truth));
        }
        let dollars = items as f64 * CALL;
        day.demand += dollars;
        day.by_hour[hour as usize] += dollars;
        controller.observe(dollars, step, profile.density(elapsed));
    }
    day
}

/// `mean(pi) mean(1/pi)`: by how much the swings of the pace widen the variance.
fn swing(day: &Day) -> f64 {
    let n = day.items.len() as f64;
    day.items.iter().map(|item| item.0).sum::<f64>() / n * (day.items.iter().map(|item| 1.0 / item.0).sum::<f64>() / n)
}

/// The Hajek estimate and its standard error.
fn estimate(day: &Day) -> (f64, f64, f64) {
    let judged = || day.items.iter().filter(|item| item.1);
    let w: f64 = judged().map(|item| 1.0 / item.0).sum();
    let yes = |item: &&(f64, bool, bool)| if item.2 { 1.0 } else { 0.0 };
    let value = judged().map(|item| yes(&item) / item.0).sum::<f64>() / w;
    let variance = judged().map(|item| (1.0 - item.0) / item.0.powi(2) * (yes(&item) - value).powi(2)).sum::<f64>() / (w * w);
    let truth = day.items.iter().map(|item| yes(&item)).sum::<f64>() / day.items.len() as f64;
    (value, variance.sqrt(), truth)
}

#[test]
fn a_day_with_a_morning_peak_stays_within_its_budget_and_uses_it() {
    let missed: u32 = (0..4).map(|run| five_days(1_000 * run)).sum();
    // One in twenty is what 95 % promise; more than four of them happens once in four hundred times.
    assert!(missed <= 4, "{missed} of 20 intervals missed the truth");
}

/// Five days in a row; how many of their intervals missed the truth.
fn five_days(seed: u64) -> u32 {
    let mut controller = Controller::default();
    let mut profile = Profile::default();
    let (mut missed, mut swings) = (0, Vec::new());
    for number in 0..5 {
        let day = day(&mut controller, &profile, 500.0, morning_peak, seed + number);
        assert!(day.demand > 1_000.0, "{}", day.demand);
        assert!(day.spent <= 500.0 + 1e-6, "day {number}: {}", day.spent);
        assert!(day.spent >= 450.0, "day {number}: {}", day.spent);
        let (value, error, truth) = estimate(&day);
        missed += u32::from((value - truth).abs() > 1.96 * error);
        assert!((value - truth).abs() < 4.0 * error, "day {number}: {value} of {truth}, error {error}");
        swings.push(swing(&day));
        let seen = Profile::of_day(&day.by_hour).unwrap();
        if number == 0 { profile = seen } else { profile.learn(&seen) }
    }
    assert!(swings[0] < 2.0, "{swings:?}: a first day, of which nothing is known");
    assert!(swings[1..].iter().all(|swing| *swing < 1.05), "{swings:?}: days like the one before");
    missed
}

#[test]
fn no_demand_beyond_the_budget_is_held_back() {
    let mut controller = Controller::default();
    let day = day(&mut controller, &Profile::default(), 500.0, |_| 15.0, 1);
    assert!(day.paces.iter().all(|pace| *pace == 1.0));
    assert!((day.spent - day.demand).abs() < 1e-6);
}

#[test]
fn the_smallest_allowance_counts_and_none_is_none() {
    let mut controller = Controller::default();
    controller.observe(10.0, 1.0, 1.0);
    let [day, month] = [Allowance { left: 60.0, hours: 12.0 }, Allowance { left: 1_200.0, hours: 480.0 }];
    assert!((controller.steer([day, month], 0.0, 0.0) - 0.25).abs() < 1e-12);
    assert!(controller.steer([day], 0.0, 24.0) > 0.499);
    let mut fresh = controller;
    fresh.pace = None;
    assert!((fresh.steer([day], 120.0, 0.0) - 0.25).abs() < 1e-12, "what waits is demand, too");
    assert_eq!(controller.steer([], 0.0, 0.0), 1.0);
    assert_eq!(controller.steer([Allowance { left: 0.0, hours: 5.0 }], 0.0, 0.0), FLOOR);
}

#[test]
fn a_profile_is_of_the_day() {
    let mut by_hour = [0.0; 24];
    by_hour[9] = 30.0;
    by_hour[10] = 10.0;
    let profile = Profile::of_day(&by_hour).unwrap();
    assert!(profile.density(9.5 / 24.0) > 2.9 * profile.density(10.5 / 24.0));
    assert!((profile.left(0.0) - 24.0).abs() < 1e-9 && profile.left(1.0) == 0.0);
    assert_eq!(Profile::of_day(&[0.0; 24]), None);
    assert_eq!(Profile::of_day(&[f64::NAN; 24]), None);
    assert!((Profile::default().left(0.25) - 18.0).abs() < 1e-9);
}

proptest! {
    #[test]
    fn a_pace_whatever_is_seen(
        seen in proptest::collection::vec((any::<f64>(), any::<f64>(), any::<f64>(), any::<f64>(), any::<f64>(), any::<f64>()), 0..40),
    ) {
        let mut controller = Controller::default();
        for (dollars, hours, density, left, to_go, waiting) in seen {
            controller.observe(dollars, hours, density);
            let pace = controller.steer([Allowance { left, hours: to_go }], waiting, hours);
            prop_assert!((FLOOR..=1.0).contains(&pace), "{}", pace);
            let _ = (Profile::default().left(hours), Profile::default().density(density));
        }
    }

    #[test]
    fn more_money_never_slows_down(left in 0.0..1e6_f64, more in 0.0..1e6_f64, hours in 0.0..24.0_f64, level in 0.0..1e5_f64) {
        let pace = |left| {
            let mut controller = Controller::default();
            controller.observe(level, 1.0, 1.0);
            controller.steer([Allowance { left, hours }], 0.0, 1.0)
        };
        prop_assert!(pace(left) <= pace(left + more));
    }

    #[test]
    fn any_day_keeps_its_budget_and_uses_most_of_it(
        peak in 0.0..23.0_f64, height in 0.0..6.0_f64, budget in 100.0..400.0_f64, seed: u64,
    ) {
        let shape = move |hour: f64| 1.0 + height * (-(hour - peak).powi(2) / 3.0).exp();
        let total: f64 = (0..240).map(|tenth| shape(f64::from(tenth) / 10.0) / 10.0).sum();
        // Demand of 500 dollars, more than any of the budgets.
        let by_hour = std::array::from_fn(|hour| shape(hour as f64 + 0.5));
        let profile = Profile::of_day(&by_hour).unwrap();
        let day = day(&mut Controller::default(), &profile, budget, move |hour| shape(hour) * 500.0 / total, seed);
        prop_assert!(day.spent <= budget + 1e-6);
        prop_assert!(day.spent >= 0.9 * budget, "{} of {}", day.spent, budget);
    }
}
