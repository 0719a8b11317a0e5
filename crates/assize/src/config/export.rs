//! A target of results as written: `[[export]]`. Not part of the policy: what is exported changes no verdict.

use std::collections::BTreeMap;

use assize_core::{ExportName, MetricName, ProjectName};
use assize_judge::addresses;
use http::{HeaderName, HeaderValue};
use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::ConfigError;
use super::settings::Settings;

/// One `[[export]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportSpec {
    pub name: ExportName,
    pub kind: ExportKind,
    /// Where results are sent, by POST.
    pub url: String,
    /// Headers that are no secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Headers whose values are in these variables: `{ X-Api-Key = "COLLECTOR_KEY" }`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers_env: BTreeMap<String, String>,
    /// The variable that holds the secret that a webhook is signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_env: Option<String>,
    /// Of these projects only; of all where empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub projects: Vec<ProjectName>,
    /// Of these metrics only; of all where empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricName>,
    /// Whether judges' reasons go along: they may quote what they judged.
    #[serde(default = "yes")]
    pub explanations: bool,
    /// Whether the target may be on this machine, in a private network, or at another address that is not public.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_private: bool,
    /// Where a new target begins.
    #[serde(default)]
    pub from: ExportFrom,
    /// A delivery that takes longer is given up and repeated, in seconds (1 to 600).
    #[serde(default = "timeout_seconds")]
    pub timeout_seconds: u64,
    /// Results of one delivery, at the most (1 to 1,000).
    #[serde(default = "batch_max")]
    pub batch_max: usize,
    /// How often the target may refuse a delivery for good (HTTP 4xx) before it is left out and counted as lost; 0 for never.
    #[serde(default = "attempts")]
    pub attempts: u32,
}

/// In which form results are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportKind {
    /// `gen_ai.evaluation.result` events as OTLP log records, HTTP and protobuf.
    Otlp,
    /// JSON, signed as Standard Webhooks are.
    Webhook,
}

/// Where a target that was never met begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportFrom {
    /// With what is decided from now on.
    #[default]
    Now,
    /// With the oldest result on record.
    Beginning,
}

fn yes() -> bool {
    true
}

fn timeout_seconds() -> u64 {
    30
}

fn batch_max() -> usize {
    500
}

fn attempts() -> u32 {
    20
}

const HEADERS_MAX: usize = 50;
const TARGETS_MAX: usize = 64;
/// These say how the request is made, carry the signature, or belong into a variable.
const NOT_TO_BE_SET: [&str; 7] =
    ["host", "content-length", "content-type", "transfer-encoding", "connection", "proxy-authorization", "cookie"];

/// Checks all targets. Names are not resolved, variables not read.
pub fn check(settings: &Settings) -> Result<(), ConfigError> {
    if settings.export.len() > TARGETS_MAX {
        return Err(ConfigError::new(format!(
            "there are more than {TARGETS_MAX} [[export]]: send them to a collector that fans out"
        )));
    }
    settings.export.iter().try_for_each(|export| export.check(settings).map_err(|what| export.wrong(&what)))
}

impl ExportSpec {
    /// An error about this target. `what` begins with the key.
    pub fn wrong(&self, what: &str) -> ConfigError {
        ConfigError::new(format!("[[export]] {:?}: {what}", self.name.as_str()))
    }

    /// The address that is called. The text of one that is wrong is not repeated: it may hold a password.
    pub fn endpoint(&self) -> Result<Url, String> {
        let wrong = |why: &str| format!("url: {why}: write an address such as https://collector.example.com/v1/logs");
        let mut url = Url::parse(&self.url).map_err(|error| wrong(&format!("not a URL ({error})")))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(wrong("neither http:// nor https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("it holds a password, which belongs in a variable that headers_env names"));
        }
        if url.fragment().is_some() {
            return Err(wrong("it has a #fragment"));
        }
        if self.kind == ExportKind::Otlp && url.path() == "/" {
            url.set_path("/v1/logs");
        }
        Ok(url)
    }

    /// The variables that hold its secrets.
    pub fn variables(&self) -> impl Iterator<Item = &String> {
        self.headers_env.values().chain(&self.secret_env)
    }

    fn check(&self, settings: &Settings) -> Result<(), String> {
        let url = self.endpoint()?;
        if !self.allow_private {
            addresses::check(&url).map_err(|refused| format!("url: {refused}: set allow_private = true if it is meant"))?;
        }
        in_range("timeout_seconds", self.timeout_seconds, 600)?;
        in_range("batch_max", self.batch_max as u64, 1_000)?;
        if self.attempts > 1_000 {
            return Err(format!("attempts = {} is too many: use 1 to 1000, or 0 to never leave anything out", self.attempts));
        }
        if self.headers.len() + self.headers_env.len() > HEADERS_MAX {
            return Err(format!("headers: more than {HEADERS_MAX} headers"));
        }
        for (name, value) in &self.headers {
            header("headers", name)?;
            if name.eq_ignore_ascii_case("authorization") {
                return Err("headers.Authorization: it is a secret: name a variable that holds it with headers_env".to_owned());
            }
            HeaderValue::from_str(value)
                .map_err(|_| format!("headers.{name}: its value holds characters that cannot be sent"))?;
        }
        for (name, named) in &self.headers_env {
            header("headers_env", name)?;
            variable(&format!("headers_env.{name}"), named)?;
        }
        match (self.kind, &self.secret_env) {
            (ExportKind::Webhook, None) => {
                return Err("secret_env: a webhook is signed: name the variable that holds its secret".to_owned());
            }
            (ExportKind::Otlp, Some(_)) => {
                return Err(
                    "secret_env: OTLP is not signed: send a token with headers_env = { Authorization = VARIABLE }".to_owned()
                );
            }
            (_, Some(named)) => variable("secret_env", named)?,
            (_, None) => {}
        }
        let known = |metric: &&MetricName| !settings.metric.iter().any(|spec| &spec.name == *metric);
        match self.metrics.iter().find(known) {
            Some(metric) => Err(format!("metrics: there is no metric {:?}: add a [[metric]], or take it out", metric.as_str())),
            None => Ok(()),
        }
    }
}

fn in_range(key: &str, value: u64, high: u64) -> Result<(), String> {
    if (1..=high).contains(&value) { Ok(()) } else { Err(format!("{key} = {value} is out of range: use 1 to {high}")) }
}

fn header(list: &str, name: &str) -> Result<(), String> {
    let parsed = name.parse::<HeaderName>().map_err(|_| format!("{list}.{name}: not the name of a header"))?;
    if NOT_TO_BE_SET.contains(&parsed.as_str()) || parsed.as_str().starts_with("webhook-") {
        return Err(format!("{list}.{name}: cannot be set here"));
    }
    Ok(())
}

fn variable(key: &str, name: &str) -> Result<(), String> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(format!("{key}: not the name of an environment variable: write one such as EXPORT_SECRET"));
    }
    if name.to_ascii_uppercase().starts_with("ASSIZE_") {
        return Err(format!("{key}: {name} is Assize's own and is sent to nobody: use a variable of another name"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::config::load::{DEFAULT_TOML, parse};

    fn error(keys: &str) -> Option<String> {
        let text = format!("[[export]]\nname = \"x\"\n{keys}");
        let settings = parse(&text).unwrap();
        super::check(&settings).err().map(|error| error.message)
    }

    #[test]
    fn the_key_that_is_wrong_is_named() {
        let otlp = "kind = \"otlp\"\nurl = \"https://c.example.com\"\n";
        let hook = "kind = \"webhook\"\nurl = \"https://c.example.com/hook\"\n";
        assert_eq!(error(otlp), None);
        assert_eq!(error(&format!("{hook}secret_env = \"S\"")), None);
        assert_eq!(error("kind = \"otlp\"\nurl = \"http://127.0.0.1:4318\"\nallow_private = true"), None);
        for (keys, begin) in [
            (format!("{otlp}timeout_seconds = 0"), "timeout_seconds = 0"),
            (format!("{otlp}batch_max = 1001"), "batch_max = 1001"),
            (format!("{otlp}attempts = 1001"), "attempts = 1001"),
            (format!("{otlp}secret_env = \"S\""), "secret_env:"),
            (hook.to_owned(), "secret_env:"),
            (format!("{hook}secret_env = \"ASSIZE_X\""), "secret_env:"),
            (format!("{otlp}headers = {{ Authorization = \"Bearer x\" }}"), "headers.Authorization:"),
            (format!("{otlp}headers = {{ webhook-id = \"x\" }}"), "headers.webhook-id:"),
            (format!("{otlp}headers_env = {{ \"a b\" = \"X\" }}"), "headers_env.a b:"),
            (format!("{otlp}headers_env = {{ X-Key = \"\" }}"), "headers_env.X-Key:"),
            (format!("{otlp}metrics = [\"nosuch\"]"), "metrics:"),
            ("kind = \"otlp\"\nurl = \"collector:4318\"".to_owned(), "url:"),
            ("kind = \"otlp\"\nurl = \"https://me:pass@c.example.com\"".to_owned(), "url:"),
            ("kind = \"otlp\"\nurl = \"http://169.254.169.254/\"".to_owned(), "url:"),
            ("kind = \"otlp\"\nurl = \"http://127.0.0.1:4318\"".to_owned(), "url:"),
        ] {
            let message = error(&keys).unwrap_or_else(|| panic!("{keys}: nothing was said"));
            assert!(message.starts_with(&format!("[[export]] \"x\": {begin}")), "{keys}: {message}");
            assert!(!message.contains("pass@"), "{message}");
        }
        assert!(parse(DEFAULT_TOML).unwrap().export.is_empty());
    }

    #[test]
    fn a_bare_host_means_the_path_of_logs() {
        let endpoint = |url: &str| {
            let settings = parse(&format!("[[export]]\nname = \"x\"\nkind = \"otlp\"\nurl = \"{url}\"")).unwrap();
            settings.export[0].endpoint().unwrap().to_string()
        };
        assert_eq!(endpoint("https://c.example.com"), "https://c.example.com/v1/logs");
        assert_eq!(endpoint("https://c.example.com:4318/"), "https://c.example.com:4318/v1/logs");
        assert_eq!(endpoint("https://c.example.com/otlp/v1/logs"), "https://c.example.com/otlp/v1/logs");
    }
}
