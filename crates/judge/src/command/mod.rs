//! A script or program as a judge: long-lived workers that read a question a line and write an answer a line.
//!
//! The operator's own code runs here, on text that is hostile until proven otherwise. What a worker is kept from, and how, is in
//! [`confine`]; how it is asked in `worker`; when it is started again in `pool`. It comes from the configuration file alone.

pub mod confine;
mod pool;
mod script;
mod spec;
mod worker;

use std::sync::Arc;

use assize_core::judge::{CallFailure, CalledJudge, Tightness};
use assize_core::{Interaction, JudgeName, JudgeVersion, NanoUsd, ProviderName, Verdict};
use async_trait::async_trait;
use tokio::time::Instant;

pub use pool::Pool;
pub use script::Launcher;
pub use spec::CommandSpec;

use crate::check::SpecError;
use crate::exchange::{self, Asked, Said};
use crate::spec::Question;

/// A judge that asks the workers of a [`Pool`].
pub struct CommandJudge {
    name: JudgeName,
    provider: ProviderName,
    /// The script's name, as calls are recorded.
    model: String,
    asked: Vec<Question>,
    versions: Vec<JudgeVersion>,
    price: NanoUsd,
    pool: Arc<Pool>,
}

impl CommandJudge {
    /// A judge called `name` that asks `questions` of `pool`, which was opened with the same `spec`.
    ///
    /// # Errors
    /// Where [`CommandSpec::check`] or [`Question::check`] refuses.
    pub fn open(name: &JudgeName, spec: &CommandSpec, questions: &[Question], pool: Arc<Pool>) -> Result<Self, SpecError> {
        spec.check()?;
        questions.iter().try_for_each(Question::check)?;
        let command = pool.identity(spec);
        Ok(Self {
            name: name.clone(),
            provider: exchange::provider(name)?,
            model: model(spec),
            versions: questions.iter().map(|question| version(spec, &command, question)).collect(),
            asked: questions.to_vec(),
            price: exchange::price(spec.price_per_call_usd)?,
            pool,
        })
    }

    async fn ask(&self, interaction: &Interaction, question: &Question, version: &JudgeVersion) -> Result<Verdict, CallFailure> {
        let started = Instant::now();
        let said = self.pool.ask(Asked::of(question, interaction), interaction).await;
        let latency_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        // Whoever charges for calls charges for answers; of the others nobody knows, unless nothing is charged at all.
        let unanswered = Some(self.price).filter(|price| *price == NanoUsd::ZERO);
        match said {
            Ok(Said::Answer(answer)) => Ok(exchange::verdict(answer, &self.name, version, Some(self.price), latency_ms)),
            Ok(Said::Error { message, retryable }) => {
                let failure = exchange::declined(&message, retryable, &self.pool.secrets(), interaction);
                Err(CallFailure { cost: Some(self.price), latency_ms, ..failure })
            }
            Err(failure) => Err(CallFailure { cost: unanswered, latency_ms, ..failure }),
        }
    }
}

/// The last part of the path of the script, or of the program where there is none.
fn model(spec: &CommandSpec) -> String {
    let script = spec.command.iter().skip(1).find(|argument| !argument.starts_with('-'));
    let named = script.or(spec.command.first()).map(String::as_str).unwrap_or_default();
    named.rsplit('/').next().unwrap_or_default().chars().take(100).collect()
}

/// The hash of all that decides an answer, as far as it can be seen: the command, the contents of the files that it names or the
/// version that the operator gave, and the question. Limits, paths and the environment are no part of it.
fn version(spec: &CommandSpec, command: &[Vec<u8>], question: &Question) -> JudgeVersion {
    let flags = [u8::from(spec.version.is_some()), u8::from(question.without_context)];
    let mut parts: Vec<&[u8]> = vec![
        b"command",
        exchange::FORM,
        &flags,
        spec.version.as_deref().unwrap_or_default().as_bytes(),
        question.text.as_bytes(),
        question.rubric.as_bytes(),
    ];
    parts.extend(command.iter().map(Vec::as_slice));
    JudgeVersion::of(&parts)
}

#[async_trait]
impl CalledJudge for CommandJudge {
    fn versions(&self) -> &[JudgeVersion] {
        &self.versions
    }

    fn provider(&self) -> &ProviderName {
        &self.provider
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn bound(&self, _interaction: &Interaction, questions: &[usize], _tightness: Tightness) -> Option<NanoUsd> {
        exchange::bound(self.price, questions.iter().filter(|&&at| at < self.asked.len()).count())
    }

    async fn attempt(&self, interaction: &Interaction, questions: &[usize]) -> Vec<Result<Verdict, CallFailure>> {
        let mut verdicts = Vec::with_capacity(questions.len());
        for (question, version) in questions.iter().filter_map(|&at| Some((self.asked.get(at)?, self.versions.get(at)?))) {
            verdicts.push(self.ask(interaction, question, version).await);
        }
        verdicts
    }
}
