//! How a service is written as a judge: `[[judge]]` with `kind = "http"`.

use std::collections::BTreeMap;

use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use crate::check::{SpecError, ensure, in_range};
use crate::exchange;

/// A service as a judge. It may be sent a secret of the environment, so it comes from the operator's configuration file only: see
/// [`crate::spec::JudgeKind::is_operators_alone`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSpec {
    /// Where it is asked, by POST.
    pub url: String,
    /// Headers that it is sent. Secrets do not belong here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Headers whose values are in these variables: `{ X-Api-Key = "JUDGE_KEY" }`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers_env: BTreeMap<String, String>,
    /// The variable that holds what goes into `Authorization`: a token (sent as `Bearer`), or scheme and credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_env: Option<String>,
    /// An attempt that takes longer is given up, in seconds (1 to 600).
    #[serde(default = "timeout_seconds")]
    pub timeout_seconds: u64,
    /// Calls in flight at once (1 to 10,000).
    #[serde(default = "concurrency")]
    pub concurrency: usize,
    /// Attempts per item before it goes back to the queue (1 to 10).
    #[serde(default = "attempts")]
    pub attempts: u32,
    /// Whether it may be on this machine, in a private network, or at another address that is not public.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_private: bool,
    /// Names the judge's version in place of the URL. To be changed with everything behind it that changes an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What one call costs, in USD; nothing where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_per_call_usd: Option<f64>,
}

fn timeout_seconds() -> u64 {
    30
}

fn concurrency() -> usize {
    20
}

fn attempts() -> u32 {
    3
}

const HEADERS_MAX: usize = 50;
/// These say how the request is made, or belong into a variable.
const NOT_TO_BE_SET: [&str; 8] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
];

impl HttpSpec {
    /// Checks address, headers and limits. Names are not resolved.
    pub fn check(&self) -> Result<(), SpecError> {
        let url = self.endpoint()?;
        if !self.allow_private {
            crate::addresses::check(&url)
                .map_err(|refused| SpecError::new("url", format!("{refused}: set allow_private = true if it is meant")))?;
        }
        in_range("timeout_seconds", self.timeout_seconds, 1, 600)?;
        in_range("concurrency", self.concurrency, 1, 10_000)?;
        in_range("attempts", self.attempts, 1, 10)?;
        ensure(self.headers.len() + self.headers_env.len() <= HEADERS_MAX, "headers", || {
            format!("more than {HEADERS_MAX} headers")
        })?;
        for (name, value) in &self.headers {
            header("headers", name)?;
            ensure(HeaderValue::from_str(value).is_ok(), format!("headers.{name}"), || {
                "its value holds characters that cannot be sent".into()
            })?;
        }
        for (name, named) in &self.headers_env {
            header("headers_env", name)?;
            variable(&format!("headers_env.{name}"), named)?;
        }
        if let Some(named) = &self.authorization_env {
            variable("authorization_env", named)?;
        }
        ensure(
            self.version.as_ref().is_none_or(|version| !version.trim().is_empty() && version.len() <= 256),
            "version",
            || "use 1 to 256 bytes, or leave it out: the URL then makes the version".into(),
        )?;
        exchange::price(self.price_per_call_usd).map(|_| ())
    }

    /// The address. The text of one that is wrong is not repeated: it may hold a password.
    pub(super) fn endpoint(&self) -> Result<Url, SpecError> {
        let wrong =
            |why: &str| SpecError::new("url", format!("{why}: write an address such as https://judge.example.com/v1/judge"));
        let url = Url::parse(&self.url).map_err(|error| wrong(&format!("not a URL ({error})")))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(wrong("neither http:// nor https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("it holds a password, which belongs in the variable that authorization_env names"));
        }
        if url.fragment().is_some() {
            return Err(wrong("it has a #fragment"));
        }
        Ok(url)
    }
}

fn header(key: &str, name: &str) -> Result<(), SpecError> {
    let key = || format!("{key}.{name}");
    let parsed = name.parse::<HeaderName>().map_err(|_| SpecError::new(key(), "not the name of a header"))?;
    ensure(!NOT_TO_BE_SET.contains(&parsed.as_str()), key(), || {
        "cannot be set here; for credentials name a variable with authorization_env".into()
    })
}

fn variable(key: &str, name: &str) -> Result<(), SpecError> {
    ensure(!name.is_empty() && !name.contains(['=', '\0']), key, || {
        "not the name of an environment variable: write one such as JUDGE_TOKEN".into()
    })?;
    ensure(!name.to_ascii_uppercase().starts_with("ASSIZE_"), key, || {
        format!("{name} is Assize's own and is sent to nobody: use a variable of another name")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::spec::JudgeSpec;

    fn http(change: Value) -> Result<(), String> {
        let mut spec = json!({"name": "j", "kind": "http", "url": "https://judge.example.com/judge"});
        spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        serde_json::from_value::<JudgeSpec>(spec).unwrap().check().map_err(|error| error.key)
    }

    #[test]
    fn the_key_that_is_wrong_is_named() {
        let good = json!({"headers": {"X-Team": "a"}, "headers_env": {"X-Api-Key": "K"}, "authorization_env": "T",
            "price_per_call_usd": 0.01});
        assert_eq!(http(good), Ok(()));
        assert_eq!(http(json!({"url": "http://127.0.0.1:1/", "allow_private": true})), Ok(()));
        for (change, key) in [
            (json!({"url": "judge.example.com"}), "url"),
            (json!({"url": "file:///etc/passwd"}), "url"),
            (json!({"url": "https://me:secret@x/"}), "url"),
            (json!({"url": "http://127.0.0.1:1/"}), "url"),
            (json!({"url": "http://[::ffff:a9fe:a9fe]/"}), "url"),
            (json!({"timeout_seconds": 0}), "timeout_seconds"),
            (json!({"concurrency": 0}), "concurrency"),
            (json!({"attempts": 11}), "attempts"),
            (json!({"headers": {"Authorization": "Bearer x"}}), "headers.Authorization"),
            (json!({"headers": {"a b": "x"}}), "headers.a b"),
            (json!({"headers": {"X-A": "a\nb"}}), "headers.X-A"),
            (json!({"headers_env": {"Host": "H"}}), "headers_env.Host"),
            (json!({"headers_env": {"X-A": ""}}), "headers_env.X-A"),
            (json!({"authorization_env": "ASSIZE_KEY"}), "authorization_env"),
            (json!({"version": ""}), "version"),
            (json!({"price_per_call_usd": 1e9}), "price_per_call_usd"),
        ] {
            assert_eq!(http(change.clone()), Err(key.into()), "{change}");
        }
    }
}
