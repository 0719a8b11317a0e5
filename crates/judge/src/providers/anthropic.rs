//! Anthropic's Messages: `POST {base_url}/messages`.
//!
//! One attempt, never a retry. The verdict is asked for by `output_config.format`, a JSON schema that decoding is held to: Anthropic's
//! present models refuse a forced tool call, the way of old. Two things differ from the other vendors. A schema may not hold ranges of
//! numbers, so they are taken out of it (what comes back is validated all the same). And `usage.input_tokens` leaves out what was read
//! from the prompt cache and what was written to it; here, as everywhere in Assize, the input is all of it.
//!
//! The constant part is marked for the prompt cache with its default lifetime of five minutes, never the hour, which would cost more;
//! so one price for cache writes is enough. Formats: <https://platform.claude.com/docs/en/api/messages>,
//! <https://platform.claude.com/docs/en/build-with-claude/structured-outputs>.

use std::sync::Arc;

use assize_core::judge::{CallFailure, CallFailureKind};
use assize_core::{ProviderName, TokenUsage};
use async_trait::async_trait;
use reqwest::Method;
use reqwest::header::HeaderName;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::attempt::Attempt;
use super::connection::{Answer, Connection, Manner, model_name};
use super::refusal::unwritable;
use super::repeatable::code;
use super::{Completion, Headroom, Provider, Request};
use crate::check::SpecError;
use crate::spec::{ProviderSpec, ResponseFormat};

/// What a schema may not say to Anthropic: "numerical constraints" and lengths.
const UNSUPPORTED: [&str; 7] =
    ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"];

/// Anthropic, or a host that speaks its Messages.
pub struct Anthropic {
    pub(super) connection: Connection,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    system: [SystemBlock<'a>; 1],
    messages: [WireMessage<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
}

#[derive(Serialize)]
struct SystemBlock<'a> {
    r#type: &'static str,
    text: &'a RawValue,
    cache_control: CacheControl,
}

#[derive(Serialize)]
struct CacheControl {
    r#type: &'static str,
}

#[derive(Serialize)]
struct WireMessage<'a> {
    role: &'static str,
    content: &'a str,
}

#[derive(Serialize)]
struct OutputConfig<'a> {
    format: Format<'a>,
}

#[derive(Serialize)]
struct Format<'a> {
    r#type: &'static str,
    schema: &'a RawValue,
}

impl Anthropic {
    /// Opens a client; nothing is sent yet.
    ///
    /// # Errors
    /// Where the specification is refused, the key cannot be sent in a header, or the machine's certificates cannot be read.
    pub fn open(spec: &ProviderSpec, api_key: Option<SecretString>) -> Result<Self, SpecError> {
        let manner = Manner {
            key_header: HeaderName::from_static("x-api-key"),
            key_prefix: "",
            headers: &[("anthropic-version", "2023-06-01")],
        };
        Ok(Self { connection: Connection::open(spec, api_key, &manner)? })
    }

    /// What is sent for `request`, live or in a batch.
    pub(super) fn body(&self, request: &Request<'_>) -> Result<Vec<u8>, CallFailure> {
        let schema = match request.response_format {
            ResponseFormat::JsonSchema => Some(supported(request.schema.get()).map_err(unwritable)?),
            // There is no looser way to ask for JSON; the prompt does.
            ResponseFormat::JsonObject | ResponseFormat::Text => None,
        };
        let mut body = Vec::with_capacity(request.system.len() + request.item.len() + request.item.len() / 8 + 512);
        let written = serde_json::to_writer(
            &mut body,
            &Body {
                model: request.model,
                max_tokens: request.max_completion_tokens,
                system: [SystemBlock {
                    r#type: "text",
                    text: request.system_json,
                    cache_control: CacheControl { r#type: "ephemeral" },
                }],
                messages: [WireMessage { role: "user", content: request.item }],
                output_config: schema.as_deref().map(|schema| OutputConfig { format: Format { r#type: "json_schema", schema } }),
                temperature: request.temperature,
            },
        );
        written.map(|()| body).map_err(unwritable)
    }

    /// An answer that is no success.
    pub(super) fn refused(&self, attempt: &Attempt<'_>, status: u16, body: &Value) -> CallFailure {
        let connection = &self.connection;
        let at = connection.at(status);
        let error = body.pointer("/error/message").and_then(Value::as_str).unwrap_or_default();
        let unpaid = error_type(body) == Some("billing_error") || error.contains("credit balance");
        match status {
            // No wait brings this back: somebody has to pay.
            400 | 402 | 429 if status == 402 || unpaid => {
                let said = connection.said(attempt, body);
                attempt.because(CallFailureKind::Rejected, format!("{at}: {said}; the account cannot pay for the call"))
            }
            400 if error.contains("output_config") || error.contains("output_format") || error.contains("schema") => {
                let said = connection.said(attempt, body);
                let advice = "set response_format = \"text\" for this judge, or choose another model";
                attempt.because(CallFailureKind::Rejected, format!("{at}: {said}; {advice}"))
            }
            _ => connection.refused(attempt, status, body),
        }
    }

    /// Reads a message.
    pub(super) fn completed(&self, mut attempt: Attempt<'_>, body: &Value) -> Result<Completion, CallFailure> {
        if let Some(status) = error_type(body).map(status_of) {
            return Err(self.refused(&attempt, status, body));
        }
        attempt.usage = usage(body.get("usage"));
        let host = &self.connection.host;
        let Some(content) = body.get("content").and_then(Value::as_array) else {
            return Err(attempt.because(CallFailureKind::InvalidAnswer, format!("an answer without content from {host}")));
        };
        match body.get("stop_reason").and_then(Value::as_str).unwrap_or_default() {
            "refusal" => {
                let category = body.pointer("/stop_details/category").and_then(Value::as_str).and_then(code);
                let why = category.map_or(String::new(), |category| format!(" ({category})"));
                Err(attempt.because(CallFailureKind::Refused, format!("the model declined to judge this item{why}")))
            }
            "model_context_window_exceeded" => {
                Err(attempt
                    .because(CallFailureKind::Rejected, "the item does not fit into the model's context window".to_owned()))
            }
            stop => Ok(Completion {
                // What the model thought before stands in blocks of another type.
                text: content
                    .iter()
                    .filter(|block| block.get("type").and_then(Value::as_str) == Some("text"))
                    .filter_map(|block| block.get("text").and_then(Value::as_str))
                    .collect(),
                cut_short: stop == "max_tokens",
                model: model_name(body.get("model")),
                usage: attempt.usage,
                latency_ms: attempt.latency_ms(),
                simulated: false,
                logprobs: None,
            }),
        }
    }
}

#[async_trait]
impl Provider for Anthropic {
    fn name(&self) -> &ProviderName {
        &self.connection.name
    }

    fn kind(&self) -> &'static str {
        "anthropic"
    }

    fn headroom(&self) -> Option<Arc<Headroom>> {
        Some(Arc::clone(&self.connection.headroom))
    }

    async fn complete(&self, request: &Request<'_>) -> Result<Completion, CallFailure> {
        let mut attempt = Attempt::begin(Some(request.item));
        let post = self.connection.request(Method::POST, self.connection.url(&["messages"])).body(self.body(request)?);
        match self.connection.call(post, &mut attempt).await? {
            Answer::Success(body) => self.completed(attempt, &body),
            Answer::Refusal(status, body) => Err(self.refused(&attempt, status, &body)),
        }
    }
}

/// The type of an error, where `body` is one: `{"type": "error", "error": {"type": "overloaded_error", …}}`.
fn error_type(body: &Value) -> Option<&str> {
    body.pointer("/error/type").and_then(Value::as_str)
}

/// The HTTP status that goes with a type of error: <https://platform.claude.com/docs/en/api/errors>.
pub(super) fn status_of(error_type: &str) -> u16 {
    match error_type {
        "invalid_request_error" => 400,
        "authentication_error" => 401,
        "billing_error" => 402,
        "permission_error" => 403,
        "not_found_error" => 404,
        "request_too_large" => 413,
        "rate_limit_error" => 429,
        "timeout_error" => 504,
        "overloaded_error" => 529,
        _ => 500,
    }
}

/// `input_tokens` leaves out what was read from the cache and written to it; `output_tokens` includes thinking. `None` unless both are
/// there.
fn usage(usage: Option<&Value>) -> Option<TokenUsage> {
    let usage = usage?;
    let count = |name: &str| usage.get(name).and_then(Value::as_u64);
    let cached_input = count("cache_read_input_tokens").unwrap_or(0);
    let cache_write = count("cache_creation_input_tokens").unwrap_or(0);
    Some(TokenUsage {
        input: count("input_tokens")?.saturating_add(cached_input).saturating_add(cache_write),
        output: count("output_tokens")?,
        cached_input,
        cache_write,
    })
}

/// The schema as far as Anthropic takes it.
fn supported(schema: &str) -> Result<Box<RawValue>, serde_json::Error> {
    let mut schema: Value = serde_json::from_str(schema)?;
    strip(&mut schema);
    serde_json::value::to_raw_value(&schema)
}

/// Takes out of a schema, and of those in it, what is not supported. A property may well be called `minimum`.
fn strip(schema: &mut Value) {
    match schema {
        Value::Object(parts) => {
            parts.retain(|name, _| !UNSUPPORTED.contains(&name.as_str()));
            for (name, part) in parts {
                match (name.as_str(), part) {
                    ("properties" | "$defs", Value::Object(named)) => named.values_mut().for_each(strip),
                    ("enum" | "const" | "required", _) => {}
                    (_, part) => strip(part),
                }
            }
        }
        Value::Array(parts) => parts.iter_mut().for_each(strip),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_schema_loses_ranges_and_nothing_else() {
        let schema: Value = serde_json::from_str(supported(crate::answer::SCHEMA).unwrap().get()).unwrap();
        assert_eq!(
            schema,
            json!({
                "type": "object", "required": ["score", "reason"], "additionalProperties": false,
                "properties": {"score": {"type": "number"}, "reason": {"type": "string"}},
            })
        );
        let given = json!({"type": "object", "properties": {"minimum": {"type": "number", "minimum": 1}},
            "items": [{"anyOf": [{"maxLength": 3, "enum": ["maximum"]}]}]});
        let kept = json!({"type": "object", "properties": {"minimum": {"type": "number"}},
            "items": [{"anyOf": [{"enum": ["maximum"]}]}]});
        assert_eq!(serde_json::from_str::<Value>(supported(&given.to_string()).unwrap().get()).unwrap(), kept);
    }

    #[test]
    fn the_input_includes_what_the_cache_gave_and_took() {
        let of = |counts: Value| usage(Some(&counts));
        let counts = json!({"input_tokens": 50, "cache_read_input_tokens": 1000, "cache_creation_input_tokens": 200,
            "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 0}, "output_tokens": 40});
        let all = TokenUsage { input: 1250, output: 40, cached_input: 1000, cache_write: 200 };
        assert_eq!(of(counts), Some(all));
        assert_eq!(
            of(json!({"input_tokens": 50, "cache_read_input_tokens": null, "output_tokens": 1})),
            Some(TokenUsage { input: 50, output: 1, ..TokenUsage::default() })
        );
        assert_eq!(of(json!({"input_tokens": 50})), None);
        assert_eq!(usage(None), None);
    }
}
