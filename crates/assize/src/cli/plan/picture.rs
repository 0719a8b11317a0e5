//! The picture of a plan: width against dollars, a file of SVG that needs nothing beside it; and a page of HTML around it.

use assize_core::NanoUsd;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::report::{Goal, Report, points};
use super::text::text;
use crate::ui::format::{count, money};
use crate::ui::visible::plain;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 92.0;
const BOTTOM: f64 = 52.0;

const STYLE: &str = "\
svg { color-scheme: light dark; font: 13px system-ui, sans-serif; }
.ground { fill: #ffffff; } text { fill: #1b1d20; } .minor { fill: #5a5f66; } .title { font-weight: 600; }
.grid { stroke: #dededa; } .goal { stroke: #8b8e92; stroke-dasharray: 4 4; } .curve { fill: none; stroke-width: 2; }
.c0 { stroke: #6b7077; } .c1 { stroke: #17609f; stroke-dasharray: 7 3; } .c2 { stroke: #17609f; } .c3 { stroke: #d55e00; stroke-dasharray: 2 3; }
.best { fill: #d55e00; }
@media (prefers-color-scheme: dark) {
.ground { fill: #1a1d20; } text { fill: #e7e8e6; } .minor { fill: #a3a9b1; } .grid { stroke: #30343a; } .goal { stroke: #7d838c; }
.c0 { stroke: #a3a9b1; } .c1, .c2 { stroke: #5aa2e0; } .c3 { stroke: #e0702a; } .best { fill: #e0702a; }
}";

/// A scale by powers of ten.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let usable = values.filter(|value| value.is_finite() && *value > 0.0);
        let (low, high) = usable.fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        if low.is_finite() && high > low { Self { low, high } } else { Self { low: 1e-3, high: 1.0 } }
    }

    fn position(&self, value: f64) -> f64 {
        let share = (value / self.low).ln() / (self.high / self.low).ln();
        if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Powers of ten, with 2 and 5 times them where there are few.
    fn ticks(&self) -> Vec<f64> {
        let decades = (self.high / self.low).log10();
        let factors: &[f64] = if decades < 3.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let all = (first..=last).flat_map(|power| factors.iter().map(move |factor| factor * 10_f64.powi(power)));
        all.filter(|tick| (self.low..=self.high).contains(tick)).collect()
    }
}

fn at(value: f64) -> String {
    format!("{value:.1}")
}

/// The picture.
pub fn draw(report: &Report) -> String {
    let all = || report.curves.iter().flat_map(|curve| curve.points.iter().copied());
    let (usd, widths) = (Scale::of(all().map(|(usd, _)| usd)), Scale::of(all().map(|(_, width)| width)));
    let x = |value: f64| LEFT + usd.position(value) * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| TOP + (1.0 - widths.position(value)) * (HEIGHT - TOP - BOTTOM);
    let path = |points: &[(f64, f64)]| {
        let steps = points.iter().enumerate().map(|(i, &(usd, width))| {
            let command = if i == 0 { 'M' } else { 'L' };
            format!("{command}{} {}", at(x(usd)), at(y(width)))
        });
        steps.collect::<String>()
    };
    let title = title(report);
    let drawing = html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } width=(WIDTH) height=(HEIGHT) role="img"
            aria-label={ (title) ": half of the width of the interval against dollars a " (report.period.name()) } {
            style { (PreEscaped(STYLE)) }
            rect.ground width=(WIDTH) height=(HEIGHT) {}
            text.title x="16" y="26" { (title) }
            @for (i, curve) in report.curves.iter().enumerate() {
                @let (column, row) = ((i % 2) as f64, (i / 2) as f64);
                path class={ "curve c" (i) } d={ "M" (at(16.0 + column * 330.0)) " " (at(46.0 + row * 20.0)) "h24" } {}
                text.minor x=(at(48.0 + column * 330.0)) y=(at(50.0 + row * 20.0)) { (curve.name) }
            }
            @for tick in widths.ticks() {
                line.grid x1=(LEFT) x2=(WIDTH - RIGHT) y1=(at(y(tick))) y2=(at(y(tick))) {}
                text.minor x=(LEFT - 8.0) y=(at(y(tick) + 4.0)) text-anchor="end" { "±" (points(tick)) }
            }
            @for tick in usd.ticks() {
                line.grid x1=(at(x(tick))) x2=(at(x(tick))) y1=(TOP) y2=(HEIGHT - BOTTOM) {}
                text.minor x=(at(x(tick))) y=(HEIGHT - BOTTOM + 18.0) text-anchor="middle" { (money(NanoUsd((tick * 1e9) as u64))) }
            }
            text.minor x=(at((LEFT + WIDTH - RIGHT) / 2.0)) y=(HEIGHT - 12.0) text-anchor="middle" {
                "dollars a " (report.period.name()) "; upright: half of the width in percentage points"
            }
            @match report.goal {
                Goal::HalfWidth(wanted) => line.goal x1=(LEFT) x2=(WIDTH - RIGHT) y1=(at(y(wanted))) y2=(at(y(wanted))) {},
                Goal::BudgetUsd(budget) => line.goal x1=(at(x(budget))) x2=(at(x(budget))) y1=(TOP) y2=(HEIGHT - BOTTOM) {},
            }
            @for (i, curve) in report.curves.iter().enumerate() {
                path class={ "curve c" (i) } d=(path(&curve.points)) {}
            }
            @if let Some(best) = &report.recommendation {
                circle.best cx=(at(x(best.line.cost_usd))) cy=(at(y(best.line.half_width))) r="5" {
                    title {
                        "recommended: " (best.line.name) ", " (count(best.line.reference_calls)) " calls, " (money(best.line.cost)) ", ±"
                        (points(best.line.half_width)) " points"
                    }
                }
            }
        }
    };
    drawing.into_string()
}

fn title(report: &Report) -> String {
    let metric = plain(report.metric.as_deref().unwrap_or("a metric"));
    format!("What the rate of {metric} costs")
}

/// A page with the picture and all that the terminal says; it needs nothing beside it.
pub fn page(report: &Report) -> String {
    let page: Markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title(report)) }
                style { "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
                    "svg{max-width:100%;height:auto}pre{overflow-x:auto}" }
            }
            body {
                main {
                    h1 { (title(report)) }
                    (PreEscaped(draw(report)))
                    // The sketch of the terminal would say the same twice.
                    pre { (plain_but_lines(&text(report, false))) }
                }
            }
        }
    };
    page.into_string()
}

fn plain_but_lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}
