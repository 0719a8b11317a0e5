//! `assize review draw|next|label|status`.

use std::io::BufRead;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::remote::{Remote, segment};
use super::{Ending, light_runtime, say};
use crate::ui::visible::plain;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assize review draw --metric refusal --number 200 --stratify
  assize review next --metric refusal                 # shows one after the other and asks: y, n, s (skip), q (quit)
  assize review status
  assize review label order-1042 --metric refusal --score yes    # picked by hand: corrects no rate

Only what a draw took corrects rates: chance decided it, and whoever labels it did not see what the judge said. The key needs the
scopes ingest and read.")]
pub struct Review {
    #[command(subcommand)]
    command: ReviewCommand,
}

#[derive(Debug, Subcommand)]
enum ReviewCommand {
    /// Draw interactions for people to label, from what the judge has judged
    Draw {
        #[command(flatten)]
        remote: Remote,
        /// The metric
        #[arg(long, value_name = "NAME")]
        metric: String,
        /// How many, 1 to 5,000; a higher number takes the same ones and others
        #[arg(short, long = "number", value_name = "N", default_value_t = 200)]
        n: u64,
        /// Interactions at or after this time, RFC 3339; 7 days before --to where not given
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Interactions before this time; now where not given
        #[arg(long, value_name = "TIME")]
        to: Option<String>,
        /// As many of each range of the judge's score, so that rare answers are seen
        #[arg(long)]
        stratify: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the next interaction and ask for its label; one after the other until there is none
    Next {
        #[command(flatten)]
        remote: Remote,
        /// The metric
        #[arg(long, value_name = "NAME")]
        metric: String,
        /// Your name; the key's id where not given
        #[arg(long, value_name = "NAME")]
        reviewer: Option<String>,
        /// Print the next one as JSON and ask nothing; `assize review label ID --review REVIEW` answers it
        #[arg(long)]
        json: bool,
    },
    /// Label one interaction
    #[command(group(clap::ArgGroup::new("answer").required(true)))]
    Label {
        /// The interaction's id
        id: String,
        #[command(flatten)]
        remote: Remote,
        /// The metric
        #[arg(long, value_name = "NAME")]
        metric: String,
        /// yes, no, or a number from 0 to 1
        #[arg(long, value_name = "SCORE", group = "answer")]
        score: Option<String>,
        /// Why it cannot be said
        #[arg(long, value_name = "REASON", group = "answer", requires = "review")]
        skip: Option<String>,
        /// The `review_id` that `assize review next --json` gave; without it the label counts as picked by hand
        #[arg(long, value_name = "ID")]
        review: Option<String>,
        /// Your name; the key's id where not given
        #[arg(long, value_name = "NAME")]
        reviewer: Option<String>,
        /// A remark
        #[arg(long, default_value = "")]
        note: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say how far the reviews have come
    Status {
        #[command(flatten)]
        remote: Remote,
        /// Of this metric only
        #[arg(long, value_name = "NAME")]
        metric: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Review {
    pub fn run(self) -> Result<Ending, String> {
        let runtime = light_runtime()?;
        match self.command {
            ReviewCommand::Draw { remote, metric, n, from, to, stratify, json } => {
                let mut body = json!({ "metric": metric, "n": n, "stratify": stratify });
                for (name, value) in [("from", from), ("to", to)] {
                    if let Some(value) = value {
                        body[name] = json!(value);
                    }
                }
                let answer = runtime.block_on(remote.ask(Method::POST, "/v1/reviews", Some(body)))?;
                if json {
                    say::json(&answer)?;
                } else {
                    say::line(&format!(
                        "drew {} of {} judged interactions, {} of them new to the queue",
                        answer["drawn"], answer["population"], answer["new"]
                    ))?;
                }
            }
            ReviewCommand::Next { remote, metric, reviewer, json } => {
                let ask = async || remote.ask(Method::GET, &next_path(&metric, reviewer.as_deref()), None).await;
                if json {
                    say::json(&runtime.block_on(ask())?)?;
                    return Ok(Ending::Done);
                }
                loop {
                    let answer = runtime.block_on(ask())?;
                    let item = &answer["item"];
                    if item.is_null() {
                        say::note(format_args!("nothing is left: {}", progress(&answer["progress"])));
                        break;
                    }
                    say::line(&shown(item))?;
                    say::note(format_args!("{}. yes, no, skip or quit? [y/n/s REASON/q]", progress(&answer["progress"])));
                    let Some(said) = answered()? else { break };
                    let mut body =
                        json!({ "interaction_id": item["interaction_id"], "metric": metric, "review_id": item["review_id"] });
                    match said {
                        Said::Score(score) => body["score"] = json!(score),
                        Said::Skip(reason) => body["skip"] = json!(reason),
                    }
                    if let Some(reviewer) = &reviewer {
                        body["reviewer"] = json!(reviewer);
                    }
                    runtime.block_on(remote.ask(Method::POST, "/v1/labels", Some(body)))?;
                }
            }
            ReviewCommand::Label { id, remote, metric, score, skip, review, reviewer, note, json } => {
                let mut body = json!({ "interaction_id": id, "metric": metric, "note": note });
                if let Some(score) = score {
                    body["score"] = score.parse::<f64>().map_or_else(|_| json!(score), |number| json!(number));
                }
                for (name, value) in [("skip", skip), ("review_id", review), ("reviewer", reviewer)] {
                    if let Some(value) = value {
                        body[name] = json!(value);
                    }
                }
                let answer = runtime.block_on(remote.ask(Method::POST, "/v1/labels", Some(body)))?;
                if json {
                    say::json(&answer)?;
                } else if answer.is_null() {
                    say::note(format_args!("skipped {id}"));
                } else {
                    say::note(format_args!("labelled {id}: {}", answer["score"]));
                }
            }
            ReviewCommand::Status { remote, metric, json } => {
                let path = metric.map_or("/v1/reviews".to_owned(), |metric| format!("/v1/reviews?metric={}", segment(&metric)));
                let answer = runtime.block_on(remote.ask(Method::GET, &path, None))?;
                if json {
                    say::json(&answer)?;
                } else {
                    let all = answer["progress"].as_array().map_or(&[][..], Vec::as_slice);
                    if all.is_empty() {
                        say::note("nothing was drawn yet: `assize review draw` does");
                    }
                    for one in all {
                        say::line(&format!("{}\t{}", one["metric"].as_str().unwrap_or_default(), progress(one)))?;
                    }
                }
            }
        }
        Ok(Ending::Done)
    }
}

fn next_path(metric: &str, reviewer: Option<&str>) -> String {
    let reviewer = reviewer.map_or(String::new(), |name| format!("&reviewer={}", segment(name)));
    format!("/v1/reviews/next?metric={}{reviewer}", segment(metric))
}

fn progress(progress: &Value) -> String {
    let count = |name: &str| progress[name].as_u64().unwrap_or_default();
    let skipped = if count("skipped") > 0 { format!(", {} skipped", count("skipped")) } else { String::new() };
    format!("{} of {} labelled{skipped}", count("labelled"), count("drawn"))
}

enum Said {
    Score(&'static str),
    Skip(String),
}

/// What is said on stdin; `None` to quit, also at its end.
fn answered() -> Result<Option<Said>, String> {
    let mut input = std::io::stdin().lock();
    loop {
        let mut line = String::new();
        if input.read_line(&mut line).map_err(|error| format!("stdin cannot be read: {error}"))? == 0 {
            return Ok(None);
        }
        let (word, rest) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), ""));
        match word.to_ascii_lowercase().as_str() {
            "y" | "yes" => return Ok(Some(Said::Score("yes"))),
            "n" | "no" => return Ok(Some(Said::Score("no"))),
            "s" | "skip" => return Ok(Some(Said::Skip(rest.trim().to_owned()))),
            "q" | "quit" => return Ok(None),
            _ => say::note("y for yes, n for no, s and perhaps a reason to skip, q to quit"),
        }
    }
}

/// The item as text. Characters that could steer a terminal are shown by their code points.
fn shown(item: &Value) -> String {
    let text = &item["interaction"];
    let rule = "─".repeat(72);
    let mut parts = vec![rule.clone()];
    let mut part = |who: &str, said: &str| parts.push(format!("[{}]\n{}\n", plain(who), plain(said)));
    if let Some(system) = text["system"].as_str() {
        part("system", system);
    }
    for message in [&text["input"], &text["output"]].into_iter().flat_map(|list| list.as_array().into_iter().flatten()) {
        let role = message["role"].as_str().unwrap_or_default();
        let who = message["tool"].as_str().map_or(role.to_owned(), |tool| format!("{role}: {tool}"));
        part(&who, message["content"].as_str().unwrap_or_default());
    }
    for document in text["context"].as_array().into_iter().flatten() {
        part("context", document.as_str().unwrap_or_default());
    }
    if let Some(reference) = text["reference"].as_str() {
        part("right answer", reference);
    }
    parts.push(rule);
    let metric = item["metric"].as_str().unwrap_or_default();
    parts.push(plain(item["question"].as_str().unwrap_or(metric)));
    parts.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_steer_the_terminal() {
        let item = json!({"metric": "m", "question": "Is it?", "interaction": {
            "input": [{"role": "user", "content": "a\u{1b}[2Jb\nc"}], "output": [{"role": "assistant", "tool": "x\u{7}", "content": "d"}]}});
        let shown = shown(&item);
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{7}'));
        assert!(shown.contains("a‹U+001B›[2Jb\nc") && shown.ends_with("Is it?"), "{shown}");
    }

    #[test]
    fn a_name_is_encoded() {
        assert_eq!(next_path("m", Some("a b&c")), "/v1/reviews/next?metric=m&reviewer=a%20b%26c");
    }
}
