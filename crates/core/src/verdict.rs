//! What a judge said.

use serde::{Deserialize, Serialize};

use crate::{JudgeName, JudgeVersion, NanoUsd, TokenUsage};

/// One judge's answer to one metric's question about one interaction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The judge's name in the configuration.
    pub judge: JudgeName,
    /// The version that answered.
    pub version: JudgeVersion,
    /// How far the metric's question is answered by yes, in [0, 1].
    pub score: f64,
    /// The judge's own word for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// How sure the judge is, in [0, 1], where it can say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Why, in the judge's words.
    #[serde(default)]
    pub reason: String,
    /// The model that the provider says has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Tokens of the call that gave the verdict, where the provider reported them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<TokenUsage>,
    /// What that call cost; `None` where usage or price is unknown, which is not the same as nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<NanoUsd>,
    /// How long the call took, in milliseconds.
    #[serde(default)]
    pub latency_ms: u64,
    /// Made by the built-in simulated provider: good for a demonstration and for nothing else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
    /// Given on another interaction before, and used again for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reused: Option<Reused>,
}

/// How a verdict came to be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reused {
    /// By what.
    pub kind: ReuseKind,
    /// What the call cost that gave it, and that was saved; `None` where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<NanoUsd>,
}

/// What found a verdict to use again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReuseKind {
    /// The same judge version was asked about the very same texts: its answer is as good as a new one.
    Exact,
    /// About nearly the same texts: one more cheap tier, that errs.
    Similar,
}

impl ReuseKind {
    /// The kind as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Similar => "similar",
        }
    }
}
