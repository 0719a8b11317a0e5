//! Many callers at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use assize_core::NanoUsd;
use assize_core::ledger::{BalanceOf, CapScope, Grant, Ledger, Reservation, Settled};

use super::{TODAY, balance, cap, cost, reservation, tenant};

/// Tasks at once, the bound of each call, and a cap that is worth fifty of them.
const TASKS: u64 = 400;
const BOUND: u64 = 1_000;
const MAX: u64 = 50 * BOUND;

/// Runs this part of the suite.
pub async fn run(crowd: Arc<dyn Ledger>, duplicates: Arc<dyn Ledger>) {
    no_crowd_passes_a_cap(&crowd).await;
    only_one_of_the_same_counts(&duplicates).await;
}

/// Hundreds of tasks of two tenants spend what the platform has; somebody looks all the time.
async fn no_crowd_passes_a_cap(ledger: &Arc<dyn Ledger>) {
    let caps = [cap(CapScope::PlatformDay, MAX), cap(CapScope::ShareOfDay, MAX * 6 / 10)];
    let is_over = Arc::new(AtomicBool::new(false));
    let watch = {
        let (ledger, is_over) = (ledger.clone(), is_over.clone());
        tokio::spawn(async move {
            let mut looks = 0_u64;
            while !is_over.load(Ordering::SeqCst) {
                let of = [BalanceOf::PlatformDay(TODAY), BalanceOf::ShareOfDay(tenant("acme"), TODAY)];
                let stands = ledger.balances(&of).await.unwrap();
                assert!(stands[0].committed() <= NanoUsd(MAX), "{stands:?}");
                assert!(stands[1].committed() <= NanoUsd(MAX * 6 / 10), "{stands:?}");
                looks += 1;
                tokio::task::yield_now().await;
            }
            looks
        })
    };
    let paid = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (ledger, paid) = (ledger.clone(), paid.clone());
            tokio::spawn(async move {
                let name = if task % 2 == 0 { "acme" } else { "beta" };
                for attempt in 0..200 {
                    let asked = Reservation { tenant: tenant(name), ..reservation(&format!("{task}"), BOUND) };
                    match ledger.reserve(asked, &caps).await.unwrap() {
                        Grant::Granted => {
                            let price = BOUND - 1 - task;
                            paid.fetch_add(price, Ordering::SeqCst);
                            let told = vec![cost(&format!("{task}"), price)];
                            assert_eq!(ledger.settle(told).await.unwrap(), [Settled::Posted]);
                            return true;
                        }
                        Grant::Refused(_) => return false,
                        Grant::MustWait(_) => {
                            assert!(attempt < 199, "those under way are settled in the end");
                            tokio::task::yield_now().await;
                        }
                    }
                }
                false
            })
        })
        .collect();
    let mut granted = 0;
    for task in tasks {
        granted += u64::from(task.await.expect("no task fails"));
    }
    is_over.store(true, Ordering::SeqCst);
    assert!(watch.await.expect("the cap held at every look") > 0);
    let stands = ledger.balances(&[BalanceOf::PlatformDay(TODAY)]).await.unwrap();
    assert_eq!(stands, [balance(paid.load(Ordering::SeqCst), 0, 0)]);
    assert!(stands[0].spent <= NanoUsd(MAX) && stands[0].spent.0 > MAX - BOUND, "{stands:?}: no more, and hardly less");
    assert!((50..TASKS).contains(&granted), "{granted}");
}

async fn only_one_of_the_same_counts(ledger: &Arc<dyn Ledger>) {
    let caps = [cap(CapScope::TenantDay, 10)];
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.reserve(reservation("same", 10), &caps).await.unwrap() })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), Grant::Granted);
    }
    let day = [BalanceOf::TenantDay(tenant("acme"), TODAY)];
    assert_eq!(ledger.balances(&day).await.unwrap(), [balance(0, 0, 10)]);
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.settle(vec![cost("same", 7)]).await.unwrap()[0] })
        })
        .collect();
    let mut posted = 0;
    for task in tasks {
        match task.await.unwrap() {
            Settled::Posted => posted += 1,
            other => assert_eq!(other, Settled::Again),
        }
    }
    assert_eq!(posted, 1);
    assert_eq!(ledger.balances(&day).await.unwrap(), [balance(7, 0, 0)]);
    assert_eq!(ledger.postings(0, 100).await.unwrap().len(), 3);
}
