//! Amounts as people write them on a command line: `10M` requests, `812.5` tokens, `2000` dollars.

use assize_core::NanoUsd;
use assize_core::cost::{Share, TOKEN_PARTS, decimal};

/// Requests of a month, at the most.
const REQUESTS_MAX: u128 = 1_000_000_000_000_000;
/// Tokens of one evaluation, at the most.
const TOKENS_MAX: u128 = 100_000_000;
/// Dollars a month, at the most.
const USD_MAX: u128 = 1_000_000_000;

/// A whole number with `k`, `M` or `B` for thousands, millions and thousand millions.
pub fn count(text: &str) -> Result<u64, String> {
    let wrong = |why: &str| format!("{text:?} {why}: use a whole number, such as 250000, 2.5M or 1B");
    let (number, digits) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&text[..at], 3),
        Some((at, 'm' | 'M')) => (&text[..at], 6),
        Some((at, 'b' | 'B')) => (&text[..at], 9),
        _ => (text, 0),
    };
    let value = decimal(number, digits).map_err(wrong)?;
    if value > REQUESTS_MAX {
        return Err(wrong("is too large"));
    }
    u64::try_from(value).map_err(|_| wrong("is too large"))
}

/// Tokens, with up to three digits behind the point, in parts of [`TOKEN_PARTS`].
pub fn tokens(text: &str) -> Result<u64, String> {
    let wrong = |why: &str| format!("{text:?} {why}: use the tokens of one evaluation, such as 1000 or 812.5");
    let parts = decimal(text, 3).map_err(wrong)?;
    if parts > TOKENS_MAX * u128::from(TOKEN_PARTS) {
        return Err(wrong("is too large"));
    }
    u64::try_from(parts).map_err(|_| wrong("is too large"))
}

/// Dollars.
pub fn usd(text: &str) -> Result<NanoUsd, String> {
    let number = text.strip_prefix('$').unwrap_or(text);
    let wrong = |why: &str| format!("{text:?} {why}: use US dollars a month, such as 2000 or 1899.50");
    let nano = decimal(number, 9).map_err(wrong)?;
    if nano > USD_MAX * 1_000_000_000 {
        return Err(wrong("is too large"));
    }
    u64::try_from(nano).map(NanoUsd).map_err(|_| wrong("is too large"))
}

/// A share above nothing.
pub fn share(text: &str) -> Result<Share, String> {
    text.parse()
}

/// `$57,500.00`: to the nearest cent.
pub fn cents(amount: NanoUsd) -> String {
    const CENT: u64 = 10_000_000;
    let cents = amount.0 / CENT + u64::from(amount.0 % CENT >= CENT / 2);
    format!("${}.{:02}", crate::cli::eval::summary::thousands(cents / 100), cents % 100)
}

/// The tokens of so many parts: `812.5`.
pub fn tokens_text(parts: u64) -> String {
    let fraction = format!("{:03}", parts % TOKEN_PARTS);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{}{point}{fraction}", crate::cli::eval::summary::thousands(parts / TOKEN_PARTS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_exactly() {
        for (text, value) in [("10M", 10_000_000), ("2.5k", 2_500), ("1B", 1_000_000_000), ("10_000,000", 10_000_000), ("0", 0)] {
            assert_eq!(count(text), Ok(value), "{text}");
        }
        for text in ["", "M", "-1", "1.5", "1.2345k", "ten", "1e7", "10MM", "2000000000000000", "NaN", "9é", "é"] {
            assert!(count(text).is_err(), "{text:?}");
        }
        assert_eq!(tokens("812.5"), Ok(812_500));
        assert!(tokens("0.0001").is_err() && tokens("1e9").is_err() && tokens("100000001").is_err());
        assert_eq!(usd("$1899.50"), Ok(NanoUsd(1_899_500_000_000)));
        assert!(usd("-1").is_err() && usd("1000000001").is_err() && usd("free").is_err());
    }

    #[test]
    fn money_is_printed_to_the_nearest_cent() {
        assert_eq!(cents(NanoUsd(57_500_000_000_000)), "$57,500.00");
        assert_eq!(cents(NanoUsd(4_999_999)), "$0.00");
        assert_eq!(cents(NanoUsd(5_000_000)), "$0.01");
        assert_eq!(cents(NanoUsd(u64::MAX)), "$18,446,744,073.71");
        assert_eq!((tokens_text(812_500), tokens_text(1_000_000)), ("812.5".to_owned(), "1,000".to_owned()));
    }
}
