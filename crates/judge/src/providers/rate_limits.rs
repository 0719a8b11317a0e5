//! What a provider says about its limits, and how long it asks to wait, from the headers of its answer.

use std::time::Duration;

use assize_core::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::HeaderMap;

/// A provider that asks for more is asked again after this much.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);
/// No time to wait is as long as this; a date of our days, in seconds, is longer.
const SINCE_1970: Duration = Duration::from_secs(1_000_000_000);

/// What the headers say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) retry_after: Option<Duration>,
    /// No request or no token is left until then.
    pub(crate) headroom_gone: bool,
}

/// What an answer says about one limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Left {
    pub(super) unit: Unit,
    pub(super) limit: Option<f64>,
    pub(super) remaining: f64,
    /// Until the limit is full again.
    pub(super) reset: Option<Duration>,
}

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Requests,
    /// Of input and output together.
    Tokens,
    InputTokens,
    OutputTokens,
}

/// The headers of one limit.
struct Names {
    unit: Unit,
    limit: &'static str,
    remaining: &'static str,
    reset: &'static str,
}

macro_rules! names {
    ($unit:ident, $prefix:literal, $suffix:literal) => {
        Names {
            unit: Unit::$unit,
            limit: concat!($prefix, "limit-", $suffix),
            remaining: concat!($prefix, "remaining-", $suffix),
            reset: concat!($prefix, "reset-", $suffix),
        }
    };
    ($unit:ident, $prefix:literal) => {
        Names {
            unit: Unit::$unit,
            limit: concat!($prefix, "-limit"),
            remaining: concat!($prefix, "-remaining"),
            reset: concat!($prefix, "-reset"),
        }
    };
}

/// OpenAI's and those of hosts like it (<https://platform.openai.com/docs/guides/rate-limits>), then Anthropic's
/// (<https://docs.anthropic.com/en/api/rate-limits>).
const LIMITS: [Names; 6] = [
    names!(Requests, "x-ratelimit-", "requests"),
    names!(Tokens, "x-ratelimit-", "tokens"),
    names!(Requests, "anthropic-ratelimit-requests"),
    names!(Tokens, "anthropic-ratelimit-tokens"),
    names!(InputTokens, "anthropic-ratelimit-input-tokens"),
    names!(OutputTokens, "anthropic-ratelimit-output-tokens"),
];

/// Reads `retry-after-ms` and `retry-after` (seconds, or an HTTP date relative to `now`), and when the limits that are used up are full
/// again. A plain request to wait goes before that.
pub(crate) fn wait(headers: &HeaderMap, now: Timestamp) -> Wait {
    let mut headroom_gone = false;
    let mut reset = None;
    for left in left(headers, now).filter(|left| left.remaining <= 0.0) {
        headroom_gone = true;
        reset = reset.max(left.reset);
    }
    Wait { retry_after: asked(headers, now).or(reset).map(|wait| wait.min(WAIT_MAX)), headroom_gone }
}

/// How long the provider asks us to wait, in so many words.
pub(super) fn asked(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let asked = text(headers, "retry-after-ms").and_then(|ms| scaled(ms, 1e-3));
    asked
        .or_else(|| text(headers, "retry-after").and_then(|after| scaled(after, 1.0).or_else(|| until(after, now))))
        .map(|wait| wait.min(WAIT_MAX))
}

/// What the headers say is left of each limit that they name; times are relative to `now`.
pub(super) fn left(headers: &HeaderMap, now: Timestamp) -> impl Iterator<Item = Left> {
    let number = |name| text(headers, name).and_then(|number| number.parse::<f64>().ok()).filter(|number| number.is_finite());
    LIMITS.iter().filter_map(move |names| {
        Some(Left {
            unit: names.unit,
            remaining: number(names.remaining)?,
            limit: number(names.limit),
            reset: text(headers, names.reset).and_then(|reset| resets(reset, now)).map(|wait| wait.min(WAIT_MAX)),
        })
    })
}

/// A wait that the body of an answer asks for, written like `34.07s`.
pub(super) fn asked_for(text: &str) -> Option<Duration> {
    duration(text.trim()).map(|wait| wait.min(WAIT_MAX))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}

/// A time from now (`6m0s`), RFC 3339 as Anthropic writes it, or seconds since 1970 as some gateways do.
fn resets(text: &str, now: Timestamp) -> Option<Duration> {
    match duration(text) {
        Some(since_1970) if since_1970 >= SINCE_1970 => {
            let millis = i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX);
            // Some write milliseconds.
            Some(Timestamp(if since_1970 >= SINCE_1970 * 1_000 { millis / 1_000 } else { millis }).since(now))
        }
        Some(wait) => Some(wait),
        None => Timestamp::parse(text).ok().map(|at| at.since(now)),
    }
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
    fn what_is_left_by_every_kind_of_header() {
        let left_by = |pairs: &[(&str, &str)]| -> Vec<Left> {
            let headers: HeaderMap = pairs
                .iter()
                .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
                .collect();
            left(&headers, Timestamp::parse("2026-11-24T09:30:00Z").unwrap()).collect()
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let openai = [
            ("x-ratelimit-limit-requests", "10000"),
            ("x-ratelimit-remaining-requests", "9999"),
            ("x-ratelimit-reset-requests", "6ms"),
            ("x-ratelimit-remaining-tokens", "12"),
            ("x-ratelimit-reset-tokens", "1m0s"),
        ];
        let requests =
            Left { unit: Unit::Requests, limit: Some(10_000.0), remaining: 9_999.0, reset: Some(Duration::from_millis(6)) };
        let tokens = Left { unit: Unit::Tokens, limit: None, remaining: 12.0, reset: seconds(60) };
        assert_eq!(left_by(&openai), [requests, tokens]);
        let anthropic = [
            ("anthropic-ratelimit-requests-limit", "50"),
            ("anthropic-ratelimit-requests-remaining", "49"),
            ("anthropic-ratelimit-requests-reset", "2026-11-24T09:30:02Z"),
            ("anthropic-ratelimit-output-tokens-remaining", "0"),
            ("anthropic-ratelimit-output-tokens-reset", "2026-11-24T09:29:00Z"),
        ];
        let requests = Left { unit: Unit::Requests, limit: Some(50.0), remaining: 49.0, reset: seconds(2) };
        let output = Left { unit: Unit::OutputTokens, limit: None, remaining: 0.0, reset: seconds(0) };
        assert_eq!(left_by(&anthropic), [requests, output]);
        assert_eq!(of(&anthropic), (Some(0), true));
        let now = Timestamp::parse("2026-11-24T09:30:00Z").unwrap().0 / 1_000;
        for (reset, wait) in [(format!("{}", now + 30), 30), (format!("{}", (now + 30) * 1_000), 30), ("soon".to_owned(), 0)] {
            let left = left_by(&[("x-ratelimit-remaining-requests", "1"), ("x-ratelimit-reset-requests", &reset)]);
            assert_eq!(left[0].reset, seconds(wait).filter(|wait| !wait.is_zero()), "{reset}");
        }
        for nonsense in ["", "many", "NaN", "inf"] {
            assert_eq!(left_by(&[("x-ratelimit-remaining-requests", nonsense)]), [], "{nonsense}");
        }
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
            let _ = resets(&text, Timestamp(0));
            let _ = resets(&number, Timestamp(i64::MAX));
        }
    }
}
