//! One bar cut into parts: what became of everything.

use maud::{Markup, html};

use super::across;

/// A fill that is told apart by more than its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// No pattern.
    Plain,
    /// Slanted lines.
    Diagonal,
    /// Crossed lines.
    Cross,
    /// Dots.
    Dots,
}

impl Pattern {
    fn fill(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Diagonal => Some("url(#pattern-diagonal)"),
            Self::Cross => Some("url(#pattern-cross)"),
            Self::Dots => Some("url(#pattern-dots)"),
        }
    }
}

/// How a part is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// A class of the style sheet that sets the fill.
    pub class: &'static str,
    /// The pattern over it.
    pub pattern: Pattern,
}

impl Style {
    /// A small square for a legend.
    pub fn swatch(self) -> Markup {
        html! {
            svg.swatch width="10" height="10" aria-hidden="true" {
                rect.(self.class) width="10" height="10" rx="2" {}
                @if let Some(fill) = self.pattern.fill() { rect fill=(fill) width="10" height="10" rx="2" {} }
            }
        }
    }
}

/// One part.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// How much.
    pub value: u64,
    /// How it is drawn.
    pub style: Style,
    /// What is said on pointing at it.
    pub title: String,
}

/// What patterns are made of; once per page, before any bar.
pub fn patterns() -> Markup {
    html! {
        svg.patterns width="0" height="0" aria-hidden="true" focusable="false" {
            defs {
                pattern #pattern-diagonal width="6" height="6" patternUnits="userSpaceOnUse" {
                    path.hatch d="M-1 1l2-2M0 6l6-6M5 7l2-2" {}
                }
                pattern #pattern-cross width="6" height="6" patternUnits="userSpaceOnUse" {
                    path.hatch d="M0 6l6-6M0 0l6 6" {}
                }
                pattern #pattern-dots width="5" height="5" patternUnits="userSpaceOnUse" {
                    circle.dots cx="2.5" cy="2.5" r="1" {}
                }
            }
        }
    }
}

/// Least share of the width of a part that is not empty: rare failures must not vanish.
const SHARE_MIN: f64 = 0.008;

/// The bar. `alternative` says the same in words.
pub fn bar(parts: &[Part], alternative: &str) -> Markup {
    let shares = shares(&parts.iter().map(|part| part.value).collect::<Vec<_>>());
    let begins = shares.iter().scan(0.0, |end, share| {
        let begin = *end;
        *end += share;
        Some(begin)
    });
    html! {
        svg.stacked width="100%" height="16" role="img" aria-label=(alternative) {
            @for ((part, share), begin) in parts.iter().zip(&shares).zip(begins) {
                @if part.value > 0 {
                    @let x = across(begin);
                    g {
                        title { (part.title) }
                        rect.(part.style.class) x=(x) width=(across(*share)) height="16" {}
                        @if let Some(fill) = part.style.pattern.fill() {
                            rect fill=(fill) x=(x) width=(across(*share)) height="16" {}
                        }
                        @if begin > 0.0 { line.cut x1=(x) x2=(x) y1="0" y2="16" {} }
                    }
                }
            }
        }
    }
}

/// Shares of the width: at least [`SHARE_MIN`] for what is not empty, taken from the larger ones.
fn shares(values: &[u64]) -> Vec<f64> {
    let total: f64 = values.iter().map(|&value| value as f64).sum();
    let raised: Vec<f64> =
        values.iter().map(|&value| if value == 0 { 0.0 } else { (value as f64 / total).max(SHARE_MIN) }).collect();
    let sum: f64 = raised.iter().sum();
    raised.into_iter().map(|share| if sum > 0.0 { share / sum } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_fill_the_bar_and_none_vanishes() {
        for values in [vec![], vec![0, 0], vec![1], vec![1, 999_999_999, 1, 0], vec![u64::MAX, u64::MAX, 1], vec![3; 9]] {
            let shares = shares(&values);
            let sum: f64 = shares.iter().sum();
            let any = values.iter().any(|&v| v > 0);
            assert!((sum - if any { 1.0 } else { 0.0 }).abs() < 1e-9, "{values:?}");
            for (value, share) in values.iter().zip(&shares) {
                assert_eq!(*value > 0, *share > 0.007, "{values:?}");
            }
        }
    }

    #[test]
    fn titles_are_escaped_and_empty_parts_left_out() {
        let style = Style { class: "fill-judged", pattern: Pattern::Cross };
        let parts = [Part { value: 0, style, title: "none".into() }, Part { value: 5, style, title: "<five>".into() }];
        let out = bar(&parts, "\"all\"").into_string();
        assert!(out.contains("&lt;five&gt;") && out.contains("aria-label=\"&quot;all&quot;\"") && !out.contains("none"), "{out}");
    }
}
