//! A model's folder as Hugging Face lays it out: `config.json`, `tokenizer.json`, `model.safetensors`. Everything is checked, and
//! bounded, before it is used. The weights are read, not mapped: a file that changes under a mapping would change a judge, or kill
//! the process.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Deserialize;
use tokenizers::Tokenizer;

use super::BertError;
use super::config::Config;

/// Bytes of `config.json` and of the small files beside it, at the most.
const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// Bytes of `tokenizer.json`, at the most.
const TOKENIZER_BYTES_MAX: u64 = 64 << 20;
/// Bytes of `model.safetensors`, at the most.
const WEIGHTS_BYTES_MAX: u64 = 4 << 30;

/// The files of a model, read and checked as far as each goes by itself.
pub(crate) struct Folder {
    pub path: PathBuf,
    pub config: Config,
    pub tokenizer: Tokenizer,
    pub weights: Vec<u8>,
    pub sentences: Sentences,
    /// Hash of all files that decide an answer.
    pub hash: blake3::Hash,
}

/// What `sentence-transformers` keeps beside the model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sentences {
    /// Tokens that the model was trained on, of `sentence_bert_config.json`.
    pub max_tokens: Option<usize>,
    /// Whether the first token's vector stands for the text, rather than the mean of all.
    pub first_token: bool,
}

/// What tells whether files have changed: path, and size and time of change of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    path: PathBuf,
    files: Vec<Option<(u64, SystemTime)>>,
}

const FILES: [&str; 5] =
    ["config.json", "tokenizer.json", "model.safetensors", "sentence_bert_config.json", "1_Pooling/config.json"];

impl Stamp {
    /// The stamp of the folder at `path` as it is now; `None` where the system keeps no times of change.
    pub fn of(path: &Path) -> Option<Self> {
        let path = path.canonicalize().ok()?;
        let mut files = Vec::with_capacity(FILES.len());
        for name in FILES {
            files.push(match path.join(name).metadata() {
                Ok(found) => Some((found.len(), found.modified().ok()?)),
                Err(_) => None,
            });
        }
        Some(Self { path, files })
    }
}

impl Folder {
    /// Reads the folder at `path`.
    ///
    /// # Errors
    /// Where a file is missing, too large or not what its name says. The message names the file and says what to do.
    pub fn read(path: &Path) -> Result<Self, BertError> {
        if !path.is_dir() {
            return Err(BertError::new(format!(
                "{}: there is no such folder: give the one that holds config.json and model.safetensors",
                path.display()
            )));
        }
        let config_json = required(path, "config.json", CONFIG_BYTES_MAX)?;
        let config = Config::parse(&config_json).map_err(|error| error.about(&path.join("config.json")))?;
        let tokenizer_json = required(path, "tokenizer.json", TOKENIZER_BYTES_MAX)?;
        let tokenizer = Tokenizer::from_bytes(&tokenizer_json).map_err(|error| {
            BertError::new(format!("is no tokenizer that can be run ({error}): save it again with a present `transformers`"))
                .about(&path.join("tokenizer.json"))
        })?;
        let max_json = optional(path, "sentence_bert_config.json", CONFIG_BYTES_MAX)?;
        let pooling_json = optional(path, "1_Pooling/config.json", CONFIG_BYTES_MAX)?;
        let sentences = Sentences {
            max_tokens: sentence_tokens(max_json.as_deref())
                .map_err(|error| error.about(&path.join("sentence_bert_config.json")))?,
            first_token: pooling(pooling_json.as_deref()).map_err(|error| error.about(&path.join("1_Pooling/config.json")))?,
        };
        let weights = required(path, "model.safetensors", WEIGHTS_BYTES_MAX)?;
        let mut hash = blake3::Hasher::new();
        for bytes in [
            &config_json,
            &tokenizer_json,
            max_json.as_ref().unwrap_or(&vec![]),
            pooling_json.as_ref().unwrap_or(&vec![]),
            &weights,
        ] {
            hash.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        }
        Ok(Self { path: path.to_owned(), config, tokenizer, weights, sentences, hash: hash.finalize() })
    }
}

fn required(folder: &Path, name: &str, bytes_max: u64) -> Result<Vec<u8>, BertError> {
    optional(folder, name, bytes_max)?.ok_or_else(|| BertError::new(missing(folder, name)).about(&folder.join(name)))
}

fn missing(folder: &Path, name: &str) -> &'static str {
    let has = |name: &str| folder.join(name).exists();
    match name {
        "model.safetensors" if has("model.safetensors.index.json") => {
            "is missing: the weights lie in several files; save them as one (`save_pretrained` with a large max_shard_size)"
        }
        "model.safetensors" if has("pytorch_model.bin") || has("tf_model.h5") => {
            "is missing: the weights lie here in another format; save them again with `save_pretrained` of a present `transformers`"
        }
        "tokenizer.json" if has("vocab.txt") || has("vocab.json") || has("sentencepiece.bpe.model") => {
            "is missing: only the old files of the tokenizer are here; save it with `AutoTokenizer.from_pretrained(…).save_pretrained(…)`"
        }
        _ => "is missing: copy it from where the model came from",
    }
}

/// The bytes of a file; `None` where there is none.
fn optional(folder: &Path, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, BertError> {
    let path = folder.join(name);
    let failed = |what: String| BertError::new(what).about(&path);
    let found = match path.metadata() {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(format!("cannot be read: {error}"))),
    };
    if !found.is_file() {
        return Err(failed("is not a file: put the model's file there".to_owned()));
    }
    if found.len() > bytes_max {
        return Err(failed(format!("has {} bytes: {bytes_max} can be read at the most", found.len())));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or(0));
    // One byte more than allowed tells a file that grew.
    let file = File::open(&path).map_err(|error| failed(format!("cannot be read: {error}")))?;
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|error| failed(format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > bytes_max {
        return Err(failed(format!("has more than {bytes_max} bytes: that many can be read at the most")));
    }
    Ok(Some(bytes))
}

fn sentence_tokens(json: Option<&[u8]>) -> Result<Option<usize>, BertError> {
    #[derive(Deserialize)]
    struct Raw {
        max_seq_length: Option<usize>,
    }
    let Some(json) = json else { return Ok(None) };
    let raw: Raw = serde_json::from_slice(json).map_err(|error| {
        BertError::new(format!("is not what sentence-transformers writes ({error}): take the model's own file"))
    })?;
    Ok(raw.max_seq_length)
}

/// Whether the first token stands for the text.
fn pooling(json: Option<&[u8]>) -> Result<bool, BertError> {
    let Some(json) = json else { return Ok(false) };
    let raw: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(json).map_err(|error| {
        BertError::new(format!("is not what sentence-transformers writes ({error}): take the model's own file"))
    })?;
    let mut modes: Vec<&str> = raw
        .iter()
        .filter(|(_, on)| on.as_bool() == Some(true))
        .filter_map(|(key, _)| key.strip_prefix("pooling_mode_"))
        .collect();
    if let Some(mode) = raw.get("pooling_mode").and_then(serde_json::Value::as_str) {
        modes.push(mode);
    }
    match modes.as_slice() {
        [] | ["mean_tokens" | "mean"] => Ok(false),
        ["cls_token" | "cls"] => Ok(true),
        other => Err(BertError::new(format!("pools by {}: the mean or the first token can be run", other.join(" and ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pooling_is_read_in_both_spellings() {
        let old = br#"{"word_embedding_dimension": 384, "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true}"#;
        assert_eq!(pooling(Some(old)).ok(), Some(false));
        assert_eq!(pooling(Some(br#"{"pooling_mode_cls_token": true}"#)).ok(), Some(true));
        assert_eq!(pooling(Some(br#"{"pooling_mode": "cls"}"#)).ok(), Some(true));
        assert_eq!(pooling(None).ok(), Some(false));
        let error = pooling(Some(br#"{"pooling_mode_max_tokens": true, "pooling_mode_mean_tokens": true}"#)).unwrap_err();
        assert!(error.to_string().contains("max_tokens and mean_tokens"), "{error}");
        assert!(pooling(Some(b"[]")).is_err());
        assert!(sentence_tokens(Some(b"{\"max_seq_length\": -1}")).is_err());
        assert_eq!(sentence_tokens(Some(b"{\"max_seq_length\": 256}")).ok(), Some(Some(256)));
    }
}
