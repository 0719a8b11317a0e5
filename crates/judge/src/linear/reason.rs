//! Says which words of a segment weighed most.

use super::features::{self, Features};
use super::model::LinearModel;
use super::segment::Segment;

/// Words and phrases that a reason names, at the most.
const NAMED_MAX: usize = 4;
/// A word that is longer is not named.
const NAMED_CHARS_MAX: usize = 40;

/// A word or phrase of the segment and what it added to the margin.
struct Part {
    start: usize,
    end: usize,
    weight: f32,
}

struct Parts<'m> {
    model: &'m LinearModel,
    /// Words with the byte n-grams in them, and phrases.
    parts: Vec<Part>,
    /// Weights of byte n-grams of the word that comes next.
    pending: f32,
    /// What a weight of either table adds to the margin.
    per_byte: f32,
    per_word: f32,
}

/// Counts the n-grams.
#[derive(Default)]
struct Counts {
    bytes: u32,
    words: u32,
}

impl Features for Counts {
    fn bytes(&mut self, _: u64, _: usize, _: usize) {
        self.bytes += 1;
    }
    fn words(&mut self, _: u64, _: usize, _: usize) {
        self.words += 1;
    }
}

impl Features for Parts<'_> {
    fn bytes(&mut self, hash: u64, _: usize, _: usize) {
        self.pending += self.model.bytes.lookup().weight(hash) as f32 * self.per_byte;
    }
    fn words(&mut self, hash: u64, start: usize, end: usize) {
        // Byte n-grams of a word are given before the word, phrases that end with it after it.
        let of_bytes = std::mem::take(&mut self.pending);
        let weight = self.model.words.lookup().weight(hash) as f32 * self.per_word + of_bytes;
        if weight > 0.0 {
            self.parts.push(Part { start, end, weight });
        }
    }
}

/// The words and phrases that weighed most, the heaviest first: `"you are an idiot", "stupid"`. Empty where nothing weighed towards a
/// higher score.
pub(super) fn heaviest(model: &LinearModel, segment: &Segment) -> String {
    let mut counts = Counts::default();
    features::visit(segment, &mut counts);
    let each = |scale: f32, count: u32| scale / (count.max(1) as f32).sqrt();
    let (per_byte, per_word) = (each(model.bytes.scale, counts.bytes), each(model.words.scale, counts.words));
    let mut parts = Parts { model, parts: Vec::with_capacity(128), pending: 0.0, per_byte, per_word };
    features::visit(segment, &mut parts);
    let mut parts = parts.parts;
    parts.sort_unstable_by(|a, b| b.weight.total_cmp(&a.weight).then((a.start, a.end).cmp(&(b.start, b.end))));
    let mut named: Vec<&str> = Vec::new();
    for part in &parts {
        let text = segment.text().get(part.start..part.end).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let Some(text) = text.filter(|text| !text.is_empty() && text.chars().count() <= NAMED_CHARS_MAX) else { continue };
        if named.iter().any(|other| other.contains(text) || text.contains(other)) {
            continue;
        }
        named.push(text);
        if named.len() == NAMED_MAX {
            break;
        }
    }
    named.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(", ")
}
