//! Reads attributes: one pass, one match on the key, values moved and not copied.

use assize_core::TokenUsage;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};

use super::indexed::{Indexed, numbered};
use super::material::Material;
use super::value::{into_count, into_json, into_text, into_texts};
use crate::ingest::draft::label;
use crate::ingest::tree::Json;
use crate::ingest::{Draft, TAGS_MAX};

/// What a span does, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Calls a language model.
    Llm,
    /// Finds documents.
    Retrieval,
    /// Runs a tool.
    Tool,
    /// Anything else: chains, agents, embeddings.
    Other,
}

/// What the conventions each call a span, most exact first when they differ.
#[derive(Debug, Default)]
struct Kinds {
    openinference: Option<Kind>,
    operation: Option<Kind>,
    langfuse: Option<Kind>,
    request: Option<Kind>,
    traceloop: Option<Kind>,
}

#[derive(Debug, Default)]
struct Tokens {
    input: Option<u64>,
    output: Option<u64>,
    cached: Option<u64>,
}

/// What attributes and events say about a span or a log record.
#[derive(Debug, Default)]
pub(super) struct Facts {
    kinds: Kinds,
    request_model: Option<String>,
    response_model: Option<String>,
    conversation: Option<String>,
    session: Option<String>,
    prompt_name: Option<String>,
    prompt_version: Option<String>,
    environment: Option<String>,
    system: Option<Value>,
    tokens: Tokens,
    tags: Vec<(String, String)>,
    documents: Vec<(u32, String)>,
    document_list: Option<Value>,
    /// The result of a tool, by the conventions that have an attribute of its own for it.
    pub tool_result: Option<Value>,
    /// What was asked.
    pub input: Material,
    /// What was answered.
    pub output: Material,
    /// Whether attributes were dropped or cut short.
    pub truncated: bool,
}

impl Facts {
    /// Takes all of `attributes`.
    pub(super) fn attributes(&mut self, attributes: Vec<KeyValue>) {
        for KeyValue { key, value, .. } in attributes {
            if let Some(value) = value.and_then(|value| value.value) {
                self.attribute(&key, value);
            }
        }
    }

    /// Takes one attribute. Those that say nothing about a model's work are passed over.
    pub(super) fn attribute(&mut self, key: &str, value: Value) {
        match key {
            "gen_ai.operation.name" => self.kinds.operation = text_kind(&value, operation_kind),
            "openinference.span.kind" => self.kinds.openinference = text_kind(&value, openinference_kind),
            "langfuse.observation.type" => self.kinds.langfuse = text_kind(&value, langfuse_kind),
            "llm.request.type" => self.kinds.request = text_kind(&value, request_kind),
            "traceloop.span.kind" => self.kinds.traceloop = text_kind(&value, traceloop_kind),

            "gen_ai.request.model" | "llm.request.model" | "langfuse.observation.model.name" | "llm.model_name" => {
                set(&mut self.request_model, value);
            }
            "gen_ai.response.model" | "llm.response.model" => set(&mut self.response_model, value),
            "gen_ai.conversation.id" => set(&mut self.conversation, value),
            "session.id"
            | "langfuse.session.id"
            | "traceloop.association.properties.session_id"
            | "traceloop.association.properties.thread_id"
            | "ai.telemetry.metadata.sessionId" => set(&mut self.session, value),
            "gen_ai.prompt.name" | "langfuse.observation.prompt.name" | "traceloop.prompt.key" => {
                set(&mut self.prompt_name, value)
            }
            "gen_ai.prompt.version"
            | "langfuse.observation.prompt.version"
            | "traceloop.prompt.version"
            | "llm.prompt_template.version" => set(&mut self.prompt_version, value),
            "langfuse.environment" | "deployment.environment.name" | "deployment.environment" => {
                set(&mut self.environment, value)
            }
            "gen_ai.system_instructions" => self.system = Some(value),

            "gen_ai.input.messages" => self.input.declared = Some(value),
            "gen_ai.output.messages" => self.output.declared = Some(value),
            "langfuse.observation.input" => self.input.langfuse = Some(value),
            "langfuse.observation.output" => self.output.langfuse = Some(value),
            "input.value" => self.input.value = Some(value),
            "output.value" => self.output.value = Some(value),
            "input.mime_type" => self.input.mime = into_text(value),
            "output.mime_type" => self.output.mime = into_text(value),
            "gen_ai.prompt" | "ai.prompt.messages" | "llm.prompts" | "traceloop.entity.input" => self.input.loose = Some(value),
            "gen_ai.completion" | "ai.response.text" | "llm.completions" | "traceloop.entity.output" => {
                self.output.loose = Some(value);
            }
            "ai.response.toolCalls" => self.output.calls = Some(value),
            "gen_ai.tool.call.result" | "ai.toolCall.result" => self.tool_result = Some(value),
            "gen_ai.retrieval.documents" => self.document_list = Some(value),

            "gen_ai.usage.input_tokens"
            | "gen_ai.usage.prompt_tokens"
            | "llm.token_count.prompt"
            | "llm.usage.prompt_tokens"
            | "ai.usage.promptTokens"
            | "ai.usage.inputTokens" => count(&mut self.tokens.input, &value),
            "gen_ai.usage.output_tokens"
            | "gen_ai.usage.completion_tokens"
            | "llm.token_count.completion"
            | "llm.usage.completion_tokens"
            | "ai.usage.completionTokens"
            | "ai.usage.outputTokens" => count(&mut self.tokens.output, &value),
            "gen_ai.usage.cache_read.input_tokens"
            | "gen_ai.usage.cache_read_input_tokens"
            | "llm.token_count.prompt_details.cache_read"
            | "ai.usage.cachedInputTokens" => count(&mut self.tokens.cached, &value),
            "langfuse.observation.usage_details" => self.langfuse_usage(value),

            "tag.tags" | "langfuse.trace.tags" => {
                into_texts(value).into_iter().take(TAGS_MAX).for_each(|tag| self.listed_tag(&tag))
            }
            "metadata" | "langfuse.trace.metadata" | "langfuse.observation.metadata" => self.metadata(value),
            "user.id" | "langfuse.user.id" => self.tag("user.id", value),
            "langfuse.release" => self.tag("release", value),
            "langfuse.version" => self.tag("version", value),
            "gen_ai.agent.name" | "gen_ai.tool.name" | "service.name" => self.tag(key, value),
            _ => self.prefixed(key, value),
        }
    }

    /// Attributes of which only the beginning of the key is known.
    fn prefixed(&mut self, key: &str, value: Value) {
        type Side = fn(&mut Facts) -> &mut Indexed;
        const NUMBERED: [(&str, Side); 7] = [
            ("gen_ai.prompt.", |facts| &mut facts.input.indexed),
            ("gen_ai.completion.", |facts| &mut facts.output.indexed),
            ("llm.input_messages.", |facts| &mut facts.input.indexed),
            ("llm.output_messages.", |facts| &mut facts.output.indexed),
            ("llm.prompts.", |facts| &mut facts.input.indexed),
            ("llm.completions.", |facts| &mut facts.output.indexed),
            ("llm.choices.", |facts| &mut facts.output.indexed),
        ];
        for (prefix, side) in NUMBERED {
            if let Some(rest) = key.strip_prefix(prefix) {
                return side(self).put(rest, value);
            }
        }
        let documents = ["retrieval.documents.", "reranker.output_documents."].iter().find_map(|prefix| key.strip_prefix(prefix));
        if let Some((number, "document.content")) = documents.and_then(numbered) {
            self.documents.extend(into_text(value).map(|text| (number, text)));
            return;
        }
        let tags = [
            "metadata.",
            "langfuse.trace.metadata.",
            "langfuse.observation.metadata.",
            "traceloop.association.properties.",
            "ai.telemetry.metadata.",
        ];
        if let Some(name) = tags.iter().find_map(|prefix| key.strip_prefix(prefix))
            && !matches!(value, Value::ArrayValue(_) | Value::KvlistValue(_))
        {
            self.tag(name, value);
        }
    }

    fn tag(&mut self, key: &str, value: Value) {
        // Twice the limit, since some may prove too long or double.
        if self.tags.len() < 2 * TAGS_MAX
            && let Some(text) = into_text(value)
        {
            self.tags.push((key.to_owned(), text));
        }
    }

    /// A tag of a list of tags: `name:value` or `name=value` where it is that, else itself with the value `true`.
    fn listed_tag(&mut self, tag: &str) {
        let pair = tag.split_once([':', '=']).map(|(name, value)| (name.trim(), value.trim()));
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        let (name, value) = match pair {
            Some((name, value)) if is_name(name) && !value.is_empty() && !value.starts_with('/') => (name, value),
            _ => (tag, "true"),
        };
        self.tags.push((name.to_owned(), value.to_owned()));
    }

    /// The scalars of a JSON object, as tags.
    fn metadata(&mut self, value: Value) {
        let json = match value {
            Value::StringValue(text) => match Json::parse(&text) {
                Ok(json) => json.into_owned(),
                Err(_) => return,
            },
            other => into_json(other),
        };
        if let Json::Object(entries) = json {
            for (key, value) in entries.into_iter().take(TAGS_MAX) {
                self.tags.extend(value.into_scalar_text().map(|text| (key.into_owned(), text)));
            }
        }
    }

    /// Langfuse's own counts are disjoint: `input` leaves out what is counted under `input_cached_tokens` and the like. Its wrapper
    /// of OpenAI's client sends OpenAI's usage as it is, whose `prompt_tokens` include cached ones.
    fn langfuse_usage(&mut self, value: Value) {
        let Some(text) = into_text(value) else { return };
        let Ok(json) = Json::parse(&text) else { return };
        let first = |keys: &[&str]| keys.iter().find_map(|key| json.get(key)).and_then(Json::as_u64);
        let cached = first(&["input_cached_tokens", "input_cache_read", "cache_read_input_tokens"]);
        let written = first(&["input_cache_creation", "cache_creation_input_tokens"]).unwrap_or(0);
        if let Some(input) = first(&["input", "input_tokens"]) {
            self.tokens.input = Some(input.saturating_add(cached.unwrap_or(0)).saturating_add(written));
        } else if let Some(prompt) = first(&["prompt_tokens"]) {
            self.tokens.input = Some(prompt);
            let details = json.get("prompt_tokens_details").and_then(|details| details.get("cached_tokens"));
            self.tokens.cached = details.and_then(Json::as_u64).or(self.tokens.cached);
        }
        self.tokens.output = first(&["output", "output_tokens", "completion_tokens"]).or(self.tokens.output);
        self.tokens.cached = cached.or(self.tokens.cached);
    }

    /// What the span does. Where no convention names it, a model together with messages makes it a call of a model.
    pub(super) fn kind(&self) -> Kind {
        let Kinds { openinference, operation, langfuse, request, traceloop } = self.kinds;
        openinference.or(operation).or(langfuse).or(request).or(traceloop).unwrap_or_else(|| {
            let has_model = self.request_model.is_some() || self.response_model.is_some();
            if has_model && (self.input.has_messages() || self.output.has_messages()) { Kind::Llm } else { Kind::Other }
        })
    }

    /// Documents that stand on the span itself, in order.
    pub(super) fn take_documents(&mut self) -> Vec<String> {
        let mut numbered = std::mem::take(&mut self.documents);
        numbered.sort_by_key(|(number, _)| *number);
        let mut documents: Vec<String> =
            numbered.into_iter().map(|(_, text)| text).filter(|text| !text.trim().is_empty()).collect();
        if documents.is_empty() {
            documents = self.document_list.take().map(super::material::documents).unwrap_or_default();
        }
        documents
    }

    /// The draft that the facts make, without id and time. Instructions are not moved from input to `system` yet.
    pub(super) fn into_draft(mut self) -> Draft {
        use crate::ingest::conversation::{Side, instructions};
        use crate::ingest::cut::{self, Reading};

        let context = self.take_documents();
        let prompt_name = self.prompt_name.clone();
        let input = self.input.resolve(Side::Input);
        let output = self.output.resolve(Side::Output);
        let mut truncated = self.truncated || input.truncated || output.truncated;
        let system = match self.system {
            None => None,
            Some(Value::StringValue(text)) => match cut::read(&text) {
                Reading::Whole(json) => instructions(json),
                Reading::Cut(json) => {
                    truncated = true;
                    instructions(json)
                }
                Reading::Plain { cut } => {
                    truncated |= cut;
                    (!text.trim().is_empty()).then_some(text)
                }
            },
            Some(other) => instructions(into_json(other)),
        };
        let mut draft = Draft {
            conversation_id: self.conversation.or(self.session).and_then(label),
            model: self.response_model.or(self.request_model).and_then(label),
            prompt_version: self.prompt_version.or(self.prompt_name).and_then(label),
            environment: self.environment.and_then(label),
            system: system.or(input.found.system),
            input: input.found.messages,
            output: output.found.messages,
            context,
            usage: self.tokens.usage(),
            ..Draft::default()
        };
        draft.flags.truncated = truncated;
        for (key, value) in self.tags {
            draft.tag(&key, value);
        }
        if let Some(name) = prompt_name {
            draft.tag("gen_ai.prompt.name", name);
        }
        draft
    }
}

impl Tokens {
    /// Conventions count cached tokens as part of the input. Where more are cached than came in, the sender follows Anthropic's way
    /// of counting them apart, and they are added.
    fn usage(self) -> Option<TokenUsage> {
        if self.input.is_none() && self.output.is_none() {
            return None;
        }
        let (input, cached_input) = (self.input.unwrap_or(0), self.cached.unwrap_or(0));
        let input = if cached_input > input { input.saturating_add(cached_input) } else { input };
        Some(TokenUsage { input, output: self.output.unwrap_or(0), cached_input, ..TokenUsage::default() })
    }
}

fn set(slot: &mut Option<String>, value: Value) {
    if let Some(text) = into_text(value).filter(|text| !text.is_empty()) {
        *slot = Some(text);
    }
}

fn count(slot: &mut Option<u64>, value: &Value) {
    if let Some(count) = into_count(value) {
        *slot = Some(count);
    }
}

fn text_kind(value: &Value, kind: fn(&str) -> Option<Kind>) -> Option<Kind> {
    match value {
        Value::StringValue(text) => kind(text),
        _ => None,
    }
}

/// `gen_ai.operation.name`. Names that are not known decide nothing.
fn operation_kind(name: &str) -> Option<Kind> {
    match name {
        "chat" | "text_completion" | "generate_content" | "completion" | "responses" | "message" => Some(Kind::Llm),
        "retrieval" => Some(Kind::Retrieval),
        "execute_tool" => Some(Kind::Tool),
        "embeddings" | "create_agent" | "invoke_agent" | "invoke_workflow" | "image_generation" | "rerank" => Some(Kind::Other),
        _ => None,
    }
}

fn openinference_kind(name: &str) -> Option<Kind> {
    Some(match name.to_ascii_uppercase().as_str() {
        "LLM" => Kind::Llm,
        "RETRIEVER" | "RERANKER" => Kind::Retrieval,
        "TOOL" => Kind::Tool,
        "" | "UNKNOWN" => return None,
        _ => Kind::Other,
    })
}

fn langfuse_kind(name: &str) -> Option<Kind> {
    Some(match name.to_ascii_lowercase().as_str() {
        "generation" => Kind::Llm,
        "retriever" => Kind::Retrieval,
        "tool" => Kind::Tool,
        _ => Kind::Other,
    })
}

fn request_kind(name: &str) -> Option<Kind> {
    match name {
        "chat" | "completion" => Some(Kind::Llm),
        "embedding" | "rerank" => Some(Kind::Other),
        _ => None,
    }
}

fn traceloop_kind(name: &str) -> Option<Kind> {
    match name {
        "tool" => Some(Kind::Tool),
        "workflow" | "task" | "agent" => Some(Kind::Other),
        _ => None,
    }
}
