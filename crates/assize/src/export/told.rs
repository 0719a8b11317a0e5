//! What a target is told of a result, whatever the form. Here alone it is decided which texts go along.

use assize_core::decided::Decided;

/// Bytes of a label that goes along without explanations.
const WORD_BYTES_MAX: usize = 64;
/// Bytes of the model's own id of its answer.
const RESPONSE_ID_BYTES_MAX: usize = 256;

/// A result as it is told.
pub(super) struct Told<'a> {
    pub decided: &'a Decided,
    /// The same each time.
    pub key: String,
    pub score: Option<f64>,
    pub label: Option<&'a str>,
    /// Why, in the judge's words; for a failure what happened.
    pub explanation: Option<&'a str>,
    /// The code of the failure, where there is no score.
    pub error: Option<&'a str>,
    /// Trace and span of what was judged.
    pub span: Option<([u8; 16], [u8; 8])>,
    pub response_id: Option<&'a str>,
}

impl<'a> Told<'a> {
    /// Without `explanations` there are no words of a judge in it, but for a label that is one plain word.
    pub fn of(decided: &'a Decided, explanations: bool) -> Self {
        let verdict = decided.verdict.as_ref();
        let label = verdict.and_then(|verdict| verdict.label.as_deref());
        let reason = decided.reason.as_ref();
        let explanation = match verdict {
            Some(verdict) => Some(verdict.reason.as_str()),
            None => reason.map(|reason| reason.message.as_str()),
        };
        Self {
            key: decided.idempotency_key(),
            score: verdict.map(|verdict| verdict.score),
            label: label.filter(|label| explanations || is_word(label)),
            explanation: explanation.filter(|text| explanations && !text.is_empty()),
            error: match verdict {
                Some(_) => None,
                None => Some(reason.map_or("_OTHER", |reason| reason.code.as_ref())),
            },
            span: decided.id.span(),
            response_id: decided.response_id.as_deref().filter(|id| !id.is_empty() && id.len() <= RESPONSE_ID_BYTES_MAX),
            decided,
        }
    }
}

fn is_word(label: &str) -> bool {
    label.len() <= WORD_BYTES_MAX && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

/// Hexadecimal digits, as traces are written.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
pub(super) mod tests {
    use assize_core::{InteractionId, JudgeName, JudgeVersion, MetricName, Outcome, ProjectName, Reason, Timestamp, Verdict};

    use super::*;

    pub(in crate::export) fn judged(id: &str) -> Decided {
        Decided {
            seq: 7,
            project: ProjectName::new("shop").unwrap(),
            id: InteractionId::new(id).unwrap(),
            time: Timestamp(1_000),
            response_id: Some("chatcmpl-1".to_owned()),
            metric: MetricName::new("refusal").unwrap(),
            outcome: Outcome::Judged,
            reason: None,
            verdict: Some(Verdict {
                judge: JudgeName::new("gpt").unwrap(),
                version: JudgeVersion::from_stored("v1"),
                score: 0.75,
                label: Some("refused".to_owned()),
                confidence: None,
                reason: "it says \"my secret\"".to_owned(),
                model: None,
                usage: None,
                cost: None,
                latency_ms: 3,
                simulated: false,
                reused: None,
            }),
            is_fallback: false,
            reference: JudgeVersion::from_stored("v1"),
            probability: 0.25,
            at: Timestamp(2_000),
        }
    }

    pub(in crate::export) fn failed(id: &str) -> Decided {
        let reason = Some(Reason::new("timeout", "no answer from my-host"));
        Decided { outcome: Outcome::JudgeFailed, reason, verdict: None, response_id: None, ..judged(id) }
    }

    #[test]
    fn without_explanations_no_words_of_a_judge_are_told() {
        let mut decided = judged("i");
        let told = Told::of(&decided, true);
        assert_eq!((told.label, told.explanation, told.error), (Some("refused"), Some("it says \"my secret\""), None));
        let told = Told::of(&decided, false);
        assert_eq!((told.label, told.explanation, told.score), (Some("refused"), None, Some(0.75)));
        for label in ["my secret", "secrét", &"x".repeat(65)] {
            decided.verdict.as_mut().unwrap().label = Some(label.to_owned());
            assert_eq!(Told::of(&decided, false).label, None, "{label}");
            assert_eq!(Told::of(&decided, true).label, Some(label));
        }
        let failed = failed("i");
        let told = Told::of(&failed, false);
        assert_eq!((told.score, told.explanation, told.error), (None, None, Some("timeout")));
        assert_eq!(Told::of(&failed, true).explanation, Some("no answer from my-host"));
    }
}
