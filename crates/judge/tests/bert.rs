//! Local classifiers: tiny models with random weights, whose logits `transformers` computed (`fixtures/bert/make.py`), and folders
//! in which something is wrong.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use assize_core::interaction::{Flags, Message, Role};
use assize_core::judge::CalledJudge;
use assize_core::{Interaction, InteractionId, JudgeName, NanoUsd, ProjectName, Timestamp, Verdict};
use assize_judge::bert::{self, BertSpec, EmbedSettings, Embedder};
use assize_judge::spec::Field;
use serde_json::Value;

const KINDS: [&str; 3] = ["bert", "distilbert", "roberta"];

fn fixture(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bert").join(kind)
}

fn interaction(input: &str, output: &str) -> Interaction {
    Interaction {
        id: InteractionId::new("i").unwrap(),
        project: ProjectName::new("p").unwrap(),
        time: Timestamp(0),
        conversation_id: None,
        model: None,
        prompt_version: None,
        environment: None,
        system: None,
        input: vec![Message::new(Role::User, input)],
        output: vec![Message::new(Role::Assistant, output)],
        context: Vec::new(),
        reference: None,
        tags: Default::default(),
        usage: None,
        flags: Flags::default(),
    }
}

fn name() -> JudgeName {
    JudgeName::new("local").unwrap()
}

/// The fixture of `kind` as a judge of its label at `label`.
fn spec(kind: &str, label: usize) -> BertSpec {
    let config: Value = serde_json::from_slice(&std::fs::read(fixture(kind).join("config.json")).unwrap()).unwrap();
    let label = config["id2label"][label.to_string()].as_str().map_or_else(|| format!("LABEL_{label}"), str::to_owned);
    BertSpec { label: Some(label), max_tokens: Some(40), ..BertSpec::new(fixture(kind)) }
}

async fn ask(judge: &Arc<dyn CalledJudge>, input: &str, output: &str) -> Verdict {
    let mut verdicts = judge.attempt(&interaction(input, output), &[0]).await;
    assert_eq!(verdicts.len(), 1);
    verdicts.remove(0).unwrap()
}

fn score(logits: &[f64], label: usize, softmax: bool) -> f64 {
    if softmax {
        logits[label].exp() / logits.iter().map(|logit| logit.exp()).sum::<f64>()
    } else {
        1.0 / (1.0 + (-logits[label]).exp())
    }
}

#[tokio::test]
async fn scores_are_those_of_the_reference_implementation() {
    for kind in KINDS {
        let expected: Value = serde_json::from_slice(&std::fs::read(fixture(kind).join("expected.json")).unwrap()).unwrap();
        assert_eq!(expected["max_tokens"], 40);
        let (mut single, mut pairs) = (0, 0);
        for case in expected["cases"].as_array().unwrap() {
            let logits: Vec<f64> = case["logits"].as_array().unwrap().iter().map(|logit| logit.as_f64().unwrap()).collect();
            let a = case["a"].as_str().unwrap();
            for label in 0..logits.len() {
                let mut spec = spec(kind, label);
                let (input, output) = match case["b"].as_str() {
                    Some(b) => {
                        spec.field = Field::Both;
                        pairs += 1;
                        (a, b)
                    }
                    None => {
                        single += 1;
                        ("something else", a)
                    }
                };
                let judge = bert::open(&name(), &spec, 1).unwrap();
                let verdict = ask(&judge, input, output).await;
                if a.is_empty() && case["b"].is_null() {
                    assert_eq!((verdict.score, verdict.reason.as_str()), (0.0, "there is no text to read"));
                    continue;
                }
                let expected = score(&logits, label, kind != "distilbert");
                assert!((verdict.score - expected).abs() < 1e-5, "{kind} {a:?}: {} is not {expected}", verdict.score);
                assert_eq!(verdict.confidence, Some(verdict.score.max(1.0 - verdict.score)));
                let cut = verdict.reason.contains("of a longer text 40 tokens were read");
                assert!(!cut || case["tokens"] == 40, "{kind} {a:?}: {}", verdict.reason);
                assert!(cut || !a.starts_with("long"), "{kind} {a:?}: {}", verdict.reason);
            }
        }
        assert!(single >= 20 && (kind == "distilbert" || pairs >= 10), "{kind}: {single} and {pairs}");
    }
}

#[tokio::test]
async fn the_labels_of_a_verdict_are_the_models() {
    let judge = bert::open(&name(), &spec("bert", 2), 3).unwrap();
    assert_eq!(judge.versions().len(), 3);
    assert!(judge.versions().iter().all(|version| version == &judge.versions()[0]), "its training is its question");
    assert_eq!((judge.model(), judge.provider().as_str()), ("bert", "local"));
    let verdicts = judge.attempt(&interaction("", "You are a horrible person and nobody likes you!"), &[2, 0]).await;
    let [Ok(first), Ok(second)] = verdicts.as_slice() else { panic!("two verdicts were expected") };
    assert_eq!(first, second, "the text is read once");
    assert_eq!((first.label.as_deref(), first.cost, first.usage), (Some("offensive"), Some(NanoUsd(0)), None));
    assert!(first.reason.starts_with("offensive 0.") && first.reason.contains("hateful 0."), "{}", first.reason);
    // Labels that do not exclude each other: none may be given.
    let judge = bert::open(&name(), &spec("distilbert", 1), 1).unwrap();
    let verdict = ask(&judge, "", "tabs\tand\nnewlines\r\nand \u{0}\u{7} control characters").await;
    assert!(verdict.score < 0.1 && verdict.label.is_none(), "{verdict:?}");
}

#[tokio::test]
async fn many_at_once_get_their_own_answers() {
    let spec = BertSpec { threads: 2, batch_max: 4, ..spec("roberta", 1) };
    let judge = bert::open(&name(), &spec, 1).unwrap();
    let texts: Vec<String> = (0..12).map(|at| format!("nobody {}", "likes the lazy fox ".repeat(at))).collect();
    let mut alone = Vec::new();
    for text in &texts {
        alone.push(ask(&judge, "", text).await.score);
    }
    assert!(alone.windows(2).any(|pair| (pair[0] - pair[1]).abs() > 1e-3), "the texts differ: {alone:?}");
    let mut asked = tokio::task::JoinSet::new();
    for at in 0..240 {
        let later = |judge: &Arc<dyn CalledJudge>| {
            let (judge, text) = (Arc::clone(judge), texts[at % texts.len()].clone());
            async move { (at, ask(&judge, "", &text).await.score) }
        };
        asked.spawn(later(&judge));
        // Some give up; the others must not wait for them.
        if at % 5 == 0 {
            asked.spawn(later(&judge)).abort();
        }
    }
    let mut answered = 0;
    while let Some(result) = asked.join_next().await {
        let Ok((at, score)) = result else { continue };
        answered += 1;
        assert!((score - alone[at % texts.len()]).abs() < 1e-5, "{at}");
    }
    assert!(answered >= 240);
}

#[tokio::test]
async fn hostile_texts_cost_little_and_get_a_score() {
    let texts = [
        "x".repeat(1 << 20),
        "lorem ipsum dolor ".repeat(60_000),
        " ".repeat(1 << 20) + ".",
        "🙂".repeat(100_000),
        (0..32).map(char::from).collect::<String>().repeat(2_000),
        "\u{200d}\u{202e}\u{feff}".repeat(5_000),
        "[SEP] [CLS] </s> ".repeat(3_000),
        "日本語".repeat(50_000),
        "a\u{301}".repeat(100_000),
    ];
    for kind in KINDS {
        let judge = bert::open(&name(), &BertSpec { field: Field::Both, ..spec(kind, 1) }, 1).unwrap();
        for text in &texts {
            let begin: String = text.chars().take(5).collect();
            let started = Instant::now();
            for (input, output) in [(text.as_str(), text.as_str()), ("", text), (text, "")] {
                let verdict = ask(&judge, input, output).await;
                assert!((0.0..=1.0).contains(&verdict.score) && verdict.score > 0.0, "{kind} {begin:?}");
            }
            assert!(started.elapsed() < Duration::from_secs(20), "{kind} {begin:?} took {:?}", started.elapsed());
        }
    }
    // The end of a long text counts, and what spells a special token is a text like another.
    let judge = bert::open(&name(), &spec("bert", 1), 1).unwrap();
    let filler = "the quick brown fox ".repeat(60_000);
    let plain = ask(&judge, "", &filler).await;
    let other = ask(&judge, "", &format!("{filler} nobody likes you!")).await;
    assert!((plain.score - other.score).abs() > 1e-3 && plain.reason.contains("40 tokens were read"), "{}", plain.reason);
    let spelled = ask(&judge, "", "the cat [SEP]").await;
    let judge = bert::open(&name(), &BertSpec { field: Field::Both, ..spec("bert", 1) }, 1).unwrap();
    assert!((spelled.score - ask(&judge, "the cat", "").await.score).abs() > 1e-6);
}

#[test]
fn the_version_follows_what_decides_an_answer() {
    let version = |spec: &BertSpec| bert::open(&name(), spec, 1).unwrap().versions()[0].clone();
    let spec = spec("bert", 1);
    let copied = copy("bert");
    let same = [
        spec.clone(),
        BertSpec { threads: 2, batch_max: 3, ..spec.clone() },
        BertSpec { folder: copied.path().to_owned(), ..spec.clone() },
    ];
    assert!(same.iter().all(|other| version(other) == version(&spec)));
    let changed = copy("bert");
    edit_weights(changed.path(), |_, data| data[0] ^= 1);
    let others = [
        BertSpec { label: Some("neutral".into()), ..spec.clone() },
        BertSpec { field: Field::Both, ..spec.clone() },
        BertSpec { max_tokens: Some(39), ..spec.clone() },
        BertSpec { folder: changed.path().to_owned(), ..spec.clone() },
        self::spec("roberta", 1),
    ];
    let mut versions: Vec<_> = others.iter().chain([&spec]).map(version).collect();
    versions.sort();
    versions.dedup();
    assert_eq!(versions.len(), 6);
}

/// A copy of a fixture, to be spoilt.
fn copy(kind: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(fixture(kind).join(file), folder.path().join(file)).unwrap();
    }
    folder
}

fn edit_json(folder: &Path, file: &str, change: impl FnOnce(&mut Value)) {
    let path = folder.join(file);
    let mut json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut json);
    std::fs::write(path, json.to_string()).unwrap();
}

/// Changes the table in front of the weights, and the numbers after it.
fn edit_weights(folder: &Path, change: impl FnOnce(&mut Value, &mut Vec<u8>)) {
    let path = folder.join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let mut table: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let mut data = bytes[8 + length..].to_vec();
    change(&mut table, &mut data);
    let table = table.to_string();
    let written = [&(table.len() as u64).to_le_bytes()[..], table.as_bytes(), &data].concat();
    std::fs::write(path, written).unwrap();
}

/// Where the first number of a tensor lies.
fn offset(table: &Value, tensor: &str) -> usize {
    usize::try_from(table[tensor]["data_offsets"][0].as_u64().unwrap()).unwrap()
}

const QUERY: &str = "bert.encoder.layer.1.attention.self.query.weight";

#[test]
fn a_folder_in_which_something_is_wrong_is_refused_by_file() {
    type Spoil = fn(&Path);
    let cases: &[(Spoil, &str, &[&str])] = &[
        (|f| std::fs::remove_file(f.join("config.json")).unwrap(), "config.json", &["missing", "copy it"]),
        (|f| std::fs::remove_file(f.join("tokenizer.json")).unwrap(), "tokenizer.json", &["missing"]),
        (
            |f| {
                std::fs::remove_file(f.join("tokenizer.json")).unwrap();
                std::fs::write(f.join("vocab.txt"), "a").unwrap();
            },
            "tokenizer.json",
            &["missing", "AutoTokenizer"],
        ),
        (|f| std::fs::remove_file(f.join("model.safetensors")).unwrap(), "model.safetensors", &["missing"]),
        (
            |f| std::fs::rename(f.join("model.safetensors"), f.join("pytorch_model.bin")).unwrap(),
            "model.safetensors",
            &["missing", "another format"],
        ),
        (
            |f| std::fs::rename(f.join("model.safetensors"), f.join("model.safetensors.index.json")).unwrap(),
            "model.safetensors",
            &["missing", "several files"],
        ),
        (
            |f| {
                std::fs::remove_file(f.join("model.safetensors")).unwrap();
                std::fs::create_dir(f.join("model.safetensors")).unwrap();
            },
            "model.safetensors",
            &["not a file"],
        ),
        (|f| std::fs::write(f.join("config.json"), "{").unwrap(), "config.json", &["configuration"]),
        (|f| std::fs::write(f.join("config.json"), " ".repeat(2 << 20)).unwrap(), "config.json", &["2097152 bytes"]),
        (|f| edit_json(f, "config.json", |c| c["model_type"] = "t5".into()), "config.json", &["t5", "distilbert"]),
        (
            |f| edit_json(f, "config.json", |c| c["hidden_size"] = 1_000_000_000_u64.into()),
            "config.json",
            &["hidden_size", "4096"],
        ),
        (
            |f| edit_json(f, "config.json", |c| c["num_hidden_layers"] = 64.into()),
            "model.safetensors",
            &["no tensor", "layer.2."],
        ),
        (|f| edit_json(f, "config.json", |c| c["intermediate_size"] = 16_384.into()), "model.safetensors", &["shape", "16384"]),
        (
            |f| edit_json(f, "config.json", |c| c["max_position_embeddings"] = 47.into()),
            "model.safetensors",
            &["position", "[47, 16]"],
        ),
        (
            |f| edit_json(f, "config.json", |c| c["id2label"] = serde_json::json!({"0": "a", "1": "b"})),
            "config.json",
            &["2 labels", "has 3"],
        ),
        (|f| edit_json(f, "config.json", |c| c["problem_type"] = "regression".into()), "config.json", &["regression"]),
        (|f| std::fs::write(f.join("tokenizer.json"), "{}").unwrap(), "tokenizer.json", &["tokenizer"]),
        (|f| std::fs::write(f.join("tokenizer.json"), [0xff, 0xfe]).unwrap(), "tokenizer.json", &["tokenizer"]),
        (
            |f| {
                std::fs::copy(fixture("roberta").join("tokenizer.json"), f.join("tokenizer.json")).unwrap();
            },
            "tokenizer.json",
            &["ids up to", "one model"],
        ),
        (|f| edit_json(f, "config.json", |c| c["type_vocab_size"] = 1.into()), "tokenizer.json", &["type 1"]),
        (|f| edit_json(f, "tokenizer.json", |t| t["post_processor"] = Value::Null), "tokenizer.json", &["no special tokens"]),
        (
            |f| {
                edit_json(f, "tokenizer.json", |t| {
                    t["model"]["vocab"].as_object_mut().unwrap().retain(|_, id| id.as_u64().unwrap() < 100);
                });
            },
            "tokenizer.json",
            &["knows 100 tokens", "one model"],
        ),
        (|f| std::fs::write(f.join("model.safetensors"), "").unwrap(), "model.safetensors", &["no safetensors file"]),
        (
            |f| {
                let bytes = std::fs::read(f.join("model.safetensors")).unwrap();
                std::fs::write(f.join("model.safetensors"), &bytes[..bytes.len() / 2]).unwrap();
            },
            "model.safetensors",
            &["incomplete", "again"],
        ),
        (
            |f| std::fs::write(f.join("model.safetensors"), [&u64::MAX.to_le_bytes()[..], b"{}"].concat()).unwrap(),
            "model.safetensors",
            &["no safetensors file"],
        ),
        (
            |f| std::fs::write(f.join("model.safetensors"), "version https://git-lfs.github.com/spec/v1\n").unwrap(),
            "model.safetensors",
            &["git lfs pull"],
        ),
        (
            |f| std::fs::File::create(f.join("model.safetensors")).unwrap().set_len(5 << 30).unwrap(),
            "model.safetensors",
            &["5368709120 bytes"],
        ),
        (
            |f| edit_weights(f, |table, _| table["bert.embeddings.LayerNorm.weight"]["shape"] = serde_json::json!([4, 4])),
            "model.safetensors",
            &["bert.embeddings.LayerNorm.weight", "[4, 4]", "[16]"],
        ),
        (|f| edit_weights(f, |table, _| table[QUERY]["dtype"] = "I32".into()), "model.safetensors", &[QUERY, "I32"]),
        (
            |f| {
                edit_weights(f, |table, _| {
                    let taken = table.as_object_mut().unwrap().remove("classifier.weight").unwrap();
                    table["score.weight"] = taken;
                });
            },
            "model.safetensors",
            &["no tensor classifier.weight"],
        ),
        (
            |f| {
                edit_weights(f, |table, data| {
                    let at = offset(table, QUERY) + 40;
                    data[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
                });
            },
            "model.safetensors",
            &[QUERY, "NaN", "position 10"],
        ),
        (
            |f| {
                edit_weights(f, |table, data| {
                    let at = offset(table, "classifier.bias");
                    data[at..at + 4].copy_from_slice(&f32::NEG_INFINITY.to_le_bytes());
                });
            },
            "model.safetensors",
            &["classifier.bias", "-inf", "position 0"],
        ),
        (
            // Finite, but not what comes of them.
            |f| {
                edit_weights(f, |table, data| {
                    for tensor in ["classifier.weight", "bert.pooler.dense.bias"] {
                        let at = offset(table, tensor);
                        data[at..at + 64].copy_from_slice(&f32::MAX.to_le_bytes().repeat(16));
                    }
                });
            },
            "model.safetensors",
            &["a number that is none"],
        ),
    ];
    for (at, (spoil, file, words)) in cases.iter().enumerate() {
        let folder = copy("bert");
        spoil(folder.path());
        let spec = BertSpec { folder: folder.path().to_owned(), label: Some("hateful".into()), ..BertSpec::new("") };
        let error = bert::open(&name(), &spec, 1).err().unwrap_or_else(|| panic!("case {at} was opened: {words:?}"));
        assert_eq!(error.key, "folder", "case {at}: {error}");
        let place = folder.path().join(file).display().to_string();
        assert!(error.message.starts_with(&place), "case {at}: {error}");
        assert!(words.iter().all(|word| error.message.contains(word)), "case {at}: {error} lacks one of {words:?}");
        assert!(error.message.len() < 600 + place.len() && !error.message.contains('\n'), "case {at}: {error}");
    }
}

#[test]
fn settings_that_do_not_fit_the_model_are_refused_by_key() {
    let key = |spec: &BertSpec| bert::open(&name(), spec, 1).err().map(|error| (error.key, error.message));
    let spec = spec("roberta", 1);
    // Two of 48 positions are never used by RoBERTa.
    assert_eq!(key(&BertSpec { max_tokens: Some(46), ..spec.clone() }), None);
    let (at, message) = key(&BertSpec { max_tokens: Some(47), ..spec.clone() }).unwrap();
    assert!(at == "max_tokens" && message.contains("use 46"), "{message}");
    let (at, message) = key(&BertSpec { label: Some("toxic".into()), ..spec.clone() }).unwrap();
    assert!(at == "label" && message.contains("\"LABEL_0\", \"LABEL_1\""), "{message}");
    assert_eq!(key(&BertSpec { label: None, ..spec.clone() }), None);
    let (at, message) = key(&BertSpec { label: None, ..self::spec("bert", 1) }).unwrap();
    assert!(at == "label" && message.contains("\"neutral\", \"offensive\", \"hateful\""), "{message}");
    let (at, message) = key(&BertSpec { folder: "/no/such/folder".into(), ..spec }).unwrap();
    assert!(at == "folder" && message.contains("/no/such/folder") && message.contains("no such folder"), "{message}");
}

#[tokio::test]
async fn an_encoder_embeds_texts_as_vectors_of_length_one() {
    for kind in KINDS {
        let embedder = Embedder::open(&fixture(kind), EmbedSettings::default()).unwrap();
        let long = "the quick brown fox ".repeat(50_000);
        let texts = ["the cat sat on the mat", "", "thank you", &long, &long[..400_000], "the cat sat on the mat"];
        let vectors = embedder.embed(&texts).await.unwrap();
        assert_eq!(vectors.len(), texts.len());
        for vector in &vectors {
            assert_eq!(vector.len(), embedder.dimensions());
            assert!((vector.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
        }
        let distance = |a: usize, b: usize| vectors[a].iter().zip(&vectors[b]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(distance(0, 5) < 1e-5 && distance(3, 4) < 1e-5 && distance(0, 2) > 1e-3);
        assert_eq!(embedder.embed(&[]).await, Ok(Vec::new()));
    }
    let wide = EmbedSettings { max_tokens: Some(20), ..EmbedSettings::default() };
    let (a, b) =
        (Embedder::open(&fixture("bert"), wide).unwrap(), Embedder::open(&fixture("bert"), EmbedSettings::default()).unwrap());
    assert_ne!(a.version(), b.version());
    let wrong = EmbedSettings { threads: 0, ..wide };
    assert!(Embedder::open(&fixture("bert"), wrong).is_err_and(|error| error.to_string().contains("1 to 64")));
}
