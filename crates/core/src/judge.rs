//! The port of judges. An inline judge runs at accept and does no IO; a called judge makes one attempt at a provider and never
//! retries: pacing, retries and money belong to the caller.

use std::time::Duration;

use async_trait::async_trait;

use crate::{Interaction, JudgeVersion, NanoUsd, Price, ProviderName, TokenUsage, Verdict};

/// What an inline judge found.
#[derive(Debug, Clone, PartialEq)]
pub struct InlineVerdict {
    /// In [0, 1].
    pub score: f64,
    /// What was found, at most 200 characters; empty where nothing was.
    pub reason: String,
}

/// A judge that costs microseconds and touches nothing.
pub trait InlineJudge: Send + Sync {
    /// The version of this judge.
    fn version(&self) -> &JudgeVersion;

    /// Judges the interaction. Never fails: a rule that does not apply scores 0 and says so.
    fn judge(&self, interaction: &Interaction) -> InlineVerdict;
}

/// How close to the truth a bound on what a call costs has to come. Both are bounds: [`Self::Tight`] never gives more than
/// [`Self::Quick`], and neither less than the call will cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Tightness {
    /// In about a microsecond for a usual item: for every call.
    #[default]
    Quick,
    /// As close as is known, with the model's own tokenizer where there is one: where a quick bound does not fit under a cap.
    Tight,
}

/// A judge that has to be called: slow, fallible, and as a rule paid. It is opened with the questions of all metrics that name it, and
/// asked one or, where it can, several of them in one call.
#[async_trait]
pub trait CalledJudge: Send + Sync {
    /// The version of this judge as asked each of its questions, in their order.
    fn versions(&self) -> &[JudgeVersion];

    /// The provider whose limits apply; the judge's own name where it needs none.
    fn provider(&self) -> &ProviderName;

    /// The model that is asked for.
    fn model(&self) -> &str;

    /// How many questions one call may carry, at least 1.
    fn questions_max(&self) -> usize {
        1
    }

    /// The most that [`Self::attempt`] with the same arguments can cost, whatever is answered: to be reserved before. `None` where there
    /// is nothing to reserve: the judge is free, its price is not known (a paid judge without a price is refused at start), or nothing
    /// would be sent. The price is that of a live call; no discount is assumed before it is reported, so that it holds in a batch too.
    fn bound(&self, _interaction: &Interaction, _questions: &[usize], _tightness: Tightness) -> Option<NanoUsd> {
        None
    }

    /// What a live call is charged by tokens; `None` where it is free, charged otherwise, or not known.
    fn live_price(&self) -> Option<Price> {
        None
    }

    /// One attempt to have `questions`, indices into [`Self::versions`], answered in one call. Whatever happens, it ends within the
    /// judge's timeout. As many results come back as questions were asked, in their order; what the call cost is split over them.
    async fn attempt(&self, interaction: &Interaction, questions: &[usize]) -> Vec<Result<Verdict, CallFailure>>;
}

/// Why an attempt gave no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallFailureKind {
    /// HTTP 429.
    RateLimited,
    /// HTTP 5xx, but for those of a timeout: the provider is in trouble, and has not done the work.
    Unavailable,
    /// No answer within the judge's timeout, or, by HTTP 408, 504 or the like, within that of a gateway before the provider: the work may have
    /// been done, and billed.
    Timeout,
    /// No connection, or one that broke.
    Network,
    /// HTTP 401 or 403: the key is wrong.
    Unauthorized,
    /// Any other HTTP 4xx: the provider will not take this request.
    Rejected,
    /// The model declined to answer, or a filter stopped it.
    Refused,
    /// An answer that is not a verdict: prose, half a JSON, a score outside [0, 1], nothing.
    InvalidAnswer,
}

impl CallFailureKind {
    /// The kind as a code to count by.
    pub fn code(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "provider_unavailable",
            Self::Timeout => "timeout",
            Self::Network => "network",
            Self::Unauthorized => "unauthorized",
            Self::Rejected => "rejected",
            Self::Refused => "refused",
            Self::InvalidAnswer => "invalid_answer",
        }
    }

    /// Whether the same attempt may succeed later.
    pub fn is_retryable(self) -> bool {
        match self {
            Self::RateLimited | Self::Unavailable | Self::Timeout | Self::Network | Self::InvalidAnswer => true,
            Self::Unauthorized | Self::Rejected | Self::Refused => false,
        }
    }
}

impl CallFailure {
    /// A failure of which nothing but this is known.
    pub fn new(kind: CallFailureKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { kind, message, retry_after: None, headroom_gone: false, usage: None, cost: None, latency_ms: 0 }
    }

    /// The failure of a whole call that carried `n` questions, once for each, what it cost split over them.
    pub fn split(self, n: usize) -> Vec<Self> {
        let usages = self.usage.map(|usage| usage.split(n));
        let costs = self.cost.map(|cost| cost.split(n));
        let part = |at: usize| Self {
            usage: usages.as_ref().and_then(|parts| parts.get(at).copied()),
            cost: costs.as_ref().and_then(|parts| parts.get(at).copied()),
            ..self.clone()
        };
        (0..n).map(part).collect()
    }
}

/// An attempt that gave no verdict. It may have cost money all the same.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct CallFailure {
    /// What went wrong.
    pub kind: CallFailureKind,
    /// What happened and what to do. Never holds a secret or judged text.
    pub message: String,
    /// How long the provider asks us to wait.
    pub retry_after: Option<Duration>,
    /// Whether the provider's headers say that no request is left before `retry_after`.
    pub headroom_gone: bool,
    /// The tokens that were billed, where the provider said.
    pub usage: Option<TokenUsage>,
    /// What they cost, where the price is known; zero where the call reached nobody. `None` where nobody said.
    pub cost: Option<NanoUsd>,
    /// How long it took, in milliseconds.
    pub latency_ms: u64,
}
