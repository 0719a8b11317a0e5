//! One call of a chat judge, composed and not yet made.

use assize_core::{Interaction, JudgeVersion};
use serde_json::value::RawValue;

use super::ChatJudge;
use crate::prompt::Prompt;
use crate::providers::{Form, Request};
use crate::spec::{Question, ScoreFrom};

/// A call, composed and not yet made: what is sent for it at once or as a line of a batch.
pub struct Call<'a> {
    pub(super) judge: &'a ChatJudge,
    pub(super) interaction: &'a Interaction,
    pub(super) system: System<'a>,
    pub(super) item: String,
    pub(super) schema: Box<RawValue>,
    pub(super) prompt_cache_key: JudgeVersion,
    pub(super) questions: Vec<(&'a str, &'a Question)>,
}

pub(super) enum System<'a> {
    Constant(&'a Prompt),
    Composed { text: String, json: Box<RawValue> },
}

impl Call<'_> {
    /// What a provider is asked.
    pub fn request(&self) -> Request<'_> {
        let spec = &self.judge.spec;
        let (system, system_json) = match &self.system {
            System::Constant(prompt) => (prompt.system(), prompt.system_json()),
            System::Composed { text, json } => (text.as_str(), &**json),
        };
        Request {
            model: &spec.model,
            system,
            system_json,
            item: &self.item,
            temperature: spec.temperature,
            seed: spec.seed,
            max_completion_tokens: spec.max_completion_tokens.saturating_mul(self.questions.len() as u32),
            response_format: spec.response_format,
            schema: &self.schema,
            logprobs: spec.score_from == ScoreFrom::Logprobs,
            prompt_cache_key: self.prompt_cache_key.as_str(),
            form: match (spec.packed, spec.score_from) {
                (true, _) => Form::Packed,
                (false, ScoreFrom::Text) => Form::Score,
                (false, ScoreFrom::Logprobs) => Form::YesNo,
            },
            questions: &self.questions,
            interaction: self.interaction,
        }
    }
}
