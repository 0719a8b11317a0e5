//! One target: what is sent to it, and what its answer means. One attempt, never a retry, no redirect, no proxy.

use std::ffi::OsString;
use std::time::Duration;

use assize_core::decided::{Decided, DecidedQuery};
use assize_core::{ExportName, Timestamp};
use assize_judge::addresses;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use prost::Message as _;
use reqwest::{Client, Response, StatusCode, Url};

use super::told::Told;
use super::{otlp, webhook};
use crate::config::export::{ExportFrom, ExportKind, ExportSpec};

/// Bytes of results in one delivery; a single larger one goes alone.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 << 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Shorter than what servers and load balancers usually allow, so that it is we who close.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);
/// A target that asks for a longer wait is asked again after this much.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

/// A target of results.
pub struct Target {
    spec: ExportSpec,
    form: Form,
    endpoint: Url,
    /// Host and port, as the log names it: the rest of a URL may hold a token.
    host: String,
    client: Client,
}

enum Form {
    Otlp,
    Webhook(webhook::Keys),
}

/// What an attempt came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Acknowledged; so many of the results were rejected.
    Taken { rejected: u64 },
    /// It may be taken later, after this much if the target said so; perhaps less of it at a time.
    Later { why: String, after: Option<Duration>, is_too_much: bool },
    /// It is not taken, and trying again will hardly help: for what is in it, or whatever is in it.
    Refused { why: String, is_content: bool },
}

/// A delivery that is ready to be sent.
pub(super) struct Parcel {
    /// How many results are in it: the first ones of those given.
    pub count: usize,
    id: String,
    contents: Contents,
}

enum Contents {
    Records(Vec<opentelemetry_proto::tonic::logs::v1::LogRecord>),
    Results(Vec<Box<serde_json::value::RawValue>>),
}

impl Target {
    /// The target as configured; nothing is sent yet. `variable` looks up the environment.
    ///
    /// # Errors
    /// What is wrong, beginning with the key.
    pub fn open(spec: &ExportSpec, variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, String> {
        let endpoint = spec.endpoint()?;
        let form = match (spec.kind, &spec.secret_env) {
            (ExportKind::Otlp, _) => Form::Otlp,
            (ExportKind::Webhook, None) => {
                return Err("secret_env: a webhook is signed: name the variable of its secret".to_owned());
            }
            (ExportKind::Webhook, Some(named)) => {
                let keys = webhook::Keys::read(&value_of("secret_env", named, variable)?);
                Form::Webhook(keys.map_err(|what| format!("secret_env: what {named} holds {what}"))?)
            }
        };
        assize_judge::providers::install_tls();
        let timeout = Duration::from_secs(spec.timeout_seconds);
        let mut client = Client::builder()
            .user_agent(concat!("assize/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers(spec, &form, variable)?)
            .timeout(timeout)
            .connect_timeout(timeout.min(CONNECT_TIMEOUT))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .retry(reqwest::retry::never())
            .referer(false)
            .http1_only()
            .tcp_nodelay(true)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(1);
        if endpoint.scheme() == "http" {
            // No redirect is followed either, so no certificate will be needed.
            client = client.tls_certs_only([]);
        }
        if !spec.allow_private {
            addresses::check(&endpoint).map_err(|refused| format!("url: {refused}: set allow_private = true if it is meant"))?;
            client = addresses::public_only(client);
        }
        let client = client.build().map_err(|error| format!("url: no client: {}", causes(&error)))?;
        let host = endpoint.host_str().unwrap_or_default();
        let host = endpoint.port().map_or(host.to_owned(), |port| format!("{host}:{port}"));
        Ok(Self { spec: spec.clone(), form, endpoint, host, client })
    }

    pub fn name(&self) -> &ExportName {
        &self.spec.name
    }

    pub fn from(&self) -> ExportFrom {
        self.spec.from
    }

    pub(super) fn spec(&self) -> &ExportSpec {
        &self.spec
    }

    /// What it is to be told of next.
    pub(super) fn query(&self, after: u64, limit: usize) -> DecidedQuery {
        DecidedQuery { after, projects: self.spec.projects.clone(), metrics: self.spec.metrics.clone(), limit }
    }

    /// As many of `results`, in their order, as make one delivery: at least one.
    pub(super) fn pack(&self, results: &[Decided]) -> Parcel {
        let mut keys = Vec::with_capacity(results.len());
        let (mut records, mut shown) = (Vec::new(), Vec::new());
        let mut bytes = 0_usize;
        for decided in results {
            let told = Told::of(decided, self.spec.explanations);
            match self.form {
                Form::Otlp => {
                    let record = otlp::record(&told);
                    bytes = bytes.saturating_add(record.encoded_len());
                    records.push(record);
                }
                Form::Webhook(_) => {
                    // Plain data: this cannot fail.
                    let result = webhook::result(&told).unwrap_or_default();
                    bytes = bytes.saturating_add(result.get().len());
                    shown.push(result);
                }
            }
            if bytes > BODY_BYTES_MAX && !keys.is_empty() {
                records.truncate(keys.len());
                shown.truncate(keys.len());
                break;
            }
            keys.push(told.key);
        }
        let contents = match self.form {
            Form::Otlp => Contents::Records(records),
            Form::Webhook(_) => Contents::Results(shown),
        };
        Parcel { count: keys.len(), id: webhook::id(keys.iter().map(String::as_str)), contents }
    }

    /// Sends it once.
    pub(super) async fn attempt(&self, parcel: Parcel, now: Timestamp) -> Answer {
        let count = parcel.count as u64;
        let mut request = self.client.post(self.endpoint.clone());
        let body = match parcel.contents {
            Contents::Records(records) => otlp::body(records),
            Contents::Results(results) => webhook::body(&parcel.id, &results, now),
        };
        if let Form::Webhook(keys) = &self.form {
            let seconds = now.0.div_euclid(1_000);
            request = request
                .header("webhook-id", &parcel.id)
                .header("webhook-timestamp", seconds)
                .header("webhook-signature", keys.sign(&parcel.id, seconds, &body));
        }
        let response = match request.body(body).send().await {
            Ok(response) => response,
            Err(error) => return self.broken(&error),
        };
        let status = response.status();
        let after = retry_after(response.headers(), now);
        if status.is_success() {
            // The status is the acknowledgement, whatever becomes of the rest of the answer.
            let answer = read(response).await;
            let rejected = if matches!(self.form, Form::Otlp) { otlp::rejected(&answer, count) } else { 0 };
            return Answer::Taken { rejected };
        }
        self.answered(status, after)
    }

    /// What an answer that is no success means. Its text is not looked at: it may repeat what was sent.
    fn answered(&self, status: StatusCode, after: Option<Duration>) -> Answer {
        let code = status.as_u16();
        let why = format!("HTTP {code} from {}", self.host);
        match code {
            408 | 425 | 429 => Answer::Later { why, after, is_too_much: code == 408 },
            500.. => Answer::Later { why, after, is_too_much: true },
            400 | 413 | 422 => Answer::Refused { why, is_content: true },
            300..=399 => Answer::Refused {
                why: format!("{why}: redirects are not followed: set url to where it leads"),
                is_content: false,
            },
            401 | 403 => {
                Answer::Refused { why: format!("{why}: check what the variables of its headers hold"), is_content: false }
            }
            _ => Answer::Refused { why, is_content: false },
        }
    }

    fn broken(&self, error: &reqwest::Error) -> Answer {
        let host = &self.host;
        let (why, is_too_much) = if let Some(refused) = addresses::refused(error) {
            (format!("{refused}: set allow_private = true for this export if it is meant"), false)
        } else if error.is_connect() {
            (format!("no connection to {host}: {}", causes(error)), false)
        } else if error.is_timeout() {
            (format!("no answer from {host} within {} s (timeout_seconds)", self.spec.timeout_seconds), true)
        } else {
            (format!("broken connection to {host}: {}", causes(error)), true)
        };
        Answer::Later { why, after: None, is_too_much }
    }
}

/// All headers that do not change.
fn headers(spec: &ExportSpec, form: &Form, variable: &dyn Fn(&str) -> Option<OsString>) -> Result<HeaderMap, String> {
    let content_type = match form {
        Form::Otlp => otlp::CONTENT_TYPE,
        Form::Webhook(_) => webhook::CONTENT_TYPE,
    };
    let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
    let parse =
        |list: &str, name: &str| name.parse::<HeaderName>().map_err(|_| format!("{list}.{name}: not the name of a header"));
    for (name, value) in &spec.headers {
        let value = HeaderValue::from_str(value).map_err(|_| format!("headers.{name}: its value cannot be sent"))?;
        headers.insert(parse("headers", name)?, value);
    }
    for (name, named) in &spec.headers_env {
        let key = format!("headers_env.{name}");
        let mut value = HeaderValue::try_from(value_of(&key, named, variable)?)
            .map_err(|_| format!("{key}: {named} holds characters that cannot be sent: set it again"))?;
        value.set_sensitive(true);
        headers.insert(parse("headers_env", name)?, value);
    }
    Ok(headers)
}

fn value_of(key: &str, named: &str, variable: &dyn Fn(&str) -> Option<OsString>) -> Result<String, String> {
    let value = variable(named).and_then(|value| value.into_string().ok()).map(|value| value.trim().to_owned());
    value
        .filter(|value| !value.is_empty())
        .ok_or_else(|| format!("{key}: the variable {named} is not set: export it where Assize is started"))
}

/// The wait that an answer asks for, in seconds or until a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let until = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
            Timestamp(until.as_millisecond()).since(now)
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// The beginning of an answer, as far as it comes.
async fn read(mut response: Response) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > ANSWER_BYTES_MAX {
            // The rest is not read, so that this connection is not used again.
            break;
        }
    }
    bytes
}

/// What is behind an error, without the URL.
fn causes(error: &reqwest::Error) -> String {
    let mut chain = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        chain.push(error.to_string());
        source = error.source();
    }
    if chain.is_empty() { "no cause was given".to_owned() } else { chain.join(": ") }
}

#[cfg(test)]
mod tests {
    use super::super::told::tests::judged;
    use super::*;
    use crate::config::load::parse;

    fn spec(keys: &str) -> ExportSpec {
        let text = format!("[[export]]\nname = \"x\"\nurl = \"https://c.example.com/\"\n{keys}");
        parse(&text).unwrap().export.remove(0)
    }

    const HOOK: &str = "kind = \"webhook\"\nsecret_env = \"SECRET\"";

    fn variable(name: &str) -> Option<OsString> {
        match name {
            "SECRET" => Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n".into()),
            "WORD" => Some("hunter2".into()),
            "LINES" => Some("a\nb".into()),
            _ => None,
        }
    }

    fn open(keys: &str) -> Result<Target, String> {
        Target::open(&spec(keys), &variable)
    }

    #[test]
    fn what_a_variable_lacks_is_said_and_its_value_is_not() {
        assert!(open(HOOK).is_ok());
        for (keys, begin) in [
            ("kind = \"webhook\"\nsecret_env = \"NONE\"", "secret_env: the variable NONE is not set"),
            ("kind = \"webhook\"\nsecret_env = \"WORD\"", "secret_env: what WORD holds is no secret"),
            ("kind = \"otlp\"\nheaders_env = { X-Key = \"NONE\" }", "headers_env.X-Key: the variable NONE"),
            ("kind = \"otlp\"\nheaders_env = { X-Key = \"LINES\" }", "headers_env.X-Key: LINES holds characters"),
        ] {
            let error = open(keys).err().unwrap();
            assert!(error.starts_with(begin) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_delivery_is_bounded_by_bytes_and_never_empty() {
        for keys in [HOOK, "kind = \"otlp\""] {
            let target = open(keys).unwrap();
            let of = |reason: usize, count: usize| {
                let mut decided = judged("i");
                decided.verdict.as_mut().unwrap().reason = "x".repeat(reason);
                target.pack(&vec![decided; count]).count
            };
            assert_eq!(of(10, 500), 500);
            let packed = of(100_000, 20);
            assert_eq!(packed, 10, "of a tenth of the bound each");
            assert_eq!(of(BODY_BYTES_MAX * 2, 3), 1);
        }
    }

    #[test]
    fn answers_are_told_apart() {
        let target = open(HOOK).unwrap();
        let kind = |code: u16| match target.answered(StatusCode::from_u16(code).unwrap(), None) {
            Answer::Taken { .. } => "taken",
            Answer::Later { .. } => "later",
            Answer::Refused { is_content: true, .. } => "content",
            Answer::Refused { .. } => "refused",
        };
        for (codes, expected) in [
            (&[408, 425, 429, 500, 502, 503, 504, 599][..], "later"),
            (&[400, 413, 422], "content"),
            (&[301, 307, 401, 403, 404, 405, 410, 415], "refused"),
        ] {
            for code in codes {
                assert_eq!(kind(*code), expected, "{code}");
            }
        }
    }

    #[test]
    fn a_wait_is_read_and_bounded() {
        let now = Timestamp::parse("2026-11-24T08:00:00Z").unwrap();
        let wait = |text: &str| {
            retry_after(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(text).unwrap())]), now)
                .map(|wait| wait.as_secs())
        };
        assert_eq!(wait("7"), Some(7));
        assert_eq!(wait("86400"), Some(600));
        assert_eq!(wait("Tue, 24 Nov 2026 08:01:30 GMT"), Some(90));
        assert_eq!(wait("Tue, 24 Nov 2026 07:01:30 GMT"), Some(0));
        assert_eq!(wait("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
