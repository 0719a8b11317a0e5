//! What can be laid down for a tenant, as options of a command, and as the body that asks for it.

use std::str::FromStr;
use std::time::Duration;

use assize_core::{Clock as _, NanoUsd, SystemClock};
use clap::Args;
use serde_json::{Map, Value, json};

/// A value, or `none` to take it away.
#[derive(Debug, Clone, PartialEq)]
pub struct OrNone<T>(pub Option<T>);

impl<T: FromStr<Err: std::fmt::Display>> FromStr for OrNone<T> {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self(None)),
            text => text.parse().map(|value| Self(Some(value))).map_err(|error: T::Err| format!("{error} (or none)")),
        }
    }
}

/// Dollars, as the number that is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Dollars(Value);

impl FromStr for Dollars {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let exact = NanoUsd::parse_usd(text)?;
        let number: Value = serde_json::from_str(text).map_err(|_| format!("{text} is not a number such as 0.25"))?;
        // What is sent has to be what was meant.
        if NanoUsd::parse_usd(&number.to_string()) != Ok(exact) {
            return Err(format!("{text} has more digits than can be sent: use 15 at the most"));
        }
        Ok(Self(number))
    }
}

/// How long something holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lasting(Duration);

impl Lasting {
    /// The end, from now on.
    pub fn until(self) -> String {
        SystemClock.now().plus(self.0).to_rfc3339()
    }
}

impl FromStr for Lasting {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a length of time: use a whole number with s, m, h or d, such as 24h");
        let at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = text.split_at_checked(at).ok_or_else(wrong)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return Err(wrong()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        match number.checked_mul(seconds) {
            // A century is for good.
            Some(seconds @ 1..=3_155_760_000) => Ok(Self(Duration::from_secs(seconds))),
            _ => Err(format!("{text} is not a time to wait for: use 1s to 36525d")),
        }
    }
}

/// The most that may be spent.
#[derive(Debug, Args)]
pub struct Amounts {
    /// Dollars in one day, with at most nine decimals; none for no limit
    #[arg(long, value_name = "USD")]
    day_usd_max: Option<OrNone<Dollars>>,
    /// Dollars in one month; none for no limit
    #[arg(long, value_name = "USD")]
    month_usd_max: Option<OrNone<Dollars>>,
}

impl Amounts {
    /// The body that asks for it.
    pub fn body(&self) -> Result<Value, String> {
        let mut body = Map::new();
        for (name, amount) in [("day_usd_max", &self.day_usd_max), ("month_usd_max", &self.month_usd_max)] {
            if let Some(OrNone(amount)) = amount {
                body.insert(name.to_owned(), amount.as_ref().map_or(Value::Null, |Dollars(number)| number.clone()));
            }
        }
        Ok(Value::Object(body))
    }
}

/// All that can be laid down.
#[derive(Debug, Args)]
pub struct Settings {
    /// Judge this share of all its interactions, 0 to 1, whatever its projects' policies say; none for the policies
    #[arg(long, value_name = "RATE")]
    sampling: Option<OrNone<f64>>,
    /// For how long the sampling rate holds, such as 24h; for good where not given
    #[arg(long = "for", value_name = "TIME", requires = "sampling")]
    lasting: Option<Lasting>,
    #[command(flatten)]
    amounts: Amounts,
    /// Interactions a second that it may send, all its projects together; none for the configuration's limit
    #[arg(long, value_name = "N")]
    items_per_second_max: Option<OrNone<u32>>,
    /// Whom to write to: an e-mail address; none for nobody
    #[arg(long, value_name = "ADDRESS")]
    contact: Option<OrNone<String>>,
    /// In whose days its budget counts, such as Europe/Berlin; none for UTC
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<OrNone<String>>,
}

impl Settings {
    /// The body that asks for it.
    pub fn body(&self) -> Result<Value, String> {
        let mut body = Map::new();
        if let Some(OrNone(rate)) = &self.sampling {
            let until = self.lasting.map(Lasting::until);
            if rate.is_none() && until.is_some() {
                return Err("--for needs a rate: `--sampling none` takes it away at once".to_owned());
            }
            body.insert("sampling".to_owned(), rate.map_or(Value::Null, |rate| json!({"rate": rate, "until": until})));
        }
        let amounts = self.amounts.body()?;
        if amounts.as_object().is_some_and(|amounts| !amounts.is_empty()) {
            body.insert("budget".to_owned(), amounts);
        }
        if let Some(OrNone(limit)) = &self.items_per_second_max {
            body.insert("items_per_second_max".to_owned(), json!(limit));
        }
        for (name, text) in [("contact", &self.contact), ("time_zone", &self.time_zone)] {
            if let Some(OrNone(text)) = text {
                body.insert(name.to_owned(), json!(text));
            }
        }
        Ok(Value::Object(body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_sent_as_they_were_meant() {
        for (text, sent) in [("0.25", "0.25"), ("500", "500"), ("0.000000001", "1e-9"), ("123456.789000001", "123456.789000001")]
        {
            assert_eq!(text.parse::<Dollars>().unwrap().0.to_string(), sent);
        }
        for (text, why) in [
            ("123456789.123456789", "more digits"),
            ("-1", "negative"),
            ("1e300", "can be counted"),
            ("NaN", "not an amount"),
            ("01", "not a number"),
        ] {
            let error = text.parse::<Dollars>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert_eq!("none".parse::<OrNone<Dollars>>().unwrap(), OrNone(None));
    }

    #[test]
    fn lengths_of_time_have_a_unit() {
        for (text, seconds) in [("90s", 90), ("5m", 300), ("24h", 86_400), ("7d", 604_800)] {
            assert_eq!(text.parse(), Ok(Lasting(Duration::from_secs(seconds))));
        }
        for bad in ["", "24", "h", "1.5h", "-1h", "1w", "0s", "99999999999999999999h", "18446744073709551615d", "1\u{20ac}"] {
            assert!(bad.parse::<Lasting>().is_err(), "{bad}");
        }
    }
}
