//! Where the lines of a scale stand: round numbers, and round times.

use assize_core::Timestamp;

use crate::ui::format::utc;

/// A scale of numbers that begins and ends at a tick.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    /// The lowest tick.
    pub low: f64,
    /// The highest tick.
    pub high: f64,
    /// The distance of two ticks.
    pub step: f64,
    /// The ticks, ascending.
    pub ticks: Vec<f64>,
    /// Digits after the point that tell ticks apart.
    pub decimals: usize,
}

impl Scale {
    /// A scale that holds `low` to `high` with about `wanted` steps of 1, 2 or 5 times a power of ten (Heckbert, *Nice numbers
    /// for graph labels*, Graphics Gems, 1990). Equal or unusable bounds give a scale around them.
    pub fn new(low: f64, high: f64, wanted: usize) -> Self {
        let low = if low.is_finite() { low.clamp(-1e15, 1e15) } else { 0.0 };
        let high = if high.is_finite() { high.clamp(-1e15, 1e15) } else { low };
        let (low, mut high) = if low <= high { (low, high) } else { (high, low) };
        // The span must be visible beside the magnitude, or steps would vanish in rounding.
        let span_min = (low.abs().max(high.abs()) * 1e-9).max(1e-12);
        if high - low < span_min {
            high = low + if low == 0.0 { 1.0 } else { low.abs() };
        }
        let step = nice((high - low) / wanted.max(1) as f64);
        let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
        // At most `wanted` steps of this size or a few more: `nice` rounds by less than 2.5.
        let steps = ((last - first).max(1.0) as usize).min(100);
        let ticks: Vec<f64> = (0..=steps).map(|i| (first + i as f64) * step).collect();
        let decimals = (-step.log10() - 1e-9).ceil().clamp(0.0, 12.0) as usize;
        Self { low: first * step, high: (first + steps as f64) * step, step, ticks, decimals }
    }

    /// Where `value` lies between the ends, in [0, 1].
    pub fn position(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
    }
}

fn nice(rough: f64) -> f64 {
    let power = 10_f64.powf(rough.log10().floor());
    let factor = match rough / power {
        f if f < 1.5 => 1.0,
        f if f < 3.5 => 2.0,
        f if f < 7.5 => 5.0,
        _ => 10.0,
    };
    factor * power
}

/// A tick of a time axis.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeTick {
    /// Where between the ends, in [0, 1].
    pub position: f64,
    /// What is written there.
    pub label: String,
}

const HOUR_MS: i64 = 3_600_000;
const STEPS_MS: [i64; 12] = [
    HOUR_MS,
    2 * HOUR_MS,
    3 * HOUR_MS,
    6 * HOUR_MS,
    12 * HOUR_MS,
    24 * HOUR_MS,
    48 * HOUR_MS,
    7 * 24 * HOUR_MS,
    14 * 24 * HOUR_MS,
    28 * 24 * HOUR_MS,
    91 * 24 * HOUR_MS,
    365 * 24 * HOUR_MS,
];

/// At most `most` round times in UTC between `from` and `to`. Days are named at midnight, hours otherwise.
pub fn time_ticks(from: Timestamp, to: Timestamp, most: usize) -> Vec<TimeTick> {
    // Far beyond any calendar, so that differences do not overflow.
    let [from, to] = [from, to].map(|at| Timestamp(at.0.clamp(i64::MIN / 4, i64::MAX / 4)));
    let span = to.0 - from.0;
    if span <= 0 || most == 0 {
        return Vec::new();
    }
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let step = STEPS_MS.into_iter().find(|step| span / step < most).unwrap_or(span / most + 1);
    let mut ticks = Vec::new();
    let mut at = (from.0 + step - 1).div_euclid(step) * step;
    while at <= to.0 {
        let pattern = if step > 60 * 24 * HOUR_MS {
            "%b %Y"
        } else if at.rem_euclid(24 * HOUR_MS) == 0 {
            "%-d %b"
        } else {
            "%H:%M"
        };
        ticks.push(TimeTick { position: (at - from.0) as f64 / span as f64, label: utc(Timestamp(at), pattern) });
        at += step;
    }
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ticks_are_round() {
        let scale = Scale::new(0.0, 0.083, 4);
        assert_eq!((scale.low, scale.decimals), (0.0, 2));
        let shown: Vec<String> = scale.ticks.iter().map(|t| format!("{t:.2}")).collect();
        assert_eq!(shown, ["0.00", "0.02", "0.04", "0.06", "0.08", "0.10"]);
        assert_eq!(Scale::new(0.0, 0.0, 4).ticks.len(), 6);
        assert_eq!(Scale::new(0.0, 100.0, 4).ticks, [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
    }

    proptest! {
        #[test]
        fn any_bounds_give_a_usable_scale(a in proptest::num::f64::ANY, b in proptest::num::f64::ANY, wanted in 0_usize..10) {
            let scale = Scale::new(a, b, wanted);
            prop_assert!(scale.high > scale.low);
            prop_assert!((2..=101).contains(&scale.ticks.len()));
            prop_assert!(scale.ticks.iter().all(|t| t.is_finite()));
            prop_assert!(scale.ticks.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!((0.0..=1.0).contains(&scale.position(a)));
        }

        #[test]
        fn an_ordinary_range_lies_within_its_scale(a in -1e6..1e6_f64, span in 1e-6..1e6_f64) {
            let scale = Scale::new(a, a + span, 4);
            let slack = scale.step * 1e-6;
            prop_assert!(scale.low <= a + slack && scale.high >= a + span - slack);
        }

        #[test]
        fn time_ticks_are_few_and_inside(from in any::<i64>(), to in any::<i64>(), most in 0_usize..12) {
            let ticks = time_ticks(Timestamp(from), Timestamp(to), most);
            prop_assert!(ticks.len() <= most + 1);
            prop_assert!(ticks.iter().all(|tick| (0.0..=1.0).contains(&tick.position)));
        }
    }

    #[test]
    fn a_week_is_ticked_by_days() {
        let from = Timestamp::parse("2026-11-20T09:30:00Z").unwrap();
        let labels: Vec<String> =
            time_ticks(from, Timestamp(from.0 + 7 * 86_400_000), 8).into_iter().map(|tick| tick.label).collect();
        assert_eq!(labels, ["21 Nov", "22 Nov", "23 Nov", "24 Nov", "25 Nov", "26 Nov", "27 Nov"]);
        let hours = time_ticks(from, Timestamp(from.0 + 86_400_000), 8);
        assert_eq!(hours[0].label, "12:00");
    }
}
