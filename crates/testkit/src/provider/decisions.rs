//! Decision models on this machine, for tests: OpenAI's and Gemini's protocol over HTTP, answered as told, with a memory of what was
//! asked and charged.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Map, Value, json};

use super::Reply;
use super::serving::{self, Newest, Serving};

/// Which of the two was spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecisionsProtocol {
    /// `POST /v1/decisions`: a list of questions, a bearer token.
    OpenAi,
    /// `POST /v1beta/decisions`: questions by their ids, `x-goog-api-key`.
    Gemini,
}

/// One call, as it came in.
#[derive(Debug, Clone)]
pub struct DecisionsCall {
    /// Counts from 0 in order of arrival.
    pub number: u64,
    /// What was spoken.
    pub protocol: DecisionsProtocol,
    /// The model that was asked for.
    pub model: String,
    /// All that was shown: the texts of the input, joined by an empty line.
    pub input: String,
    /// Names or ids of the questions, with their instructions, in the order of the request.
    pub questions: Vec<(String, String)>,
    /// The whole body.
    pub body: Value,
    /// The key, if there was one.
    pub key: Option<String>,
}

/// What is answered to one call.
#[derive(Debug, Clone)]
pub enum DecisionsReply {
    /// A probability for each question, in their order. `None` is a refusal with OpenAI, and no answer with Gemini, which has none.
    Probabilities(Vec<Option<f64>>),
    /// `answers` as they stand; the rest of the body is as usual.
    Answers(Value),
    /// Something else: [`Reply::Raw`] or [`Reply::Hang`]; other replies are HTTP 500.
    Http(Reply),
}

type Decide = Box<dyn Fn(&DecisionsCall) -> DecisionsReply + Send + Sync>;

#[derive(Default)]
struct Memory {
    count: u64,
    input_tokens: u64,
    calls: Newest<DecisionsCall>,
}

struct Shared {
    decide: Decide,
    memory: Mutex<Memory>,
}

impl Shared {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Both endpoints on loopback; they stop when this is dropped.
pub struct FakeDecisions {
    shared: Arc<Shared>,
    serving: Serving,
}

impl FakeDecisions {
    /// Starts on a free port; `decide` says what is answered.
    pub async fn start(decide: impl Fn(&DecisionsCall) -> DecisionsReply + Send + Sync + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared { decide: Box::new(decide), memory: Mutex::default() });
        let routes = Router::new()
            .route("/v1/decisions", post(openai))
            .route("/v1beta/decisions", post(gemini))
            .with_state(Arc::clone(&shared));
        Ok(Self { shared, serving: Serving::start(routes).await? })
    }

    /// Answers every question with the same probability.
    pub async fn always(probability: f64) -> io::Result<Self> {
        Self::start(move |call| DecisionsReply::Probabilities(vec![Some(probability); call.questions.len()])).await
    }

    /// What a provider's `base_url` is set to.
    pub fn base_url(&self, protocol: DecisionsProtocol) -> String {
        let version = match protocol {
            DecisionsProtocol::OpenAi => "v1",
            DecisionsProtocol::Gemini => "v1beta",
        };
        format!("http://{}/{version}", self.serving.address)
    }

    /// Calls so far, whatever became of them.
    pub fn calls(&self) -> u64 {
        self.shared.memory().count
    }

    /// Input tokens reported so far; nothing else is charged.
    pub fn billed(&self) -> u64 {
        self.shared.memory().input_tokens
    }

    /// The newest 10,000 calls, oldest first.
    pub fn requests(&self) -> Vec<Arc<DecisionsCall>> {
        self.shared.memory().calls.all()
    }

    /// The newest call.
    pub fn last_request(&self) -> Option<Arc<DecisionsCall>> {
        self.shared.memory().calls.last()
    }
}

async fn openai(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let key =
        headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer ").map(str::to_owned));
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let questions = body["questions"].as_array().map_or(&[][..], Vec::as_slice);
    let questions = questions.iter().map(|question| (text(&question["name"]), text(&question["instructions"]))).collect();
    answer(&shared, DecisionsProtocol::OpenAi, questions, body, key).await
}

async fn gemini(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let key = headers.get("x-goog-api-key").and_then(|value| value.to_str().ok().map(str::to_owned));
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let questions = body["questions"].as_object().into_iter().flatten();
    let questions = questions.map(|(id, question)| (id.clone(), text(&question["instructions"]))).collect();
    answer(&shared, DecisionsProtocol::Gemini, questions, body, key).await
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn input(body: &Value) -> String {
    match &body["input"] {
        Value::Array(messages) => messages.iter().map(|message| text(&message["content"])).collect::<Vec<_>>().join("\n\n"),
        input => text(input),
    }
}

async fn answer(
    shared: &Shared,
    protocol: DecisionsProtocol,
    questions: Vec<(String, String)>,
    body: Value,
    key: Option<String>,
) -> Response {
    let call = {
        let mut memory = shared.memory();
        let call = DecisionsCall {
            number: memory.count,
            protocol,
            model: text(&body["model"]),
            input: input(&body),
            questions,
            body,
            key,
        };
        let call = Arc::new(call);
        memory.count += 1;
        memory.calls.push(Arc::clone(&call));
        call
    };
    let answers = match (shared.decide)(&call) {
        DecisionsReply::Answers(answers) => answers,
        DecisionsReply::Probabilities(probabilities) => {
            let answered = call.questions.iter().map(|(name, _)| name).zip(probabilities);
            match protocol {
                DecisionsProtocol::OpenAi => answered
                    .map(|(name, probability)| match probability {
                        Some(probability) => json!({"type": "predicate", "name": name, "probability": probability}),
                        None => json!({"type": "refusal", "name": name}),
                    })
                    .collect(),
                DecisionsProtocol::Gemini => {
                    let noul = |(name, probability): (&String, Option<f64>)| {
                        let yes = probability?.clamp(0.01, 0.99);
                        Some((name.clone(), json!({"type": "noul", "noul": yes, "confidence": yes.max(1.0 - yes)})))
                    };
                    Value::Object(answered.filter_map(noul).collect::<Map<_, _>>())
                }
            }
        }
        DecisionsReply::Http(reply) => return http(reply).await,
    };
    let instructions: usize = call.questions.iter().map(|(_, instructions)| instructions.len()).sum();
    let tokens = (call.input.len() + instructions).div_ceil(4) as u64;
    shared.memory().input_tokens += tokens;
    let body = match protocol {
        DecisionsProtocol::OpenAi => json!({
            "model": format!("{}-2026-10-01", call.model), "answers": answers,
            "usage": {
                "input_tokens": tokens, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": 0, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": tokens,
            },
        }),
        DecisionsProtocol::Gemini => json!({
            "answers": answers,
            "usage": {"total_input_tokens": tokens, "total_cached_tokens": 0, "total_output_tokens": 0, "total_tokens": tokens},
        }),
    };
    serving::json(&body)
}

async fn http(reply: Reply) -> Response {
    match reply {
        Reply::Raw { status, headers, body } => serving::raw(status, headers, body),
        Reply::Hang => std::future::pending().await,
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
