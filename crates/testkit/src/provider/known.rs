//! Answers by what is judged: a table of inputs and outputs, found again in the text of a request.

use std::collections::HashMap;

use super::{Reply, Request};

/// Bytes of an output's beginning that the table is indexed by.
const KEY_BYTES: usize = 16;

/// One interaction that the provider knows.
#[derive(Debug, Clone)]
pub struct Known {
    /// Occurs in the request verbatim; empty to leave it open.
    pub input: String,
    /// Occurs in the request verbatim.
    pub output: String,
    /// The answer.
    pub reply: Reply,
}

/// The table.
pub(super) struct Table {
    entries: Vec<Known>,
    by_beginning: HashMap<[u8; KEY_BYTES], Vec<usize>>,
    /// Those whose output is shorter than the key.
    short: Vec<usize>,
}

impl Table {
    pub(super) fn new(entries: impl IntoIterator<Item = Known>) -> Self {
        let mut table = Self { entries: entries.into_iter().collect(), by_beginning: HashMap::new(), short: Vec::new() };
        for (index, known) in table.entries.iter().enumerate() {
            match known.output.as_bytes().first_chunk::<KEY_BYTES>() {
                Some(key) => table.by_beginning.entry(*key).or_default().push(index),
                None => table.short.push(index),
            }
        }
        table
    }

    /// The entry whose output and input both occur in the request. Where several do, the longest output wins, then the longest input:
    /// a short answer may well be part of a long one.
    pub(super) fn find(&self, request: &Request) -> Option<&Reply> {
        let text = &request.item;
        let beginnings = text.as_bytes().windows(KEY_BYTES).enumerate().filter_map(|(at, window)| {
            let key: &[u8; KEY_BYTES] = window.try_into().ok()?;
            Some((at, self.by_beginning.get(key)?))
        });
        let long = beginnings.flat_map(|(at, candidates)| {
            candidates.iter().filter(move |index| text.as_bytes()[at..].starts_with(self.entries[**index].output.as_bytes()))
        });
        let short = self.short.iter().filter(|index| text.contains(&self.entries[**index].output));
        long.chain(short)
            .map(|index| &self.entries[*index])
            .filter(|known| text.contains(&known.input))
            .max_by_key(|known| (known.output.len(), known.input.len()))
            .map(|known| &known.reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(entries: &[(&str, &str)], item: &str) -> Option<f64> {
        let entries = entries.iter().enumerate().map(|(index, (input, output))| Known {
            input: (*input).to_owned(),
            output: (*output).to_owned(),
            reply: Reply::score(index as f64),
        });
        let request = Request { item: item.to_owned(), ..Request::default() };
        match Table::new(entries).find(&request)? {
            Reply::Score { score, .. } => Some(*score),
            _ => None,
        }
    }

    #[test]
    fn both_input_and_output_have_to_occur() {
        let entries = [("how?", "I'm sorry, I can't assist."), ("why?", "I'm sorry, I can't assist."), ("how?", "No.")];
        assert_eq!(find(&entries, "<in>how?</in><out>I'm sorry, I can't assist.</out>"), Some(0.0));
        assert_eq!(find(&entries, "<in>why?</in><out>I'm sorry, I can't assist.</out>"), Some(1.0));
        assert_eq!(find(&entries, "<in>how?</in><out>No.</out>"), Some(2.0));
        assert_eq!(find(&entries, "<in>who?</in><out>No.</out>"), None);
        assert_eq!(find(&entries, ""), None);
    }

    #[test]
    fn the_longest_wins() {
        let entries = [("", "abc"), ("", "abc and a good deal more"), ("", "abc and a good deal more, and more")];
        assert_eq!(find(&entries, "<abc and a good deal more>"), Some(1.0));
        assert_eq!(find(&entries, "<abc and a good deal more, and more>"), Some(2.0));
        assert_eq!(find(&entries, "<abc>"), Some(0.0));
    }
}
