//! The HTTP server of the fake provider, and its memory.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::{StreamExt, stream};
use serde_json::Value;

use super::batches::{Batches, Desk};
use super::serving::{Newest, Serving, json, raw};
use super::{Behaviour, Protocol, Reply};

/// Items that calls are counted by; calls of more are counted in total only.
const ITEMS_MAX: usize = 1_000_000;

/// One call, as it came in.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Counts from 0 in order of arrival.
    pub number: u64,
    /// How it was asked.
    pub protocol: Protocol,
    /// The model that was asked for.
    pub model: String,
    /// The system message.
    pub system: String,
    /// The last user message: the item.
    pub item: String,
    /// The whole body.
    pub body: Value,
    /// The same, as it came; empty for a request of a batch.
    pub raw: Vec<u8>,
    /// The API key, if there was one.
    pub key: Option<String>,
}

#[derive(Default)]
struct Memory {
    calls: u64,
    in_flight: usize,
    in_flight_peak: usize,
    input_tokens: u64,
    output_tokens: u64,
    requests: Newest<Request>,
    by_item: HashMap<u64, u32>,
}

impl Request {
    /// What is asked: the same for the same item, question and model.
    pub(super) fn question(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.model, &self.system, &self.item).hash(&mut hasher);
        hasher.finish()
    }
}

pub(super) struct Shared {
    behaviour: RwLock<Arc<Behaviour>>,
    memory: Mutex<Memory>,
    pub(super) desk: Mutex<Desk>,
}

impl Shared {
    /// How it behaves now.
    pub(super) fn behaviour(&self) -> Arc<Behaviour> {
        Arc::clone(&self.behaviour.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A completion that says `content`, put on the bill.
    pub(super) fn charged(&self, behaviour: &Behaviour, request: &Request, content: &str) -> Value {
        let counted = |text: &str| text.len().div_ceil(4) as u64;
        let usage = behaviour.usage.unwrap_or_else(|| (counted(&request.system) + counted(&request.item), counted(content)));
        let mut memory = self.memory();
        memory.input_tokens += usage.0;
        memory.output_tokens += usage.1;
        let mut completion = request.protocol.completion(request, content, usage);
        if (behaviour.silent)(request)
            && let Some(completion) = completion.as_object_mut()
        {
            completion.remove("usage");
            completion.remove("usageMetadata");
        }
        completion
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A provider on loopback; it stops when it is dropped.
pub struct FakeProvider {
    shared: Arc<Shared>,
    serving: Serving,
}

impl FakeProvider {
    /// Starts on a free port.
    pub async fn start(behaviour: Behaviour) -> io::Result<Self> {
        let behaviour = RwLock::new(Arc::new(behaviour));
        let shared = Arc::new(Shared { behaviour, memory: Mutex::default(), desk: Mutex::default() });
        let routes = Router::new()
            .route("/v1/chat/completions", post(openai))
            .route("/v1/messages", post(anthropic))
            .route("/v1beta/models/{call}", post(gemini))
            .merge(super::batch_routes::routes())
            .with_state(Arc::clone(&shared));
        Ok(Self { shared, serving: Serving::start(routes).await? })
    }

    /// What the `base_url` of a provider is set to that speaks OpenAI's or Anthropic's protocol: `http://127.0.0.1:PORT/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.serving.address)
    }

    /// What the `base_url` of a provider is set to that speaks Gemini's: `http://127.0.0.1:PORT/v1beta`.
    pub fn gemini_url(&self) -> String {
        format!("http://{}/v1beta", self.serving.address)
    }

    /// Its batch APIs.
    pub fn batches(&self) -> Batches<'_> {
        Batches::new(&self.shared)
    }

    /// Behaves differently from the next call on.
    pub fn set(&self, behaviour: Behaviour) {
        *self.shared.behaviour.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(behaviour);
    }

    /// Calls so far, whatever became of them.
    pub fn calls(&self) -> u64 {
        self.shared.memory().calls
    }

    /// Calls whose item holds `text`, among those that are remembered whole (the newest 10,000).
    pub fn calls_with(&self, text: &str) -> u64 {
        self.requests().iter().filter(|request| request.item.contains(text)).count() as u64
    }

    /// How often the same item was asked about by the same question and model, at the most: 1 if nothing was paid twice.
    pub fn calls_of_one_item_max(&self) -> u32 {
        self.shared.memory().by_item.values().copied().max().unwrap_or(0)
    }

    /// How many calls were open at once, at the most.
    pub fn in_flight_peak(&self) -> usize {
        self.shared.memory().in_flight_peak
    }

    /// Calls that are open now.
    pub fn in_flight(&self) -> usize {
        self.shared.memory().in_flight
    }

    /// Input and output tokens reported so far: what a bill would be made of.
    pub fn billed(&self) -> (u64, u64) {
        let memory = self.shared.memory();
        (memory.input_tokens, memory.output_tokens)
    }

    /// The newest 10,000 calls, oldest first.
    pub fn requests(&self) -> Vec<Arc<Request>> {
        self.shared.memory().requests.all()
    }

    /// The newest call.
    pub fn last_request(&self) -> Option<Arc<Request>> {
        self.shared.memory().requests.last()
    }
}

/// Counts a call as open until it is answered or given up.
struct InFlight(Arc<Shared>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.memory().in_flight -= 1;
    }
}

async fn openai(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    complete(shared, Protocol::OpenAi, None, &headers, &body).await
}

async fn anthropic(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    if !headers.contains_key("anthropic-version") {
        let message = "anthropic-version: header is required";
        let error = serde_json::json!({"type": "error", "error": {"type": "invalid_request_error", "message": message}});
        return (StatusCode::BAD_REQUEST, error.to_string()).into_response();
    }
    complete(shared, Protocol::Anthropic, None, &headers, &body).await
}

async fn gemini(State(shared): State<Arc<Shared>>, Path(call): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    match call.strip_suffix(":generateContent") {
        Some(model) => complete(shared, Protocol::Gemini, Some(model), &headers, &body).await,
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn complete(shared: Arc<Shared>, protocol: Protocol, model: Option<&str>, headers: &HeaderMap, body: &[u8]) -> Response {
    let parsed: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let mut request = Request { key: protocol.key(headers), raw: body.to_vec(), ..protocol.request(model, parsed) };
    let (request, _open) = {
        let mut memory = shared.memory();
        request.number = memory.calls;
        memory.calls += 1;
        memory.in_flight += 1;
        memory.in_flight_peak = memory.in_flight_peak.max(memory.in_flight);
        let item = request.question();
        if memory.by_item.len() < ITEMS_MAX || memory.by_item.contains_key(&item) {
            *memory.by_item.entry(item).or_default() += 1;
        }
        let request = Arc::new(request);
        memory.requests.push(Arc::clone(&request));
        (request, InFlight(Arc::clone(&shared)))
    };
    let behaviour = shared.behaviour();
    if !behaviour.latency.is_zero() {
        tokio::time::sleep(behaviour.latency).await;
    }
    if behaviour.key.is_some() && behaviour.key != request.key {
        return respond(&shared, &behaviour, &request, Reply::status(401)).await;
    }
    let reply = (behaviour.decide)(&request);
    respond(&shared, &behaviour, &request, reply).await
}

async fn respond(shared: &Shared, behaviour: &Behaviour, request: &Request, reply: Reply) -> Response {
    match reply {
        Reply::Score { score, reason } => {
            let content = serde_json::json!({"score": score, "reason": reason}).to_string();
            completion(shared, behaviour, request, &content)
        }
        Reply::Content(content) => completion(shared, behaviour, request, &content),
        Reply::Raw { status, headers, body } => raw(status, headers, body),
        Reply::Hang => std::future::pending().await,
        Reply::HangInBody => half(stream::pending().boxed()),
        Reply::Break => half(stream::iter([Err(io::Error::other("told to break"))]).boxed()),
    }
}

fn half(rest: stream::BoxStream<'static, io::Result<Bytes>>) -> Response {
    let begun = stream::iter([Ok(Bytes::from_static(b"{\"choices\":[{\"message\":{\"content\":\"{\\\"sco"))]);
    Body::from_stream(begun.chain(rest)).into_response()
}

fn completion(shared: &Shared, behaviour: &Behaviour, request: &Request, content: &str) -> Response {
    json(&shared.charged(behaviour, request, content))
}
