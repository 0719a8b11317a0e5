//! What runs beside the judges: an editable table of monthly costs.

use std::path::Path;

use assize_core::NanoUsd;
use serde::{Deserialize, Serialize};

/// The specification's table. Its lines come to 1,900 and it says 2,000, so the rest stands as a line of its own.
pub const DEFAULT: &str = "\
# What runs beside the judges, in US dollars a month: for `assize cost --infra-file`.
[[line]]
name = \"Kubernetes: 3 nodes m6g.xlarge\"
monthly_usd = 400

[[line]]
name = \"Managed databases: RDS, Kafka, ClickHouse Cloud\"
monthly_usd = 1500

[[line]]
name = \"Not itemised: the specification says about 2000 in all\"
monthly_usd = 100
";

/// Dollars of one line.
const USD_MAX: f64 = 1e9;
const LINES_MAX: usize = 1_000;
/// How many of one thing.
const COUNT_MAX: u32 = 1_000_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    line: Vec<Written>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    monthly_usd: f64,
    #[serde(default = "one")]
    count: u32,
}

fn one() -> u32 {
    1
}

/// One thing that is paid for by the month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    pub name: String,
    /// All of it.
    #[serde(rename = "monthly_usd", serialize_with = "as_usd")]
    pub monthly: NanoUsd,
}

fn as_usd<S: serde::Serializer>(amount: &NanoUsd, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(amount.to_usd())
}

/// The lines of the file at `path`, or of the specification.
pub fn load(path: Option<&Path>) -> Result<Vec<Line>, String> {
    match path {
        None => read(DEFAULT),
        Some(path) => {
            let text = crate::config::price::text(path).map_err(|error| format!("{}: {error}", path.display()))?;
            read(&text).map_err(|error| format!("{}: {error}", path.display()))
        }
    }
}

fn read(text: &str) -> Result<Vec<Line>, String> {
    let file: File = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| text.bytes().take(span.start).filter(|&byte| byte == b'\n').count() + 1);
        format!("line {line}: {}: every [[line]] has a name, monthly_usd and, where there are several, count", error.message())
    })?;
    if file.line.len() > LINES_MAX {
        return Err(format!("more than {LINES_MAX} lines: sum some of them up"));
    }
    let mut lines = Vec::with_capacity(file.line.len());
    for Written { name, monthly_usd, count } in file.line {
        if !(0.0..=USD_MAX).contains(&monthly_usd) {
            return Err(format!("[[line]] {name:?}: monthly_usd = {monthly_usd} is no cost: use US dollars, 0 to {USD_MAX}"));
        }
        if count == 0 || count > COUNT_MAX {
            return Err(format!("[[line]] {name:?}: count = {count}: use 1 to {COUNT_MAX}"));
        }
        let one = (monthly_usd * 1e9).round() as u64;
        let monthly = one.checked_mul(u64::from(count)).map(NanoUsd);
        let monthly = monthly.ok_or_else(|| format!("[[line]] {name:?}: comes to more than can be counted"))?;
        lines.push(Line { name, monthly });
    }
    Ok(lines)
}

/// What all of them come to.
pub fn total(lines: &[Line]) -> NanoUsd {
    lines.iter().map(|line| line.monthly).fold(NanoUsd::ZERO, NanoUsd::plus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_table_comes_to_2000() {
        let lines = load(None).unwrap();
        assert_eq!(total(&lines), NanoUsd(2_000_000_000_000));
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn lines_multiply_and_errors_name_them() {
        let lines = read("[[line]]\nname = \"node\"\nmonthly_usd = 133.5\ncount = 3\n").unwrap();
        assert_eq!(total(&lines), NanoUsd(400_500_000_000));
        assert_eq!(read("").unwrap(), []);
        for (text, part) in [
            ("[[line]]\nname = \"a\"\nmonthly_usd = -1", "\"a\": monthly_usd = -1"),
            ("[[line]]\nname = \"a\"\nmonthly_usd = nan", "monthly_usd = NaN"),
            ("[[line]]\nname = \"a\"\nmonthly_usd = 1e300", "monthly_usd = 1"),
            ("[[line]]\nname = \"a\"\nmonthly_usd = 1\ncount = 0", "count = 0"),
            ("[[line]]\nname = \"a\"\nmonthly_usd = 1e9\ncount = 1000000", "more than can be counted"),
            ("[[line]]\nname = \"a\"\n\nmonthly = 1", "line 4"),
            ("[[line]]\nname = \"a", "line 2"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
