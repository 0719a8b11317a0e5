//! Trains a linear model: splits the examples, fits, stops early, quantises, calibrates and measures on what it has not seen.
//! The same examples and settings give the same model, byte for byte, on the same kind of machine.

mod calibrate;
mod fit;
mod split;

use serde::{Deserialize, Serialize};

use super::data::Example;
use super::measure::{self, Measured};
use super::model::{LinearModel, TABLE_BITS};

pub use split::{Part, SHARES};

/// The settings of a training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainSpec {
    /// What the model is called.
    pub name: String,
    /// Decides the split and the order of the examples.
    pub seed: u64,
    /// The byte n-grams have `2^bytes_bits` weights (8 to 22).
    pub bytes_bits: u32,
    /// The word n-grams have `2^words_bits` weights (8 to 22).
    pub words_bits: u32,
    /// Rounds over the examples, at the most (1 to 1,000).
    pub rounds_max: u32,
    /// So many rounds without a smaller loss on the validation part end the training (1 to 100).
    pub patience: u32,
    /// AdaGrad's step (above 0, 10 at the most).
    pub learning_rate: f32,
    /// The weight of the squared weights in the loss, per example (0 to 1).
    pub l2: f32,
}

impl Default for TrainSpec {
    fn default() -> Self {
        Self {
            name: "model".to_owned(),
            seed: 1,
            bytes_bits: 17,
            words_bits: 17,
            rounds_max: 60,
            patience: 3,
            learning_rate: 0.1,
            l2: 1e-5,
        }
    }
}

/// Why there is no model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrainError {
    /// A setting is out of range.
    #[error("{0}")]
    Setting(String),
    /// There is too little to learn from.
    #[error("{0}")]
    TooLittle(String),
}

/// A round is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Rounds so far.
    pub round: u32,
    /// Rounds at the most.
    pub rounds_max: u32,
    /// Mean loss on the validation part, in nats.
    pub loss: f64,
    /// The smallest so far.
    pub best: f64,
}

/// The examples of one part of the split.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartSize {
    /// How many.
    pub count: u64,
    /// How many with a label of 0.5 or more.
    pub positive: u64,
}

/// What a training came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainReport {
    /// Sizes of the parts: training, validation (early stopping), calibration (Platt and threshold) and test.
    pub training: PartSize,
    /// See `training`.
    pub validation: PartSize,
    /// See `training`.
    pub calibration: PartSize,
    /// See `training`.
    pub test: PartSize,
    /// Left out of the three held-out parts, since the same words stand in an earlier part.
    pub repeated: u64,
    /// The round whose weights were kept.
    pub round: u32,
    /// Mean loss on the validation part at that round, in nats.
    pub loss: f64,
    /// The test part at the model's own threshold.
    pub held_out: Measured,
    /// The same at 0.5.
    pub held_out_at_half: Measured,
    /// The same by source, at the model's own threshold, in the order of their names.
    pub by_source: Vec<(String, Measured)>,
}

/// A model and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// The model.
    pub model: LinearModel,
    /// What is known of it.
    pub report: TrainReport,
}

/// Examples of either label that the training part needs, at the least.
const TRAINING_MIN: u64 = 10;
/// Examples of either label that each other part needs, at the least.
const HELD_OUT_MIN: u64 = 3;

/// Trains a model; `progress` is told of every round.
///
/// # Errors
/// Where a setting is out of range, or a part of the split has too few examples of either label.
pub fn train(examples: &[Example], spec: &TrainSpec, progress: &mut dyn FnMut(Progress)) -> Result<Trained, TrainError> {
    check(spec)?;
    let split = split::split(examples, spec.seed);
    let of =
        |part: Part| split.parts.iter().zip(examples).filter(move |(other, _)| **other == Some(part)).map(|(_, example)| example);
    let collected = |part: Part| of(part).collect::<Vec<_>>();
    let (training, validation) = (collected(Part::Training), collected(Part::Validation));
    let (calibration, test) = (collected(Part::Calibration), collected(Part::Test));
    for (part, examples, least) in [
        ("training", &training, TRAINING_MIN),
        ("validation", &validation, HELD_OUT_MIN),
        ("calibration", &calibration, HELD_OUT_MIN),
        ("test", &test, HELD_OUT_MIN),
    ] {
        let size = size(examples);
        if size.positive < least || size.count - size.positive < least {
            return Err(TrainError::TooLittle(format!(
                "the {part} part of the split has {} positive and {} negative examples, and needs {least} of each: give more examples, \
                 of more clusters where they have any (all in all: {} examples)",
                size.positive,
                size.count - size.positive,
                split.parts.len()
            )));
        }
    }
    let fitted = fit::fit(&training, &validation, spec, progress);
    let mut model = fit::quantised(&fitted, spec);
    let margins = |examples: &[&Example]| -> Vec<(f64, f64)> {
        examples
            .iter()
            .map(|example| (f64::from(model.search([example.text.as_str()].into_iter()).margin), example.label))
            .collect()
    };
    // A text without any word has no margin, and always scores 0.
    let margins: Vec<(f64, f64)> = margins(&calibration).into_iter().filter(|(margin, _)| margin.is_finite()).collect();
    (model.slope, model.offset) = calibrate::platt(&margins);
    let scored = |examples: &[&Example]| -> Vec<(f64, f64)> {
        examples.iter().map(|example| (model.score(&example.text), example.label)).collect()
    };
    model.threshold = measure::best_threshold(&scored(&calibration));
    let held_out = scored_by_source(&model, &test);
    let all: Vec<(f64, f64)> = held_out.iter().map(|(_, pair)| *pair).collect();
    let report = TrainReport {
        training: size(&training),
        validation: size(&validation),
        calibration: size(&calibration),
        test: size(&test),
        repeated: split.repeated,
        round: fitted.round,
        loss: fitted.loss,
        held_out: Measured::of(&all, model.threshold),
        held_out_at_half: Measured::of(&all, 0.5),
        by_source: by_source(&held_out, model.threshold),
    };
    Ok(Trained { model, report })
}

fn scored_by_source<'e>(model: &LinearModel, examples: &[&'e Example]) -> Vec<(Option<&'e str>, (f64, f64))> {
    examples.iter().map(|example| (example.source.as_deref(), (model.score(&example.text), example.label))).collect()
}

/// Sources that are told apart, at the most; the rest is in the whole only.
const SOURCES_MAX: usize = 50;

fn by_source(scored: &[(Option<&str>, (f64, f64))], threshold: f64) -> Vec<(String, Measured)> {
    let mut sources: std::collections::BTreeMap<&str, Vec<(f64, f64)>> = std::collections::BTreeMap::new();
    for (source, pair) in scored {
        if let Some(source) = source
            && (sources.len() < SOURCES_MAX || sources.contains_key(source))
        {
            sources.entry(source).or_default().push(*pair);
        }
    }
    sources.into_iter().map(|(source, scored)| (source.to_owned(), Measured::of(&scored, threshold))).collect()
}

fn size(examples: &[&Example]) -> PartSize {
    let positive = examples.iter().filter(|example| example.label >= 0.5).count();
    PartSize { count: examples.len() as u64, positive: positive as u64 }
}

fn check(spec: &TrainSpec) -> Result<(), TrainError> {
    let ensure = |holds: bool, what: String| if holds { Ok(()) } else { Err(TrainError::Setting(what)) };
    ensure(!spec.name.is_empty() && spec.name.len() <= 128, "the name is empty or longer than 128 bytes".to_owned())?;
    for (name, bits) in [("bytes bits", spec.bytes_bits), ("words bits", spec.words_bits)] {
        ensure(TABLE_BITS.contains(&bits), format!("{name} = {bits} is out of range: use 8 to 22"))?;
    }
    ensure((1..=1000).contains(&spec.rounds_max), format!("rounds = {} is out of range: use 1 to 1000", spec.rounds_max))?;
    ensure((1..=100).contains(&spec.patience), format!("patience = {} is out of range: use 1 to 100", spec.patience))?;
    let rate = spec.learning_rate;
    ensure(rate > 0.0 && rate <= 10.0, format!("learning rate = {rate} is out of range: use a number above 0, 10 at the most"))?;
    ensure((0.0..=1.0).contains(&spec.l2), format!("l2 = {} is out of range: use 0 to 1", spec.l2))
}

#[cfg(test)]
mod tests;
