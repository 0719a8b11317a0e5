//! The settings of a judge that is a local BERT model. They are read and checked in every build, so that a configuration means the
//! same everywhere; only opening the judge needs the feature `bert`.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::check::SpecError;
use crate::spec::Field;

/// Tokens of a text that a model reads, at the most: attention takes time and memory by the square.
pub const TOKENS_MAX: usize = 4_096;
/// Tokens of a text that a model reads, at the least.
pub const TOKENS_MIN: usize = 8;
/// Threads of one judge, at the most.
pub const THREADS_MAX: usize = 64;
/// Texts of one batch, at the most.
pub const BATCH_MAX: usize = 256;

/// A classifier in a Hugging Face folder as a judge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BertSpec {
    /// The folder with `config.json`, `tokenizer.json` and `model.safetensors`.
    pub folder: PathBuf,
    /// The label of the model that counts as 1. Not needed where the model has one label, or two of which the last is the yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What the model reads. `both` is question and answer as a pair, in this order.
    #[serde(default)]
    pub field: Field,
    /// Tokens of a text at the most, special ones included; as many as the model has room for, up to 512, where not given. Of a
    /// longer text the first quarter of these and the last three quarters are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<usize>,
    /// Threads that compute, and so cores that are used at the most.
    #[serde(default = "threads")]
    pub threads: usize,
    /// Texts that one thread takes at once at the most.
    #[serde(default = "batch_max")]
    pub batch_max: usize,
}

fn threads() -> usize {
    1
}

fn batch_max() -> usize {
    16
}

impl BertSpec {
    /// An answer that takes longer, the wait for a place included, is given up: an item should not outlive its lease.
    pub const ANSWER_WAIT_MAX: Duration = Duration::from_secs(60);
    /// A model in this process fails where it would fail again, or for want of time.
    pub const ATTEMPTS: u32 = 2;

    /// A judge of the model in `folder`, everything else as it is by default.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            label: None,
            field: Field::default(),
            max_tokens: None,
            threads: threads(),
            batch_max: batch_max(),
        }
    }

    /// Checks limits. The folder is read when the judge is opened.
    pub fn check(&self) -> Result<(), SpecError> {
        let range = |key: &str, value: usize, low: usize, high: usize| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(SpecError::new(key, format!("{value} is out of range: use {low} to {high}")))
            }
        };
        if self.folder.as_os_str().is_empty() {
            return Err(SpecError::new("folder", "empty: name the folder that holds config.json and model.safetensors"));
        }
        if self.label.as_deref().is_some_and(|label| label.trim().is_empty()) {
            return Err(SpecError::new("label", "empty: name one of the model's labels, or leave the key out"));
        }
        if let Some(max_tokens) = self.max_tokens {
            range("max_tokens", max_tokens, TOKENS_MIN, TOKENS_MAX)?;
        }
        range("threads", self.threads, 1, THREADS_MAX)?;
        range("batch_max", self.batch_max, 1, BATCH_MAX)
    }

    /// Calls in flight that keep every thread supplied with full batches.
    pub fn concurrency(&self) -> usize {
        2 * self.threads * self.batch_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_checked_and_the_key_is_named() {
        let good = BertSpec::new("models/toxic");
        assert_eq!(good.check(), Ok(()));
        assert_eq!(good.concurrency(), 32);
        let cases = [
            (BertSpec { folder: PathBuf::new(), ..good.clone() }, "folder"),
            (BertSpec { label: Some(" ".into()), ..good.clone() }, "label"),
            (BertSpec { max_tokens: Some(7), ..good.clone() }, "max_tokens"),
            (BertSpec { max_tokens: Some(4097), ..good.clone() }, "max_tokens"),
            (BertSpec { threads: 0, ..good.clone() }, "threads"),
            (BertSpec { threads: 65, ..good.clone() }, "threads"),
            (BertSpec { batch_max: 0, ..good.clone() }, "batch_max"),
            (BertSpec { batch_max: 257, ..good }, "batch_max"),
        ];
        for (spec, key) in cases {
            assert_eq!(spec.check().map_err(|error| error.key), Err(key.to_owned()));
        }
    }
}
