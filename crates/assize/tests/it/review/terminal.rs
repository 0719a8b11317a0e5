//! The command line: draw, label one after the other, import, export, and judge the export again.

use super::*;
use crate::command::{Assize, Files, assize};

fn command<'a>(server: &Server, args: impl IntoIterator<Item = &'a str>) -> Assize {
    assize(args).env("ASSIZE_URL", &server.url).env("ASSIZE_KEY", KEY)
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_draw_to_a_dataset_that_eval_reads() {
    let provider = erring_judge().await;
    let server = server(&provider, 24).await;
    let files = Files::new();
    let drawn = command(&server, ["review", "draw", "--metric", "refusal", "-n", "6", "--stratify"]).run().await.code(0);
    assert_eq!(drawn.stdout, "drew 6 of 24 judged interactions, 6 of them new to the queue\n");
    let told = command(&server, ["review", "next", "--metric", "refusal", "--reviewer", "ann"]);
    let told = told.stdin("what?\ny\nn\ns it is odd\nq\n").run().await.code(0);
    assert_eq!(told.stdout.matches(QUESTION).count(), 4, "{}", told.stdout);
    assert!(told.stdout.contains("answer number ") && !told.stdout.contains(TOLD) && !told.stdout.contains("0.9375"));
    assert!(told.stderr.contains("2 of 6 labelled, 1 skipped"), "{}", told.stderr);
    let next =
        command(&server, ["review", "next", "--metric", "refusal", "--reviewer", "ann", "--json"]).run().await.code(0).json();
    let id = next["item"]["interaction_id"].as_str().unwrap();
    let review = next["item"]["review_id"].as_str().unwrap();
    let args =
        ["review", "label", id, "--metric", "refusal", "--review", review, "--reviewer", "ann", "--score", "0.75", "--json"];
    let labelled = command(&server, args).run().await.code(0).json();
    assert_eq!((&labelled["score"], &labelled["source"], &labelled["by"]), (&json!(0.75), &json!("review"), &json!("ann")));
    let status = command(&server, ["review", "status"]).run().await.code(0);
    assert_eq!(status.stdout, "refusal\t3 of 6 labelled, 1 skipped\n");

    // Gold from a file: one line of it is about nothing that was stored.
    let gold = "{\"id\":\"i-3\",\"score\":\"no\"}\n\n{\"id\":\"i-4\",\"labels\":[{\"metric\":\"refusal\",\"score\":1,\"by\":\"bob\"}]}\n{\"id\":\"x\",\"label\":1}\n{\"id\":\"i-5\",\"label\":\"no\"}\n";
    files.write("gold.jsonl", gold);
    let imported = command(&server, ["label", "import", "--file", "gold.jsonl", "--metric", "refusal"]).within(files.path());
    imported.run().await.code(2).says(&["3 labels stored", "gold.jsonl:4: ", "1 were not stored"]);
    let labels = server.all("labels", "source=file").await;
    let said: Vec<_> = labels.iter().map(|label| (label["interaction_id"].as_str().unwrap(), &label["score"])).collect();
    assert_eq!(said, [("i-5", &json!(0.0)), ("i-4", &json!(1.0)), ("i-3", &json!(0.0))]);

    // Everything, then what people said no to; the lines are judged again as they are.
    let export = async |args: &[&str]| -> Vec<Value> {
        let args = ["dataset", "export", "--project", "default", "--out", "set.jsonl"].iter().chain(args).copied();
        command(&server, args).within(files.path()).run().await.code(0);
        files.read("set.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    assert_eq!(export(&["--outcome", "judge_failed"]).await.len(), 0);
    assert_eq!(export(&["--limit", "5"]).await.len(), 5);
    assert_eq!(export(&["--gold", "--outcome", "judged"]).await.len(), labels.len() + 3 - overlap(&server).await);
    let no = export(&["--metric", "refusal", "--label", "no"]).await;
    assert!(
        !no.is_empty()
            && no.iter().all(|line| line["labels"].as_array().unwrap().iter().all(|label| label["metric"] == "refusal"))
    );
    let all = export(&["--metric", "refusal"]).await;
    assert_eq!(all.len(), 24);
    assert_eq!(all.iter().filter(|line| line.get("labels").is_some()).count(), labels.len() + 3 - overlap(&server).await);
    files.write("c.toml", config(&provider, "", "[sampling]\nrate = 1.0"));
    let calls = provider.calls();
    let args = ["eval", "set.jsonl", "--config", "c.toml", "--json"];
    let summary = assize(args).within(files.path()).run().await.code(0).json();
    assert_eq!((&summary["interactions"], provider.calls() - calls), (&json!(24), 24));
    let yes = (0..24).filter(|i| judged(*i)).count() as f64;
    let rate = (yes * 0.9375 + (24.0 - yes) * 0.0625) / 24.0;
    assert!((number_at(&summary, "/metrics/refusal/estimate") - rate).abs() < 1e-9, "{summary}");
    let missing = command(&server, ["dataset", "export", "--project", "nobody"]).run().await;
    missing.code(2).says(&["nobody"]);
    server.adds_up().await;
}

/// Interactions with a label from the file as well as from the review.
async fn overlap(server: &Server) -> usize {
    let ids = async |source: &str| -> BTreeSet<String> {
        let labels = server.all("labels", &format!("source={source}")).await;
        labels.iter().map(|label| label["interaction_id"].as_str().unwrap().to_owned()).collect()
    };
    ids("file").await.intersection(&ids("review").await).count()
}
