//! How long a provider asks to wait, from the headers of its answer.

use std::time::Duration;

use assize_core::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::HeaderMap;

/// A provider that asks for more is asked again after this much.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);

/// What the headers say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) retry_after: Option<Duration>,
    /// No request or no token is left until then.
    pub(super) headroom_gone: bool,
}

/// Reads `retry-after-ms` and `retry-after` (seconds, or an HTTP date relative to `now`); OpenAI's `x-ratelimit-remaining-*` and
/// `x-ratelimit-reset-*` (a duration); and Anthropic's `anthropic-ratelimit-*-remaining` and `anthropic-ratelimit-*-reset` (an RFC 3339
/// time); both for requests and tokens. A plain request to wait goes before the time at which a limit is full again.
pub(super) fn wait(headers: &HeaderMap, now: Timestamp) -> Wait {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let asked = text("retry-after-ms")
        .and_then(|ms| scaled(ms, 1e-3))
        .or_else(|| text("retry-after").and_then(|after| scaled(after, 1.0).or_else(|| until(after, now))));
    let mut headroom_gone = false;
    let mut reset = None;
    let mut limit = |left: &str, full: &str, until_full: &dyn Fn(&str) -> Option<Duration>| {
        if text(left).and_then(|left| left.parse::<f64>().ok()).is_some_and(|left| left <= 0.0) {
            headroom_gone = true;
            reset = reset.max(text(full).and_then(until_full));
        }
    };
    for unit in ["requests", "tokens"] {
        limit(&format!("x-ratelimit-remaining-{unit}"), &format!("x-ratelimit-reset-{unit}"), &duration);
    }
    for unit in ["requests", "tokens", "input-tokens", "output-tokens"] {
        let until_full = |time: &str| Timestamp::parse(time).ok().map(|time| time.since(now));
        limit(&format!("anthropic-ratelimit-{unit}-remaining"), &format!("anthropic-ratelimit-{unit}-reset"), &until_full);
    }
    Wait { retry_after: asked.or(reset).map(|wait| wait.min(WAIT_MAX)), headroom_gone }
}

/// A wait that the body of an answer asks for, written like `34.07s`.
pub(super) fn asked_for(text: &str) -> Option<Duration> {
    duration(text.trim()).map(|wait| wait.min(WAIT_MAX))
}

fn scaled(number: &str, unit_seconds: f64) -> Option<Duration> {
    let seconds = number.parse::<f64>().ok()? * unit_seconds;
    // Not a number fails the comparison too.
    if seconds >= 0.0 { Some(Duration::try_from_secs_f64(seconds).unwrap_or(WAIT_MAX)) } else { None }
}

fn until(date: &str, now: Timestamp) -> Option<Duration> {
    static PARSER: DateTimeParser = DateTimeParser::new();
    let date = PARSER.parse_timestamp(date).ok()?;
    Some(Timestamp(date.as_millisecond()).since(now))
}

/// A duration as OpenAI and Groq write it: `1s`, `6m0s`, `20ms`, `2m59.56s`; a bare number is seconds.
fn duration(text: &str) -> Option<Duration> {
    if let Some(seconds) = scaled(text, 1.0) {
        return Some(seconds);
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        let unit_seconds = match unit {
            "d" => 86_400.0,
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            _ => return None,
        };
        total = total.saturating_add(scaled(number, unit_seconds)?);
        rest = after;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn of(pairs: &[(&str, &str)]) -> (Option<u64>, bool) {
        let headers = pairs
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect();
        let wait = wait(&headers, Timestamp::parse("2026-11-24T09:30:00Z").unwrap());
        (wait.retry_after.map(|wait| wait.as_millis() as u64), wait.headroom_gone)
    }

    #[test]
    fn every_way_to_ask_for_a_wait() {
        assert_eq!(of(&[]), (None, false));
        assert_eq!(of(&[("retry-after", "20")]), (Some(20_000), false));
        assert_eq!(of(&[("retry-after", "0.5")]), (Some(500), false));
        assert_eq!(of(&[("retry-after", "Tue, 24 Nov 2026 09:30:07 GMT")]), (Some(7_000), false));
        assert_eq!(of(&[("retry-after", "Tue, 24 Nov 2026 09:29:07 GMT")]), (Some(0), false));
        assert_eq!(of(&[("retry-after-ms", "120"), ("retry-after", "1")]), (Some(120), false));
        for nonsense in ["soon", "-1", "NaN", ""] {
            assert_eq!(of(&[("retry-after", nonsense)]), (None, false), "{nonsense}");
        }
        assert_eq!(of(&[("retry-after", "1e300")]), (Some(86_400_000), false));
        assert_eq!(of(&[("retry-after", "inf")]), (Some(86_400_000), false));
    }

    #[test]
    fn no_headroom_left() {
        let requests = ("x-ratelimit-remaining-requests", "0");
        assert_eq!(of(&[requests]), (None, true));
        assert_eq!(of(&[requests, ("x-ratelimit-reset-requests", "6m0s")]), (Some(360_000), true));
        assert_eq!(of(&[requests, ("x-ratelimit-reset-requests", "6m0s"), ("retry-after", "2")]), (Some(2_000), true));
        assert_eq!(of(&[("x-ratelimit-remaining-requests", "7"), ("x-ratelimit-reset-requests", "1s")]), (None, false));
        let both = [
            requests,
            ("x-ratelimit-reset-requests", "20ms"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "2m59.56s"),
        ];
        assert_eq!(of(&both), (Some(179_560), true));
    }

    #[test]
    fn anthropic_says_when_a_limit_is_full_again() {
        let left = ("anthropic-ratelimit-input-tokens-remaining", "0");
        let reset = ("anthropic-ratelimit-input-tokens-reset", "2026-11-24T09:30:42Z");
        assert_eq!(of(&[left, reset]), (Some(42_000), true));
        assert_eq!(of(&[left, reset, ("retry-after", "8")]), (Some(8_000), true));
        assert_eq!(of(&[left, ("anthropic-ratelimit-input-tokens-reset", "soon")]), (None, true));
        assert_eq!(of(&[left, ("anthropic-ratelimit-input-tokens-reset", "2026-11-24T09:29:42Z")]), (Some(0), true));
        assert_eq!(of(&[("anthropic-ratelimit-requests-remaining", "7"), reset]), (None, false));
        assert_eq!(asked_for("34.5s"), Some(Duration::from_millis(34_500)));
        assert_eq!(asked_for("1e9s"), None);
        assert_eq!(asked_for("9999999s"), Some(WAIT_MAX));
    }

    #[test]
    fn durations() {
        for (text, ms) in [("1s", 1000), ("1h2m3s", 3_723_000), ("17", 17_000), ("1d", 86_400_000), ("", 0)] {
            assert_eq!(duration(text).map(|wait| wait.as_millis()), Some(ms), "{text}");
        }
        for text in ["s", "1x", "1.2.3s", "h1", "1sé2", "-1s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_fail(text in any::<String>(), number in "[0-9.eE+-]{0,12}[a-zµ]{0,3}") {
            let _ = duration(&text);
            let _ = duration(&number);
            let _ = until(&text, Timestamp(0));
        }
    }
}
