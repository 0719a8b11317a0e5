//! Hashed n-grams of a segment: three to five bytes within a word and its two spaces, and one to three words in a row.
//!
//! A bucket is the upper bits of a hash, so tables of any size are filled evenly (Weinberger et al. 2009, "Feature hashing for large
//! scale multitask learning"; without signs, since collisions of rare n-grams are pulled to zero by the penalty anyway). The bytes
//! come from one unaligned load of eight, masked: nothing is rolled, copied or allocated.

use super::segment::Segment;

/// Changes whenever some text would give other buckets than before; part of the file format and of judge versions.
pub(super) const FEATURES_VERSION: u32 = 1;

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
const WORD_SEED: u64 = 0x2545_f491_4f6c_dd1d;
const SHOUTING: u64 = 0xd6e8_feb8_6659_fd93;

/// Takes the n-grams of a segment: the hash, and where in the segment's text the n-gram stands.
pub(super) trait Features {
    /// Bytes of one word, with its spaces.
    fn bytes(&mut self, hash: u64, start: usize, end: usize);
    /// One to three words.
    fn words(&mut self, hash: u64, start: usize, end: usize);
}

/// The bucket of `hash` in a table of `2^bits`.
#[inline]
pub(super) fn bucket(hash: u64, bits: u32) -> usize {
    (hash >> (64 - bits)) as usize
}

/// Gives all n-grams of `segment` to `features`, in a fixed order.
#[inline]
pub(super) fn visit(segment: &Segment, features: &mut impl Features) {
    let text = segment.padded();
    let len = segment.text().len();
    let mut before = [(0_u64, 0_usize); 2];
    let mut words = 0_u32;
    let mut start = 1;
    while start < len {
        let end = word_end(text, start, len);
        within(text, start - 1, end + 1, features);
        let one = word(text, start, end);
        features.words(one, start, end);
        if words > 0 {
            let two = joined(before[0].0, one);
            features.words(two, before[0].1, end);
            if words > 1 {
                features.words(joined(before[1].0, two), before[1].1, end);
            }
        }
        before = [(one, start), before[0]];
        words += 1;
        start = end + 1;
    }
    if segment.shouts() >= 2 && segment.shouts() * 2 >= words {
        features.words(SHOUTING, 0, 0);
    }
}

/// Where the word that begins at `start` ends.
#[inline]
fn word_end(text: &[u8], start: usize, len: usize) -> usize {
    let mut end = start;
    while end < len && text.get(end).is_some_and(|byte| *byte != b' ') {
        end += 1;
    }
    end
}

#[inline]
fn within(text: &[u8], start: usize, end: usize, features: &mut impl Features) {
    let mut at = start;
    // All places with room for five bytes; behind a word there are at least eight more to be read.
    for eight in text.get(start..end + 3).unwrap_or_default().windows(8).filter_map(<[u8]>::first_chunk) {
        let eight = u64::from_le_bytes(*eight);
        features.bytes(hash(eight & 0xff_ffff), at, at + 3);
        features.bytes(hash(eight & 0xffff_ffff), at, at + 4);
        features.bytes(hash(eight & 0xff_ffff_ffff), at, at + 5);
        at += 1;
    }
    if at + 4 <= end {
        let eight = eight_at(text, at);
        features.bytes(hash(eight & 0xff_ffff), at, at + 3);
        features.bytes(hash(eight & 0xffff_ffff), at, at + 4);
        at += 1;
    }
    if at + 3 <= end {
        features.bytes(hash(eight_at(text, at) & 0xff_ffff), at, at + 3);
    }
}

#[inline]
fn word(text: &[u8], start: usize, end: usize) -> u64 {
    let mut found = WORD_SEED;
    let mut at = start;
    while at + 8 < end {
        found = joined(found, eight_at(text, at));
        at += 8;
    }
    let bits = 8 * (end - at).min(8) as u32;
    joined(found, eight_at(text, at) & (u64::MAX >> (64 - bits).min(63)))
}

#[inline]
fn eight_at(text: &[u8], at: usize) -> u64 {
    text.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

#[inline]
fn hash(value: u64) -> u64 {
    value.wrapping_mul(MULTIPLIER)
}

/// Mixes `next` into `before`; the order counts.
#[inline]
fn joined(before: u64, next: u64) -> u64 {
    let mixed = (before.rotate_left(27) ^ next).wrapping_mul(MULTIPLIER);
    (mixed ^ (mixed >> 32)).wrapping_mul(WORD_SEED)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::segment::Segmenter;
    use super::*;

    #[derive(Default)]
    struct Seen {
        bytes: Vec<String>,
        words: Vec<String>,
        hashes: HashSet<u64>,
        text: Vec<u8>,
    }

    impl Features for Seen {
        fn bytes(&mut self, hash: u64, start: usize, end: usize) {
            self.hashes.insert(hash);
            self.bytes.push(String::from_utf8(self.text[start..end].to_vec()).unwrap());
        }
        fn words(&mut self, hash: u64, start: usize, end: usize) {
            self.hashes.insert(hash);
            self.words.push(String::from_utf8(self.text[start..end].to_vec()).unwrap());
        }
    }

    fn seen(text: &str) -> Seen {
        let mut seen = Seen::default();
        let mut segmenter = Segmenter::new();
        let mut each = |segment: &Segment| {
            seen.text = segment.text().to_vec();
            visit(segment, &mut seen);
        };
        segmenter.push(text, &mut each);
        segmenter.end(&mut each);
        seen
    }

    #[test]
    fn the_n_grams_are_those_of_the_definition() {
        let seen = seen("You are a fool!");
        assert_eq!(
            seen.words,
            ["you", "are", "you are", "a", "are a", "you are a", "fool", "a fool", "are a fool", "!", "fool !", "a fool !"]
        );
        let fool: Vec<&String> = seen.bytes.iter().filter(|gram| gram.contains("oo") || gram.contains("fo")).collect();
        assert_eq!(fool, [" fo", " foo", " fool", "foo", "fool", "fool ", "ool", "ool "]);
        assert!(seen.bytes.contains(&" a ".to_owned()) && seen.bytes.contains(&" ! ".to_owned()));
        assert!(!seen.bytes.iter().any(|gram| gram.trim().contains(' ')));
    }

    #[test]
    fn different_n_grams_have_different_hashes() {
        let text: String = (0..20).map(|n| format!("{}word{} ", char::from(b'a' + n), char::from(b'z' - n))).collect();
        let seen = seen(&text);
        let distinct: HashSet<String> =
            seen.bytes.iter().map(|gram| format!("b{gram}")).chain(seen.words.iter().map(|gram| format!("w{gram}"))).collect();
        assert_eq!(seen.hashes.len(), distinct.len());
        let hash = |text: &str| word(format!("{text}\0\0\0\0\0\0\0\0").as_bytes(), 0, text.len());
        let all: HashSet<u64> =
            ["a", "ab", "abcdefgh", "abcdefghi", "abcdefghijklmnop", "abcdefghijklmnopq", "abcdefgi"].map(hash).into();
        assert_eq!(all.len(), 7);
    }

    #[test]
    fn shouting_is_a_feature_where_most_words_are_shouted() {
        assert!(seen("WHY IS THIS NOT WORKING").hashes.contains(&SHOUTING));
        assert!(!seen("Why is THIS NOT working at all").hashes.contains(&SHOUTING));
    }
}
