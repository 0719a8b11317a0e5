//! Finds regular expressions, all in one pass. Their engine takes time linear in the text, and their compiled size is limited.

use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use crate::check::SpecError;

/// Compiled size of all expressions together, at the most.
const COMPILED_BYTES_MAX: usize = 8 << 20;
const NESTING_MAX: u32 = 64;

pub(super) struct Patterns {
    set: RegexSet,
    /// The same one by one, to say what was found.
    each: Vec<Regex>,
}

/// What is wrong, in one line: the parser draws a picture of the place, which a log line has no room for.
fn plain(error: &regex::Error) -> String {
    let text = error.to_string();
    text.rsplit("error: ").next().unwrap_or_default().trim().to_owned()
}

impl Patterns {
    /// Compiles `patterns`; `None` where there are none.
    pub(super) fn open(patterns: &[String]) -> Result<Option<Self>, SpecError> {
        if patterns.is_empty() {
            return Ok(None);
        }
        let each = patterns
            .iter()
            .enumerate()
            .map(|(index, pattern)| {
                RegexBuilder::new(pattern).size_limit(COMPILED_BYTES_MAX).nest_limit(NESTING_MAX).build().map_err(|error| {
                    SpecError::new(
                        format!("any_pattern[{index}]"),
                        format!("not a regular expression that can be used: {}", plain(&error)),
                    )
                })
            })
            .collect::<Result<_, _>>()?;
        let set = RegexSetBuilder::new(patterns)
            .size_limit(COMPILED_BYTES_MAX)
            .dfa_size_limit(COMPILED_BYTES_MAX)
            .nest_limit(NESTING_MAX)
            .build()
            .map_err(|error| SpecError::new("any_pattern", format!("together too large: {error}")))?;
        Ok(Some(Self { set, each }))
    }

    /// The first expression of the list that matches, and what it matches first.
    pub(super) fn first_in<'t>(&self, text: &'t str) -> Option<(usize, &'t str)> {
        if !self.set.is_match(text) {
            return None;
        }
        let index = self.set.matches(text).iter().next()?;
        Some((index, self.each.get(index)?.find(text)?.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(patterns: &[&str]) -> Result<Option<Patterns>, SpecError> {
        Patterns::open(&patterns.iter().map(|pattern| (*pattern).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_first_of_the_list_is_named() {
        let patterns = open(&[r"z{3}", r"(?i)order #\d+", r"\bée\b"]).unwrap().unwrap();
        assert_eq!(patterns.first_in("see Order #17 and ORDER #18"), Some((1, "Order #17")));
        assert_eq!(patterns.first_in("ée zzz"), Some((0, "zzz")));
        assert_eq!(patterns.first_in("nothing"), None);
    }

    #[test]
    fn what_does_not_compile_is_named() {
        assert_eq!(open(&["ok", "(unclosed"]).err().unwrap().key, "any_pattern[1]");
        assert_eq!(open(&[r"(\w{1000}){1000}"]).err().unwrap().key, "any_pattern[0]");
        assert!(open(&[&"(".repeat(1000)]).is_err());
    }
}
