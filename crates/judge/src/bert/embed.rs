//! Sentence embeddings: one vector of length 1 per text, near to each other where texts mean the same (Reimers and Gurevych 2019).
//! Models of `sentence-transformers` on BERT, DistilBERT or RoBERTa, such as all-MiniLM-L6-v2; of what lies beside the model the
//! length cap and the kind of pooling are read. Texts that spell a special token, such as `[SEP]`, are read as written, which
//! `sentence-transformers` does not.

use std::path::Path;
use std::sync::Arc;

use super::BertError;
use super::batch::{Answer, Size, received};
use super::engine::{Engine, Purpose, Settings};
use super::tokens::Text;

/// How embeddings are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmbedSettings {
    /// Tokens of a text at the most; its beginning is read. The model's own cap where not given.
    pub max_tokens: Option<usize>,
    /// Threads that compute, 1 to 64.
    pub threads: usize,
    /// Texts that one thread takes at once at the most, 1 to 256.
    pub batch_max: usize,
}

impl Default for EmbedSettings {
    fn default() -> Self {
        Self { max_tokens: None, threads: 1, batch_max: 16 }
    }
}

/// A model that embeds texts. Clones share it.
#[derive(Clone)]
pub struct Embedder {
    engine: Arc<Engine>,
}

impl Embedder {
    /// Opens the model in `folder`.
    ///
    /// # Errors
    /// Where a file of the folder is missing or wrong, or a setting is out of range.
    pub fn open(folder: &Path, settings: EmbedSettings) -> Result<Self, BertError> {
        let EmbedSettings { max_tokens, threads, batch_max } = settings;
        let settings = Settings { purpose: Purpose::Embed, max_tokens, size: Size { threads, batch_max } };
        Ok(Self { engine: Engine::open(folder, settings)? })
    }

    /// The length of a vector.
    pub fn dimensions(&self) -> usize {
        self.engine.width
    }

    /// Hash of all that decides a vector: files and length cap. Vectors of two versions must not be compared.
    pub fn version(&self) -> String {
        let mut hash = blake3::Hasher::new();
        hash.update(b"bert/1").update(self.engine.hash.as_bytes()).update(&(self.engine.max_tokens as u64).to_le_bytes());
        hash.finalize().to_hex().as_str().to_owned()
    }

    /// The vectors of `texts`, in their order: [`Self::dimensions`] numbers each, of length 1, the last digits of which depend on
    /// the texts that are computed at the same time. It waits while the queue is full; an embedding that is no longer waited for is
    /// not computed.
    ///
    /// # Errors
    /// Where the model gives none; the whole call fails with the first of them.
    pub async fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, BertError> {
        Ok(self.answers(texts).await?.into_iter().map(|answer| answer.values).collect())
    }

    /// As [`Self::embed`]; `None` for a text of which the model did not read all, since it was longer than the length cap.
    ///
    /// # Errors
    /// As [`Self::embed`].
    pub async fn embed_whole(&self, texts: &[&str]) -> Result<Vec<Option<Vec<f32>>>, BertError> {
        let answers = self.answers(texts).await?.into_iter();
        Ok(answers.map(|answer| (!answer.cut).then_some(answer.values)).collect())
    }

    async fn answers(&self, texts: &[&str]) -> Result<Vec<Answer>, BertError> {
        let mut waiting = Vec::with_capacity(texts.len());
        for text in texts {
            waiting.push(self.engine.pool.put(Text { first: (*text).to_owned(), second: None }).await?);
        }
        let mut answers = Vec::with_capacity(texts.len());
        for answer in waiting {
            answers.push(received(answer).await?);
        }
        Ok(answers)
    }
}
