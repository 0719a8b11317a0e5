//! Thresholds with a guarantee.

use super::*;

const CALIBRATE: [&str; 7] = ["calibrate", "--gold", "gold.jsonl", "--judge", "large", "--metric", "refusal"];

/// Of 400 interactions the judge is sure of the first 200, and right; of the others it knows nothing.
fn lines() -> Vec<Value> {
    (0..400).map(|n| gold(n, n % 2 == 0)).collect()
}

async fn provider() -> FakeProvider {
    judging(|n| match (n < 200, n % 2 == 0) {
        (true, true) => 1.0,
        (true, false) => 0.0,
        // A quarter right, a quarter wrong, each way.
        (false, _) => {
            if n % 4 < 2 {
                0.6
            } else {
                0.4
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sure_half_is_trusted() {
    let provider = provider().await;
    let files = Files::new();
    let report = judge(&files, &provider, &written(lines()), CALIBRATE).arg("--json").run().await.code(0).json();
    assert_eq!((provider.calls(), &report["calls"], &report["cost_usd"]), (400, &json!(400), &json!(400.0 * 0.00575)));
    assert_eq!((&report["confidence_from"], &report["source"]), (&json!("distance"), &json!("hand_picked")));
    assert_eq!((&report["items"], &report["clusters"], &report["needed_items"]), (&json!(400), &json!(400), &json!(45)));
    close(&report["agreement_untrusted"], 0.75);
    let trusted = &report["trusted"];
    close(&trusted["threshold"], 0.5);
    assert_eq!((&trusted["admitted"], &trusted["disagreements"]), (&json!(200), &json!(0)));
    close(&trusted["share"], 0.5);
    // None of 200: 1 - delta^(1/200).
    close(&trusted["bound"], 1.0 - 0.1_f64.powf(1.0 / 200.0));
    assert_eq!((&report["held_out"], &report["study"]), (&json!(null), &json!(null)));

    let ended = judge(&files, &provider, &written(lines()), CALIBRATE)
        .option("--split", "0.5")
        .option("--study", "100")
        .run()
        .await
        .code(0);
    for part in [
        "trust it from a confidence of 0.5000 on",
        "at least 95 %",
        "the distance of its score from 0.5",
        "held out: ",
        "100 random halves",
    ] {
        assert!(ended.stdout.contains(part), "{part:?} is not in\n{}", ended.stdout);
    }
    let command =
        judge(&files, &provider, &written(lines()), CALIBRATE).option("--split", "0.5").option("--study", "100").arg("--json");
    let report = command.run().await.code(0).json();
    let calibrated = report["calibration_items"].as_u64().unwrap();
    assert!((150..250).contains(&calibrated), "{calibrated}");
    assert_eq!(report["held_out"]["items"], 400 - calibrated);
    assert_eq!((&report["held_out"]["disagreements"], &report["held_out"]["agreement"]["value"]), (&json!(0), &json!(1.0)));
    let study = &report["study"];
    assert_eq!((&study["splits"], &study["violations"], &study["agreement"]), (&json!(100), &json!(0.0), &json!(1.0)));
    assert!((0.45..0.55).contains(&study["calls_saved"].as_f64().unwrap()), "{study}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_to_trust_is_said_plainly() {
    let provider = judging(|_| 1.0).await;
    let files = Files::new();
    let few = written((0..44).map(|n| gold(n, true)));
    let ended = judge(&files, &provider, &few, CALIBRATE).run().await.code(1);
    assert!(
        ended.stdout.contains("nothing can be trusted") && ended.stdout.contains("45 items are needed, and 44 calibrate"),
        "{}",
        ended.stdout
    );
    let enough = written((0..45).map(|n| gold(n, true)));
    judge(&files, &provider, &enough, CALIBRATE).run().await.code(0);
    let wrong = written((0..200).map(|n| gold(n, n % 3 == 0)));
    let ended = judge(&files, &provider, &wrong, CALIBRATE).run().await.code(1);
    assert!(ended.stdout.contains("disagree with the gold labels too often"), "{}", ended.stdout);
    let report = judge(&files, &provider, &wrong, CALIBRATE).arg("--json").run().await.code(1).json();
    assert_eq!(report["trusted"], json!(null));
    // With more errors allowed it may be.
    let ended = judge(&files, &provider, &wrong, CALIBRATE).option("--alpha", "0.8").run().await.code(0);
    assert!(ended.stdout.contains("at least 20 %"), "{}", ended.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_each_cluster_calibrates_and_drawn_lines_are_thinned() {
    let provider = judging(|_| 1.0).await;
    let files = Files::new();
    let lines = |count: usize, add: &dyn Fn(usize, &mut Value)| {
        written((0..count).map(|n| {
            let mut line = gold(n, true);
            add(n, &mut line);
            line
        }))
    };
    let clustered = lines(200, &|n, line| line["cluster"] = json!(format!("p{}", n / 5)));
    let report = judge(&files, &provider, &clustered, CALIBRATE).arg("--json").run().await.code(1).json();
    assert_eq!((&report["items"], &report["clusters"], &report["calibration_items"]), (&json!(200), &json!(40), &json!(40)));
    // Half at .1, half at .5: of these a fifth is left.
    let drawn = lines(1_000, &|n, line| line["probability"] = json!(if n % 2 == 0 { 0.1 } else { 0.5 }));
    let report = judge(&files, &provider, &drawn, CALIBRATE).arg("--json").run().await.code(0).json();
    let items = report["items"].as_u64().unwrap();
    assert!((550..650).contains(&items), "500 and about 100: {items}");
    assert_eq!(report["source"], "drawn");
    let calls = provider.calls();
    let mixed = lines(100, &|n, line| {
        if n % 2 == 0 {
            line["probability"] = json!(0.5);
        }
    });
    judge(&files, &provider, &mixed, CALIBRATE).run().await.code(2).says(&["50 lines have a `probability` and 50 have none"]);
    judge(&files, &provider, &drawn, CALIBRATE)
        .option("--alpha", "1")
        .run()
        .await
        .code(2)
        .says(&["--alpha", "above 0 and below 1"]);
    assert_eq!(provider.calls(), calls, "before anything is paid");
}
