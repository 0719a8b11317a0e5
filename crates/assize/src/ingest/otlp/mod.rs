//! OpenTelemetry in: traces and logs, as protobuf, JSON or decoded gRPC messages, in the spellings of OpenTelemetry GenAI (old and
//! new), OpenInference, Langfuse, OpenLLMetry (Traceloop) and the Vercel AI SDK.
//!
//! Items are decoded one at a time and dropped at once, so that a body costs its own size in memory and not that of its decoded
//! form, and one malformed item refuses itself alone. On the way: `wire` and `json` split a body into items, `facts` reads
//! attributes in one pass, `material` finds the conversation among the places where senders put it, `span` says what a span is,
//! `context` gives what was retrieved to the calls that came after it.

mod context;
mod events;
mod facts;
mod indexed;
mod json;
pub mod logs;
mod material;
mod span;
pub mod traces;
mod value;
mod wire;

pub use logs::{Logs, SpanContent};
pub use traces::Traces;

/// Items of a request that were refused: how many, and why for the first of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusals {
    /// How many items were refused.
    pub count: usize,
    /// The reasons of the first 20, each naming its item. Never holds any of what was said.
    pub messages: Vec<String>,
}

impl Refusals {
    const MESSAGES_MAX: usize = 20;

    fn add(&mut self, message: impl FnOnce() -> String) {
        self.count = self.count.saturating_add(1);
        if self.messages.len() < Self::MESSAGES_MAX {
            self.messages.push(message());
        }
    }

    /// The reasons in one line, for `error_message` of a partial success; `None` when nothing was refused.
    pub fn summary(&self) -> Option<String> {
        if self.count == 0 {
            return None;
        }
        let more = self.count.saturating_sub(self.messages.len());
        let told = self.messages.join("; ");
        Some(if more == 0 { told } else { format!("{told}; and {more} more") })
    }
}

/// The ids of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct SpanIds {
    trace: [u8; 16],
    span: [u8; 8],
}

impl SpanIds {
    /// Checks length and that neither is zero, which OpenTelemetry calls invalid.
    fn new(trace: &[u8], span: &[u8]) -> Result<Self, String> {
        let checked = |name, bytes: usize, given: &[u8]| {
            if given.len() != bytes {
                Err(format!("{name} has {} bytes instead of {bytes}", given.len()))
            } else if given.iter().all(|byte| *byte == 0) {
                Err(format!("{name} is zero"))
            } else {
                Ok(())
            }
        };
        checked("trace id", 16, trace)?;
        checked("span id", 8, span)?;
        let mut ids = Self { trace: [0; 16], span: [0; 8] };
        ids.trace.copy_from_slice(trace);
        ids.span.copy_from_slice(span);
        Ok(ids)
    }

    /// `<trace id hex>-<span id hex>`.
    fn interaction_id(self) -> Result<assize_core::InteractionId, String> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(49);
        for (index, byte) in self.trace.iter().chain(&self.span).enumerate() {
            if index == self.trace.len() {
                text.push('-');
            }
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        assize_core::InteractionId::new(&text).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests;
