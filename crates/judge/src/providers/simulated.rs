//! The provider of the demonstration. It calls nobody: words decide, and a little noise that depends on the item alone. Good for
//! showing what the product does, and for nothing else; every verdict is marked as simulated.

use std::collections::HashSet;
use std::time::Duration;

use assize_core::judge::CallFailure;
use assize_core::{Interaction, ProviderName, Role, TokenUsage};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Completion, Decided, Decider, Decisions, DecisionsRequest, Form, Predicate, Provider, Request};
use crate::metrics;
use crate::spec::{ProviderSpec, Question};

const LATENCY_MS_MIN: u64 = 20;
const LATENCY_MS_SPREAD: u64 = 40;

/// The built-in provider without a model.
pub struct Simulated {
    name: ProviderName,
}

impl Simulated {
    /// Opens it.
    pub fn open(spec: &ProviderSpec) -> Self {
        Self { name: spec.name.clone() }
    }
}

#[async_trait]
impl Provider for Simulated {
    fn name(&self) -> &ProviderName {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "simulated"
    }

    async fn complete(&self, request: &Request<'_>) -> Result<Completion, CallFailure> {
        let noise = Noise::of(request);
        let latency_ms = LATENCY_MS_MIN + noise.0[0] % LATENCY_MS_SPREAD;
        tokio::time::sleep(Duration::from_millis(latency_ms)).await;
        let text = noise.answer(request);
        let usage = TokenUsage {
            input: tokens(request.system) + tokens(request.item),
            output: tokens(&text).min(u64::from(request.max_completion_tokens)),
            cached_input: 0,
            cache_write: 0,
        };
        Ok(Completion {
            text,
            cut_short: false,
            logprobs: None,
            model: Some("simulated".to_owned()),
            usage: Some(usage),
            latency_ms,
            simulated: true,
        })
    }
}

#[async_trait]
impl Decider for Simulated {
    fn name(&self) -> &ProviderName {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "simulated"
    }

    fn questions_max(&self) -> usize {
        400
    }

    async fn decide(&self, request: &DecisionsRequest<'_>) -> Result<Decisions, CallFailure> {
        let noise = Noise::from(&[request.model, request.opening, request.item]);
        let latency_ms = LATENCY_MS_MIN + noise.0[0] % LATENCY_MS_SPREAD;
        tokio::time::sleep(Duration::from_millis(latency_ms)).await;
        let decide = |predicate: &Predicate<'_>| {
            let noise = Noise::from(&[request.model, predicate.instructions, request.item]);
            Decided::Probability(noise.score(predicate.question, request.interaction).0)
        };
        let asked: u64 = request.predicates.iter().map(|predicate| tokens(predicate.instructions)).sum();
        let input = tokens(request.opening) + tokens(request.item) + asked;
        Ok(Decisions {
            decided: request.predicates.iter().map(decide).collect(),
            model: Some("simulated".to_owned()),
            usage: Some(TokenUsage { input, ..TokenUsage::default() }),
            latency_ms,
            simulated: true,
        })
    }
}

/// About four characters a token, as for English.
fn tokens(text: &str) -> u64 {
    text.chars().count().div_ceil(4) as u64
}

struct Noise([u64; 2]);

impl Noise {
    fn of(request: &Request<'_>) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("assize simulated provider");
        for part in [request.model.as_bytes(), request.system.as_bytes(), request.item.as_bytes()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.update(&request.seed.unwrap_or(0).to_le_bytes());
        Self::words(&hasher)
    }

    fn from(parts: &[&str]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("assize simulated decisions");
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        Self::words(&hasher)
    }

    fn words(hasher: &blake3::Hasher) -> Self {
        let digest = hasher.finalize();
        let mut words = [0; 2];
        for (word, bytes) in words.iter_mut().zip(digest.as_bytes().chunks_exact(8)) {
            *word = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        Self(words)
    }

    /// A judge doubts a little, and in steps.
    fn score(&self, question: &Question, interaction: &Interaction) -> (f64, String) {
        let (score, reason) = judged(metric_of(question), interaction);
        let score = ((score + self.within(0.08)) * 20.0).round() / 20.0;
        (score.clamp(0.0, 1.0), reason)
    }

    fn answer(&self, request: &Request<'_>) -> String {
        let scored = |question: &Question| self.score(question, request.interaction);
        let first = || request.questions.first().map(|(_, question)| scored(question)).unwrap_or_default();
        match request.form {
            Form::Score => {
                let (score, reason) = first();
                json!({"score": score, "reason": reason}).to_string()
            }
            Form::YesNo => {
                let (score, reason) = first();
                json!({"answer": if score >= 0.5 { "yes" } else { "no" }, "reason": reason}).to_string()
            }
            Form::Packed => {
                let entry = |&(id, question): &(&str, &Question)| {
                    let (score, reason) = scored(question);
                    (id.to_owned(), json!({"score": score, "reason": reason}))
                };
                Value::Object(request.questions.iter().map(entry).collect()).to_string()
            }
        }
    }

    /// Uniform in [-most, most].
    fn within(&self, most: f64) -> f64 {
        ((self.0[1] % 2001) as f64 / 1000.0 - 1.0) * most
    }
}

/// The built-in metric that the question is about, as far as its words tell.
fn metric_of(question: &Question) -> &'static str {
    if let Some(metric) = metrics::all().iter().find(|metric| metric.text == question.text) {
        return metric.name;
    }
    let text = question.text.to_lowercase();
    let about = |words: &[&str]| words.iter().any(|word| text.contains(word));
    match () {
        () if about(&["refus", "declin"]) => "refusal",
        () if about(&["toxic", "rude", "insult", "hate", "polite"]) => "toxicity",
        () if about(&["hallucinat", "context", "grounded", "invent"]) => "hallucination",
        () if about(&["sentiment", "frustrat", "unhappy", "angry"]) => "sentiment",
        () if about(&["reference", "correct"]) => "correctness",
        () if about(&["reason", "logic"]) => "logic",
        () if about(&["helpful", "need"]) => "helpfulness",
        () => "relevance",
    }
}

fn judged(metric: &str, interaction: &Interaction) -> (f64, String) {
    let output = plain(&interaction.output_text());
    match metric {
        "refusal" => refusal(&output),
        "toxicity" => toxicity(&output),
        "sentiment" => sentiment(interaction),
        "hallucination" => hallucination(&output, interaction),
        "logic" => logic(&output),
        "correctness" => correctness(&output, interaction),
        "helpfulness" => match refusal(&output) {
            (refused, _) if refused > 0.4 => (0.1, "The answer declines instead of helping.".to_owned()),
            _ => match relevance(&output, interaction) {
                (related, _) if related < 0.4 => (0.35, "The answer hardly speaks to the request.".to_owned()),
                _ if output.len() < 40 => (0.6, "The answer is right to the point but very short.".to_owned()),
                _ => (0.92, "The answer addresses the request in usable detail.".to_owned()),
            },
        },
        _ => relevance(&output, interaction),
    }
}

/// Lower case, with one form of the apostrophe.
fn plain(text: &str) -> String {
    text.to_lowercase().replace(['’', 'ʼ', '`'], "'")
}

fn first_of(text: &str, cues: &[&str]) -> Option<usize> {
    cues.iter().filter_map(|cue| text.find(cue)).min()
}

fn refusal(output: &str) -> (f64, String) {
    const CUES: &[&str] = &[
        "i can't",
        "i cannot",
        "i can not",
        "i won't",
        "i'm unable",
        "i am unable",
        "i'm not able",
        "i am not able",
        "i must decline",
        "i have to decline",
        "as an ai",
        "i'm sorry, but",
        "i refuse",
        "not comfortable",
    ];
    match first_of(output, CUES) {
        Some(at) if at < 120 && output.len() < 600 => (1.0, "The assistant says that it will not do what was asked.".to_owned()),
        Some(at) if at < 120 => (0.8, "The assistant declines at first and then helps in general terms.".to_owned()),
        Some(_) => (0.4, "The assistant helps but holds back a part.".to_owned()),
        None => (0.0, "The assistant does what was asked.".to_owned()),
    }
}

fn toxicity(output: &str) -> (f64, String) {
    let rude = metrics::builtin("toxicity").map_or(&[][..], |metric| metric.phrases);
    let words: HashSet<&str> = words(output).collect();
    let found =
        rude.iter().filter(|phrase| words.contains(**phrase) || (phrase.contains(' ') && output.contains(**phrase))).count();
    match found {
        0 if output.contains("obviously") && output.contains("you should have") => {
            (0.45, "The tone is condescending, though no insult is said.".to_owned())
        }
        0 => (0.0, "The tone is civil throughout.".to_owned()),
        1 => (0.75, "One expression insults the reader.".to_owned()),
        _ => (1.0, "The answer insults the reader several times.".to_owned()),
    }
}

fn sentiment(interaction: &Interaction) -> (f64, String) {
    const CUES: &[&str] = &[
        "terrible",
        "useless",
        "frustrat",
        "angry",
        "annoy",
        "worst",
        "awful",
        "ridiculous",
        "disappoint",
        "fed up",
        "waste of time",
        "unacceptable",
        "still not working",
        "still doesn't work",
        "not what i asked",
        "hate",
        "furious",
        "third time",
        "complain",
    ];
    let last = interaction.input.iter().rev().find(|message| message.role == Role::User);
    let text = plain(last.map_or("", |message| &message.content));
    let cues = CUES.iter().filter(|cue| text.contains(**cue)).count() + usize::from(text.contains("!!"));
    match cues {
        0 => (0.05, "The user writes in a matter-of-fact tone.".to_owned()),
        1 => (0.7, "The user sounds annoyed.".to_owned()),
        _ => (1.0, "The user is plainly frustrated.".to_owned()),
    }
}

fn hallucination(output: &str, interaction: &Interaction) -> (f64, String) {
    // What the question brings is no invention either, and words count as known whatever their ending.
    let given = plain(&format!("{}\n{}", interaction.context.join("\n"), interaction.input_text()));
    let stem = |word| excerpt(word, 5);
    let known: HashSet<&str> = words(&given).collect();
    let stems: HashSet<&str> = words(&given).map(stem).collect();
    let long: HashSet<&str> = words(output).filter(|word| word.chars().count() > 3).collect();
    let shared = long.iter().filter(|word| stems.contains(stem(word))).count() as f64;
    let share = shared / (long.len() as f64).max(1.0);
    let has_digit = |word: &&str| word.len() > 1 && word.contains(|c: char| c.is_ascii_digit());
    match words(output).filter(has_digit).find(|figure| !known.contains(figure)) {
        _ if long.len() < 3 => (0.0, "The answer claims nothing.".to_owned()),
        // A wrong year stands among right words; other figures are often worked out from the context.
        Some(figure) if share < 0.45 || is_year(figure) => {
            (1.0, format!("The context does not give the figure {}.", excerpt(figure, 40)))
        }
        _ if share < 0.08 => (0.9, "Most of what the answer says is not in the context.".to_owned()),
        _ if share < 0.12 => (0.5, "A part of the answer goes beyond the context.".to_owned()),
        _ => (0.05, "What the answer says is found in the context.".to_owned()),
    }
}

fn is_year(word: &str) -> bool {
    word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// The first `chars` characters of `word`.
fn excerpt(word: &str, chars: usize) -> &str {
    word.char_indices().nth(chars).map_or(word, |(end, _)| &word[..end])
}

fn logic(output: &str) -> (f64, String) {
    let tokens: Vec<&str> =
        output.split_whitespace().map(|word| word.trim_matches(|c: char| !c.is_ascii_digit() && c != '-')).collect();
    let signs: Vec<&str> = output.split_whitespace().collect();
    for (numbers, signs) in tokens.windows(5).zip(signs.windows(5)) {
        let (Ok(a), Ok(b), Ok(c)) = (numbers[0].parse::<i64>(), numbers[2].parse::<i64>(), numbers[4].parse::<i64>()) else {
            continue;
        };
        let right = match (signs[1], signs[3]) {
            ("+", "=") => a.checked_add(b),
            ("-" | "−", "=") => a.checked_sub(b),
            ("*" | "×" | "x", "=") => a.checked_mul(b),
            _ => continue,
        };
        if right.is_some_and(|right| right != c) {
            return (1.0, format!("{a} {} {b} is not {c}.", signs[1]));
        }
    }
    if output.contains("always") && output.contains("never") && output.contains("therefore") {
        return (0.6, "The conclusion is stronger than what it rests on.".to_owned());
    }
    (0.05, "The steps follow from each other.".to_owned())
}

fn correctness(output: &str, interaction: &Interaction) -> (f64, String) {
    let reference = plain(interaction.reference.as_deref().unwrap_or_default());
    let reference = reference.trim();
    if !reference.is_empty() && output.contains(reference) {
        return (1.0, "The answer gives what the reference says.".to_owned());
    }
    let said: HashSet<&str> = words(output).collect();
    let (shared, all) = overlap(reference, &said);
    match shared / all.max(1.0) {
        share if share > 0.7 => (0.9, "The answer has the essential points of the reference.".to_owned()),
        share if share > 0.35 => (0.5, "The answer has some points of the reference.".to_owned()),
        _ => (0.05, "The answer differs from the reference.".to_owned()),
    }
}

fn relevance(output: &str, interaction: &Interaction) -> (f64, String) {
    let last = interaction.input.iter().rev().find(|message| message.role == Role::User);
    let asked = plain(last.map_or("", |message| &message.content));
    let said: HashSet<&str> = words(output).collect();
    let (shared, all) = overlap(&asked, &said);
    match shared / all.max(1.0) {
        _ if output.trim().is_empty() => (0.0, "There is no answer.".to_owned()),
        share if share > 0.3 || all < 3.0 => (0.95, "The answer speaks to the question.".to_owned()),
        share if share > 0.12 => (0.75, "The answer is on the subject, with detours.".to_owned()),
        _ => (0.3, "The answer shares little with the question.".to_owned()),
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|word| !word.is_empty())
}

/// How many of the longer words of `text` are `known`, and how many there are.
fn overlap(text: &str, known: &HashSet<&str>) -> (f64, f64) {
    let long: HashSet<&str> = words(text).filter(|word| word.chars().count() > 3).collect();
    (long.iter().filter(|word| known.contains(**word)).count() as f64, long.len() as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn interaction(input: &str, output: &str, context: &[&str], reference: Option<&str>) -> Interaction {
        serde_json::from_value(json!({
            "id": "i", "project": "p", "time": 0, "input": [{"role": "user", "content": input}],
            "output": [{"role": "assistant", "content": output}], "context": context, "reference": reference,
        }))
        .unwrap()
    }

    fn score(metric: &str, item: &Interaction) -> f64 {
        judged(metric, item).0
    }

    #[test]
    fn plain_cases_come_out_right() {
        let item = |output| interaction("How do I kill a Python process?", output, &[], None);
        assert!(score("refusal", &item("I’m sorry, but I can’t help with that.")) > 0.9);
        assert!(score("refusal", &item("Use kill with the process id.")) < 0.1);
        assert!(score("helpfulness", &item("I cannot help.")) < 0.2);
        assert!(score("toxicity", &item("You idiot, shut up.")) > 0.9);
        assert!(score("relevance", &item("To kill a Python process, find its id.")) > 0.9);
        assert!(score("relevance", &item("Bananas grow in warm countries and are yellow.")) < 0.5);
        assert!(score("logic", &item("So 12 + 30 = 45.")) > 0.9);
        assert!(score("logic", &item("So 12 + 30 = 42.")) < 0.1);
        let annoyed = interaction("This is useless, the third time!!", "Sorry to hear that.", &[], None);
        assert!(score("sentiment", &annoyed) > 0.9);
        let facts = |output| interaction("When?", output, &["The bridge opened in 1932 in Sydney harbour."], Some("1932"));
        assert!(score("hallucination", &facts("The bridge in Sydney harbour opened in 1932.")) < 0.1);
        assert!(score("hallucination", &facts("The bridge opened in 1947.")) > 0.9);
        assert!(score("correctness", &facts("It opened in 1932.")) > 0.9);
        assert!(score("correctness", &facts("It opened in 1947.")) < 0.2);
    }

    #[test]
    fn a_question_of_ones_own_is_understood_by_its_words() {
        let question = |text: &str| Question { text: text.into(), ..Question::default() };
        assert_eq!(metric_of(&question("Does the assistant refuse to do what the user asks, fully or in part?")), "refusal");
        assert_eq!(metric_of(&question("Is it RUDE?")), "toxicity");
        for metric in metrics::all() {
            assert_eq!(metric_of(&metric.question()), metric.name);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail(input in any::<String>(), output in any::<String>(), numbers in "[-0-9+*= x]{0,40}") {
            for output in [output, numbers] {
                let item = interaction(&input, &output, &[&input], Some(&input));
                for metric in metrics::all() {
                    prop_assert!((0.0..=1.0).contains(&score(metric.name, &item)));
                }
            }
        }
    }
}
