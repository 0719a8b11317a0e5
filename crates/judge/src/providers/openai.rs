//! OpenAI's chat completions, and every host that speaks them: `POST {base_url}/chat/completions`.
//!
//! One attempt, never a retry. The verdict is asked for as a strict JSON schema; what comes back is read with distrust, because many
//! hosts ignore that. Formats: <https://platform.openai.com/docs/api-reference/chat>.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use assize_core::judge::{CallFailure, CallFailureKind};
use assize_core::{ProviderName, Timestamp, TokenUsage};
use async_trait::async_trait;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Response, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::rate_limits::{self, Wait};
use super::repeatable::repeatable;
use super::{Completion, Headroom, Provider, Request};
use crate::answer;
use crate::check::SpecError;
use crate::spec::{ProviderSpec, ResponseFormat};

const BODY_BYTES_MAX: usize = 1 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Shorter than what servers and load balancers usually allow, so that it is we who close.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);
const MODEL_CHARS_MAX: usize = 200;

/// A host of chat completions.
pub struct OpenAi {
    name: ProviderName,
    endpoint: Url,
    /// Host and port, as errors name it.
    host: String,
    client: Client,
    key: Option<SecretString>,
    key_variable: Option<String>,
    timeout: Duration,
    schema: Box<RawValue>,
    headroom: Arc<Headroom>,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: (WireMessage<&'a RawValue>, WireMessage<&'a str>),
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<WireFormat<'a>>,
    max_completion_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
}

#[derive(Serialize)]
struct WireMessage<T> {
    role: &'static str,
    content: T,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WireFormat<'a> {
    JsonSchema { json_schema: NamedSchema<'a> },
    JsonObject,
}

#[derive(Serialize)]
struct NamedSchema<'a> {
    name: &'static str,
    strict: bool,
    schema: &'a RawValue,
}

/// What an attempt knows when it fails.
struct Failed<'a> {
    request: &'a Request<'a>,
    latency_ms: u64,
    wait: Wait,
    usage: Option<TokenUsage>,
}

impl Failed<'_> {
    fn because(self, kind: CallFailureKind, message: String) -> CallFailure {
        CallFailure {
            kind,
            message,
            retry_after: self.wait.retry_after,
            headroom_gone: self.wait.headroom_gone,
            usage: self.usage,
            cost: None,
            latency_ms: self.latency_ms,
        }
    }
}

impl OpenAi {
    /// Opens a client; nothing is sent yet. The environment's proxy is used, except for hosts on this machine.
    ///
    /// # Errors
    /// Where the specification is refused, the key cannot be sent in a header, or the machine's certificates cannot be read.
    pub fn open(spec: &ProviderSpec, api_key: Option<SecretString>) -> Result<Self, SpecError> {
        spec.check()?;
        let endpoint = spec.endpoint()?;
        super::install_tls();
        let key = api_key.map(|key| key.expose_secret().trim().to_owned()).filter(|key| !key.is_empty()).map(SecretString::from);
        let mut headers = HeaderMap::new();
        if let Some(key) = &key {
            let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose_secret())).map_err(|_| {
                SpecError::new("api_key_env", "the key in this variable holds characters that cannot be sent: copy it again")
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));

        let timeout = Duration::from_secs(spec.timeout_seconds);
        let mut client = Client::builder()
            .user_agent(concat!("assize/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .timeout(timeout)
            .connect_timeout(timeout.min(CONNECT_TIMEOUT))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .http1_only()
            .tcp_nodelay(true)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(spec.concurrency);
        if endpoint.scheme() == "http" {
            // No redirect is followed either, so no certificate will be needed.
            client = client.tls_certs_only([]);
        }
        if is_loopback(&endpoint) {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| SpecError::new("base_url", format!("no client: {}", causes(&error))))?;
        let schema = RawValue::from_string(answer::SCHEMA.to_owned())
            .map_err(|error| SpecError::new("kind", format!("the answer's schema: {error}")))?;
        let host = endpoint.host_str().unwrap_or_default();
        Ok(Self {
            name: spec.name.clone(),
            host: endpoint.port().map_or(host.to_owned(), |port| format!("{host}:{port}")),
            endpoint,
            client,
            key,
            key_variable: spec.api_key_env.clone(),
            timeout,
            schema,
            headroom: Arc::default(),
        })
    }

    fn body(&self, request: &Request<'_>) -> Result<Vec<u8>, serde_json::Error> {
        let mut body = Vec::with_capacity(request.system.len() + request.item.len() + request.item.len() / 8 + 512);
        serde_json::to_writer(
            &mut body,
            &Body {
                model: request.model,
                messages: (
                    WireMessage { role: "system", content: request.system_json },
                    WireMessage { role: "user", content: request.item },
                ),
                response_format: match request.response_format {
                    ResponseFormat::JsonSchema => Some(WireFormat::JsonSchema {
                        json_schema: NamedSchema { name: "verdict", strict: true, schema: &self.schema },
                    }),
                    ResponseFormat::JsonObject => Some(WireFormat::JsonObject),
                    ResponseFormat::Text => None,
                },
                max_completion_tokens: request.max_completion_tokens,
                temperature: request.temperature,
                seed: request.seed,
            },
        )?;
        Ok(body)
    }

    fn broken(&self, failed: Failed<'_>, error: reqwest::Error) -> CallFailure {
        let host = &self.host;
        if error.is_timeout() {
            let seconds = self.timeout.as_secs();
            let message = if error.is_connect() {
                format!("no connection to {host} within its time limit")
            } else {
                format!("no answer from {host} within {seconds} s (timeout_seconds)")
            };
            return failed.because(CallFailureKind::Timeout, message);
        }
        let what = if error.is_connect() { "no connection to" } else { "broken connection to" };
        failed.because(CallFailureKind::Network, format!("{what} {host}: {}", causes(&error)))
    }

    /// An answer that is no success.
    fn refused(&self, failed: Failed<'_>, status: u16, body: &Value) -> CallFailure {
        let said = self.said(failed.request, body);
        let at = format!("HTTP {status} from {}", self.host);
        let code = body.pointer("/error/code").and_then(Value::as_str);
        let (kind, message) = match status {
            401 => (CallFailureKind::Unauthorized, format!("{at}: {}", self.key_advice())),
            403 => (CallFailureKind::Unauthorized, format!("{at}: {said}; {}", self.key_advice())),
            // No wait brings this back: somebody has to pay.
            429 if code == Some("insufficient_quota") => {
                (CallFailureKind::Rejected, format!("{at}: {said}; the account's quota is used up"))
            }
            429 => (CallFailureKind::RateLimited, format!("{at}: {said}")),
            408 | 500..=599 => (CallFailureKind::Unavailable, format!("{at}: {said}")),
            300..=399 => (
                CallFailureKind::Rejected,
                format!("{at}: redirects are not followed; set base_url to the address that it redirects to"),
            ),
            404 => (CallFailureKind::Rejected, format!("{at}: {said}; check the judge's model and the provider's base_url")),
            // Azure's filter of prompts, and OpenAI's.
            400 if matches!(code, Some("content_filter" | "invalid_prompt")) => {
                (CallFailureKind::Refused, format!("{at}: a content filter stopped the item: {said}"))
            }
            _ if body.to_string().contains("response_format") => (
                CallFailureKind::Rejected,
                format!(
                    "{at}: {said}; set response_format = \"json_object\" or \"text\" for this judge, or choose another model"
                ),
            ),
            _ => (CallFailureKind::Rejected, format!("{at}: {said}")),
        };
        failed.because(kind, message)
    }

    fn key_advice(&self) -> String {
        match (&self.key_variable, &self.key) {
            (Some(variable), Some(_)) => format!("the key in {variable} is not accepted here; check it"),
            (Some(variable), None) => format!("{variable} is not set; put the API key there"),
            (None, _) => "it wants an API key; name the variable that holds it in the provider's api_key_env".to_owned(),
        }
    }

    /// The provider's own words about an error.
    fn said(&self, request: &Request<'_>, body: &Value) -> String {
        let error = body.get("error").unwrap_or(body);
        let message = [error.get("message"), Some(error), body.get("message"), body.get("detail")]
            .into_iter()
            .flatten()
            .find_map(Value::as_str)
            .unwrap_or("it gave no reason");
        let key = self.key.as_ref().map_or("", |key| key.expose_secret());
        repeatable(message.trim_end_matches('.'), key, request.item)
    }

    fn completed(&self, mut failed: Failed<'_>, body: &Value) -> Result<Completion, CallFailure> {
        let usage = usage(body.get("usage"));
        failed.usage = usage;
        let Some(choice) = body.pointer("/choices/0") else {
            // Some gateways report errors of the model behind them with HTTP 200.
            return Err(match body.pointer("/error/code").and_then(Value::as_u64) {
                Some(status @ 400..=599) => self.refused(failed, status as u16, body),
                _ if body.get("error").is_some() => {
                    let message = format!("an error as an answer from {}: {}", self.host, self.said(failed.request, body));
                    failed.because(CallFailureKind::InvalidAnswer, message)
                }
                _ => failed.because(CallFailureKind::InvalidAnswer, format!("an answer without choices from {}", self.host)),
            });
        };
        let finish = choice.get("finish_reason").and_then(Value::as_str).unwrap_or_default();
        let refusal = choice.pointer("/message/refusal").and_then(Value::as_str).unwrap_or_default();
        if finish == "content_filter" {
            let message = format!("a content filter of {} stopped the judge's answer", self.host);
            return Err(failed.because(CallFailureKind::Refused, message));
        }
        if !refusal.is_empty() {
            return Err(failed.because(CallFailureKind::Refused, "the model declined to judge this item".to_owned()));
        }
        Ok(Completion {
            text: choice.pointer("/message/content").and_then(Value::as_str).unwrap_or_default().to_owned(),
            cut_short: finish == "length",
            model: body.get("model").and_then(Value::as_str).map(|model| model.chars().take(MODEL_CHARS_MAX).collect()),
            usage,
            latency_ms: failed.latency_ms,
            simulated: false,
        })
    }
}

#[async_trait]
impl Provider for OpenAi {
    fn name(&self) -> &ProviderName {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "openai"
    }

    async fn complete(&self, request: &Request<'_>) -> Result<Completion, CallFailure> {
        let started = Instant::now();
        let failed = |wait| Failed {
            request,
            latency_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            wait,
            usage: None,
        };
        let body = match self.body(request) {
            Ok(body) => body,
            Err(error) => {
                let message = format!("the request cannot be written as JSON: {error}");
                return Err(failed(Wait::default()).because(CallFailureKind::Rejected, message));
            }
        };
        let response = match self.client.post(self.endpoint.clone()).body(body).send().await {
            Ok(response) => response,
            Err(error) => return Err(self.broken(failed(Wait::default()), error)),
        };
        let status = response.status();
        self.headroom.note(response.headers(), Timestamp::from_system(SystemTime::now()), Instant::now());
        let wait = if status.is_success() {
            Wait::default()
        } else {
            rate_limits::wait(response.headers(), Timestamp::from_system(SystemTime::now()))
        };
        match read(response).await {
            Ok(Some(bytes)) if status.is_success() => match serde_json::from_slice(&bytes) {
                Ok(body) => self.completed(failed(wait), &body),
                Err(error) => {
                    // The category, not the error: that may repeat what it stumbled over.
                    let message = format!("an answer from {} that is not JSON ({:?} error)", self.host, error.classify());
                    Err(failed(wait).because(CallFailureKind::InvalidAnswer, message))
                }
            },
            Ok(None) if status.is_success() => {
                let message = format!("an answer from {} of more than {BODY_BYTES_MAX} bytes", self.host);
                Err(failed(wait).because(CallFailureKind::InvalidAnswer, message))
            }
            // Whatever became of the body, the status says what kind of failure it is.
            Ok(bytes) => {
                let body = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or(Value::Null);
                Err(self.refused(failed(wait), status.as_u16(), &body))
            }
            Err(_) if !status.is_success() => Err(self.refused(failed(wait), status.as_u16(), &Value::Null)),
            Err(error) => Err(self.broken(failed(wait), error)),
        }
    }

    fn headroom(&self) -> Option<Arc<Headroom>> {
        Some(Arc::clone(&self.headroom))
    }
}

/// The body, or `None` where it is longer than the limit.
async fn read(mut response: Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// `prompt_tokens` includes cached ones, `completion_tokens` reasoning. `None` unless both are there.
fn usage(usage: Option<&Value>) -> Option<TokenUsage> {
    let usage = usage?;
    let count = |pointer| usage.pointer(pointer).and_then(Value::as_u64);
    Some(TokenUsage {
        input: count("/prompt_tokens")?,
        output: count("/completion_tokens")?,
        cached_input: count("/prompt_tokens_details/cached_tokens").unwrap_or(0),
        cache_write: count("/prompt_tokens_details/cache_write_tokens").unwrap_or(0),
    })
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        None => false,
    }
}

/// The chain of causes without the address, which may hold what is nobody's business; the outermost only says that something failed.
fn causes(error: &reqwest::Error) -> String {
    let mut chain = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        chain.push(error.to_string());
        source = error.source();
    }
    if chain.is_empty() { "no cause was given".to_owned() } else { chain.join(": ") }
}
