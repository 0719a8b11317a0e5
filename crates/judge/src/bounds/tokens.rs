//! At the most how many tokens a text is to a model.
//!
//! OpenAI publishes its tokenizers (<https://github.com/openai/tiktoken>, `model.py`), so for the models that it lists the count is
//! exact. For all others it is the text's bytes, in the longest of its normal forms, because a token stands for at least one byte:
//! - Byte-level BPE starts from the bytes of UTF-8 and only ever joins neighbours: GPT-2 and all of OpenAI's, Llama 3 and later, Qwen,
//!   DeepSeek, Mistral's Tekken, GLM, Kimi, MiniMax. No text has more tokens than bytes. Qwen brings text into NFC first.
//! - SentencePiece starts from characters and, with byte fallback, turns one that it does not know into its bytes: Llama 2, Mistral's
//!   first models, Gemma; the space, as `▁`, is always known. Google's own counter uses Gemma's vocabulary for Gemini
//!   (googleapis/python-genai, `_local_tokenizer_loader.py`). Without byte fallback an unknown character is a single token.
//! - Anthropic does not publish its present tokenizer. That of Claude 2 (<https://github.com/anthropics/anthropic-tokenizer-typescript>)
//!   is byte-level BPE over NFKC. Since Opus 4.7 texts are up to about half as many tokens more, of 3 to 4 bytes each in prose,
//!   which stays far below; that no token is less than a byte is the one thing taken for granted.
//!
//! NFKC can make a text eleven times as long (U+FDFA, <https://unicode.org/faq/normalization.html>), which is why it has to be looked
//! at: who is judged could otherwise make calls dearer than what was set aside for them.

use std::fmt;

use icu_normalizer::ComposingNormalizerBorrowed;
use tiktoken::CoreBpe;

/// How a model's tokens are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counting {
    /// With OpenAI's `o200k_base`: GPT-4o and later. The vocabulary of gpt-oss, `o200k_harmony`, differs in special tokens only.
    O200k,
    /// With OpenAI's `cl100k_base`: GPT-4 and GPT-3.5.
    Cl100k,
    /// As the bytes of its longest normal form.
    Bytes,
}

/// What names of models begin with, up to the end of the name or a hyphen: tiktoken's `model.py`, as of August 2026. It does not have
/// GPT-6 yet, and nobody says that its tokenizer is the same.
const O200K: &[&str] = &["gpt-4o", "chatgpt-4o", "gpt-4.1", "gpt-4.5", "o1", "o3", "o4-mini", "gpt-oss"];
const CL100K: &[&str] = &["gpt-4", "gpt-3.5-turbo", "gpt-35-turbo", "gpt-3.5"];

impl Counting {
    /// How the tokens of `model` are counted when it is asked by the protocol `kind`.
    pub fn of(kind: &str, model: &str) -> Self {
        if kind != "openai" {
            return Self::Bytes;
        }
        // As gateways call them, and one's own versions of them.
        let model = model.strip_prefix("openai/").unwrap_or(model);
        let model = model.strip_prefix("ft:").unwrap_or(model);
        let named = |name: &&str| model.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', ':']));
        if model.starts_with("gpt-5") || O200K.iter().any(named) {
            Self::O200k
        } else if CL100K.iter().any(named) {
            Self::Cl100k
        } else {
            Self::Bytes
        }
    }

    /// Whether [`Self::tight`] knows better than [`Self::quick`].
    pub fn has_tokenizer(self) -> bool {
        self != Self::Bytes
    }

    /// At the most so many tokens, found out at the speed of memory where the text is ASCII.
    pub fn quick(self, text: &str) -> u64 {
        match self {
            Self::O200k | Self::Cl100k => text.len() as u64,
            Self::Bytes => bytes(text),
        }
    }

    /// So many tokens, or where the model's tokenizer is not known, at the most so many. What looks like a special token is counted as
    /// the text that it is, which is never less. Time grows with n log n at worst. The first call reads the vocabulary.
    pub fn tight(self, text: &str) -> u64 {
        match self.tokenizer() {
            // Whatever a tokenizer says, more than its bytes a text cannot be.
            Some(tokenizer) => (tokenizer.count(text) as u64).min(text.len() as u64),
            None => self.quick(text),
        }
    }

    fn tokenizer(self) -> Option<&'static CoreBpe> {
        match self {
            Self::O200k => tiktoken::get_encoding("o200k_base"),
            Self::Cl100k => tiktoken::get_encoding("cl100k_base"),
            Self::Bytes => None,
        }
    }
}

/// Bytes of the longest of the forms that tokenizers bring a text into before they look at it.
fn bytes(text: &str) -> u64 {
    let raw = text.len() as u64;
    if text.is_ascii() {
        return raw;
    }
    let normal = |form: ComposingNormalizerBorrowed<'_>| {
        let mut length = Length(0);
        // A length takes all that is written.
        let _ = form.normalize_to(text, &mut length);
        length.0
    };
    let nfc = const { ComposingNormalizerBorrowed::new_nfc() };
    let nfkc = const { ComposingNormalizerBorrowed::new_nfkc() };
    raw.max(normal(nfc)).max(normal(nfkc))
}

struct Length(u64);

impl fmt::Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len() as u64;
        Ok(())
    }
}

/// Counts what is written to it, quickly. Parts that are written one by one have to meet at an ASCII character that composes with
/// nothing, as those of an item's layout do at line ends: then the forms of the parts are the parts of the form.
pub(super) struct Meter {
    counting: Counting,
    tokens: u64,
}

impl Meter {
    pub(super) fn of(counting: Counting) -> Self {
        Self { counting, tokens: 0 }
    }

    pub(super) fn tokens(&self) -> u64 {
        self.tokens
    }
}

impl fmt::Write for Meter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.tokens = self.tokens.saturating_add(self.counting.quick(text));
        Ok(())
    }
}
