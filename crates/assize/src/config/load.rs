//! Reads a configuration file and says where it is wrong: file, line, key, and what to do.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;

use super::settings::{Ingest, MetricSpec, ProjectSpec, Report, Sampling, Score, Server, Settings, Store};
use assize_judge::spec::{JudgeSpec, ProviderSpec};

/// The defaults, as shipped and as documentation.
pub const DEFAULT_TOML: &str = include_str!("../../../../config/default.toml");

/// What is wrong with a configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file; `None` for what no file is to blame for.
    pub path: Option<PathBuf>,
    /// The line, counted from 1.
    pub line: Option<usize>,
    /// What is wrong, with the key, and what to do.
    pub message: String,
}

impl ConfigError {
    pub fn new(message: impl Into<String>) -> Self {
        Self { path: None, line: None, message: message.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.path, self.line) {
            (Some(path), Some(line)) => write!(f, "{}:{line}: {}", path.display(), self.message),
            (Some(path), None) => write!(f, "{}: {}", path.display(), self.message),
            (None, _) => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for ConfigError {}

/// The file as written. Lists are kept as tables with their place, so that an error in one names its line.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    server: Server,
    ingest: Ingest,
    store: Store,
    score: Score,
    report: Report,
    sampling: Sampling,
    project: Option<Vec<Spanned<toml::Table>>>,
    provider: Option<Vec<Spanned<toml::Table>>>,
    judge: Option<Vec<Spanned<toml::Table>>>,
    metric: Option<Vec<Spanned<toml::Table>>>,
}

/// The settings of `path`, over the defaults; the defaults alone without a path.
pub fn load(path: Option<&Path>) -> Result<Settings, ConfigError> {
    match path {
        None => parse(DEFAULT_TOML),
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| ConfigError {
                path: Some(path.to_owned()),
                line: None,
                message: format!("cannot read the configuration: {error}"),
            })?;
            parse(&text).map_err(|error| ConfigError { path: Some(path.to_owned()), ..error })
        }
    }
}

/// The settings that `text` makes of the defaults.
pub fn parse(text: &str) -> Result<Settings, ConfigError> {
    let file: File = toml::from_str(text).map_err(|error| locate(text, &error))?;
    let defaults: File = toml::from_str(DEFAULT_TOML).map_err(|error| locate(DEFAULT_TOML, &error))?;
    let list = |own: Option<Vec<Spanned<toml::Table>>>, default: Option<Vec<Spanned<toml::Table>>>| match own {
        Some(own) => (text, own),
        None => (DEFAULT_TOML, default.unwrap_or_default()),
    };
    Ok(Settings {
        server: file.server,
        ingest: file.ingest,
        store: file.store,
        score: file.score,
        report: file.report,
        sampling: file.sampling,
        project: entries::<ProjectSpec>("project", list(file.project, defaults.project))?,
        provider: entries::<ProviderSpec>("provider", list(file.provider, defaults.provider))?,
        judge: entries::<JudgeSpec>("judge", list(file.judge, defaults.judge))?,
        metric: entries::<MetricSpec>("metric", list(file.metric, defaults.metric))?,
    })
}

fn entries<T: DeserializeOwned>(list: &str, (text, tables): (&str, Vec<Spanned<toml::Table>>)) -> Result<Vec<T>, ConfigError> {
    let mut entries = Vec::with_capacity(tables.len());
    for table in tables {
        let start = table.span().start;
        let name = table.get_ref().get("name").and_then(toml::Value::as_str).unwrap_or("without a name").to_owned();
        entries.push(T::deserialize(table.into_inner()).map_err(|error| {
            let message = error.message().trim().to_owned();
            let line = line_of_key(text, start, &message).unwrap_or_else(|| line_at(text, start));
            ConfigError { path: None, line: Some(line), message: format!("[[{list}]] {name:?}: {message}") }
        })?);
    }
    Ok(entries)
}

fn locate(text: &str, error: &toml::de::Error) -> ConfigError {
    ConfigError {
        path: None,
        line: error.span().map(|span| line_at(text, span.start)),
        message: error.message().trim().to_owned(),
    }
}

fn line_at(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|&&byte| byte == b'\n').count() + 1
}

/// The line, within the table that begins at `start`, of the key that `message` quotes in backticks.
fn line_of_key(text: &str, start: usize, message: &str) -> Option<usize> {
    let key = message.split('`').nth(1)?;
    let first = line_at(text, start);
    let lines = text.lines().enumerate().skip(first.saturating_sub(1));
    for (index, line) in lines {
        let line = line.trim_start();
        if index + 1 > first && line.starts_with("[[") {
            return None;
        }
        if line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('=')) {
            return Some(index + 1);
        }
    }
    None
}

/// `message`, led by the place of the `[[list]] "name"` that it blames, if it blames one of the file at `path`.
pub fn explain(path: Option<&Path>, message: &str) -> String {
    let Some(path) = path else { return message.to_owned() };
    let text = std::fs::read_to_string(path).unwrap_or_default();
    match line_blamed(&text, message) {
        Some(line) => format!("{}:{line}: {message}", path.display()),
        None => format!("{}: {message}", path.display()),
    }
}

fn line_blamed(text: &str, message: &str) -> Option<usize> {
    let header = message.split_whitespace().next().filter(|word| word.starts_with('['))?;
    let name = message.split('"').nth(1).filter(|_| header.starts_with("[["));
    let mut inside = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            inside = line.starts_with(header);
            if inside && name.is_none() {
                return Some(index + 1);
            }
        }
        let value = line.strip_prefix("name").map(str::trim_start).and_then(|rest| rest.strip_prefix('=')).map(str::trim_start);
        if inside && value.is_some_and(|value| value.split(['"', '\'']).nth(1) == name) {
            return Some(index + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_defaults_are_the_ones_in_force() {
        let documented = parse(DEFAULT_TOML).unwrap();
        let built_in = parse("").unwrap();
        assert_eq!(documented, built_in);
    }

    #[test]
    fn one_key_leaves_the_others_and_a_list_replaces_its_default() {
        let settings = parse("[score]\nin_flight_max = 3\n[[project]]\nname = \"shop\"").unwrap();
        assert_eq!(settings.score.in_flight_max, 3);
        assert_eq!(settings.score.deliveries_max, Score::default().deliveries_max);
        assert_eq!(settings.project.len(), 1);
        assert!(!settings.metric.is_empty());
    }

    #[test]
    fn errors_name_line_and_key() {
        let cases = [
            ("[server]\nlistenn = 1", 2, "listenn"),
            ("[sampling]\n\nrate = \"x\"", 3, "floating"),
            ("\n[[judge]]\nname = \"a\"\nkind = \"rules\"\nany_off = [\"x\"]", 5, "any_off"),
            ("[[judge]]\nname = \"a\"\nkind = \"oracle\"", 3, "oracle"),
            ("[[metric]]\nname = \"m\"", 1, "cascade"),
            ("[[metric]]\nname = \"a b\"\ncascade = []", 1, "metric name"),
            ("[server", 1, "]"),
        ];
        for (text, line, part) in cases {
            let error = parse(text).unwrap_err();
            assert_eq!(error.line, Some(line), "{text}: {error}");
            assert!(error.message.contains(part), "{text}: {error}");
        }
    }
}
