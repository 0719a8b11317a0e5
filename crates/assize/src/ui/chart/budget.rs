//! A budget as a rail: what is committed of it, where it is going, and the marks on the way.

use maud::{Markup, html};

use super::across;

/// Amounts of one period, in any unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rail {
    /// Paid, or charged.
    pub certain: f64,
    /// Set aside for calls under way.
    pub reserved: f64,
    /// Where it ends if it goes on like this.
    pub projected: Option<f64>,
    /// The most that may be.
    pub budget: Option<f64>,
}

/// Shares of the budget that have a mark.
const MARKS: [f64; 3] = [0.5, 0.8, 0.95];
/// The rail goes on so much further than what is on it.
const MARGIN: f64 = 1.04;
/// A projection further beyond the budget than this is cut off: its number says how far.
const BEYOND_MAX: f64 = 1.3;

impl Rail {
    /// The rail; `alternative` says what is on it.
    pub fn render(&self, alternative: &str) -> Markup {
        let committed = self.certain + self.reserved;
        let goes_to = match (self.projected, self.budget) {
            (Some(projected), Some(budget)) => projected.min((budget * BEYOND_MAX).max(committed)),
            (Some(projected), None) => projected,
            (None, _) => committed,
        };
        let most = self.budget.unwrap_or(0.0).max(goes_to).max(committed) * MARGIN;
        let at = |value: f64| if most > 0.0 { value / most } else { 0.0 };
        html! {
            svg.budget width="100%" height="34" role="img" aria-label=(alternative) {
                rect.rail width="100%" height="16" y="2" rx="3" {}
                @if goes_to > committed {
                    rect.projected x=(across(at(committed))) width=(across(at(goes_to - committed))) height="16" y="2" {}
                }
                @if self.certain > 0.0 { rect.certain width=(across(at(self.certain).max(0.003))) height="16" y="2" rx="2" {} }
                @if self.reserved > 0.0 {
                    rect.reserved x=(across(at(self.certain))) width=(across(at(self.reserved))) height="16" y="2" {}
                }
                @if let Some(budget) = self.budget.filter(|budget| *budget > 0.0) {
                    @for share in MARKS {
                        line.mark-at x1=(across(at(budget * share))) x2=(across(at(budget * share))) y1="2" y2="18" {}
                        // 95 % would run into the end of the budget, and on narrow screens so does 80 %.
                        @if share < 0.9 {
                            text.near[share > 0.6] x=(across(at(budget * share))) y="31" text-anchor="middle" { (format!("{:.0} %", share * 100.0)) }
                        }
                    }
                    line.limit x1=(across(at(budget))) x2=(across(at(budget))) y1="0" y2="20" {}
                    text x=(across(at(budget))) y="31" text-anchor="end" { "budget" }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rail(certain: f64, reserved: f64, projected: Option<f64>, budget: Option<f64>) -> String {
        let out = Rail { certain, reserved, projected, budget }.render("<x>").into_string();
        assert!(!out.contains("NaN") && !out.contains("inf") && out.contains("&lt;x&gt;"), "{out}");
        out
    }

    #[test]
    fn every_state_is_drawn_within_the_rail() {
        let usual = rail(40.0, 10.0, Some(90.0), Some(100.0));
        assert!(usual.contains("class=\"projected\"") && usual.contains("class=\"limit\""), "{usual}");
        assert_eq!(usual.matches("class=\"mark-at\"").count(), 3);
        let none = rail(0.0, 0.0, None, None);
        assert!(!none.contains("certain") && !none.contains("limit"), "{none}");
        for (certain, projected, budget) in [
            (5.0, Some(1e18), Some(1.0)),
            (0.0, Some(0.0), Some(0.0)),
            (f64::NAN, Some(f64::INFINITY), Some(1.0)),
            (3.0, None, Some(1.0)),
        ] {
            rail(certain, 0.0, projected, budget);
        }
    }
}
