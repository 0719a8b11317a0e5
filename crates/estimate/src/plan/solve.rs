//! From a half-width to its cost, from a budget to its half-width.

use super::{Design, Plan, Situation};
use crate::EstimateError;
use crate::quantile::two_sided;

/// Halvings of the logarithm of the scale, which spans some 40 powers of ten: enough for all digits.
const HALVINGS: u32 = 200;
/// The smallest scale looked at is this part of the largest.
const SMALLEST: f64 = 1e-30;

impl Situation {
    /// The cheapest plan of a design with this half-width; `None` where not even judging everything gives it, which happens for `process` only.
    ///
    /// # Errors
    /// A situation that cannot be (see [`Self::check`]), or a half-width that is not above 0.
    pub fn for_half_width(&self, design: Design, with_paid: bool, half_width: f64) -> Result<Option<Plan>, EstimateError> {
        self.check()?;
        if !(half_width > 0.0 && half_width < 1.0) {
            return Err(EstimateError::Setting {
                name: "half_width",
                value: half_width,
                allowed: "a number above 0 and below 1",
            });
        }
        let all = self.plan(design, with_paid, self.all(design, with_paid));
        if all.half_width > half_width {
            return Ok(None);
        }
        Ok(Some(self.search(design, with_paid, |plan| plan.half_width > half_width).1))
    }

    /// The plan of a design with the smallest half-width that `budget` pays for, in the unit of the prices. Where everything is judged for less, it
    /// costs less.
    ///
    /// # Errors
    /// A situation that cannot be, or a budget that is not above 0.
    pub fn for_budget(&self, design: Design, with_paid: bool, budget: f64) -> Result<Plan, EstimateError> {
        self.check()?;
        if !(budget > 0.0 && budget.is_finite()) {
            return Err(EstimateError::Setting { name: "budget", value: budget, allowed: "an amount above 0" });
        }
        let all = self.plan(design, with_paid, self.all(design, with_paid));
        if all.cost <= budget {
            return Ok(all);
        }
        Ok(self.search(design, with_paid, |plan| plan.cost <= budget).0)
    }

    /// The plan of a design that judges this share of the traffic by the reference judge.
    ///
    /// # Errors
    /// A situation that cannot be, or a share that is not above 0 and at most 1.
    pub fn at_share(&self, design: Design, share: f64) -> Result<Plan, EstimateError> {
        self.check()?;
        if !(share > 0.0 && share <= 1.0) {
            return Err(EstimateError::Setting { name: "share", value: share, allowed: "a share above 0 and at most 1" });
        }
        let calls = share * self.population;
        let all = self.plan(design, false, self.all(design, false));
        if all.reference_calls <= calls {
            return Ok(all);
        }
        Ok(self.search(design, false, |plan| plan.reference_calls <= calls).0)
    }

    /// The half-widths of a design over `budgets`: the line of a picture.
    ///
    /// # Errors
    /// As of [`Self::for_budget`].
    pub fn sweep(&self, design: Design, with_paid: bool, budgets: &[f64]) -> Result<Vec<Plan>, EstimateError> {
        budgets.iter().map(|&budget| self.for_budget(design, with_paid, budget)).collect()
    }

    fn plan(&self, design: Design, with_paid: bool, scale: f64) -> Plan {
        let bought = self.purchase(design, with_paid, scale);
        let is_paid = with_paid && self.paid.is_some();
        let cheap_price = self.paid.filter(|_| is_paid).map_or(0.0, |paid| paid.price);
        Plan {
            design,
            with_paid: is_paid,
            reference_calls: bought.reference_calls,
            paid_calls: bought.paid_calls,
            cost: bought.reference_calls * self.reference_price + bought.paid_calls * cheap_price,
            half_width: two_sided(self.level) * bought.variance.max(0.0).sqrt(),
            positives: bought.reference_calls * self.rate,
        }
    }

    /// The two neighbours between which `is_below` turns from true to false as more is bought; cost grows and half-width falls with it.
    fn search(&self, design: Design, with_paid: bool, is_below: impl Fn(&Plan) -> bool) -> (Plan, Plan) {
        let most = self.all(design, with_paid);
        let (mut low, mut high) = ((most * SMALLEST).ln(), most.ln());
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            if middle <= low || middle >= high {
                break;
            }
            if is_below(&self.plan(design, with_paid, middle.exp())) { low = middle } else { high = middle }
        }
        (self.plan(design, with_paid, low.exp()), self.plan(design, with_paid, high.exp()))
    }
}
