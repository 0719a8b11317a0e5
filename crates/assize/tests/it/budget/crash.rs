//! The process is killed at random moments: the budget holds all the same.

use std::time::Duration;

use assize_core::ledger::{BalanceOf, Ledger as _};
use assize_core::{Clock as _, SystemClock, Zone};
use assize_store::ledger::SqliteLedger;
use assize_testkit::provider::{Behaviour, FakeProvider};

use super::{CALL, items};
use crate::harness::{Server, bill, config, count, eventually};

const CRASHES: u64 = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_ten_times_a_budget_is_not_passed() {
    let behaviour = Behaviour::score(1.0).usage(150, 80).latency(Duration::from_millis(60));
    let provider = FakeProvider::start(behaviour).await.unwrap();
    let budget = 200 * CALL;
    let dollars = budget as f64 / 1e9;
    let rest = format!("[sampling]\nrate = 1.0\n[budget]\nday_usd_max = {dollars}\nmonth_usd_max = {dollars}\npacing = false");
    let mut server = Server::start(&config(&provider, "concurrency = 4\ntimeout_seconds = 1", &rest)).await;
    const N: usize = 400;
    for first in (0..N).step_by(200) {
        server.accept(items(first..first + 200).collect()).await;
    }
    for round in 0..CRASHES {
        // Later and later in the life of the calls that are under way.
        let made = provider.calls() + 4;
        eventually("more calls", async || (provider.calls() >= made).then_some(())).await;
        tokio::time::sleep(Duration::from_millis(7 * round)).await;
        server.kill();
        server.start_again().await;
    }
    // What was under way at a crash is charged in full when its lease ends; until then others may have to wait.
    let counts = server.settled("default", N as u64).await;
    let (judged, over) = (count(&counts, "refusal", "judged"), count(&counts, "refusal", "over_budget"));
    assert_eq!(judged + over, N as u64, "{counts:?}");
    assert!(over > 0 && judged <= provider.calls(), "{counts:?} of {} calls", provider.calls());
    assert!(bill(&provider) <= budget, "{} of {budget}", bill(&provider));
    server.terminate().await;
    let ledger = SqliteLedger::open(&server.data()).await.unwrap();
    let month = Zone::default().day(SystemClock.now()).month();
    let balance = ledger.balances(&[BalanceOf::PlatformMonth(month)]).await.unwrap()[0];
    let committed = balance.committed().0;
    assert!(committed <= budget && committed * 10 >= budget * 9, "{balance:?} of {budget}");
    assert!(balance.spent.0 >= judged * CALL && committed >= bill(&provider), "{balance:?}, billed {}", bill(&provider));
    assert!(bill(&provider) <= provider.calls() * CALL, "calls that were cut off are billed at the most");
}
