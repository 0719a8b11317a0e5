//! What is parked for a batch, step by step: what joins whom, and that no metric is asked about twice.

use std::time::Duration;

use assize::pipeline::batch::{self, Way};
use assize::pipeline::score::hear;
use assize_core::batch::{Lane, Member};
use assize_core::queue::Leased;
use assize_core::{MetricName, Outcome, ProviderName};
use assize_testkit::provider::{Behaviour, FakeProvider};
use assize_testkit::samples;

use crate::flow::Flow;
use crate::harness::{eventually, item};

/// Two metrics that one judge is asked about in one call, and may be in half a day.
fn two(provider: &FakeProvider) -> String {
    let metrics: String = ["refusal", "toxicity"]
        .map(|name| format!("[[metric]]\nname = \"{name}\"\ncascade = [\"gpt\"]\nmax_delay_hours = 12\n\n"))
        .concat();
    crate::harness::config(provider, "", "[sampling]\nrate = 1.0")
        .replace("[[metric]]\nname = \"refusal\"\ncascade = [\"words\", \"gpt\"]\n", &metrics)
        .replace("question = \"Does the assistant refuse to do what the user asks?\"\n", "packed = true\n")
}

async fn flow(provider: &FakeProvider) -> Flow {
    Flow::open(&two(provider)).await.with_batches().await
}

/// Everything that waits to go into a batch.
async fn waiting(flow: &Flow) -> Vec<Member> {
    let store = &flow.pipeline.batch.as_ref().unwrap().store;
    let mut all = Vec::new();
    for waiting in store.waiting().await.unwrap() {
        all.extend(store.next(&waiting.lane, samples::MORNING, 100, usize::MAX).await.unwrap());
    }
    all
}

async fn leased(flow: &Flow, id: &str) -> Leased {
    flow.accept(&item(id, "No.")).await;
    flow.lease().await.remove(0)
}

fn names(names: &[&str]) -> Vec<MetricName> {
    names.iter().map(|name| samples::metric(name)).collect()
}

#[tokio::test]
async fn a_redelivery_with_other_open_metrics_asks_about_nothing_again() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let flow = flow(&provider).await;
    let entry = leased(&flow, "i").await.entry;
    hear(&flow.pipeline, entry.clone(), 0, Way::Queue).await.unwrap();
    assert_eq!(waiting(&flow).await.iter().map(|one| one.metrics.clone()).collect::<Vec<_>>(), [names(&["refusal", "toxicity"])]);

    // The queue has not heard of it, and meanwhile one of the two has its outcome.
    let judged = samples::judged(&entry.row, "refusal", 1.0);
    flow.pipeline.recorder.record(&[judged]).await.unwrap();
    let ended = hear(&flow.pipeline, entry, 0, Way::Queue).await.unwrap();
    assert!(ended.wait.is_none(), "it stays parked, and leaves the queue");
    let metrics: Vec<_> = waiting(&flow).await.into_iter().map(|one| one.metrics).collect();
    assert_eq!(metrics, [names(&["refusal", "toxicity"])], "no second member asks about toxicity");
    assert_eq!(provider.calls(), 0);
}

#[tokio::test]
async fn what_is_parked_with_another_stays_there_and_the_rest_is_parked() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let flow = flow(&provider).await;
    let entry = leased(&flow, "i").await.entry;
    hear(&flow.pipeline, entry.clone(), 0, Way::Queue).await.unwrap();
    let store = &flow.pipeline.batch.as_ref().unwrap().store;
    let whole = waiting(&flow).await.remove(0);
    store.finish(std::slice::from_ref(&whole.id)).await.unwrap();
    store.park(&[Member { id: "earlier".to_owned(), metrics: names(&["toxicity"]), ..whole }]).await.unwrap();

    hear(&flow.pipeline, entry, 0, Way::Queue).await.unwrap();
    let metrics: Vec<_> = waiting(&flow).await.into_iter().map(|one| one.metrics).collect();
    assert_eq!(metrics, [names(&["toxicity"]), names(&["refusal"])]);
}

#[tokio::test]
async fn what_went_back_to_the_queue_is_parked_and_what_came_from_a_batch_in_vain_is_asked() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let flow = flow(&provider).await;
    let entry = leased(&flow, "i").await.entry;
    hear(&flow.pipeline, entry.clone(), 1, Way::Queue).await.unwrap();
    let member = waiting(&flow).await.remove(0);
    assert_eq!((member.metrics.clone(), provider.calls()), (names(&["refusal", "toxicity"]), 0));

    hear(&flow.pipeline, entry, 1, Way::Live { id: member.id, metrics: member.metrics }).await.unwrap();
    assert!(provider.calls() > 0, "it is asked live");
    assert_eq!(waiting(&flow).await.len(), 1);
}

#[tokio::test]
async fn a_metric_that_may_wait_lets_no_other_grow_old() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let patient = "name = \"toxicity\"\ncascade = [\"gpt\"]\nmax_delay_hours = 12";
    let config = two(&provider).replacen("max_delay_hours = 12", "", 1).replace("packed = true", "");
    assert!(config.contains(patient), "{config}");
    let flow = Flow::open(&config).await.with_batches().await;
    let entry = leased(&flow, "i").await.entry;
    // Older than an hour, the limit here, and not than thirteen.
    flow.clock.0.advance(Duration::from_secs(3 * 3_600));
    hear(&flow.pipeline, entry.clone(), 0, Way::Queue).await.unwrap();
    let outcomes = async || flow.metrics("i").await.iter().map(|metric| metric.outcome).collect::<Vec<_>>();
    assert_eq!(outcomes().await, [Some(Outcome::Expired), None]);
    assert_eq!(waiting(&flow).await.iter().map(|one| one.metrics.clone()).collect::<Vec<_>>(), [names(&["toxicity"])]);
    flow.clock.0.advance(Duration::from_secs(11 * 3_600));
    hear(&flow.pipeline, entry, 0, Way::Queue).await.unwrap();
    assert_eq!((outcomes().await, provider.calls()), (vec![Some(Outcome::Expired); 2], 0));
}

#[tokio::test]
async fn members_that_no_batch_takes_are_asked_several_at_once() {
    let slow = Behaviour::score(1.0).latency(Duration::from_millis(200));
    let provider = FakeProvider::start(slow).await.unwrap();
    // No metric may wait any more: the judge takes no batches.
    let flow = Flow::open(&crate::harness::config(&provider, "", "[sampling]\nrate = 1.0")).await.with_batches().await;
    let lane = flow.pipeline.batch.as_ref().unwrap();
    let ids: Vec<String> = (0..6).map(|at| format!("i-{at}")).collect();
    for id in &ids {
        let entry = leased(&flow, id).await.entry;
        let member = Member {
            id: id.clone(),
            lane: Lane { provider: ProviderName::new("fake").unwrap(), model: "gpt-4o-2024-05-13".to_owned() },
            judge: samples::judge("gpt"),
            metrics: names(&["refusal"]),
            parked_at: entry.row.accepted_at,
            deadline: entry.row.accepted_at.plus(Duration::from_secs(12 * 3_600)),
            entry,
            retries: 0,
        };
        lane.store.park(&[member]).await.unwrap();
    }
    let all_are_judged = async {
        for id in &ids {
            eventually("it is judged", async || flow.metrics(id).await[0].outcome).await;
        }
        lane.stop.cancel();
    };
    tokio::join!(batch::run(&flow.pipeline), all_are_judged);
    assert_eq!((provider.calls(), provider.batches().submitted()), (6, 0));
    assert!(provider.in_flight_peak() > 1, "one after the other");
    assert_eq!(waiting(&flow).await.len(), 0);
}
