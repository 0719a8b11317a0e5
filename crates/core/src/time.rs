//! Instants and hours. The time is always an argument: only [`SystemClock`], which the binary hands out, reads a clock.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The instant of `time`, saturating outside what 64 bits hold.
    pub fn from_system(time: std::time::SystemTime) -> Self {
        match time.duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
            Err(before) => Self(-i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX)),
        }
    }

    /// Parses RFC 3339, such as `2026-11-24T09:30:00Z`.
    pub fn parse(text: &str) -> Result<Self, String> {
        text.parse::<jiff::Timestamp>()
            .map(|t| Self(t.as_millisecond()))
            .map_err(|error| format!("{text:?} is not an RFC 3339 time such as 2026-11-24T09:30:00Z: {error}"))
    }

    /// RFC 3339 in UTC with milliseconds; instants outside the years -9999 to 9999 are clamped.
    pub fn to_rfc3339(self) -> String {
        let instant = jiff::Timestamp::from_millisecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        });
        format!("{instant:.3}")
    }

    /// This instant plus `duration`, saturating.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This instant minus `duration`, saturating.
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The hour that holds this instant.
    pub fn hour(self) -> Hour {
        Hour(self.0.div_euclid(3_600_000))
    }
}

/// Hours since the Unix epoch: the bucket of every rollup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hour(pub i64);

impl Hour {
    /// The first instant of the hour.
    pub fn start(self) -> Timestamp {
        Timestamp(self.0.saturating_mul(3_600_000))
    }
}

/// Where the time comes from. The real one stands at the outermost edge; tests set theirs.
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_system(std::time::SystemTime::now())
    }
}

/// How far before its arrival an interaction's own time is believed.
pub const EVENT_TIME_PAST_MAX: Duration = Duration::from_secs(7 * 86_400);
/// How far after its arrival an interaction's own time is believed.
pub const EVENT_TIME_FUTURE_MAX: Duration = Duration::from_secs(5 * 60);

/// The time to record for an interaction that says it happened at `claimed` and was accepted at `accepted_at`, and whether the claim
/// had to be replaced because it lies outside -7 days and +5 minutes.
pub fn believed(claimed: Option<Timestamp>, accepted_at: Timestamp) -> (Timestamp, bool) {
    match claimed {
        None => (accepted_at, false),
        Some(time) if time >= accepted_at.minus(EVENT_TIME_PAST_MAX) && time <= accepted_at.plus(EVENT_TIME_FUTURE_MAX) => {
            (time, false)
        }
        Some(_) => (accepted_at, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let time = Timestamp::parse("2026-11-24T09:30:00.250+01:00").unwrap();
        assert_eq!(time.to_rfc3339(), "2026-11-24T08:30:00.250Z");
        assert_eq!(time.hour().start().to_rfc3339(), "2026-11-24T08:00:00.000Z");
        assert!(Timestamp::parse("yesterday").is_err());
        assert_eq!(Timestamp(-1).hour(), Hour(-1));
        let _ = Timestamp(i64::MAX).to_rfc3339();
        let _ = Timestamp(i64::MIN).to_rfc3339();
    }

    #[test]
    fn a_clock_far_off_is_not_believed() {
        let now = Timestamp(1_000_000_000_000);
        assert_eq!(believed(None, now), (now, false));
        let edge = now.minus(EVENT_TIME_PAST_MAX);
        assert_eq!(believed(Some(edge), now), (edge, false));
        assert_eq!(believed(Some(Timestamp(edge.0 - 1)), now), (now, true));
        let ahead = now.plus(EVENT_TIME_FUTURE_MAX);
        assert_eq!(believed(Some(ahead), now), (ahead, false));
        assert_eq!(believed(Some(Timestamp(ahead.0 + 1)), now), (now, true));
        assert_eq!(believed(Some(Timestamp(i64::MIN)), now), (now, true));
    }
}
