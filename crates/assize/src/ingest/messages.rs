//! Reads messages in the shapes of the providers and conventions: OpenAI chat and responses, Anthropic, Gemini, OpenTelemetry
//! parts, the Vercel AI SDK, LangChain. One reader, strict for our own API and lenient for spans.

use assize_core::{Message, Role};

use super::tree::Json;

/// What is wrong with a value, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The place, such as `[2].role`; empty for the value itself.
    pub path: String,
    /// What is wrong with it, to be read after the place.
    pub message: String,
}

impl Fault {
    fn new(message: impl Into<String>) -> Self {
        Self { path: String::new(), message: message.into() }
    }

    /// The same fault, seen from one level further out.
    pub fn under(mut self, outer: impl std::fmt::Display) -> Self {
        self.path = format!("{outer}{}", self.path);
        self
    }
}

const ROLES: &str = "use system, developer, user, assistant or tool";

/// Reads messages and appends them to what was read before.
#[derive(Debug)]
pub struct MessageReader<'m> {
    messages: &'m mut Vec<Message>,
    /// The role of what names none. `None` is strict: what is missing or unknown is then a fault.
    fallback: Option<Role>,
}

impl<'m> MessageReader<'m> {
    /// A reader that wants every message to have a known role and readable content.
    pub fn strict(messages: &'m mut Vec<Message>) -> Self {
        Self { messages, fallback: None }
    }

    /// A reader that takes what it can, and `fallback` for the role of what names none. It never gives a fault.
    pub fn lenient(messages: &'m mut Vec<Message>, fallback: Role) -> Self {
        Self { messages, fallback: Some(fallback) }
    }

    fn is_strict(&self) -> bool {
        self.fallback.is_none()
    }

    /// Reads an array of messages. Arrays within it, as LangChain sends them, are read like it.
    pub fn list(&mut self, items: Vec<Json<'_>>) -> Result<(), Fault> {
        for (index, item) in items.into_iter().enumerate() {
            match item {
                Json::List(inner) if !self.is_strict() => self.list(inner),
                item => self.message(item),
            }
            .map_err(|fault| fault.under(format_args!("[{index}]")))?;
        }
        Ok(())
    }

    /// Reads one message: an object, or, when lenient, a string.
    pub fn message(&mut self, json: Json<'_>) -> Result<(), Fault> {
        let mut message = match json {
            object @ Json::Object(_) => object,
            other => {
                let Some(role) = self.fallback else {
                    return Err(Fault::new(format!("is {}: a message is an object with role and content", other.kind())));
                };
                return self.content(other, role, None);
            }
        };
        // OpenAI's choices and OpenTelemetry's wrap the message, LangChain's serialised ones hold it in `kwargs` or `data`.
        for wrapper in ["message", "kwargs", "data"] {
            if matches!(message.get(wrapper), Some(Json::Object(_))) && message.get("content").is_none() {
                let role = self.role_of(&message).ok().flatten();
                let outer = self.fallback;
                self.fallback = role.or(outer);
                let read = message.take(wrapper).map_or(Ok(()), |inner| self.message(inner));
                self.fallback = outer;
                return read.map_err(|fault| fault.under(format_args!(".{wrapper}")));
            }
        }
        match message.get("type").and_then(Json::as_text) {
            Some("reasoning") => return Ok(()),
            Some("function_call" | "function_call_output" | "custom_tool_call" | "custom_tool_call_output")
                if message.get("role").is_none() =>
            {
                return self.part(message, Role::Assistant, &mut String::new());
            }
            _ => {}
        }
        // The Vercel AI SDK lists the calls of an answer by themselves.
        if message.get("toolName").is_some() && message.get("content").is_none() && message.get("role").is_none() {
            return self.tool_call(message);
        }
        let role = match self.role_of(&message)? {
            Some(role) => role,
            None => return Err(Fault::new(format!("is missing: {ROLES}")).under(".role")),
        };
        self.body(message, role)
    }

    /// The role that `message` names or that follows from its type; the fallback where there is none.
    fn role_of(&self, message: &Json<'_>) -> Result<Option<Role>, Fault> {
        match message.get("role") {
            Some(Json::Text(name)) => match name.parse() {
                Ok(role) => return Ok(Some(role)),
                Err(()) if self.is_strict() => {
                    let shown: String = name.chars().take(40).collect();
                    return Err(Fault::new(format!("{shown:?} is not a role: {ROLES}")).under(".role"));
                }
                Err(()) => return Ok(self.fallback),
            },
            None | Some(Json::Null) => {}
            Some(other) if self.is_strict() => return Err(Fault::new(format!("is {}: {ROLES}", other.kind())).under(".role")),
            Some(_) => return Ok(self.fallback),
        }
        let by_type = message.get("type").and_then(Json::as_text).and_then(|kind| {
            let kind = kind.strip_suffix("MessageChunk").or(kind.strip_suffix("Message")).unwrap_or(kind);
            kind.parse().ok()
        });
        // LangChain's serialised classes: `"id": ["langchain", "schema", "messages", "HumanMessage"]`.
        let by_class = || match message.get("id") {
            Some(Json::List(path)) => {
                let class = path.last()?.as_text()?;
                class.strip_suffix("MessageChunk").or(class.strip_suffix("Message"))?.parse().ok()
            }
            _ => None,
        };
        Ok(by_type.or_else(by_class).or(self.fallback))
    }

    /// Reads content, parts and tool calls of a message whose role is known.
    fn body(&mut self, mut message: Json<'_>, role: Role) -> Result<(), Fault> {
        let before = self.messages.len();
        let tool = ["name", "tool_name", "toolName"].into_iter().find_map(|key| message.take(key)).map(Json::into_text);
        let tool = tool.filter(|_| role == Role::Tool);
        let mut empty = false;
        for key in ["content", "parts"] {
            if let Some(content) = message.take(key) {
                empty |= content.as_text() == Some("");
                self.content(content, role, tool.clone()).map_err(|fault| fault.under(format_args!(".{key}")))?;
            }
        }
        if self.messages.len() == before {
            for key in ["refusal", "text"] {
                if let Some(Json::Text(text)) = message.take(key) {
                    self.messages.push(Message { role, content: text.into_owned(), tool: tool.clone() });
                    break;
                }
            }
            if let Some(mut audio) = message.take("audio")
                && let Some(Json::Text(transcript)) = audio.take("transcript")
            {
                self.messages.push(Message { role, content: transcript.into_owned(), tool: None });
            }
        }
        let calls = ["tool_calls", "toolCalls"].into_iter().find_map(|key| message.take(key));
        let had_calls = calls.is_some();
        if let Some(Json::List(calls)) = calls {
            for (index, call) in calls.into_iter().enumerate() {
                self.tool_call(call).map_err(|fault| fault.under(format_args!(".tool_calls[{index}]")))?;
            }
        } else if had_calls && self.is_strict() {
            return Err(Fault::new("is not an array").under(".tool_calls"));
        }
        if let Some(call) = message.take("function_call") {
            self.tool_call(call).map_err(|fault| fault.under(".function_call"))?;
        }
        if self.messages.len() == before && self.is_strict() {
            if !empty {
                return Err(Fault::new("is missing: give a string or an array of parts").under(".content"));
            }
            self.messages.push(Message { role, content: String::new(), tool });
        }
        Ok(())
    }

    /// Reads content: a string, a part, or an array of both. Text parts that follow each other become one message.
    pub fn content(&mut self, json: Json<'_>, role: Role, tool: Option<String>) -> Result<(), Fault> {
        let mut text = String::new();
        match json {
            Json::Text(whole) => text = whole.into_owned(),
            Json::List(parts) => {
                for (index, part) in parts.into_iter().enumerate() {
                    self.part(part, role, &mut text).map_err(|fault| fault.under(format_args!("[{index}]")))?;
                }
            }
            part @ Json::Object(_) => self.part(part, role, &mut text)?,
            Json::Null => {}
            other if self.is_strict() => {
                return Err(Fault::new(format!("is {}: give a string or an array of parts", other.kind())));
            }
            other => text = other.into_text(),
        }
        if !text.is_empty() {
            self.messages.push(Message { role, content: text, tool });
        }
        Ok(())
    }

    /// Reads one part: its text goes to `text`; a tool call or result becomes a message of its own, after the text before it.
    fn part(&mut self, json: Json<'_>, role: Role, text: &mut String) -> Result<(), Fault> {
        let mut part = match json {
            Json::Text(more) => {
                append(text, more);
                return Ok(());
            }
            object @ Json::Object(_) => object,
            Json::Null => return Ok(()),
            other if self.is_strict() => {
                return Err(Fault::new(format!("is {}: a part is an object with type and text", other.kind())));
            }
            other => {
                append(text, other.into_text().into());
                return Ok(());
            }
        };
        for key in ["functionCall", "function_call"] {
            if let Some(call @ Json::Object(_)) = part.take(key) {
                self.flush(text, role);
                return self.tool_call(call);
            }
        }
        for key in ["functionResponse", "function_response"] {
            if let Some(answer @ Json::Object(_)) = part.take(key) {
                self.flush(text, role);
                self.tool_answer(answer);
                return Ok(());
            }
        }
        match part.get("type").and_then(Json::as_text).unwrap_or("text") {
            "tool_call" | "tool_use" | "tool-call" | "function_call" | "server_tool_call" | "server_tool_use"
            | "custom_tool_call" => {
                self.flush(text, role);
                return self.tool_call(part);
            }
            "tool_call_response"
            | "tool_result"
            | "tool-result"
            | "function_call_output"
            | "custom_tool_call_output"
            | "server_tool_call_response" => {
                self.flush(text, role);
                self.tool_answer(part);
                return Ok(());
            }
            // What the model thought is not what it said.
            "reasoning" | "thinking" | "redacted_thinking" => return Ok(()),
            _ => {}
        }
        for key in ["text", "content", "refusal", "transcript"] {
            match part.take(key) {
                Some(Json::Text(more)) => {
                    append(text, more);
                    return Ok(());
                }
                // A part of parts, such as a document with its own content.
                Some(nested @ (Json::List(_) | Json::Object(_))) if key == "content" => return self.nested(nested, role, text),
                Some(other) if self.is_strict() => {
                    return Err(Fault::new(format!("is {}, not a string", other.kind())).under(format_args!(".{key}")));
                }
                _ => {}
            }
        }
        let kind = part.get("type").and_then(Json::as_text).unwrap_or("text");
        if matches!(kind, "text" | "input_text" | "output_text") {
            return if self.is_strict() { Err(Fault::new("is missing").under(".text")) } else { Ok(()) };
        }
        // Images, sound and files cannot be judged as text; the judge is to know that something stood there.
        let shown: String = kind.trim_start_matches("input_").trim_end_matches("_url").chars().take(40).collect();
        append(text, format!("[{shown}]").into());
        Ok(())
    }

    fn nested(&mut self, json: Json<'_>, role: Role, text: &mut String) -> Result<(), Fault> {
        match json {
            Json::List(parts) => {
                for (index, part) in parts.into_iter().enumerate() {
                    self.part(part, role, text).map_err(|fault| fault.under(format_args!(".content[{index}]")))?;
                }
                Ok(())
            }
            other => self.part(other, role, text).map_err(|fault| fault.under(".content")),
        }
    }

    fn flush(&mut self, text: &mut String, role: Role) {
        if !text.is_empty() {
            self.messages.push(Message::new(role, std::mem::take(text)));
        }
    }

    /// Reads a tool call: `{function: {name, arguments}}`, `{name, arguments | input | args}`, `{toolName, args | input}`.
    pub fn tool_call(&mut self, mut call: Json<'_>) -> Result<(), Fault> {
        for wrapper in ["function", "tool_call", "custom"] {
            if let Some(inner @ Json::Object(_)) = call.take(wrapper) {
                return self.tool_call(inner).map_err(|fault| fault.under(format_args!(".{wrapper}")));
            }
        }
        let name = ["name", "toolName", "tool_name"].into_iter().find_map(|key| call.take(key));
        let Some(Json::Text(name)) = name else {
            return if self.is_strict() { Err(Fault::new("is missing: a tool call has a name").under(".name")) } else { Ok(()) };
        };
        let arguments = ["arguments", "input", "args"].into_iter().find_map(|key| call.take(key)).unwrap_or(Json::Null);
        self.messages.push(Message { role: Role::Assistant, content: arguments.into_text(), tool: Some(name.into_owned()) });
        Ok(())
    }

    fn tool_answer(&mut self, mut answer: Json<'_>) {
        let tool = ["name", "toolName", "tool_name"].into_iter().find_map(|key| answer.take(key)).map(Json::into_text);
        let result = ["response", "result", "content", "output"].into_iter().find_map(|key| answer.take(key));
        let content = match result {
            None => String::new(),
            Some(Json::List(parts)) if parts.iter().all(|part| part.get("text").is_some_and(|text| text.as_text().is_some())) => {
                let texts = parts.into_iter().filter_map(|mut part| part.take("text")).map(Json::into_text);
                texts.collect::<Vec<_>>().join("\n")
            }
            Some(other) => other.into_text(),
        };
        self.messages.push(Message { role: Role::Tool, content, tool });
    }
}

/// Adds a part's text on a line of its own. The first is moved, not copied.
fn append(text: &mut String, more: std::borrow::Cow<'_, str>) {
    if text.is_empty() {
        *text = more.into_owned();
    } else if !more.is_empty() {
        text.push('\n');
        text.push_str(&more);
    }
}

#[cfg(test)]
mod tests;
