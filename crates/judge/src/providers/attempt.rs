//! What one attempt knows about itself, and how it fails with all of that.

use std::time::{Duration, Instant};

use assize_core::TokenUsage;
use assize_core::judge::{CallFailure, CallFailureKind};

use super::rate_limits::Wait;

/// One attempt under way.
#[derive(Debug, Clone)]
pub(super) struct Attempt<'a> {
    started: Instant,
    /// The text that is judged, which no message may repeat; `None` where it is not at hand, so that no words of the provider's can
    /// be checked for it and none are passed on.
    pub(super) judged: Option<&'a str>,
    /// How long it may take, where that is not the connection's `timeout_seconds`.
    pub(super) limit: Option<Duration>,
    /// What the headers of a refusal ask for.
    pub(super) wait: Wait,
    /// The tokens that were billed, once they are known.
    pub(super) usage: Option<TokenUsage>,
}

impl<'a> Attempt<'a> {
    /// Begins now.
    pub(super) fn begin(judged: Option<&'a str>) -> Self {
        Self { started: Instant::now(), judged, limit: None, wait: Wait::default(), usage: None }
    }

    /// The same, with a time limit of its own.
    pub(super) fn within(self, limit: Duration) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// How long it has taken so far, in milliseconds.
    pub(super) fn latency_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Its failure, with all that is known.
    pub(super) fn because(&self, kind: CallFailureKind, message: impl Into<String>) -> CallFailure {
        CallFailure {
            retry_after: self.wait.retry_after,
            headroom_gone: self.wait.headroom_gone,
            usage: self.usage,
            latency_ms: self.latency_ms(),
            ..CallFailure::new(kind, message)
        }
    }
}
