//! Interactions, rows and verdicts for tests.

use std::sync::Arc;

use assize_core::queue::Entry;
use assize_core::{
    Accepted, AskedAs, CallId, CallRecord, CallStatus, Decision, DecisionState, Features, Flags, Interaction, InteractionId,
    JudgeName, JudgeVersion, Message, MetricName, NanoUsd, Outcome, Part, PolicyVersion, ProjectName, ProviderName, Reason, Role,
    RowKey, Scored, TierScore, Timestamp, TokenUsage, Verdict,
};

/// 2026-11-24T08:00:00Z, the beginning of an hour.
pub const MORNING: Timestamp = Timestamp(1_795_507_200_000);

/// A project of this name.
pub fn project(name: &str) -> ProjectName {
    ProjectName::new(name).expect("a valid name")
}

/// A metric of this name.
pub fn metric(name: &str) -> MetricName {
    MetricName::new(name).expect("a valid name")
}

/// A judge of this name.
pub fn judge(name: &str) -> JudgeName {
    JudgeName::new(name).expect("a valid name")
}

/// An id.
pub fn id(text: &str) -> InteractionId {
    InteractionId::new(text).expect("a valid id")
}

/// The version that the samples give to the judge of this name.
pub fn version(judge: &str) -> JudgeVersion {
    JudgeVersion::of(&[judge.as_bytes()])
}

/// A question and an answer.
pub fn interaction(project_name: &str, id_text: &str, time: Timestamp) -> Interaction {
    Interaction {
        id: id(id_text),
        project: project(project_name),
        time,
        conversation_id: None,
        model: Some("gpt-4o".to_owned()),
        prompt_version: None,
        environment: None,
        system: None,
        input: vec![Message::new(Role::User, "What is the capital of Australia?")],
        output: vec![Message::new(Role::Assistant, "Canberra.")],
        context: Vec::new(),
        reference: None,
        tags: Default::default(),
        usage: None,
        flags: Flags::default(),
    }
}

/// A decision: the free judge `words` scored `free`, the reference judge is `gpt-4o`.
pub fn decision(metric_name: &str, free: Option<f64>, probability: f64, state: DecisionState) -> Decision {
    let score = |score| TierScore { judge: judge("words"), score, reason: String::new() };
    Decision {
        metric: metric(metric_name),
        scores: free.map(score).into_iter().collect(),
        probability,
        reference: version("gpt-4o"),
        state,
    }
}

/// A row accepted when it happened, of the metric `refusal`, which the draw left out at a probability of 0.1.
pub fn row(project_name: &str, id_text: &str, time: Timestamp) -> Accepted {
    let state = DecisionState::Closed(Outcome::NotSampled, Some(Reason::new("draw", "left out by the draw")));
    row_of(project_name, id_text, time, vec![decision("refusal", Some(0.0), 0.1, state)])
}

/// A row of the metric `refusal`, drawn at a probability of 0.1.
pub fn drawn(project_name: &str, id_text: &str, time: Timestamp) -> Accepted {
    row_of(project_name, id_text, time, vec![decision("refusal", Some(0.0), 0.1, DecisionState::Drawn)])
}

/// A row of these decisions.
pub fn row_of(project_name: &str, id_text: &str, time: Timestamp, decisions: Vec<Decision>) -> Accepted {
    let (project, id) = (project(project_name), id(id_text));
    Accepted {
        key: RowKey::of(&project, &id),
        project,
        id,
        time,
        accepted_at: time,
        conversation_id: None,
        dimensions: Vec::new(),
        features: Features { chars: 42, turns: 1, has_context: false, has_tools: false },
        flags: Flags::default(),
        policy: PolicyVersion::of(&[b"sample"]),
        decisions,
    }
}

/// The row as an entry of a queue, with the interaction as its payload if it is drawn.
pub fn entry(row: Accepted) -> Entry {
    let payload = row.is_drawn().then(|| {
        let interaction = interaction(row.project.as_str(), row.id.as_str(), row.time);
        serde_json::to_vec(&interaction).expect("an interaction is valid JSON")
    });
    Entry { row, payload }
}

/// A verdict of the judge of this name.
pub fn verdict(judge_name: &str, score: f64) -> Verdict {
    Verdict {
        judge: judge(judge_name),
        version: version(judge_name),
        score,
        label: None,
        confidence: Some(0.1 + 0.2),
        reason: "because".to_owned(),
        model: Some("gpt-4o-2024-05-13".to_owned()),
        usage: Some(TokenUsage { input: 1000, output: 50, cached_input: 0, ..TokenUsage::default() }),
        cost: Some(NanoUsd(5_750_000)),
        latency_ms: 900,
        simulated: false,
        reused: None,
    }
}

/// An answered call of the judge `gpt-4o` that ended at `at`.
pub fn call(call_id: &str, at: Timestamp) -> CallRecord {
    CallRecord {
        id: CallId(call_id.to_owned()),
        judge: judge("gpt-4o"),
        provider: ProviderName::new("openai").expect("a valid name"),
        model: "gpt-4o-2024-05-13".to_owned(),
        status: CallStatus::Answered,
        error: None,
        usage: Some(TokenUsage { input: 1000, output: 50, cached_input: 0, ..TokenUsage::default() }),
        cost: Some(NanoUsd(5_750_000)),
        latency_ms: 900,
        at,
        part: Part::default(),
        asked_as: AskedAs::Unknown,
        list: None,
    }
}

/// A failed call of the judge `gpt-4o`, of unknown cost.
pub fn failed_call(call_id: &str, at: Timestamp) -> CallRecord {
    let error = Some("timeout".to_owned());
    CallRecord { status: CallStatus::Failed, error, usage: None, cost: None, ..call(call_id, at) }
}

/// The row's metric judged by `gpt-4o` in one call, a second after it was accepted.
pub fn judged(row: &Accepted, metric_name: &str, score: f64) -> Scored {
    let at = Timestamp(row.accepted_at.0 + 1000);
    let call_id = format!("{:?}-{metric_name}", row.key);
    Scored {
        row: Arc::new(row.clone()),
        metric: metric(metric_name),
        outcome: Some(Outcome::Judged),
        reason: None,
        verdicts: vec![verdict("gpt-4o", score)],
        calls: vec![call(&call_id, at)],
        steps: Vec::new(),
        at,
    }
}

/// The row's metric given up after a failed call, a second after it was accepted.
pub fn judge_failed(row: &Accepted, metric_name: &str) -> Scored {
    let scored = judged(row, metric_name, 0.0);
    let calls = vec![failed_call(&scored.calls[0].id.0, scored.at)];
    let reason = Some(Reason::new("timeout", "the judge did not answer in time"));
    Scored { outcome: Some(Outcome::JudgeFailed), reason, verdicts: Vec::new(), calls, ..scored }
}
