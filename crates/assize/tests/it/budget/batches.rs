//! Batches are paid like calls: set aside at submission, settled when they are read, given back where nobody was asked.

use std::time::Duration;

use assize_core::ledger::{Balance, BalanceOf, Ledger as _};
use assize_core::{Clock as _, SystemClock, Zone};
use assize_store::ledger::SqliteLedger;
use assize_testkit::provider::{Behaviour, Ending, FakeProvider};

use super::{CALL, items};
use crate::harness::{Server, config, count, eventually, nanos};

fn batched(provider: &FakeProvider, budget: &str) -> String {
    let soon = format!(
        "[sampling]\nrate = 1.0\n[batch]\nlinger_seconds = 1\npoll_seconds = 1\n[budget]\npacing = false\nmonth_usd_max = {budget}"
    );
    let ways = "cascade = [\"words\", \"gpt\"]\nmax_delay_hours = 12";
    config(provider, "", &soon).replace("cascade = [\"words\", \"gpt\"]", ways)
}

async fn balance(ledger: &SqliteLedger) -> Balance {
    let month = Zone::default().day(SystemClock.now()).month();
    ledger.balances(&[BalanceOf::PlatformMonth(month)]).await.unwrap()[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_set_aside_and_settled_at_its_own_price() {
    let provider = FakeProvider::start(Behaviour::score(1.0).usage(150, 80)).await.unwrap();
    let batches = provider.batches();
    batches.end_after(None);
    let mut server = Server::start(&batched(&provider, "1.0")).await;
    server.accept(items(0..40).collect()).await;
    eventually("all is submitted", async || (batches.items() == 40).then_some(())).await;
    let ledger = SqliteLedger::open(&server.data()).await.unwrap();
    let open = balance(&ledger).await;
    assert!(open.reserved.0 > 40 * CALL && open.certain().0 == 0, "{open:?}: the price of a live call");
    // What was reserved before a restart is settled after it.
    server.kill();
    server.start_again().await;
    eventually("all are judged", async || {
        batches.end(Ending::Complete);
        let (_, counts) = server.outcomes("default").await;
        (count(&counts, "refusal", "judged") == 40).then_some(())
    })
    .await;
    let paid = nanos(&server.get("/v1/spend").await.expect(200)["total"]["cost_usd"]);
    assert_eq!(paid, 40 * CALL / 2, "half of it");
    let after = eventually("all is settled", async || {
        let after = balance(&ledger).await;
        (after.reserved.0 == 0).then_some(after)
    })
    .await;
    assert_eq!((after.spent.0, after.committed().0), (paid, paid));
    server.adds_up().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_budget_does_not_allow_goes_into_no_batch() {
    let provider = FakeProvider::start(Behaviour::score(1.0).usage(150, 80)).await.unwrap();
    let batches = provider.batches();
    // Ten at the price of a live call, whose bound is above that of what is billed.
    let dollars = (10 * CALL) as f64 / 1e9;
    let server = Server::start(&batched(&provider, &dollars.to_string())).await;
    server.accept(items(0..40).collect()).await;
    let counts = eventually("nothing is pending", async || {
        batches.end(Ending::Complete);
        let (_, counts) = server.outcomes("default").await;
        (count(&counts, "refusal", "judged") + count(&counts, "refusal", "over_budget") == 40).then_some(counts)
    })
    .await;
    let judged = count(&counts, "refusal", "judged");
    let paid = nanos(&server.get("/v1/spend").await.expect(200)["total"]["cost_usd"]);
    assert!((1..=20).contains(&judged) && paid <= 10 * CALL, "{judged} for {paid}");
    assert_eq!(provider.calls() + batches.items() as u64, judged);
    let ledger = SqliteLedger::open(&server.data()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(30), async {
        while balance(&ledger).await.reserved.0 > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(balance(&ledger).await.committed().0, paid);
    server.adds_up().await;
}
