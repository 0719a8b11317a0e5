//! Cuts text into short segments in one normal form, without allocating.
//!
//! Normal form: words and signs with one space between them. Letters are lower case; apostrophes are dropped (`don't`, `don’t` and
//! `dont` are the same); every digit is a `0`, so that no number is ever told from another or repeated in a reason; a letter
//! counts twice in a row at the most and a sign three times, so that stretching changes little; a symbol outside ASCII, such as an
//! emoji, is a word of its own, once in a row. Control characters are spaces; joiners and variation selectors vanish.
//!
//! A segment ends after a sentence or line once it is long enough, at a space once it is longer, and anywhere when it is full; the end
//! of a message always ends it. A long text is so read as many short ones, which is what the models were trained on.

/// Bytes of one segment in normal form, at the most.
pub(super) const SEGMENT_BYTES_MAX: usize = 384;
/// After so many bytes a segment ends with its sentence.
const SENTENCE_END_FROM: usize = 140;
/// After so many bytes a segment ends with its word.
const WORD_END_FROM: usize = 300;
/// What one character adds at the most: a separating space and four bytes.
const STEP_BYTES_MAX: usize = 5;
/// Zeros behind the text, so that eight bytes can be read from anywhere in it.
const PADDING: usize = 8;
/// Words of so many letters or more can be shouted.
const SHOUT_LETTERS_MIN: u32 = 3;

/// A piece of text in normal form.
#[derive(Clone)]
pub(super) struct Segment {
    bytes: [u8; SEGMENT_BYTES_MAX + PADDING],
    len: usize,
    /// Words in capitals.
    shouts: u32,
}

impl Segment {
    /// The normal form: it begins and ends with a space.
    pub(super) fn text(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The same, followed by at least eight zeros.
    pub(super) fn padded(&self) -> &[u8] {
        self.bytes.get(..self.len + PADDING).unwrap_or_default()
    }

    /// How many words are all capitals.
    pub(super) fn shouts(&self) -> u32 {
        self.shouts
    }
}

/// What the last character was.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Space,
    Word,
    Sign,
    Symbol,
}

/// Makes segments of text that comes in pieces. Where a piece ends makes no difference.
pub(super) struct Segmenter {
    segment: Segment,
    last: Last,
    /// The last letter, digit or sign, and how often it stood in a row.
    repeated: char,
    times: u32,
    /// Letters of the present word, and how many of them are capitals.
    letters: u32,
    capitals: u32,
    sentence_ended: bool,
}

impl Segmenter {
    pub(super) fn new() -> Self {
        let mut segmenter = Self {
            segment: Segment { bytes: [0; SEGMENT_BYTES_MAX + PADDING], len: 0, shouts: 0 },
            last: Last::Space,
            repeated: '\0',
            times: 0,
            letters: 0,
            capitals: 0,
            sentence_ended: false,
        };
        segmenter.clear();
        segmenter
    }

    /// Reads on; `each` is given every segment that ends within `text`.
    pub(super) fn push(&mut self, text: &str, each: &mut impl FnMut(&Segment)) {
        let mut rest = text.as_bytes();
        while let Some((&byte, behind)) = rest.split_first() {
            if byte < 0x80 {
                let letters = self.letters_within(rest);
                if letters > 0 {
                    rest = rest.get(letters..).unwrap_or_default();
                } else {
                    self.ascii(byte, each);
                    rest = behind;
                }
            } else {
                // `rest` always begins where a character does.
                let at = text.len() - rest.len();
                let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) else { return };
                self.other(c, each);
                rest = rest.get(c.len_utf8()..).unwrap_or_default();
            }
        }
    }

    /// The text, or a part of it that stands alone, has ended.
    pub(super) fn end(&mut self, each: &mut impl FnMut(&Segment)) {
        self.space();
        self.flush(each);
    }

    /// Takes ASCII letters that go on with a word, none of them the same as the one before: nearly all of most texts. The same as
    /// [`Segmenter::ascii`] for each, in one tight loop. Says how many it took.
    #[inline]
    fn letters_within(&mut self, text: &[u8]) -> usize {
        if self.last != Last::Word {
            return 0;
        }
        let mut before = u8::try_from(self.repeated).unwrap_or(0);
        let mut capitals = 0;
        let free = self.segment.bytes.get_mut(self.segment.len..=SEGMENT_BYTES_MAX - STEP_BYTES_MAX).unwrap_or_default();
        let mut taken = 0;
        for (place, byte) in free.iter_mut().zip(text) {
            let lower = *byte | 0x20;
            if !lower.is_ascii_lowercase() || lower == before {
                break;
            }
            *place = lower;
            before = lower;
            capitals += u32::from(*byte != lower);
            taken += 1;
        }
        if taken > 0 {
            self.segment.len += taken;
            self.letters += taken as u32;
            self.capitals += capitals;
            self.repeated = char::from(before);
            self.times = 1;
        }
        taken
    }

    #[inline]
    fn ascii(&mut self, byte: u8, each: &mut impl FnMut(&Segment)) {
        match byte {
            b'a'..=b'z' => self.letter(byte, false, each),
            b'A'..=b'Z' => self.letter(byte | 0x20, true, each),
            b'0'..=b'9' => self.letter(b'0', false, each),
            b'\'' | b'`' => {}
            0..=b' ' | 0x7f => self.gap(byte == b'\n', each),
            _ => self.sign(byte, each),
        }
    }

    fn other(&mut self, c: char, each: &mut impl FnMut(&Segment)) {
        match c {
            '’' | '‘' | '‚' | '‛' | 'ʼ' | '′' | '´' | '＇' => {}
            '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' => {}
            '“' | '”' | '„' | '‟' | '«' | '»' | '＂' => self.sign(b'"', each),
            '…' => (0..3).for_each(|_| self.sign(b'.', each)),
            '–' | '—' => self.sign(b'-', each),
            _ if c.is_whitespace() || c.is_control() => self.gap(false, each),
            _ if c.is_numeric() => self.letter(b'0', false, each),
            _ if c.is_alphabetic() => {
                // What becomes two letters in lower case, such as İ, keeps the first.
                let lower = c.to_lowercase().next().unwrap_or(c);
                if self.counts(lower, 2) {
                    self.word(lower.encode_utf8(&mut [0; 4]).as_bytes(), lower != c, each);
                }
            }
            // Marks that belong to the letter before them.
            '\u{300}'..='\u{36f}' => {}
            _ => {
                if self.last != Last::Symbol || self.repeated != c {
                    self.space();
                    self.room(each);
                    self.write(c.encode_utf8(&mut [0; 4]).as_bytes());
                    self.last = Last::Symbol;
                    self.repeated = c;
                }
            }
        }
    }

    #[inline]
    fn letter(&mut self, lower: u8, capital: bool, each: &mut impl FnMut(&Segment)) {
        if self.counts(char::from(lower), 2) {
            self.word(&[lower], capital, each);
        }
    }

    #[inline]
    fn word(&mut self, bytes: &[u8], capital: bool, each: &mut impl FnMut(&Segment)) {
        if self.last != Last::Word {
            self.space();
        }
        self.room(each);
        self.letters += 1;
        self.capitals += u32::from(capital);
        self.write(bytes);
        self.last = Last::Word;
        self.sentence_ended = false;
    }

    fn sign(&mut self, byte: u8, each: &mut impl FnMut(&Segment)) {
        if self.last != Last::Sign || self.repeated != char::from(byte) {
            self.space();
        }
        if self.counts(char::from(byte), 3) {
            self.room(each);
            self.write(&[byte]);
        }
        self.last = Last::Sign;
        self.sentence_ended = matches!(byte, b'.' | b'!' | b'?') || (self.sentence_ended && matches!(byte, b'"' | b')'));
    }

    fn gap(&mut self, line_ended: bool, each: &mut impl FnMut(&Segment)) {
        let sentence_ended = line_ended || (self.sentence_ended && self.last == Last::Sign);
        self.space();
        if self.segment.len >= WORD_END_FROM || (sentence_ended && self.segment.len >= SENTENCE_END_FROM) {
            self.flush(each);
        }
    }

    /// Whether this character, of which `most` in a row count, counts here.
    #[inline]
    fn counts(&mut self, c: char, most: u32) -> bool {
        if self.repeated == c && self.last != Last::Space {
            self.times = self.times.saturating_add(1);
        } else {
            self.repeated = c;
            self.times = 1;
        }
        self.times <= most
    }

    /// Ends the word, sign or symbol before.
    #[inline]
    fn space(&mut self) {
        if self.last != Last::Space {
            self.write(b" ");
            self.last = Last::Space;
            if self.letters >= SHOUT_LETTERS_MIN && self.letters == self.capitals {
                self.segment.shouts += 1;
            }
        }
        self.letters = 0;
        self.capitals = 0;
    }

    /// Makes room for one more character and the space behind it.
    #[inline]
    fn room(&mut self, each: &mut impl FnMut(&Segment)) {
        if self.segment.len + STEP_BYTES_MAX > SEGMENT_BYTES_MAX {
            self.space();
            self.flush(each);
        }
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let end = self.segment.len + bytes.len();
        if let Some(place) = self.segment.bytes.get_mut(self.segment.len..end) {
            place.copy_from_slice(bytes);
            self.segment.len = end;
        }
    }

    fn flush(&mut self, each: &mut impl FnMut(&Segment)) {
        if self.segment.len > 1 {
            let end = self.segment.len;
            if let Some(padding) = self.segment.bytes.get_mut(end..end + PADDING) {
                padding.fill(0);
            }
            each(&self.segment);
        }
        self.clear();
    }

    fn clear(&mut self) {
        self.segment.bytes[0] = b' ';
        self.segment.len = 1;
        self.segment.shouts = 0;
        self.last = Last::Space;
        self.letters = 0;
        self.capitals = 0;
        self.sentence_ended = false;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn segments(pieces: &[&str]) -> Vec<String> {
        let mut found = Vec::new();
        let mut segmenter = Segmenter::new();
        let mut each = |segment: &Segment| {
            assert_eq!(&segment.padded()[segment.text().len()..], &[0; PADDING]);
            found.push(String::from_utf8(segment.text().to_vec()).unwrap());
        };
        for piece in pieces {
            segmenter.push(piece, &mut each);
        }
        segmenter.end(&mut each);
        found
    }

    fn normal(text: &str) -> String {
        segments(&[text]).join("|")
    }

    #[test]
    fn one_normal_form() {
        for (text, form) in [
            ("You're  an\tIDIOT!!!!!", " youre an idiot !!! "),
            ("You’re an idiot", " youre an idiot "),
            ("soooo goood", " soo good "),
            ("call 0170-1234567", " call 00 - 00 "),
            ("«Naïve» ÉTÉ…", " \" naïve \" été ... "),
            ("no\u{0}\u{7}way\u{200b}s", " no ways "),
            ("👍👍👍 ok👎🏽", " 👍 ok 👎 🏽 "),
            ("❤\u{fe0f}", " ❤ "),
            ("?!?!", " ? ! ? ! "),
            ("e\u{301}t", " et "),
            ("", ""),
            (" \n ", ""),
            ("''", ""),
        ] {
            assert_eq!(normal(text), form, "{text:?}");
        }
    }

    #[test]
    fn capitals_are_counted_by_word() {
        let shouts = |text: &str| {
            let mut shouts = 0;
            let mut segmenter = Segmenter::new();
            let mut each = |segment: &Segment| shouts += segment.shouts();
            segmenter.push(text, &mut each);
            segmenter.end(&mut each);
            shouts
        };
        assert_eq!(shouts("WHY does THIS NOT work"), 3);
        assert_eq!(shouts("I am OK, Thanks, iPhone, McD"), 0);
        assert_eq!(shouts("ÄRGER!"), 1);
        assert_eq!(shouts("DON'T"), 1);
        assert_eq!(shouts("don'T HELP"), 1);
    }

    #[test]
    fn segments_end_where_sentences_and_words_do() {
        let sentence = "This is a sentence of some length that ends here. ";
        let found = segments(&[&sentence.repeat(8)]);
        assert!(found.len() > 1);
        assert!(found.iter().all(|segment| segment.ends_with(" here . ")), "{found:?}");
        let found = segments(&[&"word ".repeat(200)]);
        assert!(found.len() > 2 && found.iter().all(|segment| segment.replace("word ", "") == " "), "{found:?}");
        let found = segments(&[&"ab".repeat(1000)]);
        assert!(found.len() > 5 && found.iter().all(|segment| segment.len() <= SEGMENT_BYTES_MAX), "{found:?}");
    }

    #[test]
    fn one_emoji_a_million_times_is_one() {
        assert_eq!(normal(&"🙂".repeat(250_000)), " 🙂 ");
        assert_eq!(normal(&"a".repeat(1_000_000)), " aa ");
        assert_eq!(normal(&"!".repeat(1_000_000)), " !!! ");
    }

    proptest! {
        #[test]
        fn where_pieces_end_makes_no_difference(text in "(\\PC|[a-zA-Z' .!🙂é0-9\n]){0,900}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| {
                let at = cut.index(text.len() + 1);
                (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap()
            }).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([text.len()]) {
                pieces.push(&text[from..cut]);
                from = cut;
            }
            prop_assert_eq!(segments(&pieces), segments(&[&text]));
        }

        #[test]
        fn any_text_gives_segments_within_bounds(text in any::<String>()) {
            for segment in segments(&[&text.repeat(40)]) {
                prop_assert!(segment.len() <= SEGMENT_BYTES_MAX && segment.starts_with(' ') && segment.ends_with(' '));
                prop_assert!(!segment.contains("  ") && !segment.chars().any(char::is_control));
            }
        }
    }
}
