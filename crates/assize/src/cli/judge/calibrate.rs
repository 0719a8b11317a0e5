//! `assize judge calibrate`: the confidence from which on a judge may be trusted, by the guarantee of *Trust or Escalate*.

use std::collections::HashMap;
use std::path::PathBuf;

use assize_estimate::binomial::clopper_pearson;
use assize_estimate::trust::{self, Audit, Clustered, Item, Study, Trusted};
use clap::Args;
use serde::Serialize;

use super::collect::Said;
use super::figures::{Limited, Source};
use super::gold::{self, Gold, Wanted};
use super::run::{Effort, Run, RunArgs};
use crate::cli::eval::summary::{percent, thousands};
use crate::cli::{Ending, say};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assize judge calibrate --gold gold.jsonl --judge gpt-4o-mini --alpha 0.05 --delta 0.1
  assize judge calibrate --gold gold.jsonl --judge gpt-4o-mini --split 0.5      # calibrate on half, look at the other half
  assize judge calibrate --gold gold.jsonl --judge gpt-4o-mini --study 1000     # does the guarantee hold on these items?

Items at or above the threshold that is found disagree with the gold label in at most a share ALPHA, except with probability DELTA over
the items that were calibrated on (Jung, Brahman, Choi 2024). That holds for interactions like those of the gold file, and for trusted
ones only: a rate over trusted verdicts is biased; rates come from the draw.
Confidence is what the judge says of it, or how far its score lies from --threshold. Of lines with the same `cluster` one is calibrated
on, since they err together. Lines drawn with different `probability` are thinned to the least.

Exit code: 0 a threshold was found, 1 nothing can be trusted, 2 an error, 130 interrupted.")]
pub struct Calibrate {
    /// Interactions with gold labels, one JSON object a line as for `assize judge check`; `-` for stdin
    #[arg(long, value_name = "FILE")]
    gold: PathBuf,
    /// The judge, as a cascade names it: one of the configuration, or builtin:METRIC
    #[arg(long, value_name = "NAME")]
    judge: String,
    /// The share of trusted items that may disagree with the gold label
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, value_parser = inside)]
    alpha: f64,
    /// The probability with which that may fail
    #[arg(long, value_name = "PROBABILITY", default_value_t = 0.1, value_parser = inside)]
    delta: f64,
    /// Calibrate on this share of the clusters and look at what the threshold does on the others; all calibrate where not given
    #[arg(long, value_name = "SHARE", value_parser = inside)]
    split: Option<f64>,
    /// Repeat calibration on so many random halves, and count how often the guarantee fails
    #[arg(long, value_name = "SPLITS", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    study: Option<u32>,
    /// Decides all splits and draws
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The lowest probability with which lines can have been drawn; the lowest of the file where not given
    #[arg(long, value_name = "PROBABILITY", value_parser = super::run::share)]
    least: Option<f64>,
    #[command(flatten)]
    run: RunArgs,
}

/// A number between 0 and 1.
fn inside(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| *number > 0.0 && *number < 1.0);
    number.ok_or_else(|| "use a number above 0 and below 1".to_owned())
}

/// What confidence is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum ConfidenceFrom {
    /// The judge says it.
    Judge,
    /// How far the score lies from where yes begins.
    Distance,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    metric: String,
    threshold: f64,
    alpha: f64,
    delta: f64,
    source: Source,
    confidence_from: ConfidenceFrom,
    /// Judged items with a label.
    items: u64,
    /// Clusters that they fall into: all of them on their own where none is named.
    clusters: u64,
    /// Items that calibrate: one of each cluster that does.
    calibration_items: u64,
    /// With fewer, no threshold can pass.
    needed_items: Option<u64>,
    /// Agreement of all items, without any threshold.
    agreement_untrusted: f64,
    /// The threshold, and what speaks for it; null where nothing can be trusted.
    trusted: Option<Trusted>,
    held_out: Option<HeldOut>,
    study: Option<Studied>,
    #[serde(flatten)]
    effort: Effort,
}

/// What the threshold does on items that did not calibrate it.
#[derive(Debug, Serialize)]
struct HeldOut {
    items: u64,
    trusted: u64,
    disagreements: u64,
    /// With the exact interval of 95 % (Clopper, Pearson); null where none is trusted.
    agreement: Option<Limited>,
}

/// What many random splits found.
#[derive(Debug, Serialize)]
struct Studied {
    splits: u32,
    /// Splits in which a threshold was found.
    trusting: u32,
    /// Share of the splits whose threshold errs on more than alpha of all items that it trusts: at most delta is guaranteed.
    violations: f64,
    /// The same on the other half alone, which adds the chance of that half.
    held_out_violations: f64,
    /// Share of the items of the other half that are trusted.
    calls_saved: f64,
    agreement: Option<f64>,
}

impl From<Study> for Studied {
    fn from(study: Study) -> Self {
        Self {
            splits: study.splits,
            trusting: study.trusting,
            violations: study.violation_rate(),
            held_out_violations: f64::from(study.held_out_violations) / f64::from(study.splits),
            calls_saved: study.calls_saved,
            agreement: study.agreement,
        }
    }
}

impl Calibrate {
    pub fn run(self) -> Result<Ending, String> {
        let settings = self.run.settings()?;
        let asked = self.run.asked(&settings, &self.judge, None)?;
        let gold = gold::read(&Wanted {
            path: &self.gold,
            labels: true,
            label_key: self.run.label_key.as_deref(),
            slices: &[],
            limit: self.run.limit,
            skip_bad_lines: self.run.skip_bad_lines,
        })?;
        // Before anything is paid.
        let source = source(&gold)?;
        self.check_least(&gold)?;
        let metric = asked.metric.to_string();
        let Some(runs) = self.run.judge(&settings, &[asked], &gold.items)? else { return Ok(Ending::Interrupted) };
        let Some(run) = runs.first() else { return Err("no judge was asked".to_owned()) };
        let effort = run.effort();
        if let Some(why) = effort.in_vain() {
            return Err(why);
        }
        let (confidence_from, items) = self.items(&gold, run);
        let report = self.report(metric, source, confidence_from, &items, effort)?;
        if self.run.json {
            say::json(&report)?;
        } else {
            say::line(&report.text(&self.judge))?;
        }
        Ok(if report.trusted.is_some() { Ending::Done } else { Ending::Failed })
    }

    fn check_least(&self, gold: &Gold) -> Result<(), String> {
        let lowest = gold.items.iter().filter_map(|item| item.probability).fold(f64::INFINITY, f64::min);
        match self.least {
            Some(0.0) => Err("--least 0: nothing can have been drawn with it; use a number above 0".to_owned()),
            Some(least) if least > lowest => {
                Err(format!("--least {least} is above the lowest `probability` of the file, {lowest}"))
            }
            _ => Ok(()),
        }
    }

    /// The judged items with their cluster's number and their draws.
    fn items(&self, gold: &Gold, run: &Run) -> (ConfidenceFrom, Vec<Drawn>) {
        let said = || run.said.iter().filter_map(|said| said.as_ref().ok());
        let by_judge = said().all(|said| said.confidence.is_some_and(f64::is_finite));
        let from = if by_judge { ConfidenceFrom::Judge } else { ConfidenceFrom::Distance };
        let confidence = |said: &Said| {
            let distance = (said.score - self.run.threshold).abs();
            if by_judge { said.confidence.unwrap_or(distance) } else { distance }
        };
        let mut numbers: HashMap<&str, u64> = HashMap::new();
        let mut next = 0;
        let mut items = Vec::new();
        for (item, said) in gold.items.iter().zip(&run.said) {
            let (Some(label), Ok(said)) = (item.label, said) else { continue };
            let mut fresh = || {
                next += 1;
                next - 1
            };
            let cluster = match item.cluster.as_deref() {
                Some(name) => *numbers.entry(name).or_insert_with(fresh),
                None => fresh(),
            };
            let agrees = (label >= 0.5) == (said.score >= self.run.threshold);
            items.push(Drawn {
                item: Clustered { item: Item { confidence: confidence(said), agrees }, cluster },
                probability: item.probability,
                uniform: self.uniform("draw", item.id.as_str()),
            });
        }
        (from, items)
    }

    fn report(
        &self,
        metric: String,
        source: Source,
        confidence_from: ConfidenceFrom,
        drawn: &[Drawn],
        effort: Effort,
    ) -> Result<Report, String> {
        let failed = |error: assize_estimate::EstimateError| error.to_string();
        let items = self.thinned(drawn).map_err(failed)?;
        let mut by_cluster: HashMap<u64, Vec<&Drawn>> = HashMap::new();
        for one in &items {
            by_cluster.entry(one.item.cluster).or_default().push(one);
        }
        let calibrates = |cluster: u64| self.split.is_none_or(|share| self.uniform("split", &cluster.to_string()) < share);
        // Of each cluster the one with the lowest number, which is as good as any.
        let first = |of: &Vec<&Drawn>| of.iter().min_by(|a, b| a.uniform.total_cmp(&b.uniform)).map(|one| one.item.item);
        let mut clusters: Vec<(&u64, &Vec<&Drawn>)> = by_cluster.iter().collect();
        clusters.sort_by_key(|(cluster, _)| **cluster);
        let calibration: Vec<Item> =
            clusters.iter().filter(|(cluster, _)| calibrates(**cluster)).filter_map(|(_, of)| first(of)).collect();
        let candidates = trust::default_thresholds(&calibration, self.alpha, self.delta);
        let trusted = trust::calibrate(&calibration, &candidates, self.alpha, self.delta).map_err(failed)?;
        let held_out = self.split.map(|_| {
            let others = items.iter().filter(|one| !calibrates(one.item.cluster)).map(|one| one.item.item);
            HeldOut::of(others, trusted.as_ref())
        });
        let study = match self.study {
            None => None,
            Some(splits) => {
                let all: Vec<Clustered> = items.iter().map(|one| one.item).collect();
                Some(
                    trust::split_study(&all, self.alpha, self.delta, splits, self.seed)
                        .map_err(|error| format!("--study: {error}"))?,
                )
            }
        };
        let agreeing = items.iter().filter(|one| one.item.item.agrees).count();
        Ok(Report {
            metric,
            threshold: self.run.threshold,
            alpha: self.alpha,
            delta: self.delta,
            source,
            confidence_from,
            items: items.len() as u64,
            clusters: clusters.len() as u64,
            calibration_items: calibration.len() as u64,
            needed_items: trust::items_min(self.alpha, self.delta),
            agreement_untrusted: agreeing as f64 / items.len().max(1) as f64,
            trusted,
            held_out,
            study: study.map(Studied::from),
            effort,
        })
    }

    /// Drawn items as if all had been drawn with the least probability; others as they are.
    fn thinned(&self, drawn: &[Drawn]) -> Result<Vec<Drawn>, assize_estimate::EstimateError> {
        let lowest = drawn.iter().filter_map(|one| one.probability).fold(f64::INFINITY, f64::min);
        if lowest == f64::INFINITY {
            return Ok(drawn.to_vec());
        }
        let least = self.least.unwrap_or(lowest);
        let mut kept = Vec::new();
        for one in drawn {
            let probability = one.probability.unwrap_or(1.0);
            let audit = Audit { item: one.item.item, probability, uniform: one.uniform };
            if !trust::thin(&[audit], least)?.is_empty() {
                // What decided that it is kept says nothing of which of a cluster is taken.
                kept.push(Drawn { uniform: one.uniform * probability / least, ..*one });
            }
        }
        Ok(kept)
    }

    /// Uniform in [0, 1), decided by the seed.
    fn uniform(&self, purpose: &str, of: &str) -> f64 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.seed.to_le_bytes()).update(purpose.as_bytes()).update(&[0]).update(of.as_bytes());
        let mut eight = [0; 8];
        hasher.finalize_xof().fill(&mut eight);
        // 53 bits make an exact fraction.
        (u64::from_le_bytes(eight) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A judged item, how it was drawn, and a number drawn for it.
#[derive(Debug, Clone, Copy)]
struct Drawn {
    item: Clustered,
    probability: Option<f64>,
    uniform: f64,
}

/// How all labels came to be.
fn source(gold: &Gold) -> Result<Source, String> {
    let drawn = gold.items.iter().filter(|item| item.probability.is_some()).count();
    match gold.items.len() - drawn {
        0 => Ok(Source::Drawn),
        all if all == gold.items.len() => Ok(Source::HandPicked),
        others => Err(format!(
            "{drawn} lines have a `probability` and {others} have none: a threshold holds for items like those it was found on, so give \
             items that were all drawn, or all hand-picked"
        )),
    }
}

impl HeldOut {
    fn of(items: impl Iterator<Item = Item>, trusted: Option<&Trusted>) -> Self {
        let (mut count, mut admitted, mut disagreements) = (0, 0, 0);
        for item in items {
            count += 1;
            if trusted.is_some_and(|trusted| item.confidence >= trusted.threshold) {
                admitted += 1;
                disagreements += u64::from(!item.agrees);
            }
        }
        let agreement = (admitted > 0).then(|| {
            let interval = clopper_pearson(admitted - disagreements, admitted, 0.95);
            Limited {
                value: (admitted - disagreements) as f64 / admitted as f64,
                low: interval.low,
                high: interval.high,
                std_error: f64::NAN,
            }
        });
        Self { items: count, trusted: admitted, disagreements, agreement }
    }
}

impl Report {
    fn text(&self, judge: &str) -> String {
        let confidence = match self.confidence_from {
            ConfidenceFrom::Judge => "the confidence that it gives".to_owned(),
            ConfidenceFrom::Distance => format!("the distance of its score from {}", self.threshold),
        };
        let mut lines = vec![format!("{judge} on {}: {} items, {}", self.metric, thousands(self.items), self.source.speaks_of())];
        lines.push(format!(
            "confidence is {confidence}; on all items it agrees with {:.1} % of the gold labels",
            self.agreement_untrusted * 100.0
        ));
        let calibrated = thousands(self.calibration_items);
        match &self.trusted {
            Some(found) => {
                lines.push(format!(
                    "trust it from a confidence of {:.4} on: {:.1} % of {calibrated} items, with {} disagreements among {}",
                    found.threshold,
                    found.share * 100.0,
                    thousands(found.disagreements),
                    thousands(found.admitted)
                ));
                lines.push(format!(
                    "there it agrees with at least {} of the gold labels (bound {:.1} %), except with probability {}",
                    percent(1.0 - self.alpha),
                    (1.0 - found.bound) * 100.0,
                    percent(self.delta)
                ));
            }
            None => lines.push(self.nothing(&calibrated)),
        }
        if let Some(held_out) = &self.held_out {
            let agreement = held_out.agreement.map_or_else(
                || "none is trusted".to_owned(),
                |agreement| {
                    format!(
                        "{} trusted, agreement {:.1} %, 95 % interval {:.1} to {:.1} %",
                        thousands(held_out.trusted),
                        agreement.value * 100.0,
                        agreement.low * 100.0,
                        agreement.high * 100.0
                    )
                },
            );
            lines.push(format!("of {} items held out: {agreement}", thousands(held_out.items)));
        }
        if let Some(study) = &self.study {
            lines.push(format!(
                "{} random halves: a threshold in {}, more than {} errors in {:.1} % of them (guaranteed: at most {}), {:.1} % of the calls saved{}",
                thousands(u64::from(study.splits)),
                thousands(u64::from(study.trusting)),
                percent(self.alpha),
                study.violations * 100.0,
                percent(self.delta),
                study.calls_saved * 100.0,
                study.agreement.map_or_else(String::new, |agreement| format!(", agreement of those trusted {:.1} %", agreement * 100.0))
            ));
        }
        lines.extend(self.effort.lines());
        lines.join("\n")
    }

    fn nothing(&self, calibrated: &str) -> String {
        let needed = self.needed_items.unwrap_or(u64::MAX);
        let why = if self.calibration_items < needed {
            format!("even without a single disagreement {} items are needed, and {calibrated} calibrate", thousands(needed))
        } else {
            format!("of {calibrated} items even the surest disagree with the gold labels too often, or are too few to tell")
        };
        format!(
            "nothing can be trusted at alpha {} and delta {}: {why}; escalate everything, or allow more errors",
            self.alpha, self.delta
        )
    }
}
