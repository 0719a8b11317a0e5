//! When two questions are the same: the keys by which verdicts are found again.
//!
//! A key covers the tenant, the metric, the judge's version, and every part of the interaction that the [prompt](crate::prompt) shows,
//! so that whatever could change the answer changes the key. What the prompt does not show (id, time, model, tags) is left out: it
//! cannot change the answer. A judge that is shown more than the prompt shows must not be asked for by these keys.
//!
//! [`exact`] finds the same texts. [`normalised`] also finds texts that differ in case, white space, numbers, dates and ids only. That
//! is a guess (a wrong sum normalises as the right one does), so what it finds never counts as judged: it is a cheap tier, audited at
//! random.
//!
//! [`rest`] leaves the texts open that are compared by what they mean instead: what the user asks and what the model answers, as
//! [`open_texts`] gives them. Everything else must be the same as [`normalise`] gives it.

mod normalise;

use std::borrow::Cow;

use assize_core::cache::CacheKey;
use assize_core::{Interaction, JudgeVersion, Message, MetricName, Role, TenantName};

pub use normalise::normalise;

/// Change with every change of the layout below, or of [`normalise`]: an entry must never be found by a key of another meaning.
const EXACT: &str = "assize verdict cache: exact key/1";
const NORMALISED: &str = "assize verdict cache: normalised key/1";
const REST: &str = "assize verdict cache: rest key/1";

/// The key of asking `version` the question of `metric` about this very interaction. `without_context` as the question has it.
pub fn exact(
    tenant: &TenantName,
    metric: &MetricName,
    version: &JudgeVersion,
    interaction: &Interaction,
    without_context: bool,
) -> CacheKey {
    let parts = Parts { hasher: blake3::Hasher::new_derive_key(EXACT), read: |text| Cow::Borrowed(text), open: |_, _| false };
    parts.key(tenant, metric, version, interaction, without_context)
}

/// The key of asking about this interaction or one like it: the same over texts as [`normalise`] gives them. Never equal to an
/// [`exact`] key.
pub fn normalised(
    tenant: &TenantName,
    metric: &MetricName,
    version: &JudgeVersion,
    interaction: &Interaction,
    without_context: bool,
) -> CacheKey {
    let read = |text: &str| Cow::Owned(normalise(text));
    let parts = Parts { hasher: blake3::Hasher::new_derive_key(NORMALISED), read, open: |_, _| false };
    parts.key(tenant, metric, version, interaction, without_context)
}

/// The digest of all but the [`open_texts`]: equal where two questions are the same, as [`normalised`] means it, but for these. The
/// number of messages, their roles and what tools were asked and answered are part of it. No verdict is kept under it.
pub fn rest(
    tenant: &TenantName,
    metric: &MetricName,
    version: &JudgeVersion,
    interaction: &Interaction,
    without_context: bool,
) -> CacheKey {
    let read = |text: &str| Cow::Owned(normalise(text));
    let parts = Parts { hasher: blake3::Hasher::new_derive_key(REST), read, open: is_open };
    parts.key(tenant, metric, version, interaction, without_context)
}

/// What [`rest`] leaves open: the user's messages of the input, and the model's of the output, calls of tools excepted.
pub fn open_texts(interaction: &Interaction) -> [Vec<&str>; 2] {
    let texts = |messages, asker| -> Vec<&str> {
        let open = <[Message]>::iter(messages).filter(|message| is_open(message, asker));
        open.map(|message| message.content.as_str()).collect()
    };
    [texts(&interaction.input, Role::User), texts(&interaction.output, Role::Assistant)]
}

/// Whether the content of a message is left open, on the side where `speaker` speaks.
fn is_open(message: &Message, speaker: Role) -> bool {
    message.role == speaker && message.tool.is_none()
}

/// Feeds a hash with parts, each preceded by its length and each list by its count, so that no text can pass for another part.
struct Parts {
    hasher: blake3::Hasher,
    read: fn(&str) -> Cow<'_, str>,
    /// Whether a message's content is left out, on the side where this role speaks.
    open: fn(&Message, Role) -> bool,
}

impl Parts {
    fn key(
        mut self,
        tenant: &TenantName,
        metric: &MetricName,
        version: &JudgeVersion,
        interaction: &Interaction,
        without_context: bool,
    ) -> CacheKey {
        for name in [tenant.as_str(), metric.as_str(), version.as_str()] {
            self.verbatim(name);
        }
        let context: &[String] = if without_context { &[] } else { &interaction.context };
        self.number(u64::from(interaction.flags.truncated));
        self.optional(interaction.system.as_deref());
        self.number(context.len() as u64);
        context.iter().for_each(|document| self.text(document));
        self.optional(interaction.reference.as_deref());
        self.messages(&interaction.input, Role::User);
        self.messages(&interaction.output, Role::Assistant);
        CacheKey(*self.hasher.finalize().as_bytes())
    }

    fn messages(&mut self, messages: &[Message], speaker: Role) {
        self.number(messages.len() as u64);
        for message in messages {
            let Message { role, content, tool } = message;
            self.verbatim(role.as_str());
            self.number(u64::from(tool.is_some()));
            self.verbatim(tool.as_deref().unwrap_or_default());
            // That it is open is known from role, tool and place.
            if !(self.open)(message, speaker) {
                self.text(content);
            }
        }
    }

    fn optional(&mut self, text: Option<&str>) {
        self.number(u64::from(text.is_some()));
        self.text(text.unwrap_or_default());
    }

    fn text(&mut self, text: &str) {
        let text = (self.read)(text);
        self.verbatim(&text);
    }

    fn verbatim(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.hasher.update(text.as_bytes());
    }

    fn number(&mut self, number: u64) {
        self.hasher.update(&number.to_le_bytes());
    }
}

#[cfg(test)]
mod tests;
