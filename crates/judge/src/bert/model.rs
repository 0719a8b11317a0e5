//! The encoder of BERT, DistilBERT and RoBERTa (Devlin et al. 2018, Sanh et al. 2019, Liu et al. 2019), and the heads on it.
//!
//! Texts of a batch lie one after the other in one matrix, token by token: nothing is padded and nothing masked. The products are
//! candle's; queries, keys and values come from one; what lies between them is done in place ([`super::kernels`]).

use candle_core::{CpuStorage, Device, InplaceOp1, InplaceOp2, Layout, Tensor};

use super::BertError;
use super::config::{Activation, Config, Family};
use super::kernels::{self, Norm};
use super::tokens::Tokens;
use super::weights::Weights;

/// A matrix product followed by the addition of a bias.
struct Linear {
    /// Transposed: a row per input.
    weight: Tensor,
    bias: Vec<f32>,
}

struct Layer {
    /// Queries, keys and values side by side; queries are divided by the root of a head's width.
    attention: Linear,
    attention_out: Linear,
    attention_norm: Norm,
    widen: Linear,
    narrow: Linear,
    norm: Norm,
}

struct Embeddings {
    words: Vec<f32>,
    positions: Vec<f32>,
    /// Empty where the model has no types.
    types: Vec<f32>,
    norm: Norm,
}

/// An encoder with its weights.
pub(crate) struct Encoder {
    config: Config,
    embeddings: Embeddings,
    layers: Vec<Layer>,
}

/// A small product for one vector: a row per output.
struct Dense {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

/// What turns the vectors of a text's tokens into its result.
pub(crate) enum Head {
    /// A layer on the first token's vector, and the labels' logits on that.
    Classify(ClassifyHead),
    /// The mean of all tokens' vectors, of length 1.
    Mean,
    /// The first token's vector, of length 1.
    First,
}

/// The head of a classifier.
pub(crate) struct ClassifyHead {
    dense: Dense,
    /// tanh, or else max(x, 0).
    tanh: bool,
    out: Dense,
}

/// Numbers of the scores of one product of attention, at the most: longer texts take their heads in parts.
const SCORES_MAX: usize = 1 << 21;

impl Encoder {
    /// The encoder that `weights` hold.
    pub fn load(config: &Config, weights: &Weights<'_>) -> Result<Self, BertError> {
        let names = Names::of(config.family, weights);
        let h = config.hidden;
        let norm = |name: &str| norm(config, weights, name);
        let embeddings = Embeddings {
            words: weights.get(&names.root("embeddings.word_embeddings.weight"), &[config.vocabulary, h])?,
            positions: weights.get(&names.root("embeddings.position_embeddings.weight"), &[config.positions, h])?,
            types: match config.token_types {
                0 => Vec::new(),
                n => weights.get(&names.root("embeddings.token_type_embeddings.weight"), &[n, h])?,
            },
            norm: norm(&names.root("embeddings.LayerNorm"))?,
        };
        let scale = 1.0 / ((h / config.heads) as f32).sqrt();
        let mut layers = Vec::new();
        for at in 0..config.layers {
            let name = |part: usize| names.layer(at, part);
            layers.push(Layer {
                attention: linear(weights, &[(name(0), scale), (name(1), 1.0), (name(2), 1.0)], h, h)?,
                attention_out: linear(weights, &[(name(3), 1.0)], h, h)?,
                attention_norm: norm(&name(4))?,
                widen: linear(weights, &[(name(5), 1.0)], h, config.intermediate)?,
                narrow: linear(weights, &[(name(6), 1.0)], config.intermediate, h)?,
                norm: norm(&name(7))?,
            });
        }
        Ok(Self { config: config.clone(), embeddings, layers })
    }

    /// The vectors of the tokens of all `texts`, one text after the other: a matrix of as many rows as there are tokens.
    fn run(&self, texts: &[Tokens]) -> Result<Vec<f32>, BertError> {
        let tokens: usize = texts.iter().map(|text| text.ids.len()).sum();
        let h = self.config.hidden;
        let mut x = Tensor::from_vec(self.embed(texts)?, (tokens, h), &Device::Cpu)?;
        for layer in &self.layers {
            let mixed = self.attend(&layer.attention.product(&x)?, &layer.attention.bias, texts)?;
            let y = mixed.matmul(&layer.attention_out.weight)?;
            y.inplace_op2(&x, &AddNorm { bias: &layer.attention_out.bias, norm: &layer.attention_norm })?;
            let wide = y.matmul(&layer.widen.weight)?;
            wide.inplace_op1(&Activate { bias: &layer.widen.bias, activation: self.config.activation })?;
            x = wide.matmul(&layer.narrow.weight)?;
            x.inplace_op2(&y, &AddNorm { bias: &layer.narrow.bias, norm: &layer.norm })?;
        }
        Ok(x.flatten_all()?.to_vec1()?)
    }

    /// The sum of each token's word, position and type, normalised.
    fn embed(&self, texts: &[Tokens]) -> Result<Vec<f32>, BertError> {
        let (h, tables) = (self.config.hidden, &self.embeddings);
        let row = |table: &'_ [f32], at: usize| table.get(at * h..(at + 1) * h).map(<[f32]>::to_vec);
        let mut x = Vec::with_capacity(texts.iter().map(|text| text.ids.len() * h).sum());
        for text in texts {
            for (at, (&id, &kind)) in text.ids.iter().zip(&text.types).enumerate() {
                let word = row(&tables.words, id as usize);
                let position = row(&tables.positions, self.config.first_position + at);
                let (Some(mut sum), Some(position)) = (word, position) else {
                    return Err(BertError::new("a token or a position is beyond the model's tables"));
                };
                sum.iter_mut().zip(position).for_each(|(x, p)| *x += p);
                if let Some(kind) = row(&tables.types, kind as usize) {
                    sum.iter_mut().zip(kind).for_each(|(x, t)| *x += t);
                }
                x.extend(sum);
            }
        }
        tables.norm.apply(&mut x);
        Ok(x)
    }

    /// Scaled dot-product attention (Vaswani et al. 2017, equation 1) within each text; `mixed` holds queries, keys and values.
    fn attend(&self, mixed: &Tensor, bias: &[f32], texts: &[Tokens]) -> Result<Tensor, BertError> {
        mixed.inplace_op1(&AddBias(bias))?;
        let (h, heads) = (self.config.hidden, self.config.heads);
        let mut start = 0;
        let mut outputs = Vec::with_capacity(texts.len());
        for text in texts {
            let n = text.ids.len();
            let own = mixed.narrow(0, start, n)?.reshape((n, 3, heads, h / heads))?;
            start += n;
            // heads x tokens x width, as views.
            let part = |which: usize| own.narrow(1, which, 1)?.squeeze(1)?.transpose(0, 1);
            let (queries, keys, values) = (part(0)?, part(1)?.transpose(1, 2)?, part(2)?);
            let at_once = (SCORES_MAX / (n * n).max(1)).clamp(1, heads);
            let mut parts = Vec::with_capacity(heads.div_ceil(at_once));
            for from in (0..heads).step_by(at_once) {
                let count = at_once.min(heads - from);
                let scores = queries.narrow(0, from, count)?.matmul(&keys.narrow(0, from, count)?)?;
                scores.inplace_op1(&Softmax(n))?;
                parts.push(scores.matmul(&values.narrow(0, from, count)?)?);
            }
            let whole = if parts.len() == 1 { parts.remove(0) } else { Tensor::cat(&parts, 0)? };
            outputs.push(whole.transpose(0, 1)?.reshape((n, h))?);
        }
        Ok(if outputs.len() == 1 { outputs.remove(0) } else { Tensor::cat(&outputs, 0)? })
    }
}

impl Head {
    /// The head of a classifier, and how many labels it has.
    pub fn classifier(config: &Config, weights: &Weights<'_>) -> Result<(Self, usize), BertError> {
        let h = config.hidden;
        let (dense, tanh, out) = match config.family {
            Family::Bert => ("bert.pooler.dense", true, "classifier"),
            Family::DistilBert => ("pre_classifier", false, "classifier"),
            Family::Roberta => ("classifier.dense", true, "classifier.out_proj"),
        };
        let labels = weights.rows(&format!("{out}.weight"), h)?;
        let head = ClassifyHead { dense: small(weights, dense, h, h)?, tanh, out: small(weights, out, h, labels)? };
        Ok((Self::Classify(head), labels))
    }

    /// The result of one text, whose tokens have the vectors `rows` of `width`.
    fn result(&self, rows: &[f32], width: usize) -> Vec<f32> {
        let first = rows.get(..width).unwrap_or_default();
        match self {
            Self::Classify(head) => {
                let mut pooled = kernels::affine(&head.dense.weight, &head.dense.bias, first);
                pooled.iter_mut().for_each(|x| *x = if head.tanh { x.tanh() } else { x.max(0.0) });
                kernels::affine(&head.out.weight, &head.out.bias, &pooled)
            }
            Self::Mean => unit(kernels::mean(rows, width)),
            Self::First => unit(first.to_vec()),
        }
    }
}

/// An encoder and a head: texts in, one result each out.
pub(crate) struct Model {
    pub encoder: Encoder,
    pub head: Head,
}

impl Model {
    /// The result of each of `texts`, in their order.
    ///
    /// # Errors
    /// Where a product fails, or gives a number that is none.
    pub fn run(&self, texts: &[Tokens]) -> Result<Vec<Vec<f32>>, BertError> {
        let h = self.encoder.config.hidden;
        let vectors = self.encoder.run(texts)?;
        let mut results = Vec::with_capacity(texts.len());
        let mut rest = vectors.as_slice();
        for text in texts {
            let (own, others) = rest.split_at((text.ids.len() * h).min(rest.len()));
            rest = others;
            let result = self.head.result(own, h);
            if !result.iter().all(|x| x.is_finite()) {
                return Err(BertError::new("the model computes a number that is none: its weights are damaged"));
            }
            results.push(result);
        }
        Ok(results)
    }
}

/// `x` at length 1; zeros stay zeros.
fn unit(mut x: Vec<f32>) -> Vec<f32> {
    // The least length that `sentence-transformers` divides by.
    let length = x.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
    x.iter_mut().for_each(|x| *x /= length);
    x
}

/// What the tensors of a family are called.
struct Names {
    prefix: &'static str,
    layers: &'static str,
    parts: [&'static str; 8],
}

impl Names {
    fn of(family: Family, weights: &Weights<'_>) -> Self {
        let (prefix, layers, parts) = match family {
            Family::Bert | Family::Roberta => (
                if family == Family::Bert { "bert." } else { "roberta." },
                "encoder.layer",
                [
                    "attention.self.query",
                    "attention.self.key",
                    "attention.self.value",
                    "attention.output.dense",
                    "attention.output.LayerNorm",
                    "intermediate.dense",
                    "output.dense",
                    "output.LayerNorm",
                ],
            ),
            Family::DistilBert => (
                "distilbert.",
                "transformer.layer",
                [
                    "attention.q_lin",
                    "attention.k_lin",
                    "attention.v_lin",
                    "attention.out_lin",
                    "sa_layer_norm",
                    "ffn.lin1",
                    "ffn.lin2",
                    "output_layer_norm",
                ],
            ),
        };
        // An encoder saved without a head has no prefix.
        let bare = weights.has("embeddings.word_embeddings.weight");
        Self { prefix: if bare { "" } else { prefix }, layers, parts }
    }

    fn root(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn layer(&self, at: usize, part: usize) -> String {
        format!("{}{}.{at}.{}", self.prefix, self.layers, self.parts[part])
    }
}

/// The layers named in `parts` side by side, each times its factor.
fn linear(weights: &Weights<'_>, parts: &[(String, f32)], inputs: usize, outputs: usize) -> Result<Linear, BertError> {
    let width = outputs * parts.len();
    let mut transposed = vec![0f32; inputs * width];
    let mut bias = Vec::with_capacity(width);
    for (at, (name, factor)) in parts.iter().enumerate() {
        let weight = weights.get(&format!("{name}.weight"), &[outputs, inputs])?;
        for (output, row) in weight.chunks_exact(inputs).enumerate() {
            for (x, place) in row.iter().zip(transposed[at * outputs + output..].iter_mut().step_by(width)) {
                *place = x * factor;
            }
        }
        bias.extend(weights.get(&format!("{name}.bias"), &[outputs])?.into_iter().map(|x| x * factor));
    }
    Ok(Linear { weight: Tensor::from_vec(transposed, (inputs, width), &Device::Cpu)?, bias })
}

impl Linear {
    fn product(&self, x: &Tensor) -> Result<Tensor, BertError> {
        Ok(x.matmul(&self.weight)?)
    }
}

fn small(weights: &Weights<'_>, name: &str, inputs: usize, outputs: usize) -> Result<Dense, BertError> {
    let weight = weights.get(&format!("{name}.weight"), &[outputs, inputs])?;
    Ok(Dense { weight, bias: weights.get(&format!("{name}.bias"), &[outputs])? })
}

fn norm(config: &Config, weights: &Weights<'_>, name: &str) -> Result<Norm, BertError> {
    // Models that came from TensorFlow call them gamma and beta.
    let old = !weights.has(&format!("{name}.weight")) && weights.has(&format!("{name}.gamma"));
    let (gain, shift) = if old { ("gamma", "beta") } else { ("weight", "bias") };
    Ok(Norm {
        gain: weights.get(&format!("{name}.{gain}"), &[config.hidden])?,
        shift: weights.get(&format!("{name}.{shift}"), &[config.hidden])?,
        epsilon: config.epsilon,
    })
}

struct AddBias<'a>(&'a [f32]);
struct Activate<'a> {
    bias: &'a [f32],
    activation: Activation,
}
struct Softmax(usize);
struct AddNorm<'a> {
    bias: &'a [f32],
    norm: &'a Norm,
}

/// The numbers of a result that was just made: contiguous floats.
fn numbers<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> candle_core::Result<&'a mut [f32]> {
    let range = layout.contiguous_offsets();
    match (storage, range) {
        (CpuStorage::F32(all), Some((from, to))) => all.get_mut(from..to).ok_or_else(beyond),
        _ => Err(beyond()),
    }
}

fn beyond() -> candle_core::Error {
    candle_core::Error::Msg("contiguous floats were expected".to_owned())
}

impl InplaceOp1 for AddBias<'_> {
    fn name(&self) -> &'static str {
        "add-bias"
    }
    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        kernels::add_bias(numbers(storage, layout)?, self.0);
        Ok(())
    }
}

impl InplaceOp1 for Activate<'_> {
    fn name(&self) -> &'static str {
        "activate"
    }
    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        kernels::add_bias_activate(numbers(storage, layout)?, self.bias, self.activation);
        Ok(())
    }
}

impl InplaceOp1 for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }
    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        kernels::softmax(numbers(storage, layout)?, self.0);
        Ok(())
    }
}

impl InplaceOp2 for AddNorm<'_> {
    fn name(&self) -> &'static str {
        "add-norm"
    }
    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout, other: &CpuStorage, at: &Layout) -> candle_core::Result<()> {
        let (CpuStorage::F32(residual), Some((from, to))) = (other, at.contiguous_offsets()) else { return Err(beyond()) };
        let residual = residual.get(from..to).ok_or_else(beyond)?;
        self.norm.apply_after_adding(numbers(storage, layout)?, self.bias, residual);
        Ok(())
    }
}
