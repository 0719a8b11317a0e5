//! The protocols that the fake provider speaks: how a request is read and a completion is written in each.

use axum::http::{HeaderMap, header};
use serde_json::{Value, json};

use super::Request;

/// A vendor's way to ask and answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Chat completions: `POST /v1/chat/completions`.
    #[default]
    OpenAi,
    /// Messages: `POST /v1/messages`.
    Anthropic,
    /// `POST /v1beta/models/{model}:generateContent`.
    Gemini,
}

impl Protocol {
    /// The key that a call brings.
    pub(super) fn key(self, headers: &HeaderMap) -> Option<String> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        match self {
            Self::OpenAi => text(header::AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer ")),
            Self::Anthropic => text("x-api-key"),
            Self::Gemini => text("x-goog-api-key"),
        }
        .map(str::to_owned)
    }

    /// What `body` asks. Gemini's model stands in the address.
    pub(super) fn request(self, model: Option<&str>, body: Value) -> Request {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (system, item) = match self {
            Self::OpenAi => (last(&body["messages"], "system", "content"), last(&body["messages"], "user", "content")),
            Self::Anthropic => (body["system"].clone(), last(&body["messages"], "user", "content")),
            Self::Gemini => (body["systemInstruction"]["parts"].clone(), last(&body["contents"], "user", "parts")),
        };
        Request {
            protocol: self,
            model: model.map_or_else(|| text(&body["model"]), str::to_owned),
            system: joined(&system),
            item: joined(&item),
            body,
            ..Request::default()
        }
    }

    /// A completion that says `content`, and what it cost.
    pub(super) fn completion(self, request: &Request, content: &str, (input, output): (u64, u64)) -> Value {
        match self {
            Self::OpenAi => json!({
                "id": format!("chatcmpl-{}", request.number),
                "object": "chat.completion",
                "created": 1_700_000_000,
                "model": request.model,
                "choices": [{
                    "index": 0,
                    "message": {"role": "assistant", "content": content, "refusal": null},
                    "logprobs": null,
                    "finish_reason": "stop",
                }],
                "usage": {
                    "prompt_tokens": input,
                    "completion_tokens": output,
                    "total_tokens": input + output,
                    "prompt_tokens_details": {"cached_tokens": 0},
                },
            }),
            Self::Anthropic => json!({
                "id": format!("msg_{}", request.number),
                "type": "message",
                "role": "assistant",
                "model": request.model,
                "content": [{"type": "text", "text": content}],
                "stop_reason": "end_turn",
                "stop_sequence": null,
                "usage": {
                    "input_tokens": input,
                    "cache_creation_input_tokens": 0,
                    "cache_read_input_tokens": 0,
                    "output_tokens": output,
                },
            }),
            Self::Gemini => json!({
                "candidates": [{
                    "content": {"role": "model", "parts": [{"text": content}]},
                    "finishReason": "STOP",
                    "index": 0,
                }],
                "usageMetadata": {
                    "promptTokenCount": input,
                    "candidatesTokenCount": output,
                    "totalTokenCount": input + output,
                },
                "modelVersion": request.model,
                "responseId": format!("r{}", request.number),
            }),
        }
    }
}

/// What the last message of `role` holds.
fn last(messages: &Value, role: &str, content: &str) -> Value {
    let messages = messages.as_array().map_or(&[][..], Vec::as_slice);
    messages.iter().rev().find(|message| message["role"] == role).map_or(Value::Null, |message| message[content].clone())
}

/// A text, or the texts of blocks.
fn joined(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => blocks.iter().filter_map(|block| block["text"].as_str()).collect(),
        _ => String::new(),
    }
}
