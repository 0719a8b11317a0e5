//! What is judged: one request to a model and its answer.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{InteractionId, ProjectName, Timestamp};

/// Who speaks in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions of the application.
    System,
    /// Instructions of the application, as newer models call them.
    Developer,
    /// The person or program that asks.
    User,
    /// The model.
    Assistant,
    /// The result of a tool.
    Tool,
}

impl Role {
    /// The role as the wire formats spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = ();
    /// Also takes the synonyms `human`, `ai`, `model`, `bot` and `function`, in any case.
    fn from_str(text: &str) -> Result<Self, ()> {
        match text.to_ascii_lowercase().as_str() {
            "system" => Ok(Self::System),
            "developer" => Ok(Self::Developer),
            "user" | "human" => Ok(Self::User),
            "assistant" | "ai" | "model" | "bot" => Ok(Self::Assistant),
            "tool" | "function" => Ok(Self::Tool),
            _ => Err(()),
        }
    }
}

/// One message of a conversation. A tool call is a message of the assistant whose `tool` is the tool's name and whose `content` is
/// the arguments as JSON; a tool's result is a message of the role `tool`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said, verbatim.
    pub content: String,
    /// The tool that is called or that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
}

impl Message {
    /// A plain message.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), tool: None }
    }
}

/// Token counts as the provider reported them. `input` includes `cached_input`, whatever the provider's own convention is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUsage {
    /// All input tokens, cached ones included.
    pub input: u64,
    /// All output tokens, reasoning included.
    pub output: u64,
    /// Input tokens that were read from the provider's prompt cache.
    #[serde(default)]
    pub cached_input: u64,
    /// Input tokens that were written to it, where the provider charges for that.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_write: u64,
}

fn is_zero(tokens: &u64) -> bool {
    *tokens == 0
}

impl TokenUsage {
    /// The usage of a call that answered `n` questions, as `n` parts that add up to it exactly.
    pub fn split(&self, n: usize) -> Vec<Self> {
        let part = |total: u64, at: u64| share(total, at, n as u64);
        let usage = |at| Self {
            input: part(self.input, at),
            output: part(self.output, at),
            cached_input: part(self.cached_input, at),
            cache_write: part(self.cache_write, at),
        };
        (0..n as u64).map(usage).collect()
    }
}

/// The part `at` of `total` in `n` parts that differ by one at the most and add up to it.
pub(crate) fn share(total: u64, at: u64, n: u64) -> u64 {
    total.checked_div(n).map_or(0, |part| part + u64::from(at < total % n))
}

/// What was odd about an interaction when it came in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flags {
    /// The sender's time lay outside -7 days and +5 minutes; the time of acceptance was used instead.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub time_replaced: bool,
    /// The sender cut an attribute short, so that the text is incomplete.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// A language-model span that came without any text.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_content: bool,
}

/// One request to a language model and its answer, with what is known around it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interaction {
    /// The sender's id, unique within the project. For a span `<trace id hex>-<span id hex>`.
    pub id: InteractionId,
    /// The project that it belongs to.
    pub project: ProjectName,
    /// When it happened, as far as it is believed (see [`crate::time::believed`]).
    pub time: Timestamp,
    /// The conversation that it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<String>,
    /// The model that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The version of the application's prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_version: Option<String>,
    /// Where the application runs, such as `production`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The application's instructions to the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// What was asked: earlier turns first, the question last.
    #[serde(default)]
    pub input: Vec<Message>,
    /// What was answered.
    #[serde(default)]
    pub output: Vec<Message>,
    /// What the answer should rest on: retrieved documents, tool results.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<String>,
    /// The right answer, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Free labels of the sender.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The tokens that the application paid for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<TokenUsage>,
    /// What was odd about it.
    #[serde(default)]
    pub flags: Flags,
}

impl Interaction {
    /// The answer's text: the contents of all output messages, joined by a newline. Borrowed when there is one message.
    pub fn output_text(&self) -> Cow<'_, str> {
        joined(&self.output)
    }

    /// The question's text: the contents of all input messages, joined by a newline. Borrowed when there is one message.
    pub fn input_text(&self) -> Cow<'_, str> {
        joined(&self.input)
    }

    /// Whether there is any answer to judge.
    pub fn has_content(&self) -> bool {
        !self.flags.no_content && self.output.iter().any(|message| !message.content.trim().is_empty() || message.tool.is_some())
    }
}

fn joined(messages: &[Message]) -> Cow<'_, str> {
    match messages {
        [] => Cow::Borrowed(""),
        [one] => Cow::Borrowed(&one.content),
        many => Cow::Owned(many.iter().map(|message| message.content.as_str()).collect::<Vec<_>>().join("\n")),
    }
}
