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

    /// The amount of a number in dollars as written, exactly: such as `0.25`, `1500` or `2.5e-1`, with at most nine decimals. The error
    /// says what is wrong without naming whose amount it is.
    pub fn parse_usd(text: &str) -> Result<Self, String> {
        let shown: String = text.chars().take(40).collect();
        let not = |why: &str| Err(format!("{shown} {why}"));
        if let Some(rest) = text.strip_prefix('-')
            && rest.starts_with(|first: char| first.is_ascii_digit())
        {
            return not("is negative: use an amount of dollars from 0 on");
        }
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
        let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let sign_free = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if !is_digits(whole) || !is_digits(fraction) || !is_digits(sign_free) {
            return not("is not an amount of dollars: use a number such as 0.25");
        }
        // Beyond these no digit could count; a mantissa of zeros is nothing at any scale.
        let exponent: i64 = exponent.parse().unwrap_or(if exponent.starts_with('-') { -1_000_000 } else { 1_000_000 });
        let digits = format!("{whole}{fraction}");
        let significant = digits.trim_start_matches('0').trim_end_matches('0');
        if significant.is_empty() {
            return Ok(Self::ZERO);
        }
        let trailing = digits.len() - digits.trim_end_matches('0').len();
        // The amount in nano-dollars is `significant` times ten to this power.
        let power = exponent
            .saturating_add(9)
            .saturating_sub(i64::try_from(fraction.len()).unwrap_or(i64::MAX))
            .saturating_add(i64::try_from(trailing).unwrap_or(i64::MAX));
        if power < 0 {
            return not("has more than nine decimals: amounts are whole billionths of a dollar");
        }
        let scale = u32::try_from(power).ok().and_then(|power| 10_u64.checked_pow(power));
        match significant.parse::<u64>().ok().zip(scale).and_then(|(digits, scale)| digits.checked_mul(scale)) {
            Some(nanos) => Ok(Self(nanos)),
            None => not("is more dollars than can be counted: the most is 18446744073.709551615"),
        }
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
    fn dollars_are_read_exactly() {
        for (text, nanos) in [
            ("0", 0),
            ("0.25", 250_000_000),
            ("0.1", 100_000_000),
            ("1500", 1_500_000_000_000),
            ("2.5e-1", 250_000_000),
            ("25E-2", 250_000_000),
            ("1e+3", 1_000_000_000_000),
            ("0.000000001", 1),
            ("0.0000000010000", 1),
            ("123456789.123456789", 123_456_789_123_456_789),
            ("18446744073.709551615", u64::MAX),
            ("0e999999999999999999999", 0),
            ("0.0e-7", 0),
        ] {
            assert_eq!(NanoUsd::parse_usd(text), Ok(NanoUsd(nanos)), "{text}");
        }
        for (text, why) in [
            ("-0.25", "negative"),
            ("-1e300", "negative"),
            ("0.0000000001", "nine decimals"),
            ("1e-10", "nine decimals"),
            ("1e-999999999999999999999", "nine decimals"),
            ("1e300", "can be counted"),
            ("1e999999999999999999999", "can be counted"),
            ("18446744073.709551616", "can be counted"),
            ("99999999999999999999", "can be counted"),
            ("NaN", "not an amount"),
            ("Infinity", "not an amount"),
            ("", "not an amount"),
            ("1.", "not an amount"),
            (".5", "not an amount"),
            ("+1", "not an amount"),
            ("1,5", "not an amount"),
            ("$1", "not an amount"),
            ("1e", "not an amount"),
            ("1e+-3", "not an amount"),
            ("\u{0661}", "not an amount"),
            ("\"0.25\"", "not an amount"),
            ("- 1", "not an amount"),
        ] {
            let error = NanoUsd::parse_usd(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn display_keeps_cents() {
        assert_eq!(NanoUsd(0).to_string(), "$0.00");
        assert_eq!(NanoUsd(57_500_000_000_000).to_string(), "$57500.00");
        assert_eq!(NanoUsd(1).to_string(), "$0.000000001");
    }
}
