//! A day through the flow: less is drawn so that the budget lasts, all of it is on record, and the rate stays right.

use std::sync::Arc;
use std::time::Duration;

use assize::pipeline::money::Degraded;
use assize::pipeline::pacing::tick;
use assize::pipeline::report::{EstimatesQuery, GroupBy, report};
use assize_core::ledger::Ledger;
use assize_core::{Clock as _, Day, MetricName, Zone};
use assize_store::ledger::MemoryLedger;
use assize_testkit::provider::{Behaviour, FakeProvider, Reply, Request};

use super::{CALL, a_day, everything, project, score_all, take_in, tenant, today};
use crate::flow::Flow;
use crate::harness::{bill, item};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_lasts_its_day() {
    let yes = |request: &Request| request.item.contains("yes");
    let behaviour = Behaviour::with(move |request| Reply::score(if yes(request) { 1.0 } else { 0.0 }));
    let provider = FakeProvider::start(behaviour.usage(150, 80)).await.unwrap();
    let ledger = Arc::new(MemoryLedger::new());
    let flow = Flow::open(&everything(&provider, "concurrency = 50")).await;
    let budget = 300 * CALL;
    let flow = flow.with_money(Arc::clone(&ledger) as Arc<dyn Ledger>, a_day(budget));
    let money = flow.pipeline.money.as_ref().unwrap();
    let day = Zone::default().day(flow.clock.now());
    let midnight = Zone::default().start(Day(day.0 + 1));
    const STEPS: usize = 144;
    const ITEMS: usize = 40;
    let mut paces = Vec::new();
    for step in 0..STEPS {
        flow.clock.0.set(midnight.plus(Duration::from_secs(600 * step as u64 + 10)));
        tick(money, flow.clock.now()).await.unwrap();
        paces.push(flow.pipeline.restraint(&project()).pace);
        let text = |at: usize| if at.is_multiple_of(4) { format!("yes {at}") } else { format!("no {at}") };
        take_in(&flow, (step * ITEMS..(step + 1) * ITEMS).map(|at| item(&format!("i-{at}"), &text(at)))).await;
        score_all(&flow).await;
    }
    let end = flow.clock.now();
    let balance = today(&*ledger, end).await;
    assert_eq!((balance.spent.0, balance.reserved.0), (bill(&provider), 0));
    assert!(balance.spent.0 <= budget && balance.spent.0 * 10 >= budget * 9, "{balance:?} of {budget}");
    // 5,760 interactions and money for 300: after the first, of which nothing was known, about one in twenty, all day.
    assert!(paces[6..].iter().all(|pace| (0.02..0.12).contains(pace)), "{paces:?}");
    let degraded = money.degradations.of(&tenant());
    assert!(degraded.iter().any(|one| one.what == Degraded::Pace), "{degraded:?}");
    let query = EstimatesQuery {
        project: project(),
        metric: MetricName::new("refusal").unwrap(),
        from: midnight,
        to: end.plus(Duration::from_secs(3_600)),
        group_by: GroupBy::All,
        level: 0.95,
    };
    let group = report(&*flow.results, &query).await.unwrap().remove(0);
    assert_eq!(group.sums.population, (STEPS * ITEMS) as u64);
    let estimate = group.estimate.unwrap();
    let error = (estimate.high - estimate.low) / (2.0 * 1.96);
    assert!((estimate.value - 0.25).abs() < 4.0 * error && error < 0.05, "{estimate:?}");
}
