//! What several built-in metrics cost per 1,000 interactions: asked one by one, packed into one call, with and without the provider's prompt cache,
//! and by a decision model. Computed from the prompts that are sent, at four bytes a token and 50 tokens an answer, at list prices; no
//! call is made.
//!
//! ```text
//! cargo run -p assize-judge --example packing -- [MODEL] [CHARACTERS OF THE ITEM] [METRIC ...]
//! ```
//! A prompt is cached from 1,024 tokens on, in steps of 128, as OpenAI documents it: a single question's constant part is often too
//! short for that, and that of several is not.

use std::error::Error;
use std::io::Write;

use assize_core::{Interaction, Price, TokenUsage};
use assize_judge::prompt::packed::PackedPrompt;
use assize_judge::prompt::{self, Prompt, predicates};
use assize_judge::spec::Question;
use assize_judge::{decisions, metrics, prices};

const ANSWER_TOKENS: u64 = 50;
const CACHED_MIN: u64 = 1024;
const CACHED_STEP: u64 = 128;

fn tokens(text: &str) -> u64 {
    text.len().div_ceil(4) as u64
}

fn cached(constant: u64) -> u64 {
    if constant < CACHED_MIN { 0 } else { constant / CACHED_STEP * CACHED_STEP }
}

/// One way to ask, and what its calls for one interaction use.
struct Way {
    name: &'static str,
    price: Price,
    calls: Vec<TokenUsage>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().unwrap_or_else(|| "gpt-4o".to_owned());
    let characters: usize = arguments.next().map_or(Ok(1_000), |text| text.parse())?;
    let price = prices::built_in(&model).ok_or_else(|| format!("{model} has no list price"))?;
    let luna = decisions::built_in_price("gpt-6-luna").ok_or("gpt-6-luna has no list price")?;
    let mut names: Vec<String> = arguments.collect();
    if names.is_empty() {
        names = ["refusal", "toxicity", "helpfulness"].map(str::to_owned).to_vec();
    }
    let question = |name: &String| Ok(metrics::builtin(name).ok_or_else(|| format!("there is no metric {name}"))?.question());
    let questions = names.iter().map(question).collect::<Result<Vec<Question>, Box<dyn Error>>>()?;
    let all: Vec<usize> = (0..questions.len()).collect();
    let interaction: Interaction = serde_json::from_value(serde_json::json!({
        "id": "i", "project": "p", "time": 0, "input": [{"role": "user", "content": "x".repeat(characters * 3 / 10)}],
        "output": [{"role": "assistant", "content": "y".repeat(characters * 7 / 10)}],
    }))?;
    let item = tokens(&prompt::item(&interaction, true));

    let constants = questions
        .iter()
        .map(|question| Ok(tokens(Prompt::open(question, None)?.system())))
        .collect::<Result<Vec<_>, Box<dyn Error>>>()?;
    let packed = tokens(&PackedPrompt::open(&questions)?.system(&all)?.0);
    let decided = tokens(predicates::OPENING)
        + item
        + questions.iter().map(|question| tokens(&predicates::predicate(question))).sum::<u64>();
    let usage = |constant: u64, is_cached: bool, output: u64| TokenUsage {
        input: constant + item,
        output,
        cached_input: if is_cached { cached(constant) } else { 0 },
        cache_write: 0,
    };
    let single = |is_cached| constants.iter().map(|constant| usage(*constant, is_cached, ANSWER_TOKENS)).collect();
    let together = |is_cached| vec![usage(packed, is_cached, all.len() as u64 * ANSWER_TOKENS)];
    let ways = [
        Way { name: "one by one", price, calls: single(false) },
        Way { name: "one by one, prompt cache", price, calls: single(true) },
        Way { name: "packed", price, calls: together(false) },
        Way { name: "packed, prompt cache", price, calls: together(true) },
        Way { name: "decisions (gpt-6-luna)", price: luna, calls: vec![TokenUsage { input: decided, ..TokenUsage::default() }] },
    ];
    let mut out = std::io::stdout().lock();
    writeln!(out, "{model}, {}, an item of {item} tokens", names.join(" + "))?;
    writeln!(out, "{:<26} {:>6} {:>8} {:>8} {:>8} {:>16}", "", "calls", "input", "cached", "output", "per 1,000")?;
    for Way { name, price, calls } in ways {
        let sum = |count: fn(&TokenUsage) -> u64| calls.iter().map(count).sum::<u64>();
        let dollars: f64 = calls.iter().map(|usage| price.cost(usage).to_usd()).sum::<f64>() * 1_000.0;
        let (input, cached, output) = (sum(|usage| usage.input), sum(|usage| usage.cached_input), sum(|usage| usage.output));
        writeln!(out, "{name:<26} {:>6} {input:>8} {cached:>8} {output:>8} {dollars:>15.3}$", calls.len())?;
    }
    Ok(())
}
