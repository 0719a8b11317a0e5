//! What scoring adds to an accepted row: one outcome per metric, the verdicts behind it and the calls that were paid.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Accepted, CallId, JudgeName, MetricName, NanoUsd, Outcome, ProviderName, Reason, Timestamp, TokenUsage, Verdict};

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallStatus {
    /// A valid verdict.
    Answered,
    /// No verdict, whatever the cause; it may have cost money all the same.
    Failed,
}

/// One attempt at a provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    /// The attempt's own id.
    pub id: CallId,
    /// The judge on whose behalf it was made.
    pub judge: JudgeName,
    /// The provider that was called.
    pub provider: ProviderName,
    /// The model that was asked for.
    pub model: String,
    /// How it ended.
    pub status: CallStatus,
    /// The failure's code, such as `rate_limited`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Tokens as reported; `None` where the provider did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<TokenUsage>,
    /// What it cost; `None` where usage or price is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<NanoUsd>,
    /// How long it took, in milliseconds.
    pub latency_ms: u64,
    /// When it ended.
    pub at: Timestamp,
}

/// What became of one metric of one drawn interaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// The row as frozen at accept.
    pub row: Arc<Accepted>,
    /// The metric.
    pub metric: MetricName,
    /// Its fate. `None` while it waits for another try: calls are recorded, the outcome is still to come.
    pub outcome: Option<Outcome>,
    /// Why, where it was not judged.
    pub reason: Option<Reason>,
    /// Verdicts of the called tiers, in cascade order; the reference's is last, and there exactly when the outcome is `judged`.
    pub verdicts: Vec<Verdict>,
    /// The calls that were made, failed ones included.
    pub calls: Vec<CallRecord>,
    /// When this was decided.
    pub at: Timestamp,
}
