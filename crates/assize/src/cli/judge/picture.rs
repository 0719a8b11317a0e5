//! The picture of a check: reliability and confusion, a file of SVG that needs nothing beside it and can be read in light and dark.

use maud::{Markup, PreEscaped, html};

use super::figures::{Bin, Counts, Group, Source};
use crate::cli::eval::summary::thousands;
use crate::ui::visible;

/// Side of a plot, and the room around it.
const PLOT: f64 = 300.0;
const LEFT: f64 = 56.0;
const TOP: f64 = 76.0;
/// From the left of one plot to that of the next.
const NEXT: f64 = PLOT + 96.0;
/// Height of what is drawn of one source, title included.
const BAND: f64 = TOP + PLOT + 64.0;
const WIDTH: f64 = LEFT + NEXT + PLOT + 24.0;

const STYLE: &str = "\
svg { color-scheme: light dark; font: 13px system-ui, sans-serif; }
.ground { fill: #ffffff; } text { fill: #1b1d20; } .minor { fill: #5a5f66; } .title { font-weight: 600; }
.grid { stroke: #dededa; } .ideal { stroke: #8b8e92; stroke-dasharray: 4 4; } .whisker { stroke: #17609f; stroke-width: 1.5; }
.dot { fill: #17609f; } .right { fill: #17609f; } .wrong { fill: #d55e00; } .frame { fill: none; stroke: #8b8e92; }
@media (prefers-color-scheme: dark) {
.ground { fill: #1a1d20; } text { fill: #e7e8e6; } .minor { fill: #a3a9b1; } .grid { stroke: #30343a; } .ideal { stroke: #7d838c; }
.whisker { stroke: #5aa2e0; } .dot { fill: #5aa2e0; } .right { fill: #5aa2e0; } .wrong { fill: #e0702a; } .frame { stroke: #7d838c; }
}";

/// The picture; each source of labels has its own plots.
pub fn draw(title: &str, groups: &[Group]) -> String {
    let height = 40.0 + BAND * groups.len().max(1) as f64;
    let title = visible::plain(title);
    let drawing = html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (WIDTH) " " (height) } width=(WIDTH) height=(height) role="img"
            aria-label={ "How well " (title) " agrees with gold labels" } {
            style { (PreEscaped(STYLE)) }
            rect.ground width=(WIDTH) height=(height) {}
            text.title x="16" y="28" { (title) }
            @if groups.is_empty() { text.minor x="16" y="64" { "nothing was judged" } }
            @for (at, group) in groups.iter().enumerate() {
                g transform={ "translate(0 " (40.0 + BAND * at as f64) ")" } {
                    text.minor x="16" y="16" { (caption(group)) }
                    g transform={ "translate(" (LEFT) " " (TOP) ")" } { (reliability(&group.figures.calibration.bins)) }
                    g transform={ "translate(" (LEFT + NEXT) " " (TOP) ")" } { (confusion(&group.figures.confusion)) }
                }
            }
        }
    };
    drawing.into_string()
}

fn caption(group: &Group) -> String {
    let how = match group.source {
        Source::Drawn => "drawn with recorded probability",
        Source::HandPicked => "hand-picked",
    };
    let figures = &group.figures;
    format!(
        "{} gold labels, {how}: agreement {:.1} % ({:.1} to {:.1} %), ECE {:.3}, Brier {:.3}",
        thousands(figures.items),
        figures.agreement.value * 100.0,
        figures.agreement.low * 100.0,
        figures.agreement.high * 100.0,
        figures.calibration.ece,
        figures.calibration.brier
    )
}

/// A length to a tenth of a unit, within the plot.
fn at(share: f64) -> String {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    format!("{:.1}", share * PLOT)
}

/// Mean score against the rate of positives, with limits; the area of a dot is its share of the items.
fn reliability(bins: &[Bin]) -> Markup {
    let below = |share: f64| at(1.0 - share);
    html! {
        text.title x="0" y="-34" { "Reliability" }
        @for tick in [0.0, 0.25, 0.5, 0.75, 1.0] {
            line.grid x1="0" x2=(PLOT) y1=(below(tick)) y2=(below(tick)) {}
            text.minor x="-8" y=(format!("{:.1}", (1.0 - tick) * PLOT + 4.0)) text-anchor="end" { (tick) }
            text.minor x=(at(tick)) y=(PLOT + 18.0) text-anchor="middle" { (tick) }
        }
        line.ideal x1="0" y1=(PLOT) x2=(PLOT) y2="0" {}
        @for bin in bins {
            line.whisker x1=(at(bin.score)) x2=(at(bin.score)) y1=(below(bin.low)) y2=(below(bin.high)) {}
            circle.dot cx=(at(bin.score)) cy=(below(bin.rate)) r=(format!("{:.1}", 2.5 + 9.0 * bin.share.clamp(0.0, 1.0).sqrt())) {
                title {
                    (format!("scores {:.2} to {:.2}: {} items, mean score {:.3}, rate {:.3} ({:.3} to {:.3})",
                        bin.lowest, bin.highest, bin.items, bin.score, bin.rate, bin.low, bin.high))
                }
            }
        }
        rect.frame width=(PLOT) height=(PLOT) {}
        text.minor x=(PLOT / 2.0) y=(PLOT + 38.0) text-anchor="middle" { "mean score; along the dashed line it is what it says" }
        text.minor transform={ "translate(-42 " (PLOT / 2.0) ") rotate(-90)" } text-anchor="middle" { "rate of positive gold labels" }
    }
}

/// Gold against judge; the deeper a cell, the larger its share of the row.
fn confusion(counts: &Counts) -> Markup {
    let side = PLOT / 2.0;
    html! {
        text.title x="0" y="-34" { "Confusion" }
        @for (column, word) in ["no", "yes"].into_iter().enumerate() {
            text.minor x=(side * (column as f64 + 0.5)) y="-10" text-anchor="middle" { "judge " (word) }
        }
        @for (row, word) in ["no", "yes"].into_iter().enumerate() {
            @let total: u64 = counts[row].iter().sum();
            text.minor transform={ "translate(-10 " (side * (row as f64 + 0.5)) ") rotate(-90)" } text-anchor="middle" { "gold " (word) }
            @for (column, count) in counts[row].into_iter().enumerate() {
                @let share = if total > 0 { count as f64 / total as f64 } else { 0.0 };
                @let (x, y) = (side * column as f64, side * row as f64);
                rect class=(if row == column { "right" } else { "wrong" }) x=(x) y=(y) width=(side) height=(side)
                    fill-opacity=(format!("{:.2}", 0.55 * share)) {}
                rect.frame x=(x) y=(y) width=(side) height=(side) {}
                text.title x=(x + side / 2.0) y=(y + side / 2.0) text-anchor="middle" { (thousands(count)) }
                text x=(x + side / 2.0) y=(y + side / 2.0 + 20.0) text-anchor="middle" { (format!("{:.1} %", share * 100.0)) }
            }
        }
        text.minor x=(side) y=(PLOT + 38.0) text-anchor="middle" { "shares are of a row" }
    }
}

#[cfg(test)]
mod tests {
    use super::super::figures::{Placed, Point, groups};
    use super::*;

    #[test]
    fn it_stands_alone_and_shows_what_was_found() {
        let point = |gold: f64, score: f64| Point { gold, score, probability: None };
        let points: Vec<Point> = (0..40).map(|n| point(f64::from(n % 2), f64::from(n) / 40.0)).collect();
        let with: Vec<Placed<'_>> = points.iter().map(|point| Placed { point: *point, slices: &[], cluster: None }).collect();
        let found = groups(&with, &[], 0.5, 0.95).unwrap();
        let svg = draw("a <b> & \u{202e}c", &found);
        assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\"") && svg.ends_with("</svg>"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf") && !svg.contains("<b>") && !svg.contains('\u{202e}'), "{svg}");
        assert!(!svg.contains("href") && !svg.contains("url(") && !svg.contains("<script"), "nothing beside it is needed");
        assert_eq!(svg.matches("class=\"dot\"").count(), 10, "a dot a bin");
        assert_eq!(svg.matches("class=\"right\"").count() + svg.matches("class=\"wrong\"").count(), 4);
        assert!(svg.contains("prefers-color-scheme: dark"));
        assert!(svg.contains("40 gold labels, hand-picked: agreement 50.0 %"), "{svg}");
        assert!(draw("nothing", &[]).contains("nothing was judged"));
    }
}
