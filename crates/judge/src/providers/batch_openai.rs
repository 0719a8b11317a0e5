//! OpenAI's batches: a file of requests, a batch that names it, and files of answers. The marker stands in the batch's metadata.
//!
//! Formats: <https://platform.openai.com/docs/api-reference/batch>, <https://platform.openai.com/docs/guides/batch>.

use std::collections::HashSet;

use assize_core::judge::{CallFailure, CallFailureKind};
use assize_core::{NanoUsd, ProviderName, Timestamp};
use async_trait::async_trait;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::attempt::Attempt;
use super::batch::{self, BatchCounts, BatchEnd, BatchLimits, BatchRef, BatchRequest, BatchState, BatchStatus, Batches, Found};
use super::batch_protocol::{BatchProtocol, ReadLine, count, id, not_ended, object, recent, upload, without};
use super::batch_results::Results;
use super::connection::Connection;
use super::repeatable::code;
use super::{OpenAi, Request};

/// The endpoint that a batch's requests are for; a path of OpenAI's own, whatever `base_url` is.
const ENDPOINT: &str = "/v1/chat/completions";
/// The key of the marker in the metadata.
const MARKER_KEY: &str = "assize";
const LIMITS: BatchLimits = BatchLimits { requests_max: 50_000, bytes_max: 64 << 20 };

impl OpenAi {
    async fn batch(&self, id: &str) -> Result<Value, CallFailure> {
        object(self, self.connection.request(Method::GET, self.connection.url(&["batches", id]))).await
    }

    /// Sends the requests as a file; its id.
    async fn file(&self, marker: &str, requests: &[BatchRequest]) -> Result<String, CallFailure> {
        let bytes: usize = requests.iter().map(|request| request.body.len() + 128).sum();
        let mut lines = Vec::with_capacity(bytes);
        for BatchRequest { custom_id, body } in requests {
            // Nothing in an id needs to be escaped.
            let head = format!(r#"{{"custom_id":"{custom_id}","method":"POST","url":"{ENDPOINT}","body":"#);
            lines.extend_from_slice(head.as_bytes());
            lines.extend_from_slice(body);
            lines.extend_from_slice(b"}\n");
        }
        let boundary = boundary(&lines);
        let mut form = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{marker}.jsonl\"\r\n\
             Content-Type: application/jsonl\r\n\r\n"
        )
        .into_bytes();
        form.append(&mut lines);
        form.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        let post = self
            .connection
            .request(Method::POST, self.connection.url(&["files"]))
            .header(CONTENT_TYPE, format!("multipart/form-data; boundary={boundary}"))
            .body(form);
        let file = upload(self, post).await?;
        id(&file).ok_or_else(|| without(&self.connection, "file", "id"))
    }
}

#[async_trait]
impl Batches for OpenAi {
    fn name(&self) -> &ProviderName {
        &self.connection.name
    }

    fn limits(&self) -> BatchLimits {
        LIMITS
    }

    fn body(&self, request: &Request<'_>) -> Result<Vec<u8>, CallFailure> {
        OpenAi::body(self, request)
    }

    /// A file that was sent without its batch being created costs nothing; OpenAI deletes it after 30 days.
    async fn submit(&self, marker: &str, requests: &[BatchRequest]) -> Result<BatchRef, CallFailure> {
        batch::check(marker, requests, LIMITS)?;
        let file = self.file(marker, requests).await?;
        let order = json!({
            "input_file_id": file, "endpoint": ENDPOINT, "completion_window": "24h", "metadata": {MARKER_KEY: marker},
        });
        let post = self.connection.request(Method::POST, self.connection.url(&["batches"])).body(order.to_string());
        let batch = object(self, post).await?;
        let id = id(&batch).ok_or_else(|| without(&self.connection, "batch", "id"))?;
        Ok(BatchRef { id, marker: marker.to_owned() })
    }

    async fn list(&self, prefix: &str, since: Timestamp) -> Result<Vec<Found>, CallFailure> {
        let batches = recent(self, &["batches"], "after", since).await?;
        let ours = batches.into_iter().filter_map(|(id, created_at, batch)| {
            let marker = batch.get("metadata")?.get(MARKER_KEY)?.as_str().filter(|marker| marker.starts_with(prefix))?;
            let requests = Some(count(&batch, "total")).filter(|total| *total > 0);
            Some(Found { id, marker: Some(marker.to_owned()), created_at, requests })
        });
        Ok(ours.collect())
    }

    async fn poll(&self, batch: &BatchRef) -> Result<BatchStatus, CallFailure> {
        let batch = self.batch(&batch.id).await?;
        let state = match batch.get("status").and_then(Value::as_str).unwrap_or_default() {
            "validating" | "in_progress" | "finalizing" => BatchState::Waiting,
            "cancelling" => BatchState::Cancelling,
            "completed" => BatchState::Ended(BatchEnd::Completed),
            "expired" => BatchState::Ended(BatchEnd::Expired),
            "cancelled" => BatchState::Ended(BatchEnd::Cancelled),
            "failed" => BatchState::Ended(BatchEnd::Failed),
            _ => return Err(without(&self.connection, "batch", "status that is known")),
        };
        Ok(BatchStatus { state, counts: counts(&batch), expires_at: seconds(&batch, "expires_at"), why: why(&batch) })
    }

    async fn results<'a>(&'a self, batch: &BatchRef, expected: HashSet<String>) -> Result<Results<'a>, CallFailure> {
        let batch = self.batch(&batch.id).await?;
        if !matches!(batch.get("status").and_then(Value::as_str), Some("completed" | "expired" | "cancelled" | "failed")) {
            return Err(not_ended());
        }
        // Answers first: where a request stands in both files, what was answered counts.
        let files = ["output_file_id", "error_file_id"].into_iter().filter_map(|name| batch.get(name)?.as_str());
        Ok(Results::new(self, files.map(|file| self.connection.url(&["files", file, "content"])), expected))
    }

    async fn cancel(&self, batch: &BatchRef) -> Result<(), CallFailure> {
        let url = self.connection.url(&["batches", &batch.id, "cancel"]);
        object(self, self.connection.request(Method::POST, url)).await.map(|_| ())
    }
}

impl BatchProtocol for OpenAi {
    fn connection(&self) -> &Connection {
        &self.connection
    }

    /// `{"custom_id": …, "response": {"status_code": …, "body": …}, "error": null}`, or an error and no response.
    fn read(&self, line: &Value) -> Option<ReadLine> {
        let custom_id = line.get("custom_id")?.as_str()?.to_owned();
        let attempt = Attempt::begin(None);
        if let Some(response) = line.get("response").filter(|response| response.is_object()) {
            let status = u16::try_from(response.get("status_code")?.as_u64()?).ok()?;
            let body = response.get("body")?;
            let outcome = match status {
                200..=299 => self.completed(attempt, body),
                _ => Err(self.refused(&attempt, status, body)),
            };
            return Some((custom_id, outcome));
        }
        let error = line.get("error").filter(|error| error.is_object())?;
        let code = error.get("code").and_then(Value::as_str).and_then(code).unwrap_or("no code");
        let (kind, message) = match code {
            "batch_expired" => (CallFailureKind::Timeout, "the batch expired before this request was run".to_owned()),
            "batch_cancelled" => (CallFailureKind::Unavailable, "the batch was cancelled before this request was run".to_owned()),
            _ => (CallFailureKind::Unavailable, format!("the request failed in the batch ({code})")),
        };
        // What was never run costs nothing.
        let cost = matches!(code, "batch_expired" | "batch_cancelled").then_some(NanoUsd::ZERO);
        Some((custom_id, Err(CallFailure { cost, ..attempt.because(kind, message) })))
    }

    fn created_at(&self, batch: &Value) -> Option<Timestamp> {
        seconds(batch, "created_at")
    }

    fn refused(&self, attempt: &Attempt<'_>, status: u16, body: &Value) -> CallFailure {
        OpenAi::refused(self, attempt, status, body)
    }
}

/// What separates the parts of a form: nothing that occurs in `content`, which holds no line that begins with two dashes anyway.
fn boundary(content: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("assize: boundary of a form");
    hasher.update(content);
    loop {
        let boundary = format!("assize-{}", &hasher.finalize().to_hex()[..32]);
        if memchr::memmem::find(content, boundary.as_bytes()).is_none() {
            return boundary;
        }
        hasher.update(b"again");
    }
}

fn seconds(batch: &Value, name: &str) -> Option<Timestamp> {
    batch.get(name)?.as_i64().map(|seconds| Timestamp(seconds.saturating_mul(1000)))
}

fn counts(batch: &Value) -> BatchCounts {
    BatchCounts { total: count(batch, "total"), succeeded: count(batch, "completed"), failed: count(batch, "failed") }
}

/// The first errors of a batch that was refused: code and line, never the words, which may repeat what is judged.
fn why(batch: &Value) -> Option<String> {
    let errors = batch.pointer("/errors/data")?.as_array()?;
    let said: Vec<String> = errors
        .iter()
        .take(3)
        .map(|error| {
            let code = error.get("code").and_then(Value::as_str).and_then(code).unwrap_or("no code");
            error.get("line").and_then(Value::as_u64).map_or(code.to_owned(), |line| format!("{code} in line {line}"))
        })
        .collect();
    (!said.is_empty()).then(|| said.join(", "))
}
