//! `assize demo`: the whole, as a newcomer meets it.

use assize_core::TokenUsage;
use assize_testkit::provider::{Behaviour, FakeProvider};
use serde_json::Value;

use crate::command::assize;

fn once() -> crate::command::Assize {
    assize(["demo", "--once", "--json", "--listen", "127.0.0.1:0"])
}

/// Every rate lies within its interval, and within what can be.
fn plausible(summary: &Value) {
    let projects = summary["projects"].as_object().unwrap();
    assert_eq!(projects.len(), 3);
    let mut rates = 0;
    for (project, metrics) in projects {
        for (metric, rate) in metrics.as_object().unwrap() {
            let Some(estimate) = rate["estimate"].as_f64() else { continue };
            let (low, high) = (rate["low"].as_f64().unwrap(), rate["high"].as_f64().unwrap());
            assert!(0.0 <= low && low <= estimate && estimate <= high && high <= 1.0, "{project} {metric}: {rate}");
            assert!(rate["judged"].as_u64() <= rate["population"].as_u64(), "{project} {metric}: {rate}");
            rates += 1;
        }
    }
    assert!(rates >= 12, "{summary:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_its_verdicts_are_simulated() {
    let ended = once().run().await.code(0).says(&["SIMULATED"]);
    let summary = ended.json();
    assert_eq!((&summary["pending"], &summary["simulated"]), (&Value::from(0), &Value::from(true)));
    assert!(summary["interactions"].as_u64().unwrap() >= 800, "{summary:#}");
    assert!(summary["calls"].as_u64().unwrap() > 100 && summary["cost_usd"].as_f64().unwrap() > 0.0);
    plausible(&summary);
    assert!(ended.stderr.lines().all(|line| !line.contains("ERROR") && !line.contains('\u{1b}')), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_key_the_real_provider_is_called() {
    let provider = FakeProvider::start(Behaviour::score(0.0).key("sk-test").usage(1_000, 50)).await.unwrap();
    let command = once().env("OPENAI_API_KEY", "sk-test").env("OPENAI_BASE_URL", &provider.base_url());
    let ended = command.run().await.code(0);
    let summary = ended.json();
    assert_eq!((&summary["pending"], &summary["simulated"]), (&Value::from(0), &Value::from(false)));
    assert!(!ended.stderr.contains("SIMULATED") && !ended.stderr.contains("sk-test"), "{}", ended.stderr);
    assert_eq!(summary["calls"].as_u64(), Some(provider.calls()), "every call is on record");
    assert!(provider.calls() > 100);
    let price = assize_judge::prices::built_in(&provider.last_request().unwrap().model).expect("a model whose price is known");
    let each = price.cost(&TokenUsage { input: 1_000, output: 50, cached_input: 0, ..TokenUsage::default() }).to_usd();
    let cost = provider.calls() as f64 * each;
    assert!(each > 0.0 && (summary["cost_usd"].as_f64().unwrap() - cost).abs() < 1e-6, "{} {cost}", summary["cost_usd"]);
    assert_eq!(provider.calls_of_one_item_max(), 1);
    plausible(&summary);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_with_its_data_gone() {
    let files = crate::command::Files::new();
    let mut server = assize(["demo", "--listen", "127.0.0.1:0"]).env("TMPDIR", files.path().to_str().unwrap()).serve().await;
    assert_eq!(std::fs::read_dir(files.path()).unwrap().count(), 1);
    let said = loop {
        let line = server.next_line().await;
        if line.starts_with("dashboard: ") {
            break line;
        }
    };
    assert!(said.contains(&server.url) && said.contains("/login?session="), "{said}");
    assert_eq!(server.stop().await.code(), Some(0));
    assert_eq!(std::fs::read_dir(files.path()).unwrap().count(), 0, "its temporary data is removed");
    // In the middle of the replay too.
    let server = assize(["demo", "--listen", "127.0.0.1:0"]).env("TMPDIR", files.path().to_str().unwrap()).serve().await;
    assert_eq!(server.stop().await.code(), Some(130));
    assert_eq!(std::fs::read_dir(files.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_port_says_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assize(["demo", "--once", "--listen", &address]).run().await.code(2).says(&[&address, "in use", "--listen"]);
}
