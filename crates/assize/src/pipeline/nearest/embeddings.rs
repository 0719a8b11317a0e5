//! Where embeddings come from: a model in this process, in builds with the feature `bert`.

use async_trait::async_trait;

use super::Nearest;
use crate::config::{ConfigError, PolicySpec, Settings};

/// A model that turns texts into vectors, near to each other where the texts mean the same.
#[async_trait]
pub trait Embeddings: Send + Sync {
    /// Names all that decides a vector: vectors of two versions say nothing of each other.
    fn version(&self) -> String;

    /// One vector per text, in their order; `None` for a text of which the model does not read all.
    ///
    /// # Errors
    /// Where it gives none; the message holds no text.
    async fn embed(&self, texts: &[&str]) -> Result<Vec<Option<Vec<f32>>>, String>;
}

#[cfg(feature = "bert")]
#[async_trait]
impl Embeddings for assize_judge::bert::Embedder {
    fn version(&self) -> String {
        assize_judge::bert::Embedder::version(self)
    }

    async fn embed(&self, texts: &[&str]) -> Result<Vec<Option<Vec<f32>>>, String> {
        self.embed_whole(texts).await.map_err(|error| error.to_string())
    }
}

/// The index over the model that `cache.embeddings` names, where it names one. That a metric does not go without is checked where
/// settings become a policy.
///
/// # Errors
/// Where the model cannot be opened.
#[cfg(feature = "bert")]
pub fn open(settings: &Settings, _spec: &PolicySpec) -> Result<Option<Nearest>, ConfigError> {
    use assize_judge::bert::{EmbedSettings, Embedder};
    let Some(folder) = &settings.cache.embeddings else { return Ok(None) };
    let opened = Embedder::open(folder, EmbedSettings::default());
    let embedder = opened.map_err(|error| ConfigError::new(format!("[cache] embeddings: {error}")))?;
    Ok(Some(Nearest::new(std::sync::Arc::new(embedder), super::Bounds::default())))
}

/// Says that this build has no local models, where one is needed.
///
/// # Errors
/// Where a metric compares embeddings, or a model for it is configured.
#[cfg(not(feature = "bert"))]
pub fn open(settings: &Settings, spec: &PolicySpec) -> Result<Option<Nearest>, ConfigError> {
    let lacks = "needs a local model, which this build cannot open: build with --features bert, or leave it out";
    let compares = |metric: &&crate::config::policy::AskedMetric| metric.reuse.is_some_and(|reuse| reuse.similarity.is_some());
    if let Some(metric) = spec.metrics.iter().find(compares) {
        return Err(ConfigError::new(format!("[[metric]] {:?}: `reuse.similarity` {lacks}", metric.name.as_str())));
    }
    match &settings.cache.embeddings {
        Some(_) => Err(ConfigError::new(format!("[cache] `embeddings` {lacks}"))),
        None => Ok(None),
    }
}
