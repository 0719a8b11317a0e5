//! The linear judge: logistic regression over hashed n-grams of characters and words, microseconds a text, at accept.
//!
//! [`open`] makes the judge of a specification. A model is read from a file or compiled in ([`BUILTIN`]); it scores each short segment of
//! a text, and the text scores as its worst segment does, calibrated. [`train`] makes models from labelled lines ([`data`]), [`measure`]
//! says how good scores are, and [`card`] writes that down beside the model.
//!
//! What such a model can do: know words, phrases and spellings that people labelled. What it cannot: irony, quotation, who is meant,
//! any language it was not trained on. It makes a cheap first tier whose errors the tiers above it correct.

pub mod card;
pub mod data;
mod features;
pub mod measure;
mod model;
mod reason;
mod segment;
pub mod train;

use std::path::Path;
use std::sync::Arc;

use assize_core::judge::{InlineJudge, InlineVerdict};
use assize_core::{Interaction, JudgeVersion, Message, Role};

use crate::check::SpecError;
use crate::spec::{Field, LinearSpec};

pub use model::{HEAD_BYTES, LinearModel, ModelError, TAIL_BYTES};

/// Changes whenever the same model would judge some interaction differently than before.
const ENGINE: &[u8] = b"linear/1";
const REASON_CHARS_MAX: usize = 200;
/// How a specification names a model that is compiled in.
const BUILTIN_PREFIX: &str = "builtin:";

/// A model that comes with the product.
#[derive(Debug, Clone, Copy)]
pub struct BuiltinModel {
    /// What follows `builtin:`.
    pub name: &'static str,
    /// What it was made to read.
    pub field: Field,
    /// What it is, how good, and of what it was made.
    pub card: &'static str,
    bytes: &'static [u8],
}

/// The models that come with the product.
pub const BUILTIN: &[BuiltinModel] = &[
    BuiltinModel {
        name: "sentiment",
        field: Field::Input,
        card: include_str!("../../models/sentiment.md"),
        bytes: include_bytes!("../../models/sentiment.bin"),
    },
    BuiltinModel {
        name: "toxicity",
        field: Field::Output,
        card: include_str!("../../models/toxicity.md"),
        bytes: include_bytes!("../../models/toxicity.bin"),
    },
];

/// The built-in model of this name.
pub fn builtin(name: &str) -> Option<&'static BuiltinModel> {
    BUILTIN.iter().find(|model| model.name == name)
}

impl BuiltinModel {
    /// The model; its weights stay where they are compiled in.
    ///
    /// # Errors
    /// Never, unless the binary itself is damaged.
    pub fn model(&self) -> Result<LinearModel, ModelError> {
        LinearModel::from_bytes(&format!("{BUILTIN_PREFIX}{}", self.name), self.bytes)
    }
}

impl LinearSpec {
    /// Checks that a model is named, and that it exists where it is a built-in one. A file is read when the judge is opened.
    pub fn check(&self) -> Result<(), SpecError> {
        if self.model.trim().is_empty() || self.model.len() > 4096 {
            return Err(SpecError::new("model", format!("write {} or the path of a model file", builtin_names())));
        }
        self.builtin().map(|_| ())
    }

    /// The built-in model that is named; `None` where a file is.
    fn builtin(&self) -> Result<Option<&'static BuiltinModel>, SpecError> {
        let Some(name) = self.model.strip_prefix(BUILTIN_PREFIX) else { return Ok(None) };
        let unknown = || {
            SpecError::new(
                "model",
                format!("there is no built-in model {name:?}: use {} or the path of a model file", builtin_names()),
            )
        };
        builtin(name).map(Some).ok_or_else(unknown)
    }
}

fn builtin_names() -> String {
    BUILTIN.iter().map(|model| format!("\"{BUILTIN_PREFIX}{}\"", model.name)).collect::<Vec<_>>().join(", ")
}

/// Opens a linear judge. Reads the model's file, if it is one.
///
/// # Errors
/// Where [`LinearSpec::check`] refuses the specification, or the file is no model that can be used ([`ModelError`]).
pub fn open(spec: &LinearSpec) -> Result<Arc<dyn InlineJudge>, SpecError> {
    spec.check()?;
    let builtin = spec.builtin()?;
    let model = match builtin {
        Some(builtin) => builtin.model(),
        None => LinearModel::open(Path::new(&spec.model)),
    };
    let model = model.map_err(|error| SpecError::new("model", error.to_string()))?;
    let field = spec.field.or(builtin.map(|builtin| builtin.field)).unwrap_or_default();
    Ok(Arc::new(Linear { version: version(&model, field), model, field }))
}

/// Hashes everything that decides the score: weights, calibration and what is read.
fn version(model: &LinearModel, field: Field) -> JudgeVersion {
    let field = match field {
        Field::Input => "input",
        Field::Output => "output",
        Field::Both => "both",
    };
    JudgeVersion::of(&[ENGINE, field.as_bytes(), &model.to_bytes()])
}

struct Linear {
    version: JudgeVersion,
    model: LinearModel,
    field: Field,
}

impl InlineJudge for Linear {
    fn version(&self) -> &JudgeVersion {
        &self.version
    }

    fn judge(&self, interaction: &Interaction) -> InlineVerdict {
        let found = self.model.search(texts(interaction, self.field));
        let score = self.model.score_of(found.margin);
        let named = found.segment.filter(|_| score >= self.model.threshold().min(0.5));
        let reason = named.map(|segment| reason::heaviest(&self.model, &segment)).unwrap_or_default();
        InlineVerdict { score, reason: reason.chars().take(REASON_CHARS_MAX).collect() }
    }
}

/// What is read: of the input the user's own words, where a message says that they are; of the output everything.
fn texts(interaction: &Interaction, field: Field) -> impl Iterator<Item = &str> + Clone {
    let (input, output) = match field {
        Field::Input => (interaction.input.as_slice(), [].as_slice()),
        Field::Output => ([].as_slice(), interaction.output.as_slice()),
        Field::Both => (interaction.input.as_slice(), interaction.output.as_slice()),
    };
    let user_speaks = input.iter().any(|message| message.role == Role::User);
    let input = input.iter().filter(move |message| !user_speaks || message.role == Role::User);
    input.chain(output).map(|message: &Message| message.content.as_str())
}

#[cfg(test)]
mod tests;
