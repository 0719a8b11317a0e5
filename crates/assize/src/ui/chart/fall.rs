//! One bar of a way down from a large amount to a small one: from where it begins to where it ends.

use maud::{Markup, html};

use super::across;

/// What a bar stands for, and so how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bar {
    /// A whole amount, from nothing on.
    Whole,
    /// Taken off.
    Off,
    /// Taken off, and nothing gained by it.
    Undone,
    /// Put on.
    On,
}

/// The bar between `from` and `to` on a scale from 0 to `most`: for a cell beside its number, which says the same.
pub fn bar(kind: Bar, from: f64, to: f64, most: f64) -> Markup {
    let at = |value: f64| if most > 0.0 { (value / most).clamp(0.0, 1.0) } else { 0.0 };
    let (low, high) = (at(from.min(to)), at(from.max(to)));
    // So thin that it could not be seen it still begins where it should, unless that is the very end.
    let width = (high - low).max(0.004);
    let class = match kind {
        Bar::Whole => "whole",
        Bar::Off => "off",
        Bar::Undone => "undone",
        Bar::On => "on",
    };
    html! {
        svg.fall width="100%" height="12" aria-hidden="true" {
            line.rail x1="0" x2="100%" y1="11.5" y2="11.5" {}
            @if low.is_finite() && width.is_finite() {
                rect class=(class) x=(across(low.min(1.0 - width))) width=(across(width)) height="11" rx="1.5" {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stay_on_the_scale() {
        let out = bar(Bar::Off, 100.0, 25.0, 100.0).into_string();
        assert!(out.contains("x=\"25%\"") && out.contains("width=\"75%\""), "{out}");
        assert!(bar(Bar::On, 100.0, 100.1, 100.0).into_string().contains("x=\"99.6%\""));
        for (from, to, most) in [(0.0, 0.0, 0.0), (f64::NAN, 1.0, 1.0), (-5.0, 7.0, 3.0), (1.0, 2.0, f64::NAN)] {
            assert!(!bar(Bar::Whole, from, to, most).into_string().contains("NaN"));
        }
    }
}
