//! Bars: amounts side by side, amounts over time, and one interval.

use assize_core::Timestamp;
use maud::{Markup, html};

use super::axis::Scale;
use super::line::time_axis;
use super::{across, trimmed};
use crate::ui::format::Rate;

/// A horizontal bar of `value` against `most`: for a cell beside its number, which says the same.
pub fn amount(value: f64, most: f64) -> Markup {
    html! {
        svg.amount width="100%" height="10" aria-hidden="true" {
            @if value > 0.0 && most > 0.0 { rect width=(across((value / most).max(0.005))) height="10" rx="2" {} }
        }
    }
}

/// An interval with its estimate on a scale from 0 to `most`: for a cell beside its numbers, which say the same.
pub fn interval(rate: &Rate, most: f64) -> Markup {
    let scale = Scale::new(0.0, most, 4);
    let at = |value: f64| across(0.02 + 0.96 * scale.position(value));
    html! {
        svg.interval width="100%" height="14" aria-hidden="true" {
            line.rail x1="0" x2="100%" y1="7" y2="7" {}
            @if rate.is_finite() {
                line.whisker x1=(at(rate.low)) x2=(at(rate.high)) y1="7" y2="7" {}
                @for end in [rate.low, rate.high] { line.whisker x1=(at(end)) x2=(at(end)) y1="3.5" y2="10.5" {} }
                circle.dot cx=(at(rate.value)) cy="7" r="3.5" {}
            }
        }
    }
}

/// One bar over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Where its bucket begins.
    pub at: Timestamp,
    /// Its height, at least 0.
    pub value: f64,
    /// What is said on pointing at it: when, and how much.
    pub title: String,
}

/// Amounts over time.
#[derive(Debug, Clone)]
pub struct Columns<'a> {
    /// The bars; buckets without one are empty.
    pub columns: &'a [Column],
    /// Left end.
    pub from: Timestamp,
    /// Right end.
    pub to: Timestamp,
    /// Width of a bucket in milliseconds.
    pub bucket_ms: i64,
    /// What is shown, for those who cannot see it.
    pub alternative: &'a str,
    /// How a tick is written.
    pub label: fn(f64) -> String,
}

const HEIGHT: f64 = 110.0;
const PAD: f64 = 6.0;

impl Columns<'_> {
    /// The chart.
    pub fn render(&self) -> Markup {
        let most = self.columns.iter().map(|column| column.value).filter(|value| value.is_finite()).fold(0.0, f64::max);
        let scale = Scale::new(0.0, most, 3);
        let y = |value: f64| PAD + (1.0 - scale.position(value)) * (HEIGHT - 2.0 * PAD);
        let span = self.to.0.saturating_sub(self.from.0).max(1) as f64;
        html! {
            figure.chart {
                div.plot {
                    svg.y-axis height=(HEIGHT) aria-hidden="true" {
                        @for tick in &scale.ticks {
                            text x="100%" y=(trimmed(y(*tick) + 4.0, 1)) text-anchor="end" { ((self.label)(*tick)) }
                        }
                    }
                    svg.area height=(HEIGHT) role="img" aria-label=(self.alternative) {
                        @for tick in &scale.ticks {
                            line.grid x1="0" x2="100%" y1=(trimmed(y(*tick), 1)) y2=(trimmed(y(*tick), 1)) {}
                        }
                        @for column in self.columns {
                            @let begin = (column.at.0.saturating_sub(self.from.0) as f64 / span).max(0.0);
                            @let end =
                                (column.at.0.saturating_add(self.bucket_ms).saturating_sub(self.from.0) as f64 / span).min(1.0);
                            @if begin < end && column.value > 0.0 {
                                @let gap = (end - begin) * 0.12;
                                @let top = y(column.value).min(y(0.0) - 1.0);
                                rect.column x=(across(begin + gap)) width=(across(end - begin - 2.0 * gap))
                                    y=(trimmed(top, 1)) height=(trimmed(y(0.0) - top, 1)) {
                                    title { (column.title) }
                                }
                            }
                        }
                    }
                    (time_axis(self.from, self.to))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(values: &[f64]) -> String {
        let columns: Vec<Column> = values
            .iter()
            .enumerate()
            .map(|(i, &value)| Column { at: Timestamp(i as i64 * 3_600_000), value, title: format!("<{i}>") })
            .collect();
        let out = Columns {
            columns: &columns,
            from: Timestamp(0),
            to: Timestamp(86_400_000),
            bucket_ms: 3_600_000,
            alternative: "spend",
            label: |v| v.to_string(),
        }
        .render()
        .into_string();
        assert!(!out.contains("NaN") && !out.contains("inf"), "{out}");
        out
    }

    #[test]
    fn empty_equal_and_unusable_columns_are_drawn() {
        assert_eq!(columns(&[]).matches("class=\"column\"").count(), 0);
        assert_eq!(columns(&[0.0, 0.0]).matches("class=\"column\"").count(), 0);
        assert_eq!(columns(&[1.0, 1.0, 1.0]).matches("class=\"column\"").count(), 3);
        assert_eq!(columns(&[1.0; 40]).matches("class=\"column\"").count(), 24, "outside the range there is nothing");
        columns(&[f64::NAN, f64::INFINITY, 1.0]);
        assert!(columns(&[1.0]).contains("&lt;0&gt;"));
    }

    #[test]
    fn an_interval_stays_on_its_rail() {
        let out = interval(&Rate { value: 2.0, low: -1.0, high: 9.0 }, 0.5).into_string();
        assert!(out.contains("cx=\"98%\"") && out.contains("x1=\"2%\""), "{out}");
        assert!(!interval(&Rate { value: f64::NAN, low: 0.0, high: 1.0 }, 0.0).into_string().contains("NaN"));
    }

    #[test]
    fn a_small_amount_is_still_seen() {
        assert!(amount(1.0, 1e9).into_string().contains("width=\"0.5%\""));
        assert!(!amount(0.0, 1.0).into_string().contains("<rect"));
        assert!(!amount(f64::NAN, 0.0).into_string().contains("<rect"));
    }
}
