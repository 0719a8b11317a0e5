//! What people say: a reviewer's label of an interaction, the draw that asks for it, and end users' feedback.

use serde::{Deserialize, Serialize};

use crate::{InteractionId, JudgeVersion, MetricName, ProjectName, RowKey, ScoreName, Timestamp};

/// The most bytes of a label's note, or of why an item was skipped.
pub const NOTE_BYTES_MAX: usize = 2_000;
/// The most bytes of a reviewer's name.
pub const REVIEWER_BYTES_MAX: usize = 64;
/// The most bytes of a feedback's comment.
pub const COMMENT_BYTES_MAX: usize = 4_000;
/// The most bytes of a feedback's category.
pub const CATEGORY_BYTES_MAX: usize = 200;
/// The most pieces of feedback on one interaction.
pub const FEEDBACK_MAX: usize = 100;
/// The most interactions that one draw asks people about.
pub const DRAWN_MAX: usize = 5_000;
/// The most draws of one metric that are on record.
pub const REVIEWS_MAX: usize = 1_000;

/// Who labels: a name that people know, such as `ann`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reviewer(Box<str>);

impl Reviewer {
    /// Validates: 1 to 64 bytes, no control characters, not blank.
    pub fn new(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() || text.len() > REVIEWER_BYTES_MAX || text.chars().any(char::is_control) {
            return Err(format!("a reviewer's name has 1 to {REVIEWER_BYTES_MAX} bytes without control characters"));
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Reviewer {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::new(&text)
    }
}

impl From<Reviewer> for String {
    fn from(reviewer: Reviewer) -> String {
        reviewer.0.into()
    }
}

impl std::fmt::Display for Reviewer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a label came to be. Only a draw's correct estimates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum Source {
    /// Drawn with recorded probability, and labelled blind to what the judge said.
    Review {
        /// The draw.
        review: String,
        /// The probability with which it was drawn from what the judge judged, in (0, 1].
        probability: f64,
        /// The judge's version.
        judge_version: JudgeVersion,
        /// What the judge said, which the reviewer did not see.
        judge_score: f64,
    },
    /// Somebody chose the interaction.
    HandPicked,
    /// Read from a file.
    File,
}

impl Source {
    /// The source as stored and shown.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Review { .. } => "review",
            Self::HandPicked => "hand_picked",
            Self::File => "file",
        }
    }
}

/// What a person says of one metric of one interaction. One person has one label from each source: a later one replaces it.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// The project.
    pub project: ProjectName,
    /// The key of the interaction's row.
    pub key: RowKey,
    /// The interaction.
    pub id: InteractionId,
    /// When the interaction happened.
    pub time: Timestamp,
    /// The metric.
    pub metric: MetricName,
    /// How far the metric's question is answered by yes, in [0, 1].
    pub score: f64,
    /// A remark.
    pub note: String,
    /// Who says it.
    pub by: Reviewer,
    /// How it came to be.
    pub source: Source,
    /// When it was given.
    pub at: Timestamp,
}

/// A draw: which part of what the judge judged people are asked about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Review {
    /// Its id.
    pub id: String,
    /// The project.
    pub project: ProjectName,
    /// The metric.
    pub metric: MetricName,
    /// Interactions whose time is at or after this.
    pub from: Timestamp,
    /// Interactions whose time is before this.
    pub to: Timestamp,
    /// How many were asked for.
    pub n: u64,
    /// Whether each range of the judge's score got its own share.
    pub stratified: bool,
    /// Who drew.
    pub by: Reviewer,
    /// When: what was judged later had no chance.
    pub at: Timestamp,
    /// What it was drawn from.
    pub strata: Vec<Stratum>,
}

impl Review {
    /// The probability with which an interaction of this time, judged at `judged_at` by `version` with `score`, was drawn; `None`
    /// where the draw does not speak of it.
    pub fn probability(&self, time: Timestamp, judged_at: Timestamp, version: &JudgeVersion, score: f64) -> Option<f64> {
        if time < self.from || time >= self.to || judged_at > self.at {
            return None;
        }
        let holds = |stratum: &&Stratum| stratum.judge_version == *version && stratum.holds(score);
        self.strata.iter().find(holds).map(|stratum| stratum.probability)
    }

    /// Interactions drawn.
    pub fn drawn(&self) -> u64 {
        self.strata.iter().map(|stratum| stratum.drawn).sum()
    }

    /// Interactions that it was drawn from.
    pub fn population(&self) -> u64 {
        self.strata.iter().map(|stratum| stratum.population).sum()
    }
}

/// A part of what a draw was made from: one version of the judge, one range of its score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stratum {
    /// The judge's version.
    pub judge_version: JudgeVersion,
    /// The lowest score.
    pub low: f64,
    /// The score that is not reached any more; above 1 where 1 is included.
    pub high: f64,
    /// Judged interactions in it.
    pub population: u64,
    /// How many of them were drawn.
    pub drawn: u64,
    /// The probability with which each was drawn: the second by the first.
    pub probability: f64,
}

impl Stratum {
    /// Whether a score is in its range.
    pub fn holds(&self, score: f64) -> bool {
        score >= self.low && score < self.high
    }
}

/// Where an interaction stands that was drawn for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReviewState {
    /// Waits for somebody.
    Open,
    /// Somebody looks at it.
    Leased {
        /// Who.
        by: Reviewer,
        /// Until when; then it is open again.
        until: Timestamp,
    },
    /// Has a label.
    Labelled,
    /// Somebody could not say.
    Skipped {
        /// Why.
        reason: String,
    },
}

/// An interaction that was drawn for people. One that several draws took is there once, with the highest of their probabilities.
#[derive(Debug, Clone, PartialEq)]
pub struct ReviewItem {
    /// The draw that took it first.
    pub review: String,
    /// The project.
    pub project: ProjectName,
    /// The metric.
    pub metric: MetricName,
    /// The key of the interaction's row.
    pub key: RowKey,
    /// The interaction.
    pub id: InteractionId,
    /// When the interaction happened.
    pub time: Timestamp,
    /// The probability with which it was drawn, in (0, 1]. Tells of the judge's score: not for the reviewer's eyes.
    pub probability: f64,
    /// The judge's version.
    pub judge_version: JudgeVersion,
    /// The judge's score: not for the reviewer's eyes.
    pub judge_score: f64,
    /// Its place in the queue, a number in [0, 1) that tells nothing of the score.
    pub place: f64,
    /// Where it stands.
    pub state: ReviewState,
    /// Who had it last.
    pub holder: Option<Reviewer>,
}

/// What an end user said of an interaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Feedback {
    /// The project.
    pub project: ProjectName,
    /// The interaction, which may be still to come.
    pub interaction: InteractionId,
    /// What it is about.
    pub name: ScoreName,
    /// Tells several of one name apart; empty where there is one.
    pub id: String,
    /// What was said.
    pub value: FeedbackValue,
    /// In the end user's words.
    pub comment: String,
    /// When it was received.
    pub at: Timestamp,
}

/// What a feedback's value may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FeedbackValue {
    /// Yes or no.
    Boolean(bool),
    /// A number.
    Number(f64),
    /// One of some words.
    Category(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reviewer_has_a_name() {
        assert_eq!(Reviewer::new(" ann ").unwrap().as_str(), "ann");
        for bad in ["", "  ", "a\nb", &"é".repeat(33)] {
            assert!(Reviewer::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_draw_speaks_of_its_range_version_and_what_was_judged_before_it() {
        let version = JudgeVersion::of(&[b"1"]);
        let stratum =
            |low, high, probability| Stratum { judge_version: version.clone(), low, high, population: 10, drawn: 1, probability };
        let review = Review {
            id: "r".to_owned(),
            project: ProjectName::new("p").unwrap(),
            metric: MetricName::new("m").unwrap(),
            from: Timestamp(10),
            to: Timestamp(20),
            n: 2,
            stratified: true,
            by: Reviewer::new("ann").unwrap(),
            at: Timestamp(30),
            strata: vec![stratum(0.0, 0.5, 0.1), stratum(0.5, f64::INFINITY, 0.2)],
        };
        let at = |time, judged, score| review.probability(Timestamp(time), Timestamp(judged), &version, score);
        assert_eq!((at(10, 30, 0.0), at(19, 12, 0.5), at(19, 12, 1.0)), (Some(0.1), Some(0.2), Some(0.2)));
        assert_eq!((at(9, 12, 0.0), at(20, 21, 0.0), at(15, 31, 0.0)), (None, None, None));
        assert_eq!(review.probability(Timestamp(15), Timestamp(16), &JudgeVersion::of(&[b"2"]), 0.0), None);
    }
}
