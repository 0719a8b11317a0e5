//! Budgets hold: whatever happens, no more is paid than was allowed, and what the ledger says was spent is what the provider bills.

mod batches;
mod crash;
mod late;
mod paced;
mod thinned;

use std::sync::Arc;
use std::time::Duration;

use assize::access::Principal;
use assize::ingest::json::decode_line;
use assize::pipeline::accept::accept;
use assize::pipeline::fold;
use assize::pipeline::money::{Degraded, OnePayer};
use assize::pipeline::score::score;
use assize_core::ledger::{Balance, BalanceOf, CapScope, Ledger};
use assize_core::results::SpendBy;
use assize_core::{Budget, Clock as _, NanoUsd, Outcome, ProjectName, TenantName, Timestamp, Zone};
use assize_store::ledger::{MemoryLedger, SqliteLedger};
use assize_testkit::provider::{Behaviour, FakeProvider, Reply, Request};
use futures::future::join_all;
use serde_json::Value;

use crate::flow::Flow;
use crate::harness::{bill, config, item};

/// What one call is billed at: 150 tokens in and 80 out, at $5 and $15 a million. Less than its bound, which reckons with more.
const CALL: u64 = 150 * 5_000 + 80 * 15_000;

fn tenant() -> TenantName {
    TenantName::new("default").unwrap()
}

fn project() -> ProjectName {
    ProjectName::new("default").unwrap()
}

/// Everybody may spend so much a day.
fn a_day(most: u64) -> Arc<OnePayer> {
    Arc::new(OnePayer::with(Budget { day_max: Some(NanoUsd(most)), month_max: None }))
}

fn everything(provider: &FakeProvider, provider_keys: &str) -> String {
    config(provider, provider_keys, "[sampling]\nrate = 1.0")
}

async fn today(ledger: &dyn Ledger, now: Timestamp) -> Balance {
    ledger.balances(&[BalanceOf::TenantDay(tenant(), Zone::default().day(now))]).await.unwrap()[0]
}

async fn take_in(flow: &Flow, items: impl Iterator<Item = Value>) {
    let drafts: Vec<_> = items.map(|item| decode_line(&item.to_string())).collect();
    let (who, sent) = (Principal::local(project()), drafts.len());
    assert_eq!(accept(&flow.pipeline, &who, drafts).await.unwrap().accepted, sent);
    fold::catch_up(&flow.pipeline).await.unwrap();
}

fn items(ids: std::ops::Range<usize>) -> impl Iterator<Item = Value> {
    ids.map(|at| item(&format!("i-{at}"), &format!("answer <{at}>")))
}

/// Scores all that can be leased, so many at once, until nothing is left; waits are over at once.
async fn score_all(flow: &Flow) {
    while flow.pipeline.queue.depth(flow.clock.now()).await.unwrap().oldest.is_some() {
        let up_to = *flow.pipeline.folded.borrow();
        let leased = flow.pipeline.queue.lease(500, up_to, flow.clock.now(), flow.pipeline.limits.lease).await.unwrap();
        for scored in join_all(leased.into_iter().map(|leased| score(&flow.pipeline, leased))).await {
            scored.unwrap();
        }
        flow.clock.0.advance(Duration::from_secs(1));
    }
}

/// How many interactions ended so.
async fn ended(flow: &Flow, outcome: Outcome) -> u64 {
    let (from, to) = (Timestamp(0), flow.clock.now().plus(Duration::from_secs(7_200)));
    let outcomes = flow.results.outcomes(&project(), from, to).await.unwrap();
    outcomes.counts.iter().filter(|count| count.outcome == Some(outcome)).map(|count| count.count).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_calls_at_once_stay_within_a_budget_for_fifty() {
    let provider = FakeProvider::start(Behaviour::score(1.0).usage(150, 80).latency(Duration::from_millis(20))).await.unwrap();
    let ledger = Arc::new(MemoryLedger::new());
    let flow = Flow::open(&everything(&provider, "concurrency = 500")).await;
    let flow = flow.with_money(Arc::clone(&ledger) as Arc<dyn Ledger>, a_day(50 * CALL));
    take_in(&flow, items(0..500)).await;
    score_all(&flow).await;
    let (paid, budget) = (bill(&provider), 50 * CALL);
    assert!(paid <= budget && paid * 10 >= budget * 9, "{paid} of {budget}");
    let balance = today(&*ledger, flow.clock.now()).await;
    assert_eq!((balance.spent, balance.assumed, balance.reserved), (NanoUsd(paid), NanoUsd::ZERO, NanoUsd::ZERO));
    assert_eq!(provider.calls() * CALL, paid, "nobody is called for nothing");
    let judged = ended(&flow, Outcome::Judged).await;
    assert_eq!((judged, ended(&flow, Outcome::OverBudget).await), (provider.calls(), 500 - provider.calls()));
    let total = &flow.results.spend(&project(), Timestamp(0), Timestamp(i64::MAX), SpendBy::Total).await.unwrap();
    assert_eq!(total.values().map(|spend| spend.cost.0).sum::<u64>(), paid);
    // Of one that was left out it is said why, and what to do.
    let records = join_all((0..500).map(|at| flow.metrics_of(at))).await;
    let refused = records.iter().find(|metric| metric.outcome == Some(Outcome::OverBudget)).unwrap();
    let reason = refused.reason.as_ref().unwrap();
    assert_eq!(reason.code, "tenant_day");
    assert!(reason.message.contains("day_usd_max") && reason.message.contains("default"), "{}", reason.message);
    let degraded = flow.pipeline.money.as_ref().unwrap().degradations.of(&tenant());
    assert_eq!(degraded.len(), 1);
    assert_eq!((degraded[0].count, degraded[0].why), (500 - provider.calls(), CapScope::TenantDay));
    assert!(matches!(&degraded[0].what, Degraded::Judge { judge, .. } if judge.as_str() == "gpt"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_pipelines_on_one_ledger_file_share_a_budget() {
    let provider = FakeProvider::start(Behaviour::score(1.0).usage(150, 80).latency(Duration::from_millis(5))).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let budget = 40 * CALL;
    let mut flows = Vec::new();
    for number in 0..2 {
        let ledger: Arc<dyn Ledger> = Arc::new(SqliteLedger::open(directory.path()).await.unwrap());
        let mut flow = Flow::open(&everything(&provider, "concurrency = 50")).await.with_money(ledger, a_day(budget));
        // Calls have ids of their own.
        flow.pipeline.ids = assize::ids::IdSource::new(number);
        take_in(&flow, items(0..100)).await;
        flows.push(flow);
    }
    tokio::join!(score_all(&flows[0]), score_all(&flows[1]));
    let paid = bill(&provider);
    assert!(paid <= budget && paid * 10 >= budget * 9, "{paid} of {budget}");
    let ledger = SqliteLedger::open(directory.path()).await.unwrap();
    let balance = today(&ledger, flows[0].clock.now()).await;
    assert_eq!((balance.spent, balance.committed()), (NanoUsd(paid), NanoUsd(paid)));
    for flow in &flows {
        assert_eq!(ended(flow, Outcome::Judged).await + ended(flow, Outcome::OverBudget).await, 100);
    }
}

#[tokio::test]
async fn usage_that_nobody_told_stays_charged() {
    let behaviour = Behaviour::score(1.0).usage(150, 80).silent_about_usage(|request| request.number % 10 == 9);
    let provider = FakeProvider::start(behaviour).await.unwrap();
    let ledger = Arc::new(MemoryLedger::new());
    let flow = Flow::open(&everything(&provider, "concurrency = 50")).await;
    let budget = 50 * CALL;
    let flow = flow.with_money(Arc::clone(&ledger) as Arc<dyn Ledger>, a_day(budget));
    take_in(&flow, items(0..200)).await;
    score_all(&flow).await;
    let (calls, silent) = (provider.calls(), provider.calls() / 10);
    assert!(silent >= 3, "{calls}");
    let balance = today(&*ledger, flow.clock.now()).await;
    assert_eq!(balance.spent.0, (calls - silent) * CALL, "what is known");
    assert!(balance.assumed.0 > silent * CALL, "the bounds of the others");
    assert_eq!(balance.reserved, NanoUsd::ZERO);
    let committed = balance.committed().0;
    assert!(bill(&provider) <= budget && committed <= budget && committed * 10 >= budget * 9, "{committed} of {budget}");
}

#[tokio::test]
async fn what_the_reference_would_cost_too_much_the_cheaper_judge_still_sees() {
    let provider = FakeProvider::start(
        Behaviour::with(|request: &Request| Reply::score(if request.model.contains("mini") { 0.25 } else { 1.0 })).usage(150, 80),
    )
    .await
    .unwrap();
    let cheap = r#"[[judge]]
name = "mini"
kind = "chat"
provider = "fake"
model = "gpt-4o-mini"
question = "Does the assistant refuse to do what the user asks?"

[[metric]]"#;
    let config = everything(&provider, "")
        .replacen("[[metric]]", cheap, 1)
        .replace("[\"words\", \"gpt\"]", "[\"words\", \"mini\", \"gpt\"]");
    let ledger = Arc::new(MemoryLedger::new());
    // A third of a call of the reference judge, and many of the cheap one, which costs less than a thirtieth.
    let flow = Flow::open(&config).await.with_money(Arc::clone(&ledger) as Arc<dyn Ledger>, a_day(CALL / 3));
    flow.judge(&item("a", "no")).await;
    let metric = flow.metrics("a").await.remove(0);
    assert_eq!(metric.outcome, Some(Outcome::OverBudget));
    assert_eq!(metric.verdicts.iter().map(|verdict| verdict.score).collect::<Vec<_>>(), [0.25]);
    assert_eq!((provider.calls(), metric.calls.len()), (1, 1));
    let paid = today(&*ledger, flow.clock.now()).await;
    assert_eq!((Some(paid.spent), paid.reserved), (metric.calls[0].cost, NanoUsd::ZERO));
    // With nothing at all nobody is asked, and the cheap judge is passed over.
    let flow = Flow::open(&config).await.with_money(Arc::new(MemoryLedger::new()), a_day(0));
    flow.judge(&item("b", "no")).await;
    let metric = flow.metrics("b").await.remove(0);
    assert_eq!((metric.outcome, metric.verdicts.len(), provider.calls()), (Some(Outcome::OverBudget), 0, 1));
}
