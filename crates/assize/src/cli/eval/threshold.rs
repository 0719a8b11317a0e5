//! `--fail-if METRIC>RATE`.

use std::str::FromStr;

use crate::config::PolicySpec;

use super::summary::Summary;

/// A comparison that makes a run fail when it holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    metric: String,
    limit: Limit,
    comparison: Comparison,
    rate: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    Estimate,
    Low,
    High,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Above,
    AtLeast,
    Below,
    AtMost,
}

impl FromStr for Threshold {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!("{why}: write METRIC, one of > >= < <=, and a rate from 0 to 1, such as 'refusal>0.1' or 'refusal.low>0.1'")
        };
        let at = text.find(['<', '>']).ok_or_else(|| wrong("there is no comparison"))?;
        let (left, right) = text.split_at(at);
        let (comparison, rate) = match (right.strip_prefix(">="), right.strip_prefix("<="), right.strip_prefix('>')) {
            (Some(rate), _, _) => (Comparison::AtLeast, rate),
            (_, Some(rate), _) => (Comparison::AtMost, rate),
            (_, _, Some(rate)) => (Comparison::Above, rate),
            _ => (Comparison::Below, right.trim_start_matches('<')),
        };
        let rate: f64 = rate.trim().parse().map_err(|_| wrong("the rate is not a number"))?;
        if !(0.0..=1.0).contains(&rate) {
            return Err(wrong("the rate is not within 0 to 1"));
        }
        let left = left.trim();
        let (metric, limit) = match left.rsplit_once('.') {
            Some((metric, "low")) => (metric, Limit::Low),
            Some((metric, "high")) => (metric, Limit::High),
            Some((metric, "estimate")) => (metric, Limit::Estimate),
            _ => (left, Limit::Estimate),
        };
        if metric.is_empty() {
            return Err(wrong("there is no metric"));
        }
        Ok(Self { metric: metric.to_owned(), limit, comparison, rate })
    }
}

impl Threshold {
    /// Refuses a metric that is not configured, before anything is paid.
    pub fn check(&self, spec: &PolicySpec) -> Result<(), String> {
        if spec.metrics.iter().any(|metric| metric.name.as_str() == self.metric) {
            return Ok(());
        }
        let names: Vec<&str> = spec.metrics.iter().map(|metric| metric.name.as_str()).collect();
        Err(format!("--fail-if names the metric {:?}, which is not configured; there are {}", self.metric, names.join(", ")))
    }

    /// What to say if the comparison holds. A rate that cannot be told fails too: nothing was shown.
    pub fn verdict(&self, summary: &Summary) -> Option<String> {
        let rate = summary.metrics.get(&self.metric)?;
        let (name, value) = match self.limit {
            Limit::Estimate => ("", rate.estimate),
            Limit::Low => (" (lower limit)", rate.low),
            Limit::High => (" (upper limit)", rate.high),
        };
        let Some(value) = value else {
            return Some(format!("{} has no rate: nothing was judged", self.metric));
        };
        let (holds, word) = match self.comparison {
            Comparison::Above => (value > self.rate, "above"),
            Comparison::AtLeast => (value >= self.rate, "at least"),
            Comparison::Below => (value < self.rate, "below"),
            Comparison::AtMost => (value <= self.rate, "at most"),
        };
        holds.then(|| format!("{}{name} is {value:.4}, {word} {}", self.metric, self.rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let parsed = |text: &str| text.parse::<Threshold>().unwrap();
        assert_eq!(parsed("refusal>0.1").comparison, Comparison::Above);
        assert_eq!(parsed("refusal >= 0.1").comparison, Comparison::AtLeast);
        assert_eq!(parsed("a.b<=1").metric, "a.b");
        let low = parsed("a.b.low<0.5");
        assert_eq!((low.metric.as_str(), low.limit, low.comparison), ("a.b", Limit::Low, Comparison::Below));
        for bad in ["refusal", ">0.1", "refusal>x", "refusal>1.5", "refusal>NaN", "refusal==0.1"] {
            assert!(bad.parse::<Threshold>().is_err(), "{bad}");
        }
    }
}
