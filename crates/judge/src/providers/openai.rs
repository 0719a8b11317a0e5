//! OpenAI's chat completions, and every host that speaks them: `POST {base_url}/chat/completions`.
//!
//! One attempt, never a retry. The verdict is asked for as a strict JSON schema; what comes back is read with distrust, because many
//! hosts ignore that. The constant part goes first and the item last, so that hosts find the beginning in their prompt caches.
//! Formats: <https://platform.openai.com/docs/api-reference/chat>.

use std::sync::Arc;

use assize_core::judge::{CallFailure, CallFailureKind};
use assize_core::{ProviderName, TokenUsage};
use async_trait::async_trait;
use reqwest::Method;
use reqwest::header::AUTHORIZATION;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::attempt::Attempt;
use super::connection::{Answer, Connection, Manner, model_name};
use super::refusal::unwritable;
use super::{Completion, Headroom, Provider, Request, prompt_cache_key};
use crate::answer::logprobs::TokenLogprobs;
use crate::check::SpecError;
use crate::spec::{ProviderSpec, ResponseFormat};

/// As many as OpenAI gives.
const TOP_LOGPROBS: u8 = 20;

/// A host of chat completions.
pub struct OpenAi {
    pub(super) connection: Connection,
    sends_cache_key: bool,
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
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    logprobs: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_key: Option<&'a str>,
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

impl OpenAi {
    /// Opens a client; nothing is sent yet.
    ///
    /// # Errors
    /// Where the specification is refused, the key cannot be sent in a header, or the machine's certificates cannot be read.
    pub fn open(spec: &ProviderSpec, api_key: Option<SecretString>) -> Result<Self, SpecError> {
        let manner = Manner { key_header: AUTHORIZATION, key_prefix: "Bearer ", headers: &[] };
        let connection = Connection::open(spec, api_key, &manner)?;
        Ok(Self { sends_cache_key: prompt_cache_key::is_sent(spec, &connection.host), connection })
    }

    /// What is sent for `request`, live or in a batch.
    pub(super) fn body(&self, request: &Request<'_>) -> Result<Vec<u8>, CallFailure> {
        let mut body = Vec::with_capacity(request.system.len() + request.item.len() + request.item.len() / 8 + 512);
        let written = serde_json::to_writer(
            &mut body,
            &Body {
                model: request.model,
                messages: (
                    WireMessage { role: "system", content: request.system_json },
                    WireMessage { role: "user", content: request.item },
                ),
                response_format: match request.response_format {
                    ResponseFormat::JsonSchema => Some(WireFormat::JsonSchema {
                        json_schema: NamedSchema { name: "verdict", strict: true, schema: request.schema },
                    }),
                    ResponseFormat::JsonObject => Some(WireFormat::JsonObject),
                    ResponseFormat::Text => None,
                },
                max_completion_tokens: request.max_completion_tokens,
                temperature: request.temperature,
                seed: request.seed,
                logprobs: request.logprobs,
                top_logprobs: request.logprobs.then_some(TOP_LOGPROBS),
                prompt_cache_key: self.sends_cache_key.then_some(request.prompt_cache_key),
            },
        );
        written.map(|()| body).map_err(unwritable)
    }

    /// An answer that is no success.
    pub(super) fn refused(&self, attempt: &Attempt<'_>, status: u16, body: &Value) -> CallFailure {
        let connection = &self.connection;
        let said = || connection.said(attempt, body);
        let at = connection.at(status);
        let code = body.pointer("/error/code").and_then(Value::as_str);
        match status {
            // No wait brings this back: somebody has to pay.
            429 if code == Some("insufficient_quota") => {
                attempt.because(CallFailureKind::Rejected, format!("{at}: {}; the account's quota is used up", said()))
            }
            // Azure's filter of prompts, and OpenAI's.
            400 if matches!(code, Some("content_filter" | "invalid_prompt")) => {
                attempt.because(CallFailureKind::Refused, format!("{at}: a content filter stopped the item: {}", said()))
            }
            400..=499 if !matches!(status, 401 | 403 | 404 | 408 | 429) && body.to_string().contains("response_format") => {
                let advice = "set response_format = \"json_object\" or \"text\" for this judge, or choose another model";
                attempt.because(CallFailureKind::Rejected, format!("{at}: {}; {advice}", said()))
            }
            _ => connection.refused(attempt, status, body),
        }
    }

    /// Reads a completion.
    pub(super) fn completed(&self, mut attempt: Attempt<'_>, body: &Value) -> Result<Completion, CallFailure> {
        let usage = usage(body.get("usage"));
        attempt.usage = usage;
        let Some(choice) = body.pointer("/choices/0") else {
            // Some gateways report errors of the model behind them with HTTP 200.
            return Err(match body.pointer("/error/code").and_then(Value::as_u64) {
                Some(status @ 400..=599) => self.refused(&attempt, status as u16, body),
                _ if body.get("error").is_some() => {
                    let message =
                        format!("an error as an answer from {}: {}", self.connection.host, self.connection.said(&attempt, body));
                    attempt.because(CallFailureKind::InvalidAnswer, message)
                }
                _ => attempt
                    .because(CallFailureKind::InvalidAnswer, format!("an answer without choices from {}", self.connection.host)),
            });
        };
        let finish = choice.get("finish_reason").and_then(Value::as_str).unwrap_or_default();
        let refusal = choice.pointer("/message/refusal").and_then(Value::as_str).unwrap_or_default();
        if finish == "content_filter" {
            let message = format!("a content filter of {} stopped the judge's answer", self.connection.host);
            return Err(attempt.because(CallFailureKind::Refused, message));
        }
        if !refusal.is_empty() {
            return Err(attempt.because(CallFailureKind::Refused, "the model declined to judge this item".to_owned()));
        }
        Ok(Completion {
            text: choice.pointer("/message/content").and_then(Value::as_str).unwrap_or_default().to_owned(),
            cut_short: finish == "length",
            logprobs: choice.pointer("/logprobs/content").and_then(Value::as_array).map(|tokens| logprobs(tokens)),
            model: model_name(body.get("model")),
            usage,
            latency_ms: attempt.latency_ms(),
            simulated: false,
        })
    }
}

#[async_trait]
impl Provider for OpenAi {
    fn name(&self) -> &ProviderName {
        &self.connection.name
    }

    fn kind(&self) -> &'static str {
        "openai"
    }

    fn gives_logprobs(&self) -> bool {
        true
    }

    fn headroom(&self) -> Option<Arc<Headroom>> {
        Some(Arc::clone(&self.connection.headroom))
    }

    async fn complete(&self, request: &Request<'_>) -> Result<Completion, CallFailure> {
        let mut attempt = Attempt::begin(Some(request.item));
        let post = self.connection.request(Method::POST, self.connection.url(&["chat", "completions"])).body(self.body(request)?);
        match self.connection.call(post, &mut attempt).await? {
            Answer::Success(body) => self.completed(attempt, &body),
            Answer::Refusal(status, body) => Err(self.refused(&attempt, status, &body)),
        }
    }
}

/// The tokens of an answer. A token whose log-probability is not there has none: its mass is missing, and nothing is made up for it.
fn logprobs(tokens: &[Value]) -> Vec<TokenLogprobs> {
    let bytes = |token: &Value| -> Vec<u8> {
        // `bytes` is what the token is; `token` may show half a character as something else.
        let bytes = token.get("bytes").and_then(Value::as_array).map(|bytes| bytes.iter().map(Value::as_u64).collect::<Vec<_>>());
        let whole = bytes.and_then(|bytes| bytes.into_iter().map(|byte| u8::try_from(byte?).ok()).collect::<Option<Vec<u8>>>());
        whole.unwrap_or_else(|| token.get("token").and_then(Value::as_str).unwrap_or_default().as_bytes().to_vec())
    };
    let one = |token: &Value| {
        let spelled = bytes(token);
        let top = token.get("top_logprobs").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let mut likeliest: Vec<(Vec<u8>, f64)> =
            top.iter().filter_map(|other| Some((bytes(other), other.get("logprob")?.as_f64()?))).collect();
        if !likeliest.iter().any(|(other, _)| *other == spelled)
            && let Some(logprob) = token.get("logprob").and_then(Value::as_f64)
        {
            likeliest.push((spelled.clone(), logprob));
        }
        TokenLogprobs { token: spelled, likeliest }
    };
    tokens.iter().map(one).collect()
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
