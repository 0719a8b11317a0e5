//! Verdicts that are kept to be used again: not before they are on record, and found by whoever waited for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use assize::pipeline::Pipeline;
use assize::pipeline::score::score;
use assize_core::queue::{Entry, Offset};
use assize_core::results::{Recorded, Recorder};
use assize_core::{Outcome, RowKey, Scored, StoreError, StoreErrorKind};
use assize_testkit::provider::{Behaviour, FakeProvider};
use async_trait::async_trait;
use tokio::sync::{Notify, Semaphore};

use crate::flow::Flow;
use crate::harness::item;

/// Records when it is let, and says so, or loses what it is given.
struct Clerk {
    store: Arc<dyn Recorder>,
    loses: AtomicUsize,
    may_record: Semaphore,
    came: Notify,
    looked_up: AtomicUsize,
}

#[async_trait]
impl Recorder for Clerk {
    async fn folded(&self) -> Result<Offset, StoreError> {
        self.store.folded().await
    }

    async fn fold(&self, entries: &[(Offset, Entry)]) -> Result<(), StoreError> {
        self.store.fold(entries).await
    }

    async fn record(&self, scored: &[Scored]) -> Result<(), StoreError> {
        self.came.notify_one();
        self.may_record.acquire().await.unwrap().forget();
        if self.loses.load(Ordering::SeqCst) > 0 {
            self.loses.fetch_sub(1, Ordering::SeqCst);
            return Err(StoreError::new(StoreErrorKind::Failed, "lost"));
        }
        self.store.record(scored).await
    }

    async fn recorded(&self, key: RowKey) -> Result<Recorded, StoreError> {
        let recorded = self.store.recorded(key).await;
        self.looked_up.fetch_add(1, Ordering::SeqCst);
        recorded
    }
}

/// One metric, a cache, and a clerk who loses so many records and lets so many pass.
async fn flow(provider: &FakeProvider, loses: usize, passes: usize) -> (Flow, Arc<Clerk>) {
    let flow = Flow::open(&crate::harness::config(provider, "", "[sampling]\nrate = 1.0")).await.with_cache(None).await;
    let clerk = Arc::new(Clerk {
        store: Arc::clone(&flow.pipeline.recorder),
        loses: AtomicUsize::new(loses),
        may_record: Semaphore::new(passes),
        came: Notify::new(),
        looked_up: AtomicUsize::new(0),
    });
    let pipeline = Pipeline { recorder: Arc::clone(&clerk) as Arc<dyn Recorder>, ..flow.pipeline };
    (Flow { pipeline, ..flow }, clerk)
}

#[tokio::test]
async fn a_verdict_that_was_not_recorded_is_not_used_again() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let (flow, _) = flow(&provider, 1, 100).await;
    flow.accept(&item("a", "No.")).await;
    for leased in flow.lease().await {
        score(&flow.pipeline, leased).await.unwrap_err();
    }
    assert_eq!((provider.calls(), flow.metrics("a").await[0].outcome), (1, None));
    flow.judge(&item("b", "No.")).await;
    assert_eq!((provider.calls(), flow.metrics("b").await[0].outcome), (2, Some(Outcome::Judged)));
    assert_eq!(flow.metrics("b").await[0].calls.len(), 1, "whoever uses it has its cost on record somewhere");
    flow.judge(&item("c", "No.")).await;
    assert_eq!((provider.calls(), flow.metrics("c").await[0].outcome), (2, Some(Outcome::Reused)));
}

#[tokio::test]
async fn whoever_asks_the_same_waits_until_it_is_on_record() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let (flow, clerk) = flow(&provider, 0, 0).await;
    flow.accept(&item("a", "No.")).await;
    flow.accept(&item("b", "No.")).await;
    let mut leased = flow.lease().await.into_iter();
    let (first, second) = (leased.next().unwrap(), leased.next().unwrap());
    let clerks_turn = async {
        clerk.came.notified().await;
        while clerk.looked_up.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
        // The other has all that it needs to ask, if it did not wait.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(provider.calls(), 1);
        clerk.may_record.add_permits(10);
    };
    let (first, second, ()) = tokio::join!(score(&flow.pipeline, first), score(&flow.pipeline, second), clerks_turn);
    first.and(second).unwrap();
    assert_eq!(provider.calls(), 1);
    let mut outcomes = [flow.metrics("a").await[0].outcome, flow.metrics("b").await[0].outcome];
    outcomes.sort_by_key(|outcome| *outcome != Some(Outcome::Judged));
    assert_eq!(outcomes, [Some(Outcome::Judged), Some(Outcome::Reused)]);
}
