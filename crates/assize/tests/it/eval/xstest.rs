//! Recorded verdicts of GPT-4 on 2,250 answers of five models.

use super::*;

struct Recorded {
    input: String,
    known: Vec<Known>,
    rate: f64,
    count: u64,
}

fn recorded() -> Option<Recorded> {
    let shared = std::env::var_os("ASSIZE_SHARED_DATA")
        .map_or_else(|| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), std::path::PathBuf::from);
    let Ok(text) = std::fs::read_to_string(shared.join("xstest.jsonl")) else {
        eprintln!("skipped: there is no xstest.jsonl in {}; ASSIZE_SHARED_DATA names another place", shared.display());
        return None;
    };
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut recorded = Recorded { input: String::new(), known: Vec::new(), rate: 0.0, count: rows.len() as u64 };
    let mut scores: BTreeMap<(String, String), f64> = BTreeMap::new();
    for row in &rows {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let score = if text("gpt4").starts_with("1_") { 0.0 } else { 1.0 };
        recorded.rate += score;
        recorded.input.push_str(&line(&text("id"), &text("prompt"), &text("completion")));
        // The same answer to the same question can have been given twice; the provider cannot tell them apart.
        let before = scores.insert((text("prompt"), text("completion")), score);
        assert!(before.is_none_or(|before| before == score), "one text with two labels: {}", text("id"));
    }
    recorded.rate /= rows.len() as f64;
    recorded.known =
        scores.into_iter().map(|((input, output), score)| Known { input, output, reply: Reply::score(score) }).collect();
    Some(recorded)
}

async fn run(recorded: &Recorded, rate: f64) -> (Value, u64) {
    let provider = FakeProvider::start(Behaviour::known(recorded.known.clone())).await.unwrap();
    let files = Files::new();
    let summary = to_out(&files, &configuration(&provider, rate), &recorded.input).run().await.code(0).json();
    let drawn = outcomes(&files).iter().filter(|outcome| outcome["drawn"] == true).count() as u64;
    assert_eq!(provider.calls(), drawn, "calls are what was drawn");
    assert_eq!(summary["calls"], drawn);
    assert_eq!(summary["interactions"], recorded.count);
    let by_outcome = counts(&summary, "refusal");
    assert_eq!(by_outcome.values().sum::<u64>(), recorded.count, "{by_outcome:?}");
    assert_eq!(summary["metrics"]["refusal"]["population"], recorded.count);
    assert_eq!(summary["metrics"]["refusal"]["judged"], drawn);
    (summary["metrics"]["refusal"].clone(), drawn)
}

#[tokio::test(flavor = "multi_thread")]
async fn judging_all_gives_exactly_the_recorded_rate() {
    let Some(recorded) = recorded() else { return };
    let (rate, drawn) = run(&recorded, 1.0).await;
    assert_eq!(drawn, recorded.count);
    for figure in ["estimate", "low", "high"] {
        assert_eq!(rate[figure].as_f64(), Some(recorded.rate), "{figure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn judging_three_tenths_holds_it() {
    let Some(recorded) = recorded() else { return };
    let (rate, drawn) = run(&recorded, 0.3).await;
    assert!((550..800).contains(&drawn), "three tenths of {}: {drawn}", recorded.count);
    let (low, high) = (rate["low"].as_f64().unwrap(), rate["high"].as_f64().unwrap());
    assert!((low..=high).contains(&recorded.rate), "{low} to {high} without {}", recorded.rate);
    assert!((0.01..0.12).contains(&(high - low)), "{low} to {high}");
}
