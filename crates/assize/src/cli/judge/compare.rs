//! `assize judge compare`: two judges on the same interactions.

use std::path::PathBuf;

use assize_estimate::EstimateError;
use assize_estimate::binomial::binomial_cdf;
use assize_estimate::bridge::{self, Pair, Refusal};
use clap::{ArgGroup, Args};
use serde::Serialize;
use serde_json::{Value, json};

use super::asked::Asked;
use super::check::{cluster_note, clusters};
use super::figures::{Counts, Limited, Source, confusion, confusion_lines, counts};
use super::gold::{self, Gold, Wanted};
use super::run::{Effort, Run, RunArgs};
use crate::cli::eval::summary::{percent, thousands};
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

/// The comparison over interactions of one source.
#[derive(Debug, Serialize)]
struct Group {
    source: Source,
    /// Interactions with a verdict of both.
    pairs: u64,
    /// A against B.
    confusion: Counts,
    agreement: Limited,
    kappa: Option<Limited>,
    /// Mean score of B less that of A; null with fewer than 30 pairs.
    mean_difference: Option<Limited>,
    against_gold: Option<AgainstGold>,
}

/// Which agrees better with the labels.
#[derive(Debug, Serialize)]
struct AgainstGold {
    a_agreement: Limited,
    b_agreement: Limited,
    both_right: u64,
    only_a_right: u64,
    only_b_right: u64,
    both_wrong: u64,
    /// Agreement of B less that of A; null with fewer than 30 pairs.
    difference: Option<Limited>,
    /// McNemar's exact test of whether both agree as often, two-sided; null where interactions do not weigh the same.
    p_value: Option<f64>,
}

/// An interaction with a verdict of both.
#[derive(Debug, Clone, Copy)]
struct Both {
    a: f64,
    b: f64,
    gold: Option<f64>,
    probability: Option<f64>,
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

    fn groups(&self, both: &[Both], level: f64) -> Result<Vec<Group>, String> {
        let mut groups = Vec::new();
        for source in Source::ALL {
            let of_source: Vec<Both> = both.iter().filter(|one| Source::of(one.probability) == source).copied().collect();
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

fn both(gold: &Gold, a: &Run, b: &Run) -> Vec<Both> {
    let pairs = gold.items.iter().zip(&a.said).zip(&b.said).filter_map(|((item, a), b)| {
        let (a, b) = (a.as_ref().ok()?.score, b.as_ref().ok()?.score);
        Some(Both { a, b, gold: item.label, probability: item.probability })
    });
    pairs.collect()
}

/// The comparison of pairs of one source; `None` without any.
fn group(source: Source, both: &[Both], threshold: f64, level: f64) -> Result<Option<Group>, EstimateError> {
    let yes = |score: f64| score >= threshold;
    let between = confusion(&both.iter().map(|one| (yes(one.a), yes(one.b), one.probability)).collect::<Vec<_>>())?;
    let Some(quality) = between.quality(level)? else { return Ok(None) };
    let scores: Vec<Pair> = both.iter().map(|one| pair(one, one.a, one.b)).collect();
    Ok(Some(Group {
        source,
        pairs: both.len() as u64,
        confusion: counts(&between),
        agreement: quality.agreement.into(),
        kappa: quality.kappa.map(Limited::from),
        mean_difference: difference(&scores, level)?,
        against_gold: against_gold(both, threshold, level)?,
    }))
}

fn pair(one: &Both, old: f64, new: f64) -> Pair {
    Pair { old, new, probability: one.probability.unwrap_or(1.0) }
}

/// The mean difference with its limits; `None` with too few pairs.
fn difference(pairs: &[Pair], level: f64) -> Result<Option<Limited>, EstimateError> {
    match bridge::bridge(pairs, level) {
        Ok(found) => Ok(Some(Limited { value: found.shift.value, low: found.shift.low, high: found.shift.high })),
        Err(Refusal::Invalid(error)) => Err(error),
        Err(Refusal::NoBridge | Refusal::FewPairs { .. } | Refusal::Levels) => Ok(None),
    }
}

fn against_gold(both: &[Both], threshold: f64, level: f64) -> Result<Option<AgainstGold>, EstimateError> {
    let labelled: Vec<(&Both, bool)> = both.iter().filter_map(|one| Some((one, one.gold? >= 0.5))).collect();
    let says = |score: f64| score >= threshold;
    let agreement = |of: fn(&Both) -> f64| -> Result<Option<Limited>, EstimateError> {
        let pairs: Vec<_> = labelled.iter().map(|(one, gold)| (*gold, says(of(one)), one.probability)).collect();
        Ok(confusion(&pairs)?.quality(level)?.map(|quality| quality.agreement.into()))
    };
    let (Some(a_agreement), Some(b_agreement)) = (agreement(|one| one.a)?, agreement(|one| one.b)?) else { return Ok(None) };
    let right: Vec<(bool, bool)> = labelled.iter().map(|(one, gold)| (says(one.a) == *gold, says(one.b) == *gold)).collect();
    let count = |wanted: (bool, bool)| right.iter().filter(|found| **found == wanted).count() as u64;
    let (only_a, only_b) = (count((true, false)), count((false, true)));
    let share = |right: bool| f64::from(u8::from(right));
    let rights: Vec<Pair> = labelled.iter().zip(&right).map(|((one, _), (a, b))| pair(one, share(*a), share(*b))).collect();
    let first = both.first().and_then(|one| one.probability);
    let equal = labelled.iter().all(|(one, _)| one.probability == first);
    Ok(Some(AgainstGold {
        a_agreement,
        b_agreement,
        both_right: count((true, true)),
        only_a_right: only_a,
        only_b_right: only_b,
        both_wrong: count((false, false)),
        difference: difference(&rights, level)?,
        p_value: equal.then(|| mcnemar(only_a, only_b)),
    }))
}

/// The two-sided probability, were both right equally often, of what only one of them got right being parted as unevenly as it is
/// (McNemar 1947, in the exact form: binomial with 1/2). 1 where nothing tells them apart.
fn mcnemar(only_a: u64, only_b: u64) -> f64 {
    (2.0 * binomial_cdf(only_a.min(only_b), only_a.saturating_add(only_b), 0.5)).min(1.0)
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

impl Group {
    fn lines(&self, level: f64) -> Vec<String> {
        let few = || "   too few pairs to say: 30 are needed".to_owned();
        let mut lines = vec![
            format!("{} with a verdict of both, {}", thousands(self.pairs), self.source.speaks_of()),
            format!("  {:25}   value   {} interval", "", percent(level)),
            format!("  {:23} {}", "agree with each other", self.agreement.percent()),
            format!("  {:23} {}", "Cohen's kappa", self.kappa.map_or_else(|| "       –".to_owned(), |kappa| kappa.plain())),
            format!("  {:23} {}", "mean score, B less A", self.mean_difference.map_or_else(few, |difference| difference.plain())),
        ];
        lines.extend(confusion_lines(&self.confusion, "A", "B").into_iter().map(|line| format!("  {line}")));
        let Some(gold) = &self.against_gold else { return lines };
        lines.push(format!("  {:23} {}", "A agrees with gold", gold.a_agreement.percent()));
        lines.push(format!("  {:23} {}", "B agrees with gold", gold.b_agreement.percent()));
        lines.push(format!("  {:23} {}", "B less A", gold.difference.map_or_else(few, |difference| difference.percent())));
        lines.push(format!(
            "  both right {}, only A {}, only B {}, both wrong {}",
            thousands(gold.both_right),
            thousands(gold.only_a_right),
            thousands(gold.only_b_right),
            thousands(gold.both_wrong)
        ));
        lines.push(match gold.p_value {
            Some(p) => format!("  {} (McNemar's exact test: p = {p:.4})", gold.verdict(level)),
            None => format!("  {}", gold.verdict(level)),
        });
        lines
    }
}

impl AgainstGold {
    /// Which agrees better, as far as that can be said at `level`.
    fn verdict(&self, level: f64) -> &'static str {
        let surely = match (self.p_value, self.difference) {
            (Some(p), _) => p <= 1.0 - level,
            (None, Some(difference)) => difference.low > 0.0 || difference.high < 0.0,
            (None, None) => false,
        };
        match surely {
            false => "which agrees better cannot be told from these",
            true if self.b_agreement.value > self.a_agreement.value => "B agrees better",
            true => "A agrees better",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both_of(counts: [(bool, bool, bool, u64); 8], probability: Option<f64>) -> Vec<Both> {
        let score = |yes: bool| if yes { 0.9 } else { 0.1 };
        let of = |(gold, a, b, n)| {
            std::iter::repeat_n(Both { a: score(a), b: score(b), gold: Some(f64::from(u8::from(gold))), probability }, n as usize)
        };
        counts.into_iter().flat_map(of).collect()
    }

    const COUNTS: [(bool, bool, bool, u64); 8] = [
        (true, true, true, 40),
        (true, true, false, 2),
        (true, false, true, 7),
        (true, false, false, 1),
        (false, false, false, 42),
        (false, false, true, 1),
        (false, true, false, 5),
        (false, true, true, 2),
    ];

    #[test]
    fn what_only_one_gets_right_decides() {
        let found = group(Source::HandPicked, &both_of(COUNTS, None), 0.5, 0.95).unwrap().unwrap();
        assert_eq!((found.pairs, found.confusion), (100, [[43, 8], [7, 42]]));
        assert!((found.agreement.value - 0.85).abs() < 1e-12);
        let gold = found.against_gold.unwrap();
        assert_eq!((gold.both_right, gold.only_a_right, gold.only_b_right, gold.both_wrong), (82, 3, 12, 3));
        // 2 (1 + 15 + 105 + 455)/2^15.
        assert!((gold.p_value.unwrap() - 1152.0 / 32768.0).abs() < 1e-12);
        assert!((gold.difference.unwrap().value - 0.09).abs() < 1e-12);
        assert_eq!(gold.verdict(0.95), "B agrees better");
        assert_eq!(gold.verdict(0.99), "which agrees better cannot be told from these");
        // Both scores 0.8 apart on what they disagree on: (8 - 7) * .8 / 100.
        assert!((found.mean_difference.unwrap().value - 0.008).abs() < 1e-12);
    }

    #[test]
    fn unequal_weights_have_no_exact_test() {
        let mut both = both_of(COUNTS, Some(0.5));
        both.extend(both_of(COUNTS, Some(0.1)));
        let gold = group(Source::Drawn, &both, 0.5, 0.95).unwrap().unwrap().against_gold.unwrap();
        assert!(gold.p_value.is_none() && gold.difference.is_some());
        let few = group(Source::HandPicked, &both_of(COUNTS, None)[..20], 0.5, 0.95).unwrap().unwrap();
        assert!(few.mean_difference.is_none(), "too few pairs");
        assert!(group(Source::Drawn, &[], 0.5, 0.95).unwrap().is_none());
    }

    #[test]
    fn the_exact_test() {
        assert_eq!((mcnemar(0, 0), mcnemar(5, 5)), (1.0, 1.0));
        assert!((mcnemar(0, 5) - 0.0625).abs() < 1e-12 && (mcnemar(5, 0) - 0.0625).abs() < 1e-12);
    }
}
