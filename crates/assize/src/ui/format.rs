//! Numbers, rates with intervals, money, durations and instants, as people read them.

use std::time::Duration;

use assize_core::{NanoUsd, Timestamp};
use maud::{Markup, html};

/// What stands where there is no value.
pub const NONE: &str = "–";
/// Between a number and its unit: narrow, and no line breaks there.
const THIN: char = '\u{202f}';
const MINUS: char = '−';

/// A rate and its interval, all in [0, 1].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// The estimate.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl Rate {
    /// Whether nothing is left to chance: everything was judged.
    pub fn is_exact(&self) -> bool {
        (self.high - self.low).abs() < 1e-12
    }

    /// Whether all three are numbers that can be drawn.
    pub fn is_finite(&self) -> bool {
        self.value.is_finite() && self.low.is_finite() && self.high.is_finite()
    }

    /// Digits after the point of a percentage: as many as the interval supports.
    fn decimals(&self) -> usize {
        if self.is_exact() {
            return 2;
        }
        match (self.high - self.low) * 50.0 {
            half if half >= 10.0 => 0,
            half if half >= 0.5 => 1,
            half if half >= 0.05 => 2,
            _ => 3,
        }
    }

    /// `4.2 %`
    pub fn percent(&self) -> String {
        if self.is_exact() { short_percent(self.value) } else { percent(self.value, self.decimals()) }
    }

    /// `± 0.8` where the interval is symmetric to the digits shown, `+1.1 −0.7` where it is not, `exact` where there is none.
    pub fn margin(&self) -> String {
        if !self.is_finite() {
            return NONE.to_owned();
        }
        if self.is_exact() {
            return "exact".to_owned();
        }
        let digits = self.decimals();
        let points = |share: f64| format!("{:.digits$}", share.max(0.0) * 100.0);
        let (above, below) = (points(self.high - self.value), points(self.value - self.low));
        if above == below { format!("±{THIN}{above}") } else { format!("+{above} {MINUS}{below}") }
    }

    /// `3.4 and 5.0 %`, to go after "between".
    pub fn between(&self) -> String {
        self.range().replace(" – ", " and ")
    }

    /// `3.4 – 5.0 %`
    pub fn range(&self) -> String {
        let digits = self.decimals();
        if !self.is_finite() {
            return NONE.to_owned();
        }
        format!("{} – {}", signed(self.low * 100.0, digits), percent(self.high, digits))
    }
}

fn signed(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    match text.strip_prefix('-') {
        Some(rest) if rest.bytes().all(|b| matches!(b, b'0' | b'.')) => rest.to_owned(),
        Some(rest) => format!("{MINUS}{rest}"),
        None => text,
    }
}

/// `share` in [0, 1] as a percentage with this many digits after the point.
pub fn percent(share: f64, digits: usize) -> String {
    if share.is_finite() { format!("{}{THIN}%", signed(share * 100.0, digits)) } else { NONE.to_owned() }
}

/// `share` in [0, 1] as a percentage with up to two digits after the point and none that say nothing: `4 %`, `16.84 %`.
pub fn short_percent(share: f64) -> String {
    if !share.is_finite() {
        return NONE.to_owned();
    }
    let text = signed(share * 100.0, 2);
    format!("{}{THIN}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// `part` of `whole` as a percentage; small shares never read as nothing, and almost all never as all.
pub fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return NONE.to_owned();
    }
    match part as f64 / whole as f64 {
        s if s > 0.0 && s < 0.001 => format!("<{THIN}0.1{THIN}%"),
        s if s < 1.0 && s > 0.999 => format!(">{THIN}99.9{THIN}%"),
        s if s == 0.0 || s == 1.0 => percent(s, 0),
        s => percent(s, 1),
    }
}

/// `1,234,567`
pub fn count(n: u64) -> String {
    grouped(&n.to_string())
}

/// Digits in groups of three.
fn grouped(digits: &str) -> String {
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// A count and its noun in the right number: `1 call`, `2 calls`.
pub fn counted(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

/// Dollars with the digits that matter: `$57,500`, `$12.34`, `$0.0058`, `$0`. Rounded for reading; exact sums are the API's.
pub fn money(amount: NanoUsd) -> String {
    let usd = amount.to_usd();
    if amount == NanoUsd::ZERO {
        "$0".to_owned()
    } else if usd >= 1_000.0 {
        format!("${}", grouped(&format!("{usd:.0}")))
    } else if usd >= 0.995 {
        format!("${usd:.2}")
    } else {
        // Two significant digits, at least cents.
        let digits = (2 - usd.log10().floor() as i32 - 1).clamp(2, 9) as usize;
        format!("${usd:.digits$}")
    }
}

/// Money where it is known.
pub fn money_or_unknown(amount: Option<NanoUsd>) -> String {
    amount.map_or_else(|| "unknown".to_owned(), money)
}

/// A score in [0, 1] with two digits.
pub fn score(score: f64) -> String {
    if score.is_finite() { signed(score, 2) } else { NONE.to_owned() }
}

/// `420 ms`, `3.1 s`, `12 min`, `5 h`, `3 d`.
pub fn duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    let seconds = duration.as_secs_f64();
    match seconds {
        _ if ms < 1_000 => format!("{ms}{THIN}ms"),
        s if s < 59.95 => format!("{s:.1}{THIN}s"),
        s if s < 3_570.0 => format!("{:.0}{THIN}min", s / 60.0),
        s if s < 36.0 * 3_600.0 => format!("{:.0}{THIN}h", s / 3_600.0),
        s => format!("{:.0}{THIN}d", s / 86_400.0),
    }
}

/// An instant in UTC by a `strftime` pattern.
pub fn utc(at: Timestamp, pattern: &str) -> String {
    let instant =
        jiff::Timestamp::from_millisecond(at.0).unwrap_or(if at.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX });
    instant.strftime(pattern).to_string()
}

/// An instant to the minute, in UTC, exact in its `datetime` and on hovering: `24 Nov, 09:30`, with the year if it is not
/// `now`'s.
pub fn instant(at: Timestamp, now: Timestamp) -> Markup {
    let pattern = if utc(at, "%Y") == utc(now, "%Y") { "%-d %b, %H:%M" } else { "%-d %b %Y, %H:%M" };
    let exact = at.to_rfc3339();
    html! { time datetime=(exact) title=(exact) { (utc(at, pattern)) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(value: f64, low: f64, high: f64) -> Rate {
        Rate { value, low, high }
    }

    #[test]
    fn a_rate_has_as_many_digits_as_its_interval_supports() {
        let r = rate(0.042, 0.034, 0.05);
        assert_eq!((r.percent().as_str(), r.margin().as_str()), ("4.2\u{202f}%", "±\u{202f}0.8"));
        assert_eq!(r.range(), "3.4 – 5.0\u{202f}%");
        let r = rate(0.42, 0.3, 0.56);
        assert_eq!((r.percent().as_str(), r.margin().as_str()), ("42\u{202f}%", "+14 −12"));
        let r = rate(0.00123, 0.0011, 0.0014);
        assert_eq!((r.percent().as_str(), r.margin().as_str()), ("0.123\u{202f}%", "+0.017 −0.013"));
        let r = rate(0.1684, 0.1684, 0.1684);
        assert_eq!((r.percent().as_str(), r.margin().as_str()), ("16.84\u{202f}%", "exact"));
        assert_eq!(rate(0.0, 0.0, 0.0).percent(), "0\u{202f}%");
        assert_eq!(rate(f64::NAN, 0.0, f64::NAN).margin(), NONE);
        assert_eq!(rate(f64::NAN, 0.0, f64::NAN).range(), NONE);
        assert_eq!(percent(-0.0001, 1), "0.0\u{202f}%");
        assert_eq!(percent(-0.012, 1), "−1.2\u{202f}%");
    }

    #[test]
    fn shares_never_round_to_nothing_or_all() {
        assert_eq!(share(1, 1_000_000), "<\u{202f}0.1\u{202f}%");
        assert_eq!(share(999_999, 1_000_000), ">\u{202f}99.9\u{202f}%");
        assert_eq!(share(0, 5), "0\u{202f}%");
        assert_eq!(share(5, 5), "100\u{202f}%");
        assert_eq!(share(0, 0), NONE);
    }

    #[test]
    fn numbers_are_grouped() {
        for (n, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(n), text);
        }
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!((counted(1, "call"), counted(2, "call")), ("1 call".into(), "2 calls".into()));
    }

    #[test]
    fn money_keeps_the_digits_that_matter() {
        for (nano, text) in [
            (0, "$0"),
            (1, "$0.000000001"),
            (5_750_000, "$0.0057"),
            (50_000_000, "$0.050"),
            (999_000_000, "$1.00"),
            (12_340_000_000, "$12.34"),
            (57_500_000_000_000, "$57,500"),
        ] {
            assert_eq!(money(NanoUsd(nano)), text, "{nano}");
        }
        assert_eq!(money_or_unknown(None), "unknown");
        assert!(money(NanoUsd(u64::MAX)).starts_with("$18,446,744,07"));
    }

    #[test]
    fn durations_and_instants() {
        for (ms, text) in [(0, "0ms"), (999, "999ms"), (3_100, "3.1s"), (59_990, "1min"), (720_000, "12min"), (18_000_000, "5h")]
        {
            assert_eq!(duration(Duration::from_millis(ms)).replace(THIN, ""), text);
        }
        assert!(!duration(Duration::MAX).is_empty());
        let at = Timestamp::parse("2026-11-24T09:30:00Z").unwrap();
        assert!(instant(at, at).into_string().contains(">24 Nov, 09:30<"));
        assert!(instant(at, Timestamp(0)).into_string().contains(">24 Nov 2026, 09:30<"));
        let _ = instant(Timestamp(i64::MAX), Timestamp(i64::MIN));
    }
}
