//! Anthropic's message batches. A batch has no metadata, so its marker stands before the ids of its requests, and shows when it has
//! ended: `MARKER-ID`.
//!
//! Formats: <https://platform.claude.com/docs/en/api/messages/batches>,
//! <https://platform.claude.com/docs/en/build-with-claude/batch-processing>. Results are kept for 29 days.

use std::collections::HashSet;

use assize_core::judge::{CallFailure, CallFailureKind};
use assize_core::{NanoUsd, ProviderName, Timestamp};
use async_trait::async_trait;
use reqwest::{Method, Url};
use serde_json::Value;

use super::anthropic::status_of;
use super::attempt::Attempt;
use super::batch::{self, BatchCounts, BatchEnd, BatchLimits, BatchRef, BatchRequest, BatchState, BatchStatus, Batches, Found};
use super::batch_protocol::{BatchProtocol, ReadLine, count, id, not_ended, object, recent, upload, without};
use super::batch_results::{Lines, Results};
use super::connection::Connection;
use super::{Anthropic, Request};

const LIMITS: BatchLimits = BatchLimits { requests_max: 100_000, bytes_max: 64 << 20 };
/// Bytes of results that are read to find a marker: the first line.
const PEEK_BYTES_MAX: u64 = 4 << 20;

impl Anthropic {
    async fn batch(&self, id: &str) -> Result<Value, CallFailure> {
        let url = self.connection.url(&["messages", "batches", id]);
        object(self, self.connection.request(Method::GET, url)).await
    }

    /// Where the results are: as documented, and not where `results_url` points, because the key goes along.
    fn results_url(&self, id: &str) -> Url {
        self.connection.url(&["messages", "batches", id, "results"])
    }

    /// The marker that the results of a batch begin with, if they are of a batch of ours.
    async fn marker(&self, id: &str) -> Result<Option<String>, CallFailure> {
        let mut lines = Lines::open(self, self.results_url(id)).await?;
        let mut bytes_left = PEEK_BYTES_MAX;
        let first = lines.next(&self.connection, &mut bytes_left).await?.flatten();
        let line: Option<Value> = first.and_then(|line| serde_json::from_slice(&line).ok());
        let custom_id = line.as_ref().and_then(|line| line.get("custom_id")?.as_str());
        Ok(custom_id.and_then(|id| id.split_once('-')).map(|(marker, _)| marker.to_owned()))
    }
}

#[async_trait]
impl Batches for Anthropic {
    fn name(&self) -> &ProviderName {
        &self.connection.name
    }

    fn limits(&self) -> BatchLimits {
        LIMITS
    }

    fn body(&self, request: &Request<'_>) -> Result<Vec<u8>, CallFailure> {
        Anthropic::body(self, request)
    }

    async fn submit(&self, marker: &str, requests: &[BatchRequest]) -> Result<BatchRef, CallFailure> {
        batch::check(marker, requests, LIMITS)?;
        let bytes: usize = requests.iter().map(|request| request.body.len() + 128).sum();
        let mut body = Vec::with_capacity(bytes);
        body.extend_from_slice(br#"{"requests":["#);
        for (index, BatchRequest { custom_id, body: params }) in requests.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            // Nothing in a marker or an id needs to be escaped.
            body.extend_from_slice(format!(r#"{comma}{{"custom_id":"{marker}-{custom_id}","params":"#).as_bytes());
            body.extend_from_slice(params);
            body.push(b'}');
        }
        body.extend_from_slice(b"]}");
        let post = self.connection.request(Method::POST, self.connection.url(&["messages", "batches"])).body(body);
        let batch = upload(self, post).await?;
        let id = id(&batch).ok_or_else(|| without(&self.connection, "batch", "id"))?;
        Ok(BatchRef { id, marker: marker.to_owned() })
    }

    async fn list(&self, prefix: &str, since: Timestamp) -> Result<Vec<Found>, CallFailure> {
        let mut found = Vec::new();
        for (id, created_at, batch) in recent(self, &["messages", "batches"], "after_id", since).await? {
            let requests = Some(counts(&batch).total);
            if has_results(&batch) {
                if let Some(marker) = self.marker(&id).await?.filter(|marker| marker.starts_with(prefix)) {
                    found.push(Found { id, marker: Some(marker), created_at, requests });
                }
            } else if batch.get("processing_status").and_then(Value::as_str) != Some("ended") {
                found.push(Found { id, marker: None, created_at, requests });
            }
            // What has ended and has no results any more will not tell.
        }
        Ok(found)
    }

    async fn poll(&self, batch: &BatchRef) -> Result<BatchStatus, CallFailure> {
        let batch = self.batch(&batch.id).await?;
        let cancelled = batch.get("cancel_initiated_at").is_some_and(|time| !time.is_null());
        let expired = count(&batch, "expired") > 0;
        let state = match batch.get("processing_status").and_then(Value::as_str).unwrap_or_default() {
            "in_progress" => BatchState::Waiting,
            "canceling" => BatchState::Cancelling,
            "ended" if cancelled => BatchState::Ended(BatchEnd::Cancelled),
            "ended" if expired => BatchState::Ended(BatchEnd::Expired),
            "ended" => BatchState::Ended(BatchEnd::Completed),
            _ => return Err(without(&self.connection, "batch", "processing_status that is known")),
        };
        Ok(BatchStatus { state, counts: counts(&batch), expires_at: time(&batch, "expires_at"), why: None })
    }

    async fn results<'a>(&'a self, batch: &BatchRef, expected: HashSet<String>) -> Result<Results<'a>, CallFailure> {
        let status = self.batch(&batch.id).await?;
        if status.get("processing_status").and_then(Value::as_str) != Some("ended") {
            return Err(not_ended());
        }
        let expected = expected.into_iter().map(|id| format!("{}-{id}", batch.marker)).collect();
        Ok(Results::new(self, [self.results_url(&batch.id)], expected).without_prefix(batch.marker.len() + 1))
    }

    async fn cancel(&self, batch: &BatchRef) -> Result<(), CallFailure> {
        let url = self.connection.url(&["messages", "batches", &batch.id, "cancel"]);
        object(self, self.connection.request(Method::POST, url)).await.map(|_| ())
    }
}

impl BatchProtocol for Anthropic {
    fn connection(&self) -> &Connection {
        &self.connection
    }

    /// `{"custom_id": …, "result": {"type": "succeeded", "message": …}}`, or of type errored, canceled or expired.
    fn read(&self, line: &Value) -> Option<ReadLine> {
        let custom_id = line.get("custom_id")?.as_str()?.to_owned();
        let result = line.get("result")?;
        let attempt = Attempt::begin(None);
        let outcome = match result.get("type")?.as_str()? {
            "succeeded" => self.completed(attempt, result.get("message")?),
            "errored" => {
                let error = result.get("error")?;
                let status = status_of(error.pointer("/error/type").and_then(Value::as_str).unwrap_or_default());
                Err(unbilled(Anthropic::refused(self, &attempt, status, error)))
            }
            "expired" => {
                Err(unbilled(attempt.because(CallFailureKind::Timeout, "the batch expired before this request was run")))
            }
            "canceled" => {
                let message = "the batch was cancelled before this request was run";
                Err(unbilled(attempt.because(CallFailureKind::Unavailable, message)))
            }
            _ => return None,
        };
        Some((custom_id, outcome))
    }

    fn created_at(&self, batch: &Value) -> Option<Timestamp> {
        time(batch, "created_at")
    }

    fn refused(&self, attempt: &Attempt<'_>, status: u16, body: &Value) -> CallFailure {
        Anthropic::refused(self, attempt, status, body)
    }
}

fn has_results(batch: &Value) -> bool {
    batch.get("results_url").is_some_and(Value::is_string) && batch.get("archived_at").is_none_or(Value::is_null)
}

fn time(batch: &Value, name: &str) -> Option<Timestamp> {
    Timestamp::parse(batch.get(name)?.as_str()?).ok()
}

fn counts(batch: &Value) -> BatchCounts {
    let count = |name: &str| count(batch, name);
    let succeeded = count("succeeded");
    let failed = count("errored").saturating_add(count("canceled")).saturating_add(count("expired"));
    BatchCounts { total: count("processing").saturating_add(succeeded).saturating_add(failed), succeeded, failed }
}
/// A request of a batch that did not succeed. Only those that did are billed:
/// <https://platform.claude.com/docs/en/build-with-claude/batch-processing>.
fn unbilled(failure: CallFailure) -> CallFailure {
    CallFailure { cost: Some(NanoUsd::ZERO), ..failure }
}
