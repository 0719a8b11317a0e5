//! `assize judge check`: what a judge says against what gold labels say.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use super::clusters::Clusters;
use super::figures::{Group, Placed, Point, groups};
use super::gold::{self, Gold, Wanted};
use super::picture;
use super::run::{Effort, Run, RunArgs};
use crate::cli::eval::summary::thousands;
use crate::cli::{Ending, say};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assize judge check --gold gold.jsonl --judge gpt-4o --config assize.toml
  assize judge check --gold gold.jsonl --judge gpt-4o --slice model --slice region --picture gpt-4o.svg
  assize judge check --gold gold.jsonl --judge builtin:refusal --metric refusal     # free rules can be checked too

Every line of the gold file is one interaction with a label:
  {\"id\": …, \"input\": …, \"output\": …, \"label\": 1, \"probability\": 0.05, \"cluster\": \"prompt-7\", …}
`label` (or `gold`): 0 or 1, true or false, yes or no, or a number from 0 to 1, such as the share of raters who said yes.
`probability`: with which the interaction was drawn for its label. Lines without it count as hand-picked. Figures of the two are given
apart and never mixed. Interactions whose judge fails are counted and stand in no figure.

Exit code: 0 done, 2 an error (no labels, or nothing could be judged), 130 interrupted.")]
pub struct Check {
    /// Interactions with gold labels, one JSON object a line; `-` for stdin
    #[arg(long, value_name = "FILE")]
    gold: PathBuf,
    /// The judge, as a cascade names it: one of the configuration, or builtin:METRIC
    #[arg(long, value_name = "NAME")]
    judge: String,
    /// Give the figures by this key of the lines, such as model or a tag, too (repeatable)
    #[arg(long = "slice", value_name = "KEY")]
    slices: Vec<String>,
    /// Write what the judge said of every interaction to this file as JSON lines
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Draw reliability and confusion into this file (SVG)
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    #[command(flatten)]
    run: RunArgs,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    metric: String,
    threshold: f64,
    level: f64,
    /// Interactions with a label.
    labelled: u64,
    /// Lines that were passed over.
    bad_lines: usize,
    /// Clusters that they fall into, where any has several; intervals know of them.
    clusters: Option<u64>,
    #[serde(flatten)]
    effort: Effort,
    /// Figures by how the labels came to be.
    groups: Vec<Group>,
}

impl Check {
    pub fn run(self) -> Result<Ending, String> {
        let settings = self.run.settings()?;
        let asked = self.run.asked(&settings, &self.judge, None)?;
        let gold = gold::read(&Wanted {
            path: &self.gold,
            labels: true,
            label_key: self.run.label_key.as_deref(),
            slices: &self.slices,
            limit: self.run.limit,
            skip_bad_lines: self.run.skip_bad_lines,
        })?;
        let metric = asked.metric.to_string();
        let Some(runs) = self.run.judge(&settings, &[asked], &gold.items)? else { return Ok(Ending::Interrupted) };
        let Some(run) = runs.first() else { return Err("no judge was asked".to_owned()) };
        let level = settings.report.level;
        let points = points(&gold, run);
        let groups = groups(&points, &self.slices, self.run.threshold, level).map_err(|error| error.to_string())?;
        let report = Report {
            metric,
            threshold: self.run.threshold,
            level,
            labelled: gold.items.len() as u64,
            bad_lines: gold.bad_lines,
            clusters: clusters(&gold),
            effort: run.effort(),
            groups,
        };
        if let Some(path) = &self.out {
            gold::write_lines(path, &self.lines(&gold, run))?;
        }
        if let Some(path) = &self.picture {
            let title = format!("{} on {}", self.judge, report.metric);
            std::fs::write(path, picture::draw(&title, &report.groups))
                .map_err(|error| format!("--picture {}: cannot be written ({error})", path.display()))?;
        }
        if self.run.json {
            say::json(&report)?;
        } else {
            say::line(&report.text(&self.judge))?;
        }
        report.effort.in_vain().map_or(Ok(Ending::Done), Err)
    }

    fn lines(&self, gold: &Gold, run: &Run) -> Vec<Value> {
        let line = |(item, said): (&gold::Labelled, &Result<super::collect::Said, super::collect::Unjudged>)| match said {
            Ok(said) => {
                let agrees = item.label.map(|label| (label >= 0.5) == (said.score >= self.run.threshold));
                json!({ "id": item.id, "gold": item.label, "probability": item.probability, "score": said.score,
                    "confidence": said.confidence, "agrees": agrees, "reason": said.reason, "model": said.model })
            }
            Err(why) => json!({ "id": item.id, "gold": item.label, "probability": item.probability, "score": null,
                "failure": why.code, "message": why.message }),
        };
        gold.items.iter().zip(&run.said).map(line).collect()
    }
}

/// The items that have a verdict.
fn points<'g>(gold: &'g Gold, run: &Run) -> Vec<Placed<'g>> {
    let judged = gold.items.iter().zip(&run.said).filter_map(|(item, said)| {
        let (gold, score) = (item.label?, said.as_ref().ok()?.score);
        let point = Point { gold, score, probability: item.probability };
        Some(Placed { point, slices: item.slices.as_slice(), cluster: item.cluster.as_deref() })
    });
    judged.collect()
}

/// How many clusters there are, where any has several items; a line without one is its own.
pub fn clusters(gold: &Gold) -> Option<u64> {
    Clusters::of(gold.items.iter().map(|item| item.cluster.as_deref())).map(|clusters| clusters.count())
}

/// What clusters mean for the intervals.
pub fn cluster_note(clusters: Option<u64>, items: u64) -> Option<String> {
    let clusters = clusters?;
    Some(format!(
        "the {} items fall into {} clusters that may err together: the intervals are as wide as that makes them",
        thousands(items),
        thousands(clusters)
    ))
}

impl Report {
    fn text(&self, judge: &str) -> String {
        let mut lines = vec![format!(
            "{judge} on {}: {} gold labels, {} judged, yes from a score of {} on",
            self.metric,
            thousands(self.labelled),
            thousands(self.effort.judged),
            self.threshold
        )];
        for group in &self.groups {
            lines.extend(group.lines(self.level));
        }
        lines.extend(cluster_note(self.clusters, self.labelled));
        lines.extend(self.effort.lines());
        lines.join("\n")
    }
}
