//! A chat model as a judge: one model, the questions of all metrics that name it, one attempt at a time.

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
    spec: ChatSpec,
    asked: Vec<Asked>,
    versions: Vec<JudgeVersion>,
    price: Option<Price>,
    provider: Arc<dyn Provider>,
}

/// A question as this judge asks it.
struct Asked {
    question: Question,
    prompt: Prompt,
}

impl ChatJudge {
    /// A judge called `name` that asks `questions`. Which these are, the metrics' or the judge's own, is decided by the caller.
    ///
    /// # Errors
    /// Where [`ChatSpec::check`] or [`Question::check`] refuses, the template of `instructions` cannot be rendered, or `provider` is
    /// not the one that `spec` names.
    pub fn open(
        name: &JudgeName,
        spec: &ChatSpec,
        questions: &[Question],
        provider: Arc<dyn Provider>,
    ) -> Result<Self, SpecError> {
        spec.check()?;
        let asked = questions.iter().map(|question| Asked::open(question, spec)).collect::<Result<_, _>>()?;
        if provider.name() != &spec.provider {
            return Err(SpecError::new("provider", format!("{} was wanted and {} was given", spec.provider, provider.name())));
        }
        let price = match spec.price {
            Some(price) => Some(price.to_price().map_err(|message| SpecError::new("price", message))?),
            None => prices::built_in(&spec.model),
        };
        Ok(Self {
            name: name.clone(),
            versions: questions.iter().map(|question| version(spec, question, provider.as_ref())).collect(),
            asked,
            spec: spec.clone(),
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

    async fn ask(&self, interaction: &Interaction, asked: &Asked, version: &JudgeVersion) -> Result<Verdict, CallFailure> {
        let item = asked.prompt.item(interaction);
        let request = Request {
            model: &self.spec.model,
            system: asked.prompt.system(),
            system_json: asked.prompt.system_json(),
            item: &item,
            temperature: self.spec.temperature,
            seed: self.spec.seed,
            max_completion_tokens: self.spec.max_completion_tokens,
            response_format: self.spec.response_format,
            question: &asked.question,
            interaction,
        };
        match self.provider.complete(&request).await {
            Ok(completion) => self.verdict(completion, version),
            Err(failure) => Err(CallFailure { cost: self.cost(failure.usage), ..failure }),
        }
    }

    fn verdict(&self, completion: Completion, version: &JudgeVersion) -> Result<Verdict, CallFailure> {
        let Completion { text, cut_short, model, usage, latency_ms, simulated } = completion;
        let cost = self.cost(usage);
        match answer::parse(&text) {
            Ok(answer) => Ok(Verdict {
                judge: self.name.clone(),
                version: version.clone(),
                score: answer.score,
                label: None,
                confidence: None,
                reason: answer.reason,
                model,
                usage,
                cost,
                latency_ms,
                simulated,
                reused: None,
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

impl Asked {
    fn open(question: &Question, spec: &ChatSpec) -> Result<Self, SpecError> {
        question.check()?;
        Ok(Self { question: question.clone(), prompt: Prompt::open(question, spec.instructions.as_deref())? })
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
    fn versions(&self) -> &[JudgeVersion] {
        &self.versions
    }

    fn provider(&self) -> &ProviderName {
        &self.spec.provider
    }

    fn model(&self) -> &str {
        &self.spec.model
    }

    async fn attempt(&self, interaction: &Interaction, questions: &[usize]) -> Vec<Result<Verdict, CallFailure>> {
        let mut verdicts = Vec::with_capacity(questions.len());
        for (asked, version) in questions.iter().filter_map(|&at| Some((self.asked.get(at)?, self.versions.get(at)?))) {
            verdicts.push(self.ask(interaction, asked, version).await);
        }
        verdicts
    }
}
