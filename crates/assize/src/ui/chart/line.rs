//! A rate over time: a line, its interval as a band, and gaps where nothing was judged.

use std::fmt::Write;

use assize_core::Timestamp;
use maud::{Markup, html};

use super::axis::{Scale, time_ticks};
use super::{UNITS, across, trimmed};
use crate::ui::format::{self, Rate, utc};
use crate::ui::visible::plain;

/// One bucket of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Where the bucket begins.
    pub at: Timestamp,
    /// The rate; `None` where nothing was judged.
    pub rate: Option<Rate>,
    /// What it rests on.
    pub judged: u64,
}

/// A chart of one rate.
#[derive(Debug, Clone, Copy)]
pub struct LineChart<'a> {
    /// What is shown, for those who cannot see it: `refusal`.
    pub name: &'a str,
    /// The buckets, in any order.
    pub points: &'a [Point],
    /// Left end.
    pub from: Timestamp,
    /// Right end.
    pub to: Timestamp,
    /// Width of a bucket in milliseconds.
    pub bucket_ms: i64,
    /// Level of the intervals, in [0, 1].
    pub level: f64,
    /// Where what is shown changed its meaning.
    pub breaks: &'a [Break],
}

/// A change of the judge: what lies on its two sides is not compared by eye.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// When.
    pub at: Timestamp,
    /// The judge's version before.
    pub from: String,
    /// And since.
    pub to: String,
}

const HEIGHT: f64 = 148.0;
/// Room above the highest and below the lowest tick, so that strokes are not cut.
const PAD: f64 = 6.0;
/// Beyond this many buckets a bucket is too narrow to point at.
const TARGETS_MAX: usize = 400;

struct Placed {
    at: Timestamp,
    rate: Rate,
    judged: u64,
    x: f64,
}

impl LineChart<'_> {
    /// The chart as a figure with a table of its numbers.
    pub fn render(&self) -> Markup {
        let placed = self.placed();
        let scale = scale_of(&placed);
        let y = |value: f64| PAD + (1.0 - scale.position(value)) * (HEIGHT - 2.0 * PAD);
        let runs = self.runs(&placed);
        let paths = paths(&runs, &y);
        let digits = scale.decimals.saturating_sub(2);
        html! {
            figure.chart {
                div.plot {
                    svg.y-axis height=(HEIGHT) aria-hidden="true" {
                        @for tick in &scale.ticks {
                            text x="100%" y=(trimmed(y(*tick) + 4.0, 1)) text-anchor="end" { (format::percent(*tick, digits)) }
                        }
                    }
                    svg.area height=(HEIGHT) role="img" aria-label=(self.alternative(&placed)) {
                        g aria-hidden="true" {
                            @for tick in &scale.ticks {
                                line.grid x1="0" x2="100%" y1=(trimmed(y(*tick), 1)) y2=(trimmed(y(*tick), 1)) {}
                            }
                            svg width="100%" height=(HEIGHT) viewBox={ "0 0 " (UNITS) " " (HEIGHT) } preserveAspectRatio="none" {
                                @if !paths.band.is_empty() { path.band d=(paths.band) {} }
                                @if !paths.line.is_empty() { path.line d=(paths.line) {} }
                            }
                            // A bucket between two gaps has no line: it is a dot with its interval.
                            @for run in runs.iter().filter(|run| run.len() == 1) {
                                @for point in *run {
                                    line.whisker x1=(across(point.x)) x2=(across(point.x))
                                        y1=(trimmed(y(point.rate.low), 1)) y2=(trimmed(y(point.rate.high), 1)) {}
                                    circle.dot cx=(across(point.x)) cy=(trimmed(y(point.rate.value), 1)) r="3" {}
                                }
                            }
                            @if let Some(last) = placed.last() {
                                circle.dot cx=(across(last.x)) cy=(trimmed(y(last.rate.value), 1)) r="3.5" {}
                            }
                        }
                        (self.targets())
                        @for one in self.breaks {
                            line.break x1=(across(self.share(one.at))) x2=(across(self.share(one.at))) y1="0" y2=(HEIGHT) {
                                title { (self.break_name(one)) }
                            }
                        }
                    }
                    (time_axis(self.from, self.to))
                }
                @for one in self.breaks { p.note { (self.break_name(one)) } }
                @if !placed.is_empty() { (self.table(&placed)) }
            }
        }
    }

    fn placed(&self) -> Vec<Placed> {
        let span = self.to.0.saturating_sub(self.from.0).max(1) as f64;
        let mut placed: Vec<Placed> = self
            .points
            .iter()
            .filter(|point| point.at < self.to && point.at.0.saturating_add(self.bucket_ms) > self.from.0)
            .filter_map(|point| {
                let rate = point.rate.filter(Rate::is_finite)?;
                // The middle of that part of the bucket that lies within the chart.
                let begin = point.at.0.max(self.from.0).saturating_sub(self.from.0) as f64;
                let end = point.at.0.saturating_add(self.bucket_ms).min(self.to.0).saturating_sub(self.from.0) as f64;
                Some(Placed { at: point.at, rate, judged: point.judged, x: (begin + end) / 2.0 / span })
            })
            .collect();
        placed.sort_by_key(|point| point.at);
        placed
    }

    /// Neighbouring buckets: a line is never drawn over a bucket that was not judged.
    fn runs<'p>(&self, placed: &'p [Placed]) -> Vec<&'p [Placed]> {
        placed
            .chunk_by(|a, b| b.at.0.saturating_sub(a.at.0) <= self.bucket_ms.saturating_add(self.bucket_ms / 2))
            .filter(|run| !run.is_empty())
            .collect()
    }

    /// What to point at for the numbers of a bucket, judged or not.
    fn targets(&self) -> Markup {
        let span = self.to.0.saturating_sub(self.from.0).max(1) as f64;
        html! {
            @if self.points.len() <= TARGETS_MAX {
                @for point in self.points {
                    @let begin = point.at.0.saturating_sub(self.from.0) as f64 / span;
                    @let end = point.at.0.saturating_add(self.bucket_ms).saturating_sub(self.from.0) as f64 / span;
                    @if begin < 1.0 && end > 0.0 {
                        rect.target x=(across(begin)) width=(across(end.min(1.0) - begin.max(0.0))) y="0" height=(HEIGHT) {
                            title {
                                (self.bucket_name(point.at)) ": "
                                @if let Some(rate) = point.rate {
                                    (rate.percent()) " (" (rate.range()) "), " (format::count(point.judged)) " judged"
                                }
                                @else { "nothing judged" }
                            }
                        }
                    }
                }
            }
        }
    }

    fn share(&self, at: Timestamp) -> f64 {
        at.0.saturating_sub(self.from.0) as f64 / self.to.0.saturating_sub(self.from.0).max(1) as f64
    }

    fn break_name(&self, one: &Break) -> String {
        let at = utc(one.at, "%-d %b, %H:%M");
        format!(
            "From {at} on the judge is version {} in place of {}: rates before are not shown with those since.",
            plain(&one.to),
            plain(&one.from)
        )
    }

    fn bucket_name(&self, at: Timestamp) -> String {
        utc(at, if self.bucket_ms >= 86_400_000 { "%-d %b" } else { "%-d %b, %H:%M" })
    }

    fn alternative(&self, placed: &[Placed]) -> String {
        let (Some(first), Some(last)) = (placed.first(), placed.last()) else {
            return format!("{} over time: nothing was judged in this range.", self.name);
        };
        let low = placed.iter().map(|point| point.rate.value).fold(f64::INFINITY, f64::min);
        let high = placed.iter().map(|point| point.rate.value).fold(f64::NEG_INFINITY, f64::max);
        format!(
            "{} over time, with {} intervals: {} on {}, {} on {}, between {} and {}. The table below has all numbers.",
            self.name,
            format::short_percent(self.level),
            first.rate.percent(),
            self.bucket_name(first.at),
            last.rate.percent(),
            self.bucket_name(last.at),
            format::percent(low, 1),
            format::percent(high, 1),
        )
    }

    fn table(&self, placed: &[Placed]) -> Markup {
        html! {
            details.figures {
                summary { "Numbers over time" }
                div.scroll tabindex="0" role="region" aria-label={ (self.name) " over time" } {
                    table {
                        caption.visually-hidden { (self.name) " over time" }
                        thead {
                            tr {
                                th scope="col" { "From" } th.num scope="col" { "Rate" } th.num scope="col" { "Interval" }
                                th.num scope="col" { "Judged" }
                            }
                        }
                        tbody {
                            @for point in placed.iter().rev().take(TARGETS_MAX) {
                                tr {
                                    th scope="row" { (self.bucket_name(point.at)) }
                                    td.num { (point.rate.percent()) }
                                    td.num { (point.rate.range()) }
                                    td.num { (format::count(point.judged)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The labels under a chart; every other one gives way on a narrow screen.
pub(super) fn time_axis(from: Timestamp, to: Timestamp) -> Markup {
    html! {
        svg.x-axis height="18" aria-hidden="true" {
            @for (i, tick) in time_ticks(from, to, 8).iter().enumerate() {
                @let anchor = if tick.position < 0.04 { "start" } else if tick.position > 0.96 { "end" } else { "middle" };
                text.odd[i % 2 == 1] x=(across(tick.position)) y="14" text-anchor=(anchor) { (tick.label) }
            }
        }
    }
}

/// From zero, unless the rates are high and vary little. A few very wide intervals do not flatten the rest: nine in ten fit, and
/// the band leaves the chart for the others.
fn scale_of(placed: &[Placed]) -> Scale {
    let mut highs: Vec<f64> = placed.iter().map(|point| point.rate.high).collect();
    highs.sort_by(f64::total_cmp);
    let usual = highs.get(highs.len().saturating_mul(9) / 10).or(highs.last()).copied().unwrap_or(0.0);
    let top = placed.iter().map(|point| point.rate.value).fold(usual, f64::max).min(1.0);
    let bottom = placed.iter().map(|point| point.rate.low.min(point.rate.value)).fold(f64::INFINITY, f64::min).max(0.0);
    let low = if bottom.is_finite() && bottom > 0.6 * top { bottom } else { 0.0 };
    let scale = Scale::new(low, if top > low { top } else { low + 0.01 }, 4);
    // Rates end at 100 %.
    if scale.high > 1.0 && top <= 1.0 { Scale::new(low.min(0.99), 1.0, 4) } else { scale }
}

struct Paths {
    band: String,
    line: String,
}

fn paths(runs: &[&[Placed]], y: &dyn Fn(f64) -> f64) -> Paths {
    let mut paths = Paths { band: String::new(), line: String::new() };
    for run in runs.iter().filter(|run| run.len() > 1) {
        let mut draw = |path: fn(&mut Paths) -> &mut String, first: char, point: &Placed, value: f64| {
            let _ = write!(path(&mut paths), "{first}{} {}", trimmed(point.x * UNITS, 1), trimmed(y(value), 1));
        };
        for (i, point) in run.iter().enumerate() {
            let command = if i == 0 { 'M' } else { 'L' };
            draw(|p| &mut p.line, command, point, point.rate.value);
            draw(|p| &mut p.band, command, point, point.rate.high);
        }
        for point in run.iter().rev() {
            draw(|p| &mut p.band, 'L', point, point.rate.low);
        }
        paths.band.push('Z');
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn point(hour: i64, value: Option<f64>) -> Point {
        let rate = value.map(|value| Rate { value, low: value - 0.01, high: value + 0.01 });
        Point { at: Timestamp(hour * HOUR), rate, judged: 10 }
    }

    fn render(points: &[Point], hours: i64) -> String {
        let chart = LineChart {
            name: "refusal",
            points,
            from: Timestamp(0),
            to: Timestamp(hours * HOUR),
            bucket_ms: HOUR,
            level: 0.95,
            breaks: &[],
        };
        let out = chart.render().into_string();
        assert!(!out.contains("NaN") && !out.contains("inf") && !out.contains("style="), "{out}");
        out
    }

    #[test]
    fn nothing_is_said_in_words() {
        let out = render(&[], 24);
        assert!(out.contains("nothing was judged") && !out.contains("<path"), "{out}");
        assert!(render(&[point(1, None)], 24).contains("nothing judged</title>"));
    }

    #[test]
    fn one_point_is_a_dot_with_its_interval() {
        let out = render(&[point(3, Some(0.2))], 24);
        assert!(out.contains("class=\"whisker\"") && !out.contains("<path"), "{out}");
    }

    #[test]
    fn a_gap_breaks_the_line() {
        let points: Vec<Point> = (0..10).map(|hour| point(hour, (hour != 4).then_some(0.2))).collect();
        let out = render(&points, 10);
        let line = out.split("class=\"line\" d=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(line.matches('M').count(), 2, "{line}");
        assert_eq!(line.matches('L').count(), 3 + 4, "{line}");
        // A bucket that is missing altogether is a gap too.
        let missing: Vec<Point> = points.iter().copied().filter(|point| point.rate.is_some()).collect();
        assert!(render(&missing, 10).contains(line));
    }

    #[test]
    fn equal_many_and_unusable_values_are_drawn() {
        for value in [0.0, 0.5, 1.0] {
            render(&(0..5).map(|hour| point(hour, Some(value))).collect::<Vec<_>>(), 5);
        }
        let many: Vec<Point> = (0..5_000).map(|hour| point(hour, Some(f64::from(hour as i32 % 7) / 10.0))).collect();
        assert!(render(&many, 5_000).len() < 400_000);
        let broken = Rate { value: f64::NAN, low: f64::NEG_INFINITY, high: f64::INFINITY };
        render(&[Point { at: Timestamp(0), rate: Some(broken), judged: 0 }, point(1, Some(0.1))], 3);
        render(
            &[Point { at: Timestamp(i64::MIN), rate: None, judged: 0 }, Point { at: Timestamp(i64::MAX), rate: None, judged: 0 }],
            3,
        );
        render(&[point(0, Some(0.1))], 0);
    }

    #[test]
    fn a_break_is_a_line_with_both_versions() {
        let breaks = [Break { at: Timestamp(6 * HOUR), from: "0ld".to_owned(), to: "n3w".to_owned() }];
        let points = [point(3, Some(0.2)), point(9, Some(0.4))];
        let (from, to) = (Timestamp(0), Timestamp(24 * HOUR));
        let chart = LineChart { name: "refusal", points: &points, from, to, bucket_ms: HOUR, level: 0.95, breaks: &breaks };
        let out = chart.render().into_string();
        let line = out.split("<line class=\"break\"").nth(1).expect("a line");
        assert!(line.starts_with(" x1=\"25%\" x2=\"25%\"") && line.contains("n3w in place of 0ld"), "{line}");
    }

    #[test]
    fn a_few_wide_intervals_do_not_flatten_the_rest() {
        let mut points: Vec<Point> = (0..20).map(|hour| point(hour, Some(0.03))).collect();
        points[7].rate = Some(Rate { value: 0.03, low: 0.0, high: 0.9 });
        let placed = LineChart {
            name: "",
            points: &points,
            from: Timestamp(0),
            to: Timestamp(20 * HOUR),
            bucket_ms: HOUR,
            level: 0.95,
            breaks: &[],
        };
        assert!(scale_of(&placed.placed()).high < 0.1);
    }
}
