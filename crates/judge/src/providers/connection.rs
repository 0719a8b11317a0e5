//! The way to a host of models: where it is, who we are there, and what comes back, within limits of time and size.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use assize_core::judge::{CallFailure, CallFailureKind};
use assize_core::{NanoUsd, ProviderName, Timestamp};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::attempt::Attempt;
use super::headroom::Headroom;
use super::rate_limits;
use crate::check::SpecError;
use crate::client::{self, causes};
use crate::spec::ProviderSpec;

/// Bytes of an answer that are read.
pub(super) const BODY_BYTES_MAX: usize = 1 << 20;
const MODEL_CHARS_MAX: usize = 200;

/// How a protocol wants to be spoken to.
pub(super) struct Manner {
    /// The header that carries the key.
    pub(super) key_header: HeaderName,
    /// What stands before the key in it.
    pub(super) key_prefix: &'static str,
    /// Headers of every call.
    pub(super) headers: &'static [(&'static str, &'static str)],
}

/// A client of one host.
pub(super) struct Connection {
    pub(super) name: ProviderName,
    base: Url,
    /// Host and port, as errors name it.
    pub(super) host: String,
    client: Client,
    pub(super) key: Option<SecretString>,
    pub(super) key_variable: Option<String>,
    pub(super) timeout: Duration,
    /// What its answers to live calls say is left.
    pub(super) headroom: Arc<Headroom>,
}

/// What a host answered.
pub(super) enum Answer<T = Value> {
    /// HTTP 2xx with JSON.
    Success(T),
    /// Any other status, with the body if it was JSON.
    Refusal(u16, Value),
}

impl Connection {
    /// Opens a client; nothing is sent yet. The environment's proxy is used, except for hosts on this machine.
    ///
    /// # Errors
    /// Where the specification is refused, the key cannot be sent in a header, or the machine's certificates cannot be read.
    pub(super) fn open(spec: &ProviderSpec, api_key: Option<SecretString>, manner: &Manner) -> Result<Self, SpecError> {
        spec.check()?;
        let base = spec.base()?;
        let key = api_key.map(|key| key.expose_secret().trim().to_owned()).filter(|key| !key.is_empty()).map(SecretString::from);
        let mut headers = HeaderMap::new();
        if let Some(key) = &key {
            let mut value = HeaderValue::try_from(format!("{}{}", manner.key_prefix, key.expose_secret())).map_err(|_| {
                SpecError::new("api_key_env", "the key in this variable holds characters that cannot be sent: copy it again")
            })?;
            value.set_sensitive(true);
            headers.insert(manner.key_header.clone(), value);
        }
        for (name, value) in manner.headers {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));

        let timeout = Duration::from_secs(spec.timeout_seconds);
        let mut client = client::builder(&base, headers, timeout, spec.concurrency);
        if is_loopback(&base) {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| SpecError::new("base_url", format!("no client: {}", causes(&error))))?;
        Ok(Self {
            name: spec.name.clone(),
            host: client::host(&base),
            base,
            client,
            key,
            key_variable: spec.api_key_env.clone(),
            timeout,
            headroom: Arc::default(),
        })
    }

    /// The address of `path` below the base. Each segment is escaped as a whole: what a provider or an operator named cannot lead
    /// elsewhere on the host.
    pub(super) fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// A request to `url`, to be completed and given to [`Self::call`].
    pub(super) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// One attempt: sends the request and reads all of the answer.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        attempt: &mut Attempt<'_>,
    ) -> Result<Answer<T>, CallFailure> {
        let response = self.send(request, attempt).await?;
        let status = response.status();
        match client::read(response, BODY_BYTES_MAX).await {
            Ok(Some(bytes)) if status.is_success() => match serde_json::from_slice(&bytes) {
                Ok(body) => Ok(Answer::Success(body)),
                Err(error) => {
                    // The category, not the error: that may repeat what it stumbled over.
                    let message = format!("an answer from {} that is not JSON ({:?} error)", self.host, error.classify());
                    Err(attempt.because(CallFailureKind::InvalidAnswer, message))
                }
            },
            Ok(None) if status.is_success() => {
                let message = format!("an answer from {} of more than {BODY_BYTES_MAX} bytes", self.host);
                Err(attempt.because(CallFailureKind::InvalidAnswer, message))
            }
            // Whatever became of the body, the status says what kind of failure it is.
            Ok(bytes) => {
                let body = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or(Value::Null);
                Ok(Answer::Refusal(status.as_u16(), body))
            }
            Err(_) if !status.is_success() => Ok(Answer::Refusal(status.as_u16(), Value::Null)),
            Err(error) => Err(self.broken(attempt, &error)),
        }
    }

    /// Sends the request and reads the head of the answer; of a refusal, how long it asks to wait.
    pub(super) async fn send(&self, request: RequestBuilder, attempt: &mut Attempt<'_>) -> Result<Response, CallFailure> {
        let response = request.send().await.map_err(|error| self.broken(attempt, &error))?;
        let now = Timestamp::from_system(SystemTime::now());
        // Calls of the batch APIs, which have nothing judged at hand, have limits of their own.
        if attempt.judged.is_some() {
            self.headroom.note(response.headers(), now, Instant::now());
        }
        if !response.status().is_success() {
            attempt.wait = rate_limits::wait(response.headers(), now);
        }
        Ok(response)
    }

    /// A call that got no whole answer.
    pub(super) fn broken(&self, attempt: &Attempt<'_>, error: &reqwest::Error) -> CallFailure {
        let host = &self.host;
        if error.is_connect() {
            let (kind, message) = match error.is_timeout() {
                true => (CallFailureKind::Timeout, format!("no connection to {host} within its time limit")),
                false => (CallFailureKind::Network, format!("no connection to {host}: {}", causes(error))),
            };
            // Nobody was reached, and so nobody charges for it.
            return CallFailure { cost: Some(NanoUsd::ZERO), ..attempt.because(kind, message) };
        }
        if error.is_timeout() {
            return self.late(attempt);
        }
        attempt.because(CallFailureKind::Network, format!("broken connection to {host}: {}", causes(error)))
    }
}

impl Connection {
    /// A call whose answer did not come in time.
    pub(super) fn late(&self, attempt: &Attempt<'_>) -> CallFailure {
        let within = match attempt.limit {
            Some(limit) => format!("{} s", limit.as_secs()),
            None => format!("{} s (timeout_seconds)", self.timeout.as_secs()),
        };
        attempt.because(CallFailureKind::Timeout, format!("no answer from {} within {within}", self.host))
    }
}

/// The model that an answer says has written it.
pub(super) fn model_name(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).map(|model| model.chars().take(MODEL_CHARS_MAX).collect())
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::AUTHORIZATION;
    use serde_json::json;

    use super::*;

    #[test]
    fn addresses_lie_below_the_base_whatever_is_named() {
        let manner = Manner { key_header: AUTHORIZATION, key_prefix: "Bearer ", headers: &[] };
        for (given, path, url) in [
            ("https://api.openai.com/v1", ["chat", "completions"], "https://api.openai.com/v1/chat/completions"),
            ("http://127.0.0.1:8400/v1/", ["chat", "completions"], "http://127.0.0.1:8400/v1/chat/completions"),
            ("http://127.0.0.1:8400", ["chat", "completions"], "http://127.0.0.1:8400/chat/completions"),
            (
                "https://x.example/openai?api-version=1",
                ["chat", "completions"],
                "https://x.example/openai/chat/completions?api-version=1",
            ),
            ("https://x.example/v1", ["models", "a/b?c#d:go"], "https://x.example/v1/models/a%2Fb%3Fc%23d:go"),
            ("https://x.example/v1", ["batches", "../files"], "https://x.example/v1/batches/..%2Ffiles"),
        ] {
            let spec = serde_json::from_value(json!({"name": "p", "kind": "openai", "base_url": given})).unwrap();
            let connection = Connection::open(&spec, None, &manner).unwrap();
            assert_eq!(connection.url(&path).as_str(), url);
        }
    }
}
