//! Reads labelled lines for training: one JSON object a line, with a text and a label.

use std::io::BufRead;

use serde_json::{Map, Value};

/// One labelled text.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The text.
    pub text: String,
    /// How far it is what the model is to find, in [0, 1]; a share of raters is a label too.
    pub label: f64,
    /// Texts that resemble each other share this, and never stand on both sides of a split.
    pub cluster: Option<String>,
    /// Where it comes from; figures are given for each source.
    pub source: Option<String>,
}

/// The names of the keys of a line.
#[derive(Debug, Clone)]
pub struct Keys {
    /// The text.
    pub text: String,
    /// The label: 0 or 1, true or false, or a number between.
    pub label: String,
    /// The cluster; a line need not have it.
    pub cluster: String,
    /// The source; a line need not have it.
    pub source: String,
}

impl Default for Keys {
    fn default() -> Self {
        let [text, label, cluster, source] = ["output", "label", "cluster", "source"].map(str::to_owned);
        Self { text, label, cluster, source }
    }
}

/// A line that cannot be learned from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct BadLine {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it and what to do. Never holds the text.
    pub what: String,
}

/// What a file held.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Labelled {
    /// The examples, in order.
    pub examples: Vec<Example>,
    /// The first lines that were bad, at most [`BAD_LINES_MAX`].
    pub bad: Vec<BadLine>,
    /// How many were bad.
    pub bad_count: usize,
}

/// Examples of one training, at the most.
pub const EXAMPLES_MAX: usize = 2_000_000;
/// Bytes of one line, at the most.
pub const LINE_BYTES_MAX: usize = 8 << 20;
/// Bad lines that are kept to be told of.
pub const BAD_LINES_MAX: usize = 20;

/// Reads all lines; empty ones are passed over, bad ones counted and named. `each` is told the bytes read so far.
///
/// # Errors
/// Where the reader fails, or there are more than [`EXAMPLES_MAX`] examples.
pub fn read(mut from: impl BufRead, keys: &Keys, mut each: impl FnMut(u64)) -> std::io::Result<Labelled> {
    let mut found = Labelled::default();
    let mut line = Vec::new();
    let mut bytes = 0;
    for number in 1.. {
        line.clear();
        let read = std::io::Read::take(&mut from, LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        if read > LINE_BYTES_MAX {
            return Err(std::io::Error::other(format!("line {number} is longer than {LINE_BYTES_MAX} bytes: take it out")));
        }
        bytes += read as u64;
        each(bytes);
        if line.trim_ascii().is_empty() {
            continue;
        }
        match example(line.trim_ascii(), keys) {
            Ok(example) => found.examples.push(example),
            Err(what) => {
                found.bad_count += 1;
                if found.bad.len() < BAD_LINES_MAX {
                    found.bad.push(BadLine { line: number, what });
                }
            }
        }
        if found.examples.len() > EXAMPLES_MAX {
            return Err(std::io::Error::other(format!("more than {EXAMPLES_MAX} examples: draw a part of them")));
        }
    }
    Ok(found)
}

fn example(line: &[u8], keys: &Keys) -> Result<Example, String> {
    let line: Map<String, Value> =
        serde_json::from_slice(line).map_err(|error| format!("not a JSON object (column {})", error.column()))?;
    let text = match line.get(&keys.text) {
        Some(Value::String(text)) if !text.trim().is_empty() => text.clone(),
        Some(Value::String(_)) => return Err(format!("{:?} is empty", keys.text)),
        Some(_) => return Err(format!("{:?} is no text", keys.text)),
        None => return Err(format!("there is no {:?}: say with --text-key which key holds the text", keys.text)),
    };
    let label = match line.get(&keys.label) {
        Some(Value::Bool(label)) => f64::from(u8::from(*label)),
        Some(Value::Number(label)) => label.as_f64().unwrap_or(f64::NAN),
        Some(_) => return Err(format!("{:?} is no label: use 0 or 1, true or false, or a number between 0 and 1", keys.label)),
        None => return Err(format!("there is no {:?}: say with --label-key which key holds the label", keys.label)),
    };
    if !(0.0..=1.0).contains(&label) {
        return Err(format!("{:?} is {label}: use a number from 0 to 1", keys.label));
    }
    Ok(Example { text, label, cluster: word(line.get(&keys.cluster))?, source: word(line.get(&keys.source))? })
}

/// A text or number that names something; `None` where there is none.
fn word(value: Option<&Value>) -> Result<Option<String>, String> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(word)) => Ok(Some(word.clone())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err("a cluster or source is neither a text nor a number".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(lines: &str) -> Labelled {
        read(lines.as_bytes(), &Keys::default(), |_| ()).unwrap()
    }

    #[test]
    fn labels_of_every_form_are_read() {
        let found = labelled(
            "{\"output\": \"a\", \"label\": 1}\n\n{\"output\": \"b\", \"label\": false, \"cluster\": 7, \"source\": \"s\", \"x\": [1]}\r\n{\"output\": \"c\", \"label\": 0.25}",
        );
        let labels: Vec<f64> = found.examples.iter().map(|example| example.label).collect();
        assert_eq!(labels, [1.0, 0.0, 0.25]);
        assert_eq!(found.examples[1].cluster.as_deref(), Some("7"));
        assert_eq!(found.examples[1].source.as_deref(), Some("s"));
        assert_eq!(found.bad_count, 0);
    }

    #[test]
    fn bad_lines_are_named_and_their_text_is_not() {
        let lines = [
            "{\"output\": \"secret words\", \"label\": 2}",
            "{\"output\": \"secret words\"}",
            "{\"output\": 1, \"label\": 1}",
            "{\"output\": \" \", \"label\": 1}",
            "{\"label\": 1}",
            "{\"output\": \"secret words\", \"label\": \"yes\"}",
            "secret words",
            "[1]",
            "{\"output\": \"secret words\", \"label\": 1, \"cluster\": {}}",
            "\u{1}",
        ];
        let found = labelled(&format!("{{\"output\": \"good\", \"label\": 1}}\n{}", lines.join("\n")));
        assert_eq!((found.examples.len(), found.bad_count), (1, lines.len()));
        assert_eq!(found.bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), (2..12).collect::<Vec<_>>());
        assert!(!format!("{:?}", found.bad).contains("secret"), "{:?}", found.bad);
        let found = labelled(&"x\n".repeat(100));
        assert_eq!((found.bad.len(), found.bad_count), (BAD_LINES_MAX, 100));
    }
}
