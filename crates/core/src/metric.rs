//! A question about an interaction and the judges that answer it, ordered by price.

use serde::{Deserialize, Serialize};

use crate::{JudgeName, JudgeVersion, MetricName, SamplingPolicy};

/// What a metric is asked about. One variant now; a conversation or a whole trace are to come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// One request and its answer.
    #[default]
    Interaction,
}

/// What an interaction must bring for a metric to apply to it. Where it is missing the outcome is `no_content`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// Documents that the answer should rest on.
    #[serde(default)]
    pub context: bool,
    /// The right answer.
    #[serde(default)]
    pub reference: bool,
}

/// Where a judge runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TierKind {
    /// At accept, on every interaction: no IO, microseconds.
    Inline,
    /// In `score`, on what was drawn.
    Called,
}

/// One judge in a cascade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// The judge's name in the configuration.
    pub judge: JudgeName,
    /// The version of the judge as asked this metric's question.
    pub version: JudgeVersion,
    /// Where it runs.
    pub kind: TierKind,
}

/// A question about an interaction, scored in [0, 1], and its cascade. Inline tiers come first; the last tier is the reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// The metric's name.
    pub name: MetricName,
    /// What it is asked about.
    #[serde(default)]
    pub unit: Unit,
    /// What it needs of an interaction.
    #[serde(default)]
    pub needs: Needs,
    /// The judges, ordered by price.
    pub cascade: Vec<Tier>,
    /// Sampling of this metric alone, in place of the project's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling: Option<SamplingPolicy>,
}

impl Metric {
    /// The judge whose verdict the metric's rate speaks of. `None` only for an empty cascade, which a policy refuses.
    pub fn reference(&self) -> Option<&Tier> {
        self.cascade.last()
    }

    /// Whether every tier runs at accept, so that every interaction is judged for nothing.
    pub fn is_free(&self) -> bool {
        self.cascade.iter().all(|tier| tier.kind == TierKind::Inline)
    }
}
