//! Quantities as people write them: `10M/month`, `$200/month`, `1%`.

use std::str::FromStr;

use serde::Serialize;

/// What traffic and budgets are counted by, and what a rate is a rate of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    Day,
    Week,
    Month,
    Year,
}

impl Period {
    /// Its hours; a month is a twelfth of a year of 365.25 days.
    pub fn hours(self) -> f64 {
        match self {
            Self::Day => 24.0,
            Self::Week => 168.0,
            Self::Month => 730.5,
            Self::Year => 8_766.0,
        }
    }

    /// `month`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "day" => Ok(Self::Day),
            "week" => Ok(Self::Week),
            "month" => Ok(Self::Month),
            "year" => Ok(Self::Year),
            _ => Err(format!("{text:?} is no period: use day, week, month or year")),
        }
    }
}

/// An amount above 0, and by which period where that was said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Amount {
    pub value: f64,
    pub period: Option<Period>,
}

impl Amount {
    /// As much in `period`.
    pub fn within(&self, period: Period) -> f64 {
        self.value * self.period.map_or(1.0, |own| period.hours() / own.hours())
    }
}

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, period) = match text.split_once('/') {
            Some((number, period)) => (number, Some(period.trim().parse()?)),
            None => (text, None),
        };
        let refused = || format!("{text:?} is not an amount above 0 such as 10M/month, 250k/day or 1,000");
        let digits: String = number.trim().trim_start_matches('$').chars().filter(|c| !matches!(c, ',' | '_')).collect();
        let (digits, factor) = match digits.chars().last() {
            Some('k' | 'K') => (&digits[..digits.len() - 1], 1e3),
            Some('m' | 'M') => (&digits[..digits.len() - 1], 1e6),
            Some('g' | 'G' | 'b' | 'B') => (&digits[..digits.len() - 1], 1e9),
            _ => (digits.as_str(), 1.0),
        };
        let value = digits.trim().parse::<f64>().map_err(|_| refused())? * factor;
        if value > 0.0 && value <= 1e15 { Ok(Self { value, period }) } else { Err(refused()) }
    }
}

/// A share: `0.01`, `1%` or `1 %`.
pub fn share(text: &str) -> Result<f64, String> {
    let (digits, factor) = text.trim().strip_suffix('%').map_or((text.trim(), 1.0), |percent| (percent.trim(), 0.01));
    let value = digits.parse::<f64>().map_err(|_| format!("{text:?} is not a share such as 0.01 or 1%"))? * factor;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err(format!("{text:?} is not a share from 0 to 1 (100 %)")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_people_write_them() {
        let amount = |text: &str| text.parse::<Amount>().unwrap();
        assert_eq!(amount("10M/month"), Amount { value: 1e7, period: Some(Period::Month) });
        assert_eq!(amount("$1,500.50"), Amount { value: 1_500.5, period: None });
        assert_eq!(amount("250k / day"), Amount { value: 250_000.0, period: Some(Period::Day) });
        assert_eq!(amount("1_000").value, 1_000.0);
        assert_eq!(amount("2b/year").within(Period::Year), 2e9);
        assert!((amount("100/day").within(Period::Month) - 3_043.75).abs() < 1e-9);
        assert_eq!(amount("100").within(Period::Week), 100.0);
        for wrong in ["", "M", "-5", "0", "ten", "5/fortnight", "1e99", "nan", "inf", "5//day", "3€"] {
            assert!(wrong.parse::<Amount>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn shares_may_be_percentages() {
        assert_eq!((share("0.25"), share("1%"), share(" 12.5 % ")), (Ok(0.25), Ok(0.01), Ok(0.125)));
        for wrong in ["", "%", "1.5", "150%", "-1%", "NaN", "a"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }
}
