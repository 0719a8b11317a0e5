//! The fate of a metric's reference verdict on one interaction. Exactly one, always on record.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What became of the reference verdict. Accepted = outcomes + pending, at every instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The reference judge gave a verdict.
    Judged,
    /// A verdict that was given before was used again.
    Reused,
    /// The draw left it out.
    NotSampled,
    /// The budget did not allow it.
    OverBudget,
    /// The judge could not be had or gave no valid answer.
    JudgeFailed,
    /// There was nothing to judge.
    NoContent,
    /// It waited longer than its verdict was worth.
    Expired,
    /// An operator removed it.
    Dropped,
}

impl Outcome {
    /// Every outcome, in the order of the documentation.
    pub const ALL: [Self; 8] = [
        Self::Judged,
        Self::Reused,
        Self::NotSampled,
        Self::OverBudget,
        Self::JudgeFailed,
        Self::NoContent,
        Self::Expired,
        Self::Dropped,
    ];

    /// The outcome as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Judged => "judged",
            Self::Reused => "reused",
            Self::NotSampled => "not_sampled",
            Self::OverBudget => "over_budget",
            Self::JudgeFailed => "judge_failed",
            Self::NoContent => "no_content",
            Self::Expired => "expired",
            Self::Dropped => "dropped",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Outcome {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text).ok_or_else(|| {
            let all: Vec<&str> = Self::ALL.iter().map(|outcome| outcome.as_str()).collect();
            format!("{text:?} is not an outcome: use one of {}", all.join(", "))
        })
    }
}

/// Why an outcome came about: a code to count by and a sentence to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// One of a small fixed set of codes, such as `timeout`.
    pub code: std::borrow::Cow<'static, str>,
    /// What happened and what to do about it.
    pub message: String,
}

impl Reason {
    /// A reason with a code of the fixed set.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code: std::borrow::Cow::Borrowed(code), message: message.into() }
    }
}
