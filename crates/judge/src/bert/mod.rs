//! Local models of the BERT kind, from a folder as Hugging Face lays it out: classifiers as judges ([`open`]), and sentence
//! embeddings. They run in this process on threads of their own, with the feature `bert`; a build without it knows their settings
//! and says that it cannot open them.

mod spec;

#[cfg(feature = "bert")]
mod batch;
#[cfg(feature = "bert")]
mod classify;
#[cfg(feature = "bert")]
mod config;
#[cfg(feature = "bert")]
mod embed;
#[cfg(feature = "bert")]
mod engine;
#[cfg(feature = "bert")]
mod folder;
#[cfg(feature = "bert")]
mod kernels;
#[cfg(feature = "bert")]
mod model;
#[cfg(feature = "bert")]
mod tokens;
#[cfg(feature = "bert")]
mod weights;

use std::sync::Arc;

use assize_core::JudgeName;
use assize_core::judge::CalledJudge;

use crate::check::SpecError;

#[cfg(feature = "bert")]
pub use embed::{EmbedSettings, Embedder};
pub use spec::{BATCH_MAX, BertSpec, THREADS_MAX, TOKENS_MAX, TOKENS_MIN};

/// Opens the classifier that `spec` describes as a judge called `name`, for as many `questions` as metrics name it. It has no use
/// for their words: its training was its question. Judges that share folder and limits share weights and threads.
///
/// # Errors
/// Where [`BertSpec::check`] refuses, a file of the folder is missing or wrong, no label is the yes without doubt, or this build has
/// no local models.
#[cfg(feature = "bert")]
pub fn open(name: &JudgeName, spec: &BertSpec, questions: usize) -> Result<Arc<dyn CalledJudge>, SpecError> {
    classify::open(name, spec, questions)
}

/// Says that this build has no local models.
///
/// # Errors
/// Always.
#[cfg(not(feature = "bert"))]
pub fn open(_name: &JudgeName, spec: &BertSpec, _questions: usize) -> Result<Arc<dyn CalledJudge>, SpecError> {
    spec.check()?;
    Err(SpecError::new("kind", "this build has no local BERT models: build with --features bert"))
}

/// Why a model cannot be opened, or gives no answer. Never holds judged text.
#[cfg(feature = "bert")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BertError {
    /// The setting that is to blame.
    key: &'static str,
    message: String,
}

#[cfg(feature = "bert")]
impl BertError {
    fn new(message: impl Into<String>) -> Self {
        Self { key: "folder", message: message.into() }
    }

    /// The same error, of the setting `key`.
    fn at(self, key: &'static str) -> Self {
        Self { key, ..self }
    }

    /// The same error, of the file at `path`.
    fn about(self, path: &std::path::Path) -> Self {
        Self { message: format!("{}: {}", path.display(), self.message), ..self }
    }
}

#[cfg(feature = "bert")]
impl From<candle_core::Error> for BertError {
    fn from(error: candle_core::Error) -> Self {
        // Its text may go on with a backtrace.
        let first = error.to_string().lines().next().unwrap_or_default().to_owned();
        Self::new(format!("a product of the model failed ({first})"))
    }
}

#[cfg(all(test, not(feature = "bert")))]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_models_says_how_to_get_them() {
        let name = JudgeName::new("toxic").unwrap();
        let error = open(&name, &BertSpec::new("models/toxic"), 1).err().unwrap();
        assert_eq!(error.to_string(), "kind: this build has no local BERT models: build with --features bert");
        assert_eq!(open(&name, &BertSpec::new(""), 1).err().unwrap().key, "folder");
    }
}
