//! What scoring adds to an accepted row: one outcome per metric, the verdicts behind it and the calls that were paid.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    Accepted, CallId, JudgeName, MetricName, NanoUsd, Outcome, Price, ProviderName, Reason, Timestamp, TokenUsage, Verdict,
};

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallStatus {
    /// A valid verdict.
    Answered,
    /// No verdict, whatever the cause; it may have cost money all the same.
    Failed,
}

/// As what in a metric's cascade a judge was asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskedAs {
    /// The last tier, whose verdicts the rates speak of.
    Reference,
    /// A tier before it.
    Cheaper,
    /// In place of a reference judge that could not be had.
    Fallback,
    /// Beside the flow: to compare two versions of a judge, or to try a question out.
    Study,
    /// On record before this was noted.
    #[default]
    Unknown,
}

impl AskedAs {
    /// Every value.
    pub const ALL: [Self; 5] = [Self::Reference, Self::Cheaper, Self::Fallback, Self::Study, Self::Unknown];

    /// The value as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Cheaper => "cheaper",
            Self::Fallback => "fallback",
            Self::Study => "study",
            Self::Unknown => "unknown",
        }
    }

    /// The value of this name; [`Self::Unknown`] for any other.
    pub fn from_stored(text: &str) -> Self {
        Self::ALL.into_iter().find(|one| one.as_str() == text).unwrap_or_default()
    }

    fn is_unknown(&self) -> bool {
        *self == Self::Unknown
    }
}

/// What a question of a call would have cost without discounts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListCost {
    /// Asked live, the prompt cache as it was.
    pub live: NanoUsd,
    /// Asked live, with every input token at its full price: neither read from the prompt cache nor written to it.
    pub uncached: NanoUsd,
}

impl ListCost {
    /// What a question of `usage` would have cost at the live price `price` where it cost `cost`. What a live call cost is what it was
    /// charged, so that no rounding looks like a discount.
    pub fn of(price: Option<Price>, usage: Option<TokenUsage>, cost: NanoUsd, in_batch: bool) -> Self {
        let (Some(price), Some(usage)) = (price, usage) else { return Self { live: cost, uncached: cost } };
        let at_price = price.cost(&usage);
        let full = price.cost(&TokenUsage { cached_input: 0, cache_write: 0, ..usage });
        let live = if in_batch { at_price } else { cost };
        let uncached = NanoUsd(live.0.saturating_add(full.0).saturating_sub(at_price.0));
        Self { live, uncached }
    }
}

/// One attempt at a provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    /// The attempt's own id.
    pub id: CallId,
    /// The judge on whose behalf it was made.
    pub judge: JudgeName,
    /// The provider that was called.
    pub provider: ProviderName,
    /// The model that was asked for.
    pub model: String,
    /// How it ended.
    pub status: CallStatus,
    /// The failure's code, such as `rate_limited`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Tokens as reported; `None` where the provider did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<TokenUsage>,
    /// What it cost; `None` where usage or price is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<NanoUsd>,
    /// How long it took, in milliseconds.
    pub latency_ms: u64,
    /// When it ended.
    pub at: Timestamp,
    /// Which of its questions this record stands for; usage and cost are that question's.
    #[serde(default, skip_serializing_if = "Part::is_whole")]
    pub part: Part,
    /// As what its judge was asked.
    #[serde(default, skip_serializing_if = "AskedAs::is_unknown")]
    pub asked_as: AskedAs,
    /// What it would have cost without discounts; `None` where its cost is not known, and on records from before this was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<ListCost>,
}

/// One question's part in a call that carried several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its place, from 0.
    pub at: u16,
    /// How many there were, at least 1.
    pub of: u16,
}

impl Default for Part {
    fn default() -> Self {
        Self { at: 0, of: 1 }
    }
}

impl Part {
    fn is_whole(&self) -> bool {
        *self == Self::default()
    }
}

/// A draw between two called tiers: whether the next one sees the interaction. Final as soon as it is on record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The place in the cascade of the tier that was drawn for.
    pub tier: u16,
    /// Its judge.
    pub judge: JudgeName,
    /// The probability of seeing what the tier before saw, in [0, 1].
    pub conditional: f64,
    /// The cumulative probability that the draw was compared with.
    pub probability: f64,
    /// Whether it sees it.
    pub drawn: bool,
    /// The judge whose verdict the draw looked at, and its score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predictor: Option<(JudgeName, f64)>,
}

/// What became of one metric of one drawn interaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// The row as frozen at accept.
    pub row: Arc<Accepted>,
    /// The metric.
    pub metric: MetricName,
    /// Its fate. `None` while it waits for another try: calls are recorded, the outcome is still to come.
    pub outcome: Option<Outcome>,
    /// Why, where it was not judged.
    pub reason: Option<Reason>,
    /// Verdicts that are new since the last record, in cascade order. The reference's is last where the outcome is `judged`, or `reused`
    /// by the exact cache.
    pub verdicts: Vec<Verdict>,
    /// The draws between called tiers so far, in cascade order; those on record already stay as they are there. With which probability
    /// the last tier that was drawn was to see the interaction follows from them: see [`standing`].
    pub steps: Vec<Step>,
    /// The calls that were made, failed ones included.
    pub calls: Vec<CallRecord>,
    /// When this was decided.
    pub at: Timestamp,
}

/// The cumulative probability of the last of `steps` that drew the interaction; `first`, that of accept, where there is none.
pub fn standing<'a>(first: f64, steps: impl IntoIterator<Item = &'a Step>) -> f64 {
    steps.into_iter().filter(|step| step.drawn).last().map_or(first, |step| step.probability)
}

impl Scored {
    /// The score that counts as the reference judge's: its own verdict, or one that it gave on the very same interaction before.
    pub fn reference_score(&self) -> Option<f64> {
        let verdict = self.verdicts.last()?;
        let counts = match self.outcome? {
            Outcome::Judged => true,
            Outcome::Reused => verdict.reused.is_none_or(|reused| reused.kind == crate::ReuseKind::Exact),
            _ => false,
        };
        counts.then_some(verdict.score)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRICE: Price = Price {
        input: NanoUsd(2_000_000),
        cached_input: NanoUsd(1_000_000),
        cache_write: NanoUsd(2_500_000),
        output: NanoUsd(10_000_000),
    };

    #[test]
    fn discounts_are_told_apart() {
        let usage = TokenUsage { input: 100, output: 10, cached_input: 60, cache_write: 0 };
        let live = PRICE.cost(&usage);
        assert_eq!(live, NanoUsd(40 * 2 + 60 + 100));
        let list = ListCost::of(Some(PRICE), Some(usage), live, false);
        assert_eq!(list, ListCost { live, uncached: NanoUsd(300) });
        // In a batch it cost half.
        assert_eq!(ListCost::of(Some(PRICE), Some(usage), NanoUsd(120), true), list);
        // Writing to the cache costs more than not to.
        let written = TokenUsage { cached_input: 0, cache_write: 100, ..usage };
        let list = ListCost::of(Some(PRICE), Some(written), PRICE.cost(&written), false);
        assert_eq!(list, ListCost { live: NanoUsd(350), uncached: NanoUsd(300) });
        // Without a price, or without a word on tokens, nobody knows of a discount.
        let plain = ListCost { live: NanoUsd(7), uncached: NanoUsd(7) };
        assert_eq!(ListCost::of(None, Some(usage), NanoUsd(7), true), plain);
        assert_eq!(ListCost::of(Some(PRICE), None, NanoUsd(7), false), plain);
    }

    #[test]
    fn what_a_part_of_a_live_call_was_rounded_to_is_no_discount() {
        let usage = TokenUsage { input: 1, output: 0, ..TokenUsage::default() };
        let price = Price { input: NanoUsd(1), ..PRICE };
        assert_eq!(ListCost::of(Some(price), Some(usage), NanoUsd(0), false), ListCost::default());
    }
}
