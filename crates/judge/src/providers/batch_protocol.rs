//! What the batch APIs of different vendors have in common.

use std::time::Duration;

use assize_core::Timestamp;
use assize_core::judge::{CallFailure, CallFailureKind};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use super::Completion;
use super::attempt::Attempt;
use super::connection::{Answer, Connection};

/// Sending a batch takes longer than a question.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(300);
/// Pages of a list that are read, of a hundred each.
const PAGES_MAX: usize = 100;
/// How far the provider's clock and ours may differ.
const CLOCK_SLACK: Duration = Duration::from_secs(600);
const ID_CHARS_MAX: usize = 256;

/// What one line of results says: whose it is, and what became of it.
pub(super) type ReadLine = (String, Result<Completion, CallFailure>);

/// A vendor's way to write batches.
pub(super) trait BatchProtocol: Send + Sync {
    /// Where the batches are.
    fn connection(&self) -> &Connection;

    /// An answer that is no success.
    fn refused(&self, attempt: &Attempt<'_>, status: u16, body: &Value) -> CallFailure;

    /// When a batch was submitted.
    fn created_at(&self, batch: &Value) -> Option<Timestamp>;

    /// Reads one line of results; `None` where it holds not what it should.
    fn read(&self, line: &Value) -> Option<ReadLine>;
}

/// One attempt to send `request` and to read a JSON object, without anything at hand that no message may repeat.
pub(super) async fn object(protocol: &dyn BatchProtocol, request: RequestBuilder) -> Result<Value, CallFailure> {
    exchange(protocol, request, Attempt::begin(None)).await
}

/// The same, with the time that it takes to send a batch.
pub(super) async fn upload(protocol: &dyn BatchProtocol, request: RequestBuilder) -> Result<Value, CallFailure> {
    let limit = UPLOAD_TIMEOUT.max(protocol.connection().timeout);
    exchange(protocol, request.timeout(limit), Attempt::begin(None).within(limit)).await
}

async fn exchange(protocol: &dyn BatchProtocol, request: RequestBuilder, mut attempt: Attempt<'_>) -> Result<Value, CallFailure> {
    match protocol.connection().call(request, &mut attempt).await? {
        Answer::Success(body) => Ok(body),
        Answer::Refusal(status, body) => Err(protocol.refused(&attempt, status, &body)),
    }
}

/// The batches listed at `path` that were submitted since `since`, with their ids, the newest first, as they are listed. `after` is what
/// the parameter is called that names the last of the page before.
pub(super) async fn recent(
    protocol: &dyn BatchProtocol,
    path: &[&str],
    after: &str,
    since: Timestamp,
) -> Result<Vec<(String, Timestamp, Value)>, CallFailure> {
    let connection = protocol.connection();
    let since = since.minus(CLOCK_SLACK);
    let mut found = Vec::new();
    let mut last: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let mut url = connection.url(path);
        url.query_pairs_mut().append_pair("limit", "100");
        if let Some(last) = &last {
            url.query_pairs_mut().append_pair(after, last);
        }
        let mut page = object(protocol, connection.request(Method::GET, url)).await?;
        let has_more = page.get("has_more").and_then(Value::as_bool) == Some(true);
        let Some(Value::Array(batches)) = page.get_mut("data").map(Value::take) else {
            return Err(without(connection, "list of batches", "data"));
        };
        let mut all_older = true;
        for batch in batches {
            let (Some(id), Some(created_at)) = (id(&batch), protocol.created_at(&batch)) else {
                return Err(without(connection, "batch", "an id and a time"));
            };
            last = Some(id.clone());
            if created_at >= since {
                all_older = false;
                found.push((id, created_at, batch));
            }
        }
        if all_older || !has_more {
            return Ok(found);
        }
    }
    let message = format!("too many batches at {} to find ours among them; look for a shorter time", connection.host);
    Err(CallFailure::new(CallFailureKind::Rejected, message))
}

/// The id of an object, if it can be one.
pub(super) fn id(object: &Value) -> Option<String> {
    let id = object.get("id")?.as_str()?;
    (!id.is_empty() && id.len() <= ID_CHARS_MAX).then(|| id.to_owned())
}

/// A number of a batch's `request_counts`.
pub(super) fn count(batch: &Value, name: &str) -> u64 {
    batch.get("request_counts").and_then(|counts| counts.get(name)?.as_u64()).unwrap_or(0)
}

/// An answer that lacks what it should hold.
pub(super) fn without(connection: &Connection, what: &str, part: &str) -> CallFailure {
    CallFailure::new(CallFailureKind::InvalidAnswer, format!("a {what} without {part} from {}", connection.host))
}

/// A request for the results of a batch that goes on.
pub(super) fn not_ended() -> CallFailure {
    CallFailure::new(CallFailureKind::Rejected, "the batch has not ended: it has no results yet")
}
