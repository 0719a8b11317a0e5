//! `assize why ID`.

use clap::Args;
use reqwest::Method;
use serde_json::Value;

use super::remote::{Remote, segment};
use super::{Ending, runtime, say};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  assize why order-1042\n  assize why 4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7 --json"
)]
pub struct Why {
    /// The interaction's id; for a span TRACE-SPAN in hexadecimal digits
    id: String,
    #[command(flatten)]
    remote: Remote,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Why {
    pub fn run(self) -> Result<Ending, String> {
        let path = format!("/v1/interactions/{}", segment(&self.id));
        let answer = runtime()?.block_on(self.remote.ask(Method::GET, &path, None))?;
        if self.json {
            say::json(&answer)?;
        } else {
            say::line(&tell(&answer))?;
        }
        Ok(Ending::Done)
    }
}

fn tell(answer: &Value) -> String {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let mut lines = vec![format!("{} in project {}, {}", text(answer, "id"), text(answer, "project"), text(answer, "time"))];
    for metric in answer["metrics"].as_array().into_iter().flatten() {
        lines.push(format!("{}: {}", text(metric, "metric"), story(metric)));
        for free in metric["free_scores"].as_array().into_iter().flatten() {
            let found = Some(text(free, "reason"))
                .filter(|reason| !reason.is_empty())
                .map_or(String::new(), |reason| format!(", {reason}"));
            lines.push(format!("  {} says {}{found}", text(free, "judge"), free["score"]));
        }
        for verdict in metric["verdicts"].as_array().into_iter().flatten() {
            let simulated = if verdict["simulated"] == true { " (simulated)" } else { "" };
            lines.push(format!("  {}{simulated} says {}: {}", text(verdict, "judge"), verdict["score"], text(verdict, "reason")));
        }
        for draw in metric["draws"].as_array().into_iter().flatten() {
            let drawn = if draw["drawn"] == true { "drawn" } else { "left out" };
            let chance = draw["conditional"].as_f64().unwrap_or_default() * 100.0;
            lines.push(format!("  {drawn} for {}, at a chance of {chance} %", text(draw, "judge")));
        }
        for call in metric["calls"].as_array().into_iter().flatten().filter(|call| !call["error"].is_null()) {
            lines.push(format!("  a call to {} at {} failed: {}", text(call, "provider"), text(call, "at"), text(call, "error")));
        }
    }
    lines.join("\n")
}

fn story(metric: &Value) -> String {
    let probability = metric["probability"].as_f64().unwrap_or_default();
    let why = metric.pointer("/why/message").and_then(Value::as_str);
    match metric["outcome"].as_str().unwrap_or_default() {
        "judged" => format!("judged, score {} (it had a chance of {} %)", metric["score"], probability * 100.0),
        "not_sampled" if probability == 0.0 => "not judged: the policy judges nothing of its kind".to_owned(),
        "reused" => format!("judged, score {}: an earlier verdict on the same was used again", metric["score"]),
        "not_sampled" if let Some(why) = why => format!("not judged by the reference judge: {why}"),
        "not_sampled" => format!("not judged: the draw left it out; it had a chance of {} %", probability * 100.0),
        "pending" => "drawn, and waiting for its judge".to_owned(),
        outcome => format!("not judged ({}){}", outcome.replace('_', " "), why.map_or(String::new(), |why| format!(": {why}"))),
    }
}
