//! The artifact: two tables of weights, one for bytes and one for words, and how their sums become a score.
//!
//! Score of a text = logistic(slope · m + offset), where m is the largest margin of its segments. Margin of a segment = bias +
//! bytes_scale · Σ weights of its byte n-grams / √(their number) + the same of its word n-grams. Slope and offset are Platt's
//! calibration; weights are signed bytes, so the sums are exact in any order.
//!
//! File, little-endian: magic `ASZLIN\r\n`, format (u32), version of the features (u32), bits of the byte table and of the word table
//! (u32 each), bytes_scale, words_scale, bias (f32 each), slope, offset, threshold (f64 each), bytes of the name (u32), the name in
//! UTF-8, the byte table, the word table, and BLAKE3 (32 bytes) of all of that.

use std::borrow::Cow;
use std::path::Path;

use super::features::{self, FEATURES_VERSION, Features};
use super::segment::{Segment, Segmenter};

const MAGIC: [u8; 8] = *b"ASZLIN\r\n";
const FORMAT: u32 = 1;
const CHECKSUM_BYTES: usize = 32;
const NAME_BYTES_MAX: usize = 128;
/// The least and the most bits of a table.
pub(super) const TABLE_BITS: std::ops::RangeInclusive<u32> = 8..=22;
/// A model file is no longer than this: two of the largest tables and a head.
const FILE_BYTES_MAX: u64 = 2 * (1 << 22) + 4096;
/// Bytes of a text that are read: so many from its beginning …
pub const HEAD_BYTES: usize = 32 * 1024;
/// … and so many from its end.
pub const TAIL_BYTES: usize = 8 * 1024;

/// A model file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {what}")]
pub struct ModelError {
    /// The file, or the name of a built-in model.
    pub file: String,
    /// What is wrong with it and what to do.
    pub what: String,
}

/// A trained linear model.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearModel {
    pub(super) name: String,
    pub(super) bytes: Table,
    pub(super) words: Table,
    pub(super) bias: f32,
    pub(super) slope: f64,
    pub(super) offset: f64,
    pub(super) threshold: f64,
}

/// Weights of one family of n-grams.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    pub(super) bits: u32,
    pub(super) scale: f32,
    /// `2^bits` signed bytes.
    pub(super) weights: Cow<'static, [u8]>,
}

impl Table {
    pub(super) fn lookup(&self) -> Lookup<'_> {
        Lookup { bits: self.bits, weights: &self.weights }
    }
}

/// A table to look weights up in, without asking each time where it is kept.
#[derive(Clone, Copy)]
pub(super) struct Lookup<'m> {
    bits: u32,
    weights: &'m [u8],
}

impl Lookup<'_> {
    #[inline]
    pub(super) fn weight(self, hash: u64) -> i32 {
        self.weights.get(features::bucket(hash, self.bits)).map_or(0, |weight| i32::from(*weight as i8))
    }
}

/// What a model found in a text.
pub(super) struct Found {
    /// The largest margin; negative infinity where there is no segment.
    pub(super) margin: f32,
    /// The segment that has it.
    pub(super) segment: Option<Segment>,
}

struct Sums<'m> {
    of_bytes: Lookup<'m>,
    of_words: Lookup<'m>,
    bytes: i32,
    bytes_count: u32,
    words: i32,
    words_count: u32,
}

impl Features for Sums<'_> {
    #[inline]
    fn bytes(&mut self, hash: u64, _: usize, _: usize) {
        self.bytes += self.of_bytes.weight(hash);
        self.bytes_count += 1;
    }
    #[inline]
    fn words(&mut self, hash: u64, _: usize, _: usize) {
        self.words += self.of_words.weight(hash);
        self.words_count += 1;
    }
}

impl LinearModel {
    /// What the model is called, such as `toxicity`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The score from which on the model was best at telling the two labels apart (largest F1 on the calibration data).
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// The score of one text, in [0, 1]. The first 32 KiB and the last 8 KiB are read.
    pub fn score(&self, text: &str) -> f64 {
        self.score_of(self.search([text].into_iter()).margin)
    }

    /// The score that belongs to a margin.
    pub(super) fn score_of(&self, margin: f32) -> f64 {
        if margin == f32::NEG_INFINITY {
            // Nothing to read is nothing found.
            return 0.0;
        }
        logistic(self.slope * f64::from(margin) + self.offset)
    }

    pub(super) fn margin(&self, segment: &Segment) -> f32 {
        let (of_bytes, of_words) = (self.bytes.lookup(), self.words.lookup());
        let mut sums = Sums { of_bytes, of_words, bytes: 0, bytes_count: 0, words: 0, words_count: 0 };
        features::visit(segment, &mut sums);
        let part = |sum: i32, scale: f32, count: u32| sum as f32 * scale / (count.max(1) as f32).sqrt();
        self.bias + part(sums.bytes, self.bytes.scale, sums.bytes_count) + part(sums.words, self.words.scale, sums.words_count)
    }

    /// Reads all `texts`, each alone, within the limit of what is read.
    pub(super) fn search<'t>(&self, texts: impl Iterator<Item = &'t str> + Clone) -> Found {
        let mut found = Found { margin: f32::NEG_INFINITY, segment: None };
        each_segment(texts, &mut |segment| {
            let margin = self.margin(segment);
            if margin > found.margin {
                found.margin = margin;
                found.segment = Some(segment.clone());
            }
        });
        found
    }

    /// Opens the file at `path`.
    ///
    /// # Errors
    /// Where it cannot be read, is no model, was cut short or changed, or holds what is no number.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let file = path.display().to_string();
        let wrong = |what: String| ModelError { file: file.clone(), what };
        let unreadable = |error: std::io::Error| {
            wrong(format!("cannot be read ({error}): write the path of a model made by `assize judge train`, or builtin:NAME"))
        };
        let length = std::fs::metadata(path).map_err(unreadable)?.len();
        if length > FILE_BYTES_MAX {
            return Err(wrong(format!("{length} bytes are too many for a linear model ({FILE_BYTES_MAX} at the most): {AGAIN}")));
        }
        Self::from_bytes(&file, std::fs::read(path).map_err(unreadable)?)
    }

    /// Reads a model from the bytes of a file; `file` is its name in errors.
    ///
    /// # Errors
    /// As [`LinearModel::open`].
    pub fn from_bytes(file: &str, bytes: impl Into<Cow<'static, [u8]>>) -> Result<Self, ModelError> {
        match bytes.into() {
            // The weights stay where they are compiled in.
            Cow::Borrowed(whole) => Reader { rest: whole, file }.model(whole, |from, to| Cow::Borrowed(part(whole, from, to))),
            Cow::Owned(whole) => {
                Reader { rest: &whole, file }.model(&whole, |from, to| Cow::Owned(part(&whole, from, to).to_vec()))
            }
        }
    }

    /// The bytes of the model's file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes.weights.len() + self.words.weights.len() + 256);
        out.extend_from_slice(&MAGIC);
        for number in [FORMAT, FEATURES_VERSION, self.bytes.bits, self.words.bits] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.bytes.scale, self.words.scale, self.bias] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.slope, self.offset, self.threshold] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&(self.name.len() as u32).to_le_bytes());
        out.extend_from_slice(self.name.as_bytes());
        out.extend_from_slice(&self.bytes.weights);
        out.extend_from_slice(&self.words.weights);
        let checksum = blake3::hash(&out);
        out.extend_from_slice(checksum.as_bytes());
        out
    }
}

const AGAIN: &str = "train it again with `assize judge train`, or copy it again";

struct Reader<'b> {
    rest: &'b [u8],
    file: &'b str,
}

impl<'b> Reader<'b> {
    fn wrong(&self, what: impl Into<String>) -> ModelError {
        ModelError { file: self.file.to_owned(), what: what.into() }
    }

    fn model(mut self, whole: &[u8], part: impl Fn(usize, usize) -> Cow<'static, [u8]>) -> Result<LinearModel, ModelError> {
        if self.take(MAGIC.len())? != MAGIC {
            return Err(self.wrong("is no linear model (it begins otherwise): make one with `assize judge train`"));
        }
        let (format, features) = (self.u32()?, self.u32()?);
        if format != FORMAT || features != FEATURES_VERSION {
            return Err(self.wrong(format!(
                "has format {format}.{features}, and this release reads {FORMAT}.{FEATURES_VERSION}: train it again with `assize judge train`"
            )));
        }
        let (bytes_bits, words_bits) = (self.bits()?, self.bits()?);
        let (bytes_scale, words_scale, bias) = (self.f32()?, self.f32()?, self.f32()?);
        let (slope, offset, threshold) = (self.f64()?, self.f64()?, self.f64()?);
        let name_bytes = self.u32()? as usize;
        if name_bytes > NAME_BYTES_MAX {
            return Err(self.wrong(format!("its name has {name_bytes} bytes, {NAME_BYTES_MAX} at the most: {AGAIN}")));
        }
        let name = self.take(name_bytes)?;
        let tables = (1_usize << bytes_bits) + (1_usize << words_bits);
        if self.rest.len() != tables + CHECKSUM_BYTES {
            return Err(self.wrong(format!(
                "was cut short or has something else in it ({} bytes of weights where its head says {tables}): {AGAIN}",
                self.rest.len().saturating_sub(CHECKSUM_BYTES)
            )));
        }
        let body = whole.len().saturating_sub(CHECKSUM_BYTES);
        let (signed, checksum) = whole.split_at(body.min(whole.len()));
        if blake3::hash(signed).as_bytes() != checksum {
            return Err(self.wrong(format!("was changed or damaged (its checksum differs): {AGAIN}")));
        }
        let name = std::str::from_utf8(name).map_err(|_| self.wrong(format!("its name is not UTF-8: {AGAIN}")))?.to_owned();
        let numbers = [f64::from(bytes_scale), f64::from(words_scale), f64::from(bias), slope, offset, threshold];
        if !numbers.iter().all(|number| number.is_finite() && number.abs() < 1e12) {
            return Err(
                self.wrong("holds what is no number (NaN or infinite): train it again, perhaps with a smaller --learning-rate")
            );
        }
        if slope < 0.0 || !(0.0..=1.0).contains(&threshold) {
            return Err(
                self.wrong(format!("its calibration makes no sense (slope {slope}, threshold {threshold}): train it again"))
            );
        }
        let start = body - tables;
        let middle = start + (1_usize << bytes_bits);
        Ok(LinearModel {
            name,
            bytes: Table { bits: bytes_bits, scale: bytes_scale, weights: part(start, middle) },
            words: Table { bits: words_bits, scale: words_scale, weights: part(middle, body) },
            bias,
            slope,
            offset,
            threshold,
        })
    }

    fn take(&mut self, count: usize) -> Result<&'b [u8], ModelError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or_else(|| self.wrong(format!("ends within its head, so it is no linear model or was cut short: {AGAIN}")))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ModelError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u32(&mut self) -> Result<u32, ModelError> {
        self.array().map(u32::from_le_bytes)
    }

    fn f32(&mut self) -> Result<f32, ModelError> {
        self.array().map(f32::from_le_bytes)
    }

    fn f64(&mut self) -> Result<f64, ModelError> {
        self.array().map(f64::from_le_bytes)
    }

    fn bits(&mut self) -> Result<u32, ModelError> {
        let bits = self.u32()?;
        if TABLE_BITS.contains(&bits) {
            Ok(bits)
        } else {
            Err(self.wrong(format!("has a table of 2^{bits} weights, and 2^8 to 2^22 can be used: {AGAIN}")))
        }
    }
}

fn part(whole: &[u8], from: usize, to: usize) -> &[u8] {
    whole.get(from..to).unwrap_or_default()
}

pub(super) fn logistic(x: f64) -> f64 {
    // Without overflow on either side.
    if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
}

/// Gives `each` the segments of what is read of `texts`: [`HEAD_BYTES`] of them together from the beginning and [`TAIL_BYTES`] from the
/// end. A segment never spans two texts.
pub(super) fn each_segment<'t>(texts: impl Iterator<Item = &'t str> + Clone, each: &mut impl FnMut(&Segment)) {
    let total: usize = texts.clone().map(str::len).sum();
    let tail_from = total.saturating_sub(TAIL_BYTES);
    let mut segmenter = Segmenter::new();
    let mut began = 0;
    for text in texts {
        if total <= HEAD_BYTES + TAIL_BYTES {
            segmenter.push(text, each);
        } else {
            segmenter.push(up_to(text, HEAD_BYTES.saturating_sub(began)), each);
            segmenter.end(each);
            segmenter.push(from(text, tail_from.saturating_sub(began)), each);
        }
        segmenter.end(each);
        began += text.len();
    }
}

/// The beginning of `text`, `most` bytes of it or up to three fewer.
fn up_to(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// What is left of `text` from `at` on, or from up to three bytes later.
fn from(text: &str, at: usize) -> &str {
    let start = (at..=text.len()).find(|start| text.is_char_boundary(*start));
    text.get(start.unwrap_or(text.len())..).unwrap_or_default()
}

#[cfg(test)]
mod tests;
