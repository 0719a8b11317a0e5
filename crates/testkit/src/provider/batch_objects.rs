//! How batches and their results are written in the protocols of OpenAI and Anthropic.

use std::io;

use assize_core::Timestamp;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use serde_json::{Value, json};

use super::Protocol;
use super::batch_routes::ENDPOINT;
use super::batches::{Batch, Ending, Line, Oddities, Outcome, State as Progress};

const LONG_LINE_BYTES: usize = 2 << 20;
const CHUNK_BYTES: usize = 1_009;

/// Lines as a file, with what is to be wrong with it.
pub(super) fn file(mut lines: Vec<Value>, oddities: Oddities) -> Response {
    if oddities.reversed {
        lines.reverse();
    }
    lines.drain(..oddities.missing.min(lines.len()));
    lines.extend(lines.iter().take(oddities.duplicate).cloned().collect::<Vec<_>>());
    if let Some(first) = lines.first().cloned() {
        lines.extend((0..oddities.unknown).map(|number| {
            let mut line = first.clone();
            line["custom_id"] = json!(format!("nobody-{number}"));
            line
        }));
    }
    let mut texts: Vec<String> = lines.iter().map(|line| format!("{line}\n")).collect();
    let half = |text: &String| text.chars().take(text.chars().count() / 2).collect::<String>() + "\n";
    let halves: Vec<String> = texts.iter().cycle().take(oddities.malformed).map(half).collect();
    // Whoever cannot go on after a line that is wrong finds nothing after it.
    texts.splice(0..0, halves);
    texts.splice(0..0, (0..oddities.long).map(|_| format!("{{\"custom_id\":\"{}\"}}\n", "x".repeat(LONG_LINE_BYTES))));
    let broken = oddities.broken_after.map(|after| {
        texts.truncate(after);
        Err(io::Error::other("told to break"))
    });
    texts.truncate(oddities.stalled_after.unwrap_or(texts.len()));
    let mut text = texts.concat().into_bytes();
    if oddities.unterminated {
        text.pop();
    }
    // Chunks end where they like, not where lines do.
    let chunks: Vec<_> = text.chunks(CHUNK_BYTES).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    let texts = stream::iter(chunks).chain(stream::iter(broken));
    match oddities.stalled_after {
        Some(_) => Body::from_stream(texts.chain(stream::pending())).into_response(),
        None => Body::from_stream(texts).into_response(),
    }
}

pub(super) fn object(batch: &Batch) -> Value {
    if batch.protocol == Protocol::Anthropic { anthropic(batch) } else { openai(batch) }
}

pub(super) fn openai(batch: &Batch) -> Value {
    let answered = batch.count(|outcome| matches!(outcome, Outcome::Answered(_)));
    let total = if batch.state == Progress::Validating { 0 } else { batch.lines.len() };
    let ended = matches!(batch.state, Progress::Ended(_));
    let file = |kind: &str, there: bool| if ended && there { json!(format!("file-{kind}_{}", batch.id)) } else { Value::Null };
    let errors = json!({"object": "list", "data": [
        {"code": "invalid_json_line", "line": 1, "message": "told to fail", "param": null},
    ]});
    json!({
        "id": batch.id,
        "object": "batch",
        "endpoint": ENDPOINT,
        "errors": if batch.state == Progress::Failed { errors } else { Value::Null },
        "input_file_id": batch.input_file,
        "completion_window": "24h",
        "status": match batch.state {
            Progress::Validating => "validating",
            Progress::InProgress => "in_progress",
            Progress::Cancelling => "cancelling",
            Progress::Ended(Ending::Complete) => "completed",
            Progress::Ended(Ending::Expire { .. }) => "expired",
            Progress::Ended(Ending::Cancel { .. }) => "cancelled",
            Progress::Failed => "failed",
        },
        "output_file_id": file("output", answered > 0),
        "error_file_id": file("error", answered < batch.lines.len()),
        "created_at": batch.created_at,
        "expires_at": batch.created_at + 86_400,
        "request_counts": {
            "total": total,
            "completed": answered,
            "failed": batch.count(|outcome| matches!(outcome, Outcome::Refused(..))),
        },
        "metadata": batch.metadata,
    })
}

pub(super) fn openai_line(line: &Line) -> Value {
    let response = |status: u16, body: &Value| json!({"status_code": status, "request_id": "req_1", "body": body});
    let error = |code: &str| json!({"code": code, "message": "This request could not be executed."});
    let (response, error) = match &line.outcome {
        Some(Outcome::Answered(body)) => (response(200, body), Value::Null),
        Some(Outcome::Refused(status, body)) => (response(*status, body), Value::Null),
        Some(Outcome::Cancelled) => (Value::Null, error("batch_cancelled")),
        Some(Outcome::Expired) | None => (Value::Null, error("batch_expired")),
    };
    json!({"id": "batch_req_1", "custom_id": line.custom_id, "response": response, "error": error})
}

pub(super) fn anthropic(batch: &Batch) -> Value {
    let time = |seconds: i64| json!(Timestamp(seconds.saturating_mul(1000)).to_rfc3339());
    let ended = matches!(batch.state, Progress::Ended(_));
    json!({
        "id": batch.id,
        "type": "message_batch",
        "processing_status": match batch.state {
            Progress::Validating | Progress::InProgress | Progress::Failed => "in_progress",
            Progress::Cancelling => "canceling",
            Progress::Ended(_) => "ended",
        },
        "request_counts": {
            "processing": if ended { 0 } else { batch.lines.len() },
            "succeeded": batch.count(|outcome| matches!(outcome, Outcome::Answered(_))),
            "errored": batch.count(|outcome| matches!(outcome, Outcome::Refused(..))),
            "canceled": batch.count(|outcome| matches!(outcome, Outcome::Cancelled)),
            "expired": batch.count(|outcome| matches!(outcome, Outcome::Expired)),
        },
        "created_at": time(batch.created_at),
        "expires_at": time(batch.created_at + 86_400),
        "ended_at": if ended { time(batch.created_at + 60) } else { Value::Null },
        "archived_at": null,
        "cancel_initiated_at": if batch.cancelled { time(batch.created_at + 30) } else { Value::Null },
        "results_url": if ended { json!(format!("https://elsewhere.example/{}/results", batch.id)) } else { Value::Null },
    })
}

pub(super) fn anthropic_line(line: &Line) -> Value {
    let result = match &line.outcome {
        Some(Outcome::Answered(message)) => json!({"type": "succeeded", "message": message}),
        Some(Outcome::Refused(status, body)) => {
            let kind = match status {
                400 | 422 => "invalid_request_error",
                401 => "authentication_error",
                403 => "permission_error",
                404 => "not_found_error",
                413 => "request_too_large",
                429 => "rate_limit_error",
                529 => "overloaded_error",
                _ => "api_error",
            };
            let message = body.pointer("/error/message").cloned().unwrap_or(json!("no reason"));
            json!({"type": "errored", "error": {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}})
        }
        Some(Outcome::Cancelled) => json!({"type": "canceled"}),
        Some(Outcome::Expired) | None => json!({"type": "expired"}),
    };
    json!({"custom_id": line.custom_id, "result": result})
}
