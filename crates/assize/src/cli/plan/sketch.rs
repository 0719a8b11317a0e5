//! Width against dollars in the terminal, both by powers of ten.

use super::report::{Goal, Report, points};
use super::text::wrapped;
use crate::ui::format::money;

use assize_core::NanoUsd;

const COLUMNS: usize = 72;
const ROWS: usize = 13;
/// Letters of the curves, in their order; a later one lies over an earlier one.
const LETTERS: [char; 4] = ['n', 'p', 's', 'c'];

/// The picture, with a line that says what its letters are.
pub fn sketch(report: &Report) -> String {
    let all = || report.curves.iter().flat_map(|curve| curve.points.iter().copied());
    let (usd, widths) = (Span::of(all().map(|(usd, _)| usd)), Span::of(all().map(|(_, width)| width)));
    let (Some(usd), Some(widths)) = (usd, widths) else { return "(nothing to draw)\n".to_owned() };
    let mut grid = vec![vec![' '; COLUMNS]; ROWS];
    let mut mark = |x: f64, y: f64, letter: char| {
        let (column, row) = ((x * (COLUMNS - 1) as f64).round() as usize, ((1.0 - y) * (ROWS - 1) as f64).round() as usize);
        if let Some(cell) = grid.get_mut(row).and_then(|row| row.get_mut(column)) {
            *cell = letter;
        }
    };
    for step in 0..COLUMNS.max(ROWS) * 2 {
        let along = step as f64 / (COLUMNS.max(ROWS) * 2 - 1) as f64;
        match report.goal {
            Goal::HalfWidth(wanted) => widths.position(wanted).into_iter().for_each(|y| mark(along, y, '.')),
            Goal::BudgetUsd(budget) => usd.position(budget).into_iter().for_each(|x| mark(x, along, '.')),
        }
    }
    for (curve, letter) in report.curves.iter().zip(LETTERS) {
        for pair in curve.points.windows(2) {
            let [a, b] = pair else { continue };
            for step in 0..=4 {
                let along = f64::from(step) / 4.0;
                let between = |from: f64, to: f64| (from.ln() + (to.ln() - from.ln()) * along).exp();
                if let (Some(x), Some(y)) = (usd.position(between(a.0, b.0)), widths.position(between(a.1, b.1))) {
                    mark(x, y, letter);
                }
            }
        }
    }
    if let Some(best) = &report.recommendation
        && let (Some(x), Some(y)) = (usd.position(best.line.cost_usd), widths.position(best.line.half_width))
    {
        mark(x, y, '*');
    }
    let mut lines = vec!["± points against dollars".to_owned()];
    for (at, row) in grid.iter().enumerate() {
        let is_labelled = at % 4 == 0;
        let label = if is_labelled { points(widths.value(1.0 - at as f64 / (ROWS - 1) as f64)) } else { String::new() };
        let row: String = row.iter().collect();
        lines.push(format!("{label:>8} |{}", row.trim_end()));
    }
    lines.push(format!("{:>8} +{}", "", "-".repeat(COLUMNS)));
    let dollars = |at: f64| money(NanoUsd((usd.value(at) * 1e9) as u64));
    lines.push(format!("{:>9}{:<24}{:^24}{:>25}", "", dollars(0.0), dollars(0.5), dollars(1.0)));
    let names = report.curves.iter().zip(LETTERS).map(|(curve, letter)| format!("{letter} {}", curve.name));
    let names: Vec<String> = names.chain(report.recommendation.iter().map(|_| "* recommended".to_owned())).collect();
    lines.extend(wrapped(&names.join(", "), "          ", "          "));
    lines.push(String::new());
    lines.join("\n")
}

/// A range of positive numbers, by powers of ten.
struct Span {
    low: f64,
    high: f64,
}

impl Span {
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let usable = values.filter(|value| value.is_finite() && *value > 0.0);
        let (low, high) = usable.fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        (low.is_finite() && high > low).then_some(Self { low, high })
    }

    /// Where `value` lies, in [0, 1]; `None` outside.
    fn position(&self, value: f64) -> Option<f64> {
        let share = (value / self.low).ln() / (self.high / self.low).ln();
        (-0.01..=1.01).contains(&share).then(|| share.clamp(0.0, 1.0))
    }

    fn value(&self, share: f64) -> f64 {
        self.low * (self.high / self.low).powf(share)
    }
}
