//! Opened models. Everybody who wants the same model with the same limits gets the same one: its weights lie in memory once, and its
//! thread limit holds for all together. Files that have not changed are neither read nor hashed again.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::BertError;
use super::batch::{Pool, Size};
use super::config::{Config, Problem};
use super::folder::{Folder, Stamp};
use super::model::{Encoder, Head, Model};
use super::spec::{BATCH_MAX, THREADS_MAX, TOKENS_MAX, TOKENS_MIN};
use super::tokens::{Cut, Text, Tokenize};
use super::weights::Weights;

/// What a model is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Classify,
    Embed,
}

/// How a model is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settings {
    pub purpose: Purpose,
    /// As many as the model has room for, up to a limit, where not given.
    pub max_tokens: Option<usize>,
    pub size: Size,
}

/// A model that runs.
pub(crate) struct Engine {
    pub pool: Pool,
    /// Hash of the folder's files.
    pub hash: blake3::Hash,
    /// Tokens of a text at the most.
    pub max_tokens: usize,
    /// The length of a vector of the encoder.
    pub width: usize,
    /// The labels of a classifier.
    pub labels: Vec<String>,
    /// How its logits become scores.
    pub problem: Problem,
}

struct Opened {
    stamp: Stamp,
    settings: Settings,
    engine: Weak<Engine>,
}

static OPENED: Mutex<Vec<Opened>> = Mutex::new(Vec::new());

/// Tokens that are read where nobody says how many; attention takes time by the square.
const TOKENS_DEFAULT: usize = 512;

impl Engine {
    /// The model in the folder at `path`, opened now or already open.
    ///
    /// # Errors
    /// Where a file is missing or wrong, the files do not belong together, a limit is out of range, or the system gives no thread.
    pub fn open(path: &Path, settings: Settings) -> Result<Arc<Self>, BertError> {
        settings.check()?;
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        opened.retain(|known| known.engine.strong_count() > 0);
        let stamp = Stamp::of(path);
        let same = |known: &&Opened| Some(&known.stamp) == stamp.as_ref() && known.settings == settings;
        if let Some(engine) = opened.iter().find(same).and_then(|known| known.engine.upgrade()) {
            return Ok(engine);
        }
        let engine = Arc::new(Self::load(Folder::read(path)?, settings)?);
        if let Some(stamp) = stamp {
            opened.push(Opened { stamp, settings, engine: Arc::downgrade(&engine) });
        }
        Ok(engine)
    }

    fn load(folder: Folder, settings: Settings) -> Result<Self, BertError> {
        let Folder { path, config, tokenizer, weights, sentences, hash } = folder;
        let in_weights = |error: BertError| error.about(&path.join("model.safetensors"));
        let trained = match settings.purpose {
            Purpose::Classify => None,
            Purpose::Embed => sentences.max_tokens,
        };
        let max_tokens = max_tokens(&config, settings.max_tokens, trained)?;
        let cut = match settings.purpose {
            Purpose::Classify => Cut::HeadAndTail,
            Purpose::Embed => Cut::Head,
        };
        let tokenize =
            Tokenize::new(tokenizer, &config, max_tokens, cut).map_err(|error| error.about(&path.join("tokenizer.json")))?;
        let tensors = Weights::parse(&weights).map_err(in_weights)?;
        let (head, labels) = match settings.purpose {
            Purpose::Embed if sentences.first_token => (Head::First, 0),
            Purpose::Embed => (Head::Mean, 0),
            Purpose::Classify => Head::classifier(&config, &tensors).map_err(in_weights)?,
        };
        let (labels, problem) =
            meaning(&config, settings.purpose, labels).map_err(|error| error.about(&path.join("config.json")))?;
        let model = Model { encoder: Encoder::load(&config, &tensors).map_err(in_weights)?, head };
        drop(weights);
        // Finite weights may still overflow: better seen now.
        model.run(&[tokenize.read(&Text { first: String::new(), second: None })?]).map_err(in_weights)?;
        let pool = Pool::start(model, tokenize, settings.size)?;
        Ok(Self { pool, hash, max_tokens, width: config.hidden, labels, problem })
    }
}

impl Settings {
    fn check(&self) -> Result<(), BertError> {
        let range = |key, value: usize, low: usize, high: usize| {
            let wrong = || BertError::new(format!("{value} is out of range: use {low} to {high}")).at(key);
            (low..=high).contains(&value).then_some(()).ok_or_else(wrong)
        };
        range("threads", self.size.threads, 1, THREADS_MAX)?;
        range("batch_max", self.size.batch_max, 1, BATCH_MAX)?;
        self.max_tokens.map_or(Ok(()), |tokens| range("max_tokens", tokens, TOKENS_MIN, TOKENS_MAX))
    }
}

fn max_tokens(config: &Config, wanted: Option<usize>, trained: Option<usize>) -> Result<usize, BertError> {
    let room = config.tokens_max().min(TOKENS_MAX);
    match wanted {
        Some(wanted) if wanted > room => {
            Err(BertError::new(format!("{wanted} is more than the model has positions for: use {room} at the most"))
                .at("max_tokens"))
        }
        Some(wanted) => Ok(wanted),
        None => Ok(trained.unwrap_or(TOKENS_DEFAULT).min(room)),
    }
}

/// What the logits stand for, given how many the weights have.
fn meaning(config: &Config, purpose: Purpose, rows: usize) -> Result<(Vec<String>, Problem), BertError> {
    if purpose == Purpose::Embed {
        return Ok((Vec::new(), Problem::OneLabel));
    }
    let labels = match &config.labels {
        Some(labels) if labels.len() != rows => {
            return Err(BertError::new(format!(
                "names {} labels, and the head in model.safetensors has {rows}: take both files from one model",
                labels.len()
            )));
        }
        Some(labels) => labels.clone(),
        // As `transformers` names them where nobody does.
        None => (0..rows).map(|at| format!("LABEL_{at}")).collect(),
    };
    // A single logit is no choice among labels.
    let problem = match config.problem {
        Some(Problem::OneLabel) | None if rows == 1 => Problem::ManyLabels,
        Some(Problem::Regression) => {
            return Err(BertError::new(
                "has problem_type \"regression\": a number of unknown range is no score; take a classifier",
            ));
        }
        Some(problem) => problem,
        None => Problem::OneLabel,
    };
    Ok((labels, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(threads: usize) -> Settings {
        Settings { purpose: Purpose::Classify, max_tokens: Some(32), size: Size { threads, batch_max: 3 } }
    }

    #[test]
    fn a_model_is_opened_once_until_its_files_change_or_nobody_holds_it() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bert/bert");
        let folder = tempfile::tempdir().unwrap();
        for file in ["config.json", "tokenizer.json", "model.safetensors"] {
            std::fs::copy(fixture.join(file), folder.path().join(file)).unwrap();
        }
        let first = Engine::open(folder.path(), settings(1)).unwrap();
        let second = Engine::open(&folder.path().join("."), settings(1)).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        assert!(!Arc::ptr_eq(&first, &Engine::open(folder.path(), settings(2)).unwrap()));
        let config = std::fs::read_to_string(folder.path().join("config.json")).unwrap();
        std::fs::write(folder.path().join("config.json"), config + "\n").unwrap();
        let changed = Engine::open(folder.path(), settings(1)).unwrap();
        assert!(!Arc::ptr_eq(&first, &changed) && first.hash != changed.hash);
        let gone = Arc::downgrade(&changed);
        drop(changed);
        assert!(gone.upgrade().is_none(), "neither the list nor the threads hold a model");
        assert!(first.labels == ["neutral", "offensive", "hateful"] && first.max_tokens == 32);
    }
}
