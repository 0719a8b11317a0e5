//! Interactions with gold labels: one JSON object a line, read as `eval` reads them, with a label and how it came to be beside.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use assize_core::InteractionId;

use crate::cli::say;
use crate::ingest::draft::cut_to;
use crate::ingest::tree::Json;
use crate::ingest::{Draft, ITEM_TEXT_MAX, LABEL_MAX, json};

/// Interactions of one file, at the most: all of them are held in memory.
const ITEMS_MAX: usize = 200_000;
/// Bytes of one file, at the most.
const BYTES_MAX: u64 = 2 << 30;
/// A line longer than this is refused: the text of an interaction is limited, its JSON may be somewhat longer.
const LINE_BYTES_MAX: usize = 2 * ITEM_TEXT_MAX;
/// Bad lines that are named; of more, only the count.
const NAMED_MAX: usize = 20;
/// Labels are looked for under these keys, in this order.
const LABEL_KEYS: [&str; 2] = ["label", "gold"];
/// What stands for a slice's key that a line does not have.
pub const WITHOUT: &str = "(none)";

/// What is wanted of a file.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    pub path: &'a Path,
    /// Whether every line has to have a label.
    pub labels: bool,
    /// The key of the label, where it is another than [`LABEL_KEYS`].
    pub label_key: Option<&'a str>,
    /// Keys by which the figures are told apart.
    pub slices: &'a [String],
    /// The first so many interactions only.
    pub limit: Option<u64>,
    /// Go on without lines that are bad.
    pub skip_bad_lines: bool,
}

/// One interaction with what is known of it.
#[derive(Debug, Clone)]
pub struct Labelled {
    pub id: InteractionId,
    pub draft: Draft,
    /// In [0, 1]; `None` only where labels were not wanted.
    pub label: Option<f64>,
    /// With which probability it was drawn for its label; `None` where somebody chose it.
    pub probability: Option<f64>,
    /// What it resembles others by.
    pub cluster: Option<String>,
    /// A value for each of the wanted slices.
    pub slices: Vec<String>,
}

/// A file of them.
#[derive(Debug)]
pub struct Gold {
    pub items: Vec<Labelled>,
    /// Lines that were passed over.
    pub bad_lines: usize,
}

/// Reads the whole file; `-` is stdin. Bad lines are named on stderr.
///
/// # Errors
/// Where it cannot be read, holds nothing, holds too much or, unless those are to be passed over, a line that is bad; where no line has a
/// wanted slice.
pub fn read(wanted: &Wanted<'_>) -> Result<Gold, String> {
    let name = wanted.path.display();
    let mut reader = open(wanted.path)?;
    let mut gold = Gold { items: Vec::new(), bad_lines: 0 };
    let mut first_of: HashMap<InteractionId, u64> = HashMap::new();
    let mut has_slice = vec![false; wanted.slices.len()];
    let mut keys = Vec::new();
    let (mut line, mut bytes) = (Vec::new(), 0_u64);
    for number in 1_u64.. {
        if wanted.limit.is_some_and(|limit| gold.items.len() as u64 >= limit) {
            break;
        }
        line.clear();
        let read = (&mut reader).take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line);
        let read = read.map_err(|error| format!("{name}: line {number}: cannot be read: {error}"))?;
        bytes = bytes.saturating_add(read as u64);
        if read == 0 {
            break;
        }
        if read > LINE_BYTES_MAX {
            return Err(format!("{name}: line {number} is longer than {LINE_BYTES_MAX} bytes: take it out"));
        }
        if bytes > BYTES_MAX || gold.items.len() >= ITEMS_MAX {
            return Err(format!("{name} holds more than {ITEMS_MAX} interactions or {BYTES_MAX} bytes: use --limit"));
        }
        let text = if number == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line) } else { &line };
        if text.trim_ascii().is_empty() {
            continue;
        }
        let read = labelled(text, number, wanted, &mut has_slice, &mut keys).and_then(|item| match first_of.get(&item.id) {
            Some(first) => Err(format!("its id stands in line {first} already: give each interaction one label")),
            None => Ok(item),
        });
        match read {
            Ok(item) => {
                first_of.insert(item.id.clone(), number);
                gold.items.push(item);
            }
            Err(what) => {
                gold.bad_lines += 1;
                if gold.bad_lines <= NAMED_MAX {
                    say::note(format_args!("{name}: line {number}: {what}"));
                }
            }
        }
    }
    if gold.bad_lines > 0 && !wanted.skip_bad_lines {
        let lines = if gold.bad_lines == 1 { "a line".to_owned() } else { format!("{} lines", gold.bad_lines) };
        return Err(format!("{name}: {lines} cannot be used: mend what is named above, or pass over it with --skip-bad-lines"));
    }
    if gold.items.is_empty() {
        return Err(format!("{name} holds no interaction: every line has to be one JSON object with input and output"));
    }
    match wanted.slices.iter().zip(has_slice).find(|(_, has)| !has) {
        Some((slice, _)) => Err(format!("--slice {slice}: no line has it; the keys of the first line are {}", keys.join(", "))),
        None => Ok(gold),
    }
}

fn open(path: &Path) -> Result<Box<dyn BufRead>, String> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(BufReader::new(std::io::stdin())));
    }
    let failed = |why: &str| format!("cannot read {}: {why}", path.display());
    let file = File::open(path).map_err(|error| failed(&error.to_string()))?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(failed("it is a directory; name a file of JSON lines"));
    }
    Ok(Box::new(BufReader::with_capacity(1 << 16, file)))
}

/// Errors never quote the line.
fn labelled(
    line: &[u8],
    number: u64,
    wanted: &Wanted<'_>,
    has_slice: &mut [bool],
    keys: &mut Vec<String>,
) -> Result<Labelled, String> {
    let text = std::str::from_utf8(line).map_err(|error| format!("not UTF-8 at its byte {}", error.valid_up_to()))?;
    let mut draft = json::decode_line(text).map_err(|error| error.message)?;
    let tree = Json::parse(text).map_err(|error| error.to_string())?;
    if let (true, Json::Object(entries)) = (keys.is_empty(), &tree) {
        keys.extend(entries.iter().take(30).map(|(key, _)| cut_to(key.to_string(), 64)));
    }
    let label = if wanted.labels { Some(label(&tree, wanted.label_key)?) } else { None };
    let probability = match present(&tree, "probability") {
        None => None,
        Some(value) => Some(
            number_of(value).filter(|p| *p >= 1e-25 && *p <= 1.0).ok_or("`probability`: use a number above 0, 1 at the most")?,
        ),
    };
    let cluster = match present(&tree, "cluster") {
        None => None,
        Some(value) => Some(value.clone().into_scalar_text().ok_or("`cluster`: use a string or a number")?),
    };
    let slices = wanted.slices.iter().zip(has_slice).map(|(key, has)| {
        let value = slice(&tree, key);
        *has |= value.is_some();
        value.unwrap_or_else(|| WITHOUT.to_owned())
    });
    let slices = slices.collect();
    // The file is the project, as in `eval`.
    draft.project = None;
    let id = match draft.id.clone() {
        Some(id) => id,
        None => InteractionId::new(&format!("line-{number}")).map_err(|error| error.to_string())?,
    };
    draft.id = Some(id.clone());
    Ok(Labelled { id, draft, label, probability, cluster, slices })
}

fn present<'t, 'j>(tree: &'t Json<'j>, key: &str) -> Option<&'t Json<'j>> {
    tree.get(key).filter(|value| **value != Json::Null)
}

fn label(tree: &Json<'_>, key: Option<&str>) -> Result<f64, String> {
    const FORMS: &str = "0 or 1, true or false, yes or no, or a number from 0 to 1";
    let own = key.map(|key| [key]);
    let keys: &[&str] = own.as_ref().map_or(&LABEL_KEYS[..], |own| &own[..]);
    let found = keys.iter().find_map(|key| present(tree, key).map(|value| (*key, value)));
    let Some((key, value)) = found else {
        let keys = keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(" or ");
        return Err(format!("has no label: give {keys} with {FORMS}"));
    };
    let label = match value {
        Json::Bool(yes) => Some(f64::from(u8::from(*yes))),
        Json::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
            "yes" | "true" => Some(1.0),
            "no" | "false" => Some(0.0),
            other => other.parse().ok(),
        },
        other => number_of(other),
    };
    label.filter(|label| (0.0..=1.0).contains(label)).ok_or_else(|| format!("`{key}` is no label: use {FORMS}"))
}

fn number_of(value: &Json<'_>) -> Option<f64> {
    match value {
        Json::Number(number) => number.as_f64(),
        _ => None,
    }
}

/// The value of a key of the line, of a key within one (`tags.region`), or of a tag.
fn slice(tree: &Json<'_>, key: &str) -> Option<String> {
    let within = || key.split('.').try_fold(tree, |tree, part| tree.get(part));
    let tag = || tree.get("tags").and_then(|tags| tags.get(key));
    let scalar = |value: &Json<'_>| value.clone().into_scalar_text().map(|text| cut_to(text, LABEL_MAX));
    [tree.get(key), within(), tag()].into_iter().flatten().find_map(scalar)
}

/// Where `--out` goes: a file of JSON lines, written whole at the end.
pub fn write_lines(path: &PathBuf, lines: &[serde_json::Value]) -> Result<(), String> {
    let mut text = String::new();
    for line in lines {
        text.push_str(&line.to_string());
        text.push('\n');
    }
    std::fs::write(path, text).map_err(|error| format!("--out {}: cannot be written ({error})", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label_of(line: &str) -> Result<f64, String> {
        label(&Json::parse(line).unwrap(), None)
    }

    #[test]
    fn labels_have_many_forms() {
        for (line, expected) in [
            (r#"{"label":1}"#, 1.0),
            (r#"{"gold":0}"#, 0.0),
            (r#"{"label":true}"#, 1.0),
            (r#"{"label":" No "}"#, 0.0),
            (r#"{"label":"YES"}"#, 1.0),
            (r#"{"label":"0.25"}"#, 0.25),
            (r#"{"label":null,"gold":0.75}"#, 0.75),
            (r#"{"label":0,"gold":1}"#, 0.0),
        ] {
            assert_eq!(label_of(line), Ok(expected), "{line}");
        }
        for bad in [r#"{"label":2}"#, r#"{"label":"maybe"}"#, r#"{"label":[1]}"#, r#"{"label":"NaN"}"#, r#"{"label":-0.1}"#] {
            let error = label_of(bad).unwrap_err();
            assert!(error.contains("`label` is no label") && !error.contains("maybe"), "{error}");
        }
        let error = label_of(r#"{"human":1}"#).unwrap_err();
        assert!(error.contains("`label` or `gold`") && error.contains("yes or no"), "{error}");
        assert_eq!(label(&Json::parse(r#"{"human":1,"label":0}"#).unwrap(), Some("human")), Ok(1.0));
    }

    #[test]
    fn slices_are_keys_paths_and_tags() {
        let tree =
            Json::parse(r#"{"model":"m","type":7,"a.b":"dotted","meta":{"x":true},"tags":{"region":"eu"},"list":[1]}"#).unwrap();
        let of = |key: &str| slice(&tree, key);
        assert_eq!(of("model").as_deref(), Some("m"));
        assert_eq!(of("type").as_deref(), Some("7"));
        assert_eq!(of("a.b").as_deref(), Some("dotted"));
        assert_eq!(of("meta.x").as_deref(), Some("true"));
        assert_eq!(of("tags.region").as_deref(), Some("eu"));
        assert_eq!(of("region").as_deref(), Some("eu"));
        assert_eq!((of("list"), of("nothing"), of("")), (None, None, None));
    }
}
