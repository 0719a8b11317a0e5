//! The cost model: what judging traffic for a month costs, and what each lever takes off it. Integers throughout; what is drawn or
//! reused is rounded to whole calls in favour of the dearer way, and money is rounded up to the nano-dollar once per group of like calls.

mod decimal;
mod plan;

pub use decimal::{Share, decimal};
pub use plan::{Cascade, CostError, Lever, Levers, Load, Rates, Step, TOKEN_PARTS, plan};
