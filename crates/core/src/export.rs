//! The port of export cursors: how far each target has acknowledged the feed of results.

use async_trait::async_trait;

use crate::{ExportName, StoreError};

/// Where it stands with each target. Everything that returns `Ok` is on disk.
#[async_trait]
pub trait ExportCursors: Send + Sync {
    /// The place in the feed up to which the target has acknowledged; `None` for one that was never met.
    async fn cursor(&self, target: &ExportName) -> Result<Option<u64>, StoreError>;

    /// Moves it.
    async fn set_cursor(&self, target: &ExportName, up_to: u64) -> Result<(), StoreError>;
}
