//! What comes late: answers after their lease, settlements that failed, another day.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use assize::pipeline::score::score;
use assize_core::ledger::{
    Adjustment, Balance, BalanceOf, CallCost, Cap, Grant, Ledger, Posting, Reservation, Settled, Total, TotalsQuery,
};
use assize_core::{Clock as _, NanoUsd, Outcome, StoreError, StoreErrorKind, Timestamp};
use assize_store::ledger::MemoryLedger;
use assize_testkit::provider::{Behaviour, FakeProvider};
use async_trait::async_trait;

use super::{CALL, a_day, ended, everything, items, score_all, take_in, today};
use crate::flow::Flow;
use crate::harness::{bill, eventually, item};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_after_its_lease_corrects_what_was_assumed() {
    let provider = FakeProvider::start(Behaviour::score(1.0).usage(150, 80).latency(Duration::from_millis(500))).await.unwrap();
    let ledger = Arc::new(MemoryLedger::new());
    let flow = Flow::open(&everything(&provider, "")).await;
    let flow = flow.with_money(Arc::clone(&ledger) as Arc<dyn Ledger>, a_day(50 * CALL));
    flow.accept(&item("a", "late")).await;
    let leased = flow.lease().await.remove(0);
    let watching = async {
        eventually("the call is under way", async || (provider.in_flight() == 1).then_some(())).await;
        let before = today(&*ledger, flow.clock.now()).await;
        assert!(before.reserved.0 > CALL, "{before:?}");
        flow.clock.0.advance(Duration::from_secs(600));
        assert_eq!(flow.pipeline.money.as_ref().unwrap().sweep(flow.clock.now()).await.unwrap(), 1);
        let after = today(&*ledger, flow.clock.now()).await;
        assert_eq!((after.assumed, after.reserved), (before.reserved, NanoUsd::ZERO), "charged until it is known");
    };
    let (scored, ()) = tokio::join!(score(&flow.pipeline, leased), watching);
    scored.unwrap();
    let balance = today(&*ledger, flow.clock.now()).await;
    assert_eq!((balance.spent.0, balance.committed().0), (bill(&provider), bill(&provider)));
    assert_eq!(ended(&flow, Outcome::Judged).await, 1);
}

#[tokio::test]
async fn another_day_has_its_own_budget_and_yesterdays_calls_stay_yesterdays() {
    let provider = FakeProvider::start(Behaviour::score(1.0).usage(150, 80)).await.unwrap();
    let ledger = Arc::new(MemoryLedger::new());
    let flow = Flow::open(&everything(&provider, "")).await;
    let budget = 20 * CALL;
    let flow = flow.with_money(Arc::clone(&ledger) as Arc<dyn Ledger>, a_day(budget));
    let mut paid = 0;
    for day in 0..3 {
        take_in(&flow, items(day * 60..(day + 1) * 60)).await;
        let now = flow.clock.now();
        score_all(&flow).await;
        let balance = today(&*ledger, now).await;
        assert_eq!(balance.spent.0, bill(&provider) - paid, "day {day}");
        assert!(balance.committed().0 <= budget && balance.spent.0 * 10 >= budget * 9, "day {day}: {balance:?}");
        paid = bill(&provider);
        // The clock jumps, and once back again: what a day has spent it has spent.
        flow.clock.0.advance(Duration::from_secs(86_400));
    }
    flow.clock.0.set(assize_testkit::samples::MORNING);
    take_in(&flow, items(1_000..1_010)).await;
    score_all(&flow).await;
    assert_eq!(bill(&provider), paid);
}

/// A ledger that fails to settle a number of times, as at a crash between the record and the settlement.
struct Failing {
    ledger: MemoryLedger,
    fails: AtomicUsize,
}

#[async_trait]
impl Ledger for Failing {
    async fn reserve(&self, reservation: Reservation, caps: &[Cap]) -> Result<Grant, StoreError> {
        self.ledger.reserve(reservation, caps).await
    }

    async fn settle(&self, costs: Vec<CallCost>) -> Result<Vec<Settled>, StoreError> {
        if self.fails.load(Ordering::SeqCst) > 0 {
            self.fails.fetch_sub(1, Ordering::SeqCst);
            return Err(StoreError::new(StoreErrorKind::Failed, "told to fail"));
        }
        self.ledger.settle(costs).await
    }

    async fn expire(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.ledger.expire(now).await
    }

    async fn adjust(&self, adjustment: Adjustment) -> Result<bool, StoreError> {
        self.ledger.adjust(adjustment).await
    }

    async fn balances(&self, of: &[BalanceOf]) -> Result<Vec<Balance>, StoreError> {
        self.ledger.balances(of).await
    }

    async fn totals(&self, query: &TotalsQuery) -> Result<Vec<Total>, StoreError> {
        self.ledger.totals(query).await
    }

    async fn postings(&self, number: u64, limit: usize) -> Result<Vec<Posting>, StoreError> {
        self.ledger.postings(number, limit).await
    }
}

#[tokio::test]
async fn what_was_recorded_and_not_settled_is_settled_when_it_comes_again() {
    let provider = FakeProvider::start(Behaviour::score(1.0).usage(150, 80)).await.unwrap();
    let ledger = Arc::new(Failing { ledger: MemoryLedger::new(), fails: AtomicUsize::new(1) });
    let flow = Flow::open(&everything(&provider, "")).await;
    let flow = flow.with_money(Arc::clone(&ledger) as Arc<dyn Ledger>, a_day(50 * CALL));
    flow.accept(&item("a", "once")).await;
    let leased = flow.lease().await.remove(0);
    score(&flow.pipeline, leased).await.unwrap_err();
    let balance = today(&*ledger, flow.clock.now()).await;
    assert!(balance.spent == NanoUsd::ZERO && balance.reserved.0 >= CALL, "{balance:?}");
    // Its lease ends, and so does the reservation's.
    flow.clock.0.advance(flow.pipeline.limits.lease + Duration::from_secs(1));
    ledger.expire(flow.clock.now()).await.unwrap();
    let leased = flow.lease().await.remove(0);
    score(&flow.pipeline, leased).await.unwrap();
    let balance = today(&*ledger, flow.clock.now()).await;
    assert_eq!((balance.spent.0, balance.committed().0), (CALL, CALL));
    assert_eq!((provider.calls(), ended(&flow, Outcome::Judged).await), (1, 1), "asked and paid once");
}
