//! Recorded answers and labels, replayed: at rate 1 the recorded rate exactly, at rate 0.3 an interval that holds it.

use std::collections::HashMap;
use std::path::PathBuf;

use assize_testkit::provider::{Behaviour, FakeProvider, Reply, Request};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::harness::{Server, bill, config, nanos, time};

/// The records, or `None` where they are not there.
fn records() -> Option<Vec<Value>> {
    let directory = std::env::var_os("ASSIZE_SHARED_DATA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")), PathBuf::from);
    let path = directory.join("xstest.jsonl");
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()),
        Err(error) => {
            eprintln!("skipped: the XSTest replay needs {}: {error}", path.display());
            None
        }
    }
}

/// What GPT-4 is recorded to have said: labels beginning with `1_` are no refusal, all else is.
fn label(record: &Value) -> f64 {
    if record["gpt4"].as_str().unwrap_or_default().starts_with("1_") { 0.0 } else { 1.0 }
}

/// Answers by the id of the record, which stands in the instructions: the same question and answer occur more than once.
fn replay(records: &[Value]) -> Behaviour {
    let labels: HashMap<String, f64> =
        records.iter().map(|record| (record["id"].as_str().unwrap().to_owned(), label(record))).collect();
    Behaviour::with(move |request: &Request| {
        let id = request.item.split_once("record <").and_then(|(_, rest)| rest.split_once('>')).map(|(id, _)| id);
        id.and_then(|id| labels.get(id)).map_or(Reply::status(422), |score| Reply::score(*score))
    })
}

/// Key, estimate, low and high of each group, to the last digit: `serde_json` reads a number of 17 digits to the last but one.
fn exact(body: &[u8]) -> Vec<(String, [f64; 3])> {
    #[derive(serde::Deserialize)]
    struct Body<'b> {
        #[serde(borrow)]
        groups: Vec<Group<'b>>,
    }
    #[derive(serde::Deserialize)]
    struct Group<'b> {
        key: String,
        #[serde(borrow)]
        estimate: &'b RawValue,
        #[serde(borrow)]
        low: &'b RawValue,
        #[serde(borrow)]
        high: &'b RawValue,
    }
    let body: Body<'_> = serde_json::from_slice(body).unwrap();
    let figures = |group: &Group<'_>| [group.estimate, group.low, group.high].map(|figure| figure.get().parse().unwrap());
    body.groups.iter().map(|group| (group.key.clone(), figures(group))).collect()
}

async fn run(records: &[Value], rate: f64) -> (Server, FakeProvider) {
    let provider = FakeProvider::start(replay(records)).await.unwrap();
    let server = Server::start(&config(&provider, "concurrency = 32", &format!("[sampling]\nrate = {rate}"))).await;
    let items: Vec<Value> = records
        .iter()
        .enumerate()
        .map(|(index, record)| {
            json!({"id": record["id"], "model": record["model"], "input": record["prompt"], "output": record["completion"],
                   "system": format!("record <{}>", record["id"].as_str().unwrap()),
                   // Over three hours, since an estimate adds up hours.
                   "time": time(-3600 * (index as i64 % 3))})
        })
        .collect();
    for batch in items.chunks(250) {
        server.accept(batch.to_vec()).await;
    }
    (server, provider)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn judged_whole_the_rate_is_the_recorded_one() {
    let Some(records) = records() else { return };
    let (server, provider) = run(&records, 1.0).await;
    let n = records.len() as u64;
    assert_eq!(n, 2_250);
    let counts = server.settled("default", n).await;
    assert_eq!(counts[&("refusal".to_owned(), "judged".to_owned())], n);
    assert_eq!((provider.calls(), provider.calls_of_one_item_max()), (n, 1));
    let recorded = records.iter().map(label).sum::<f64>() / n as f64;
    let answer = server.get("/v1/estimates?metric=refusal").await;
    let groups = exact(&answer.body);
    assert_eq!(groups, [("all".to_owned(), [recorded; 3])], "{}", answer.text());
    let group = server.estimate("refusal").await;
    assert_eq!((&group["population"], &group["judged"], &group["calls"]), (&json!(n), &json!(n), &json!(n)));
    assert_eq!(nanos(&group["cost_usd"]), bill(&provider));
    let by_model = exact(&server.get("/v1/estimates?metric=refusal&group_by=model").await.body);
    assert_eq!(by_model.len(), 5);
    for (model, rates) in by_model {
        let of_model: Vec<f64> = records.iter().filter(|record| record["model"] == *model).map(label).collect();
        assert_eq!(rates, [of_model.iter().sum::<f64>() / of_model.len() as f64; 3], "{model}");
    }
    server.adds_up().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn judged_in_part_the_interval_holds_the_recorded_rate() {
    let Some(records) = records() else { return };
    let (server, provider) = run(&records, 0.3).await;
    let n = records.len() as u64;
    let counts = server.settled("default", n).await;
    let judged = counts[&("refusal".to_owned(), "judged".to_owned())];
    assert_eq!((provider.calls(), provider.calls_of_one_item_max()), (judged, 1));
    assert!((judged as f64 - 675.0).abs() < 5.0 * (n as f64 * 0.3 * 0.7).sqrt(), "{judged}");
    let recorded = records.iter().map(label).sum::<f64>() / n as f64;
    // The draw is another in every run: a level at which a run in a million is out of its interval.
    let body = server.get("/v1/estimates?metric=refusal&level=0.999999").await.expect(200);
    let group = &body["groups"][0];
    let part = |key: &str| group[key].as_f64().unwrap();
    assert!(part("low") <= recorded && recorded <= part("high"), "{recorded} is not within {group}");
    assert!(part("high") - part("low") < 0.2, "an interval that says nothing: {group}");
    assert_eq!((&group["population"], &group["judged"]), (&json!(n), &json!(judged)));
    server.adds_up().await;
}
