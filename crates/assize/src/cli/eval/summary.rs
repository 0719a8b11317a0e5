//! What a run ends with: as JSON, and as a table for people.

use std::collections::BTreeMap;

use assize_core::{NanoUsd, Outcome};
use serde::Serialize;

/// The rates of a run, and what they cost.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// Interactions accepted.
    pub interactions: u64,
    pub metrics: BTreeMap<String, Rate>,
    /// Calls made, by this run and by those that it resumed.
    pub calls: u64,
    /// What they cost, as far as that is known; null where no call's cost is known.
    pub cost_usd: Option<f64>,
    /// Questions whose cost is not known; a call may carry several.
    pub cost_unknown: u64,
    pub seconds: f64,
    /// Lines that were no interaction.
    pub rejected: u64,
    /// Lines whose id had come before.
    pub duplicates: u64,
    /// Interactions that a run before this one had done.
    pub resumed: u64,
    /// Whether a simulated provider judged.
    pub simulated: bool,
}

/// A metric's rate.
#[derive(Debug, Serialize)]
pub struct Rate {
    pub estimate: Option<f64>,
    pub low: Option<f64>,
    pub high: Option<f64>,
    pub level: f64,
    /// How many interactions the rate speaks of.
    pub population: u64,
    pub judged: u64,
    pub coverage: Option<f64>,
    pub method: Option<String>,
    pub outcomes: BTreeMap<String, u64>,
    /// Why judges failed, by code.
    pub failures: BTreeMap<String, Failure>,
}

/// One reason why judges failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    pub count: u64,
    /// The first message of its kind.
    pub example: String,
    /// Whether all of its kind said the same.
    #[serde(skip)]
    pub alike: bool,
}

impl Summary {
    /// The summary for people.
    pub fn table(&self) -> String {
        let rows: Vec<[String; 3]> = self.metrics.iter().map(|(name, rate)| rate.row(name)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let (name, figure) = (width(0), width(1));
        let mut lines = Vec::new();
        for (row, rate) in rows.iter().zip(self.metrics.values()) {
            lines.push(format!("{:name$}   {:figure$}   {}", row[0], row[1], row[2]));
            lines.extend(rate.missing());
        }
        lines.push(self.total());
        if self.simulated {
            lines.push("verdicts are SIMULATED; cost as if the model had been called".to_owned());
        }
        lines.join("\n")
    }

    fn total(&self) -> String {
        let mut total = format!(
            "{}, {}, {}, {:.1} s",
            counted(self.interactions, "interaction"),
            counted(self.calls, "call"),
            self.cost(),
            self.seconds
        );
        let also = [(self.resumed, "done before"), (self.duplicates, "duplicate"), (self.rejected, "rejected")];
        for (count, what) in also.into_iter().filter(|(count, _)| *count > 0) {
            total.push_str(&format!(", {} {what}", thousands(count)));
        }
        total
    }

    fn cost(&self) -> String {
        let answered = self.metrics.values().any(|rate| rate.judged > 0);
        match self.cost_usd {
            None if answered => "cost unknown (give the judge a `price`)".to_owned(),
            None => "cost unknown".to_owned(),
            Some(usd) if self.cost_unknown > 0 => {
                format!("{} and {} of unknown cost", dollars(usd), counted(self.cost_unknown, "question"))
            }
            Some(usd) => dollars(usd),
        }
    }
}

impl Rate {
    fn row(&self, name: &str) -> [String; 3] {
        let figure = match (self.estimate, self.low, self.high) {
            (Some(estimate), Some(low), Some(high)) if low == high => format!("{:6.2} %   exact", estimate * 100.0),
            (Some(estimate), Some(low), Some(high)) => {
                format!(
                    "{:6.2} %   {} interval {:.2} to {:.2} %",
                    estimate * 100.0,
                    percent(self.level),
                    low * 100.0,
                    high * 100.0
                )
            }
            _ if !self.failures.is_empty() => "no rate: nothing could be judged".to_owned(),
            _ if self.outcomes.contains_key(Outcome::NotSampled.as_str()) => {
                "no rate: nothing was drawn; a higher `rate` in [sampling] draws more".to_owned()
            }
            _ => "no rate: there is nothing that it could speak of".to_owned(),
        };
        [name.to_owned(), figure, format!("{} judged of {}", thousands(self.judged), thousands(self.population))]
    }

    /// What has no verdict for another reason than the draw.
    fn missing(&self) -> Vec<String> {
        let told = [Outcome::Judged, Outcome::NotSampled, Outcome::JudgeFailed].map(Outcome::as_str);
        let others = self.outcomes.iter().filter(|(outcome, _)| !told.contains(&outcome.as_str()));
        let mut lines: Vec<String> =
            others.map(|(outcome, count)| format!("  {} {}", thousands(*count), outcome.replace('_', " "))).collect();
        for (code, failure) in &self.failures {
            lines.push(format!("  {} failed ({code}), such as: {}", thousands(failure.count), failure.example));
        }
        lines
    }
}

/// Cents where there are any, more digits where it is less.
pub fn dollars(usd: f64) -> String {
    if usd >= 1.0 { format!("${usd:.2}") } else { NanoUsd((usd * 1e9).round() as u64).to_string() }
}

/// `0.95` as `95 %`, without the noise of binary fractions.
pub fn percent(share: f64) -> String {
    format!("{} %", (share * 1e8).round() / 1e6)
}

/// `1,234 calls`
pub fn counted(count: u64, one: &str) -> String {
    format!("{} {one}{}", thousands(count), if count == 1 { "" } else { "s" })
}

/// `12345` as `12,345`.
pub fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures() {
        for (count, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567"), (100_000, "100,000")] {
            assert_eq!(thousands(count), text);
        }
        assert_eq!(percent(0.95), "95 %");
        assert_eq!(percent(0.07), "7 %");
        assert_eq!(percent(0.999), "99.9 %");
        assert_eq!((dollars(12.3456), dollars(0.00575)), ("$12.35".to_owned(), "$0.00575".to_owned()));
    }
}
