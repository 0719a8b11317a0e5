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
    /// Which of its questions this record stands for; usage and cost are that question's.
    #[serde(default, skip_serializing_if = "Part::is_whole")]
    pub part: Part,
}

/// One question's part in a call that carried several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its place, from 0.
    pub at: u16,
    /// How many there were, at least 1.
    pub of: u16,
}

impl Default for Part {
    fn default() -> Self {
        Self { at: 0, of: 1 }
    }
}

impl Part {
    fn is_whole(&self) -> bool {
        *self == Self::default()
    }
}

/// A draw between two called tiers: whether the next one sees the interaction. Final as soon as it is on record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The place in the cascade of the tier that was drawn for.
    pub tier: u16,
    /// Its judge.
    pub judge: JudgeName,
    /// The probability of seeing what the tier before saw, in [0, 1].
    pub conditional: f64,
    /// The cumulative probability that the draw was compared with.
    pub probability: f64,
    /// Whether it sees it.
    pub drawn: bool,
    /// The judge whose verdict the draw looked at, and its score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predictor: Option<(JudgeName, f64)>,
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
    /// Verdicts that are new since the last record, in cascade order. The reference's is last where the outcome is `judged`, or `reused`
    /// by the exact cache.
    pub verdicts: Vec<Verdict>,
    /// The draws between called tiers so far, in cascade order; those on record already stay as they are there. With which probability
    /// the last tier that was drawn was to see the interaction follows from them: see [`standing`].
    pub steps: Vec<Step>,
    /// The calls that were made, failed ones included.
    pub calls: Vec<CallRecord>,
    /// When this was decided.
    pub at: Timestamp,
}

/// The cumulative probability of the last of `steps` that drew the interaction; `first`, that of accept, where there is none.
pub fn standing<'a>(first: f64, steps: impl IntoIterator<Item = &'a Step>) -> f64 {
    steps.into_iter().filter(|step| step.drawn).last().map_or(first, |step| step.probability)
}

impl Scored {
    /// The score that counts as the reference judge's: its own verdict, or one that it gave on the very same interaction before.
    pub fn reference_score(&self) -> Option<f64> {
        let verdict = self.verdicts.last()?;
        let counts = match self.outcome? {
            Outcome::Judged => true,
            Outcome::Reused => verdict.reused.is_none_or(|reused| reused.kind == crate::ReuseKind::Exact),
            _ => false,
        };
        counts.then_some(verdict.score)
    }
}
