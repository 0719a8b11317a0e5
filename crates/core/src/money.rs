//! Money: integers of nano-dollars, rounded up, sums exact.
#![deny(clippy::float_arithmetic)]

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::TokenUsage;

/// Billionths of a US dollar. Sums saturate, so that an overflow can only ever look too expensive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NanoUsd(pub u64);

impl NanoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The sum, saturating.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The amount as `n` parts that differ by one nano-dollar at the most and add up to it exactly.
    pub fn split(self, n: usize) -> Vec<Self> {
        (0..n as u64).map(|at| Self(crate::interaction::share(self.0, at, n as u64))).collect()
    }

    /// The amount in dollars, for display and JSON only.
    #[allow(clippy::float_arithmetic)]
    pub fn to_usd(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl fmt::Display for NanoUsd {
    /// Dollars with as many digits as the amount needs, at least two, at most nine: `$0.00575`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:09}", self.0 % 1_000_000_000);
        let digits = fraction.trim_end_matches('0').len().max(2);
        write!(f, "${}.{}", self.0 / 1_000_000_000, &fraction[..digits])
    }
}

/// What a model charges, in nano-dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Input tokens that were neither read from the prompt cache nor written to it.
    pub input: NanoUsd,
    /// Input tokens that were read from it.
    pub cached_input: NanoUsd,
    /// Input tokens that were written to it.
    pub cache_write: NanoUsd,
    /// Output tokens.
    pub output: NanoUsd,
}

impl Price {
    /// Half of it, rounded up: what batches cost where nobody says otherwise.
    #[must_use]
    pub fn halved(self) -> Self {
        let half = |price: NanoUsd| NanoUsd(price.0.div_ceil(2));
        Self {
            input: half(self.input),
            cached_input: half(self.cached_input),
            cache_write: half(self.cache_write),
            output: half(self.output),
        }
    }

    /// What `usage` costs: exact, then rounded up to the next nano-dollar once.
    pub fn cost(&self, usage: &TokenUsage) -> NanoUsd {
        let cached = usage.cached_input.min(usage.input);
        let written = usage.cache_write.min(usage.input - cached);
        let part = |tokens: u64, price: NanoUsd| u128::from(tokens) * u128::from(price.0);
        let total = part(usage.input - cached - written, self.input)
            .saturating_add(part(cached, self.cached_input))
            .saturating_add(part(written, self.cache_write))
            .saturating_add(part(usage.output, self.output));
        NanoUsd(u64::try_from(total.div_ceil(1_000_000)).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GPT_4O: Price = Price {
        input: NanoUsd(5_000_000_000),
        cached_input: NanoUsd(5_000_000_000),
        cache_write: NanoUsd(5_000_000_000),
        output: NanoUsd(15_000_000_000),
    };

    #[test]
    fn written_tokens_have_their_own_price_and_parts_add_up() {
        let price = Price {
            input: NanoUsd(3_000_000),
            cached_input: NanoUsd(300_000),
            cache_write: NanoUsd(3_750_000),
            output: NanoUsd(0),
        };
        let usage = TokenUsage { input: 100, output: 7, cached_input: 40, cache_write: 50 };
        assert_eq!(price.cost(&usage), NanoUsd(10 * 3 + 4 * 3 + 188));
        for n in 1..9 {
            assert_eq!(NanoUsd(1_000_003).split(n).into_iter().fold(NanoUsd::ZERO, NanoUsd::plus), NanoUsd(1_000_003));
            let parts = usage.split(n);
            assert_eq!(parts.len(), n);
            assert_eq!(parts.iter().map(|part| part.input).sum::<u64>(), 100);
            assert_eq!(parts.iter().map(|part| part.output).sum::<u64>(), 7);
        }
    }

    #[test]
    fn the_specification_evaluation_costs_0_575_cents() {
        let cost = GPT_4O.cost(&TokenUsage { input: 1000, output: 50, cached_input: 0, ..TokenUsage::default() });
        assert_eq!(cost, NanoUsd(5_750_000));
        assert_eq!(cost.to_string(), "$0.00575");
    }

    #[test]
    fn a_fraction_rounds_up_once() {
        let price = Price { input: NanoUsd(1), cached_input: NanoUsd(1), cache_write: NanoUsd(1), output: NanoUsd(1) };
        assert_eq!(price.cost(&TokenUsage { input: 1, output: 1, cached_input: 1, ..TokenUsage::default() }), NanoUsd(1));
        assert_eq!(price.cost(&TokenUsage::default()), NanoUsd(0));
    }

    #[test]
    fn absurd_amounts_saturate() {
        let price =
            Price { input: NanoUsd(u64::MAX), cached_input: NanoUsd(0), cache_write: NanoUsd(0), output: NanoUsd(u64::MAX) };
        assert_eq!(
            price.cost(&TokenUsage { input: u64::MAX, output: u64::MAX, cached_input: u64::MAX, ..TokenUsage::default() }),
            NanoUsd(u64::MAX)
        );
        assert_eq!(NanoUsd(u64::MAX).plus(NanoUsd(1)), NanoUsd(u64::MAX));
    }

    #[test]
    fn display_keeps_cents() {
        assert_eq!(NanoUsd(0).to_string(), "$0.00");
        assert_eq!(NanoUsd(57_500_000_000_000).to_string(), "$57500.00");
        assert_eq!(NanoUsd(1).to_string(), "$0.000000001");
    }
}
