//! The batch APIs of the fake provider over HTTP: OpenAI's files and batches, Anthropic's message batches.

use std::io;
use std::sync::{Arc, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::stream;
use serde::Deserialize;
use serde_json::{Value, json};

use super::batch_objects::{anthropic, anthropic_line, file, object, openai, openai_line};
use super::batches::{Batch, Desk, Line, Oddities, Outcome, State as Progress, objection};
use super::server::Shared;
use super::{Protocol, Request, form};

pub(super) const ENDPOINT: &str = "/v1/chat/completions";

type Provider = State<Arc<Shared>>;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/v1/files", post(upload))
        .route("/v1/files/{id}/content", get(content))
        .route("/v1/batches", post(order).get(list_openai))
        .route("/v1/batches/{id}", get(poll_openai))
        .route("/v1/batches/{id}/cancel", post(cancel_openai))
        .route("/v1/messages/batches", post(submit).get(list_anthropic))
        .route("/v1/messages/batches/{id}", get(poll_anthropic))
        .route("/v1/messages/batches/{id}/results", get(results))
        .route("/v1/messages/batches/{id}/cancel", post(cancel_anthropic))
}

#[derive(Deserialize)]
struct Page {
    limit: Option<usize>,
    after: Option<String>,
    after_id: Option<String>,
}

/// What is refused, in the vendor's form.
struct Refused(Protocol, StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(protocol, status, message) = self;
        let kind = match status.as_u16() {
            401 => "authentication_error",
            404 => "not_found_error",
            _ => "invalid_request_error",
        };
        let body = match protocol {
            Protocol::Anthropic => json!({"type": "error", "error": {"type": kind, "message": message}}),
            _ => json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": null}}),
        };
        json_response(status, &body)
    }
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn bad(protocol: Protocol, message: impl Into<String>) -> Refused {
    Refused(protocol, StatusCode::BAD_REQUEST, message.into())
}

fn unknown(protocol: Protocol) -> Refused {
    Refused(protocol, StatusCode::NOT_FOUND, "No such object".to_owned())
}

fn admit(shared: &Shared, protocol: Protocol, headers: &HeaderMap) -> Result<(), Refused> {
    if let Some(status) = at_desk(shared, |desk| desk.statuses.pop_front()) {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return Err(Refused(protocol, status, format!("told to answer {status}")));
    }
    let wanted = &shared.behaviour().key;
    if wanted.is_some() && *wanted != protocol.key(headers) {
        return Err(Refused(protocol, StatusCode::UNAUTHORIZED, "told to want a key".to_owned()));
    }
    if protocol == Protocol::Anthropic && !headers.contains_key("anthropic-version") {
        return Err(bad(protocol, "anthropic-version: header is required"));
    }
    Ok(())
}

fn at_desk<T>(shared: &Shared, what: impl FnOnce(&mut Desk) -> T) -> T {
    what(&mut shared.desk.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The answer to a submission, unless it is lost.
fn taken(body: &Value, lost: bool) -> Response {
    if lost {
        let begun = stream::iter([Ok(Bytes::from_static(b"{\"id\":\"")), Err(io::Error::other("told to lose the answer"))]);
        return Body::from_stream(begun).into_response();
    }
    json_response(StatusCode::OK, body)
}

async fn upload(State(shared): Provider, headers: HeaderMap, body: Bytes) -> Result<Response, Refused> {
    let protocol = Protocol::OpenAi;
    admit(&shared, protocol, &headers)?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut fields = form::fields(kind, &body).map_err(|why| bad(protocol, why))?;
    if !fields.iter().any(|field| field.name == "purpose" && field.content == b"batch") {
        return Err(bad(protocol, "purpose is not batch"));
    }
    let file = fields.iter().position(|field| field.name == "file").ok_or_else(|| bad(protocol, "no file"))?;
    let file = fields.swap_remove(file);
    if !file.filename.is_some_and(|name| name.ends_with(".jsonl")) {
        return Err(bad(protocol, "the file is no .jsonl"));
    }
    let bytes = file.content.len();
    let id = at_desk(&shared, |desk| {
        let id = desk.id("file-");
        desk.files.insert(id.clone(), file.content);
        id
    });
    let object = json!({"id": id, "object": "file", "bytes": bytes, "purpose": "batch", "status": "processed"});
    Ok(json_response(StatusCode::OK, &object))
}

async fn order(State(shared): Provider, headers: HeaderMap, body: Bytes) -> Result<Response, Refused> {
    let protocol = Protocol::OpenAi;
    admit(&shared, protocol, &headers)?;
    let order: Value = serde_json::from_slice(&body).map_err(|_| bad(protocol, "not JSON"))?;
    if order["completion_window"] != "24h" || order["endpoint"] != ENDPOINT {
        return Err(bad(protocol, "completion_window or endpoint"));
    }
    let entries = order["metadata"].as_object().map_or(0, serde_json::Map::len);
    let short = |value: &Value| value.as_str().is_some_and(|text| text.len() <= 512);
    if entries > 16 || order["metadata"].as_object().is_some_and(|entries| !entries.values().all(short)) {
        return Err(bad(protocol, "metadata"));
    }
    let input = order["input_file_id"].as_str().unwrap_or_default().to_owned();
    at_desk(&shared, |desk| {
        let file = desk.files.get(&input).ok_or_else(|| unknown(protocol))?;
        let lines = lines(file).ok_or_else(|| bad(protocol, "a line that is no request"))?;
        if let Some(objection) = objection(&lines, 50_000) {
            return Err(bad(protocol, objection));
        }
        if lines.iter().any(|(_, request)| request.model != lines[0].1.model) {
            return Err(bad(protocol, "requests to more than one model"));
        }
        let (index, lost) = desk.take(protocol, input, order["metadata"].clone(), lines);
        Ok(taken(&openai(&desk.batches[index]), lost))
    })
}

/// The requests of an input file.
fn lines(file: &[u8]) -> Option<Vec<(String, Request)>> {
    let lines = file.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let line: Value = serde_json::from_slice(line).ok()?;
            if line["method"] != "POST" || line["url"] != ENDPOINT {
                return None;
            }
            Some((line["custom_id"].as_str()?.to_owned(), Protocol::OpenAi.request(None, line["body"].clone())))
        })
        .collect()
}

async fn submit(State(shared): Provider, headers: HeaderMap, body: Bytes) -> Result<Response, Refused> {
    let protocol = Protocol::Anthropic;
    admit(&shared, protocol, &headers)?;
    let parsed: Value = serde_json::from_slice(&body).map_err(|_| bad(protocol, "not JSON"))?;
    let requests = parsed["requests"].as_array().map_or(&[][..], Vec::as_slice);
    let lines: Vec<(String, Request)> = requests
        .iter()
        .map(|request| {
            let custom_id = request["custom_id"].as_str().unwrap_or_default().to_owned();
            (custom_id, protocol.request(None, request["params"].clone()))
        })
        .collect();
    if let Some(objection) = objection(&lines, 100_000) {
        return Err(bad(protocol, format!("requests.0.{objection}")));
    }
    Ok(at_desk(&shared, |desk| {
        desk.submissions.push(body.to_vec());
        let (index, lost) = desk.take(protocol, String::new(), Value::Null, lines);
        taken(&anthropic(&desk.batches[index]), lost)
    }))
}

async fn poll_openai(State(shared): Provider, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Refused> {
    poll(&shared, Protocol::OpenAi, &id, &headers)
}

async fn poll_anthropic(State(shared): Provider, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Refused> {
    poll(&shared, Protocol::Anthropic, &id, &headers)
}

fn poll(shared: &Shared, protocol: Protocol, id: &str, headers: &HeaderMap) -> Result<Response, Refused> {
    admit(shared, protocol, headers)?;
    at_desk(shared, |desk| {
        let batch = desk.poll(protocol, id, shared).ok_or_else(|| unknown(protocol))?;
        Ok(json_response(StatusCode::OK, &object(batch)))
    })
}

async fn cancel_openai(State(shared): Provider, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Refused> {
    cancel(&shared, Protocol::OpenAi, &id, &headers)
}

async fn cancel_anthropic(State(shared): Provider, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Refused> {
    cancel(&shared, Protocol::Anthropic, &id, &headers)
}

fn cancel(shared: &Shared, protocol: Protocol, id: &str, headers: &HeaderMap) -> Result<Response, Refused> {
    admit(shared, protocol, headers)?;
    at_desk(shared, |desk| {
        let batch = desk.find(protocol, id).ok_or_else(|| unknown(protocol))?;
        if matches!(batch.state, Progress::Ended(_) | Progress::Failed) {
            return Err(bad(protocol, "it has ended"));
        }
        batch.state = Progress::Cancelling;
        batch.cancelled = true;
        Ok(json_response(StatusCode::OK, &object(batch)))
    })
}

async fn list_openai(State(shared): Provider, Query(page): Query<Page>, headers: HeaderMap) -> Result<Response, Refused> {
    let limit = page.limit.unwrap_or(20).clamp(1, 100);
    list(&shared, Protocol::OpenAi, page.after.as_deref(), limit, &headers)
}

async fn list_anthropic(State(shared): Provider, Query(page): Query<Page>, headers: HeaderMap) -> Result<Response, Refused> {
    let limit = page.limit.unwrap_or(20).clamp(1, 1000);
    list(&shared, Protocol::Anthropic, page.after_id.as_deref(), limit, &headers)
}

/// The newest first.
fn list(
    shared: &Shared,
    protocol: Protocol,
    after: Option<&str>,
    limit: usize,
    headers: &HeaderMap,
) -> Result<Response, Refused> {
    admit(shared, protocol, headers)?;
    at_desk(shared, |desk| {
        let all: Vec<&Batch> = desk.batches.iter().rev().filter(|batch| batch.protocol == protocol).collect();
        let from = match after {
            Some(id) => all.iter().position(|batch| batch.id == id).ok_or_else(|| bad(protocol, "no such cursor"))? + 1,
            None => 0,
        };
        let data: Vec<Value> = all[from..].iter().take(limit).map(|batch| object(batch)).collect();
        let id = |batch: Option<&Value>| batch.map_or(Value::Null, |batch| batch["id"].clone());
        let page = json!({
            "object": "list", "first_id": id(data.first()), "last_id": id(data.last()),
            "has_more": all.len() > from + data.len(), "data": data,
        });
        Ok(json_response(StatusCode::OK, &page))
    })
}

async fn content(State(shared): Provider, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Refused> {
    let protocol = Protocol::OpenAi;
    admit(&shared, protocol, &headers)?;
    at_desk(&shared, |desk| {
        let oddities = desk.oddities;
        let (batch, answers) = match id.split_once('_') {
            Some(("file-output", batch)) => (batch, true),
            Some(("file-error", batch)) => (batch, false),
            _ => return Err(unknown(protocol)),
        };
        let batch = desk.find(protocol, batch).ok_or_else(|| unknown(protocol))?;
        let of_this = |line: &&Line| matches!(line.outcome, Some(Outcome::Answered(_))) == answers;
        let lines = batch.lines.iter().filter(of_this).map(openai_line).collect();
        Ok(file(lines, if answers { oddities } else { Oddities::default() }))
    })
}

async fn results(State(shared): Provider, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Refused> {
    let protocol = Protocol::Anthropic;
    admit(&shared, protocol, &headers)?;
    at_desk(&shared, |desk| {
        let oddities = desk.oddities;
        let batch = desk.find(protocol, &id).ok_or_else(|| unknown(protocol))?;
        if !matches!(batch.state, Progress::Ended(_)) {
            return Err(Refused(protocol, StatusCode::NOT_FOUND, "The results are not ready".to_owned()));
        }
        Ok(file(batch.lines.iter().map(anthropic_line).collect(), oddities))
    })
}
