//! Gemini's generateContent: `POST {base_url}/models/{model}:generateContent`.
//!
//! One attempt, never a retry. The verdict is asked for by `responseMimeType` and `responseJsonSchema`. Formats:
//! <https://ai.google.dev/api/generate-content>, <https://ai.google.dev/gemini-api/docs/structured-output>; errors are those of
//! Google's APIs: <https://google.aip.dev/193>.

use std::sync::Arc;

use assize_core::judge::{CallFailure, CallFailureKind};
use assize_core::{ProviderName, TokenUsage};
use async_trait::async_trait;
use reqwest::header::HeaderName;
use reqwest::{Method, Url};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::attempt::Attempt;
use super::connection::{Answer, Connection, Manner, model_name};
use super::rate_limits;
use super::refusal::unwritable;
use super::repeatable::code;
use super::{Completion, Headroom, Provider, Request};
use crate::check::SpecError;
use crate::spec::{ProviderSpec, ResponseFormat};

/// Why an answer ends that a filter has stopped.
const FILTERS: [&str; 6] = ["SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE"];

/// Google's Gemini API.
pub struct Gemini {
    connection: Connection,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    system_instruction: Content<&'a RawValue>,
    contents: [Content<&'a str>; 1],
    generation_config: GenerationConfig<'a>,
}

#[derive(Serialize)]
struct Content<T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    parts: [Part<T>; 1],
}

#[derive(Serialize)]
struct Part<T> {
    text: T,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GenerationConfig<'a> {
    max_output_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
}

impl Gemini {
    /// Opens a client; nothing is sent yet.
    ///
    /// # Errors
    /// Where the specification is refused, the key cannot be sent in a header, or the machine's certificates cannot be read.
    pub fn open(spec: &ProviderSpec, api_key: Option<SecretString>) -> Result<Self, SpecError> {
        // In a header, never in the address, which proxies write down.
        let manner = Manner { key_header: HeaderName::from_static("x-goog-api-key"), key_prefix: "", headers: &[] };
        Ok(Self { connection: Connection::open(spec, api_key, &manner)? })
    }

    /// `models/gemini-3.8-flash` is the same model as `gemini-3.8-flash`; `tunedModels/mine` is one of one's own.
    fn url(&self, model: &str) -> Url {
        let (kind, model) = model.split_once('/').unwrap_or(("models", model));
        self.connection.url(&[kind, &format!("{model}:generateContent")])
    }

    fn body(&self, request: &Request<'_>) -> Result<Vec<u8>, CallFailure> {
        let format = request.response_format;
        let mut body = Vec::with_capacity(request.system.len() + request.item.len() + request.item.len() / 8 + 512);
        let written = serde_json::to_writer(
            &mut body,
            &Body {
                system_instruction: Content { role: None, parts: [Part { text: request.system_json }] },
                contents: [Content { role: Some("user"), parts: [Part { text: request.item }] }],
                generation_config: GenerationConfig {
                    max_output_tokens: request.max_completion_tokens,
                    response_mime_type: (format != ResponseFormat::Text).then_some("application/json"),
                    response_json_schema: (format == ResponseFormat::JsonSchema).then_some(request.schema),
                    temperature: request.temperature,
                    seed: request.seed,
                },
            },
        );
        written.map(|()| body).map_err(unwritable)
    }

    fn completed(&self, mut attempt: Attempt<'_>, body: &Value) -> Result<Completion, CallFailure> {
        let host = &self.connection.host;
        attempt.usage = usage(body.get("usageMetadata"));
        let Some(candidate) = body.pointer("/candidates/0") else {
            let blocked = body.pointer("/promptFeedback/blockReason").and_then(Value::as_str).and_then(code);
            return Err(match blocked {
                Some(reason) => {
                    attempt.because(CallFailureKind::Refused, format!("a content filter of {host} stopped the item: {reason}"))
                }
                None => attempt.because(CallFailureKind::InvalidAnswer, format!("an answer without candidates from {host}")),
            });
        };
        let finish = candidate.get("finishReason").and_then(Value::as_str).unwrap_or_default();
        if FILTERS.contains(&finish) {
            let message = format!("a content filter of {host} stopped the judge's answer: {finish}");
            return Err(attempt.because(CallFailureKind::Refused, message));
        }
        let parts = candidate.pointer("/content/parts").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        Ok(Completion {
            text: parts
                .iter()
                .filter(|part| part.get("thought").and_then(Value::as_bool) != Some(true))
                .filter_map(|part| part.get("text").and_then(Value::as_str))
                .collect(),
            cut_short: finish == "MAX_TOKENS",
            model: model_name(body.get("modelVersion")),
            usage: attempt.usage,
            latency_ms: attempt.latency_ms(),
            simulated: false,
            logprobs: None,
        })
    }
}

#[async_trait]
impl Provider for Gemini {
    fn name(&self) -> &ProviderName {
        &self.connection.name
    }

    fn kind(&self) -> &'static str {
        "gemini"
    }

    fn headroom(&self) -> Option<Arc<Headroom>> {
        Some(Arc::clone(&self.connection.headroom))
    }

    async fn complete(&self, request: &Request<'_>) -> Result<Completion, CallFailure> {
        let mut attempt = Attempt::begin(Some(request.item));
        let post = self.connection.request(Method::POST, self.url(request.model)).body(self.body(request)?);
        match self.connection.call(post, &mut attempt).await? {
            Answer::Success(body) => self.completed(attempt, &body),
            Answer::Refusal(status, body) => Err(refused(&self.connection, &mut attempt, status, &body)),
        }
    }
}

/// An answer that is no success, of generateContent or of decisions.
pub(super) fn refused(connection: &Connection, attempt: &mut Attempt<'_>, status: u16, body: &Value) -> CallFailure {
    let at = connection.at(status);
    let error = body.get("error").unwrap_or(&Value::Null);
    if attempt.wait.retry_after.is_none() {
        attempt.wait.retry_after =
            detail(error, "RetryInfo").and_then(|info| info.get("retryDelay")?.as_str()).and_then(rate_limits::asked_for);
    }
    let invalid_key = detail(error, "ErrorInfo").and_then(|info| info.get("reason")?.as_str()) == Some("API_KEY_INVALID");
    let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
    match status {
        400 if invalid_key => attempt.because(CallFailureKind::Unauthorized, format!("{at}: {}", connection.key_advice())),
        400 if ["responseJsonSchema", "response_json_schema", "responseMimeType", "response_mime_type", "JSON mode"]
            .iter()
            .any(|name| message.contains(name)) =>
        {
            let said = connection.said(attempt, body);
            let advice = "set response_format = \"json_object\" or \"text\" for this judge, or choose another model";
            attempt.because(CallFailureKind::Rejected, format!("{at}: {said}; {advice}"))
        }
        _ => connection.refused(attempt, status, body),
    }
}

/// The detail of an error that is of this type: `{"@type": "type.googleapis.com/google.rpc.RetryInfo", …}`.
fn detail<'v>(error: &'v Value, name: &str) -> Option<&'v Value> {
    let details = error.get("details")?.as_array()?;
    let is_it = |detail: &&Value| {
        detail
            .get("@type")
            .and_then(Value::as_str)
            .and_then(|text| text.rsplit_once("google.rpc."))
            .is_some_and(|(_, of)| of == name)
    };
    details.iter().find(is_it)
}

/// `promptTokenCount` includes what was cached; what the model thought is counted apart from its answer and paid like it. Counts of
/// zero are left out by Google. `None` unless that of the prompt is there.
fn usage(usage: Option<&Value>) -> Option<TokenUsage> {
    let usage = usage?;
    let count = |name: &str| usage.get(name).and_then(Value::as_u64);
    Some(TokenUsage {
        input: count("promptTokenCount")?,
        output: count("candidatesTokenCount").unwrap_or(0).saturating_add(count("thoughtsTokenCount").unwrap_or(0)),
        cached_input: count("cachedContentTokenCount").unwrap_or(0),
        cache_write: 0,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_address_names_the_model_and_leads_nowhere_else() {
        let spec = json!({"name": "p", "kind": "gemini", "base_url": "https://generativelanguage.googleapis.com/v1beta"});
        let gemini = Gemini::open(&serde_json::from_value(spec).unwrap(), None).unwrap();
        let base = "https://generativelanguage.googleapis.com/v1beta";
        for (model, path) in [
            ("gemini-3.8-flash", "models/gemini-3.8-flash:generateContent"),
            ("models/gemini-3.8-flash", "models/gemini-3.8-flash:generateContent"),
            ("tunedModels/mine", "tunedModels/mine:generateContent"),
            ("models/../files?x", "models/..%2Ffiles%3Fx:generateContent"),
        ] {
            assert_eq!(gemini.url(model).as_str(), format!("{base}/{path}"));
        }
    }

    #[test]
    fn thoughts_are_output_and_zeros_may_be_missing() {
        let counts = json!({"promptTokenCount": 1100, "cachedContentTokenCount": 1024, "candidatesTokenCount": 40,
            "thoughtsTokenCount": 60, "totalTokenCount": 1200});
        assert_eq!(usage(Some(&counts)), Some(TokenUsage { input: 1100, output: 100, cached_input: 1024, cache_write: 0 }));
        let blocked = json!({"promptTokenCount": 1100, "totalTokenCount": 1100});
        assert_eq!(usage(Some(&blocked)), Some(TokenUsage { input: 1100, ..TokenUsage::default() }));
        assert_eq!(usage(Some(&json!({"totalTokenCount": 3}))), None);
    }
}
