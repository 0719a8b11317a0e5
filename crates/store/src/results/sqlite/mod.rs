//! The results store in one SQLite file. Rows, verdicts and the hourly rollups that stand for them change in the same transaction.

mod bridge;
mod counts;
mod decided;
mod dimensions;
mod fold;
mod judged;
mod listing;
mod record;
mod rollup;
mod stored;
mod sums;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use assize_core::decided::{DecidedPage, DecidedQuery};
use assize_core::queue::{Entry, Offset};
use assize_core::results::{
    BridgeItem, BridgeVerdict, CellBucket, Filter, InteractionRecord, Judged, JudgedQuery, Outcomes, Page, Recorded, Recorder,
    Results, ReuseAudit, Spend, SpendBy, SumsBucket, SumsQuery, VerdictRecord, VersionChange,
};
use assize_core::{AskedAs, Hour, InteractionId, ProjectName, RowKey, Scored, StoreError, Timestamp};
use async_trait::async_trait;
use dimensions::Dimensions;
use rusqlite::Connection;

use crate::sqlite::{Database, Migration, OnFull, Shape, damaged, failure};

const SHAPE: Shape = Shape {
    file: "results.db",
    exclusive: true,
    migrations: &[
        Migration { name: "0001_results", sql: include_str!("../schema/0001_results.sql") },
        Migration { name: "0002_tiers", sql: include_str!("../schema/0002_tiers.sql") },
        Migration { name: "0003_decided", sql: include_str!("../schema/0003_decided.sql") },
        Migration { name: "0004_bridge", sql: include_str!("../schema/0004_bridge.sql") },
        Migration { name: "0005_spend", sql: include_str!("../schema/0005_spend.sql") },
    ],
    cache_kib: 32 * 1024,
};

/// The results store in `results.db` of a directory that one process owns.
pub struct SqliteResults {
    database: Database<Dimensions>,
}

/// Why an operation failed, before it is known in which file.
enum Failure {
    Sqlite(rusqlite::Error),
    /// Stored bytes that are not what was written: says which.
    Damaged(String),
    Store(StoreError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Failure {
    fn invalid(message: String) -> Self {
        Self::Store(StoreError::new(assize_core::StoreErrorKind::Invalid, message))
    }

    fn on(self, file: &Path) -> StoreError {
        match self {
            Self::Sqlite(error) => failure(file, &error),
            Self::Damaged(what) => damaged(file, &what),
            Self::Store(error) => error,
        }
    }
}

impl SqliteResults {
    /// Opens or creates the store in `directory`; see [`open`](super::open).
    pub async fn open(directory: &Path) -> Result<Self, StoreError> {
        Ok(Self { database: Database::open(directory, &SHAPE)? })
    }

    async fn write<T, F>(&self, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection, &mut Dimensions) -> Result<T, Failure> + Send + 'static,
    {
        let path = self.database.path().to_owned();
        let operation = move |connection: &Connection, dimensions: &mut Dimensions| {
            operation(connection, dimensions).map_err(|e| e.on(&path))
        };
        self.database.write(0, OnFull::Wait, operation).await
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
impl Recorder for SqliteResults {
    async fn folded(&self) -> Result<Offset, StoreError> {
        self.read(|connection| Ok(Offset(fold::folded(connection)?.unsigned_abs()))).await
    }

    async fn fold(&self, entries: &[(Offset, Entry)]) -> Result<(), StoreError> {
        let entries = entries.to_vec();
        self.write(move |connection, dimensions| fold::fold(connection, dimensions, &entries)).await
    }

    async fn record(&self, scored: &[Scored]) -> Result<(), StoreError> {
        let scored: Arc<[Scored]> = scored.into();
        self.write(move |connection, dimensions| record::record(connection, dimensions, &scored)).await
    }

    async fn recorded(&self, key: RowKey) -> Result<Recorded, StoreError> {
        self.read(move |connection| record::recorded(connection, key)).await
    }
}

#[async_trait]
impl Results for SqliteResults {
    async fn sums(&self, query: &SumsQuery) -> Result<Vec<SumsBucket>, StoreError> {
        let query = query.clone();
        self.read(move |connection| sums::sums(connection, &query)).await
    }

    async fn cells(&self, project: &ProjectName, from: Timestamp) -> Result<Vec<CellBucket>, StoreError> {
        let project = project.clone();
        self.read(move |connection| counts::cells(connection, &project, from)).await
    }

    async fn reuse_audits(&self, project: &ProjectName) -> Result<Vec<ReuseAudit>, StoreError> {
        let project = project.clone();
        self.read(move |connection| counts::reuse_audits(connection, &project)).await
    }

    async fn interaction(&self, project: &ProjectName, id: &InteractionId) -> Result<Option<InteractionRecord>, StoreError> {
        let key = RowKey::of(project, id);
        self.read(move |connection| listing::interaction(connection, key)).await
    }

    async fn interactions(&self, filter: &Filter) -> Result<Page<InteractionRecord>, StoreError> {
        let filter = filter.clone();
        self.read(move |connection| listing::interactions(connection, &filter)).await
    }

    async fn verdicts(&self, filter: &Filter) -> Result<Page<VerdictRecord>, StoreError> {
        let filter = filter.clone();
        self.read(move |connection| listing::verdicts(connection, &filter)).await
    }

    async fn decided_after(&self, query: &DecidedQuery) -> Result<DecidedPage, StoreError> {
        let query = query.clone();
        self.read(move |connection| decided::after(connection, &query)).await
    }

    async fn decided_last(&self) -> Result<u64, StoreError> {
        self.read(decided::last).await
    }

    async fn judged(&self, query: &JudgedQuery) -> Result<Vec<Judged>, StoreError> {
        let query = query.clone();
        self.read(move |connection| judged::judged(connection, &query)).await
    }

    async fn outcomes(&self, project: &ProjectName, from: Timestamp, to: Timestamp) -> Result<Outcomes, StoreError> {
        let project = project.clone();
        self.read(move |connection| counts::outcomes(connection, &project, from, to)).await
    }

    async fn spend(
        &self,
        project: &ProjectName,
        from: Timestamp,
        to: Timestamp,
        by: SpendBy,
    ) -> Result<BTreeMap<String, Spend>, StoreError> {
        let project = project.clone();
        self.read(move |connection| counts::spend(connection, &project, from, to, by)).await
    }

    async fn spend_by_place(
        &self,
        project: &ProjectName,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<BTreeMap<(String, AskedAs), Spend>, StoreError> {
        let project = project.clone();
        self.read(move |connection| counts::spend_by_place(connection, &project, from, to)).await
    }

    async fn accepted(&self, project: &ProjectName, from: Timestamp, to: Timestamp) -> Result<BTreeMap<Hour, u64>, StoreError> {
        let project = project.clone();
        self.read(move |connection| counts::accepted(connection, &project, from, to)).await
    }

    async fn record_bridge(&self, extra: &BridgeVerdict) -> Result<(), StoreError> {
        let extra = extra.clone();
        self.write(move |connection, _| bridge::record(connection, &extra)).await
    }

    async fn bridge(&self, project: &ProjectName, change: &VersionChange) -> Result<Vec<BridgeItem>, StoreError> {
        let (project, change) = (project.clone(), change.clone());
        self.read(move |connection| bridge::items(connection, &project, &change)).await
    }
}
