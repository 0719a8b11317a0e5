//! Numbers as people write them, exact.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// A share in billionths, 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

impl Share {
    /// Everything.
    pub const ALL: Self = Self(1_000_000_000);

    /// The share of this many billionths; `None` above 1.
    pub const fn from_billionths(billionths: u32) -> Option<Self> {
        if billionths <= Self::ALL.0 { Some(Self(billionths)) } else { None }
    }

    /// `part` of `whole`, rounded down; everything where `part` is more, nothing where there is no whole.
    pub fn of_counts(part: u64, whole: u64) -> Self {
        if whole == 0 {
            return Self(0);
        }
        let billionths = u128::from(part.min(whole)) * u128::from(Self::ALL.0) / u128::from(whole);
        Self(u32::try_from(billionths).unwrap_or(Self::ALL.0))
    }

    /// What is left of everything.
    #[must_use]
    pub fn rest(self) -> Self {
        Self(Self::ALL.0 - self.0)
    }

    /// The share of `count`, rounded down.
    pub fn floor(self, count: u64) -> u64 {
        let part = u128::from(count) * u128::from(self.0) / u128::from(Self::ALL.0);
        u64::try_from(part).unwrap_or(count)
    }

    /// The share of `count`, rounded up.
    pub fn ceil(self, count: u64) -> u64 {
        let part = (u128::from(count) * u128::from(self.0)).div_ceil(u128::from(Self::ALL.0));
        u64::try_from(part).unwrap_or(count)
    }

    /// Whether it is nothing.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// As a number, for JSON only.
    pub fn to_f64(self) -> f64 {
        f64::from(self.0) / f64::from(Self::ALL.0)
    }
}

impl FromStr for Share {
    type Err = String;

    /// Reads `0.1` or `10%`.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let read = match text.strip_suffix('%') {
            Some(percent) => decimal(percent.trim_end(), 7),
            None => decimal(text, 9),
        };
        let wrong = |why: &str| format!("{text:?} {why}: use 0 to 1, as 0.1 or 10%");
        let billionths = read.map_err(&wrong)?;
        let share = u32::try_from(billionths).ok().and_then(Self::from_billionths);
        share.ok_or_else(|| wrong("is more than everything"))
    }
}

impl fmt::Display for Share {
    /// Percent with as many digits as it needs: `12.5 %`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PERCENT: u32 = 10_000_000;
        let fraction = format!("{:07}", self.0 % PERCENT);
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        write!(f, "{}{point}{fraction} %", self.0 / PERCENT)
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.to_f64())
    }
}

/// `text` times ten to the power of `digits`: an unsigned decimal number without an exponent, `_` and `,` between its digits aside.
///
/// # Errors
/// What is wrong, to be put after the text.
pub fn decimal(text: &str, digits: u32) -> Result<u128, &'static str> {
    const NO_NUMBER: &str = "is not a number";
    const TOO_LARGE: &str = "is too large";
    if text.starts_with('-') {
        return Err("is negative");
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() || (text.contains('.') && fraction.is_empty()) || !whole.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(NO_NUMBER);
    }
    let mut value: u128 = 0;
    for c in whole.chars().filter(|c| !matches!(c, '_' | ',')) {
        let digit = c.to_digit(10).ok_or(NO_NUMBER)?;
        value = value.checked_mul(10).and_then(|value| value.checked_add(u128::from(digit))).ok_or(TOO_LARGE)?;
    }
    let mut left = digits;
    for c in fraction.chars() {
        let digit = c.to_digit(10).ok_or(NO_NUMBER)?;
        match left.checked_sub(1) {
            Some(fewer) => {
                left = fewer;
                value = value.checked_mul(10).and_then(|value| value.checked_add(u128::from(digit))).ok_or(TOO_LARGE)?;
            }
            None if digit == 0 => {}
            None => return Err("has too many digits behind the point"),
        }
    }
    let scale = 10_u128.checked_pow(left).ok_or(TOO_LARGE)?;
    value.checked_mul(scale).ok_or(TOO_LARGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        for (text, digits, value) in [
            ("10", 0, 10),
            ("1_000_000", 0, 1_000_000),
            ("1,000", 0, 1_000),
            ("0.1", 9, 100_000_000),
            ("0.1000000000", 9, 100_000_000),
            ("2.50", 2, 250),
            ("007", 1, 70),
        ] {
            assert_eq!(decimal(text, digits), Ok(value), "{text}");
        }
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "NaN", "inf", "1.2.3", "0x10", "_1", " 1", "٣"] {
            assert!(decimal(text, 3).is_err(), "{text:?}");
        }
        assert_eq!(decimal("0.12345", 4), Err("has too many digits behind the point"));
        assert_eq!(decimal(&"9".repeat(60), 0), Err("is too large"));
        assert_eq!(decimal("9", 60), Err("is too large"));
    }

    #[test]
    fn shares_read_and_write() {
        for (text, written) in
            [("0.1", "10 %"), ("10%", "10 %"), ("12.5 %", "12.5 %"), ("0", "0 %"), ("1", "100 %"), ("1.0", "100 %")]
        {
            assert_eq!(text.parse::<Share>().unwrap().to_string(), written);
        }
        for text in ["1.1", "101%", "-0.1", "nan", "half", "", "%", "0.0000000001"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
        assert_eq!(Share::of_counts(1, 3).floor(3), 0);
        assert_eq!(Share::of_counts(1, 3).ceil(3), 1);
        assert_eq!(Share::of_counts(5, 0), Share::default());
        assert_eq!(Share::of_counts(9, 3), Share::ALL);
        assert_eq!(Share::ALL.floor(u64::MAX), u64::MAX);
    }
}
