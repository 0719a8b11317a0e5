//! Finds phrases, whatever the case of their ASCII letters and the form of their apostrophes and quotes.
//!
//! An automaton looks for the longest part of each phrase that holds no quote; where it occurs, what stands before and after it is
//! compared with quotes folded. So the text is read once, nothing is rewritten, and the automaton does not grow with the number of
//! quotes. Other letters than ASCII match as they are written.

use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind};

use crate::check::SpecError;

/// Below this many bytes of anchors the automaton is a table of all transitions: fastest, at about 1 KB a byte.
const FULL_TABLE_BYTES_MAX: usize = 16 * 1024;

/// Whether `c` is one of the apostrophes and quotation marks that count as the same.
pub(crate) fn is_quote(c: char) -> bool {
    matches!(folded(c), '\'' | '"')
}

/// One form of each apostrophe, quotation mark and ASCII letter.
fn folded(c: char) -> char {
    match c {
        '’' | '‘' | '‚' | '‛' | 'ʼ' | '′' | '`' | '´' | '＇' => '\'',
        '“' | '”' | '„' | '‟' | '″' | '«' | '»' | '＂' => '"',
        other => other.to_ascii_lowercase(),
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

struct Phrase {
    text: Box<str>,
    /// Bytes of `text` before the anchor, and up to its end.
    anchor: (usize, usize),
    /// Whether what precedes, and what follows, has to be no part of a word.
    open: bool,
    close: bool,
}

impl Phrase {
    fn new(text: &str, whole_words: bool) -> Self {
        let mut anchor = (0, 0);
        let mut start = 0;
        for (at, c) in text.char_indices().chain([(text.len(), '\'')]) {
            if is_quote(c) {
                if at - start > anchor.1 - anchor.0 {
                    anchor = (start, at);
                }
                start = at + c.len_utf8();
            }
        }
        let word_at = |c: Option<char>| whole_words && c.is_some_and(is_word);
        Self { text: text.into(), anchor, open: word_at(text.chars().next()), close: word_at(text.chars().next_back()) }
    }

    fn anchor(&self) -> &str {
        self.text.get(self.anchor.0..self.anchor.1).unwrap_or_default()
    }

    /// Whether the whole phrase stands around an anchor found at `start..end` of `text`.
    fn stands_at(&self, text: &str, start: usize, end: usize) -> bool {
        let (Some(before), Some(after)) = (text.get(..start), text.get(end..)) else { return false };
        let (mut before, mut after) = (before.chars(), after.chars());
        let head = self.text.get(..self.anchor.0).unwrap_or_default();
        let tail = self.text.get(self.anchor.1..).unwrap_or_default();
        head.chars().rev().all(|c| before.next_back().is_some_and(|other| folded(other) == folded(c)))
            && tail.chars().all(|c| after.next().is_some_and(|other| folded(other) == folded(c)))
            && !(self.open && before.next_back().is_some_and(is_word))
            && !(self.close && after.next().is_some_and(is_word))
    }
}

/// Phrases to look for in one pass.
pub(super) struct Phrases {
    automaton: AhoCorasick,
    phrases: Vec<Phrase>,
}

impl Phrases {
    /// Builds the automaton; `None` where there is nothing to look for. `key` names the list in errors.
    pub(super) fn open(key: &str, phrases: &[String], whole_words: bool) -> Result<Option<Self>, SpecError> {
        if phrases.is_empty() {
            return Ok(None);
        }
        let phrases: Vec<Phrase> = phrases.iter().map(|text| Phrase::new(text, whole_words)).collect();
        let bytes: usize = phrases.iter().map(|phrase| phrase.anchor().len()).sum();
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .kind((bytes <= FULL_TABLE_BYTES_MAX).then_some(AhoCorasickKind::DFA))
            .build(phrases.iter().map(Phrase::anchor))
            .map_err(|error| SpecError::new(key, format!("too much to look for: {error}")))?;
        Ok(Some(Self { automaton, phrases }))
    }

    /// The phrase, as written in the specification, that ends first in `text`.
    pub(super) fn first_in(&self, text: &str) -> Option<&str> {
        self.found(text).next().map(|(_, phrase)| &*phrase.text)
    }

    /// The first phrase that none of `texts` holds. At most [`crate::check::ALL_OF_MAX`] phrases.
    pub(super) fn first_missing<'t>(&self, texts: impl Iterator<Item = &'t str>) -> Option<&str> {
        let mut seen = 0_u128;
        for text in texts {
            for (index, _) in self.found(text) {
                seen |= 1_u128.checked_shl(index as u32).unwrap_or(0);
            }
        }
        let missing = self.phrases.get(seen.trailing_ones() as usize)?;
        Some(&missing.text)
    }

    fn found<'p, 't>(&'p self, text: &'t str) -> impl Iterator<Item = (usize, &'p Phrase)> + use<'p, 't> {
        // Most texts hold no anchor at all, which the plain search finds out faster. What ends last may have begun before what ends
        // first, by less than the longest anchor.
        let first = self.automaton.find(text);
        let from = first.map_or(text.len(), |first| first.end().saturating_sub(self.automaton.max_pattern_len()));
        // The search is only refused for other kinds of match or anchored searches, which `open` does not build.
        let anchors = self.automaton.try_find_overlapping_iter(Input::new(text).range(from..));
        anchors.into_iter().flatten().filter_map(move |found| {
            let index = found.pattern().as_usize();
            let phrase = self.phrases.get(index)?;
            phrase.stands_at(text, found.start(), found.end()).then_some((index, phrase))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn first(phrases: &[&str], whole_words: bool, text: &str) -> Option<String> {
        let phrases: Vec<String> = phrases.iter().map(|phrase| (*phrase).to_owned()).collect();
        Phrases::open("any_of", &phrases, whole_words).unwrap().unwrap().first_in(text).map(str::to_owned)
    }

    #[test]
    fn quotes_of_any_form_are_the_same() {
        for text in ["I'm sorry, but", "Well: i’M SORRY", "“I‘m sorry”", "Iʼm sorry", "I`m sorry"] {
            assert_eq!(first(&["I'm sorry"], false, text).as_deref(), Some("I'm sorry"), "{text}");
        }
        assert_eq!(first(&["I’m sorry"], false, "I'm sorry").as_deref(), Some("I’m sorry"));
        for text in ["Im sorry", "I\"m sorry", "I m sorry", "'m sorry", "m sorry", "I'm sorr"] {
            assert_eq!(first(&["I'm sorry"], false, text), None, "{text}");
        }
        assert!(first(&["\"can't\" and 'won't'"], false, "he said «CAN’T» and ‘won´t’.").is_some());
    }

    #[test]
    fn a_false_start_does_not_hide_a_match() {
        assert!(first(&["can't"], false, "can can can't").is_some());
        assert!(first(&["ass"], true, "class, ass").is_some());
        assert!(first(&["he", "she's"], true, "ushe she’s").is_some());
    }

    #[test]
    fn whole_words_end_where_words_end() {
        for (text, found) in [
            ("an ass.", true),
            ("ASS", true),
            ("class", false),
            ("assess", false),
            ("äss ass", true),
            ("éass", false),
            ("assé", false),
            ("ass_1", false),
            ("(ass)", true),
            ("ass’s", true),
            ("日ass", false),
        ] {
            assert_eq!(first(&["ass"], true, text).is_some(), found, "{text}");
        }
        // An edge that is no part of a word needs no boundary.
        assert!(first(&["@all"], true, "x@all").is_some());
    }

    #[test]
    fn the_first_that_is_missing_is_named() {
        let phrases = ["alpha", "beta's", "gamma"].map(str::to_owned);
        let phrases = Phrases::open("all_of", &phrases, false).unwrap().unwrap();
        assert_eq!(phrases.first_missing(["alpha gamma", "Beta’s"].into_iter()), None);
        assert_eq!(phrases.first_missing(["alpha gamma"].into_iter()), Some("beta's"));
        assert_eq!(phrases.first_missing([].into_iter()), Some("alpha"));
        let many: Vec<String> = (0..128).map(|n| format!("word{n:03}")).collect();
        let phrases = Phrases::open("all_of", &many, false).unwrap().unwrap();
        assert_eq!(phrases.first_missing([many.join(" ").as_str()].into_iter()), None);
        assert_eq!(phrases.first_missing([many[..127].join(" ").as_str()].into_iter()), Some("word127"));
    }

    #[test]
    fn thousands_of_phrases_are_found_too() {
        let many: Vec<String> = (0..5000).map(|n| format!("it's word {n:05}")).collect();
        let phrases = Phrases::open("any_of", &many, true).unwrap().unwrap();
        assert_eq!(phrases.first_in("so IT’S WORD 04711!"), Some("it's word 04711"));
        assert_eq!(phrases.first_in("so it's word 047111"), None);
    }

    proptest! {
        /// Against the plain definition: the folded phrase is a substring of the folded text.
        #[test]
        fn agrees_with_folding_both(phrase in "[ab'’\"“ é]{0,4}[abé][ab'’\"“ é]{0,4}", text in "[abAB'’`\"”« éÉ日]{0,40}", pad in any::<String>()) {
            let text = format!("{text}{pad}");
            let fold = |text: &str| text.chars().map(folded).collect::<String>();
            prop_assert_eq!(first(&[&phrase], false, &text).is_some(), fold(&text).contains(&fold(&phrase)));
            let _ = first(&[&phrase], true, &text);
        }
    }
}
