//! Carries what was accepted from the queue into the results store.

use std::time::Duration;

use assize_core::StoreError;
use tokio_util::sync::CancellationToken;

use super::Pipeline;

const BATCH_MAX: usize = 2_000;
/// Waited after the first arrival, so that a fold carries more than one request.
const GATHER: Duration = Duration::from_millis(50);
const IDLE: Duration = Duration::from_secs(1);

/// Folds until `stop`, then once more, so that nothing acknowledged waits for the next start.
pub async fn run(pipeline: &Pipeline, stop: &CancellationToken) {
    loop {
        let stopping = stop.is_cancelled();
        if let Err(error) = catch_up(pipeline).await {
            pipeline.counters.fault("fold");
            tracing::error!(%error, "accepted interactions could not be folded into the results; trying again");
            tokio::time::sleep(IDLE).await;
        }
        if stopping {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = pipeline.accepted.notified() => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep(IDLE) => {}
        }
    }
}

/// Folds in everything that is waiting.
pub async fn catch_up(pipeline: &Pipeline) -> Result<(), StoreError> {
    let mut offset = pipeline.recorder.folded().await?;
    loop {
        let entries = pipeline.queue.accepted_after(offset, BATCH_MAX).await?;
        let Some((last, _)) = entries.last() else { break };
        offset = *last;
        pipeline.recorder.fold(&entries).await?;
        pipeline.queue.folded(offset).await?;
        pipeline.folded.send_replace(offset);
    }
    pipeline.folded.send_replace(offset);
    Ok(())
}
