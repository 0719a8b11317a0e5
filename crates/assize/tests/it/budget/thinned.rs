//! What waits is thinned when less is to be judged, and the rate stays right.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use assize::pipeline::money::Payers;
use assize::pipeline::report::{EstimatesQuery, GroupBy, report};
use assize_core::{
    Clock as _, MetricName, Outcome, PlatformPolicy, ProjectName, SamplingOverride, TenantName, TenantPolicy, Timestamp,
};
use assize_store::ledger::MemoryLedger;
use assize_testkit::provider::{Behaviour, FakeProvider, Reply, Request};

use super::{ended, project, score_all, take_in};
use crate::flow::Flow;
use crate::harness::{config, item};

/// An operator who lowers the rate of everybody to a quarter.
#[derive(Default)]
struct Operator(AtomicBool);

impl Payers for Operator {
    fn policy_of(&self, project: &ProjectName) -> (TenantName, Arc<TenantPolicy>) {
        let sampling = self.0.load(Ordering::SeqCst).then_some(SamplingOverride { rate: 0.2, until: None });
        (TenantName::of_project(project), Arc::new(TenantPolicy { sampling, ..TenantPolicy::default() }))
    }

    fn policy(&self, tenant: &TenantName) -> Option<Arc<TenantPolicy>> {
        Some(self.policy_of(&ProjectName::new(tenant.as_str()).ok()?).1)
    }

    fn platform(&self) -> PlatformPolicy {
        PlatformPolicy::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_backlog_is_thinned_before_any_call_and_the_rate_stays_right() {
    const N: usize = 2_000;
    // One in four is a yes; the free words see half of those, and none besides.
    let yes = |request: &Request| request.item.contains("yes");
    let provider =
        FakeProvider::start(Behaviour::with(move |request| Reply::score(if yes(request) { 1.0 } else { 0.0 }))).await.unwrap();
    let operator = Arc::new(Operator::default());
    let flow = Flow::open(&config(&provider, "concurrency = 50", "[sampling]\nrate = 0.8")).await;
    let flow = flow.with_money(Arc::new(MemoryLedger::new()), Arc::clone(&operator) as Arc<dyn Payers>);
    let text = |at: usize| match at % 8 {
        0 => format!("I cannot: yes {at}"),
        4 => format!("yes {at}"),
        _ => format!("no {at}"),
    };
    // A quarter is judged as it was drawn; the rest waits while less is decided on.
    for (part, is_lowered) in [(0..N / 4, false), (N / 4..N, true)] {
        for first in part.clone().step_by(250) {
            take_in(&flow, (first..(first + 250).min(part.end)).map(|at| item(&format!("i-{at}"), &text(at)))).await;
        }
        operator.0.store(is_lowered, Ordering::SeqCst);
        score_all(&flow).await;
    }
    let (judged, left) = (ended(&flow, Outcome::Judged).await, ended(&flow, Outcome::NotSampled).await);
    assert_eq!((judged + left, provider.calls()), (N as u64, judged), "nobody was asked about what was left out");
    // Five standard deviations around 0.8 of 500 and 0.2 of 1,500.
    assert!((judged as f64 - 700.0).abs() < 5.0 * (500.0 * 0.16 + 1_500.0 * 0.16_f64).sqrt(), "{judged}");
    let mut thinned = 0;
    for at in 0..N {
        let metric = flow.metrics_of(at).await;
        assert_eq!(metric.decision.probability, 0.8, "what was decided first stays on record");
        match (metric.outcome, metric.reason.as_ref().map(|reason| reason.code.as_ref())) {
            (Some(Outcome::Judged), None) if at < N / 4 => assert!(metric.steps.is_empty()),
            (Some(Outcome::Judged), None) => {
                assert_eq!((metric.steps.len(), metric.steps[0].probability, metric.steps[0].drawn), (1, 0.2, true));
            }
            (Some(Outcome::NotSampled), Some("thinned")) => {
                assert_eq!((metric.steps.len(), metric.steps[0].probability, metric.steps[0].drawn), (1, 0.2, false));
                assert!(metric.calls.is_empty());
                thinned += 1;
            }
            (Some(Outcome::NotSampled), None) => assert!(metric.steps.is_empty()),
            other => panic!("i-{at}: {other:?}"),
        }
    }
    assert!((f64::from(thinned) - 900.0).abs() < 5.0 * (1_500.0 * 0.6 * 0.4_f64).sqrt(), "{thinned}");
    let query = EstimatesQuery {
        project: project(),
        metric: MetricName::new("refusal").unwrap(),
        from: Timestamp(0),
        to: flow.clock.now().plus(Duration::from_secs(7_200)),
        group_by: GroupBy::All,
        level: 0.95,
    };
    let group = report(&*flow.results, &query).await.unwrap().remove(0);
    let estimate = group.estimate.unwrap();
    let error = (estimate.high - estimate.low) / (2.0 * 1.96);
    assert!((estimate.value - 0.25).abs() < 4.0 * error && error < 0.03, "{estimate:?}");
    let sums = group.sums;
    assert_eq!((sums.population, sums.judged, sums.drawn_for_reference()), (N as u64, judged, judged));
    // The weights of those that stayed add up to all, give or take.
    assert!((sums.drawn_for_reference_w() / N as f64 - 1.0).abs() < 0.2, "{}", sums.drawn_for_reference_w());
    assert!((sums.w[0] - sums.drawn_for_reference_w()).abs() < 1e-6);
}

#[tokio::test]
async fn a_draw_that_is_on_record_is_never_made_again() {
    let provider = FakeProvider::start(Behaviour::always(Reply::rate_limited(1))).await.unwrap();
    let operator = Arc::new(Operator::default());
    let flow = Flow::open(&config(&provider, "attempts = 1", "[sampling]\nrate = 1.0")).await;
    let flow = flow.with_money(Arc::new(MemoryLedger::new()), Arc::clone(&operator) as Arc<dyn Payers>);
    for at in 0..8 {
        // Asked in vain: from now on it is no longer thinned.
        flow.judge(&item(&format!("i-{at}"), "no")).await;
        assert_eq!(provider.calls(), at + 1);
    }
    operator.0.store(true, Ordering::SeqCst);
    provider.set(Behaviour::score(1.0));
    flow.clock.0.advance(Duration::from_secs(60));
    score_all(&flow).await;
    assert_eq!(ended(&flow, Outcome::Judged).await, 8);
}
