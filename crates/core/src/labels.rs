//! The port of labels: what people said, what they are to be asked, and end users' feedback. Everything belongs to a project.

use std::time::Duration;

use async_trait::async_trait;

use crate::results::Page;
use crate::{
    Feedback, InteractionId, Label, MetricName, ProjectName, Review, ReviewItem, Reviewer, RowKey, ScoreName, StoreError,
    Timestamp,
};

/// Which labels are wanted. In order of their first storing, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelFilter {
    /// The project.
    pub project: ProjectName,
    /// Of this metric only.
    pub metric: Option<MetricName>,
    /// Of this interaction only.
    pub id: Option<InteractionId>,
    /// Of this source only: see [`crate::Source::as_str`].
    pub source: Option<String>,
    /// Of interactions whose time is at or after this.
    pub from: Option<Timestamp>,
    /// Of interactions whose time is before this.
    pub to: Option<Timestamp>,
    /// Score at least this.
    pub score_min: Option<f64>,
    /// Score below this.
    pub score_below: Option<f64>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// At most this many, 1 to 1,000.
    pub limit: usize,
}

/// Which feedback is wanted. In order of its first storing, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedbackFilter {
    /// The project.
    pub project: ProjectName,
    /// On this interaction only.
    pub interaction: Option<InteractionId>,
    /// Of this name only.
    pub name: Option<ScoreName>,
    /// Received at or after this.
    pub from: Option<Timestamp>,
    /// Received before this.
    pub to: Option<Timestamp>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// At most this many, 1 to 1,000.
    pub limit: usize,
}

/// How far a review has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Interactions drawn, the sum of the others.
    pub drawn: u64,
    /// Waiting for somebody.
    pub open: u64,
    /// In somebody's hands.
    pub leased: u64,
    /// With a label.
    pub labelled: u64,
    /// Skipped.
    pub skipped: u64,
}

/// An interaction that was drawn, as an estimate needs it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DrawnLabel {
    /// The key of the interaction's row.
    pub key: RowKey,
    /// The mean of its reviewers' scores; `None` where there is none.
    pub human: Option<f64>,
}

/// What became of a piece of feedback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is new.
    New,
    /// One of the same interaction, name and id was there, and was replaced.
    Replaced,
    /// There are [`crate::label::FEEDBACK_MAX`] on the interaction already; it was not stored.
    TooMany,
}

/// Labels, the review queue and feedback.
#[async_trait]
pub trait Labels: Send + Sync {
    /// Puts a draw on record and what it took into the queue. An interaction that is there already stays as it is, with the higher of
    /// the two probabilities. Returns how many are new. `Invalid` beyond [`crate::label::REVIEWS_MAX`] draws of the metric.
    async fn put_review(&self, review: &Review, items: &[ReviewItem]) -> Result<u64, StoreError>;

    /// The draws of a project, or of one of its metrics, newest first.
    async fn reviews(&self, project: &ProjectName, metric: Option<&MetricName>) -> Result<Vec<Review>, StoreError>;

    /// How far the review of each metric of a project has come.
    async fn progress(&self, project: &ProjectName, now: Timestamp) -> Result<Vec<(MetricName, Progress)>, StoreError>;

    /// Leases the next open item to `by` for `lease`; one that `by` has leased already comes again first.
    async fn next(
        &self,
        project: &ProjectName,
        metric: &MetricName,
        by: &Reviewer,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Option<ReviewItem>, StoreError>;

    /// The item of an interaction, as it stands at `now`.
    async fn item(
        &self,
        project: &ProjectName,
        metric: &MetricName,
        key: RowKey,
        now: Timestamp,
    ) -> Result<Option<ReviewItem>, StoreError>;

    /// Skips an item that has no label. Returns whether there was one.
    async fn skip(&self, project: &ProjectName, metric: &MetricName, key: RowKey, reason: &str) -> Result<bool, StoreError>;

    /// Stores labels; one of the same person, source, metric and interaction is replaced. Those of a review close their items.
    async fn put(&self, labels: &[Label]) -> Result<(), StoreError>;

    /// Labels.
    async fn list(&self, filter: &LabelFilter) -> Result<Page<Label>, StoreError>;

    /// All that was drawn of interactions whose time is in [from, to).
    async fn drawn(
        &self,
        project: &ProjectName,
        metric: &MetricName,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<DrawnLabel>, StoreError>;

    /// Stores feedback, one answer each.
    async fn put_feedback(&self, feedback: &[Feedback]) -> Result<Vec<Kept>, StoreError>;

    /// Feedback.
    async fn feedback(&self, filter: &FeedbackFilter) -> Result<Page<Feedback>, StoreError>;
}
