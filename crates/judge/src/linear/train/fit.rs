//! Fits the weights: logistic loss of the segment with the largest margin, by AdaGrad (Duchi, Hazan and Singer 2011) one example at a
//! time, with a squared penalty on the weights that the example touches; then rounds them to signed bytes.

use super::{Example, Progress, TrainSpec};
use crate::linear::features::{self, Features};
use crate::linear::model::{LinearModel, Table, each_segment, logistic};

/// Added to AdaGrad's root, so that a first step is finite.
const EPSILON: f32 = 1e-6;
/// Largest weight of a signed byte.
const STEPS: f32 = 127.0;

/// The weights of the best round.
pub(super) struct Fitted {
    bytes: Vec<f32>,
    words: Vec<f32>,
    bias: f32,
    pub(super) round: u32,
    pub(super) loss: f64,
}

#[derive(Clone)]
struct Weights {
    values: Vec<f32>,
    /// AdaGrad's sums of squared gradients.
    squares: Vec<f32>,
}

impl Weights {
    fn new(count: usize) -> Self {
        Self { values: vec![0.0; count], squares: vec![0.0; count] }
    }

    fn sum(&self, buckets: &[u32]) -> f32 {
        buckets.iter().map(|bucket| self.values.get(*bucket as usize).copied().unwrap_or(0.0)).sum()
    }

    fn step(&mut self, buckets: &[u32], slope: f32, spec: &TrainSpec) {
        for bucket in buckets {
            let at = *bucket as usize;
            if let (Some(value), Some(squares)) = (self.values.get_mut(at), self.squares.get_mut(at)) {
                let gradient = slope + spec.l2 * *value;
                *squares += gradient * gradient;
                *value -= spec.learning_rate * gradient / (squares.sqrt() + EPSILON);
            }
        }
    }
}

/// The buckets of one example's segments.
#[derive(Default)]
struct Buckets {
    bytes_bits: u32,
    words_bits: u32,
    bytes: Vec<u32>,
    words: Vec<u32>,
    /// Where each segment's buckets end.
    ends: Vec<(usize, usize)>,
}

impl Features for Buckets {
    fn bytes(&mut self, hash: u64, _: usize, _: usize) {
        self.bytes.push(features::bucket(hash, self.bytes_bits) as u32);
    }
    fn words(&mut self, hash: u64, _: usize, _: usize) {
        self.words.push(features::bucket(hash, self.words_bits) as u32);
    }
}

impl Buckets {
    fn read(&mut self, text: &str) {
        self.bytes.clear();
        self.words.clear();
        self.ends.clear();
        each_segment([text].into_iter(), &mut |segment| {
            features::visit(segment, self);
            self.ends.push((self.bytes.len(), self.words.len()));
        });
    }

    /// The buckets of each segment.
    fn segments(&self) -> impl Iterator<Item = (&[u32], &[u32])> {
        let starts = std::iter::once(&(0, 0)).chain(&self.ends);
        starts.zip(&self.ends).map(|(start, end)| {
            (self.bytes.get(start.0..end.0).unwrap_or_default(), self.words.get(start.1..end.1).unwrap_or_default())
        })
    }
}

struct Learner {
    bytes: Weights,
    words: Weights,
    bias: f32,
    bias_squares: f32,
    buckets: Buckets,
}

fn norm(count: usize) -> f32 {
    1.0 / (count.max(1) as f32).sqrt()
}

impl Learner {
    /// The segment with the largest margin, and that margin.
    fn worst(&self) -> Option<(usize, f32)> {
        let margin = |(bytes, words): (&[u32], &[u32])| {
            self.bias + self.bytes.sum(bytes) * norm(bytes.len()) + self.words.sum(words) * norm(words.len())
        };
        self.buckets.segments().map(margin).enumerate().max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))
    }

    fn learn(&mut self, example: &Example, spec: &TrainSpec) {
        self.buckets.read(&example.text);
        let Some((worst, margin)) = self.worst() else { return };
        let gradient = (logistic(f64::from(margin)) - example.label) as f32;
        if let Some((bytes, words)) = self.buckets.segments().nth(worst) {
            self.bytes.step(bytes, gradient * norm(bytes.len()), spec);
            self.words.step(words, gradient * norm(words.len()), spec);
        }
        self.bias_squares += gradient * gradient;
        self.bias -= spec.learning_rate * gradient / (self.bias_squares.sqrt() + EPSILON);
    }

    fn loss(&mut self, examples: &[&Example]) -> f64 {
        let mut loss = 0.0;
        for example in examples {
            self.buckets.read(&example.text);
            let margin = self.worst().map_or(0.0, |(_, margin)| f64::from(margin));
            // -label·ln p - (1-label)·ln(1-p), without the logarithm of a rounded zero.
            loss += margin.max(0.0) - margin * example.label + (-margin.abs()).exp().ln_1p();
        }
        loss / examples.len().max(1) as f64
    }
}

/// Fits on `training` until `validation` gets no better.
pub(super) fn fit(
    training: &[&Example],
    validation: &[&Example],
    spec: &TrainSpec,
    progress: &mut dyn FnMut(Progress),
) -> Fitted {
    let mut learner = Learner {
        bytes: Weights::new(1 << spec.bytes_bits),
        words: Weights::new(1 << spec.words_bits),
        bias: 0.0,
        bias_squares: 0.0,
        buckets: Buckets { bytes_bits: spec.bytes_bits, words_bits: spec.words_bits, ..Buckets::default() },
    };
    let mut best = Fitted { bytes: Vec::new(), words: Vec::new(), bias: 0.0, round: 0, loss: f64::INFINITY };
    let mut order: Vec<&Example> = training.to_vec();
    let mut chance = Chance(spec.seed);
    for round in 1..=spec.rounds_max {
        chance.shuffle(&mut order);
        for example in &order {
            learner.learn(example, spec);
        }
        let loss = learner.loss(validation);
        if loss < best.loss || best.round == 0 {
            best = Fitted {
                bytes: learner.bytes.values.clone(),
                words: learner.words.values.clone(),
                bias: learner.bias,
                round,
                loss,
            };
        }
        progress(Progress { round, rounds_max: spec.rounds_max, loss, best: best.loss });
        if round - best.round >= spec.patience {
            break;
        }
    }
    best
}

/// The fitted weights as signed bytes, not yet calibrated.
pub(super) fn quantised(fitted: &Fitted, spec: &TrainSpec) -> LinearModel {
    LinearModel {
        name: spec.name.clone(),
        bytes: table(&fitted.bytes, spec.bytes_bits),
        words: table(&fitted.words, spec.words_bits),
        bias: fitted.bias,
        slope: 1.0,
        offset: 0.0,
        threshold: 0.5,
    }
}

/// Rounds weights with the scale that loses least: the few largest are cut rather than all others made coarse.
fn table(weights: &[f32], bits: u32) -> Table {
    let largest = weights.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
    let rounded = |weight: f32, scale: f32| (weight / scale).round().clamp(-STEPS, STEPS);
    let lost = |scale: f32| -> f64 {
        weights
            .iter()
            .filter(|weight| **weight != 0.0)
            .map(|weight| f64::from(weight - rounded(*weight, scale) * scale).powi(2))
            .sum()
    };
    let scales = [1.0, 0.8, 0.65, 0.5, 0.4, 0.3, 0.2].map(|share| (largest * share / STEPS).max(f32::MIN_POSITIVE));
    let scale =
        scales.into_iter().map(|scale| (lost(scale), scale)).min_by(|a, b| a.0.total_cmp(&b.0)).map_or(1.0, |(_, scale)| scale);
    let bytes: Vec<u8> = weights.iter().map(|weight| rounded(*weight, scale) as i8 as u8).collect();
    Table { bits, scale, weights: bytes.into() }
}

/// SplitMix64 (Steele, Lea and Flood 2014): the same order from the same seed, on every machine.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            let other = ((u128::from(self.next()) * (at as u128 + 1)) >> 64) as usize;
            items.swap(at, other);
        }
    }
}
