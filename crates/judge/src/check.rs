//! What a specification must satisfy before anything is opened with it. Every refusal names the key that is wrong.

use std::collections::HashSet;

use reqwest::Url;

use crate::spec::{
    ChatSpec, DecisionsSpec, Field, JudgeKind, JudgeSpec, PriceSpec, ProviderKind, ProviderSpec, Question, RulesSpec, ScoreFrom,
};

/// A specification that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct SpecError {
    /// The key that is wrong, relative to its table: `any_of[3]`.
    pub key: String,
    /// What is wrong with it and what to write instead.
    pub message: String,
}

impl SpecError {
    /// An error at `key`.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }
}

pub(crate) fn ensure(holds: bool, key: impl Into<String>, message: impl FnOnce() -> String) -> Result<(), SpecError> {
    if holds { Ok(()) } else { Err(SpecError::new(key, message())) }
}

pub(crate) fn in_range<T: PartialOrd + std::fmt::Display>(key: &str, value: T, low: T, high: T) -> Result<(), SpecError> {
    ensure(value >= low && value <= high, key, || format!("{value} is out of range: use {low} to {high}"))
}

/// Phrases in one list of a rules judge, at the most.
pub const PHRASES_MAX: usize = 20_000;
/// Bytes of one phrase, at the most.
pub const PHRASE_BYTES_MAX: usize = 1_000;
/// Phrases in `all_of`, at the most: their presence is kept in one word of bits.
pub const ALL_OF_MAX: usize = 128;
/// Regular expressions of a rules judge, at the most.
pub const PATTERNS_MAX: usize = 1_000;
/// Bytes of one regular expression, at the most.
pub const PATTERN_BYTES_MAX: usize = 4_000;
/// Bytes of a question, a rubric or a template, at the most.
pub const PROMPT_BYTES_MAX: usize = 32_000;
const MODEL_BYTES_MAX: usize = 256;

impl ProviderSpec {
    /// Checks addresses and limits.
    pub fn check(&self) -> Result<(), SpecError> {
        in_range("timeout_seconds", self.timeout_seconds, 1, 600)?;
        in_range("concurrency", self.concurrency, 1, 10_000)?;
        in_range("attempts", self.attempts, 1, 10)?;
        if let Some(variable) = &self.api_key_env {
            ensure(!variable.is_empty() && !variable.contains(['=', '\0']), "api_key_env", || {
                "not the name of an environment variable: write one such as OPENAI_API_KEY".into()
            })?;
        }
        match self.kind {
            ProviderKind::Openai | ProviderKind::Anthropic | ProviderKind::Gemini => self.base().map(|_| ()),
            ProviderKind::Simulated => ensure(self.base_url.is_none(), "base_url", || {
                "the simulated provider calls nobody: leave base_url out, or use kind = \"openai\"".into()
            }),
        }
    }

    /// `base_url`, parsed.
    pub(crate) fn base(&self) -> Result<Url, SpecError> {
        let example = match self.kind {
            ProviderKind::Anthropic => "https://api.anthropic.com/v1",
            ProviderKind::Gemini => "https://generativelanguage.googleapis.com/v1beta",
            ProviderKind::Openai | ProviderKind::Simulated => "https://api.openai.com/v1",
        };
        let wrong =
            |why: &str| SpecError::new("base_url", format!("{why}: write the address up to the version, such as {example}"));
        let given = self.base_url.as_deref().ok_or_else(|| wrong("missing"))?;
        // The text is not repeated: it may hold a password.
        let url = Url::parse(given).map_err(|error| wrong(&format!("not a URL ({error})")))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(wrong("neither http:// nor https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("it holds a password, which belongs in the variable that api_key_env names"));
        }
        if url.fragment().is_some() {
            return Err(wrong("it has a #fragment"));
        }
        Ok(url)
    }
}

impl JudgeSpec {
    /// Checks what the kind of judge asks for.
    pub fn check(&self) -> Result<(), SpecError> {
        match &self.kind {
            JudgeKind::Rules(spec) => spec.check(),
            JudgeKind::Linear(spec) => spec.check(),
            JudgeKind::Chat(spec) => spec.check(),
            JudgeKind::Bert(spec) => spec.check(),
            JudgeKind::Decisions(spec) => spec.check(),
            JudgeKind::Command(spec) => spec.check(),
            JudgeKind::Http(spec) => spec.check(),
        }
    }
}

impl RulesSpec {
    /// Checks that there is a rule, that each can find something, and the limits. Regular expressions are compiled when the judge is
    /// opened.
    pub fn check(&self) -> Result<(), SpecError> {
        let bare = Self { field: self.field, whole_words: self.whole_words, ..Self::default() };
        ensure(*self != bare, "any_of", || "there is no rule: set any_of, any_pattern, pii or another of the rules".into())?;
        phrases("any_of", &self.any_of, PHRASES_MAX)?;
        phrases("all_of", &self.all_of, ALL_OF_MAX)?;
        ensure(self.any_pattern.len() <= PATTERNS_MAX, "any_pattern", || {
            format!("{} expressions: use {PATTERNS_MAX} at the most", self.any_pattern.len())
        })?;
        for (index, pattern) in self.any_pattern.iter().enumerate() {
            let key = || format!("any_pattern[{index}]");
            ensure(!pattern.is_empty(), key(), || "an empty expression matches everything: take it out".into())?;
            ensure(pattern.len() <= PATTERN_BYTES_MAX, key(), || {
                format!("{} bytes long: use {PATTERN_BYTES_MAX} at the most", pattern.len())
            })?;
        }
        if let (Some(min), Some(max)) = (self.chars_min, self.chars_max) {
            ensure(min <= max, "chars_min", || format!("{min} is above chars_max = {max}: every text would be found"))?;
        }
        if self.field == Field::Both {
            for (set, key) in [
                (self.must_be_json, "must_be_json"),
                (self.must_equal.is_some(), "must_equal"),
                (self.must_equal_reference, "must_equal_reference"),
            ] {
                ensure(!set, key, || "it reads one text: use field = \"input\" or field = \"output\"".into())?;
            }
        }
        let mut seen = HashSet::new();
        for (index, kind) in self.pii.iter().enumerate() {
            ensure(seen.insert(kind), format!("pii[{index}]"), || "named twice".into())?;
        }
        Ok(())
    }
}

fn phrases(key: &str, phrases: &[String], most: usize) -> Result<(), SpecError> {
    ensure(phrases.len() <= most, key, || format!("{} phrases: use {most} at the most", phrases.len()))?;
    for (index, phrase) in phrases.iter().enumerate() {
        let key = || format!("{key}[{index}]");
        ensure(phrase.len() <= PHRASE_BYTES_MAX, key(), || {
            format!("{} bytes long: use {PHRASE_BYTES_MAX} at the most", phrase.len())
        })?;
        let something = phrase.chars().any(|c| !c.is_whitespace() && !crate::rules::is_quote(c));
        ensure(something, key(), || "nothing to look for: a phrase needs more than white space and quotes".into())?;
    }
    Ok(())
}

impl ChatSpec {
    /// Checks model, parameters, price and texts. A template is rendered when the judge is opened.
    pub fn check(&self) -> Result<(), SpecError> {
        model(&self.model, "gpt-4o-2024-05-13")?;
        if let Some(question) = &self.question {
            prompt_text("question", question)?;
        }
        if let Some(template) = &self.instructions {
            prompt_text("instructions", template)?;
        }
        if let Some(temperature) = self.temperature {
            in_range("temperature", temperature, 0.0, 2.0)?;
        }
        in_range("max_completion_tokens", self.max_completion_tokens, 1, 100_000)?;
        if self.packed {
            ensure(self.instructions.is_none(), "instructions", || {
                "a template words one question, and packed = true asks several in one prompt: choose one of them".into()
            })?;
            ensure(self.score_from == ScoreFrom::Text, "score_from", || {
                "with packed = true a later answer follows from the earlier ones, and its probabilities mean little: use \
                 score_from = \"text\", or packed = false"
                    .into()
            })?;
        }
        price(self.price)
    }
}

impl DecisionsSpec {
    /// Checks model, question and price.
    pub fn check(&self) -> Result<(), SpecError> {
        model(&self.model, "gpt-6-luna")?;
        if let Some(question) = &self.question {
            prompt_text("question", question)?;
        }
        price(self.price)
    }
}

fn model(model: &str, example: &str) -> Result<(), SpecError> {
    ensure(!model.trim().is_empty() && model.len() <= MODEL_BYTES_MAX, "model", || {
        format!("use 1 to {MODEL_BYTES_MAX} bytes, such as {example}")
    })
}

fn price(price: Option<PriceSpec>) -> Result<(), SpecError> {
    match price {
        Some(price) => price.to_price().map(|_| ()).map_err(|message| SpecError::new("price", message)),
        None => Ok(()),
    }
}

impl Question {
    /// Checks that something is asked, within limits.
    pub fn check(&self) -> Result<(), SpecError> {
        prompt_text("question", &self.text)?;
        ensure(self.rubric.len() <= PROMPT_BYTES_MAX, "rubric", || {
            format!("{} bytes long: use {PROMPT_BYTES_MAX} at the most", self.rubric.len())
        })?;
        ensure(!(self.without_context && self.needs.context), "without_context", || {
            "the question needs context and leaves it out: choose one".into()
        })
    }
}

fn prompt_text(key: &str, text: &str) -> Result<(), SpecError> {
    ensure(!text.trim().is_empty(), key, || "empty: write the question, such that a score of 1 means yes".into())?;
    ensure(text.len() <= PROMPT_BYTES_MAX, key, || format!("{} bytes long: use {PROMPT_BYTES_MAX} at the most", text.len()))
}

#[cfg(test)]
mod tests {
    use assize_core::Needs;
    use serde_json::{Value, json};

    use super::*;

    fn provider(change: Value) -> Result<(), String> {
        let mut spec = json!({"name": "p", "kind": "openai", "base_url": "http://127.0.0.1:8400/v1"});
        merge(&mut spec, change);
        serde_json::from_value::<ProviderSpec>(spec).unwrap().check().map_err(|error| error.key)
    }

    fn judge(spec: Value) -> Result<(), String> {
        serde_json::from_value::<JudgeSpec>(spec).unwrap().check().map_err(|error| error.key)
    }

    fn rules(change: Value) -> Result<(), String> {
        let mut spec = json!({"name": "j", "kind": "rules"});
        merge(&mut spec, change);
        judge(spec)
    }

    fn chat(change: Value) -> Result<(), String> {
        let mut spec = json!({"name": "j", "kind": "chat", "provider": "p", "model": "m"});
        merge(&mut spec, change);
        judge(spec)
    }

    fn merge(into: &mut Value, from: Value) {
        into.as_object_mut().unwrap().extend(from.as_object().unwrap().clone());
    }

    #[test]
    fn the_key_that_is_wrong_is_named() {
        assert_eq!(provider(json!({})), Ok(()));
        for (change, key) in [
            (json!({"base_url": null}), "base_url"),
            (json!({"kind": "anthropic", "base_url": null}), "base_url"),
            (json!({"kind": "gemini", "base_url": null}), "base_url"),
            (json!({"base_url": "localhost:8400"}), "base_url"),
            (json!({"base_url": "ftp://x/v1"}), "base_url"),
            (json!({"base_url": "http://"}), "base_url"),
            (json!({"base_url": "https://me:secret@x/v1"}), "base_url"),
            (json!({"kind": "simulated"}), "base_url"),
            (json!({"timeout_seconds": 0}), "timeout_seconds"),
            (json!({"concurrency": 10001}), "concurrency"),
            (json!({"attempts": 0}), "attempts"),
            (json!({"api_key_env": ""}), "api_key_env"),
        ] {
            assert_eq!(provider(change.clone()), Err(key.into()), "{change}");
        }
        assert_eq!(rules(json!({"any_of": ["I'm sorry", "?"]})), Ok(()));
        for (change, key) in [
            (json!({}), "any_of"),
            (json!({"whole_words": true}), "any_of"),
            (json!({"any_of": ["a", " "]}), "any_of[1]"),
            (json!({"any_of": ["“’\""]}), "any_of[0]"),
            (json!({"all_of": ["x".repeat(1001)]}), "all_of[0]"),
            (json!({"all_of": vec!["x"; 129]}), "all_of"),
            (json!({"any_pattern": [""]}), "any_pattern[0]"),
            (json!({"chars_min": 3, "chars_max": 2}), "chars_min"),
            (json!({"field": "both", "must_be_json": true}), "must_be_json"),
            (json!({"pii": ["email", "email"]}), "pii[1]"),
        ] {
            assert_eq!(rules(change.clone()), Err(key.into()), "{change}");
        }
        assert_eq!(chat(json!({"price": {"input": 1.0, "output": 2.0}})), Ok(()));
        assert_eq!(chat(json!({"price": "free"})), Ok(()));
        for (change, key) in [
            (json!({"model": " "}), "model"),
            (json!({"question": ""}), "question"),
            (json!({"instructions": "x".repeat(PROMPT_BYTES_MAX + 1)}), "instructions"),
            (json!({"temperature": 2.1}), "temperature"),
            (json!({"max_completion_tokens": 0}), "max_completion_tokens"),
            (json!({"price": {"input": -1.0, "output": 2.0}}), "price"),
            (json!({"packed": true, "instructions": "{{ question }}"}), "instructions"),
            (json!({"packed": true, "score_from": "logprobs"}), "score_from"),
        ] {
            assert_eq!(chat(change.clone()), Err(key.into()), "{change}");
        }
        let decisions = |change: Value| {
            let mut spec = json!({"name": "j", "kind": "decisions", "provider": "p", "model": "m"});
            merge(&mut spec, change);
            judge(spec)
        };
        assert_eq!(decisions(json!({"price": "free", "question": "Is it?"})), Ok(()));
        assert_eq!(decisions(json!({"model": ""})), Err("model".into()));
        assert_eq!(decisions(json!({"question": " "})), Err("question".into()));
        assert_eq!(decisions(json!({"price": {"input": 2e6, "output": 0}})), Err("price".into()));
    }

    #[test]
    fn unknown_keys_are_refused_in_every_table() {
        for spec in [
            json!({"name": "j", "kind": "rules", "any_off": ["x"]}),
            json!({"name": "j", "kind": "chat", "provider": "p", "model": "m", "modle": "m"}),
            json!({"name": "j", "kind": "decisions", "provider": "p", "model": "m", "temperature": 0.0}),
            json!({"name": "j", "kind": "chat", "provider": "p", "model": "m", "price": {"input": 1, "output": 1, "cached": 1}}),
        ] {
            assert!(serde_json::from_value::<JudgeSpec>(spec.clone()).is_err(), "{spec}");
        }
    }

    #[test]
    fn a_secret_in_an_address_is_not_repeated() {
        let spec: ProviderSpec =
            serde_json::from_value(json!({"name": "p", "kind": "openai", "base_url": "https://me:hunter2@x/v1"})).unwrap();
        assert!(!spec.check().unwrap_err().to_string().contains("hunter2"));
    }

    #[test]
    fn a_question_asks_something() {
        assert!(Question::default().check().is_err());
        let question = Question { text: "Is it?".into(), ..Question::default() };
        assert_eq!(question.check(), Ok(()));
        let both = Question { needs: Needs { context: true, reference: false }, without_context: true, ..question };
        assert_eq!(both.check().unwrap_err().key, "without_context");
    }
}
