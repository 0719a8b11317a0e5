//! What is decided about an interaction at accept, before anything is paid: free verdicts, probability, draw.

use std::sync::Arc;

use assize_core::queue::Entry;
use assize_core::{
    Accepted, Allocation, Decision, DecisionState, DrawKey, Features, Interaction, JudgeVersion, Metric, Outcome, Policy, Reason,
    Restraint, RowKey, TierScore, Timestamp, inclusion,
};

use super::allocations::Allocations;
use super::panel::Panel;
use super::seat::Seats;

/// The variable by which OpenTelemetry's instrumentations are told to send text.
pub const CAPTURE_CONTENT: &str = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";

/// The small row of `interaction`, and its text if any metric draws it or the reserve keeps it.
pub fn decide(
    panel: &Arc<Panel>,
    key: &DrawKey,
    allocations: &Allocations,
    restraint: &Restraint,
    interaction: &Interaction,
    now: Timestamp,
) -> Entry {
    let policy = &panel.policy;
    let row_key = RowKey::of(&interaction.project, &interaction.id);
    let draw = key.draw(row_key);
    let features = Features::of(interaction);
    let decisions = policy.metrics.iter().zip(&panel.seats).map(|(metric, seats)| {
        let reference = metric.reference().map_or_else(|| JudgeVersion::from_stored(""), |tier| tier.version.clone());
        if let Some(reason) = missing(metric, interaction) {
            let state = DecisionState::Closed(Outcome::NoContent, Some(reason));
            return Decision { metric: metric.name.clone(), scores: Vec::new(), probability: 0.0, reference, state };
        }
        let scores = free_scores(seats, interaction);
        let probability = probability(policy, restraint, metric, &features, &scores, || {
            allocations.get(&interaction.project, metric, &scores.last()?.judge)
        });
        let state = match metric.is_free() {
            true => DecisionState::Closed(Outcome::Judged, None),
            false if draw.falls_below(probability) => DecisionState::Drawn,
            false => DecisionState::Closed(Outcome::NotSampled, None),
        };
        Decision { metric: metric.name.clone(), scores, probability, reference, state }
    });
    let row = Accepted {
        key: row_key,
        project: interaction.project.clone(),
        id: interaction.id.clone(),
        time: interaction.time,
        accepted_at: now,
        conversation_id: interaction.conversation_id.clone(),
        dimensions: policy
            .dimensions
            .iter()
            .filter_map(|d| d.value(interaction).map(|value| (d.clone(), value.to_owned())))
            .collect(),
        features,
        flags: interaction.flags,
        policy: policy.version.clone(),
        decisions: decisions.collect(),
    };
    let keep = row.is_drawn() || (policy.sampling.reserve > 0.0 && key.reserve(row_key).falls_below(policy.sampling.reserve));
    // Serialising plain data cannot fail; if it did, the item would be judged as a failure for want of its text, not lost.
    let payload = if keep { serde_json::to_vec(interaction).ok() } else { None };
    Entry { row, payload }
}

pub(super) fn free_scores(seats: &Seats, interaction: &Interaction) -> Vec<TierScore> {
    let judged = seats.inline.iter().map(|(judge, inline)| (judge, inline.judge(interaction)));
    judged.map(|(judge, verdict)| TierScore { judge: judge.clone(), score: verdict.score, reason: verdict.reason }).collect()
}

/// The probability that the first called tier sees it.
pub(super) fn probability(
    policy: &Policy,
    restraint: &Restraint,
    metric: &Metric,
    features: &Features,
    scores: &[TierScore],
    allocation: impl Fn() -> Option<Allocation>,
) -> f64 {
    let Some((first, _)) = metric.called().next() else { return 1.0 };
    let scores: Vec<f64> = scores.iter().map(|tier| tier.score).collect();
    inclusion(&policy.sampling, restraint, features, &scores, metric, first, allocation().as_ref())
}

/// Why there is nothing to judge, if so.
pub(super) fn missing(metric: &Metric, interaction: &Interaction) -> Option<Reason> {
    if !interaction.has_content() {
        return Some(Reason::new(
            "no_text",
            format!("it came without an answer's text; instrumentations send it when {CAPTURE_CONTENT}=true is set"),
        ));
    }
    if metric.needs.context && interaction.context.is_empty() {
        return Some(Reason::new(
            "no_context",
            "the metric judges against context, and none came with it: send `context`, or retriever spans of the same trace",
        ));
    }
    if metric.needs.reference && interaction.reference.is_none() {
        return Some(Reason::new(
            "no_reference",
            "the metric compares with a right answer, and none came with it: send `reference`",
        ));
    }
    None
}
