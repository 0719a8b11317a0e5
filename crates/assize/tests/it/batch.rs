//! Providers' batches: what goes into them, what they cost, and that nothing is submitted or paid twice whatever happens on the way.

use assize_testkit::provider::{Behaviour, Ending, FakeProvider, Oddities, Reply, Request};
use serde_json::json;

use crate::harness::{Server, count, eventually, item, nanos};

/// A verdict may take twelve hours; batches are made after a second and asked after every second.
fn config(provider: &FakeProvider, rest: &str) -> String {
    let ways = "cascade = [\"words\", \"gpt\"]\nmax_delay_hours = 12";
    let soon = format!("[sampling]\nrate = 1.0\n[batch]\nlinger_seconds = 1\npoll_seconds = 1\n{rest}");
    crate::harness::config(provider, "", &soon).replace("cascade = [\"words\", \"gpt\"]", ways)
}

fn thirds(request: &Request) -> Reply {
    Reply::score(if request.item.contains("yes") { 1.0 } else { 0.0 })
}

async fn send(server: &Server, ids: std::ops::Range<usize>) {
    let text = |i: usize| format!("{} {i}", if i.is_multiple_of(3) { "yes" } else { "no" });
    for first in ids.clone().step_by(200) {
        let items = (first..(first + 200).min(ids.end)).map(|i| item(&format!("i-{i}"), &text(i)));
        server.accept(items.collect()).await;
    }
}

#[tokio::test]
async fn a_thousand_items_killed_twice_are_submitted_once_each() {
    let provider = FakeProvider::start(Behaviour::with(thirds)).await.unwrap();
    let batches = provider.batches();
    batches.end_after(None);
    // Whoever submits is killed before it hears that the batch was taken.
    batches.lose_answers(1);
    let mut server = Server::start(&config(&provider, "")).await;
    send(&server, 0..1000).await;
    eventually("a batch that was taken and not acknowledged", async || (batches.submitted() > 0).then_some(())).await;
    server.kill();
    server.start_again().await;
    eventually("all is submitted", async || (batches.items() == 1000).then_some(())).await;
    assert_eq!(batches.of_one_item_max(), 1, "what was taken is found again and not submitted anew");

    // Killed again while it reads the answers.
    batches.end(Ending::Complete);
    eventually("some are judged", async || {
        let (_, counts) = server.outcomes("default").await;
        (count(&counts, "refusal", "judged") > 0).then_some(())
    })
    .await;
    server.kill();
    server.start_again().await;
    eventually("the rest ends as well", async || {
        batches.end(Ending::Complete);
        let (_, counts) = server.outcomes("default").await;
        (count(&counts, "refusal", "judged") == 1000).then_some(())
    })
    .await;
    assert_eq!((batches.items(), batches.of_one_item_max(), provider.calls()), (1000, 1, 0));

    let group = server.estimate("refusal").await;
    assert!((group["estimate"].as_f64().unwrap() - 0.334).abs() < 1e-9, "{group}");
    // Half of what live calls of as many tokens cost.
    let spend = server.get("/v1/spend").await.expect(200)["total"].clone();
    let (input, output) = (spend["input_tokens"].as_u64().unwrap(), spend["output_tokens"].as_u64().unwrap());
    assert_eq!((&spend["calls"], &spend["failed_calls"]), (&json!(1000), &json!(0)));
    assert_eq!(nanos(&spend["cost_usd"]), (input * 5_000 + output * 15_000) / 2);
    server.adds_up().await;
}

#[tokio::test]
async fn what_a_batch_leaves_out_goes_into_the_next() {
    let provider = FakeProvider::start(Behaviour::with(thirds)).await.unwrap();
    let batches = provider.batches();
    batches.end_after(None);
    batches.set_oddities(Oddities { missing: 2, duplicate: 1, unknown: 2, malformed: 1, ..Oddities::default() });
    let server = Server::start(&config(&provider, "")).await;
    send(&server, 0..30).await;
    eventually("all is submitted", async || (batches.items() == 30).then_some(())).await;
    eventually("all is judged in the end", async || {
        batches.end(Ending::Complete);
        let (_, counts) = server.outcomes("default").await;
        if count(&counts, "refusal", "judged") > 0 {
            batches.set_oddities(Oddities::default());
        }
        (count(&counts, "refusal", "judged") == 30).then_some(())
    })
    .await;
    assert_eq!(provider.calls(), 0, "nothing was asked live");
    assert!(batches.submitted() >= 2);
    server.adds_up().await;
}

#[tokio::test]
async fn a_batch_that_is_refused_is_asked_one_by_one() {
    let provider = FakeProvider::start(Behaviour::with(thirds)).await.unwrap();
    provider.batches().fail(1);
    let server = Server::start(&config(&provider, "")).await;
    send(&server, 0..20).await;
    let counts = server.settled("default", 20).await;
    assert_eq!((count(&counts, "refusal", "judged"), provider.calls()), (20, 20));
    server.adds_up().await;
}

#[tokio::test]
async fn a_batch_that_expires_is_submitted_again() {
    let provider = FakeProvider::start(Behaviour::with(thirds)).await.unwrap();
    let batches = provider.batches();
    batches.end_after(None);
    let server = Server::start(&config(&provider, "")).await;
    send(&server, 0..20).await;
    eventually("all is submitted", async || (batches.items() == 20).then_some(())).await;
    batches.end(Ending::Expire { answered: 5 });
    eventually("it is submitted again", async || (batches.submitted() > 1).then_some(())).await;
    batches.end_after(Some(1));
    batches.end(Ending::Complete);
    let counts = server.settled("default", 20).await;
    assert_eq!((count(&counts, "refusal", "judged"), provider.calls()), (20, 0));
    server.adds_up().await;
}
