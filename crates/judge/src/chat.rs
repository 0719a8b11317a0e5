//! A chat model as a judge: one model, the questions of all metrics that name it, one attempt at a time. It asks one question a call,
//! or with `packed = true` several; it takes the number that the model writes for the score, or with `score_from = "logprobs"` the
//! probability with which it says yes.

mod call;

use std::sync::Arc;

use assize_core::judge::{CallFailure, CallFailureKind, CalledJudge, Tightness};
use assize_core::{Interaction, JudgeName, JudgeVersion, NanoUsd, Price, ProviderName, TokenUsage, Verdict};
use async_trait::async_trait;
use serde_json::value::RawValue;

pub use call::Call;
use call::System;

use crate::answer::{self, Answer, logprobs, packed, word};
use crate::bounds::{self, Constants, Counting, overhead};
use crate::check::SpecError;
use crate::prices::{Called, Endpoint, Prices};
use crate::prompt::packed::{PackedPrompt, QUESTIONS_MAX};
use crate::prompt::{self, FRAME, FRAME_YES_NO, Prompt};
use crate::providers::{Completion, Provider};
use crate::spec::{ChatSpec, Question, ResponseFormat, ScoreFrom};

/// A judge that asks a model of a provider about an interaction.
pub struct ChatJudge {
    name: JudgeName,
    spec: ChatSpec,
    questions: Vec<Question>,
    frame: Frame,
    versions: Vec<JudgeVersion>,
    price: Option<Price>,
    provider: Arc<dyn Provider>,
    counting: Counting,
    constants: Constants,
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
        let listed = Prices::default().quote(&Called::anywhere(Endpoint::Chat, &spec.model), spec.price);
        let frame = if spec.packed {
            Frame::Packed(PackedPrompt::open(questions)?)
        } else {
            let open = |question| Prompt::open_for(question, spec.instructions.as_deref(), spec.score_from);
            let prompts = questions.iter().map(open).collect::<Result<_, _>>()?;
            Frame::Single { prompts, schema: raw(schema(spec).to_owned())? }
        };
        Ok(Self {
            name: name.clone(),
            versions: questions.iter().map(|question| version(spec, question, provider.as_ref())).collect(),
            questions: questions.to_vec(),
            frame,
            spec: spec.clone(),
            price: listed.map(|quote| quote.price),
            counting: Counting::of(provider.kind(), &spec.model),
            constants: Constants::default(),
            provider,
        })
    }

    /// The same, charged as `price` says in place of its own price and the lists.
    #[must_use]
    pub fn at_price(self, price: Option<Price>) -> Self {
        Self { price, ..self }
    }

    /// What the model charges; `None` where nobody said, which is not the same as nothing.
    pub fn price(&self) -> Option<Price> {
        self.price
    }

    /// The call that puts the questions `asked` about `interaction`: one of them, or with `packed = true` up to [`QUESTIONS_MAX`].
    ///
    /// # Errors
    /// Where the judge cannot ask that in one call.
    pub fn call<'a>(&'a self, interaction: &'a Interaction, asked: &[usize]) -> Result<Call<'a>, CallFailure> {
        // The same questions in whatever order are the same prompt.
        let mut order = asked.to_vec();
        order.sort_unstable();
        order.dedup();
        let rejected = |message: String| CallFailure::new(CallFailureKind::Rejected, message);
        if order.len() < asked.len() {
            return Err(rejected("a question is asked twice in one call".to_owned()));
        }
        if order.is_empty() || order.len() > self.questions_max() {
            return Err(rejected(format!("{} questions in one call: 1 to {}", order.len(), self.questions_max())));
        }
        let mut questions = Vec::with_capacity(order.len());
        let mut versions: Vec<&[u8]> = Vec::with_capacity(order.len());
        for &at in &order {
            let (Some(question), Some(version)) = (self.questions.get(at), self.versions.get(at)) else {
                return Err(no_such_question(at));
            };
            questions.push((self.id(at), question));
            versions.push(version.as_str().as_bytes());
        }
        let (system, item, schema) = match &self.frame {
            Frame::Single { prompts, schema } => {
                let prompt = order.first().and_then(|&at| prompts.get(at)).ok_or_else(|| rejected("no question".to_owned()))?;
                (System::Constant(prompt), prompt.item(interaction), schema.clone())
            }
            Frame::Packed(prompt) => {
                let ids: Vec<&str> = questions.iter().map(|(id, _)| *id).collect();
                let worded = prompt.system(&order).and_then(|(text, json)| Ok((text, json, raw(packed::schema(&ids))?)));
                let (text, json, schema) = worded.map_err(|error| rejected(error.to_string()))?;
                (System::Composed { text, json }, prompt::item(interaction, prompt.without_context(&order)), schema)
            }
        };
        // Of one question the version itself, so that it can be found again.
        let prompt_cache_key = match (&self.frame, order.first().and_then(|&at| self.versions.get(at))) {
            (Frame::Single { .. }, Some(version)) => version.clone(),
            _ => JudgeVersion::of(&versions),
        };
        Ok(Call { judge: self, interaction, system, item, schema, prompt_cache_key, questions })
    }

    /// The verdicts in what came back for the questions `asked`, in their order; `price` is that of the call, and what it cost is
    /// split over them.
    pub fn read(
        &self,
        asked: &[usize],
        answered: Result<Completion, CallFailure>,
        price: Option<Price>,
    ) -> Vec<Result<Verdict, CallFailure>> {
        let cost = |usage: Option<TokenUsage>| Some(price?.cost(&usage?));
        let completion = match answered {
            Ok(completion) => completion,
            Err(failure) => {
                let failure = CallFailure { cost: cost(failure.usage).or(failure.cost), ..failure };
                return failure.split(asked.len()).into_iter().map(Err).collect();
            }
        };
        let ids: Vec<&str> = asked.iter().map(|&at| self.id(at)).collect();
        let met = Met::of(&completion, cost(completion.usage));
        let parts: Vec<Result<Read, CallFailure>> = match (&self.frame, self.spec.score_from) {
            (Frame::Packed(_), _) => {
                let met = &met;
                let part = |part: Result<Answer, String>| part.map(Read::of).map_err(|why| self.invalid(met, why));
                packed::parse(&completion.text, &ids).into_iter().map(part).collect()
            }
            (Frame::Single { .. }, ScoreFrom::Text) => {
                vec![answer::parse(&completion.text).map(Read::of).map_err(|why| self.invalid(&met, why))]
            }
            (Frame::Single { .. }, ScoreFrom::Logprobs) => vec![self.probable(&completion, &met)],
        };
        let mut parts = parts.into_iter();
        let verdict = |(&at, met): (&usize, Met)| {
            let version = self.versions.get(at).ok_or_else(|| no_such_question(at))?;
            match parts.next() {
                Some(Ok(read)) => Ok(self.verdict(read, met, version)),
                // What it cost is the question's share.
                Some(Err(failure)) => Err(CallFailure { usage: met.usage, cost: met.cost, ..failure }),
                None => Err(self.invalid(&met, "the answer is one, and the questions are several".to_owned())),
            }
        };
        asked.iter().zip(met.split(asked.len())).map(verdict).collect()
    }

    /// The id under which a packed answer gives the question `at`.
    fn id(&self, at: usize) -> &str {
        match &self.frame {
            Frame::Single { .. } => "",
            Frame::Packed(prompt) => prompt.id(at).unwrap_or_default(),
        }
    }

    /// The most that one call can cost that asks `asked`; `None` where it would not be sent.
    fn bound_of_call(&self, interaction: &Interaction, asked: &[usize], tightness: Tightness) -> Option<NanoUsd> {
        let price = self.price?;
        let mut order = asked.to_vec();
        order.sort_unstable();
        let constant = self.constants.of(&order, || {
            let call = self.call(interaction, asked).ok()?;
            let request = call.request();
            let schema = (request.response_format == ResponseFormat::JsonSchema).then_some(request.schema.get());
            let around = overhead::chat(self.provider.kind(), self.counting, &self.spec.model, schema);
            Some(self.counting.tight(request.system).saturating_add(around))
        })?;
        let without_context = match &self.frame {
            Frame::Single { prompts, .. } => prompts.get(*order.first()?)?.without_context(),
            Frame::Packed(prompt) => prompt.without_context(&order),
        };
        let item = bounds::item(self.counting, interaction, without_context, tightness);
        let output = u64::from(self.spec.max_completion_tokens).saturating_mul(order.len() as u64);
        bounds::cost(&price, constant.saturating_add(item), output)
    }

    async fn ask(&self, interaction: &Interaction, asked: &[usize]) -> Vec<Result<Verdict, CallFailure>> {
        match self.call(interaction, asked) {
            Ok(call) => self.read(asked, self.provider.complete(&call.request()).await, self.price),
            Err(failure) => failure.split(asked.len()).into_iter().map(Err).collect(),
        }
    }

    /// The probability of yes as the score. The word that was written is as sure as its own probability.
    fn probable(&self, completion: &Completion, met: &Met) -> Result<Read, CallFailure> {
        let word = word::parse(&completion.text).map_err(|why| self.invalid(met, why))?;
        let Some(tokens) = &completion.logprobs else {
            // As the next answer will be like this one, trying again would only cost more.
            let message = format!(
                "{} gave no log-probabilities for {}: use score_from = \"text\" for this judge, or another model",
                self.spec.provider, self.spec.model
            );
            return Err(met.failure(CallFailureKind::Rejected, message));
        };
        let score = logprobs::probability_of_yes(&completion.text, word.at, tokens).map_err(|why| self.invalid(met, why))?;
        Ok(Read { score, confidence: Some(score.max(1.0 - score)), reason: word.reason })
    }

    fn invalid(&self, met: &Met, why: String) -> CallFailure {
        let most = self.spec.max_completion_tokens;
        let message = if met.cut_short {
            format!("{why}: it was cut off at max_completion_tokens = {most}; raise it for this judge")
        } else {
            why
        };
        met.failure(CallFailureKind::InvalidAnswer, message)
    }

    fn verdict(&self, read: Read, met: Met, version: &JudgeVersion) -> Verdict {
        Verdict {
            judge: self.name.clone(),
            version: version.clone(),
            score: read.score,
            label: None,
            confidence: read.confidence,
            reason: read.reason,
            model: met.model,
            usage: met.usage,
            cost: met.cost,
            latency_ms: met.latency_ms,
            simulated: met.simulated,
            reused: None,
        }
    }
}

/// What was read out of an answer to one question.
struct Read {
    score: f64,
    confidence: Option<f64>,
    reason: String,
}

impl Read {
    fn of(answer: Answer) -> Self {
        Self { score: answer.score, confidence: None, reason: answer.reason }
    }
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

    fn live_price(&self) -> Option<Price> {
        self.price
    }

    fn bound(&self, interaction: &Interaction, questions: &[usize], tightness: Tightness) -> Option<NanoUsd> {
        match &self.frame {
            Frame::Packed(_) => self.bound_of_call(interaction, questions, tightness),
            Frame::Single { .. } => questions
                .iter()
                .filter_map(|question| self.bound_of_call(interaction, std::slice::from_ref(question), tightness))
                .reduce(NanoUsd::plus),
        }
    }

    async fn attempt(&self, interaction: &Interaction, questions: &[usize]) -> Vec<Result<Verdict, CallFailure>> {
        match &self.frame {
            Frame::Packed(_) => self.ask(interaction, questions).await,
            Frame::Single { .. } => {
                let mut verdicts = Vec::with_capacity(questions.len());
                for question in questions {
                    verdicts.extend(self.ask(interaction, std::slice::from_ref(question)).await);
                }
                verdicts
            }
        }
    }
}
