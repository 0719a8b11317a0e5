//! What every backend of a port must do: one suite a port, run against each backend by its own tests.

pub mod batch;
mod bridge;
pub mod cache;
pub mod control;
mod decided;
pub mod export;
pub mod labels;
pub mod ledger;
mod listing;
pub mod parking;
pub mod queue;
pub mod results;
mod spend;
pub mod sums;
pub mod tiers;

use std::sync::Arc;

use assize_core::StoreError;
use async_trait::async_trait;

/// Opens a backend over the same data again and again.
#[async_trait]
pub trait Opener<P: ?Sized>: Send + Sync {
    /// Whether what was acknowledged is still there after opening again.
    fn is_durable(&self) -> bool {
        true
    }

    /// Opens the backend on data of its own, named `data`: the same name finds the same data. What was opened before under the name
    /// has been dropped.
    async fn open(&self, data: &str) -> Result<Arc<P>, StoreError>;
}
