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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tier {
    /// The judge's name in the configuration.
    pub judge: JudgeName,
    /// The version of the judge as asked this metric's question.
    pub version: JudgeVersion,
    /// Where it runs.
    pub kind: TierKind,
    /// The part, in [0, 1], that it sees of what the called tier before it saw. The first called tier sees what sampling draws.
    #[serde(default = "whole", skip_serializing_if = "is_whole")]
    pub share: f64,
}

fn whole() -> f64 {
    1.0
}

fn is_whole(share: &f64) -> bool {
    *share == 1.0
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
    /// Whether doubtful interactions get more of the calls (see [`crate::allocation`]).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub escalate: bool,
    /// The judge that is asked where the reference judge cannot be had. Its verdict is on record and in no rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Tier>,
    /// Whether and how verdicts on nearly the same interactions are used again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuse: Option<ReusePolicy>,
    /// How many hours a verdict may take. From one hour on, the provider's batch API is used where it has one.
    #[serde(default, skip_serializing_if = "is_now")]
    pub max_delay_hours: u32,
}

fn is_now(hours: &u32) -> bool {
    *hours == 0
}

/// Use of verdicts on nearly the same interactions: one more cheap tier, which errs and is audited.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReusePolicy {
    /// Probability, in (0, 1], that a hit is judged for real all the same.
    #[serde(default = "audit")]
    pub audit: f64,
    /// Share of wrong reuses, in (0, 1), whose upper confidence bound stops it.
    #[serde(default = "error_max")]
    pub error_max: f64,
    /// Cosine similarity, in (0, 1), from which texts are nearly the same; without it only texts that are equal but for case, white
    /// space, numbers and ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub similarity: Option<f64>,
}

fn audit() -> f64 {
    0.1
}

fn error_max() -> f64 {
    0.02
}

impl Metric {
    /// The judge whose verdict the metric's rate speaks of. `None` only for an empty cascade, which a policy refuses.
    pub fn reference(&self) -> Option<&Tier> {
        self.cascade.last()
    }

    /// The called tiers and their places in the cascade.
    pub fn called(&self) -> impl Iterator<Item = (usize, &Tier)> {
        self.cascade.iter().enumerate().filter(|(_, tier)| tier.kind == TierKind::Called)
    }

    /// Whether every tier runs at accept, so that every interaction is judged for nothing.
    pub fn is_free(&self) -> bool {
        self.cascade.iter().all(|tier| tier.kind == TierKind::Inline)
    }
}
