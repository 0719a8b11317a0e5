//! Labels, the review queue and feedback in one SQLite file, which processes may share.

mod feedback;
mod label;
mod queue;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use assize_core::labels::{DrawnLabel, FeedbackFilter, Kept, LabelFilter, Labels, Progress};
use assize_core::results::Page;
use assize_core::{Feedback, Label, MetricName, ProjectName, Review, ReviewItem, Reviewer, RowKey, StoreError, Timestamp};
use async_trait::async_trait;
use rusqlite::Connection;

use crate::sqlite::{Database, Migration, OnFull, Shape, damaged, failure};

const SHAPE: Shape = Shape {
    file: "labels.db",
    exclusive: false,
    migrations: &[Migration { name: "0001_labels", sql: include_str!("../schema/0001_labels.sql") }],
    cache_kib: 4 * 1024,
};

/// The most items of a page.
const LIMIT_MAX: usize = 1_000;
/// How many rows one page looks at; one that finds little ends early, with a cursor to go on from.
const LOOKED_AT_MAX: usize = 20_000;

/// Labels in `labels.db` of a directory.
pub struct SqliteLabels {
    database: Database<()>,
}

/// Why an operation failed, before it is known in which file.
enum Failure {
    Sqlite(rusqlite::Error),
    /// Stored values that are not what was written: says which.
    Damaged(&'static str),
    Invalid(String),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Failure {
    fn on(self, file: &Path) -> StoreError {
        match self {
            Self::Sqlite(error) => failure(file, &error),
            Self::Damaged(what) => damaged(file, what),
            Self::Invalid(message) => StoreError::new(assize_core::StoreErrorKind::Invalid, message),
        }
    }
}

/// The cursor of a page: the place of the last row looked at.
fn before(cursor: Option<&String>) -> Result<i64, Failure> {
    let Some(cursor) = cursor else { return Ok(i64::MAX) };
    cursor.parse().map_err(|_| {
        let shown: String = cursor.chars().take(80).collect();
        Failure::Invalid(format!("{shown:?} is not a cursor: pass the one that the page before gave, unchanged"))
    })
}

impl SqliteLabels {
    /// Opens or creates the store in `directory`; see [`open`](super::open).
    pub async fn open(directory: &Path) -> Result<Self, StoreError> {
        Ok(Self { database: Database::open(directory, &SHAPE)? })
    }

    async fn write<T, F>(&self, bytes: usize, on_full: OnFull, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        let path = self.database.path().to_owned();
        let operation = move |connection: &Connection, (): &mut ()| operation(connection).map_err(|error| error.on(&path));
        self.database.write(bytes, on_full, operation).await
    }

    async fn read<T, F>(&self, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        let path = self.database.path().to_owned();
        self.database.read(move |connection| operation(connection).map_err(|error| error.on(&path))).await
    }
}

#[async_trait]
impl Labels for SqliteLabels {
    async fn put_review(&self, review: &Review, items: &[ReviewItem]) -> Result<u64, StoreError> {
        let (review, items): (Review, Arc<[ReviewItem]>) = (review.clone(), items.into());
        self.write(0, OnFull::Wait, move |connection| queue::put(connection, &review, &items)).await
    }

    async fn reviews(&self, project: &ProjectName, metric: Option<&MetricName>) -> Result<Vec<Review>, StoreError> {
        let (project, metric) = (project.clone(), metric.cloned());
        self.read(move |connection| queue::reviews(connection, &project, metric.as_ref())).await
    }

    async fn progress(&self, project: &ProjectName, now: Timestamp) -> Result<Vec<(MetricName, Progress)>, StoreError> {
        let project = project.clone();
        self.read(move |connection| queue::progress(connection, &project, now)).await
    }

    async fn next(
        &self,
        project: &ProjectName,
        metric: &MetricName,
        by: &Reviewer,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Option<ReviewItem>, StoreError> {
        let (project, metric, by) = (project.clone(), metric.clone(), by.clone());
        self.write(0, OnFull::Wait, move |connection| queue::next(connection, &project, &metric, &by, now, lease)).await
    }

    async fn item(
        &self,
        project: &ProjectName,
        metric: &MetricName,
        key: RowKey,
        now: Timestamp,
    ) -> Result<Option<ReviewItem>, StoreError> {
        let (project, metric) = (project.clone(), metric.clone());
        self.read(move |connection| queue::item(connection, &project, &metric, key, now)).await
    }

    async fn skip(&self, project: &ProjectName, metric: &MetricName, key: RowKey, reason: &str) -> Result<bool, StoreError> {
        let (project, metric, reason) = (project.clone(), metric.clone(), reason.to_owned());
        self.write(0, OnFull::Wait, move |connection| queue::skip(connection, &project, &metric, key, &reason)).await
    }

    async fn put(&self, labels: &[Label]) -> Result<(), StoreError> {
        let labels: Arc<[Label]> = labels.into();
        let bytes = labels.iter().map(|label| 256 + label.note.len()).sum();
        self.write(bytes, OnFull::Refuse, move |connection| labels.iter().try_for_each(|one| label::put(connection, one))).await
    }

    async fn list(&self, filter: &LabelFilter) -> Result<Page<Label>, StoreError> {
        let filter = filter.clone();
        self.read(move |connection| label::list(connection, &filter)).await
    }

    async fn drawn(
        &self,
        project: &ProjectName,
        metric: &MetricName,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<DrawnLabel>, StoreError> {
        let (project, metric) = (project.clone(), metric.clone());
        self.read(move |connection| label::drawn(connection, &project, &metric, from, to)).await
    }

    async fn put_feedback(&self, feedback: &[Feedback]) -> Result<Vec<Kept>, StoreError> {
        let feedback: Arc<[Feedback]> = feedback.into();
        let bytes = feedback.iter().map(|one| 512 + one.comment.len()).sum();
        let put = move |connection: &Connection| feedback.iter().map(|one| feedback::put(connection, one)).collect();
        self.write(bytes, OnFull::Refuse, put).await
    }

    async fn feedback(&self, filter: &FeedbackFilter) -> Result<Page<Feedback>, StoreError> {
        let filter = filter.clone();
        self.read(move |connection| feedback::list(connection, &filter)).await
    }
}
