//! A decision model as a judge: the questions of all metrics that name it in one call, a probability for each. It gives no reasons
//! and writes nothing, so it is the cheapest of the paid judges; its confidence is the probability of the side that it takes.

use std::sync::Arc;

use assize_core::judge::{CallFailure, CallFailureKind, CalledJudge, Tightness};
use assize_core::{Interaction, JudgeName, JudgeVersion, NanoUsd, Price, ProviderName, TokenUsage, Verdict};
use async_trait::async_trait;

use crate::bounds::{self, Constants, Counting, overhead};
use crate::check::SpecError;
use crate::prices::{Called, Endpoint, Prices};
use crate::prompt::item;
use crate::prompt::predicates::{FRAME, OPENING, predicate};
use crate::providers::{Decided, Decider, Decisions, DecisionsRequest, Predicate};
use crate::spec::{DecisionsSpec, PriceSpec, Question};

/// The list price of the decision model `model` at its own vendor.
pub fn built_in_price(model: &str) -> Option<Price> {
    list_price(model, None)
}

fn list_price(model: &str, own: Option<PriceSpec>) -> Option<Price> {
    Prices::default().quote(&Called::anywhere(Endpoint::Decisions, model), own).map(|quote| quote.price)
}

/// A judge that has a decision model answer questions about an interaction.
pub struct DecisionsJudge {
    name: JudgeName,
    spec: DecisionsSpec,
    asked: Vec<Asked>,
    versions: Vec<JudgeVersion>,
    /// Names the frame, the model and nothing of what is judged.
    prompt_cache_key: JudgeVersion,
    price: Option<Price>,
    decider: Arc<dyn Decider>,
    counting: Counting,
    constants: Constants,
}

struct Asked {
    id: String,
    question: Question,
    instructions: String,
}

impl DecisionsJudge {
    /// A judge called `name` that asks `questions`.
    ///
    /// # Errors
    /// Where [`DecisionsSpec::check`] or [`Question::check`] refuses, or `decider` is not the provider that `spec` names.
    pub fn open(
        name: &JudgeName,
        spec: &DecisionsSpec,
        questions: &[Question],
        decider: Arc<dyn Decider>,
    ) -> Result<Self, SpecError> {
        spec.check()?;
        questions.iter().try_for_each(Question::check)?;
        if decider.name() != &spec.provider {
            return Err(SpecError::new("provider", format!("{} was wanted and {} was given", spec.provider, decider.name())));
        }
        let asked = |(at, question): (usize, &Question)| Asked {
            id: format!("q{}", at + 1),
            question: question.clone(),
            instructions: predicate(question),
        };
        let frame: [&[u8]; 5] =
            [b"decisions", FRAME.as_bytes(), decider.kind().as_bytes(), OPENING.as_bytes(), spec.model.as_bytes()];
        let version = |question: &Question| JudgeVersion::of(&[&frame[..], &[predicate(question).as_bytes()]].concat());
        Ok(Self {
            name: name.clone(),
            versions: questions.iter().map(version).collect(),
            asked: questions.iter().enumerate().map(asked).collect(),
            prompt_cache_key: JudgeVersion::of(&frame),
            price: list_price(&spec.model, spec.price),
            spec: spec.clone(),
            counting: Counting::of(decider.kind(), &spec.model),
            constants: Constants::default(),
            decider,
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

    fn cost(&self, usage: Option<TokenUsage>) -> Option<NanoUsd> {
        Some(self.price?.cost(&usage?))
    }

    /// The verdicts of a call that asked the questions `asked`, what it cost split over them.
    fn verdicts(&self, asked: &[usize], decisions: &Decisions) -> Vec<Result<Verdict, CallFailure>> {
        let usages = decisions.usage.map(|usage| usage.split(asked.len()));
        let costs = self.cost(decisions.usage).map(|cost| cost.split(asked.len()));
        let verdict = |(place, &at): (usize, &usize)| {
            let usage = usages.as_ref().and_then(|parts| parts.get(place).copied());
            let cost = costs.as_ref().and_then(|parts| parts.get(place).copied());
            let failed = |kind, message: String| {
                let latency_ms = decisions.latency_ms;
                Err(CallFailure { usage, cost, latency_ms, ..CallFailure::new(kind, message) })
            };
            let (probability, version) = match (decisions.decided.get(place), self.versions.get(at)) {
                (Some(Decided::Probability(probability)), Some(version)) if (0.0..=1.0).contains(probability) => {
                    (*probability, version)
                }
                (Some(Decided::Refused), _) => {
                    return failed(CallFailureKind::Refused, "the model declined to decide this question".to_owned());
                }
                (Some(Decided::Invalid(why)), _) => return failed(CallFailureKind::InvalidAnswer, why.clone()),
                _ => return failed(CallFailureKind::InvalidAnswer, "this question was not answered".to_owned()),
            };
            Ok(Verdict {
                judge: self.name.clone(),
                version: version.clone(),
                score: probability,
                label: None,
                confidence: Some(probability.max(1.0 - probability)),
                reason: String::new(),
                model: decisions.model.clone(),
                usage,
                cost,
                latency_ms: decisions.latency_ms,
                simulated: decisions.simulated,
                reused: None,
            })
        };
        asked.iter().enumerate().map(verdict).collect()
    }
}

#[async_trait]
impl CalledJudge for DecisionsJudge {
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
        self.decider.questions_max()
    }

    fn live_price(&self) -> Option<Price> {
        self.price
    }

    fn bound(&self, interaction: &Interaction, questions: &[usize], tightness: Tightness) -> Option<NanoUsd> {
        let price = self.price?;
        if questions.is_empty() || questions.len() > self.questions_max() {
            return None;
        }
        let mut order = questions.to_vec();
        order.sort_unstable();
        let asked = order.iter().map(|&at| self.asked.get(at)).collect::<Option<Vec<_>>>()?;
        let constant = self.constants.of(&order, || {
            let texts = asked.iter().flat_map(|asked| [asked.id.as_str(), asked.instructions.as_str()]).chain([OPENING]);
            let tokens = texts.map(|text| self.counting.tight(text)).fold(0, u64::saturating_add);
            Some(tokens.saturating_add(overhead::decisions(asked.len())))
        })?;
        let without_context = asked.iter().all(|asked| asked.question.without_context);
        let item = bounds::item(self.counting, interaction, without_context, tightness);
        bounds::cost(&price, constant.saturating_add(item), overhead::decided(asked.len()))
    }

    async fn attempt(&self, interaction: &Interaction, questions: &[usize]) -> Vec<Result<Verdict, CallFailure>> {
        let all = |failure: CallFailure| failure.split(questions.len()).into_iter().map(Err).collect();
        let refused = |message: String| all(CallFailure::new(CallFailureKind::Rejected, message));
        if questions.is_empty() {
            return Vec::new();
        }
        if questions.len() > self.questions_max() {
            return refused(format!("{} questions in one call: {} at the most", questions.len(), self.questions_max()));
        }
        let mut asked = Vec::with_capacity(questions.len());
        for (place, at) in questions.iter().enumerate() {
            match self.asked.get(*at) {
                Some(_) if questions[..place].contains(at) => {
                    return refused(format!("question {at} is asked twice in one call"));
                }
                Some(question) => asked.push(question),
                None => return refused(format!("the judge has no question {at}")),
            }
        }
        let predicates: Vec<Predicate<'_>> = asked
            .iter()
            .map(|asked| Predicate { id: &asked.id, instructions: &asked.instructions, question: &asked.question })
            .collect();
        let request = DecisionsRequest {
            model: &self.spec.model,
            opening: OPENING,
            item: &item(interaction, asked.iter().all(|asked| asked.question.without_context)),
            predicates: &predicates,
            prompt_cache_key: self.prompt_cache_key.as_str(),
            interaction,
        };
        match self.decider.decide(&request).await {
            Ok(decisions) => self.verdicts(questions, &decisions),
            Err(failure) => all(CallFailure { cost: self.cost(failure.usage).or(failure.cost), ..failure }),
        }
    }
}
