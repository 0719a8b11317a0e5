//! A chat model as a judge: one model, the questions of all metrics that name it, one attempt at a time. It asks one question a call,
//! or with `packed = true` several; it takes the number that the model writes for the score, or with `score_from = "logprobs"` the
//! probability with which it says yes.

use std::sync::Arc;

use assize_core::judge::{CallFailure, CallFailureKind, CalledJudge};
use assize_core::{Interaction, JudgeName, JudgeVersion, NanoUsd, Price, ProviderName, TokenUsage, Verdict};
use async_trait::async_trait;
use serde_json::value::RawValue;

use crate::answer::{self, Answer, logprobs, packed, word};
use crate::check::SpecError;
use crate::prices;
use crate::prompt::packed::{PackedPrompt, QUESTIONS_MAX};
use crate::prompt::{self, FRAME, FRAME_YES_NO, Prompt};
use crate::providers::{Completion, Form, Provider, Request};
use crate::spec::{ChatSpec, Question, ScoreFrom};

/// A judge that asks a model of a provider about an interaction.
pub struct ChatJudge {
    name: JudgeName,
    spec: ChatSpec,
    questions: Vec<Question>,
    frame: Frame,
    versions: Vec<JudgeVersion>,
    price: Option<Price>,
    provider: Arc<dyn Provider>,
}

/// How the questions are put.
enum Frame {
    /// Each in a call of its own.
    Single { prompts: Vec<Prompt>, schema: Box<RawValue> },
    /// Together.
    Packed(PackedPrompt),
}

impl ChatJudge {
    /// A judge called `name` that asks `questions`. Which these are, the metrics' or the judge's own, is decided by the caller.
    ///
    /// # Errors
    /// Where [`ChatSpec::check`] or [`Question::check`] refuses, the template of `instructions` cannot be rendered, or `provider` is
    /// not the one that `spec` names or cannot give the log-probabilities that it wants.
    pub fn open(
        name: &JudgeName,
        spec: &ChatSpec,
        questions: &[Question],
        provider: Arc<dyn Provider>,
    ) -> Result<Self, SpecError> {
        spec.check()?;
        questions.iter().try_for_each(Question::check)?;
        if provider.name() != &spec.provider {
            return Err(SpecError::new("provider", format!("{} was wanted and {} was given", spec.provider, provider.name())));
        }
        if spec.score_from == ScoreFrom::Logprobs && !provider.gives_logprobs() {
            let message =
                format!("the protocol {:?} of {} gives no log-probabilities: use \"text\"", provider.kind(), spec.provider);
            return Err(SpecError::new("score_from", message));
        }
        let price = match spec.price {
            Some(price) => Some(price.to_price().map_err(|message| SpecError::new("price", message))?),
            None => prices::built_in(&spec.model),
        };
        let frame = if spec.packed {
            Frame::Packed(PackedPrompt::open(questions)?)
        } else {
            let open = |question| Prompt::open(question, spec.instructions.as_deref(), spec.score_from);
            let prompts = questions.iter().map(open).collect::<Result<_, _>>()?;
            Frame::Single { prompts, schema: raw(schema(spec).to_owned())? }
        };
        Ok(Self {
            name: name.clone(),
            versions: questions.iter().map(|question| version(spec, question, provider.as_ref())).collect(),
            questions: questions.to_vec(),
            frame,
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

    async fn complete(&self, call: Call<'_>, interaction: &Interaction) -> Result<Completion, CallFailure> {
        let request = Request {
            model: &self.spec.model,
            system: call.system,
            system_json: call.system_json,
            item: call.item,
            temperature: self.spec.temperature,
            seed: self.spec.seed,
            max_completion_tokens: call.max_completion_tokens,
            response_format: self.spec.response_format,
            schema: call.schema,
            logprobs: self.spec.score_from == ScoreFrom::Logprobs,
            prompt_cache_key: call.prompt_cache_key,
            form: call.form,
            questions: call.questions,
            interaction,
        };
        let answered = self.provider.complete(&request).await;
        answered.map_err(|failure| CallFailure { cost: self.cost(failure.usage), ..failure })
    }

    /// One question in a call of its own.
    async fn ask(
        &self,
        interaction: &Interaction,
        at: usize,
        prompts: &[Prompt],
        schema: &RawValue,
    ) -> Result<Verdict, CallFailure> {
        let (Some(prompt), Some(question), Some(version)) = (prompts.get(at), self.questions.get(at), self.versions.get(at))
        else {
            return Err(no_such_question(at));
        };
        let call = Call {
            system: prompt.system(),
            system_json: prompt.system_json(),
            item: &prompt.item(interaction),
            max_completion_tokens: self.spec.max_completion_tokens,
            schema,
            prompt_cache_key: version.as_str(),
            form: if self.spec.score_from == ScoreFrom::Logprobs { Form::YesNo } else { Form::Score },
            questions: &[("", question)],
        };
        let completion = self.complete(call, interaction).await?;
        let met = Met::of(&completion, self.cost(completion.usage));
        let read = match self.spec.score_from {
            ScoreFrom::Text => answer::parse(&completion.text).map(|answer| (answer, None)),
            ScoreFrom::Logprobs => self.probable(&completion, &met)?,
        };
        self.verdict(read, &met, version)
    }

    /// The probability of yes as the score. The word that was written is as sure as its own probability.
    fn probable(&self, completion: &Completion, met: &Met) -> Result<Result<(Answer, Option<f64>), String>, CallFailure> {
        let Some(tokens) = &completion.logprobs else {
            // As the next answer will be like this one, trying again would only cost more.
            let message = format!(
                "{} gave no log-probabilities for {}: use score_from = \"text\" for this judge, or another model",
                self.spec.provider, self.spec.model
            );
            return Err(met.failure(CallFailureKind::Rejected, message));
        };
        Ok(word::parse(&completion.text).and_then(|word| {
            let score = logprobs::probability_of_yes(&completion.text, word.at, tokens)?;
            Ok((Answer { score, reason: word.reason }, Some(score.max(1.0 - score))))
        }))
    }

    /// The questions `asked` in one call; their answers in the order of `asked`.
    async fn ask_all(
        &self,
        interaction: &Interaction,
        asked: &[usize],
        prompt: &PackedPrompt,
    ) -> Vec<Result<Verdict, CallFailure>> {
        let all = |failure: CallFailure| failure.split(asked.len()).into_iter().map(Err).collect();
        if asked.is_empty() {
            return Vec::new();
        }
        // The same questions in whatever order are the same prompt.
        let mut order = asked.to_vec();
        order.sort_unstable();
        order.dedup();
        if order.len() > QUESTIONS_MAX {
            let message = format!("{} questions in one call: {QUESTIONS_MAX} at the most", order.len());
            return all(CallFailure::new(CallFailureKind::Rejected, message));
        }
        let questions: Vec<_> = order.iter().filter_map(|&at| Some((prompt.id(at)?, self.questions.get(at)?))).collect();
        let ids: Vec<&str> = questions.iter().map(|(id, _)| *id).collect();
        let worded = prompt.system(&order).and_then(|system| Ok((system, raw(packed::schema(&ids))?)));
        let ((system, system_json), schema) = match worded {
            Ok(worded) => worded,
            Err(error) => return all(CallFailure::new(CallFailureKind::Rejected, error.to_string())),
        };
        let versions: Vec<&[u8]> = order.iter().filter_map(|&at| Some(self.versions.get(at)?.as_str().as_bytes())).collect();
        let cache_key = JudgeVersion::of(&versions);
        let call = Call {
            system: &system,
            system_json: &system_json,
            item: &prompt::item(interaction, prompt.without_context(&order)),
            max_completion_tokens: self.spec.max_completion_tokens.saturating_mul(order.len() as u32),
            schema: &schema,
            prompt_cache_key: cache_key.as_str(),
            form: Form::Packed,
            questions: &questions,
        };
        let completion = match self.complete(call, interaction).await {
            Ok(completion) => completion,
            Err(failure) => return all(failure),
        };
        let parts = packed::parse(&completion.text, &ids);
        let shares = Met::of(&completion, self.cost(completion.usage)).split(asked.len());
        let verdict = |(&at, met): (&usize, Met)| {
            let part = order.binary_search(&at).ok().and_then(|place| parts.get(place)).zip(self.versions.get(at));
            let (part, version) = part.ok_or_else(|| no_such_question(at))?;
            self.verdict(part.clone().map(|answer| (answer, None)), &met, version)
        };
        asked.iter().zip(shares).map(verdict).collect()
    }

    fn verdict(
        &self,
        read: Result<(Answer, Option<f64>), String>,
        met: &Met,
        version: &JudgeVersion,
    ) -> Result<Verdict, CallFailure> {
        match read {
            Ok((answer, confidence)) => Ok(Verdict {
                judge: self.name.clone(),
                version: version.clone(),
                score: answer.score,
                label: None,
                confidence,
                reason: answer.reason,
                model: met.model.clone(),
                usage: met.usage,
                cost: met.cost,
                latency_ms: met.latency_ms,
                simulated: met.simulated,
            }),
            Err(why) if met.cut_short => {
                let most = self.spec.max_completion_tokens;
                let message = format!("{why}: it was cut off at max_completion_tokens = {most}; raise it for this judge");
                Err(met.failure(CallFailureKind::InvalidAnswer, message))
            }
            Err(why) => Err(met.failure(CallFailureKind::InvalidAnswer, why)),
        }
    }
}

/// What differs from call to call.
struct Call<'a> {
    system: &'a str,
    system_json: &'a RawValue,
    item: &'a str,
    max_completion_tokens: u32,
    schema: &'a RawValue,
    prompt_cache_key: &'a str,
    form: Form,
    questions: &'a [(&'a str, &'a Question)],
}

/// What is known of a call apart from the answer's text.
struct Met {
    cut_short: bool,
    model: Option<String>,
    usage: Option<TokenUsage>,
    cost: Option<NanoUsd>,
    latency_ms: u64,
    simulated: bool,
}

impl Met {
    fn of(completion: &Completion, cost: Option<NanoUsd>) -> Self {
        Self {
            cut_short: completion.cut_short,
            model: completion.model.clone(),
            usage: completion.usage,
            cost,
            latency_ms: completion.latency_ms,
            simulated: completion.simulated,
        }
    }

    /// What the call cost, split over `n` questions; the rest holds for each.
    fn split(self, n: usize) -> Vec<Self> {
        let usages = self.usage.map(|usage| usage.split(n));
        let costs = self.cost.map(|cost| cost.split(n));
        let part = |at: usize| Self {
            usage: usages.as_ref().and_then(|parts| parts.get(at).copied()),
            cost: costs.as_ref().and_then(|parts| parts.get(at).copied()),
            model: self.model.clone(),
            ..self
        };
        (0..n).map(part).collect()
    }

    fn failure(&self, kind: CallFailureKind, message: String) -> CallFailure {
        let mut failure = CallFailure::new(kind, message);
        failure.usage = self.usage;
        failure.cost = self.cost;
        failure.latency_ms = self.latency_ms;
        failure
    }
}

fn no_such_question(at: usize) -> CallFailure {
    CallFailure::new(CallFailureKind::Rejected, format!("the judge has no question {at}"))
}

fn raw(json: String) -> Result<Box<RawValue>, SpecError> {
    RawValue::from_string(json).map_err(|error| SpecError::new("kind", format!("the answer's schema: {error}")))
}

/// The form of an answer to one question.
fn schema(spec: &ChatSpec) -> &'static str {
    match spec.score_from {
        ScoreFrom::Text => answer::SCHEMA,
        ScoreFrom::Logprobs => word::SCHEMA,
    }
}

/// The hash of all that decides an answer. Of the provider only the kind counts, never the address: the same model behind a proxy is
/// the same judge, but a simulated verdict must not pass for a real one. The questions that are asked in the same call do not count:
/// the frame does, and says that there may be some.
fn version(spec: &ChatSpec, question: &Question, provider: &dyn Provider) -> JudgeVersion {
    let number = |number: Option<String>| number.unwrap_or_else(|| "default".to_owned());
    let frame = match (spec.packed, spec.score_from) {
        (true, _) => prompt::packed::FRAME,
        (false, ScoreFrom::Text) => FRAME,
        (false, ScoreFrom::Logprobs) => FRAME_YES_NO,
    };
    JudgeVersion::of(&[
        b"chat",
        frame.as_bytes(),
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
        schema(spec).as_bytes(),
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

    fn questions_max(&self) -> usize {
        match self.frame {
            Frame::Single { .. } => 1,
            Frame::Packed(_) => QUESTIONS_MAX,
        }
    }

    async fn attempt(&self, interaction: &Interaction, questions: &[usize]) -> Vec<Result<Verdict, CallFailure>> {
        match &self.frame {
            Frame::Packed(prompt) => self.ask_all(interaction, questions, prompt).await,
            Frame::Single { prompts, schema } => {
                let mut verdicts = Vec::with_capacity(questions.len());
                for &at in questions {
                    verdicts.push(self.ask(interaction, at, prompts, schema).await);
                }
                verdicts
            }
        }
    }
}
