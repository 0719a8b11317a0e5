//! Three simulated days with a morning peak under a budget of $500 a day, as a picture: spend and sampling over time, and the estimate
//! with its interval against the truth.
//!
//! `cargo run --release -p assize --example paced_day > paced_day.svg`. The controller is the one of the flow; traffic is made up from a
//! seed, and every call costs a cent. Figures go to stderr.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

use assize_core::pacing::{Allowance, Controller, Profile};
use assize_estimate::{Bucket, Item, Options, estimate};
use maud::{Markup, PreEscaped, html};

const BUDGET: f64 = 500.0;
const CALL: f64 = 0.01;
const DAYS: usize = 3;
/// A tick every ten seconds.
const PER_HOUR: usize = 360;

/// Dollars an hour at pace 1: about $1,590 a day.
fn demand(hour: f64) -> f64 {
    25.0 + 130.0 * (-(hour - 9.5).powi(2) / 4.0).exp() + 70.0 * (-(hour - 15.0).powi(2) / 18.0).exp()
}

/// The rate of positives, which changes over the day.
fn rate(hour: f64) -> f64 {
    0.08 + 0.04 * (hour / 24.0 * std::f64::consts::TAU).sin()
}

/// SplitMix64 (Steele, Lea, Flood 2014), as numbers in [0, 1).
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

/// What is drawn: one point every six minutes.
#[derive(Clone, Copy)]
struct Point {
    hour: f64,
    spent: f64,
    wanted: f64,
    pace: f64,
    estimate: Option<[f64; 3]>,
    truth: f64,
}

fn main() {
    let (mut numbers, mut controller, mut profile) = (Numbers(2026), Controller::default(), Profile::default());
    let mut points = Vec::new();
    for day in 0..DAYS {
        let (mut spent, mut wanted, mut by_hour) = (0.0, 0.0, [0.0; 24]);
        let (mut buckets, mut positives, mut items_seen) = (Vec::new(), 0.0, 0.0);
        let (mut sum, mut inverse) = (0.0, 0.0);
        for tick in 0..24 * PER_HOUR {
            let hour = tick as f64 / PER_HOUR as f64;
            let step = 1.0 / PER_HOUR as f64;
            let pace = controller.steer([Allowance { left: BUDGET - spent, hours: profile.left(hour / 24.0) }], 0.0, step);
            if tick % PER_HOUR == 0 {
                buckets.push(Bucket { hour: hour as i64, ..Bucket::default() });
            }
            let cents = demand(hour) * step / CALL;
            let items = cents.floor() as usize + usize::from(numbers.next() < cents.fract());
            for _ in 0..items {
                let yes = numbers.next() < rate(hour);
                // A free judge that finds most of it, and some that is none.
                let free = if numbers.next() < if yes { 0.8 } else { 0.05 } { 1.0 } else { 0.0 };
                let drawn = numbers.next() < pace;
                let paid = drawn && spent + CALL <= BUDGET + 1e-9;
                spent += if paid { CALL } else { 0.0 };
                let score = f64::from(u8::from(yes));
                let item = Item { probability: pace, drawn, free, reference: paid.then_some(score) };
                buckets.last_mut().expect("an hour").push(item);
                (positives, items_seen) = (positives + score, items_seen + 1.0);
                (sum, inverse) = (sum + pace, inverse + 1.0 / pace);
            }
            let dollars = items as f64 * CALL;
            (wanted, by_hour[hour as usize]) = (wanted + dollars, by_hour[hour as usize] + dollars);
            controller.observe(dollars, step, profile.density(hour / 24.0));
            if tick % (PER_HOUR / 10) == PER_HOUR / 10 - 1 {
                let found = estimate(&buckets, &Options::default()).unwrap();
                let estimate = found.map(|found| [found.low, found.value, found.high]);
                let hour = day as f64 * 24.0 + hour;
                points.push(Point { hour, spent, wanted, pace, estimate, truth: positives / items_seen });
            }
        }
        let last = points.last().expect("a point");
        let [low, value, high] = last.estimate.expect("an estimate");
        let swing = sum / items_seen * (inverse / items_seen);
        eprintln!(
            "day {}: demand ${wanted:.2}, spent ${spent:.2}, estimate {value:.4} ({low:.4} to {high:.4}), truth {:.4}, \
             mean(pi) mean(1/pi) {swing:.3}",
            day + 1,
            last.truth
        );
        let seen = Profile::of_day(&by_hour).expect("a day with demand");
        if day == 0 { profile = seen } else { profile.learn(&seen) }
    }
    println!("{}", picture(&points).into_string());
}

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 170.0;
const LEFT: f64 = 64.0;
const STYLE: &str = "\
svg { color-scheme: light dark; font: 13px system-ui, sans-serif; }
.ground { fill: #ffffff; } text { fill: #1b1d20; } .minor { fill: #5a5f66; } .title { font-weight: 600; } .grid { stroke: #dededa; }
.line { fill: none; stroke: #17609f; stroke-width: 1.6; } .other { fill: none; stroke: #8b8e92; stroke-dasharray: 4 4; }
.truth { fill: none; stroke: #d55e00; stroke-width: 1.4; } .band { fill: #17609f; fill-opacity: .18; }
@media (prefers-color-scheme: dark) {
.ground { fill: #1a1d20; } text { fill: #e7e8e6; } .minor { fill: #a3a9b1; } .grid { stroke: #30343a; } .line { stroke: #5aa2e0; }
.other { stroke: #7d838c; } .truth { stroke: #e0702a; } .band { fill: #5aa2e0; }
}";

fn picture(points: &[Point]) -> Markup {
    let across = |hour: f64| hour / (24.0 * DAYS as f64) * WIDTH;
    let path = |of: &dyn Fn(&Point) -> f64, max: f64| {
        let place =
            |point: &Point| format!("{:.1} {:.1}", across(point.hour), (1.0 - (of(point) / max).clamp(0.0, 1.0)) * HEIGHT);
        format!("M{}", points.iter().map(place).collect::<Vec<_>>().join("L"))
    };
    let band = |max: f64| {
        let edge = |point: &Point, at: usize| {
            let value = point.estimate.map_or(0.0, |estimate| estimate[at]);
            format!("{:.1} {:.1}", across(point.hour), (1.0 - (value / max).clamp(0.0, 1.0)) * HEIGHT)
        };
        let upper = points.iter().map(|point| edge(point, 2));
        let lower = points.iter().rev().map(|point| edge(point, 0));
        format!("M{}Z", upper.chain(lower).collect::<Vec<_>>().join("L"))
    };
    let plot = |row: f64, title: &str, ticks: [(f64, &str); 3], drawn: Markup| {
        html! {
            g transform={ "translate(" (LEFT) " " (60.0 + row * (HEIGHT + 64.0)) ")" } {
                text.title x="0" y="-14" { (title) }
                @for (share, label) in ticks {
                    line.grid x1="0" x2=(WIDTH) y1=((1.0 - share) * HEIGHT) y2=((1.0 - share) * HEIGHT) {}
                    text.minor x="-8" y=((1.0 - share) * HEIGHT + 4.0) text-anchor="end" { (label) }
                }
                @for day in 0..=DAYS { line.grid x1=(across(24.0 * day as f64)) x2=(across(24.0 * day as f64)) y1="0" y2=(HEIGHT) {} }
                @for hour in (0..24 * DAYS).step_by(6) {
                    text.minor x=(across(hour as f64)) y=(HEIGHT + 18.0) { (format!("{:02}:00", hour % 24)) }
                }
                (drawn)
            }
        }
    };
    html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (LEFT + WIDTH + 24.0) " 764" } role="img" aria-label="Pacing of three days" {
            style { (PreEscaped(STYLE)) }
            rect.ground width=(LEFT + WIDTH + 24.0) height="764" {}
            (plot(0.0, "Spent of $500 a day; dashed: what the same would cost unthrottled", [(0.0, "$0"), (0.5, "$800"), (1.0, "$1,600")], html! {
                path.other d=(path(&|point| point.wanted, 1_600.0)) {}
                path.line d=(path(&|point| point.spent, 1_600.0)) {}
            }))
            (plot(1.0, "Pace: the factor on every probability; the first day nothing is known of the next hours", [(0.0, "0"), (0.5, "0.5"), (1.0, "1")], html! {
                path.line d=(path(&|point| point.pace, 1.0)) {}
            }))
            (plot(2.0, "Rate of the day so far with its 95 % interval; orange: the truth", [(0.0, "0 %"), (0.5, "8 %"), (1.0, "16 %")], html! {
                path.band d=(band(0.16)) {}
                path.line d=(path(&|point| point.estimate.map_or(0.0, |estimate| estimate[1]), 0.16)) {}
                path.truth d=(path(&|point| point.truth, 0.16)) {}
            }))
        }
    }
}
