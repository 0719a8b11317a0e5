//! What a judge outside Assize is asked and what it answers: one JSON object each way, the same for scripts ([`crate::command`]) and
//! services ([`crate::http_judge`]).
//!
//! Asked: `question`, `rubric`, `interaction_id`, `input` and `output` as text, and where they are known `system`, `context`,
//! `reference`, `conversation_id`, `model`, `prompt_version`, `environment`, `tags`; `input_messages` and `output_messages` where
//! one text says less than the messages do. Answered: `score` in [0, 1], and where it likes `label`, `confidence` in [0, 1],
//! `reason` and `model` (what has answered); or `error`, with `"retryable": true` where the same question may be answered later. Unknown keys are ignored.

use std::borrow::Cow;
use std::collections::BTreeMap;

use assize_core::judge::{CallFailure, CallFailureKind};
use assize_core::{Interaction, JudgeName, JudgeVersion, Message, NanoUsd, ProviderName, Verdict};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::answer::{self, kind_of};
use crate::check::SpecError;
use crate::providers::repeatable::repeatable;
use crate::spec::Question;

/// Changes with every change of what is asked: verdicts given to different requests are never pooled.
pub(crate) const FORM: &[u8] = b"exchange/1";

/// Characters of a label and of a model's name that are kept.
const WORD_CHARS_MAX: usize = 100;
/// A price above this many dollars a call is a slip of the pen.
const PRICE_USD_MAX: f64 = 1_000.0;

/// What is asked.
#[derive(Serialize)]
pub(crate) struct Asked<'a> {
    /// Which request it is; the answer of a script repeats it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<&'a str>,
    question: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    rubric: &'a str,
    interaction_id: &'a str,
    input: Cow<'a, str>,
    output: Cow<'a, str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    context: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    input_messages: &'a [Message],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    output_messages: &'a [Message],
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: &'a BTreeMap<String, String>,
}

impl<'a> Asked<'a> {
    pub(crate) fn of(question: &'a Question, interaction: &'a Interaction) -> Self {
        Self {
            id: None,
            question: &question.text,
            rubric: &question.rubric,
            interaction_id: interaction.id.as_str(),
            input: interaction.input_text(),
            output: interaction.output_text(),
            context: if question.without_context { &[] } else { &interaction.context },
            system: interaction.system.as_deref(),
            reference: interaction.reference.as_deref(),
            input_messages: more_than_text(&interaction.input),
            output_messages: more_than_text(&interaction.output),
            conversation_id: interaction.conversation_id.as_deref(),
            model: interaction.model.as_deref(),
            prompt_version: interaction.prompt_version.as_deref(),
            environment: interaction.environment.as_deref(),
            tags: &interaction.tags,
        }
    }
}

/// The messages, where their text alone would say less.
fn more_than_text(messages: &[Message]) -> &[Message] {
    match messages {
        [one] if one.tool.is_none() => &[],
        messages => messages,
    }
}

/// What the judge said of the interaction.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) score: f64,
    pub(crate) label: Option<String>,
    pub(crate) confidence: Option<f64>,
    pub(crate) reason: String,
    /// What it says has answered.
    pub(crate) model: Option<String>,
}

/// An answer, or the judge's own word that it has none.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    Answer(Answer),
    Error {
        /// In the judge's words: may repeat judged text.
        message: String,
        retryable: bool,
    },
}

/// Reads an answer. The error says what is wrong without repeating any of it.
pub(crate) fn said(object: &Map<String, Value>) -> Result<Said, String> {
    if let Some(error) = object.get("error").filter(|error| !error.is_null()) {
        let message = error.as_str().or_else(|| error.get("message").and_then(Value::as_str)).unwrap_or("it gave no reason");
        let retryable = object.get("retryable") == Some(&Value::Bool(true));
        return Ok(Said::Error { message: message.to_owned(), retryable });
    }
    Ok(Said::Answer(Answer {
        score: answer::score(object.get("score"))?,
        label: short("label", object.get("label"))?,
        model: short("model", object.get("model"))?,
        confidence: confidence(object.get("confidence"))?,
        reason: answer::reason(object.get("reason"))?,
    }))
}

fn short(what: &str, value: Option<&Value>) -> Result<Option<String>, String> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.chars().take(WORD_CHARS_MAX).collect())),
        Some(other) => Err(format!("the {what} is {}, not a text", kind_of(other))),
    }
}

fn confidence(value: Option<&Value>) -> Result<Option<f64>, String> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_f64() {
            Some(confidence) if (0.0..=1.0).contains(&confidence) => Ok(Some(confidence.abs())),
            Some(confidence) => Err(format!("the confidence {confidence} is not within 0 to 1")),
            None => Err(format!("the confidence is {}, not a number", kind_of(value))),
        },
    }
}

/// The failure that a judge's own error stands for.
pub(crate) fn declined(message: &str, retryable: bool, secrets: &[&str], interaction: &Interaction) -> CallFailure {
    let kind = if retryable { CallFailureKind::Unavailable } else { CallFailureKind::Rejected };
    CallFailure::new(kind, format!("the judge answered with an error: {}", told(message, secrets, interaction)))
}

/// What of a judge's words may be passed on.
pub(crate) fn told(message: &str, secrets: &[&str], interaction: &Interaction) -> String {
    let judged = judged(interaction);
    let first = repeatable(message, "", &judged);
    secrets.iter().fold(first, |message, secret| repeatable(&message, secret, ""))
}

/// All text of the interaction that must not be repeated.
fn judged(interaction: &Interaction) -> String {
    let messages = interaction.input.iter().chain(&interaction.output).map(|message| message.content.as_str());
    let tags = interaction.tags.values().map(String::as_str);
    let around = interaction.context.iter().chain(&interaction.system).chain(&interaction.reference).map(String::as_str);
    messages.chain(around).chain(tags).collect::<Vec<_>>().join("\n")
}

/// A verdict of such a judge.
pub(crate) fn verdict(
    answer: Answer,
    judge: &JudgeName,
    version: &JudgeVersion,
    cost: Option<NanoUsd>,
    latency_ms: u64,
) -> Verdict {
    Verdict {
        judge: judge.clone(),
        version: version.clone(),
        score: answer.score,
        label: answer.label,
        confidence: answer.confidence,
        reason: answer.reason,
        model: answer.model,
        usage: None,
        cost,
        latency_ms,
        simulated: false,
        reused: None,
    }
}

/// The price of a call in nano-dollars; nothing where none is given. Refuses what is negative, no number, or above 1,000 dollars.
pub(crate) fn price(usd: Option<f64>) -> Result<NanoUsd, SpecError> {
    match usd {
        None => Ok(NanoUsd::ZERO),
        Some(usd) if (0.0..=PRICE_USD_MAX).contains(&usd) => Ok(NanoUsd((usd * 1e9).round() as u64)),
        Some(usd) => Err(SpecError::new(
            "price_per_call_usd",
            format!("{usd} is not a price: use the dollars that one call costs, 0 to {PRICE_USD_MAX}"),
        )),
    }
}

/// What `calls` calls cost at `price` each, where that is anything.
pub(crate) fn bound(price: NanoUsd, calls: usize) -> Option<NanoUsd> {
    Some(NanoUsd(price.0.saturating_mul(calls as u64))).filter(|most| *most > NanoUsd::ZERO)
}

/// The judge's own name as that of its provider: it needs no `[[provider]]`.
pub(crate) fn provider(judge: &JudgeName) -> Result<ProviderName, SpecError> {
    ProviderName::new(judge.as_str()).map_err(|error| SpecError::new("name", error.to_string()))
}

#[cfg(test)]
mod tests {
    use assize_core::{InteractionId, ProjectName, Role, Timestamp};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn interaction() -> Interaction {
        Interaction {
            id: InteractionId::new("i1").unwrap(),
            project: ProjectName::new("default").unwrap(),
            time: Timestamp(0),
            conversation_id: None,
            model: None,
            prompt_version: None,
            environment: None,
            system: None,
            input: vec![Message::new(Role::User, "What is my card number?")],
            output: vec![Message::new(Role::Assistant, "It is 4111 1111 1111 1111.")],
            context: vec!["a document".into()],
            reference: None,
            tags: BTreeMap::new(),
            usage: None,
            flags: assize_core::Flags::default(),
        }
    }

    fn of(value: Value) -> Result<Said, String> {
        said(value.as_object().unwrap())
    }

    #[test]
    fn what_is_asked_is_what_is_known() {
        let question = Question { text: "Is it?".into(), ..Question::default() };
        let mut interaction = interaction();
        assert_eq!(
            serde_json::to_value(Asked::of(&question, &interaction)).unwrap(),
            json!({"question": "Is it?", "interaction_id": "i1", "input": "What is my card number?",
                "output": "It is 4111 1111 1111 1111.", "context": ["a document"]})
        );
        interaction.input.insert(0, Message::new(Role::User, "Hello"));
        let without = Question { without_context: true, rubric: "Because.".into(), ..question };
        let asked = serde_json::to_value(Asked::of(&without, &interaction)).unwrap();
        assert_eq!(asked["input"], "Hello\nWhat is my card number?");
        assert_eq!(asked["input_messages"][1], json!({"role": "user", "content": "What is my card number?"}));
        assert_eq!((&asked["context"], &asked["rubric"]), (&Value::Null, &json!("Because.")));
    }

    #[test]
    fn answers_are_taken_or_refused() {
        let answer = |score, label: Option<&str>, confidence, reason: &str| {
            Ok(Said::Answer(Answer { score, label: label.map(str::to_owned), confidence, reason: reason.into(), model: None }))
        };
        assert_eq!(of(json!({"score": 0.5, "extra": []})), answer(0.5, None, None, ""));
        assert_eq!(
            of(json!({"score": 1, "label": "toxic", "confidence": 0.9, "reason": "r", "error": null})),
            answer(1.0, Some("toxic"), Some(0.9), "r")
        );
        for wrong in [
            json!({}),
            json!({"score": null}),
            json!({"score": "1"}),
            json!({"score": 1.0001}),
            json!({"score": -0.1}),
            json!({"score": 1e300}),
            json!({"score": true}),
            json!({"score": 1, "confidence": 2}),
            json!({"score": 1, "confidence": "high"}),
            json!({"score": 1, "label": 3}),
            json!({"score": 1, "reason": ["r"]}),
        ] {
            assert!(of(wrong.clone()).is_err(), "{wrong}");
        }
        assert_eq!(of(json!({"error": "no", "score": 1})), Ok(Said::Error { message: "no".into(), retryable: false }));
        assert_eq!(
            of(json!({"error": {"message": "busy"}, "retryable": true})),
            Ok(Said::Error { message: "busy".into(), retryable: true })
        );
    }

    #[test]
    fn an_error_repeats_neither_judged_text_nor_secrets() {
        let interaction = interaction();
        let failure = declined("cannot judge 'It is 4111 1111 1111'", true, &[], &interaction);
        assert_eq!(failure.kind, CallFailureKind::Unavailable);
        assert!(!failure.message.contains("4111"), "{}", failure.message);
        let failure = declined("key hunter2-and-more refused", false, &["other", "hunter2-and-more"], &interaction);
        assert_eq!(failure.kind, CallFailureKind::Rejected);
        assert!(!failure.message.contains("hunter2"), "{}", failure.message);
        assert!(declined("out of memory", false, &["hunter2-and-more"], &interaction).message.contains("out of memory"));
    }

    #[test]
    fn prices_are_whole_nano_dollars() {
        assert_eq!(price(None).unwrap(), NanoUsd::ZERO);
        assert_eq!(price(Some(0.002)).unwrap(), NanoUsd(2_000_000));
        assert_eq!(price(Some(1e-9)).unwrap(), NanoUsd(1));
        for wrong in [-0.1, f64::NAN, f64::INFINITY, 1_000.1] {
            assert_eq!(price(Some(wrong)).unwrap_err().key, "price_per_call_usd");
        }
    }

    proptest! {
        #[test]
        fn no_answer_leaves_the_range(text in "\\{\"(score|confidence|label)\":[0-9.eE+-]{1,8}(,\"score\":[0-9.eE-]{1,6})?\\}") {
            if let Ok(object) = serde_json::from_str::<Map<String, Value>>(&text)
                && let Ok(Said::Answer(answer)) = said(&object)
            {
                prop_assert!((0.0..=1.0).contains(&answer.score));
                prop_assert!(answer.confidence.is_none_or(|confidence| (0.0..=1.0).contains(&confidence)));
            }
        }
    }
}
