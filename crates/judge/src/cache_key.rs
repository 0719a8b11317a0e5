//! When two questions are the same: the keys by which verdicts are found again.
//!
//! A key covers the tenant, the metric, the judge's version, and every part of the interaction that the [prompt](crate::prompt) shows,
//! so that whatever could change the answer changes the key. What the prompt does not show (id, time, model, tags) is left out: it
//! cannot change the answer. A judge that is shown more than the prompt shows must not be asked for by these keys.
//!
//! [`exact`] finds the same texts. [`normalised`] also finds texts that differ in case, white space, numbers, dates and ids only. That
//! is a guess (a wrong sum normalises as the right one does), so what it finds never counts as judged: it is a cheap tier, audited at
//! random.

mod normalise;

use std::borrow::Cow;

use assize_core::cache::CacheKey;
use assize_core::{Interaction, JudgeVersion, Message, MetricName, TenantName};

pub use normalise::normalise;

/// Change with every change of the layout below, or of [`normalise`]: an entry must never be found by a key of another meaning.
const EXACT: &str = "assize verdict cache: exact key/1";
const NORMALISED: &str = "assize verdict cache: normalised key/1";

/// The key of asking `version` the question of `metric` about this very interaction. `without_context` as the question has it.
pub fn exact(
    tenant: &TenantName,
    metric: &MetricName,
    version: &JudgeVersion,
    interaction: &Interaction,
    without_context: bool,
) -> CacheKey {
    let parts = Parts { hasher: blake3::Hasher::new_derive_key(EXACT), read: |text| Cow::Borrowed(text) };
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
    let parts = Parts { hasher: blake3::Hasher::new_derive_key(NORMALISED), read: |text| Cow::Owned(normalise(text)) };
    parts.key(tenant, metric, version, interaction, without_context)
}

/// Feeds a hash with parts, each preceded by its length and each list by its count, so that no text can pass for another part.
struct Parts {
    hasher: blake3::Hasher,
    read: fn(&str) -> Cow<'_, str>,
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
        self.messages(&interaction.input);
        self.messages(&interaction.output);
        CacheKey(*self.hasher.finalize().as_bytes())
    }

    fn messages(&mut self, messages: &[Message]) {
        self.number(messages.len() as u64);
        for Message { role, content, tool } in messages {
            self.verbatim(role.as_str());
            self.number(u64::from(tool.is_some()));
            self.verbatim(tool.as_deref().unwrap_or_default());
            self.text(content);
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
