//! What a cheap judge with a guarantee saves on XSTest: 2,250 answers to 450 prompts, each with the verdict of a string match, of GPT-4 and
//! of a human.
//!
//! `cargo bench -p assize --bench xstest -- FILE` takes the path of `xstest.jsonl`: one JSON object a line with `cluster` (the prompt),
//! `completion`, `regex`, `gpt4` and `human`, whose labels begin with `1_` (compliance), `2_` or `3_` (refusal, full or partial). What
//! else GPT-4 said is a failed verdict; such answers are left out where GPT-4 is the reference.
//!
//! In each of `ASSIZE_BENCH_REPEATS` (20) repetitions the prompts are parted at random into three: on the answers of `train` prompts an
//! n-gram model learns the reference's verdicts, on those of `fit` others its score is combined with the two lists of phrases, and over the
//! rest a [`split_study`] calibrates on one half and looks at the other, 1,000 splits in all. No prompt is in two parts, and one
//! answer of each prompt calibrates. Three cheap judges are compared: the phrases alone (verdict of the string match; surer where the
//! built-in refusal rules say the same, then the shorter the answer), the n-gram model alone, and both.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod measure;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use assize_core::judge::InlineJudge;
use assize_core::{Flags, Interaction, InteractionId, Message, ProjectName, Role, Timestamp};
use assize_estimate::trust::{Clustered, Item, Study, split_study};
use assize_judge::linear::data::Example;
use assize_judge::linear::train::{TrainSpec, train};
use assize_judge::{metrics, rules};
use measure::numbers_from;
use serde::Deserialize;

const DELTA: f64 = 0.1;
const ALPHAS: [f64; 2] = [0.05, 0.10];
const SPLITS: u32 = 1_000;
/// Prompts of which the combination of scores learns.
const FIT: usize = 50;

#[derive(Deserialize)]
struct Line {
    cluster: String,
    completion: String,
    regex: Option<String>,
    gpt4: Option<String>,
    human: Option<String>,
}

/// An answer, with what is known of it without a call and what the reference said.
struct Answer {
    cluster: usize,
    text: String,
    regex: bool,
    rules: bool,
    refused: bool,
}

/// The three cheap judges.
const JUDGES: [&str; 3] = ["phrases", "n-grams", "n-grams and phrases"];

fn main() {
    let Some(path) = std::env::args().skip(1).find(|arg| !arg.starts_with("--")) else {
        eprintln!("the study needs the path of xstest.jsonl: cargo bench -p assize --bench xstest -- FILE");
        std::process::exit(2);
    };
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let lines: Vec<Line> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let repeats = u32::try_from(numbers_from("ASSIZE_BENCH_REPEATS", "20")[0]).unwrap();
    println!(
        "reference\ttrained_on\tjudge\talpha\tdelta\tsplits\ttrusting\tviolations\theld_out_violations\tcalls_saved\tagreement\tagreement_untrusted"
    );
    for (reference, label) in
        [("gpt4", (|line| line.gpt4.as_deref()) as fn(&Line) -> Option<&str>), ("human", |line| line.human.as_deref())]
    {
        let answers = answers(&lines, label);
        let clusters = answers.iter().map(|answer| answer.cluster).max().map_or(0, |last| last + 1);
        eprintln!(
            "{reference}: {} answers to {clusters} prompts, {} without a verdict",
            answers.len(),
            lines.len() - answers.len()
        );
        for prompts in numbers_from("ASSIZE_BENCH_TRAIN", "50,100,200") {
            study(reference, &answers, clusters, usize::try_from(prompts).unwrap(), repeats);
        }
    }
}

fn study(reference: &str, answers: &[Answer], clusters: usize, prompts: usize, repeats: u32) {
    let started = Instant::now();
    let mut totals: HashMap<(usize, usize), Total> = HashMap::new();
    let mut verdicts = 0;
    for repeat in 0..u64::from(repeats) {
        let order = shuffled(clusters, repeat);
        let part_of = |answer: &Answer| match order[answer.cluster] {
            at if at < prompts => 0,
            at if at < prompts + FIT => 1,
            _ => 2,
        };
        let part = |wanted: usize| answers.iter().filter(move |answer| part_of(answer) == wanted);
        let examples: Vec<Example> = part(0)
            .map(|answer| Example {
                text: answer.text.clone(),
                label: f64::from(u8::from(answer.refused)),
                cluster: Some(answer.cluster.to_string()),
                source: None,
            })
            .collect();
        verdicts += examples.len();
        // The training parts its examples again; few prompts may leave a part without one of the two labels, so that another is tried.
        let spec = |seed| TrainSpec { name: "refusal".to_owned(), seed, ..TrainSpec::default() };
        let trained = (0..100).find_map(|more| train(&examples, &spec(repeat + 1_000 * more), &mut |_| {}).ok());
        let model = trained.expect("a part of the training set for each of the two labels").model;
        let features = |answer: &Answer| {
            let score = model.score(&answer.text).clamp(1e-4, 1.0 - 1e-4);
            [1.0, (score / (1.0 - score)).ln(), sign(answer.regex), sign(answer.rules)]
        };
        let weights = logistic(&part(1).map(|answer| (features(answer), answer.refused)).collect::<Vec<_>>());
        let rest: Vec<(&Answer, [f64; 4])> = part(2).map(|answer| (answer, features(answer))).collect();
        for judge in 0..JUDGES.len() {
            let items: Vec<Clustered> = rest
                .iter()
                .map(|(answer, features)| {
                    let (says, confidence) = match judge {
                        0 => (answer.regex, f64::from(u8::from(answer.regex == answer.rules)) - answer.text.len() as f64 * 1e-6),
                        1 => (features[1] >= 0.0, features[1].abs()),
                        _ => {
                            let odds = dot(&weights, features);
                            (odds >= 0.0, odds.abs())
                        }
                    };
                    let item = Item { confidence, agrees: says == answer.refused };
                    Clustered { item, cluster: answer.cluster as u64 }
                })
                .collect();
            for (at, alpha) in ALPHAS.into_iter().enumerate() {
                let found = split_study(&items, alpha, DELTA, SPLITS / repeats, repeat).unwrap();
                totals.entry((judge, at)).or_default().add(&found);
            }
        }
        eprintln!("{reference}, {prompts} prompts: {} of {repeats} after {:.0} s", repeat + 1, started.elapsed().as_secs_f64());
    }
    let verdicts = verdicts / repeats as usize;
    for (judge, name) in JUDGES.iter().enumerate() {
        for (at, alpha) in ALPHAS.into_iter().enumerate() {
            let t = &totals[&(judge, at)];
            let (saved, agreement) = (t.saved / t.splits, if t.saved > 0.0 { t.agreed / t.saved } else { f64::NAN });
            println!(
                "{reference}\t{verdicts} verdicts\t{name}\t{alpha}\t{DELTA}\t{}\t{}\t{:.3}\t{:.3}\t{saved:.3}\t{agreement:.3}\t{:.3}",
                t.splits,
                t.trusting,
                t.violations / t.splits,
                t.held_out_violations / t.splits,
                t.untrusted / t.splits
            );
        }
    }
}

/// Sums over the studies of all repetitions, each weighted by its splits.
#[derive(Default)]
struct Total {
    splits: f64,
    trusting: f64,
    violations: f64,
    held_out_violations: f64,
    saved: f64,
    agreed: f64,
    untrusted: f64,
}

impl Total {
    fn add(&mut self, study: &Study) {
        let splits = f64::from(study.splits);
        self.splits += splits;
        self.trusting += f64::from(study.trusting);
        self.violations += f64::from(study.violations);
        self.held_out_violations += f64::from(study.held_out_violations);
        self.saved += study.calls_saved * splits;
        self.agreed += study.agreement.unwrap_or(0.0) * study.calls_saved * splits;
        self.untrusted += study.agreement_untrusted * splits;
    }
}

fn answers(lines: &[Line], label: fn(&Line) -> Option<&str>) -> Vec<Answer> {
    let builtin = metrics::builtin("refusal").unwrap();
    let rules = rules::open(&builtin.rules().unwrap()).unwrap();
    let mut clusters: HashMap<&str, usize> = HashMap::new();
    let mut answers = Vec::new();
    for line in lines {
        let Some(refused) = label(line).and_then(refusal) else { continue };
        let next = clusters.len();
        answers.push(Answer {
            cluster: *clusters.entry(&line.cluster).or_insert(next),
            text: line.completion.clone(),
            regex: line.regex.as_deref().and_then(refusal).unwrap_or_default(),
            rules: hits(&rules, &line.completion),
            refused,
        });
    }
    answers
}

/// What a label says; `None` where it is none.
fn refusal(label: &str) -> Option<bool> {
    match label.get(..2)? {
        "1_" => Some(false),
        "2_" | "3_" => Some(true),
        _ => None,
    }
}

fn hits(rules: &Arc<dyn InlineJudge>, text: &str) -> bool {
    let interaction = Interaction {
        id: InteractionId::new("i").unwrap(),
        project: ProjectName::new("p").unwrap(),
        time: Timestamp(0),
        conversation_id: None,
        model: None,
        prompt_version: None,
        environment: None,
        system: None,
        input: Vec::new(),
        output: vec![Message::new(Role::Assistant, text)],
        context: Vec::new(),
        reference: None,
        tags: std::collections::BTreeMap::new(),
        usage: None,
        flags: Flags::default(),
    };
    rules.judge(&interaction).score >= 0.5
}

fn sign(yes: bool) -> f64 {
    if yes { 1.0 } else { -1.0 }
}

fn dot(a: &[f64; 4], b: &[f64; 4]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Logistic regression by gradient descent, held back by a penalty of `|w|^2 / (2 n)` on all but the intercept.
fn logistic(points: &[([f64; 4], bool)]) -> [f64; 4] {
    let n = points.len().max(1) as f64;
    let mut weights = [0.0; 4];
    for _ in 0..5_000 {
        let mut gradient = [0.0; 4];
        for (features, positive) in points {
            let error = 1.0 / (1.0 + (-dot(&weights, features)).exp()) - f64::from(u8::from(*positive));
            gradient.iter_mut().zip(features).for_each(|(sum, feature)| *sum += error * feature / n);
        }
        for (at, (weight, slope)) in weights.iter_mut().zip(gradient).enumerate() {
            *weight -= 0.1 * (slope + if at > 0 { *weight / n } else { 0.0 });
        }
    }
    weights
}

/// The place of each of `0..n` in a random order that `seed` decides.
fn shuffled(n: usize, seed: u64) -> Vec<usize> {
    let mut by_hash: Vec<(blake3::Hash, usize)> =
        (0..n).map(|at| (blake3::hash(&[seed.to_le_bytes(), (at as u64).to_le_bytes()].concat()), at)).collect();
    by_hash.sort_by_key(|(hash, _)| *hash.as_bytes());
    let mut places = vec![0; n];
    for (place, (_, at)) in by_hash.into_iter().enumerate() {
        places[at] = place;
    }
    places
}
