//! `assize label import`: gold labels from a file.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::remote::Remote;
use super::{Ending, light_runtime, say};

/// Labels of one request.
const BATCH: usize = 500;
/// A line longer than this is none: an interaction with its text may stand in it.
const LINE_BYTES_MAX: u64 = 16 << 20;
/// Rejections that are named.
const NAMED_MAX: u64 = 20;

#[derive(Debug, Args)]
#[command(after_help = "\
Example: assize label import --file gold.jsonl --metric refusal

Every line is {\"id\": …, \"metric\": …, \"score\": …}, with \"label\" in place of \"score\" if need be, or an interaction with \"labels\" as
`assize dataset export` writes it. A score is a number from 0 to 1, \"yes\" or \"no\". The interactions have to be stored already. These
labels count as picked by hand: they make datasets, and correct no rate.")]
pub struct Label {
    #[command(subcommand)]
    command: LabelCommand,
}

#[derive(Debug, Subcommand)]
enum LabelCommand {
    /// Read labels from a file of JSON lines
    Import {
        #[command(flatten)]
        remote: Remote,
        /// The file
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// The metric of lines that name none
        #[arg(long, value_name = "NAME")]
        metric: Option<String>,
        /// Who labelled, where lines do not say; the key's id where not given
        #[arg(long, value_name = "NAME")]
        reviewer: Option<String>,
    },
}

impl Label {
    pub fn run(self) -> Result<Ending, String> {
        let LabelCommand::Import { remote, file, metric, reviewer } = self.command;
        let name = file.display().to_string();
        let opened = File::open(&file).map_err(|error| format!("{name}: cannot be opened: {error}"))?;
        let mut reader = BufReader::new(opened);
        let runtime = light_runtime()?;
        let mut import = Import { name, batch: Vec::new(), stored: 0, rejected: 0 };
        let defaults = Defaults { metric: metric.as_deref(), reviewer: reviewer.as_deref() };
        for number in 1_u64.. {
            let mut line = Vec::new();
            let read = (&mut reader).take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line);
            if read.map_err(|error| format!("{}: cannot be read: {error}", import.name))? == 0 {
                break;
            }
            if line.len() as u64 > LINE_BYTES_MAX {
                return Err(format!("{}:{number}: the line is longer than {LINE_BYTES_MAX} bytes", import.name));
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            match requests(&line, defaults) {
                Ok(requests) => import.batch.extend(requests.into_iter().map(|request| (number, request))),
                Err(error) => import.reject(number, &error),
            }
            if import.batch.len() >= BATCH {
                runtime.block_on(import.send(&remote))?;
            }
        }
        runtime.block_on(import.send(&remote))?;
        say::note(format_args!("{} labels stored", import.stored));
        match import.rejected {
            0 => Ok(Ending::Done),
            n => Err(format!("{n} were not stored")),
        }
    }
}

#[derive(Clone, Copy)]
struct Defaults<'a> {
    metric: Option<&'a str>,
    reviewer: Option<&'a str>,
}

struct Import {
    name: String,
    /// Labels that wait, each with the line that it stands in.
    batch: Vec<(u64, Value)>,
    stored: u64,
    rejected: u64,
}

impl Import {
    async fn send(&mut self, remote: &Remote) -> Result<(), String> {
        let batch = std::mem::take(&mut self.batch);
        // One line may hold many labels.
        for part in batch.chunks(BATCH) {
            let body: Vec<&Value> = part.iter().map(|(_, request)| request).collect();
            let (_, answer) = remote.answer(Method::POST, "/v1/labels", Some(json!(body))).await?;
            let Some(stored) = answer["stored"].as_u64() else {
                let message = answer.pointer("/error/message").and_then(Value::as_str);
                return Err(message.unwrap_or("the server gave no reason").to_owned());
            };
            self.stored += stored;
            for rejected in answer["rejected"].as_array().into_iter().flatten() {
                let index = rejected["index"].as_u64().and_then(|index| usize::try_from(index).ok());
                let number = index.and_then(|index| part.get(index)).map_or(0, |(number, _)| *number);
                self.reject(number, rejected.pointer("/error/message").and_then(Value::as_str).unwrap_or("rejected"));
            }
        }
        Ok(())
    }

    fn reject(&mut self, number: u64, why: &str) {
        self.rejected += 1;
        if self.rejected <= NAMED_MAX {
            say::note(format_args!("{}:{number}: {why}", self.name));
        }
    }
}

/// The labels that stand in a line.
fn requests(line: &[u8], defaults: Defaults<'_>) -> Result<Vec<Value>, String> {
    let line: Value = serde_json::from_slice(line).map_err(|_| "the line is not valid JSON".to_owned())?;
    let id = ["interaction_id", "id"].iter().find_map(|name| line.get(*name)).filter(|id| id.is_string());
    let Some(id) = id else { return Err("id: is missing, or not a string".to_owned()) };
    match line.get("labels") {
        Some(Value::Array(labels)) => labels.iter().map(|label| request(id, label, defaults)).collect(),
        _ => Ok(vec![request(id, &line, defaults)?]),
    }
}

fn request(id: &Value, label: &Value, defaults: Defaults<'_>) -> Result<Value, String> {
    let score = ["score", "label"].iter().find_map(|name| label.get(*name));
    let Some(score) = score else { return Err("score: is missing".to_owned()) };
    let metric = label.get("metric").and_then(Value::as_str).or(defaults.metric);
    let Some(metric) = metric else { return Err("metric: is missing: name it in the line, or by --metric".to_owned()) };
    let mut request = json!({ "interaction_id": id, "metric": metric, "score": score, "source": "file" });
    let by = ["by", "reviewer"].iter().find_map(|name| label.get(*name)).and_then(Value::as_str).or(defaults.reviewer);
    for (name, value) in [("reviewer", by), ("note", label.get("note").and_then(Value::as_str))] {
        if let Some(value) = value {
            request[name] = json!(value);
        }
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_in_both_forms() {
        let defaults = Defaults { metric: Some("refusal"), reviewer: None };
        let read = |line: &str| requests(line.as_bytes(), defaults);
        let label = json!({"interaction_id": "a", "metric": "refusal", "score": "yes", "source": "file"});
        assert_eq!(read(r#"{"id": "a", "label": "yes"}"#).unwrap(), [label]);
        let both =
            read(r#"{"id": "a", "input": "q", "labels": [{"metric": "m", "score": 1, "by": "ann", "note": "x"}, {"score": 0}]}"#);
        let first = json!({"interaction_id": "a", "metric": "m", "score": 1, "source": "file", "reviewer": "ann", "note": "x"});
        let second = json!({"interaction_id": "a", "metric": "refusal", "score": 0, "source": "file"});
        assert_eq!(both.unwrap(), [first, second]);
        for bad in ["", "7", "{}", r#"{"id": 7, "score": 1}"#, r#"{"id": "a"}"#] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(requests(br#"{"id": "a", "score": 1}"#, Defaults { metric: None, reviewer: None }).is_err());
    }
}
