//! `assize judge compare`: two judges on the same interactions.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use serde::Serialize;
use serde_json::{Value, json};

use super::asked::Asked;
use super::check::{cluster_note, clusters};
use super::figures::Source;
use super::gold::{self, Gold, Wanted};
use super::pairs::{Both, Group, group};
use super::run::{Effort, Run, RunArgs};
use crate::cli::eval::summary::thousands;
use crate::cli::{Ending, say};
use crate::config::settings::Settings;

#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("what").required(true).args(["gold", "interactions"]),
    after_help = "\
Examples:
  assize judge compare gpt-4o-mini gpt-4o --gold gold.jsonl                        # which agrees better with the labels?
  assize judge compare gpt-4o-mini gpt-4o --interactions answers.jsonl             # how far do they agree with each other?
  assize judge compare builtin:refusal gpt-4o --gold gold.jsonl --out apart.jsonl  # and on which do they not?

Both judges are asked the question of the same metric about every interaction; differences are B less A, over the interactions that have
a verdict of both. The lines of the gold file are as for `assize judge check`; those of --interactions need no label.

Exit code: 0 done, 2 an error (a judge that can judge nothing, no interaction with a verdict of both), 130 interrupted."
)]
pub struct Compare {
    /// One judge, as a cascade names it: one of the configuration, or builtin:METRIC
    #[arg(value_name = "A")]
    a: String,
    /// The other
    #[arg(value_name = "B")]
    b: String,
    /// Interactions with gold labels, one JSON object a line; `-` for stdin
    #[arg(long, value_name = "FILE")]
    gold: Option<PathBuf>,
    /// Interactions without labels, as `eval` reads them; `-` for stdin
    #[arg(long, value_name = "FILE")]
    interactions: Option<PathBuf>,
    /// Write the interactions on which they disagree to this file as JSON lines
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    run: RunArgs,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    metric: String,
    threshold: f64,
    level: f64,
    interactions: u64,
    bad_lines: usize,
    clusters: Option<u64>,
    a: Effort,
    b: Effort,
    /// By how the interactions came to be.
    groups: Vec<Group>,
}

impl Compare {
    pub fn run(self) -> Result<Ending, String> {
        if self.a == self.b {
            return Err(format!("both judges are {:?}: name two", self.a));
        }
        let settings = self.run.settings()?;
        let (judge_a, judge_b) = self.asked(&settings)?;
        let metric = judge_a.metric.to_string();
        let path = self.gold.as_ref().or(self.interactions.as_ref()).ok_or("give --gold FILE or --interactions FILE")?;
        let gold = gold::read(&Wanted {
            path,
            labels: self.gold.is_some(),
            label_key: self.run.label_key.as_deref(),
            slices: &[],
            limit: self.run.limit,
            skip_bad_lines: self.run.skip_bad_lines,
        })?;
        let Some(runs) = self.run.judge(&settings, &[judge_a, judge_b], &gold.items)? else { return Ok(Ending::Interrupted) };
        let [a, b] = runs.as_slice() else { return Err("no judge was asked".to_owned()) };
        let (effort_a, effort_b) = (a.effort(), b.effort());
        if let Some(why) = effort_a.in_vain().or_else(|| effort_b.in_vain()) {
            return Err(why);
        }
        let both = both(&gold, a, b);
        if both.is_empty() {
            return Err(format!(
                "no interaction has a verdict of both judges: {} judged {} and {} judged {}, none of them the same",
                self.a,
                thousands(effort_a.judged),
                self.b,
                thousands(effort_b.judged)
            ));
        }
        let level = settings.report.level;
        let groups = self.groups(&both, level)?;
        let report = Report {
            metric,
            threshold: self.run.threshold,
            level,
            interactions: gold.items.len() as u64,
            bad_lines: gold.bad_lines,
            clusters: clusters(&gold),
            a: effort_a,
            b: effort_b,
            groups,
        };
        if let Some(path) = &self.out {
            gold::write_lines(path, &self.disagreements(&gold, a, b))?;
        }
        if self.run.json {
            say::json(&report)?;
        } else {
            say::line(&report.text(&self.a, &self.b))?;
        }
        Ok(Ending::Done)
    }

    /// Both judges with the question of one metric. Where one of them leaves open which, the other says it.
    fn asked(&self, settings: &Settings) -> Result<(Asked, Asked), String> {
        let alone = |judge| self.run.asked(settings, judge, None);
        let with = |judge, other: &Asked| self.run.asked(settings, judge, Some(other.metric.as_str()));
        match (alone(&self.a), alone(&self.b)) {
            (Ok(a), Ok(b)) if a.metric == b.metric => Ok((a, b)),
            (Ok(a), Ok(b)) => Err(format!(
                "{} is asked {} and {} is asked {}: say with --metric which question both are to answer",
                self.a, a.metric, self.b, b.metric
            )),
            (Ok(a), Err(_)) => with(&self.b, &a).map(|b| (a, b)),
            (Err(_), Ok(b)) => with(&self.a, &b).map(|a| (a, b)),
            (Err(error), Err(_)) => Err(error),
        }
    }

    fn groups(&self, both: &[Both<'_>], level: f64) -> Result<Vec<Group>, String> {
        let mut groups = Vec::new();
        for source in Source::ALL {
            let of_source: Vec<Both<'_>> = both.iter().filter(|one| Source::of(one.probability) == source).copied().collect();
            let group = group(source, &of_source, self.run.threshold, level).map_err(|error| error.to_string())?;
            groups.extend(group);
        }
        Ok(groups)
    }

    fn disagreements(&self, gold: &Gold, a: &Run, b: &Run) -> Vec<Value> {
        let yes = |score: f64| score >= self.run.threshold;
        let mut lines = Vec::new();
        for ((item, a), b) in gold.items.iter().zip(&a.said).zip(&b.said) {
            if let (Ok(a), Ok(b)) = (a, b)
                && yes(a.score) != yes(b.score)
            {
                lines.push(json!({ "id": item.id, "gold": item.label, "probability": item.probability,
                    "a": { "judge": self.a, "score": a.score, "reason": a.reason },
                    "b": { "judge": self.b, "score": b.score, "reason": b.reason } }));
            }
        }
        lines
    }
}

fn both<'g>(gold: &'g Gold, a: &Run, b: &Run) -> Vec<Both<'g>> {
    let pairs = gold.items.iter().zip(&a.said).zip(&b.said).filter_map(|((item, a), b)| {
        let (a, b) = (a.as_ref().ok()?.score, b.as_ref().ok()?.score);
        Some(Both { a, b, gold: item.label, probability: item.probability, cluster: item.cluster.as_deref() })
    });
    pairs.collect()
}

impl Report {
    fn text(&self, a: &str, b: &str) -> String {
        let mut lines = vec![format!("{a} (A) and {b} (B) on {}: {} interactions", self.metric, thousands(self.interactions))];
        for group in &self.groups {
            lines.extend(group.lines(self.level));
        }
        lines.extend(cluster_note(self.clusters, self.interactions));
        lines.extend(self.a.lines());
        lines.extend(self.b.lines());
        lines.join("\n")
    }
}
