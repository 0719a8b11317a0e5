//! A chat model as a judge: one question, one model, one attempt at a time.

use std::sync::Arc;

use assize_core::judge::{CallFailure, CallFailureKind, CalledJudge};
use assize_core::{Interaction, JudgeName, JudgeVersion, NanoUsd, Price, ProviderName, TokenUsage, Verdict};
use async_trait::async_trait;

use crate::answer;
use crate::check::SpecError;
use crate::prices;
use crate::prompt::{FRAME, Prompt};
use crate::providers::{Completion, Provider, Request};
use crate::spec::{ChatSpec, Question};

/// A judge that asks a model of a provider about an interaction.
pub struct ChatJudge {
    name: JudgeName,
    version: JudgeVersion,
    spec: ChatSpec,
    question: Question,
    prompt: Prompt,
    price: Option<Price>,
    provider: Arc<dyn Provider>,
}

impl ChatJudge {
    /// A judge called `name` that asks `question`. Which question that is, the metric's or the judge's own, is decided by the caller.
    ///
    /// # Errors
    /// Where [`ChatSpec::check`] or [`Question::check`] refuses, the template of `instructions` cannot be rendered, or `provider` is
    /// not the one that `spec` names.
    pub fn open(name: &JudgeName, spec: &ChatSpec, question: &Question, provider: Arc<dyn Provider>) -> Result<Self, SpecError> {
        spec.check()?;
        question.check()?;
        if provider.name() != &spec.provider {
            return Err(SpecError::new("provider", format!("{} was wanted and {} was given", spec.provider, provider.name())));
        }
        let price = match spec.price {
            Some(price) => Some(price.to_price().map_err(|message| SpecError::new("price", message))?),
            None => prices::built_in(&spec.model),
        };
        Ok(Self {
            name: name.clone(),
            version: version(spec, question, provider.as_ref()),
            prompt: Prompt::open(question, spec.instructions.as_deref())?,
            spec: spec.clone(),
            question: question.clone(),
            price,
            provider,
        })
    }

    /// What the model charges; `None` where nobody said, which is not the same as nothing.
    pub fn price(&self) -> Option<Price> {
        self.price
    }

    fn cost(&self, usage: Option<TokenUsage>) -> Option<NanoUsd> {
        Some(self.price?.cost(&usage?))
    }

    fn verdict(&self, completion: Completion) -> Result<Verdict, CallFailure> {
        let Completion { text, cut_short, model, usage, latency_ms, simulated } = completion;
        let cost = self.cost(usage);
        match answer::parse(&text) {
            Ok(answer) => Ok(Verdict {
                judge: self.name.clone(),
                version: self.version.clone(),
                score: answer.score,
                label: None,
                confidence: None,
                reason: answer.reason,
                model,
                usage,
                cost,
                latency_ms,
                simulated,
            }),
            Err(why) => {
                let message = if cut_short {
                    format!(
                        "{why}: it was cut off at max_completion_tokens = {}; raise it for this judge",
                        self.spec.max_completion_tokens
                    )
                } else {
                    why
                };
                let kind = CallFailureKind::InvalidAnswer;
                Err(CallFailure { kind, message, retry_after: None, headroom_gone: false, usage, cost, latency_ms })
            }
        }
    }
}

/// The hash of all that decides an answer. Of the provider only the kind counts, never the address: the same model behind a proxy is
/// the same judge, but a simulated verdict must not pass for a real one.
fn version(spec: &ChatSpec, question: &Question, provider: &dyn Provider) -> JudgeVersion {
    let number = |number: Option<String>| number.unwrap_or_else(|| "default".to_owned());
    JudgeVersion::of(&[
        b"chat",
        FRAME.as_bytes(),
        provider.kind().as_bytes(),
        // A template is told apart from none, whatever it says.
        &[u8::from(spec.instructions.is_some())],
        spec.instructions.as_deref().unwrap_or_default().as_bytes(),
        question.text.as_bytes(),
        question.rubric.as_bytes(),
        &[u8::from(question.without_context)],
        spec.model.as_bytes(),
        number(spec.temperature.map(|temperature| temperature.to_string())).as_bytes(),
        number(spec.seed.map(|seed| seed.to_string())).as_bytes(),
        &spec.max_completion_tokens.to_le_bytes(),
        &[spec.response_format as u8],
        answer::SCHEMA.as_bytes(),
    ])
}

#[async_trait]
impl CalledJudge for ChatJudge {
    fn version(&self) -> &JudgeVersion {
        &self.version
    }

    fn provider(&self) -> &ProviderName {
        &self.spec.provider
    }

    fn model(&self) -> &str {
        &self.spec.model
    }

    async fn attempt(&self, interaction: &Interaction) -> Result<Verdict, CallFailure> {
        let item = self.prompt.item(interaction);
        let request = Request {
            model: &self.spec.model,
            system: self.prompt.system(),
            system_json: self.prompt.system_json(),
            item: &item,
            temperature: self.spec.temperature,
            seed: self.spec.seed,
            max_completion_tokens: self.spec.max_completion_tokens,
            response_format: self.spec.response_format,
            question: &self.question,
            interaction,
        };
        match self.provider.complete(&request).await {
            Ok(completion) => self.verdict(completion),
            Err(failure) => Err(CallFailure { cost: self.cost(failure.usage), ..failure }),
        }
    }
}
