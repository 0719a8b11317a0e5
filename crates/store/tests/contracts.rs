//! Every backend against the contract of its port.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use assize_core::StoreError;
use assize_core::batch::BatchStore;
use assize_core::cache::VerdictCache;
use assize_core::control::Control;
use assize_core::export::ExportCursors;
use assize_core::labels::Labels;
use assize_core::ledger::Ledger;
use assize_core::parking::Parking;
use assize_core::queue::{Offset, Queue};
use assize_core::results::Results;
use assize_testkit::contract::{self, Opener};
use async_trait::async_trait;

struct Sqlite(tempfile::TempDir);

impl Sqlite {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn url(&self, data: &str) -> String {
        format!("sqlite:{}", self.0.path().join(data).display())
    }
}

#[async_trait]
impl Opener<dyn Queue> for Sqlite {
    async fn open(&self, data: &str) -> Result<Arc<dyn Queue>, StoreError> {
        assize_store::queue::open(&self.url(data), Offset(0)).await
    }
}

#[async_trait]
impl Opener<dyn Results> for Sqlite {
    async fn open(&self, data: &str) -> Result<Arc<dyn Results>, StoreError> {
        assize_store::results::open(&self.url(data)).await
    }
}

#[async_trait]
impl Opener<dyn Control> for Sqlite {
    async fn open(&self, data: &str) -> Result<Arc<dyn Control>, StoreError> {
        assize_store::control::open(&self.url(data)).await
    }
}

#[async_trait]
impl Opener<dyn Parking> for Sqlite {
    async fn open(&self, data: &str) -> Result<Arc<dyn Parking>, StoreError> {
        assize_store::parking::open(&self.url(data)).await
    }
}

#[async_trait]
impl Opener<dyn Labels> for Sqlite {
    async fn open(&self, data: &str) -> Result<Arc<dyn Labels>, StoreError> {
        assize_store::labels::open(&self.url(data)).await
    }
}

#[async_trait]
impl Opener<dyn Ledger> for Sqlite {
    async fn open(&self, data: &str) -> Result<Arc<dyn Ledger>, StoreError> {
        assize_store::ledger::open(&self.url(data)).await
    }
}

#[async_trait]
impl Opener<dyn BatchStore> for Sqlite {
    async fn open(&self, data: &str) -> Result<Arc<dyn BatchStore>, StoreError> {
        assize_store::batch::open(&self.url(data)).await
    }
}

#[async_trait]
impl Opener<dyn ExportCursors> for Sqlite {
    async fn open(&self, data: &str) -> Result<Arc<dyn ExportCursors>, StoreError> {
        assize_store::export::open(&self.url(data)).await
    }
}

#[async_trait]
impl Opener<dyn VerdictCache> for Sqlite {
    async fn open(&self, data: &str) -> Result<Arc<dyn VerdictCache>, StoreError> {
        assize_store::cache::open(&self.url(data), contract::cache::BOUNDS).await
    }
}

struct Memory;

#[async_trait]
impl Opener<dyn Queue> for Memory {
    fn is_durable(&self) -> bool {
        false
    }

    async fn open(&self, _: &str) -> Result<Arc<dyn Queue>, StoreError> {
        assize_store::queue::open("memory:", Offset(0)).await
    }
}

#[async_trait]
impl Opener<dyn VerdictCache> for Memory {
    fn is_durable(&self) -> bool {
        false
    }

    async fn open(&self, _: &str) -> Result<Arc<dyn VerdictCache>, StoreError> {
        assize_store::cache::open("memory:", contract::cache::BOUNDS).await
    }
}

#[async_trait]
impl Opener<dyn Ledger> for Memory {
    fn is_durable(&self) -> bool {
        false
    }

    async fn open(&self, _: &str) -> Result<Arc<dyn Ledger>, StoreError> {
        assize_store::ledger::open("memory:").await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queue_sqlite() {
    contract::queue::run(&Sqlite::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queue_memory() {
    contract::queue::run(&Memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_sqlite() {
    contract::results::run(&Sqlite::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn control_sqlite() {
    contract::control::run(&Sqlite::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_sqlite() {
    contract::labels::run(&Sqlite::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ledger_sqlite() {
    contract::ledger::run(&Sqlite::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ledger_memory() {
    contract::ledger::run(&Memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parking_sqlite() {
    contract::parking::run(&Sqlite::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_sqlite() {
    contract::batch::run(&Sqlite::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn export_sqlite() {
    contract::export::run(&Sqlite::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cache_sqlite() {
    contract::cache::run(&Sqlite::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cache_memory() {
    contract::cache::run(&Memory).await;
}
