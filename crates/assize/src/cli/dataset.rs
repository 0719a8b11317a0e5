//! `assize dataset export`: stored interactions and what people said of them, as lines that `assize eval` reads.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use assize_core::{Message, Role};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::remote::{Remote, segment};
use super::{Ending, light_runtime, say};

/// Labels that one export looks at.
const LABELS_MAX: usize = 500_000;
const PAGE: usize = 200;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assize dataset export --metric refusal --gold --out gold.jsonl       # all that people labelled
  assize dataset export --metric refusal --label no --out false.jsonl  # what they said no to
  assize dataset export --outcome judge_failed --limit 100 | assize eval - --config assize.toml")]
pub struct Dataset {
    #[command(subcommand)]
    command: DatasetCommand,
}

#[derive(Debug, Subcommand)]
enum DatasetCommand {
    /// Write stored interactions and their labels as JSON lines
    Export(Export),
}

#[derive(Debug, Args)]
struct Export {
    #[command(flatten)]
    remote: Remote,
    /// Of this metric only
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,
    /// With this outcome only, such as judged or judge_failed
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<String>,
    /// That people answered so only
    #[arg(long, value_parser = ["yes", "no"], requires = "metric")]
    label: Option<String>,
    /// Interactions at or after this time, RFC 3339
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Interactions before this time
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    limit: usize,
    /// Only interactions that somebody labelled
    #[arg(long)]
    gold: bool,
    /// Where to write; - is stdout
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
}

impl Dataset {
    pub fn run(self) -> Result<Ending, String> {
        let DatasetCommand::Export(export) = self.command;
        let mut out = Out::open(&export.out)?;
        let (written, textless) = light_runtime()?.block_on(export.write(&mut out))?;
        out.finish()?;
        let left_out = if textless > 0 { format!("; {textless} whose text is not kept were left out") } else { String::new() };
        say::note(format_args!("{written} interactions{left_out}"));
        Ok(Ending::Done)
    }
}

/// Labels of one interaction.
type Labels = Vec<Value>;

impl Export {
    /// Writes the lines; how many, and how many had no text.
    async fn write(&self, out: &mut Out) -> Result<(usize, usize), String> {
        let labels = self.labels().await?;
        let (mut written, mut textless) = (0, 0);
        let mut take = |interaction: &Value, labels: &[Value]| -> Result<bool, String> {
            match line(interaction, labels) {
                Some(line) => {
                    out.line(&line)?;
                    written += 1;
                }
                None => textless += 1,
            }
            Ok(written < self.limit)
        };
        if self.gold || self.label.is_some() {
            for (id, labels) in labels.iter().filter(|(_, labels)| self.says(labels)) {
                let path = format!("/v1/interactions/{}", segment(id));
                let interaction = self.remote.ask(Method::GET, &path, None).await?;
                if self.has_outcome(&interaction) && !take(&interaction, labels)? {
                    break;
                }
            }
            return Ok((written, textless));
        }
        let mut query = vec![("limit", PAGE.to_string())];
        query.extend(self.metric.clone().map(|metric| ("metric", metric)));
        query.extend(self.outcome.clone().map(|outcome| ("outcome", outcome)));
        query.extend(self.range());
        let mut pages = Pages::new("/v1/interactions", query);
        'pages: while let Some(page) = pages.next(&self.remote, "interactions").await? {
            for interaction in &page {
                let labels = interaction["id"].as_str().and_then(|id| labels.get(id)).map_or(&[][..], Vec::as_slice);
                if !take(interaction, labels)? {
                    break 'pages;
                }
            }
        }
        Ok((written, textless))
    }

    fn range(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.from.clone().map(|from| ("from", from)).into_iter().chain(self.to.clone().map(|to| ("to", to)))
    }

    /// All labels of the metric and range, by interaction.
    async fn labels(&self) -> Result<BTreeMap<String, Labels>, String> {
        let mut query = vec![("limit", "1000".to_owned())];
        query.extend(self.metric.clone().map(|metric| ("metric", metric)));
        query.extend(self.range());
        let mut pages = Pages::new("/v1/labels", query);
        let (mut labels, mut count): (BTreeMap<String, Labels>, usize) = (BTreeMap::new(), 0);
        while let Some(page) = pages.next(&self.remote, "labels").await? {
            count += page.len();
            if count > LABELS_MAX {
                return Err(format!("there are more than {LABELS_MAX} labels: narrow the range by --from and --to"));
            }
            for label in page {
                labels.entry(label["interaction_id"].as_str().unwrap_or_default().to_owned()).or_default().push(label);
            }
        }
        Ok(labels)
    }

    /// Whether people answered as wanted: the mean of their scores counts.
    fn says(&self, labels: &[Value]) -> bool {
        let Some(wanted) = &self.label else { return true };
        let scores: Vec<f64> = labels.iter().filter_map(|label| label["score"].as_f64()).collect();
        let mean = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
        (wanted == "yes") == (mean >= 0.5)
    }

    fn has_outcome(&self, interaction: &Value) -> bool {
        let Some(wanted) = &self.outcome else { return true };
        let mut metrics = interaction["metrics"].as_array().into_iter().flatten();
        metrics.any(|metric| {
            metric["outcome"] == wanted.as_str() && self.metric.as_ref().is_none_or(|name| metric["metric"] == name.as_str())
        })
    }
}

/// The pages of a listing.
struct Pages {
    path: String,
    cursor: Option<String>,
    ended: bool,
}

impl Pages {
    fn new(path: &str, query: Vec<(&'static str, String)>) -> Self {
        let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", segment(value))).collect();
        Self { path: format!("{path}?{}", query.join("&")), cursor: None, ended: false }
    }

    async fn next(&mut self, remote: &Remote, what: &str) -> Result<Option<Vec<Value>>, String> {
        if self.ended {
            return Ok(None);
        }
        let cursor = self.cursor.as_ref().map_or(String::new(), |cursor| format!("&cursor={}", segment(cursor)));
        let mut answer = remote.ask(Method::GET, &format!("{}{cursor}", self.path), None).await?;
        self.cursor = answer["next"].as_str().map(ToOwned::to_owned);
        self.ended = self.cursor.is_none();
        match answer[what].take() {
            Value::Array(items) => Ok(Some(items)),
            _ => Err(format!("the server's answer has no {what}: is it an Assize of this version?")),
        }
    }
}

/// The line of an interaction as `GET /v1/interactions` shows it; `None` where its text is not kept.
fn line(interaction: &Value, labels: &[Value]) -> Option<Value> {
    let payload = interaction.get("payload").filter(|payload| payload.is_object())?;
    let mut line = Map::new();
    for name in
        ["id", "time", "conversation_id", "model", "prompt_version", "environment", "system", "context", "reference", "tags"]
    {
        let value = if name == "time" { interaction.get(name) } else { payload.get(name) };
        if let Some(value) = value.filter(|value| !value.is_null()) {
            line.insert(name.to_owned(), value.clone());
        }
    }
    for name in ["input", "output"] {
        let messages: Vec<Message> = serde_json::from_value(payload.get(name).cloned().unwrap_or_default()).ok()?;
        line.insert(name.to_owned(), messages.iter().map(sent).collect());
    }
    let label = |label: &Value| {
        let kept = ["metric", "score", "note", "by", "source", "probability"];
        let given =
            kept.iter().filter_map(|name| Some(((*name).to_owned(), label.get(*name).filter(|value| **value != "")?.clone())));
        Value::Object(given.collect())
    };
    if !labels.is_empty() {
        line.insert("labels".to_owned(), labels.iter().map(label).collect());
    }
    Some(Value::Object(line))
}

/// A message as senders write it.
fn sent(message: &Message) -> Value {
    let role = message.role.as_str();
    match (&message.tool, message.role) {
        (Some(tool), Role::Tool) => json!({ "role": role, "name": tool, "content": message.content }),
        (Some(tool), _) => {
            let call = json!({ "type": "function", "function": { "name": tool, "arguments": message.content } });
            json!({ "role": role, "tool_calls": [call] })
        }
        (None, _) => json!({ "role": role, "content": message.content }),
    }
}

/// Where lines go: stdout, or a file that is there when it is whole.
enum Out {
    Stdout,
    File { file: std::io::BufWriter<std::fs::File>, unfinished: PathBuf, path: PathBuf },
}

impl Out {
    fn open(path: &Path) -> Result<Self, String> {
        if path.as_os_str() == "-" {
            return Ok(Self::Stdout);
        }
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".unfinished");
        let unfinished = PathBuf::from(unfinished);
        let file = std::fs::File::create(&unfinished)
            .map_err(|error| format!("{}: cannot be written: {error}", unfinished.display()))?;
        Ok(Self::File { file: std::io::BufWriter::new(file), unfinished, path: path.to_owned() })
    }

    fn line(&mut self, line: &Value) -> Result<(), String> {
        match self {
            Self::Stdout => say::line(&line.to_string()),
            Self::File { file, path, .. } => {
                writeln!(file, "{line}").map_err(|error| format!("{}: cannot be written: {error}", path.display()))
            }
        }
    }

    fn finish(self) -> Result<(), String> {
        let Self::File { mut file, unfinished, path } = self else { return Ok(()) };
        let done = file.flush().and_then(|()| file.get_ref().sync_all()).and_then(|()| std::fs::rename(&unfinished, &path));
        done.map_err(|error| format!("{}: cannot be written: {error}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::json::decode_line;

    #[test]
    fn eval_reads_what_was_stored() {
        let message =
            |role, tool: Option<&str>, content: &str| Message { role, tool: tool.map(Into::into), content: content.into() };
        let input = vec![
            message(Role::User, None, "What is the weather in \"Ulm\"?"),
            message(Role::Assistant, Some("weather"), "{\"city\":\"Ulm\"}"),
            message(Role::Tool, Some("weather"), "rain"),
        ];
        let output = vec![message(Role::Assistant, None, "It rains.")];
        let interaction = json!({"id": "a", "time": "2026-11-24T08:00:00.000Z", "payload": {
            "id": "a", "project": "p", "time": 1, "model": "m", "system": "Be brief.", "input": input, "output": output,
            "context": ["Ulm is wet."], "reference": "rain", "tags": {"k": "v"}, "flags": {}}});
        let labels =
            [json!({"interaction_id": "a", "metric": "refusal", "score": 0.0, "note": "", "by": "ann", "source": "review",
            "probability": 0.5, "judge_score": 1.0})];
        let line = line(&interaction, &labels).unwrap();
        let label = json!({"metric": "refusal", "score": 0.0, "by": "ann", "source": "review", "probability": 0.5});
        assert_eq!(line["labels"], json!([label]));
        let draft = decode_line(&line.to_string()).unwrap();
        assert_eq!((draft.input, draft.output), (input, output));
        assert_eq!((draft.system.as_deref(), draft.reference.as_deref()), (Some("Be brief."), Some("rain")));
        assert_eq!(
            (draft.context, draft.tags["k"].as_str(), draft.model.as_deref()),
            (vec!["Ulm is wet.".to_owned()], "v", Some("m"))
        );
        assert_eq!(super::line(&json!({"id": "a"}), &[]), None);
    }
}
