//! Texts as the ids that a model reads, cut to what it has room for.
//!
//! Of a text that is too long a classifier reads head and tail, a quarter and three quarters: what Sun et al. ("How to Fine-Tune
//! BERT for Text Classification?", 2019, 5.3.1: 128 and 382 of 510) found best. Embeddings read the head alone, as
//! `sentence-transformers` does. A text of megabytes is not tokenized as a whole: head and tail are taken with room to spare first.

use tokenizers::{Encoding, Tokenizer};

use super::BertError;
use super::config::Config;

/// Which part of a long text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Cut {
    /// The beginning.
    Head,
    /// A quarter from the beginning, the rest from the end.
    HeadAndTail,
}

/// What is read at once: a text, or two in an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    pub first: String,
    pub second: Option<String>,
}

/// A text as a model reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub ids: Vec<u32>,
    /// 1 for the second of two texts where the model tells them apart.
    pub types: Vec<u32>,
    /// Whether something was left out.
    pub cut: bool,
}

/// A tokenizer that fits a model.
pub(crate) struct Tokenize {
    tokenizer: Tokenizer,
    max_tokens: usize,
    cut: Cut,
    /// Special tokens around one text, and around two.
    specials: [usize; 2],
}

/// Bytes per token that are kept before a text is tokenized. English has 4 to 5, Chinese 3.
const TOKEN_BYTES: usize = 16;

impl Tokenize {
    /// A tokenizer whose ids the model of `config` knows.
    ///
    /// # Errors
    /// Where the two do not belong together. The message does not name the file.
    pub fn new(mut tokenizer: Tokenizer, config: &Config, max_tokens: usize, cut: Cut) -> Result<Self, BertError> {
        // Lengths are this file's business, and texts are not padded.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| BertError::new(format!("cannot be set up ({error})")))?;
        // What is judged may spell [SEP]: it is text, not the end of one.
        tokenizer.set_encode_special_tokens(true);
        let known = tokenizer.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1);
        if known > config.vocabulary {
            return Err(BertError::new(format!(
                "knows ids up to {}, and the model of config.json has {}: take both files from one model",
                known - 1,
                config.vocabulary
            )));
        }
        // Some models have a few rows more than tokens, to make the table's size even.
        if known.saturating_mul(10) < config.vocabulary.saturating_mul(9) {
            return Err(BertError::new(format!(
                "knows {known} tokens, and the model of config.json has {}: take both files from one model",
                config.vocabulary
            )));
        }
        let mut made = Self { tokenizer, max_tokens, cut, specials: [0, 0] };
        let one = made.read(&Text { first: String::new(), second: None })?;
        let two = made.read(&Text { first: String::new(), second: Some(String::new()) })?;
        if one.ids.is_empty() {
            return Err(BertError::new(
                "adds no special tokens around a text, which the model reads: save it again with a present `transformers`",
            ));
        }
        made.specials = [one.ids.len(), two.ids.len()];
        if made.specials[1] >= max_tokens {
            return Err(BertError::new(format!("adds {} special tokens: raise max_tokens above that", two.ids.len())));
        }
        let types = two.types.iter().chain(&one.types).copied().max().unwrap_or(0) as usize;
        if config.token_types > 0 && types >= config.token_types {
            return Err(BertError::new(format!(
                "gives tokens the type {types}, and the model of config.json has {} types: take both files from one model",
                config.token_types
            )));
        }
        Ok(made)
    }

    /// The ids of `text`, special ones included, never more than `max_tokens`.
    pub fn read(&self, text: &Text) -> Result<Tokens, BertError> {
        let (first, mut cut) = self.encode(&text.first)?;
        let mut room = self.max_tokens.saturating_sub(self.specials[usize::from(text.second.is_some())]);
        let mut second = None;
        if let Some(text) = &text.second {
            let (ids, cut_second) = self.encode(text)?;
            // Who needs less than half leaves the rest to the other.
            let share = first.len().min(room.saturating_sub(ids.len()).max(room / 2));
            cut |= cut_second | (ids.len() > room - share);
            second = Some(encoding(self.shorten(ids, room - share), 1));
            room = share;
        }
        cut |= first.len() > room;
        let first = encoding(self.shorten(first, room), 0);
        let whole = self.tokenizer.post_process(first, second, true).map_err(failed)?;
        let (mut ids, mut types) = (whole.get_ids().to_vec(), whole.get_type_ids().to_vec());
        ids.truncate(self.max_tokens);
        types.truncate(self.max_tokens);
        Ok(Tokens { ids, types, cut })
    }

    /// The ids of `text` without special ones, and whether some of the text was left out before it was tokenized.
    fn encode(&self, text: &str) -> Result<(Vec<u32>, bool), BertError> {
        let ids =
            |text: &str| self.tokenizer.encode_fast(text, false).map(|encoding| encoding.get_ids().to_vec()).map_err(failed);
        let enough = self.max_tokens.saturating_mul(TOKEN_BYTES);
        if text.len() <= 2 * enough {
            return Ok((ids(text)?, false));
        }
        let boundary = |from: usize| (from..text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len());
        let mut found = ids(&text[..boundary(enough)])?;
        if self.cut == Cut::HeadAndTail {
            found.extend(ids(&text[boundary(text.len() - enough)..])?);
        }
        Ok((found, true))
    }

    /// `ids`, cut to `room`.
    fn shorten(&self, mut ids: Vec<u32>, room: usize) -> Vec<u32> {
        if ids.len() > room {
            let head = match self.cut {
                Cut::Head => room,
                Cut::HeadAndTail => room / 4,
            };
            ids.drain(head..ids.len() - (room - head));
        }
        ids
    }
}

/// `ids` in the form that the special tokens are put around.
fn encoding(ids: Vec<u32>, kind: u32) -> Encoding {
    let n = ids.len();
    let (names, words, offsets) = (vec![String::new(); n], vec![None; n], vec![(0, 0); n]);
    Encoding::new(ids, vec![kind; n], names, words, offsets, vec![0; n], vec![1; n], Vec::new(), Default::default())
}

fn failed(error: tokenizers::Error) -> BertError {
    BertError::new(format!("cannot tokenize a text ({error})"))
}
