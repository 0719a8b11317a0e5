//! `assize demo`: bundled conversations go through the real HTTP ingestion, are judged, and show on the dashboard.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use assize_core::{Clock, SystemClock, Timestamp};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Client;
use serde_json::{Value, json};

use super::serve::{StopSignal, announce};
use super::{Ending, remote, runtime, say};
use crate::api::auth::new_session;
use crate::config::{load, standin};
use crate::roles::{self, Roles, Running, Start};
use crate::secrets::random_hex;

const CONVERSATIONS: &str = include_str!("../../demo/conversations.jsonl");
const DEMO_TOML: &str = include_str!("../../../../config/demo.toml");
/// Over how many days the replay is spread: times further back would not be believed.
const DAYS: u64 = 6;
/// How often each conversation is replayed when judging costs nothing.
const ROUNDS_SIMULATED: usize = 4;
const BATCH: usize = 50;
/// All must be judged by then.
const JUDGED_WITHIN: Duration = Duration::from_secs(300);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assize demo              # replay, then keep the dashboard open
  assize demo --once       # replay, print a summary, exit

Without OPENAI_API_KEY the verdicts come from a built-in provider and are marked as simulated. With it (and OPENAI_BASE_URL, if set)
the real provider judges: about 350 calls, some $1 at the price of gpt-4o.")]
pub struct Demo {
    /// End with a summary and an exit code instead of serving on
    #[arg(long)]
    once: bool,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
    /// Keep the data in this directory; a temporary one where not given
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address of HTTP and gRPC
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:4318")]
    listen: String,
}

impl Demo {
    pub fn run(self) -> Result<Ending, String> {
        let mut settings = load::parse(DEMO_TOML).map_err(|error| error.to_string())?;
        standin::redirect(&mut settings);
        let simulated = standin::simulate_if_keyless(&mut settings);
        settings.server.listen.clone_from(&self.listen);
        if self.once {
            settings.server.grpc_listen.clear();
        }
        let data = Data::open(self.data.as_deref())?;
        runtime()?.block_on(async {
            let mut signal = StopSignal::catch()?;
            let key = format!("ak-{}", random_hex(24).map_err(|error| error.to_string())?);
            let start = Start { settings, data: data.path().to_owned(), roles: Roles::ALL, bootstrap_key: Some(key.clone()) };
            let running = roles::start(start).await?;
            announce(&running);
            if simulated {
                say::note("OPENAI_API_KEY is not set: verdicts are SIMULATED, and marked so wherever they show");
            }
            let client = Demonstration::new(&running, &key)?;
            tokio::select! {
                replayed = client.replay(if simulated { ROUNDS_SIMULATED } else { 1 }) => replayed?,
                () = signal.given() => return Ok(Ending::Interrupted),
            }
            let summary = client.summary(simulated).await?;
            if self.json {
                say::json(&summary)?;
            } else {
                say::line(&table(&summary))?;
            }
            if !self.once {
                let session =
                    new_session(&running.server.access, &client.key_id()?, SystemClock.now(), Duration::from_secs(3_600));
                say::note(format_args!(
                    "\ndashboard: http://{}/login?session={session}\nAPI key for this demonstration: {key}\nCtrl-C ends it",
                    running.address
                ));
                tokio::select! {
                    () = signal.given() => {}
                    error = client.trickle(), if simulated => return Err(error),
                }
            }
            running.stop().await;
            if summary["pending"] != 0 {
                return Err(format!("{} interactions were not judged within {} s", summary["pending"], JUDGED_WITHIN.as_secs()));
            }
            Ok(Ending::Done)
        })
    }
}

/// The directory of the data: the operator's, or a temporary one that goes with the command.
struct Data {
    path: PathBuf,
    temporary: bool,
}

impl Data {
    fn open(given: Option<&Path>) -> Result<Self, String> {
        if let Some(path) = given {
            return Ok(Self { path: path.to_owned(), temporary: false });
        }
        let name = format!("assize-demo-{}", random_hex(6).map_err(|error| error.to_string())?);
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).map_err(|error| format!("{}: cannot be made: {error}", path.display()))?;
        Ok(Self { path, temporary: true })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "the temporary data could not be removed");
        }
    }
}

/// A client of the server that was just started.
struct Demonstration<'a> {
    client: Client,
    running: &'a Running,
    key: &'a str,
}

impl<'a> Demonstration<'a> {
    fn new(running: &'a Running, key: &'a str) -> Result<Self, String> {
        Ok(Self { client: remote::client(&format!("http://{}", running.address))?, running, key })
    }

    fn key_id(&self) -> Result<String, String> {
        let holder = self.running.server.access.authenticate(self.key);
        holder.map(|holder| holder.key_id).ok_or_else(|| "the demonstration's own key is not known".to_owned())
    }

    async fn get(&self, path: &str) -> Result<Value, String> {
        let request = self.client.get(format!("http://{}{path}", self.running.address)).bearer_auth(self.key);
        let response = request.send().await.map_err(|error| error.to_string())?;
        response.json().await.map_err(|error| error.to_string())
    }

    async fn send(&self, batch: &[Value]) -> Result<(), String> {
        let request =
            self.client.post(format!("http://{}/v1/interactions", self.running.address)).bearer_auth(self.key).json(batch);
        let response = request.send().await.map_err(|error| error.to_string())?;
        let status = response.status();
        let answer: Value = response.json().await.map_err(|error| error.to_string())?;
        let rejected = answer["rejected"].as_array().map_or(0, Vec::len);
        if status != 202 || rejected > 0 {
            return Err(format!("the server did not take the conversations (HTTP {status}): {answer}"));
        }
        Ok(())
    }

    /// Sends every conversation `rounds` times, spread over the last days, and waits until all are judged.
    async fn replay(&self, rounds: usize) -> Result<(), String> {
        let conversations = conversations()?;
        let now = SystemClock.now();
        let total = conversations.len() * rounds;
        let bar = ProgressBar::new(total as u64);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} conversations {msg}") {
            bar.set_style(style);
        }
        let step = DAYS * 86_400_000 / total.max(1) as u64;
        let mut batch = Vec::with_capacity(BATCH);
        // Of every round one after another, so that each project shows over the whole time.
        let order = (0..total).map(|at| (at, at * 97 % total.max(1)));
        for (at, pick) in order {
            let (Some(conversation), round) = (conversations.get(pick % conversations.len()), pick / conversations.len()) else {
                continue;
            };
            let time = now.minus(Duration::from_millis(step * (total - at) as u64));
            batch.push(at_time(conversation, round, time));
            if batch.len() == BATCH || at + 1 == total {
                self.send(&batch).await?;
                bar.inc(batch.len() as u64);
                batch.clear();
            }
        }
        bar.set_message("judging");
        let deadline = Instant::now() + JUDGED_WITHIN;
        while self.pending().await? > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// One conversation every few seconds, so that the dashboard lives. Ends only with an error.
    async fn trickle(&self) -> String {
        let conversations = match conversations() {
            Ok(conversations) => conversations,
            Err(error) => return error,
        };
        for (turn, conversation) in conversations.iter().cycle().enumerate() {
            tokio::time::sleep(Duration::from_secs(3)).await;
            let round = ROUNDS_SIMULATED + turn / conversations.len();
            if let Err(error) = self.send(&[at_time(conversation, round, SystemClock.now())]).await {
                return error;
            }
        }
        "there is no conversation to replay".to_owned()
    }

    async fn pending(&self) -> Result<u64, String> {
        let mut pending = 0;
        for project in self.projects() {
            let outcomes = self.get(&format!("/v1/outcomes?project={project}")).await?;
            let accepted = outcomes["accepted"].as_u64().unwrap_or(0);
            let counts = outcomes["outcomes"].as_array().cloned().unwrap_or_default();
            let waiting: u64 =
                counts.iter().filter(|count| count["outcome"] == "pending").filter_map(|count| count["count"].as_u64()).sum();
            // What was acknowledged and is not folded in yet is on its way too.
            pending += if accepted == 0 { 1 } else { waiting };
        }
        Ok(pending)
    }

    fn projects(&self) -> Vec<String> {
        self.running.server.settings.project.iter().map(|project| project.name.to_string()).collect()
    }

    async fn summary(&self, simulated: bool) -> Result<Value, String> {
        let metrics: Vec<String> = self.running.server.settings.metric.iter().map(|metric| metric.name.to_string()).collect();
        let mut projects = serde_json::Map::new();
        let (mut accepted, mut calls, mut cost) = (0, 0, 0.0);
        for project in self.projects() {
            let mut rates = serde_json::Map::new();
            for metric in &metrics {
                let answer = self.get(&format!("/v1/estimates?project={project}&metric={metric}")).await?;
                rates.insert(metric.clone(), answer["groups"][0].clone());
            }
            accepted += self.get(&format!("/v1/outcomes?project={project}")).await?["accepted"].as_u64().unwrap_or(0);
            let spend = self.get(&format!("/v1/spend?project={project}")).await?;
            calls += spend["total"]["calls"].as_u64().unwrap_or(0);
            cost += spend["total"]["cost_usd"].as_f64().unwrap_or(0.0);
            projects.insert(project, Value::Object(rates));
        }
        let pending = self.pending().await?;
        Ok(
            json!({ "interactions": accepted, "projects": projects, "calls": calls, "cost_usd": cost, "simulated": simulated, "pending": pending }),
        )
    }
}

fn conversations() -> Result<Vec<Value>, String> {
    let lines = CONVERSATIONS.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| serde_json::from_str(line).map_err(|error| format!("a bundled conversation is not readable: {error}")))
        .collect()
}

fn at_time(conversation: &Value, round: usize, time: Timestamp) -> Value {
    let mut conversation = conversation.clone();
    conversation["time"] = time.to_rfc3339().into();
    if round > 0 {
        for key in ["id", "conversation_id"] {
            if let Some(id) = conversation[key].as_str().map(|id| format!("{id}.{round}")) {
                conversation[key] = id.into();
            }
        }
    }
    conversation
}

fn table(summary: &Value) -> String {
    let mut lines = Vec::new();
    for (project, metrics) in summary["projects"].as_object().into_iter().flatten() {
        lines.push(project.clone());
        for (metric, rate) in metrics.as_object().into_iter().flatten() {
            let percent = |key: &str| rate[key].as_f64().map(|share| share * 100.0);
            let figure = match (percent("estimate"), percent("low"), percent("high")) {
                (Some(estimate), Some(low), Some(high)) if low == high => format!("{estimate:5.1} %   exact{:27}", ""),
                (Some(estimate), Some(low), Some(high)) => format!("{estimate:5.1} %   95 % interval {low:4.1} to {high:4.1} %"),
                _ => "    –     nothing judged yet".to_owned(),
            };
            lines.push(format!("  {metric:<14} {figure}   {} judged of {}", rate["judged"], rate["population"]));
        }
    }
    let simulated = if summary["simulated"] == true { " (verdicts SIMULATED; cost as if gpt-4o had been called)" } else { "" };
    let cost = summary["cost_usd"].as_f64().unwrap_or(0.0);
    lines.push(format!("{} interactions, {} calls, ${cost:.2}{simulated}", summary["interactions"], summary["calls"]));
    lines.join("\n")
}
