//! `assize metric list|put|dry-run|delete`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;

use super::remote::{Remote, segment};
use super::{Ending, runtime, say};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assize metric list --project shop
  assize metric dry-run rude rude.json --project shop    # what it would say and cost
  assize metric put rude rude.json --project shop        # in force at once
  assize metric delete rude --project shop

The file holds the keys of a [[metric]] as JSON or, where its name ends in .toml, as TOML:
  { \"question\": \"Is the assistant rude?\", \"cascade\": [\"gpt-4o\"] }
The key given by --key or ASSIZE_KEY needs the scope admin, except to list.")]
pub struct Metric {
    #[command(subcommand)]
    command: MetricCommand,
}

#[derive(Debug, Subcommand)]
enum MetricCommand {
    /// List the metrics of a project: the configuration's, and the project's own
    #[command(after_help = "Example: assize metric list --project shop")]
    List {
        #[command(flatten)]
        remote: Remote,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Put a metric of the project's own in force, in place of the configuration's of this name
    #[command(after_help = "Example: assize metric put rude rude.json --project shop --if-version 2")]
    Put {
        #[command(flatten)]
        named: Named,
        /// The version that is to be changed; 0 where there is to be none
        #[arg(long, value_name = "N")]
        if_version: Option<u64>,
    },
    /// Try a metric out on 20 stored interactions: what it says, what it costs, what it would cost
    #[command(after_help = "Example: assize metric dry-run rude rude.json --project shop")]
    DryRun {
        #[command(flatten)]
        named: Named,
    },
    /// Take a project's own metric away: the configuration's counts again
    #[command(after_help = "Example: assize metric delete rude --project shop")]
    Delete {
        /// The metric
        name: String,
        #[command(flatten)]
        remote: Remote,
        /// The version that is to be removed
        #[arg(long, value_name = "N")]
        if_version: Option<u64>,
    },
}

#[derive(Debug, Args)]
struct Named {
    /// The metric
    name: String,
    /// The file that describes it; - for standard input (JSON)
    file: PathBuf,
    #[command(flatten)]
    remote: Remote,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Metric {
    pub fn run(self) -> Result<Ending, String> {
        let runtime = runtime()?;
        match self.command {
            MetricCommand::List { remote, json } => {
                let answer = runtime.block_on(remote.ask(Method::GET, &metrics(&remote), None))?;
                if json {
                    say::json(&answer)?;
                } else {
                    for metric in answer["metrics"].as_array().into_iter().flatten() {
                        say::line(&row(metric))?;
                    }
                }
            }
            MetricCommand::Put { named, if_version } => {
                let (path, body) = (address(&named.remote, &named.name), read(&named.file)?);
                let answer = runtime.block_on(named.remote.ask_if(Method::PUT, &path, Some(body), if_version))?;
                if named.json {
                    say::json(&answer)?;
                } else {
                    say::line(&row(&answer))?;
                }
                for warning in answer["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                    say::note(format_args!("warning: {warning}"));
                }
            }
            MetricCommand::DryRun { named } => {
                let (path, body) = (format!("{}/dry-run", address(&named.remote, &named.name)), read(&named.file)?);
                let answer = runtime.block_on(named.remote.ask(Method::POST, &path, Some(body)))?;
                if named.json {
                    say::json(&answer)?;
                } else {
                    say::line(&tell(&answer))?;
                }
            }
            MetricCommand::Delete { name, remote, if_version } => {
                runtime.block_on(remote.ask_if(Method::DELETE, &address(&remote, &name), None, if_version))?;
                say::note(format_args!("the project has no metric {name} of its own any more"));
            }
        }
        Ok(Ending::Done)
    }
}

fn metrics(remote: &Remote) -> String {
    format!("/v1/projects/{}/metrics", segment(remote.project.as_deref().unwrap_or("default")))
}

fn address(remote: &Remote, name: &str) -> String {
    format!("{}/{}", metrics(remote), segment(name))
}

fn read(file: &Path) -> Result<Value, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let text = if file.as_os_str() == "-" { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(file) };
    let text = text.map_err(|error| wrong(&error))?;
    if file.extension().is_some_and(|extension| extension == "toml") {
        return toml::from_str(&text).map_err(|error| wrong(&error));
    }
    serde_json::from_str(&text).map_err(|error| wrong(&error))
}

fn row(metric: &Value) -> String {
    let text = |name: &str| metric[name].as_str().unwrap_or_default();
    let state =
        if metric["in_force"] == true { text("question").to_owned() } else { format!("NOT IN FORCE: {}", text("problem")) };
    format!("{}\t{} {}\t{}\t{state}", text("metric"), text("source"), metric["version"], text("judge"))
}

fn tell(run: &Value) -> String {
    let mut lines = Vec::new();
    for item in run["items"].as_array().into_iter().flatten() {
        lines.push(item["id"].as_str().unwrap_or_default().to_owned());
        if let Some(why) = item["no_content"].as_str() {
            lines.push(format!("  not asked: {why}"));
        }
        for said in item["judges"].as_array().into_iter().flatten() {
            let score = said["score"].as_f64().map_or_else(|| "-".to_owned(), |score| format!("{score:.2}"));
            let words = said["error"].as_str().or(said["reason"].as_str()).unwrap_or_default();
            lines.push(format!("  {score}  {}  {}", said["judge"].as_str().unwrap_or_default(), words.replace('\n', " ")));
        }
    }
    let usd = |key: &str| run[key].as_f64().map_or_else(|| "not known".to_owned(), |usd| format!("${usd:.6}"));
    let traffic = &run["traffic"];
    lines.push(format!("{} calls, {}", run["calls"], usd("cost_usd")));
    lines.push(format!("estimated: {} per 1,000 interactions", usd("estimated_usd_per_1000")));
    lines.push(format!(
        "           {} per month, at {} interactions in {} day(s)",
        usd("estimated_usd_per_month"),
        traffic["interactions"],
        traffic["days"]
    ));
    lines.join("\n")
}
