//! Budgets: how much may be spent in a day and in a month, and which days those are.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{NanoUsd, Timestamp};

/// A day of some calendar, as days since 1 January 1970. Whose time zone it is in is said where it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Day(pub i32);

/// A month of some calendar, as months since January 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Month(pub i32);

const EPOCH: jiff::civil::Date = jiff::civil::date(1970, 1, 1);

impl Day {
    /// The day as a date; days beyond the calendar of -9999 to 9999 are clamped.
    pub fn date(self) -> jiff::civil::Date {
        let span = jiff::Span::new().try_days(self.0);
        let clamped = if self.0 < 0 { jiff::civil::Date::MIN } else { jiff::civil::Date::MAX };
        span.ok().and_then(|span| EPOCH.checked_add(span).ok()).unwrap_or(clamped)
    }

    /// The day of `date`.
    pub fn of(date: jiff::civil::Date) -> Self {
        Self(date.since(EPOCH).map_or(0, |span| span.get_days()))
    }

    /// The month that holds it.
    pub fn month(self) -> Month {
        let date = self.date();
        Month((i32::from(date.year()) - 1970) * 12 + i32::from(date.month()) - 1)
    }
}

impl Month {
    /// Its first day.
    pub fn first(self) -> Day {
        let (year, month) = (1970 + self.0.div_euclid(12), self.0.rem_euclid(12) + 1);
        let year = i16::try_from(year).unwrap_or(if year < 0 { -9999 } else { 9999 });
        let month = i8::try_from(month).unwrap_or(1);
        Day::of(jiff::civil::Date::new(year, month, 1).unwrap_or(EPOCH))
    }
}

impl fmt::Display for Day {
    /// Such as `2026-11-24`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.date().fmt(f)
    }
}

impl fmt::Display for Month {
    /// Such as `2026-11`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = self.first().date();
        write!(f, "{:04}-{:02}", date.year(), date.month())
    }
}

/// A time zone by its IANA name, such as `Europe/Berlin`; `UTC` unless somebody says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(jiff::tz::TimeZone);

impl Default for Zone {
    fn default() -> Self {
        Self(jiff::tz::TimeZone::UTC)
    }
}

impl Zone {
    /// The day that `at` lies in there.
    pub fn day(&self, at: Timestamp) -> Day {
        Day::of(self.0.to_datetime(instant(at)).date())
    }

    /// The first instant of `day` there: midnight, or the moment after it where the clock jumps over midnight.
    pub fn start(&self, day: Day) -> Timestamp {
        let start = self.0.to_timestamp(day.date().to_datetime(jiff::civil::Time::midnight()));
        Timestamp(start.map_or(i64::from(day.0).saturating_mul(86_400_000), |start| start.as_millisecond()))
    }

    /// The share, in [0, 1], of its day that is over at `at`. A day of a change of clocks is as long as it is.
    pub fn elapsed(&self, at: Timestamp) -> f64 {
        let day = self.day(at);
        let (start, end) = (self.start(day), self.start(Day(day.0.saturating_add(1))));
        let length = (end.0.saturating_sub(start.0)).max(1) as f64;
        (at.0.saturating_sub(start.0) as f64 / length).clamp(0.0, 1.0)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }
}

fn instant(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(at.0).unwrap_or(if at.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX })
}

impl TryFrom<String> for Zone {
    type Error = String;
    fn try_from(name: String) -> Result<Self, String> {
        // `Etc/Unknown` and offsets have no days that a person would agree to by name.
        match jiff::tz::TimeZone::get(&name) {
            Ok(zone) if zone.iana_name().is_some_and(|known| known != "Etc/Unknown") => Ok(Self(zone)),
            Ok(_) | Err(_) => {
                let shown: String = name.chars().take(60).collect();
                Err(format!("{shown:?} is not a time zone: use an IANA name such as Europe/Berlin, or UTC"))
            }
        }
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> String {
        zone.name().to_owned()
    }
}

/// The most that may be spent; `None` where there is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// In one day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day_max: Option<NanoUsd>,
    /// In one month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub month_max: Option<NanoUsd>,
}

impl Budget {
    /// Whether nothing is limited.
    pub fn is_unlimited(&self) -> bool {
        self.day_max.is_none() && self.month_max.is_none()
    }
}

/// Shares of a budget that are worth a word when they are passed, in percent.
pub const THRESHOLDS: [u8; 3] = [50, 80, 95];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn zone(name: &str) -> Zone {
        Zone::try_from(name.to_owned()).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn a_day_is_the_tenants_own() {
        let late = at("2026-11-24T23:30:00Z");
        assert_eq!(Zone::default().day(late).to_string(), "2026-11-24");
        assert_eq!(zone("Europe/Berlin").day(late).to_string(), "2026-11-25");
        assert_eq!(zone("America/New_York").day(late).to_string(), "2026-11-24");
        assert_eq!(zone("Europe/Berlin").start(Day::of(jiff::civil::date(2026, 11, 25))), at("2026-11-24T23:00:00Z"));
        assert_eq!(zone("Europe/Berlin").day(late).month().to_string(), "2026-11");
    }

    #[test]
    fn days_of_a_change_of_clocks_are_as_long_as_they_are() {
        let berlin = zone("Europe/Berlin");
        assert!((berlin.elapsed(at("2026-10-25T22:59:00Z")) - 1.0).abs() < 0.001, "25 hours");
        assert!((berlin.elapsed(at("2026-10-25T10:30:00Z")) - 0.5).abs() < 1e-9);
        assert_eq!(berlin.elapsed(at("2026-03-28T23:00:00Z")), 0.0);
    }

    #[test]
    fn unknown_zones_are_refused() {
        for bad in ["", "Mars/Olympus", "Etc/Unknown", "+02:00", "../../etc/passwd", &"x".repeat(10_000)] {
            assert!(Zone::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
        assert_eq!(String::from(zone("UTC")), "UTC");
    }

    proptest! {
        #[test]
        fn days_and_months_hold_their_instants(ms in -60_000_000_000_000_i64..200_000_000_000_000) {
            for zone in [Zone::default(), zone("Asia/Kathmandu"), zone("America/Sao_Paulo")] {
                let day = zone.day(Timestamp(ms));
                prop_assert!(zone.start(day).0 <= ms && ms < zone.start(Day(day.0 + 1)).0);
                prop_assert!(day.month().first() <= day && Month(day.month().0 + 1).first() > day);
                prop_assert_eq!(Day::of(day.date()), day);
            }
        }

        #[test]
        fn no_day_is_beyond_words(day in proptest::num::i32::ANY, ms in proptest::num::i64::ANY) {
            let _ = (Day(day).to_string(), Day(day).month().to_string(), Month(day).to_string());
            let _ = (Zone::default().elapsed(Timestamp(ms)), Zone::default().start(Day(day)));
        }
    }
}
