//! Providers of models, one file a protocol and one line in [`open`]. A provider makes one attempt and never retries; it knows its
//! wire format and nothing of verdicts or prices.

mod anthropic;
mod attempt;
pub mod batch;
mod batch_anthropic;
mod batch_openai;
mod batch_protocol;
mod batch_results;
mod connection;
mod decisions;
mod gemini;
mod gemini_decisions;
mod headroom;
mod openai;
mod openai_decisions;
mod prompt_cache_key;
pub(crate) mod rate_limits;
mod refusal;
pub(crate) mod repeatable;
mod simulated;

use std::sync::Arc;

use assize_core::judge::CallFailure;
use assize_core::{Interaction, ProviderName, TokenUsage};
use async_trait::async_trait;
use secrecy::SecretString;

pub use anthropic::Anthropic;
pub use batch::Batches;
pub use decisions::{Decided, Decider, Decisions, DecisionsRequest, Predicate, SUM_TOLERANCE};
pub use gemini::Gemini;
pub use gemini_decisions::GeminiDecisions;
pub use headroom::{Headroom, Pace};
pub use openai::OpenAi;
pub use openai_decisions::OpenAiDecisions;
use serde_json::value::RawValue;
pub use simulated::Simulated;

use crate::answer::logprobs::TokenLogprobs;
use crate::check::SpecError;
use crate::spec::{ProviderKind, ProviderSpec, Question, ResponseFormat};

/// What a model is asked.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The model's name at the provider.
    pub model: &'a str,
    /// The system message: the same for all items of a judge.
    pub system: &'a str,
    /// The same as a JSON string.
    pub system_json: &'a RawValue,
    /// The user message: the item.
    pub item: &'a str,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// Seed.
    pub seed: Option<i64>,
    /// Tokens of the answer at the most.
    pub max_completion_tokens: u32,
    /// How the model is held to the form of a verdict.
    pub response_format: ResponseFormat,
    /// The form itself, as a JSON schema.
    pub schema: &'a RawValue,
    /// Whether to ask for the log-probabilities of the answer's tokens; see [`Provider::gives_logprobs`].
    pub logprobs: bool,
    /// The same for calls with the same beginning and of no meaning otherwise, for providers that find their prompt caches by it.
    pub prompt_cache_key: &'a str,
    /// What the answer is read as; only the simulation looks at it.
    pub form: Form,
    /// What `system` asks, with the ids under which a packed answer gives it; only the simulation looks at it.
    pub questions: &'a [(&'a str, &'a Question)],
    /// What `item` shows; only the simulation looks at it.
    pub interaction: &'a Interaction,
}

/// What a model is asked to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A score and a reason.
    Score,
    /// One of the words yes and no, and a reason.
    YesNo,
    /// A score and a reason for each of several questions.
    Packed,
}

/// What a model answered.
#[derive(Debug, Clone)]
pub struct Completion {
    /// The text of the answer; empty where there was none.
    pub text: String,
    /// The answer ended because it was as long as allowed.
    pub cut_short: bool,
    /// The log-probabilities of its tokens, where they were asked for and given.
    pub logprobs: Option<Vec<TokenLogprobs>>,
    /// The model that the provider says has answered.
    pub model: Option<String>,
    /// The tokens that were billed, where the provider said.
    pub usage: Option<TokenUsage>,
    /// How long it took, in milliseconds.
    pub latency_ms: u64,
    /// Made by the built-in simulation.
    pub simulated: bool,
}

/// A provider of models.
#[async_trait]
pub trait Provider: Send + Sync {
    /// What the configuration calls it.
    fn name(&self) -> &ProviderName;

    /// Its protocol, as part of the version of every judge that uses it.
    fn kind(&self) -> &'static str;

    /// Whether it can give log-probabilities at all.
    fn gives_logprobs(&self) -> bool {
        false
    }

    /// One attempt; it ends within the provider's timeout. A failure leaves `cost` open: the caller knows the price.
    async fn complete(&self, request: &Request<'_>) -> Result<Completion, CallFailure>;

    /// What its answers said is left of its limits, kept up to date by [`Self::complete`]; `None` where it has none.
    fn headroom(&self) -> Option<Arc<Headroom>> {
        None
    }
}

/// Makes ring the process's cryptography, unless something else is already. To be called before any client is made.
pub fn install_tls() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Fails only if another thread was faster, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

/// Opens the provider that `spec` describes. `api_key` is the value of the variable that `spec.api_key_env` names, if it is set;
/// without one, calls are made without authorization, as hosts of one's own allow.
///
/// # Errors
/// Where [`ProviderSpec::check`] refuses, or the key holds what cannot be sent.
pub fn open(spec: &ProviderSpec, api_key: Option<SecretString>) -> Result<Arc<dyn Provider>, SpecError> {
    spec.check()?;
    Ok(match spec.kind {
        ProviderKind::Anthropic => Arc::new(Anthropic::open(spec, api_key)?),
        ProviderKind::Gemini => Arc::new(Gemini::open(spec, api_key)?),
        ProviderKind::Openai => Arc::new(OpenAi::open(spec, api_key)?),
        ProviderKind::Simulated => Arc::new(Simulated::open(spec)),
    })
}

/// Opens the provider that `spec` describes for decisions.
///
/// # Errors
/// Where [`ProviderSpec::check`] refuses, the key holds what cannot be sent, or the protocol has no decisions.
pub fn open_decider(spec: &ProviderSpec, api_key: Option<SecretString>) -> Result<Arc<dyn Decider>, SpecError> {
    spec.check()?;
    Ok(match spec.kind {
        ProviderKind::Openai => Arc::new(OpenAiDecisions::open(spec, api_key)?),
        ProviderKind::Gemini => Arc::new(GeminiDecisions::open(spec, api_key)?),
        ProviderKind::Anthropic => {
            return Err(SpecError::new("kind", "anthropic has no decision models: name a provider that has, openai or gemini"));
        }
        ProviderKind::Simulated => Arc::new(Simulated::open(spec)),
    })
}

/// Opens the batch API of the provider that `spec` describes; `None` where Assize sends no batches to its kind. Whether a host that is
/// compatible with OpenAI has one shows when it is first asked.
///
/// # Errors
/// As [`open`].
pub fn open_batches(spec: &ProviderSpec, api_key: Option<SecretString>) -> Result<Option<Arc<dyn Batches>>, SpecError> {
    spec.check()?;
    Ok(match spec.kind {
        ProviderKind::Openai => Some(Arc::new(OpenAi::open(spec, api_key)?)),
        ProviderKind::Anthropic => Some(Arc::new(Anthropic::open(spec, api_key)?)),
        ProviderKind::Gemini | ProviderKind::Simulated => None,
    })
}
