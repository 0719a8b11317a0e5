//! `assize judge train`: a model and its card from labelled lines, used by `eval` right after; bad lines, bad files, bad settings.

use serde_json::{Value, json};

use crate::command::{Files, assize, line};

/// Words in a row; every second line holds one that makes it rude. No two are alike.
fn labelled(count: usize) -> String {
    let neutral = ["table", "river", "window", "garden", "number", "letter", "train", "coffee", "paper", "street"];
    let rude = ["gormless", "blockhead", "nitwit"];
    (0..count)
        .map(|n| {
            let words: Vec<&str> = (0..4).map(|at| neutral[(n / 10_usize.pow(at)) % 10]).collect();
            let more = if n % 2 == 0 { rude[n % 3] } else { neutral[n % 7] };
            let item = json!({"said": format!("{} {more}", words.join(" ")), "rude": n % 2 == 0, "source": if n % 5 == 0 { "mail" } else { "chat" }});
            format!("{item}\n")
        })
        .collect()
}

fn train(files: &Files, data: &str) -> crate::command::Assize {
    files.write("data.jsonl", data);
    let keys = ["--text-key", "said", "--label-key", "rude", "--bits", "12"];
    assize(["judge", "train", "--data", "data.jsonl", "--out", "rude.bin"].into_iter().chain(keys)).within(files.path())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_trained_described_and_used() {
    let files = Files::new();
    let data = labelled(600);
    files.write("elsewhere.jsonl", labelled(40));
    files.write("notes.md", "## What we saw\n\nIt knows three words.\n");
    let ended = train(&files, &data)
        .option("--license", "CC0-1.0")
        .option("--source", "made up | for this test")
        .option("--test-data", "elsewhere.jsonl")
        .option("--notes", "notes.md")
        .arg("--json")
        .run()
        .await
        .code(0);
    assert_eq!(ended.stderr, "", "no talk and no bar without a terminal");
    let said = ended.json();
    assert_eq!((&said["model"], &said["card_file"]), (&json!("rude.bin"), &json!("rude.md")));
    let card = &said["card"];
    assert_eq!((&card["name"], &card["data"]["licence"]), (&json!("rude"), &json!("CC0-1.0")));
    assert_eq!(card["data"]["examples"], 600);
    assert_eq!(card["data"]["blake3"], blake3::hash(data.as_bytes()).to_hex().as_str());
    let held_out = &card["report"]["held_out"];
    for figure in ["precision", "recall", "f1", "auc"] {
        assert!(held_out[figure].as_f64().unwrap() > 0.95, "{figure}: {held_out}");
    }
    assert!(held_out["ece"].as_f64().unwrap() < 0.15 && held_out["brier"].as_f64().unwrap() < 0.1, "{held_out}");
    let other: Vec<&str> = card["other_data"].as_array().unwrap().iter().map(|pair| pair[0].as_str().unwrap()).collect();
    assert_eq!(other, ["elsewhere", "elsewhere: chat", "elsewhere: mail"]);

    let written = files.read("rude.md");
    for wanted in [
        "# Model card: rude",
        "| Licence of the data | CC0-1.0 |",
        "made up \\| for this test",
        "It knows three words.",
        "## Known limits",
    ] {
        assert!(written.contains(wanted), "{wanted}: {written}");
    }
    let of_card: Value =
        serde_json::from_str(written.rsplit_once("```json\n").unwrap().1.split_once("\n```").unwrap().0).unwrap();
    assert_eq!(&of_card, card);
    let bytes = std::fs::read(files.at("rude.bin")).unwrap();
    assert_eq!(card["model_blake3"], blake3::hash(&bytes).to_hex().as_str());

    // The same seed, the same file; also over the old one.
    let ended = train(&files, &data).run().await.code(0);
    assert_eq!(std::fs::read(files.at("rude.bin")).unwrap(), bytes);
    for wanted in ["model\trude.bin\t", "card\trude.md", "AUC\t", "F1\t"] {
        assert!(ended.stdout.contains(wanted), "{}", ended.stdout);
    }

    files.write(
        "c.toml",
        "[sampling]\nrate = 1.0\n[[judge]]\nname = \"rude\"\nkind = \"linear\"\nmodel = \"rude.bin\"\n\
         [[metric]]\nname = \"rude\"\ncascade = [\"rude\"]\n",
    );
    files.write(
        "answers.jsonl",
        [line("a", "?", "You blockhead, the garden."), line("b", "?", "The garden, the river.")].concat(),
    );
    let eval = ["eval", "answers.jsonl", "--config", "c.toml", "--out", "out.jsonl", "--json"];
    assize(eval).within(files.path()).run().await.code(0);
    let mut outcomes: Vec<Value> =
        files.read("out.jsonl").lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
    outcomes.sort_by_key(|outcome| outcome["id"].to_string());
    let scores: Vec<f64> =
        outcomes.iter().map(|outcome| outcome["score"].as_f64().unwrap_or_else(|| panic!("{outcome}"))).collect();
    assert!(scores[0] > 0.7 && scores[1] < 0.3, "{outcomes:?}");
    assert!(outcomes[0]["reason"].as_str().unwrap().contains("blockhead"), "{outcomes:?}");

    // A damaged model is refused before anything is judged, and it is said which and what to do.
    let mut damaged = bytes;
    damaged[500] ^= 1;
    files.write("rude.bin", damaged);
    let eval = ["eval", "answers.jsonl", "--config", "c.toml"];
    assize(eval).within(files.path()).run().await.code(2).says(&["rude.bin", "checksum", "judge train"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_lines_are_named_by_number_and_passed_over_if_asked() {
    let files = Files::new();
    let mut lines: Vec<String> = labelled(300).lines().map(str::to_owned).collect();
    lines[6] = "{\"said\": \"private words\", \"rude\": 7}".to_owned();
    lines[9] = "private words".to_owned();
    lines[11] = String::new();
    let data = lines.join("\n");
    let ended = train(&files, &data).run().await.code(2).says(&["line 7", "line 10", "--skip-bad-lines"]);
    assert!(!ended.stderr.contains("private") && !ended.stderr.contains("line 12"), "{}", ended.stderr);
    assert!(!files.at("rude.bin").exists() && !files.at("rude.md").exists());
    let said = train(&files, &data).arg("--skip-bad-lines").arg("--json").run().await.code(0).says(&["line 7", "line 10"]).json();
    assert_eq!((&said["card"]["data"]["examples"], &said["card"]["data"]["bad_lines"]), (&json!(297), &json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_trained_says_why() {
    let files = Files::new();
    let data = labelled(300);
    train(&files, "").run().await.code(2).says(&["data.jsonl", "0 positive and 0 negative", "more examples"]);
    train(&files, &data.replace("true", "false")).run().await.code(2).says(&["0 positive"]);
    train(&files, &data).option("--label-key", "nosuch").run().await.code(2).says(&["cannot be used multiple times"]);
    train(&files, &data).option("--learning-rate", "0").run().await.code(2).says(&["learning rate = 0", "10 at the most"]);
    train(&files, &data).option("--rounds", "0").run().await.code(2).says(&["rounds = 0"]);
    train(&files, &data).option("--test-data", "nosuch.jsonl").run().await.code(2).says(&["nosuch.jsonl"]);
    train(&files, &data).option("--notes", "nosuch.md").run().await.code(2).says(&["nosuch.md"]);
    // What is there and no model is not written over.
    files.write("rude.bin", "my notes");
    train(&files, &data).run().await.code(2).says(&["rude.bin", "another path"]);
    assert_eq!(files.read("rude.bin"), "my notes");
    let to_markdown = ["judge", "train", "--data", "data.jsonl", "--out", "model.md"];
    assize(to_markdown).within(files.path()).run().await.code(2).says(&["model.bin"]);
    let missing = ["judge", "train", "--data", "nosuch.jsonl", "--out", "model.bin"];
    assize(missing).within(files.path()).run().await.code(2).says(&["nosuch.jsonl"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_explains_itself() {
    for command in [&["judge"][..], &["judge", "train"]] {
        let ended = assize(command.iter().copied()).arg("--help").run().await.code(0);
        let (_, examples) = ended.stdout.split_once("Example").unwrap_or_else(|| panic!("no example: {}", ended.stdout));
        assert!(examples.contains("assize judge train"), "{}", ended.stdout);
        assert!(ended.stdout.lines().all(|line| line.chars().count() <= 110), "{}", ended.stdout);
    }
}
