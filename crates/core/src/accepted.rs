//! The small row that every accepted interaction leaves.

use serde::{Deserialize, Serialize};

use crate::{
    Dimension, Features, Flags, InteractionId, JudgeName, JudgeVersion, MetricName, Outcome, PolicyVersion, ProjectName, Reason,
    RowKey, Timestamp,
};

/// What a free judge said at accept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TierScore {
    /// The judge.
    pub judge: JudgeName,
    /// Its score, in [0, 1].
    pub score: f64,
    /// What it found, such as the words that matched. Kept short; empty where nothing was found.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Where a metric of an interaction stands after accept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionState {
    /// To be judged; the outcome is still to come.
    Drawn,
    /// Decided at accept: not sampled, no content, or judged by free tiers alone.
    Closed(Outcome, #[serde(default, skip_serializing_if = "Option::is_none")] Option<Reason>),
}

/// What was decided about one metric of one interaction, before any call. Final: a redelivery is never redrawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The metric.
    pub metric: MetricName,
    /// What the inline tiers said, in cascade order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<TierScore>,
    /// The probability with which the first called tier was to see it, in [0, 1]; 1 where free tiers decide alone. Where it is the only
    /// called tier, that is the reference; else the draws between tiers are recorded as [`crate::Step`]s.
    pub probability: f64,
    /// The reference judge's version as configured at accept.
    pub reference: JudgeVersion,
    /// Drawn, or already decided.
    pub state: DecisionState,
}

impl Decision {
    /// The last free score: the cheap predictor of the reference verdict.
    pub fn free_score(&self) -> Option<f64> {
        self.scores.last().map(|tier| tier.score)
    }

    /// The outcome, if it was decided at accept.
    pub fn closed(&self) -> Option<Outcome> {
        match &self.state {
            DecisionState::Drawn => None,
            DecisionState::Closed(outcome, _) => Some(*outcome),
        }
    }
}

/// The small row of an accepted interaction: all that is known of it besides its text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accepted {
    /// The key of the row: hash of project and id.
    pub key: RowKey,
    /// The project.
    pub project: ProjectName,
    /// The sender's id.
    pub id: InteractionId,
    /// When it happened, as far as it is believed.
    pub time: Timestamp,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// The conversation, for clustering.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<String>,
    /// Values of the declared dimensions that the interaction has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dimensions: Vec<(Dimension, String)>,
    /// The free facts that sampling looked at.
    pub features: Features,
    /// What was odd about it.
    #[serde(default)]
    pub flags: Flags,
    /// The policy in force.
    pub policy: PolicyVersion,
    /// One decision per metric of the policy, in its order.
    pub decisions: Vec<Decision>,
}

impl Accepted {
    /// Whether any metric drew it.
    pub fn is_drawn(&self) -> bool {
        self.decisions.iter().any(|decision| decision.state == DecisionState::Drawn)
    }

    /// The decision on `metric`.
    pub fn decision(&self, metric: &MetricName) -> Option<&Decision> {
        self.decisions.iter().find(|decision| &decision.metric == metric)
    }
}
