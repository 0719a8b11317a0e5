//! One line of `--out`: what became of one metric of one interaction, with all that its sums need.

use assize_core::results::Sums;
use assize_core::{
    Accepted, CallRecord, Decision, DecisionState, JudgeName, JudgeVersion, MetricName, NanoUsd, Outcome, ProjectName, Reason,
    RowKey, TierScore, Verdict,
};
use serde::{Deserialize, Serialize};

/// One metric of one interaction.
#[derive(Debug, Serialize, Deserialize)]
pub struct Line {
    pub id: String,
    pub metric: String,
    pub outcome: String,
    /// The reference judge's score.
    pub score: Option<f64>,
    pub reason: Option<String>,
    pub judge: Option<String>,
    pub judge_version: String,
    pub model: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
    /// Whether the draw took it: its outcome was decided by calling a judge.
    pub drawn: bool,
    /// The probability with which the first called judge was to see it.
    pub probability: f64,
    /// The cumulative probability of the last draw, where there was a later one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_probability: Option<f64>,
    /// What was saved where an earlier verdict was used again, in nano-dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved_nano_usd: Option<u64>,
    /// The last free judge's score.
    pub free_score: Option<f64>,
    pub calls: u64,
    pub cost_usd: Option<f64>,
    /// The same in nano-dollars, exactly; what of it is not known is counted in `cost_unknown`.
    pub cost_nano_usd: u64,
    pub cost_unknown: u64,
    pub latency_ms: Option<u64>,
}

impl Line {
    /// The line of a decided metric.
    pub fn new(
        row: &Accepted,
        decision: &Decision,
        outcome: Outcome,
        reason: Option<&Reason>,
        verdict: Option<&Verdict>,
        calls: &[CallRecord],
    ) -> Self {
        let sums = Sums::of_calls(calls);
        let free = (outcome == Outcome::Judged && verdict.is_none()).then(|| decision.scores.last()).flatten();
        Self {
            id: row.id.to_string(),
            metric: decision.metric.to_string(),
            outcome: outcome.to_string(),
            score: verdict.map(|verdict| verdict.score).or(free.map(|tier| tier.score)),
            reason: verdict
                .map(|verdict| verdict.reason.clone())
                .or_else(|| reason.map(|reason| format!("{}: {}", reason.code, reason.message)))
                .or_else(|| free.map(|tier| tier.reason.clone())),
            judge: verdict.map(|verdict| verdict.judge.to_string()).or(free.map(|tier| tier.judge.to_string())),
            judge_version: decision.reference.to_string(),
            model: verdict.and_then(|verdict| verdict.model.clone()),
            simulated: verdict.is_some_and(|verdict| verdict.simulated),
            drawn: decision.state == DecisionState::Drawn,
            probability: decision.probability,
            last_probability: None,
            saved_nano_usd: verdict.and_then(|verdict| verdict.reused?.saved).map(|saved| saved.0),
            free_score: decision.free_score(),
            calls: sums.calls,
            cost_usd: sums.known_cost().filter(|_| !calls.is_empty()).map(NanoUsd::to_usd),
            cost_nano_usd: sums.cost.0,
            cost_unknown: sums.cost_unknown,
            latency_ms: verdict.map(|verdict| verdict.latency_ms),
        }
    }

    /// The line with the cumulative probability of the last draw, where that was not the first.
    pub fn of_last_draw(mut self, probability: f64) -> Self {
        self.last_probability = Some(probability).filter(|last| *last != self.probability);
        self
    }

    /// What the line adds to the sums, as when it was written.
    pub fn sums(&self) -> Result<Sums, String> {
        let outcome: Outcome = self.outcome.parse()?;
        let metric = MetricName::new(&self.metric).map_err(|error| error.to_string())?;
        let free_judge = || JudgeName::new("free").map_err(|error| error.to_string());
        let scores = match self.free_score {
            Some(score) => vec![TierScore { judge: free_judge()?, score, reason: String::new() }],
            None => Vec::new(),
        };
        let state = if self.drawn { DecisionState::Drawn } else { DecisionState::Closed(outcome, None) };
        let decision = Decision {
            metric,
            scores,
            probability: self.probability,
            reference: JudgeVersion::from_stored(&self.judge_version),
            state,
        };
        let mut sums = Sums::of_accepted(&decision);
        if self.drawn {
            let probability = self.last_probability.unwrap_or(self.probability);
            sums.add(&Sums::of_moved(self.probability, probability));
            sums.add(&Sums::of_outcome(&decision, outcome, probability, self.score));
        }
        sums.add(&Sums {
            calls: self.calls,
            cost: NanoUsd(self.cost_nano_usd),
            cost_unknown: self.cost_unknown,
            ..Sums::default()
        });
        Ok(sums)
    }
}

/// The key under which an id of the file is known.
pub fn key_of(project: &ProjectName, id: &assize_core::InteractionId) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&RowKey::of(project, id).0[..8]);
    u64::from_le_bytes(first)
}
