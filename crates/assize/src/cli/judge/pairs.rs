//! What the verdicts of two judges on the same interactions say of them: agreement, difference, and which agrees better with gold labels.

use assize_estimate::EstimateError;
use assize_estimate::binomial::binomial_cdf;
use assize_estimate::bridge::{self, Pair, Refusal};
use serde::Serialize;

use super::clusters::Clusters;
use super::figures::{Counts, Limited, Source, confusion, confusion_lines, counts};
use crate::cli::eval::summary::{percent, thousands};

/// The comparison over interactions of one source.
#[derive(Debug, Serialize)]
pub struct Group {
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
pub struct AgainstGold {
    a_agreement: Limited,
    b_agreement: Limited,
    both_right: u64,
    only_a_right: u64,
    only_b_right: u64,
    both_wrong: u64,
    /// Agreement of B less that of A; null with fewer than 30 pairs.
    difference: Option<Limited>,
    /// McNemar's exact test of whether both agree as often, two-sided; null where interactions do not weigh the same, or may err
    /// together.
    p_value: Option<f64>,
}

/// An interaction with a verdict of both.
#[derive(Debug, Clone, Copy)]
pub struct Both<'g> {
    pub a: f64,
    pub b: f64,
    pub gold: Option<f64>,
    pub probability: Option<f64>,
    pub cluster: Option<&'g str>,
}

/// The comparison of pairs of one source, with limits that know of clusters; `None` without any.
pub fn group(source: Source, both: &[Both<'_>], threshold: f64, level: f64) -> Result<Option<Group>, EstimateError> {
    let Some(mut whole) = alone(source, both, threshold, level)? else { return Ok(None) };
    let Some(clusters) = Clusters::of(both.iter().map(|one| one.cluster)) else { return Ok(Some(whole)) };
    let limited = |keep: &dyn Fn(usize) -> bool| {
        let kept: Vec<Both<'_>> = both.iter().enumerate().filter(|(at, _)| keep(*at)).map(|(_, one)| *one).collect();
        let Some(found) = alone(source, &kept, threshold, level)? else { return Ok([None; 6]) };
        let gold = found.against_gold.as_ref();
        let (a, b) = (gold.map(|gold| gold.a_agreement), gold.map(|gold| gold.b_agreement));
        Ok([Some(found.agreement), found.kappa, found.mean_difference, a, b, gold.and_then(|gold| gold.difference)])
    };
    let [agreement, kappa, mean_difference, a, b, difference] =
        clusters.widened([0.0, -1.0, -1.0, 0.0, 0.0, -1.0], level, limited)?;
    whole.agreement = agreement.unwrap_or(whole.agreement);
    (whole.kappa, whole.mean_difference) = (kappa, mean_difference);
    if let Some(gold) = &mut whole.against_gold {
        gold.a_agreement = a.unwrap_or(gold.a_agreement);
        gold.b_agreement = b.unwrap_or(gold.b_agreement);
        (gold.difference, gold.p_value) = (difference, None);
    }
    Ok(Some(whole))
}

/// The comparison with each pair taken to be on its own.
fn alone(source: Source, both: &[Both<'_>], threshold: f64, level: f64) -> Result<Option<Group>, EstimateError> {
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

fn pair(one: &Both<'_>, old: f64, new: f64) -> Pair {
    Pair { old, new, probability: one.probability.unwrap_or(1.0) }
}

/// The mean difference with its limits; `None` with too few pairs.
fn difference(pairs: &[Pair], level: f64) -> Result<Option<Limited>, EstimateError> {
    match bridge::bridge(pairs, level) {
        Ok(found) => {
            let bridge::Difference { value, low, high, std_error, .. } = found.shift;
            Ok(Some(Limited { value, low, high, std_error }))
        }
        Err(Refusal::Invalid(error)) => Err(error),
        Err(Refusal::NoBridge | Refusal::FewPairs { .. } | Refusal::Levels) => Ok(None),
    }
}

fn against_gold(both: &[Both<'_>], threshold: f64, level: f64) -> Result<Option<AgainstGold>, EstimateError> {
    let labelled: Vec<(&Both<'_>, bool)> = both.iter().filter_map(|one| Some((one, one.gold? >= 0.5))).collect();
    let says = |score: f64| score >= threshold;
    let agreement = |of: fn(&Both<'_>) -> f64| -> Result<Option<Limited>, EstimateError> {
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

impl Group {
    /// The comparison for people.
    pub fn lines(&self, level: f64) -> Vec<String> {
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

    fn both_of(counts: [(bool, bool, bool, u64); 8], probability: Option<f64>) -> Vec<Both<'static>> {
        let score = |yes: bool| if yes { 0.9 } else { 0.1 };
        let of = |(gold, a, b, n)| {
            std::iter::repeat_n(
                Both { a: score(a), b: score(b), gold: Some(f64::from(u8::from(gold))), probability, cluster: None },
                n as usize,
            )
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
    fn clusters_widen_and_take_the_exact_test_away() {
        let names: Vec<String> = (0..25).map(|n| format!("c{n}")).collect();
        let apart = both_of(COUNTS, None);
        // Four in a row share a cluster, and nearly all that they say.
        let together: Vec<Both<'_>> =
            apart.iter().enumerate().map(|(at, one)| Both { cluster: Some(names[at / 4].as_str()), ..*one }).collect();
        let of = |both: &[Both<'_>]| group(Source::HandPicked, both, 0.5, 0.95).unwrap().unwrap();
        let (apart, together) = (of(&apart), of(&together));
        let width = |limited: Limited| limited.high - limited.low;
        assert_eq!(apart.agreement.value, together.agreement.value);
        assert!(width(together.agreement) > 1.2 * width(apart.agreement), "{together:?}");
        let (apart, together) = (apart.against_gold.unwrap(), together.against_gold.unwrap());
        assert!(width(together.difference.unwrap()) > 1.2 * width(apart.difference.unwrap()), "{together:?}");
        assert_eq!((together.p_value, together.verdict(0.95)), (None, "which agrees better cannot be told from these"));
    }

    #[test]
    fn the_exact_test() {
        assert_eq!((mcnemar(0, 0), mcnemar(5, 5)), (1.0, 1.0));
        assert!((mcnemar(0, 5) - 0.0625).abs() < 1e-12 && (mcnemar(5, 0) - 0.0625).abs() < 1e-12);
    }
}
