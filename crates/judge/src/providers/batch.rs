//! What a provider's batch API can do: take many requests at once, at a lower price and within a day, and give their answers later.
//!
//! A batch has a marker, chosen by us and on record before it is submitted, so that a submission whose answer was lost, or that was
//! followed by a crash, can be found again instead of being paid twice: see [`Batches::list`]. What a line carries is byte for byte
//! what a live call would send. Like the live calls, each of these makes one attempt and never retries.

use std::collections::HashSet;

use assize_core::judge::{CallFailure, CallFailureKind};
use assize_core::{ProviderName, Timestamp};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::Request;
pub use super::batch_results::{BatchResult, Results, ResultsReport};

/// Characters of a marker, at the most.
pub const MARKER_CHARS_MAX: usize = 24;
/// Characters of a request's own id, at the most: with the marker and a dash before it, it fits into the 64 that Anthropic allows.
pub const CUSTOM_ID_CHARS_MAX: usize = 39;

/// A batch that was submitted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BatchRef {
    /// What the provider calls it.
    pub id: String,
    /// What we called it.
    pub marker: String,
}

/// One request of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRequest {
    /// What its answer is found by: unique in the batch, 1 to [`CUSTOM_ID_CHARS_MAX`] letters, digits, dashes and underscores.
    pub custom_id: String,
    /// What [`Batches::body`] made.
    pub body: Vec<u8>,
}

/// How much goes into one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Requests.
    pub requests_max: usize,
    /// Bytes of their bodies together. Less than providers take, because all of it is in memory when it is sent.
    pub bytes_max: usize,
}

/// A batch that [`Batches::list`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What the provider calls it.
    pub id: String,
    /// Its marker; `None` where the provider does not tell before the batch has ended.
    pub marker: Option<String>,
    /// When it was submitted, by the provider's clock.
    pub created_at: Timestamp,
    /// How many requests it holds, where the provider says so by now.
    pub requests: Option<u64>,
}

/// How far a batch is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchStatus {
    /// Whether it goes on.
    pub state: BatchState,
    /// Its requests.
    pub counts: BatchCounts,
    /// When the provider gives up what has not been answered by then.
    pub expires_at: Option<Timestamp>,
    /// Why a batch was refused as a whole, in the provider's codes.
    pub why: Option<String>,
}

/// Whether a batch goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchState {
    /// It is checked, waits, or is worked on.
    Waiting,
    /// It is being cancelled; requests under way may still be answered.
    Cancelling,
    /// It is over, and what was answered can be read.
    Ended(BatchEnd),
}

/// How a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchEnd {
    /// Every request was answered, or failed for a reason of its own.
    Completed,
    /// Time was up; a part may have been answered.
    Expired,
    /// It was cancelled; a part may have been answered.
    Cancelled,
    /// It was refused as a whole: nothing was run, and nothing is paid.
    Failed,
}

/// How many requests of a batch are how far. Anthropic counts only once the batch has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchCounts {
    /// All.
    pub total: u64,
    /// Answered.
    pub succeeded: u64,
    /// Failed, expired or cancelled.
    pub failed: u64,
}

/// A provider that takes batches.
#[async_trait]
pub trait Batches: Send + Sync {
    /// What the configuration calls it.
    fn name(&self) -> &ProviderName;

    /// How much goes into one batch.
    fn limits(&self) -> BatchLimits;

    /// What a live call would send for `request`, byte for byte.
    fn body(&self, request: &Request<'_>) -> Result<Vec<u8>, CallFailure>;

    /// Submits requests, all to one model (OpenAI takes no others), as a batch that can be found again by `marker`: 1 to
    /// [`MARKER_CHARS_MAX`] letters, digits and underscores that no other batch of this account begins with.
    ///
    /// # Errors
    /// After most failures it is open whether the batch was taken: see [`may_have_been_taken`].
    async fn submit(&self, marker: &str, requests: &[BatchRequest]) -> Result<BatchRef, CallFailure>;

    /// The batches submitted since `since` whose marker begins with `prefix`, the newest first, and those whose marker the provider
    /// does not tell yet. To be asked before anything is submitted that may have been submitted before.
    ///
    /// OpenAI keeps the marker with the batch, so every batch of ours is found at once. Anthropic keeps nothing with a batch but its
    /// requests' ids, which it shows in the results alone: until a batch has ended, all that tells it is when it was submitted and how
    /// many requests it holds. One that fits an intent on record may be it, and is to be waited for; submitting again before it has
    /// ended risks paying twice. Batches of other programs on the same account show up alike, and are recognised as such when they end.
    async fn list(&self, prefix: &str, since: Timestamp) -> Result<Vec<Found>, CallFailure>;

    /// How far the batch is.
    async fn poll(&self, batch: &BatchRef) -> Result<BatchStatus, CallFailure>;

    /// The answers of a batch that has ended, line by line, as far as they were asked for: `expected` are its requests' ids.
    async fn results<'a>(&'a self, batch: &BatchRef, expected: HashSet<String>) -> Result<Results<'a>, CallFailure>;

    /// Asks for the batch to be stopped; what was answered by then can be read when it has ended.
    async fn cancel(&self, batch: &BatchRef) -> Result<(), CallFailure>;
}

/// Whether a submission that failed like this may have been taken all the same, so that it must be looked for before it is repeated.
pub fn may_have_been_taken(failure: &CallFailure) -> bool {
    match failure.kind {
        CallFailureKind::Timeout | CallFailureKind::Network | CallFailureKind::Unavailable | CallFailureKind::InvalidAnswer => {
            true
        }
        CallFailureKind::RateLimited | CallFailureKind::Unauthorized | CallFailureKind::Rejected | CallFailureKind::Refused => {
            false
        }
    }
}

/// Checks what is to be submitted; what fails here was not sent.
pub(super) fn check(marker: &str, requests: &[BatchRequest], limits: BatchLimits) -> Result<(), CallFailure> {
    let refuse = |message: String| Err(CallFailure::new(CallFailureKind::Rejected, format!("not submitted: {message}")));
    if !is_name(marker, MARKER_CHARS_MAX, "_") {
        return refuse(format!("a marker has 1 to {MARKER_CHARS_MAX} letters, digits and underscores"));
    }
    if requests.is_empty() || requests.len() > limits.requests_max {
        return refuse(format!("{} requests: 1 to {} go into a batch", requests.len(), limits.requests_max));
    }
    let mut ids = HashSet::with_capacity(requests.len());
    let mut bytes = 0_usize;
    for request in requests {
        if !is_name(&request.custom_id, CUSTOM_ID_CHARS_MAX, "_-") {
            return refuse(format!("an id has 1 to {CUSTOM_ID_CHARS_MAX} letters, digits, dashes and underscores"));
        }
        if !ids.insert(&request.custom_id) {
            return refuse("an id occurs twice".to_owned());
        }
        if request.body.is_empty() || request.body.contains(&b'\n') {
            return refuse("a body is not one line of JSON".to_owned());
        }
        bytes = bytes.saturating_add(request.body.len());
    }
    if bytes > limits.bytes_max {
        return refuse(format!("{bytes} bytes: {} at the most go into a batch", limits.bytes_max));
    }
    Ok(())
}

fn is_name(text: &str, chars_max: usize, others: &str) -> bool {
    (1..=chars_max).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_batch_is_not_sent() {
        let limits = BatchLimits { requests_max: 3, bytes_max: 10 };
        let request = |custom_id: &str, body: &str| BatchRequest { custom_id: custom_id.into(), body: body.into() };
        assert!(check("a_1", &[request("x-1", "{}"), request("x-2", "{}")], limits).is_ok());
        assert!(check(&"m".repeat(24), &[request(&"i".repeat(39), "{}")], limits).is_ok());
        let one = || vec![request("x", "{}")];
        for (marker, requests) in [
            ("", one()),
            ("a-1", one()),
            ("ä", one()),
            (&*"m".repeat(25), one()),
            ("m", vec![]),
            ("m", vec![request("", "{}")]),
            ("m", vec![request("a b", "{}")]),
            ("m", vec![request("\"", "{}")]),
            ("m", vec![request(&"i".repeat(40), "{}")]),
            ("m", vec![request("x", "{}"), request("x", "{}")]),
            ("m", vec![request("x", "{\n}")]),
            ("m", vec![request("x", "")]),
            ("m", vec![request("x", "{\"aaaa\":1}"), request("y", "{}")]),
            ("m", ["a", "b", "c", "d"].map(|id| request(id, "{}")).to_vec()),
        ] {
            let failure = check(marker, &requests, limits).unwrap_err();
            assert_eq!(failure.kind, CallFailureKind::Rejected, "{marker} {requests:?}");
            assert!(!may_have_been_taken(&failure));
        }
    }
}
