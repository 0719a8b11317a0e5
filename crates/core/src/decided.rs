//! The feed of the results store: what was decided, in order of recording, for those who pass it on.

use crate::{InteractionId, JudgeVersion, MetricName, Outcome, ProjectName, Reason, Timestamp, Verdict};

/// What is told of: a verdict, or that none could be had. What nobody was asked about (not sampled, no content, over budget, expired,
/// dropped) is in the counts of outcomes only.
pub const TOLD: [Outcome; 3] = [Outcome::Judged, Outcome::Reused, Outcome::JudgeFailed];

/// One metric of one interaction that was decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// Its place in the feed. Grows with every recording, and is never given twice in one store.
    pub seq: u64,
    /// The project.
    pub project: ProjectName,
    /// The interaction.
    pub id: InteractionId,
    /// When the interaction happened.
    pub time: Timestamp,
    /// The model's own id of its answer, where the sender gave it as the tag [`RESPONSE_ID`] and the text was kept.
    pub response_id: Option<String>,
    /// The metric.
    pub metric: MetricName,
    /// One of [`TOLD`].
    pub outcome: Outcome,
    /// Why, where it was not judged.
    pub reason: Option<Reason>,
    /// The verdict that counts: the reference judge's, one that was used again, or the fallback judge's.
    pub verdict: Option<Verdict>,
    /// Whether the verdict is the fallback judge's, which no rate counts.
    pub is_fallback: bool,
    /// The reference judge's version as configured at accept.
    pub reference: JudgeVersion,
    /// The cumulative probability with which it was to be judged, in (0, 1].
    pub probability: f64,
    /// When it was decided.
    pub at: Timestamp,
}

/// The tag under which a sender may give the model's own id of its answer.
pub const RESPONSE_ID: &str = "gen_ai.response.id";

impl Decided {
    /// The version of the judge whose verdict this is; of the one that could not be had where there is none.
    pub fn version(&self) -> &JudgeVersion {
        self.verdict.as_ref().map_or(&self.reference, |verdict| &verdict.version)
    }

    /// The same whenever and to whomever this is told: 128 bits of BLAKE3 over project, interaction, metric and judge version, each
    /// preceded by its length, as 32 hexadecimal digits.
    pub fn idempotency_key(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for part in [self.project.as_str(), self.id.as_str(), self.metric.as_str(), self.version().as_str()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finalize().to_hex()[..32].to_owned()
    }
}

/// Which part of the feed is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecidedQuery {
    /// What comes after this place.
    pub after: u64,
    /// Of these projects only; of all where empty.
    pub projects: Vec<ProjectName>,
    /// Of these metrics only; of all where empty.
    pub metrics: Vec<MetricName>,
    /// At most this many, 1 to 1,000.
    pub limit: usize,
}

/// A part of the feed.
#[derive(Debug, Clone, PartialEq)]
pub struct DecidedPage {
    /// In order of recording.
    pub items: Vec<Decided>,
    /// The place up to which everything wanted is in `items`: where the next part begins.
    pub up_to: u64,
    /// Whether there was nothing behind it.
    pub is_end: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(project: &str, id: &str, metric: &str) -> Decided {
        Decided {
            seq: 1,
            project: ProjectName::new(project).unwrap(),
            id: InteractionId::new(id).unwrap(),
            time: Timestamp(0),
            response_id: None,
            metric: MetricName::new(metric).unwrap(),
            outcome: Outcome::JudgeFailed,
            reason: None,
            verdict: None,
            is_fallback: false,
            reference: JudgeVersion::of(&[b"v"]),
            probability: 1.0,
            at: Timestamp(0),
        }
    }

    #[test]
    fn the_key_is_of_what_was_judged_and_by_whom() {
        let key = decided("p", "i", "m").idempotency_key();
        assert_eq!(key.len(), 32);
        assert_eq!(Decided { seq: 7, at: Timestamp(9), probability: 0.5, ..decided("p", "i", "m") }.idempotency_key(), key);
        for other in [
            decided("q", "i", "m"),
            decided("p", "j", "m"),
            decided("p", "i", "n"),
            decided("pi", "i", "m"),
            Decided { reference: JudgeVersion::of(&[b"w"]), ..decided("p", "i", "m") },
        ] {
            assert_ne!(other.idempotency_key(), key, "{other:?}");
        }
        assert_ne!(decided("ab", "c", "m").idempotency_key(), decided("a", "bc", "m").idempotency_key());
    }
}
