//! `config.json` of a model: which architecture, how large, which labels. Everything is bounded before anything is made of it.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::BertError;

/// The architectures that can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// `bert`: also MiniLM and everything else that is a BERT of other sizes.
    Bert,
    /// `distilbert`: no token types, no pooler.
    DistilBert,
    /// `roberta`, `xlm-roberta`, `camembert`: positions count from the padding's id + 1.
    Roberta,
}

/// The activation between the two halves of a feed-forward block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    /// x * Phi(x), Hendrycks and Gimpel 2016.
    Gelu,
    /// Its approximation by tanh, ibid.
    GeluTanh,
    /// max(x, 0).
    Relu,
}

/// How logits become scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    /// Exactly one label is right: softmax.
    OneLabel,
    /// Each label is right or not: sigmoid.
    ManyLabels,
    /// A number of unknown range: no classifier.
    Regression,
}

/// What `config.json` says, checked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    pub family: Family,
    pub vocabulary: usize,
    pub hidden: usize,
    pub layers: usize,
    pub heads: usize,
    pub intermediate: usize,
    /// Rows of the table of positions.
    pub positions: usize,
    /// The position of the first token.
    pub first_position: usize,
    /// Rows of the table of token types; 0 without one.
    pub token_types: usize,
    pub epsilon: f32,
    pub activation: Activation,
    /// The labels by their index; `None` where the file names none.
    pub labels: Option<Vec<String>>,
    pub problem: Option<Problem>,
}

const VOCABULARY_MAX: usize = 1_000_000;
const HIDDEN_MAX: usize = 4_096;
const INTERMEDIATE_MAX: usize = 16_384;
const LAYERS_MAX: usize = 64;
const HEADS_MAX: usize = 128;
const POSITIONS_MAX: usize = 16_384;
const LABELS_MAX: usize = 1_000;
const LABEL_BYTES_MAX: usize = 200;

/// The keys of all families; each has its own names for the same sizes.
#[derive(Deserialize)]
struct Raw {
    model_type: Option<String>,
    vocab_size: Option<usize>,
    #[serde(alias = "dim")]
    hidden_size: Option<usize>,
    #[serde(alias = "n_layers")]
    num_hidden_layers: Option<usize>,
    #[serde(alias = "n_heads")]
    num_attention_heads: Option<usize>,
    #[serde(alias = "hidden_dim")]
    intermediate_size: Option<usize>,
    max_position_embeddings: Option<usize>,
    type_vocab_size: Option<usize>,
    pad_token_id: Option<usize>,
    layer_norm_eps: Option<f64>,
    #[serde(alias = "activation")]
    hidden_act: Option<String>,
    position_embedding_type: Option<String>,
    id2label: Option<Map<String, Value>>,
    problem_type: Option<String>,
    #[serde(default)]
    is_decoder: bool,
}

impl Config {
    /// Reads the text of `config.json`.
    ///
    /// # Errors
    /// Where it is no configuration, of another architecture, or beyond a limit. The message does not name the file.
    pub fn parse(text: &[u8]) -> Result<Self, BertError> {
        let raw: Raw = serde_json::from_slice(text).map_err(|error| {
            BertError::new(format!("is not the configuration of a model ({error}): take the model's own file"))
        })?;
        let family = family(raw.model_type.as_deref())?;
        if raw.is_decoder {
            return Err(BertError::new("says is_decoder: only encoders can be run"));
        }
        if let Some(kind) = raw.position_embedding_type.as_deref().filter(|kind| *kind != "absolute") {
            return Err(BertError::new(format!("has position_embedding_type {kind:?}: only \"absolute\" can be run")));
        }
        let (positions, token_types, padding) = match family {
            Family::Roberta => (raw.max_position_embeddings, raw.type_vocab_size.unwrap_or(1), raw.pad_token_id.unwrap_or(1)),
            Family::Bert => (raw.max_position_embeddings, raw.type_vocab_size.unwrap_or(2), 0),
            Family::DistilBert => (raw.max_position_embeddings, 0, 0),
        };
        let first_position = if family == Family::Roberta { padding.saturating_add(1) } else { 0 };
        let config = Self {
            family,
            vocabulary: size("vocab_size", raw.vocab_size, VOCABULARY_MAX)?,
            hidden: size("hidden_size", raw.hidden_size, HIDDEN_MAX)?,
            layers: size("num_hidden_layers", raw.num_hidden_layers, LAYERS_MAX)?,
            heads: size("num_attention_heads", raw.num_attention_heads, HEADS_MAX)?,
            intermediate: size("intermediate_size", raw.intermediate_size, INTERMEDIATE_MAX)?,
            positions: size("max_position_embeddings", positions, POSITIONS_MAX)?,
            first_position,
            token_types: if token_types == 0 { 0 } else { size("type_vocab_size", Some(token_types), 64)? },
            epsilon: epsilon(raw.layer_norm_eps)?,
            activation: activation(raw.hidden_act.as_deref().unwrap_or("gelu"))?,
            labels: raw.id2label.map(labels).transpose()?,
            problem: raw.problem_type.as_deref().map(problem).transpose()?,
        };
        if !config.hidden.is_multiple_of(config.heads) {
            return Err(BertError::new(format!("has hidden_size {} for {} heads: not a multiple", config.hidden, config.heads)));
        }
        if config.first_position >= config.positions {
            return Err(BertError::new(format!(
                "has pad_token_id {padding} and only {} positions: take the model's own file",
                config.positions
            )));
        }
        Ok(config)
    }

    /// Tokens of a text that the model has positions for, special ones included.
    pub fn tokens_max(&self) -> usize {
        self.positions - self.first_position
    }
}

fn family(model_type: Option<&str>) -> Result<Family, BertError> {
    match model_type {
        Some("bert") => Ok(Family::Bert),
        Some("distilbert") => Ok(Family::DistilBert),
        Some("roberta" | "xlm-roberta" | "camembert") => Ok(Family::Roberta),
        Some(other) => Err(BertError::new(format!(
            "has model_type {:?}: bert, distilbert, roberta, xlm-roberta and camembert can be run",
            other.chars().take(40).collect::<String>()
        ))),
        None => Err(BertError::new("has no model_type: take the model's own file")),
    }
}

fn size(key: &str, value: Option<usize>, most: usize) -> Result<usize, BertError> {
    match value {
        Some(value) if (1..=most).contains(&value) => Ok(value),
        Some(value) => Err(BertError::new(format!("has {key} {value}: models with 1 to {most} can be run"))),
        None => Err(BertError::new(format!("has no {key}: take the model's own file"))),
    }
}

fn epsilon(value: Option<f64>) -> Result<f32, BertError> {
    let value = value.unwrap_or(1e-12);
    if value > 0.0 && value < 1.0 {
        Ok(value as f32)
    } else {
        Err(BertError::new(format!("has layer_norm_eps {value}: a small positive number was expected")))
    }
}

fn activation(name: &str) -> Result<Activation, BertError> {
    match name {
        "gelu" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
        "relu" => Ok(Activation::Relu),
        other => Err(BertError::new(format!(
            "has the activation {:?}: gelu, gelu_new, gelu_pytorch_tanh and relu can be run",
            other.chars().take(40).collect::<String>()
        ))),
    }
}

fn problem(name: &str) -> Result<Problem, BertError> {
    match name {
        "single_label_classification" => Ok(Problem::OneLabel),
        "multi_label_classification" => Ok(Problem::ManyLabels),
        "regression" => Ok(Problem::Regression),
        other => Err(BertError::new(format!(
            "has problem_type {:?}: single_label_classification or multi_label_classification was expected",
            other.chars().take(40).collect::<String>()
        ))),
    }
}

/// `{"0": "no", "1": "yes"}` as a list.
fn labels(by_id: Map<String, Value>) -> Result<Vec<String>, BertError> {
    let n = by_id.len();
    if n == 0 || n > LABELS_MAX {
        return Err(BertError::new(format!("has {n} labels: models with 1 to {LABELS_MAX} can be run")));
    }
    let mut labels = vec![None; n];
    for (id, label) in by_id {
        let label = label.as_str().filter(|label| !label.is_empty() && label.len() <= LABEL_BYTES_MAX).map(str::to_owned);
        let (Some(place), Some(label)) = (id.parse().ok().and_then(|id: usize| labels.get_mut(id)), label) else {
            return Err(BertError::new(format!("has an id2label that does not give each of 0 to {} a label", n - 1)));
        };
        *place = Some(label);
    }
    labels.into_iter().collect::<Option<_>>().ok_or_else(|| BertError::new("has an id2label that names an index twice"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minilm() -> Value {
        serde_json::json!({
            "model_type": "bert", "vocab_size": 30522, "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12,
            "intermediate_size": 1536, "max_position_embeddings": 512, "type_vocab_size": 2, "pad_token_id": 0,
            "layer_norm_eps": 1e-12, "hidden_act": "gelu", "position_embedding_type": "absolute", "use_cache": true,
        })
    }

    fn with(change: impl FnOnce(&mut Value)) -> Result<Config, String> {
        let mut json = minilm();
        change(&mut json);
        Config::parse(json.to_string().as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn sizes_are_read_under_the_names_of_each_family() {
        let bert = with(|_| ()).unwrap();
        assert_eq!((bert.hidden, bert.layers, bert.heads, bert.tokens_max(), bert.token_types), (384, 6, 12, 512, 2));
        let distil = serde_json::json!({"model_type": "distilbert", "vocab_size": 100, "dim": 64, "n_layers": 2, "n_heads": 4,
            "hidden_dim": 128, "max_position_embeddings": 512, "activation": "relu"});
        let distil = Config::parse(distil.to_string().as_bytes()).unwrap();
        assert_eq!((distil.hidden, distil.layers, distil.token_types, distil.activation), (64, 2, 0, Activation::Relu));
        let roberta = with(|json| {
            json["model_type"] = "xlm-roberta".into();
            json["pad_token_id"] = 1.into();
            json["max_position_embeddings"] = 514.into();
        })
        .unwrap();
        assert_eq!((roberta.first_position, roberta.tokens_max()), (2, 512));
    }

    #[test]
    fn what_cannot_be_run_is_refused_by_name() {
        type Change = fn(&mut Value);
        let cases: [(Change, &str); 12] = [
            (|json| json["model_type"] = "gpt2".into(), "model_type"),
            (|json| json["hidden_size"] = 1_000_000_000.into(), "hidden_size"),
            (|json| json["num_hidden_layers"] = 100_000.into(), "num_hidden_layers"),
            (|json| json["vocab_size"] = 0.into(), "vocab_size"),
            (|json| json["num_attention_heads"] = 7.into(), "multiple"),
            (|json| json["max_position_embeddings"] = Value::Null, "max_position_embeddings"),
            (|json| json["hidden_act"] = "swish".into(), "activation"),
            (|json| json["position_embedding_type"] = "relative_key".into(), "position_embedding_type"),
            (|json| json["layer_norm_eps"] = (-1.0).into(), "layer_norm_eps"),
            (|json| json["id2label"] = serde_json::json!({"0": "a", "2": "b"}), "id2label"),
            (|json| json["id2label"] = serde_json::json!({}), "labels"),
            (|json| json["hidden_size"] = "many".into(), "configuration"),
        ];
        for (change, word) in cases {
            let error = with(change).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
        for text in ["", "[]", "null", "{", "{}", "\u{0}"] {
            assert!(Config::parse(text.as_bytes()).is_err(), "{text}");
        }
        let nested = format!("{{\"model_type\":{}", "[".repeat(100_000));
        assert!(Config::parse(nested.as_bytes()).is_err());
    }
}
