//! The overview: how often, how sure, at what cost, and what was not judged.

mod metric;
mod outcomes;
mod spend;
mod start;
mod state;

use std::time::Duration;

use assize_core::queue::Depth;
use assize_core::results::Outcomes;
use assize_core::{Outcome, Timestamp};
use maud::{Markup, html};

use crate::ui::chart::line::Point;
use crate::ui::layout::{self, Layout, Section};
use crate::ui::link::Href;
use crate::ui::{format, outcome};

pub use metric::{EstimateView, GroupRow, MetricPanel};
pub use spend::SpendPanel;
pub(in crate::ui) use spend::dollars;
pub use state::{IngestCounter, IngestPanel};

/// How far back the overview looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Range {
    /// The last 24 hours, by the hour.
    #[default]
    Day,
    /// The last 7 days, by six hours.
    Week,
    /// The last 30 days, by the day.
    Month,
}

impl Range {
    /// Every range, shortest first.
    pub const ALL: [Self; 3] = [Self::Day, Self::Week, Self::Month];

    /// The range as the parameter `range` spells it: `24h`, `7d` or `30d`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
        }
    }

    /// The range of the parameter `range`; the default for anything else.
    pub fn from_query(text: &str) -> Self {
        Self::ALL.into_iter().find(|range| range.as_str() == text).unwrap_or_default()
    }

    /// How long it is.
    pub fn duration(self) -> Duration {
        Duration::from_secs(
            3_600
                * match self {
                    Self::Day => 24,
                    Self::Week => 7 * 24,
                    Self::Month => 30 * 24,
                },
        )
    }

    /// Hours per point of the line charts.
    pub fn bucket_hours(self) -> i64 {
        match self {
            Self::Day => 1,
            Self::Week => 6,
            Self::Month => 24,
        }
    }

    /// [from, to) as of `now`, with both ends at the limits of buckets: the bucket that holds `now` is the last.
    pub fn bounds(self, now: Timestamp) -> (Timestamp, Timestamp) {
        let bucket = self.bucket_hours() * 3_600_000;
        let to = Timestamp(now.0.div_euclid(bucket).saturating_add(1).saturating_mul(bucket));
        (to.minus(self.duration()), to)
    }

    /// The range in words, after "the last".
    pub fn label(self) -> &'static str {
        match self {
            Self::Day => "24 hours",
            Self::Week => "7 days",
            Self::Month => "30 days",
        }
    }
}

/// What the overview shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Overview {
    /// The frame.
    pub layout: Layout,
    /// The range that was chosen.
    pub range: Range,
    /// Its first instant.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
    /// One panel per metric, in the order of the configuration.
    pub metrics: Vec<MetricPanel>,
    /// What became of everything accepted in the range.
    pub outcomes: Outcomes,
    /// Interactions in the range that came without any text (flag `no_content`): if there are any, the note on switching content
    /// on is shown.
    pub without_text: u64,
    /// What was spent in the range.
    pub spend: SpendPanel,
    /// What is waiting now.
    pub queue: Depth,
    /// What came in.
    pub ingest: IngestPanel,
    /// Where applications send to, as seen from them: `http://127.0.0.1:4318`. For the first steps.
    pub endpoint: String,
}

impl Overview {
    fn bucket_ms(&self) -> i64 {
        self.range.bucket_hours() * 3_600_000
    }

    fn explore(&self) -> Href {
        Href::new("/explore").with("project", self.layout.project.as_str())
    }
}

/// The page.
pub fn render(view: &Overview) -> Markup {
    let is_empty = view.outcomes.accepted == 0;
    let body = html! {
        div.heading {
            h1 { "Overview" }
            nav.ranges aria-label="Range" {
                @for range in Range::ALL {
                    a href=(Href::new("/").with("project", view.layout.project.as_str()).with("range", range.as_str()).build())
                        aria-current=[(range == view.range).then_some("true")] { (range.label()) }
                }
            }
        }
        div #overview data-live {
            @if is_empty {
                (start::first_steps(view))
            } @else {
                (summary(view))
                @if view.without_text > 0 { (start::content_note(view.without_text, view.outcomes.accepted)) }
                section aria-labelledby="rates" {
                    h2 #rates { "Rates" }
                    @if view.metrics.is_empty() {
                        p.empty {
                            "No metric is configured for this project. Add a " code { "[[metric]]" } " to the configuration."
                        }
                    }
                    div.panels {
                        @for panel in &view.metrics { (metric::render(panel, view)) }
                    }
                }
                (outcomes::render(view))
                (spend::render(view))
            }
            (state::render(view))
        }
    };
    layout::page(&view.layout, Section::Overview, "Overview", &[("range", view.range.as_str())], true, &body)
}

/// The page in four numbers.
fn summary(view: &Overview) -> Markup {
    let of = |wanted: &dyn Fn(Option<Outcome>) -> bool| {
        view.outcomes
            .counts
            .iter()
            .filter(|count| wanted(count.outcome))
            .fold(0_u64, |sum, count| sum.saturating_add(count.count))
    };
    let judged = of(&|o| matches!(o, Some(Outcome::Judged | Outcome::Reused)));
    let trouble = of(&outcome::is_trouble);
    let waiting = view.queue.ready.saturating_add(view.queue.delayed).saturating_add(view.queue.leased);
    html! {
        dl.summary {
            div { dt { "Interactions" } dd { (format::count(view.outcomes.accepted)) } dd.note { "accepted" } }
            div {
                dt { "Verdicts" } dd { (format::count(judged)) }
                dd.note {
                    @if trouble > 0 { a href="#outcomes" { (format::count(trouble)) " not obtained" } } @else { "none failed" }
                }
            }
            div {
                dt { "Spend" } dd { (format::money(view.spend.total.cost)) }
                dd.note { (format::counted(view.spend.total.calls, "call")) }
            }
            div {
                dt { "Waiting" } dd { (format::count(waiting)) }
                dd.note {
                    @if view.queue.dead > 0 { a href="#queue" { (format::count(view.queue.dead)) " given up" } }
                    @else { "in the queue" }
                }
            }
        }
    }
}

/// Buckets of the chosen range that have no point at all are gaps as well.
fn with_gaps(points: &[Point], from: Timestamp, to: Timestamp, bucket_ms: i64) -> Vec<Point> {
    let mut all: Vec<Point> = points.to_vec();
    let known: std::collections::BTreeSet<i64> = points.iter().map(|point| point.at.0.div_euclid(bucket_ms)).collect();
    let (first, last) = (from.0.div_euclid(bucket_ms), to.0.saturating_sub(1).div_euclid(bucket_ms));
    for bucket in first..=last.min(first.saturating_add(1_000)) {
        if !known.contains(&bucket) {
            all.push(Point { at: Timestamp(bucket.saturating_mul(bucket_ms)), rate: None, judged: 0 });
        }
    }
    all.sort_by_key(|point| point.at);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_with_the_bucket_that_holds_now() {
        let now = Timestamp::parse("2026-11-24T09:30:00Z").unwrap();
        let (from, to) = Range::Week.bounds(now);
        assert_eq!(
            (from.to_rfc3339().as_str(), to.to_rfc3339().as_str()),
            ("2026-11-17T12:00:00.000Z", "2026-11-24T12:00:00.000Z")
        );
        for range in Range::ALL {
            assert_eq!(Range::from_query(range.as_str()), range);
            let _ = range.bounds(Timestamp(i64::MAX));
            let _ = range.bounds(Timestamp(i64::MIN));
        }
        assert_eq!(Range::from_query("<script>"), Range::Day);
    }

    #[test]
    fn missing_buckets_become_gaps() {
        let rate = Some(format::Rate { value: 0.1, low: 0.0, high: 0.2 });
        let filled = with_gaps(&[Point { at: Timestamp(10), rate, judged: 3 }], Timestamp(0), Timestamp(40), 10);
        let shape: Vec<(i64, bool)> = filled.iter().map(|point| (point.at.0, point.rate.is_some())).collect();
        assert_eq!(shape, [(0, false), (10, true), (20, false), (30, false)]);
    }
}
