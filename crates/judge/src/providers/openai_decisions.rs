//! OpenAI's decisions, and every host that speaks them: `POST {base_url}/decisions`.
//!
//! Each question is a predicate with a name; answers come in the order of the questions and repeat the names. Both are checked: an
//! answer counts for the question whose name it bears, and without names only if there are as many answers as questions. Format:
//! <https://platform.openai.com/docs/api-reference/decisions> (beta, November 2026).

use std::sync::Arc;

use assize_core::judge::{CallFailure, CallFailureKind};
use assize_core::{ProviderName, TokenUsage};
use async_trait::async_trait;
use reqwest::Method;
use reqwest::header::AUTHORIZATION;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::Value;

use super::attempt::Attempt;
use super::connection::{Answer, Connection, Manner, model_name};
use super::decisions::{Decided, Decider, Decisions, DecisionsRequest, Predicate, probability, sum_to_one};
use super::headroom::Headroom;
use super::prompt_cache_key;
use super::refusal::unwritable;
use crate::check::SpecError;
use crate::spec::ProviderSpec;

/// Questions of one call, at the most, by the documentation.
pub const QUESTIONS_MAX: usize = 400;

/// A host of decisions.
pub struct OpenAiDecisions {
    connection: Connection,
    sends_cache_key: bool,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    input: (Message<'a>, Message<'a>),
    questions: Vec<WirePredicate<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_key: Option<&'a str>,
}

#[derive(Serialize)]
struct Message<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    content: &'a str,
}

#[derive(Serialize)]
struct WirePredicate<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    instructions: &'a str,
}

impl OpenAiDecisions {
    /// Opens a client; nothing is sent yet.
    ///
    /// # Errors
    /// Where the specification is refused, the key cannot be sent in a header, or the machine's certificates cannot be read.
    pub fn open(spec: &ProviderSpec, api_key: Option<SecretString>) -> Result<Self, SpecError> {
        let manner = Manner { key_header: AUTHORIZATION, key_prefix: "Bearer ", headers: &[] };
        let connection = Connection::open(spec, api_key, &manner)?;
        Ok(Self { sends_cache_key: prompt_cache_key::is_sent(spec, &connection.host), connection })
    }

    fn body(&self, request: &DecisionsRequest<'_>) -> Result<Vec<u8>, serde_json::Error> {
        let message = |role, content| Message { kind: "message", role, content };
        let predicates = request.predicates.iter();
        serde_json::to_vec(&Body {
            model: request.model,
            input: (message("system", request.opening), message("user", request.item)),
            questions: predicates
                .map(|asked| WirePredicate { kind: "predicate", name: asked.id, instructions: asked.instructions })
                .collect(),
            prompt_cache_key: self.sends_cache_key.then_some(request.prompt_cache_key),
        })
    }

    fn refused(&self, attempt: &Attempt<'_>, status: u16, body: &Value) -> CallFailure {
        let connection = &self.connection;
        let at = connection.at(status);
        match (status, body.pointer("/error/code").and_then(Value::as_str)) {
            (429, Some("insufficient_quota")) => {
                let message = format!("{at}: {}; the account's quota is used up", connection.said(attempt, body));
                attempt.because(CallFailureKind::Rejected, message)
            }
            (400, Some("content_filter" | "invalid_prompt")) => {
                let message = format!("{at}: a content filter stopped the item: {}", connection.said(attempt, body));
                attempt.because(CallFailureKind::Refused, message)
            }
            _ => connection.refused(attempt, status, body),
        }
    }
}

#[async_trait]
impl Decider for OpenAiDecisions {
    fn name(&self) -> &ProviderName {
        &self.connection.name
    }

    fn kind(&self) -> &'static str {
        "openai"
    }

    fn questions_max(&self) -> usize {
        QUESTIONS_MAX
    }

    fn headroom(&self) -> Option<Arc<Headroom>> {
        Some(Arc::clone(&self.connection.headroom))
    }

    async fn decide(&self, request: &DecisionsRequest<'_>) -> Result<Decisions, CallFailure> {
        let mut attempt = Attempt::begin(Some(request.item));
        let body = self.body(request).map_err(unwritable)?;
        let post = self.connection.request(Method::POST, self.connection.url(&["decisions"])).body(body);
        let body: Value = match self.connection.call(post, &mut attempt).await? {
            Answer::Success(body) => body,
            Answer::Refusal(status, body) => return Err(self.refused(&attempt, status, &body)),
        };
        attempt.usage = usage(body.get("usage"));
        let Some(answers) = body.get("answers").and_then(Value::as_array) else {
            let message = format!("an answer without answers from {}", self.connection.host);
            return Err(attempt.because(CallFailureKind::InvalidAnswer, message));
        };
        Ok(Decisions {
            decided: decided(request.predicates, answers),
            model: model_name(body.get("model")),
            usage: attempt.usage,
            latency_ms: attempt.latency_ms(),
            simulated: false,
        })
    }
}

/// Finds each predicate's answer: by its name, or, where no answer has a name, by its place.
fn decided(predicates: &[Predicate<'_>], answers: &[Value]) -> Vec<Decided> {
    let name = |answer: &Value| answer.get("name").and_then(Value::as_str).map(str::to_owned);
    let names: Vec<Option<String>> = answers.iter().map(name).collect();
    let nameless = names.iter().all(Option::is_none);
    let find = |(at, predicate): (usize, &Predicate<'_>)| {
        if nameless {
            return match answers.get(at) {
                Some(answer) if answers.len() == predicates.len() => one(answer),
                _ => Decided::Invalid(format!("{} answers without names to {} questions", answers.len(), predicates.len())),
            };
        }
        let mut named = names.iter().zip(answers).filter(|(name, _)| name.as_deref() == Some(predicate.id));
        match (named.next(), named.next()) {
            (Some((_, answer)), None) => one(answer),
            (Some(_), Some(_)) => Decided::Invalid("two answers bear the name of this question".to_owned()),
            (None, _) => Decided::Invalid("no answer bears the name of this question".to_owned()),
        }
    };
    predicates.iter().enumerate().map(find).collect()
}

fn one(answer: &Value) -> Decided {
    match answer.get("type").and_then(Value::as_str) {
        Some("refusal") => Decided::Refused,
        Some("predicate") => {
            let read = probability(answer.get("probability"), "probability")
                .and_then(|yes| sum_to_one(answer.get("probabilities"), yes).map(|()| yes));
            read.map_or_else(Decided::Invalid, Decided::Probability)
        }
        _ => Decided::Invalid("the answer is not that to a predicate".to_owned()),
    }
}

/// `input_tokens` includes cached and written ones. `None` unless it is there; output is not charged and may be left out.
fn usage(usage: Option<&Value>) -> Option<TokenUsage> {
    let usage = usage?;
    let count = |pointer| usage.pointer(pointer).and_then(Value::as_u64);
    Some(TokenUsage {
        input: count("/input_tokens")?,
        output: count("/output_tokens").unwrap_or(0),
        cached_input: count("/input_tokens_details/cached_tokens").unwrap_or(0),
        cache_write: count("/input_tokens_details/cache_write_tokens").unwrap_or(0),
    })
}
