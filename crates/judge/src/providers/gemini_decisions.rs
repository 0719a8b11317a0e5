//! Gemini's decisions: `POST {base_url}/decisions`, with a base such as `https://generativelanguage.googleapis.com/v1beta`.
//!
//! Questions and answers are found by their ids. A yes-or-no question is a `noul`; its answer gives the probability of yes, kept
//! within [0.01, 0.99], and `confidence`, the probability of the likelier side. Format: <https://ai.google.dev/gemini-api/docs/decisions>
//! (November 2026).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use assize_core::judge::{CallFailure, CallFailureKind};
use assize_core::{ProviderName, TokenUsage};
use async_trait::async_trait;
use reqwest::Method;
use reqwest::header::HeaderName;
use secrecy::SecretString;
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::attempt::Attempt;
use super::connection::{Answer, Connection, Manner, model_name};
use super::decisions::{Decided, Decider, Decisions, DecisionsRequest, Predicate, SUM_TOLERANCE, probability, sum_to_one};
use super::gemini;
use super::headroom::Headroom;
use super::refusal::unwritable;
use crate::check::SpecError;
use crate::spec::ProviderSpec;

/// Questions of one call, at the most, by the documentation.
pub const QUESTIONS_MAX: usize = 1_000;

/// A host of Gemini's decisions.
pub struct GeminiDecisions {
    connection: Connection,
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    input: &'a str,
    questions: Questions<'a>,
}

/// The questions under their ids.
struct Questions<'a>(&'a [Predicate<'a>]);

#[derive(Serialize)]
struct Noul<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    instructions: &'a str,
}

impl Serialize for Questions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for predicate in self.0 {
            map.serialize_entry(predicate.id, &Noul { kind: "noul", instructions: predicate.instructions })?;
        }
        map.end()
    }
}

#[derive(Deserialize)]
struct Response {
    answers: Option<Answers>,
    prompt_feedback: Option<Value>,
    usage: Option<Value>,
    model: Option<Value>,
    model_version: Option<Value>,
}

/// Every entry, also those under an id that stands twice.
struct Answers(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Answers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Answers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("answers under the ids of their questions")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Answers, M::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Answers(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

impl GeminiDecisions {
    /// Opens a client; nothing is sent yet.
    ///
    /// # Errors
    /// Where the specification is refused, the key cannot be sent in a header, or the machine's certificates cannot be read.
    pub fn open(spec: &ProviderSpec, api_key: Option<SecretString>) -> Result<Self, SpecError> {
        let manner = Manner { key_header: HeaderName::from_static("x-goog-api-key"), key_prefix: "", headers: &[] };
        Ok(Self { connection: Connection::open(spec, api_key, &manner)? })
    }

    fn decisions(
        &self,
        mut attempt: Attempt<'_>,
        predicates: &[Predicate<'_>],
        body: Response,
    ) -> Result<Decisions, CallFailure> {
        attempt.usage = usage(body.usage.as_ref());
        let blocked = body.prompt_feedback.as_ref().and_then(|feedback| feedback.get("block_reason")?.as_str());
        if blocked.is_some_and(|reason| !reason.is_empty()) {
            let message = format!("a content filter of {} stopped the item", self.connection.host);
            return Err(attempt.because(CallFailureKind::Refused, message));
        }
        let Some(Answers(answers)) = body.answers else {
            let message = format!("an answer without answers from {}", self.connection.host);
            return Err(attempt.because(CallFailureKind::InvalidAnswer, message));
        };
        Ok(Decisions {
            decided: decided(predicates, &answers),
            model: model_name(body.model_version.or(body.model).as_ref()),
            usage: attempt.usage,
            latency_ms: attempt.latency_ms(),
            simulated: false,
        })
    }
}

#[async_trait]
impl Decider for GeminiDecisions {
    fn name(&self) -> &ProviderName {
        &self.connection.name
    }

    fn kind(&self) -> &'static str {
        "gemini"
    }

    fn questions_max(&self) -> usize {
        QUESTIONS_MAX
    }

    fn headroom(&self) -> Option<Arc<Headroom>> {
        Some(Arc::clone(&self.connection.headroom))
    }

    async fn decide(&self, request: &DecisionsRequest<'_>) -> Result<Decisions, CallFailure> {
        let mut attempt = Attempt::begin(Some(request.item));
        let model = match request.model.split_once('/') {
            Some(_) => request.model.to_owned(),
            None => format!("models/{}", request.model),
        };
        // One text with the constant part in front, as the input has no roles.
        let input = format!("{}\n\n{}", request.opening, request.item);
        let body = serde_json::to_vec(&Request { model: &model, input: &input, questions: Questions(request.predicates) });
        let body = body.map_err(unwritable)?;
        let post = self.connection.request(Method::POST, self.connection.url(&["decisions"])).body(body);
        match self.connection.call(post, &mut attempt).await? {
            Answer::Success(body) => self.decisions(attempt, request.predicates, body),
            Answer::Refusal(status, body) => Err(gemini::refused(&self.connection, &mut attempt, status, &body)),
        }
    }
}

/// Finds each predicate's answer by its id.
fn decided(predicates: &[Predicate<'_>], answers: &[(String, Value)]) -> Vec<Decided> {
    let mut by_id: HashMap<&str, Vec<&Value>> = HashMap::new();
    for (id, answer) in answers {
        by_id.entry(id).or_default().push(answer);
    }
    let find = |predicate: &Predicate<'_>| match by_id.get(predicate.id).map_or(&[][..], Vec::as_slice) {
        [answer] => one(answer),
        [] => Decided::Invalid("there is no answer under the id of this question".to_owned()),
        _ => Decided::Invalid("two answers stand under the id of this question".to_owned()),
    };
    predicates.iter().map(find).collect()
}

fn one(answer: &Value) -> Decided {
    match answer.get("type").and_then(Value::as_str) {
        Some("noul") => noul(answer).map_or_else(Decided::Invalid, Decided::Probability),
        Some("refusal") => Decided::Refused,
        _ => Decided::Invalid("the answer is not that to a yes-or-no question".to_owned()),
    }
}

fn noul(answer: &Value) -> Result<f64, String> {
    let yes = probability(answer.get("noul"), "probability")?;
    sum_to_one(answer.get("probabilities"), yes)?;
    // Documented as max(noul, 1 - noul): where it is not, one of the two is wrong, and nobody knows which.
    if let Some(given) = answer.get("confidence").filter(|given| !given.is_null()) {
        let confidence = probability(Some(given), "confidence")?;
        if (confidence - yes.max(1.0 - yes)).abs() > SUM_TOLERANCE {
            return Err(format!("the confidence {confidence} does not belong to the probability {yes}"));
        }
    }
    Ok(yes)
}

/// `total_input_tokens` includes cached ones. `None` unless it is there; nothing is written, so output may be left out.
fn usage(usage: Option<&Value>) -> Option<TokenUsage> {
    let usage = usage?;
    let count = |name| usage.get(name).and_then(Value::as_u64);
    Some(TokenUsage {
        input: count("total_input_tokens")?,
        output: count("total_output_tokens").unwrap_or(0),
        cached_input: count("total_cached_tokens").unwrap_or(0),
        cache_write: 0,
    })
}
