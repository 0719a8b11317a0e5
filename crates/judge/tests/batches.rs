//! The batch clients against a provider that keeps batches over HTTP: each request submitted once, found again, read whole, whatever the
//! files look like.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use assize_core::judge::{CallFailureKind, CalledJudge};
use assize_core::{Interaction, JudgeName, Timestamp};
use assize_judge::providers::batch::{BatchEnd, BatchRef, BatchRequest, BatchState, Found, ResultsReport, may_have_been_taken};
use assize_judge::providers::{self, Batches};
use assize_judge::spec::{ProviderSpec, Question};
use assize_judge::{ChatJudge, metrics};
use assize_testkit::provider::{Behaviour, Ending, FakeProvider, Oddities, Reply};
use secrecy::SecretString;
use serde_json::{Value, json};

const KEY: &str = "sk-test-0123456789abcdef";
const VENDORS: [(&str, &str); 2] = [("openai", "gpt-6-luna"), ("anthropic", "claude-haiku-4-5")];

struct World {
    vendor: &'static str,
    model: &'static str,
    provider: FakeProvider,
    batches: Arc<dyn Batches>,
}

impl World {
    async fn with(vendor: (&'static str, &'static str), behaviour: Behaviour) -> Self {
        let provider = FakeProvider::start(behaviour.key(KEY)).await.unwrap();
        let batches = open(vendor.0, &provider);
        Self { vendor: vendor.0, model: vendor.1, provider, batches }
    }

    fn requests(&self, ids: std::ops::Range<usize>) -> Vec<BatchRequest> {
        ids.map(|number| BatchRequest { custom_id: format!("item-{number}"), body: self.body(&interaction(number)) }).collect()
    }

    fn body(&self, item: &Interaction) -> Vec<u8> {
        // The judge that composes the call makes none, so it needs no host.
        let spec = json!({"name": "p", "kind": self.vendor, "base_url": "http://127.0.0.1:1/v1"});
        let client = providers::open(&serde_json::from_value(spec).unwrap(), None).unwrap();
        let chat = serde_json::from_value(json!({"provider": "p", "model": self.model})).unwrap();
        let judge = ChatJudge::open(&JudgeName::new("j").unwrap(), &chat, &[question()], client).unwrap();
        self.batches.body(&judge.call(item, &[0]).unwrap().request()).unwrap()
    }

    async fn ended(&self, batch: &BatchRef) -> BatchEnd {
        let mut polls = 0;
        loop {
            if let BatchState::Ended(end) = self.batches.poll(batch).await.unwrap().state {
                return end;
            }
            polls += 1;
            assert!(polls < 5, "it does not end");
        }
    }

    /// What each request scored or failed of, and what was odd.
    async fn collected(&self, batch: &BatchRef, n: usize) -> (BTreeMap<String, String>, ResultsReport) {
        let mut results = self.batches.results(batch, ids(n)).await.unwrap();
        let mut outcomes = BTreeMap::new();
        while let Some(result) = results.next().await.unwrap() {
            let outcome = match result.outcome {
                Ok(completion) => completion.text,
                Err(failure) => failure.kind.code().to_owned(),
            };
            assert_eq!(outcomes.insert(result.custom_id, outcome), None, "given twice");
        }
        (outcomes, results.finish())
    }
}

fn open(kind: &str, provider: &FakeProvider) -> Arc<dyn Batches> {
    let spec = json!({"name": "p", "kind": kind, "base_url": provider.base_url(), "timeout_seconds": 2});
    providers::open_batches(&serde_json::from_value(spec).unwrap(), Some(SecretString::from(KEY))).unwrap().unwrap()
}

fn question() -> Question {
    metrics::builtin("refusal").unwrap().question()
}

fn interaction(number: usize) -> Interaction {
    serde_json::from_value(json!({
        "id": "i", "project": "p", "time": 0, "input": [{"role": "user", "content": format!("question {number}?")}],
        "output": [{"role": "assistant", "content": format!("answer {number}.")}],
    }))
    .unwrap()
}

fn ids(n: usize) -> HashSet<String> {
    (0..n).map(|number| format!("item-{number}")).collect()
}

fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

/// Scores an item by its number.
fn by_number() -> Behaviour {
    Behaviour::with(|request| {
        let number = request.item.split("question ").nth(1).and_then(|rest| rest.split('?').next()?.parse::<f64>().ok());
        Reply::Score { score: number.unwrap() / 1000.0, reason: String::new() }
    })
    .usage(100, 10)
}

fn score(text: &str) -> f64 {
    serde_json::from_str::<Value>(text).unwrap()["score"].as_f64().unwrap()
}

#[tokio::test]
async fn a_batch_is_submitted_once_and_answers_every_request() {
    for vendor in VENDORS {
        let world = World::with(vendor, by_number()).await;
        world.provider.batches().end_after(Some(3));
        let requests = world.requests(0..1000);
        let before = now();
        let batch = world.batches.submit("run7_1", &requests).await.unwrap();
        assert_eq!(batch.marker, "run7_1");
        let status = world.batches.poll(&batch).await.unwrap();
        assert_eq!(status.state, BatchState::Waiting);
        let expires = status.expires_at.unwrap().since(before);
        assert!(expires > Duration::from_secs(86_390) && expires < Duration::from_secs(86_460));
        assert_eq!(world.batches.results(&batch, ids(1)).await.err().unwrap().kind, CallFailureKind::Rejected);
        assert_eq!(world.ended(&batch).await, BatchEnd::Completed);
        let status = world.batches.poll(&batch).await.unwrap();
        assert_eq!((status.counts.total, status.counts.succeeded, status.counts.failed), (1000, 1000, 0));

        let (outcomes, report) = world.collected(&batch, 1000).await;
        assert_eq!(report, ResultsReport { answered: 1000, ..ResultsReport::default() });
        for (id, text) in &outcomes {
            assert_eq!(format!("item-{}", (score(text) * 1000.0).round()), *id);
        }
        let fake = world.provider.batches();
        assert_eq!((fake.submitted(), fake.items(), fake.of_one_item_max()), (1, 1000, 1));
        assert!(fake.times_submitted().values().all(|times| *times == 1));
        assert_eq!(fake.times_submitted().len(), 1000);
        assert_eq!((world.provider.calls(), world.provider.billed()), (0, (100_000, 10_000)));
    }
}

#[tokio::test]
async fn a_line_carries_what_a_live_call_would_send_and_means_the_same() {
    for (kind, model) in VENDORS {
        let world = World::with((kind, model), Behaviour::score(0.5).usage(1000, 50)).await;
        let spec = json!({"name": "p", "kind": kind, "base_url": world.provider.base_url(), "timeout_seconds": 2});
        let spec: ProviderSpec = serde_json::from_value(spec).unwrap();
        let live = providers::open(&spec, Some(SecretString::from(KEY))).unwrap();
        let chat = serde_json::from_value(json!({"provider": "p", "model": model})).unwrap();
        let judge = ChatJudge::open(&JudgeName::new("j").unwrap(), &chat, &[question()], live).unwrap();
        let verdict = judge.attempt(&interaction(3), &[0]).await.remove(0).unwrap();

        let batch = world.batches.submit("m", &world.requests(3..4)).await.unwrap();
        assert_eq!(world.ended(&batch).await, BatchEnd::Completed);
        let called = world.provider.last_request().unwrap();
        assert_eq!(called.raw, world.body(&interaction(3)));
        assert!(world.provider.batches().were_sent(&called.raw), "byte for byte");
        assert_eq!(world.provider.batches().bodies()[0], called.body);

        let mut results = world.batches.results(&batch, HashSet::from(["item-3".to_owned()])).await.unwrap();
        let completion = results.next().await.unwrap().unwrap().outcome.unwrap();
        assert_eq!((completion.usage, completion.model), (verdict.usage, verdict.model));
        assert_eq!(score(&completion.text), verdict.score);
        assert!(results.next().await.unwrap().is_none());
    }
}

#[tokio::test]
async fn requests_fail_each_for_itself() {
    for vendor in VENDORS {
        let behaviour = Behaviour::with(|request| match request.item.contains("question 1?") {
            true => Reply::status(400),
            false if request.item.contains("question 2?") => Reply::status(500),
            false if request.item.contains("question 3?") => Reply::content("prose"),
            false => Reply::score(0.5),
        });
        let world = World::with(vendor, behaviour).await;
        let batch = world.batches.submit("m", &world.requests(0..5)).await.unwrap();
        assert_eq!(world.ended(&batch).await, BatchEnd::Completed);
        let status = world.batches.poll(&batch).await.unwrap();
        assert_eq!((status.counts.succeeded, status.counts.failed), (3, 2));
        let (outcomes, report) = world.collected(&batch, 5).await;
        assert_eq!(report, ResultsReport { answered: 5, ..ResultsReport::default() });
        assert_eq!((outcomes["item-1"].as_str(), outcomes["item-2"].as_str()), ("rejected", "provider_unavailable"));
        assert_eq!(outcomes["item-3"], "prose");
        assert_eq!(score(&outcomes["item-0"]), 0.5);
    }
}

#[tokio::test]
async fn a_batch_that_expires_or_is_cancelled_keeps_what_was_answered() {
    for vendor in VENDORS {
        let world = World::with(vendor, by_number()).await;
        world.provider.batches().end_after(None);
        for (ending, end, code) in [
            (Ending::Expire { answered: 2 }, BatchEnd::Expired, "timeout"),
            (Ending::Cancel { answered: 2 }, BatchEnd::Cancelled, "provider_unavailable"),
        ] {
            let batch = world.batches.submit("m", &world.requests(0..5)).await.unwrap();
            assert_eq!(world.batches.poll(&batch).await.unwrap().state, BatchState::Waiting);
            world.provider.batches().end(ending);
            assert_eq!(world.ended(&batch).await, end);
            let (outcomes, report) = world.collected(&batch, 5).await;
            assert_eq!(report, ResultsReport { answered: 5, ..ResultsReport::default() });
            assert_eq!(score(&outcomes["item-1"]), 0.001);
            assert!((2..5).all(|number| outcomes[&format!("item-{number}")] == code), "{outcomes:?}");
        }
        let batch = world.batches.submit("m2", &world.requests(0..2)).await.unwrap();
        world.batches.cancel(&batch).await.unwrap();
        assert_eq!(world.ended(&batch).await, BatchEnd::Cancelled);
        let (outcomes, _) = world.collected(&batch, 2).await;
        assert!(outcomes.values().all(|code| code == "provider_unavailable"));
    }
}

#[tokio::test]
async fn a_batch_that_is_refused_as_a_whole_says_why_and_costs_nothing() {
    let world = World::with(VENDORS[0], by_number()).await;
    world.provider.batches().fail(1);
    let batch = world.batches.submit("m", &world.requests(0..3)).await.unwrap();
    let status = world.batches.poll(&batch).await.unwrap();
    assert_eq!(status.state, BatchState::Ended(BatchEnd::Failed));
    assert_eq!(status.why.as_deref(), Some("invalid_json_line in line 1"));
    let (outcomes, report) = world.collected(&batch, 3).await;
    assert_eq!((outcomes.len(), report.missing), (0, vec!["item-0".into(), "item-1".into(), "item-2".into()]));
    assert_eq!(world.provider.billed(), (0, 0));
}

#[tokio::test]
async fn files_of_results_are_read_with_distrust() {
    for vendor in VENDORS {
        let world = World::with(vendor, by_number()).await;
        let batch = world.batches.submit("m", &world.requests(0..10)).await.unwrap();
        assert_eq!(world.ended(&batch).await, BatchEnd::Completed);
        let fake = world.provider.batches();
        fake.set_oddities(Oddities {
            reversed: true,
            missing: 2,
            duplicate: 3,
            unknown: 4,
            malformed: 5,
            long: 2,
            unterminated: true,
            ..Oddities::default()
        });
        let (outcomes, report) = world.collected(&batch, 10).await;
        assert_eq!(
            report,
            ResultsReport {
                answered: 8,
                missing: vec!["item-8".into(), "item-9".into()],
                duplicate: 3,
                unknown: 4,
                malformed: 7,
            }
        );
        assert_eq!(score(&outcomes["item-7"]), 0.007);
        // Lines about requests that are not asked for now are none of ours.
        fake.set_oddities(Oddities::default());
        let (outcomes, report) = world.collected(&batch, 3).await;
        assert_eq!((outcomes.len(), report.unknown, report.missing.len()), (3, 7, 0));
    }
}

#[tokio::test]
async fn a_connection_that_stalls_or_breaks_while_reading_says_so_and_reading_again_works() {
    for vendor in VENDORS {
        let world = World::with(vendor, by_number()).await;
        let batch = world.batches.submit("m", &world.requests(0..10)).await.unwrap();
        assert_eq!(world.ended(&batch).await, BatchEnd::Completed);
        let fake = world.provider.batches();
        fake.set_oddities(Oddities { stalled_after: Some(4), ..Oddities::default() });
        let mut results = world.batches.results(&batch, ids(10)).await.unwrap();
        for _ in 0..4 {
            assert!(results.next().await.unwrap().is_some());
        }
        let started = Instant::now();
        assert_eq!(results.next().await.unwrap_err().kind, CallFailureKind::Timeout);
        assert!(started.elapsed() > Duration::from_millis(1990) && started.elapsed() < Duration::from_secs(6));

        fake.set_oddities(Oddities { broken_after: Some(4), ..Oddities::default() });
        let mut results = world.batches.results(&batch, ids(10)).await.unwrap();
        let mut read = 0;
        let failure = loop {
            match results.next().await {
                Ok(Some(_)) => read += 1,
                Ok(None) => panic!("a broken file passed for a whole one"),
                Err(failure) => break failure,
            }
        };
        assert_eq!(failure.kind, CallFailureKind::Network);
        assert!(results.next().await.unwrap().is_none());
        let report = results.finish();
        assert!(read <= 4 && report.answered == read && report.missing.len() as u64 == 10 - read);
        world.provider.batches().set_oddities(Oddities::default());
        assert_eq!(world.collected(&batch, 10).await.1.answered, 10);
    }
}

/// A crash, or a lost answer, between submitting and recording: what is found again is not submitted twice.
#[tokio::test]
async fn a_submission_whose_answer_was_lost_is_found_by_its_marker() {
    for vendor in VENDORS {
        let world = World::with(vendor, by_number()).await;
        let fake = world.provider.batches();
        let other = world.batches.submit("another_1", &world.requests(100..101)).await.unwrap();
        let start = now();
        fake.lose_answers(1);
        let failure = world.batches.submit("run_1", &world.requests(0..20)).await.unwrap_err();
        assert!(may_have_been_taken(&failure), "{failure}");
        assert_eq!(fake.submitted(), 2, "taken all the same");

        // Another process, with nothing but what was on record.
        let restarted = open(world.vendor, &world.provider);
        let found = restarted.list("run_", start).await.unwrap();
        let batch = match (world.vendor, &found[..]) {
            ("openai", [Found { id, marker: Some(marker), .. }]) => BatchRef { id: id.clone(), marker: marker.clone() },
            // The other's batch cannot be told apart yet, except by its size.
            ("anthropic", [one, two]) => {
                assert_eq!((&one.marker, &two.marker, two.id == other.id), (&None, &None, true));
                assert_eq!((one.requests, two.requests), (Some(20), Some(1)));
                BatchRef { id: one.id.clone(), marker: "run_1".into() }
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(world.ended(&batch).await, BatchEnd::Completed);
        assert_eq!(world.ended(&other).await, BatchEnd::Completed);
        let found = restarted.list("run_", start).await.unwrap();
        assert_eq!(
            found.iter().map(|found| (found.id.as_str(), found.marker.as_deref())).collect::<Vec<_>>(),
            [(batch.id.as_str(), Some("run_1"))]
        );
        assert_eq!(world.collected(&batch, 20).await.1.answered, 20);
        assert_eq!((fake.submitted(), fake.of_one_item_max()), (2, 1), "nothing was submitted twice");
        // What a batch of ours holds is not taken for another's.
        let strangers = BatchRef { id: other.id, marker: "run_1".into() };
        assert_eq!(world.collected(&strangers, 20).await.1.answered, 0);
    }
}

#[tokio::test]
async fn lists_are_read_as_far_back_as_asked() {
    for vendor in VENDORS {
        let world = World::with(vendor, by_number()).await;
        let fake = world.provider.batches();
        for number in 0..3 {
            world.batches.submit(&format!("old_{number}"), &world.requests(0..1)).await.unwrap();
        }
        fake.backdate(7 * 86_400);
        let start = now();
        for number in 0..105 {
            world.batches.submit(&format!("new_{number}"), &world.requests(0..1)).await.unwrap();
        }
        fake.end(Ending::Complete);
        let found = world.batches.list("", start).await.unwrap();
        assert_eq!(found.len(), 105, "more than a page");
        assert_eq!(found[0].marker.as_deref(), Some("new_104"), "the newest first");
        assert!(found[0].created_at.since(start) < Duration::from_secs(600));
        assert_eq!(world.batches.list("new_7", start).await.unwrap().len(), 11);
        assert_eq!(world.batches.list("", start.minus(Duration::from_secs(8 * 86_400))).await.unwrap().len(), 108);
        assert_eq!(fake.of_one_item_max(), 108, "the fake notices what is submitted again");
    }
}

#[tokio::test]
async fn failures_of_the_api_itself() {
    for vendor in VENDORS {
        let world = World::with(vendor, by_number()).await;
        let unknown = BatchRef { id: "batch_unknown/../x".into(), marker: "m".into() };
        assert_eq!(world.batches.poll(&unknown).await.unwrap_err().kind, CallFailureKind::Rejected);
        assert_eq!(world.batches.cancel(&unknown).await.unwrap_err().kind, CallFailureKind::Rejected);
        let spec = json!({"name": "p", "kind": world.vendor, "base_url": world.provider.base_url(), "api_key_env": "THE_KEY"});
        let spec = serde_json::from_value(spec).unwrap();
        let wrong = providers::open_batches(&spec, Some(SecretString::from("wrong"))).unwrap().unwrap();
        let failure = wrong.submit("m", &world.requests(0..1)).await.unwrap_err();
        assert_eq!(failure.kind, CallFailureKind::Unauthorized);
        assert!(failure.message.contains("THE_KEY") && !may_have_been_taken(&failure));
        assert_eq!(wrong.list("m", now()).await.unwrap_err().kind, CallFailureKind::Unauthorized);
        for (status, kind, open) in [
            (429, CallFailureKind::RateLimited, false),
            (500, CallFailureKind::Unavailable, true),
            (529, CallFailureKind::Unavailable, true),
            (400, CallFailureKind::Rejected, false),
        ] {
            world.provider.batches().refuse_calls([status]);
            let failure = world.batches.submit("m", &world.requests(0..1)).await.unwrap_err();
            assert_eq!((failure.kind, may_have_been_taken(&failure)), (kind, open), "{failure}");
            // The provider's words may hold what is judged, and there is nothing to look for it by.
            assert!(!failure.message.contains("told"), "{failure}");
        }
        let twice = [world.requests(0..1), world.requests(0..1)].concat();
        assert_eq!(world.batches.submit("m", &twice).await.unwrap_err().kind, CallFailureKind::Rejected);
        assert_eq!(world.provider.batches().submitted(), 0);
    }
    for kind in ["gemini", "simulated"] {
        let mut spec = json!({"name": "p", "kind": kind});
        if kind == "gemini" {
            spec["base_url"] = json!("https://generativelanguage.googleapis.com/v1beta");
        }
        assert!(providers::open_batches(&serde_json::from_value(spec).unwrap(), None).unwrap().is_none());
    }
}
