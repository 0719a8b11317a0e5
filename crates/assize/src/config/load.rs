//! Reads a configuration file and says where it is wrong: file, line, key, and what to do.

use std::fmt;
use std::path::{Path, PathBuf};

use assize_judge::spec::{JudgeSpec, ProviderSpec};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;

use super::budget::PlatformBudget;
use super::export::ExportSpec;
use super::price::{self, PriceEntry, PriceFile};
use super::settings::{Batch, Cache, Ingest, MetricSpec, ProjectSpec, Report, Sampling, Score, Server, Settings, Store};
use super::{place, standin};

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
    cache: Cache,
    budget: PlatformBudget,
    batch: Batch,
    score: Score,
    report: Report,
    sampling: Sampling,
    prices: PriceFile,
    price: Option<Vec<Spanned<toml::Table>>>,
    project: Option<Vec<Spanned<toml::Table>>>,
    provider: Option<Vec<Spanned<toml::Table>>>,
    judge: Option<Vec<Spanned<toml::Table>>>,
    metric: Option<Vec<Spanned<toml::Table>>>,
    export: Option<Vec<Spanned<toml::Table>>>,
}

/// The settings of `path`, over the defaults. Without a path the defaults alone, at `OPENAI_BASE_URL` if that is set.
pub fn load(path: Option<&Path>) -> Result<Settings, ConfigError> {
    match path {
        None => {
            let mut settings = parse(DEFAULT_TOML)?;
            standin::redirect(&mut settings);
            Ok(settings)
        }
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| ConfigError {
                path: Some(path.to_owned()),
                line: None,
                message: format!("cannot read the configuration: {error}"),
            })?;
            let mut settings = parse(&text).map_err(|error| ConfigError { path: Some(path.to_owned()), ..error })?;
            if let Some(file) = &settings.prices.file {
                settings.prices.entries = price::read(file)?;
            }
            Ok(settings)
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
        cache: file.cache,
        budget: file.budget,
        batch: file.batch,
        score: file.score,
        report: file.report,
        sampling: file.sampling,
        prices: file.prices,
        price: entries::<PriceEntry>("price", list(file.price, defaults.price))?,
        project: entries::<ProjectSpec>("project", list(file.project, defaults.project))?,
        provider: entries::<ProviderSpec>("provider", list(file.provider, defaults.provider))?,
        judge: entries::<JudgeSpec>("judge", list(file.judge, defaults.judge))?,
        metric: entries::<MetricSpec>("metric", list(file.metric, defaults.metric))?,
        export: entries::<ExportSpec>("export", list(file.export, defaults.export))?,
    })
}

pub(super) fn entries<T: DeserializeOwned>(
    list: &str,
    (text, tables): (&str, Vec<Spanned<toml::Table>>),
) -> Result<Vec<T>, ConfigError> {
    let mut entries = Vec::with_capacity(tables.len());
    for table in tables {
        let start = line_at(text, table.span().start);
        entries.push(entry(list, &table.into_inner()).map_err(|(message, key)| {
            let line = key.and_then(|key| place::within(text, start, &key)).unwrap_or(start);
            ConfigError { path: None, line: Some(line), message }
        })?);
    }
    Ok(entries)
}

/// One entry of a list; else what is wrong with it, and with which of its keys.
pub(super) fn entry<T: DeserializeOwned>(list: &str, table: &toml::Table) -> Result<T, (String, Option<String>)> {
    T::deserialize(table.clone()).map_err(|error| {
        let name =
            table.get(if list == "price" { "model" } else { "name" }).and_then(toml::Value::as_str).unwrap_or("without a name");
        let mut message = plain(error.message());
        let named = ["missing ", "unknown key "].iter().any(|begin| message.starts_with(begin));
        let key = if named { place::key(&message) } else { blame::<T>(table, error.message()) }.map(str::to_owned);
        if let Some(key) = key.as_ref().filter(|_| !named) {
            message = format!("`{key}`: {message}");
        }
        (format!("[[{list}]] {name:?}: {message}"), key)
    })
}

/// The key without which the error would be another one: tagged and flattened tables do not say which it is.
fn blame<'t, T: DeserializeOwned>(table: &'t toml::Table, message: &str) -> Option<&'t str> {
    let blamed = |key: &&String| {
        let mut rest = table.clone();
        rest.remove(key.as_str());
        T::deserialize(rest).err().is_none_or(|error| error.message() != message)
    };
    // First the key whose value is quoted. Without its name or kind a table is wrong anyway, so those come last.
    let quoted = |key: &str| {
        let value = table.get(key).and_then(toml::Value::as_str);
        value.is_some_and(|value| message.contains(&format!("`{value}`")) || message.contains(&format!("{value:?}")))
    };
    let mut keys: Vec<&String> = table.keys().collect();
    keys.sort_by_key(|key| (!quoted(key), *key == "kind", *key == "name" || *key == "model"));
    keys.into_iter().find(blamed).map(String::as_str)
}

pub(super) fn locate(text: &str, error: &toml::de::Error) -> ConfigError {
    let line = error.span().map(|span| line_at(text, span.start));
    let mut message = plain(error.message());
    // What is wrong is located, but its key not always named.
    let written = line.and_then(|line| text.lines().nth(line - 1)).and_then(|line| line.split_once('='));
    if let Some((key, _)) = written.filter(|_| !message.starts_with("unknown key ") && !message.starts_with("missing key ")) {
        message = format!("`{}`: {message}", key.trim());
    }
    ConfigError { path: None, line, message }
}

/// A reader's words in place of a program's.
fn plain(message: &str) -> String {
    let message = message.trim();
    let words = [
        ("expected f64", "expected a number"),
        ("expected usize", "expected a whole number"),
        ("expected u64", "expected a whole number"),
        ("expected u32", "expected a whole number"),
        ("expected i64", "expected a whole number"),
        ("expected a sequence", "expected a list in [ ]"),
        ("invalid type: map", "invalid type: a table"),
        ("missing field", "missing key"),
        ("unknown field", "unknown key"),
        ("unknown variant", "unknown value"),
    ];
    words.iter().fold(message.to_owned(), |message, (theirs, ours)| message.replace(theirs, ours))
}

fn line_at(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|&&byte| byte == b'\n').count() + 1
}

/// `message`, led by the file and the line that it blames, if it blames one of the file at `path`.
pub fn explain(path: Option<&Path>, message: &str) -> String {
    let Some(path) = path else { return message.to_owned() };
    let text = std::fs::read_to_string(path).unwrap_or_default();
    match place::blamed(&text, message) {
        Some(line) => format!("{}:{line}: {message}", path.display()),
        None => format!("{}: {message}", path.display()),
    }
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
            ("[sampling]\n\nrate = \"x\"", 3, "`rate`: invalid type: string \"x\", expected a number"),
            (
                "\n[[judge]]\nname = \"a\"\nany_of = \"x\"\nkind = \"rules\"",
                4,
                "`any_of`: invalid type: string \"x\", expected a list",
            ),
            ("[[provider]]\nname = \"a\"\nkind = \"openai\"\nconcurrency = -1", 4, "`concurrency`: invalid value"),
            ("\n[[judge]]\nname = \"a\"\nkind = \"rules\"\nany_off = [\"x\"]", 5, "any_off"),
            ("[[judge]]\nname = \"a\"\nkind = \"oracle\"", 3, "oracle"),
            ("[[metric]]\nname = \"m\"", 1, "cascade"),
            ("[[metric]]\nname = \"a b\"\ncascade = []", 2, "`name`: metric name"),
            ("[server", 1, "]"),
        ];
        for (text, line, part) in cases {
            let error = parse(text).unwrap_err();
            assert_eq!(error.line, Some(line), "{text}: {error}");
            assert!(error.message.contains(part), "{text}: {error}");
        }
    }
}
