//! How likely an interaction is to be judged. Every lever that saves money meets in [`inclusion`], and only changes a probability
//! that is recorded with the item; the estimators undo it.

use serde::{Deserialize, Serialize};

use crate::{Allocation, Features, Metric, TierKind};

/// A test on what is known before anything is paid. All parts that are given must hold; an empty condition always holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Input and output together have at least this many characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chars_min: Option<u32>,
    /// The user has spoken at least this often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turns_min: Option<u32>,
    /// Context came with it, or did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_context: Option<bool>,
    /// Tools were used, or were not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_tools: Option<bool>,
    /// The last free score lies within these bounds, both included: the free judges doubt. Never holds without a free score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_score: Option<[f64; 2]>,
}

impl Condition {
    /// Whether the condition holds for these features and the last free score.
    pub fn holds(&self, features: &Features, free_score: Option<f64>) -> bool {
        self.chars_min.is_none_or(|min| features.chars >= min)
            && self.turns_min.is_none_or(|min| features.turns >= min)
            && self.has_context.is_none_or(|wanted| features.has_context == wanted)
            && self.has_tools.is_none_or(|wanted| features.has_tools == wanted)
            && self.free_score.is_none_or(|[low, high]| free_score.is_some_and(|score| (low..=high).contains(&score)))
    }

    /// The condition in words, such as `at least 3 turns, with context`.
    pub fn describe(&self) -> String {
        let mut parts = Vec::new();
        if let Some(min) = self.chars_min {
            parts.push(format!("at least {min} characters"));
        }
        if let Some(min) = self.turns_min {
            parts.push(format!("at least {min} turns"));
        }
        if let Some(wanted) = self.has_context {
            parts.push(if wanted { "with context" } else { "without context" }.to_owned());
        }
        if let Some(wanted) = self.has_tools {
            parts.push(if wanted { "with tools" } else { "without tools" }.to_owned());
        }
        if let Some([low, high]) = self.free_score {
            parts.push(format!("free score from {low} to {high}"));
        }
        if parts.is_empty() { "all".to_owned() } else { parts.join(", ") }
    }
}

/// A share of its own for interactions that deserve a closer look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmartRule {
    /// Which interactions.
    pub when: Condition,
    /// Their probability, in [0, 1].
    pub rate: f64,
}

/// How much of the traffic is judged.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplingPolicy {
    /// The probability of an interaction that no smart rule raises, in [0, 1].
    pub rate: f64,
    /// Smart sampling: of the rules that hold, the highest rate counts, and it never lowers `rate`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub smart: Vec<SmartRule>,
    /// Judge nothing else: interactions outside have probability 0, and estimates speak of those inside only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Condition>,
    /// Share of all interactions whose text is kept, drawn or not, for judging later.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reserve: f64,
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

impl SamplingPolicy {
    /// A uniform rate.
    pub fn uniform(rate: f64) -> Self {
        Self { rate, ..Self::default() }
    }

    /// What is wrong with the policy, naming the key; `Ok` if every probability lies in [0, 1] and every bound is in order.
    pub fn check(&self) -> Result<(), String> {
        let probability = |key: &str, value: f64| {
            if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(format!("{key} = {value} is not a probability: use 0 to 1")) }
        };
        probability("rate", self.rate)?;
        probability("reserve", self.reserve)?;
        for rule in &self.smart {
            probability("smart.rate", rule.rate)?;
        }
        let conditions = self.smart.iter().map(|rule| &rule.when).chain(&self.only);
        for [low, high] in conditions.filter_map(|condition| condition.free_score) {
            if !(0.0..=1.0).contains(&low) || !(0.0..=1.0).contains(&high) || low > high {
                return Err(format!("free_score = [{low}, {high}] is not a range within 0 to 1"));
            }
        }
        Ok(())
    }
}

/// What holds a tenant back at this moment, whatever its projects' policies say. The default holds nothing back.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Restraint {
    /// The operator's rate, in place of rate and smart rules; in [0, 1].
    pub rate: Option<f64>,
    /// By how much pacing scales all probabilities down so that the budget lasts; in [0, 1].
    pub pace: f64,
}

impl Default for Restraint {
    fn default() -> Self {
        Self { rate: None, pace: 1.0 }
    }
}

/// The probability, in [0, 1], that `tier` of `metric` sees an interaction that has reached it; the draw is compared with the product
/// over the tiers so far.
///
/// `scores` holds what the tiers so far said, in cascade order; `allocation` is what was learned about doubt given the last of them.
/// Inline tiers see everything. For the first called tier, in order of precedence: outside `only` 0; else the operator's rate, or else
/// the highest of the smart rules that hold and the rate; scaled by the pace. For later ones, their share. Escalation then moves calls
/// to where doubt is, down to the audit floor.
pub fn inclusion(
    policy: &SamplingPolicy,
    restraint: &Restraint,
    features: &Features,
    scores: &[f64],
    metric: &Metric,
    tier: usize,
    allocation: Option<&Allocation>,
) -> f64 {
    let Some(this) = metric.cascade.get(tier).filter(|tier| tier.kind == TierKind::Called) else { return 1.0 };
    let is_first = metric.called().next().is_some_and(|(first, _)| first == tier);
    let probability = if is_first { drawn(policy, restraint, features, scores, metric) } else { this.share.clamp(0.0, 1.0) };
    match (allocation.filter(|_| metric.escalate), scores.last()) {
        (Some(allocation), Some(score)) => allocation.apply(probability, *score),
        _ => probability,
    }
}

/// What sampling gives the first called tier.
fn drawn(policy: &SamplingPolicy, restraint: &Restraint, features: &Features, scores: &[f64], metric: &Metric) -> f64 {
    let policy = metric.sampling.as_ref().unwrap_or(policy);
    let free_score = scores.last().copied();
    if policy.only.as_ref().is_some_and(|only| !only.holds(features, free_score)) {
        return 0.0;
    }
    let smart = policy.smart.iter().filter(|rule| rule.when.holds(features, free_score)).map(|rule| rule.rate);
    let rate = restraint.rate.unwrap_or_else(|| smart.fold(policy.rate, f64::max));
    // A pace that is no number would otherwise end in a probability that is none.
    let pace = if restraint.pace.is_nan() { 1.0 } else { restraint.pace.clamp(0.0, 1.0) };
    rate.clamp(0.0, 1.0) * pace
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::allocation::{BINS, Cell};
    use crate::{JudgeName, JudgeVersion, MetricName, Needs, Tier, Unit};

    fn metric(sampling: Option<SamplingPolicy>) -> Metric {
        let tier = |name: &str, kind| Tier {
            judge: JudgeName::new(name).unwrap(),
            version: JudgeVersion::of(&[name.as_bytes()]),
            kind,
            share: 1.0,
        };
        Metric {
            name: MetricName::new("m").unwrap(),
            unit: Unit::Interaction,
            needs: Needs::default(),
            cascade: vec![tier("words", TierKind::Inline), tier("gpt", TierKind::Called)],
            sampling,
            escalate: false,
            fallback: None,
            reuse: None,
            max_delay_hours: 0,
        }
    }

    fn long(rate: f64) -> SmartRule {
        SmartRule { when: Condition { turns_min: Some(3), ..Condition::default() }, rate }
    }

    #[test]
    fn inline_tiers_see_everything() {
        assert_eq!(
            inclusion(&SamplingPolicy::uniform(0.0), &Restraint::default(), &Features::default(), &[], &metric(None), 0, None),
            1.0
        );
        assert_eq!(
            inclusion(&SamplingPolicy::uniform(0.25), &Restraint::default(), &Features::default(), &[], &metric(None), 1, None),
            0.25
        );
    }

    #[test]
    fn smart_rules_raise_and_never_lower() {
        let policy = SamplingPolicy { smart: vec![long(0.5), long(0.01)], ..SamplingPolicy::uniform(0.1) };
        let turns = |turns| Features { turns, ..Features::default() };
        assert_eq!(inclusion(&policy, &Restraint::default(), &turns(2), &[], &metric(None), 1, None), 0.1);
        assert_eq!(inclusion(&policy, &Restraint::default(), &turns(3), &[], &metric(None), 1, None), 0.5);
        let low = SamplingPolicy { smart: vec![long(0.01)], ..SamplingPolicy::uniform(0.1) };
        assert_eq!(inclusion(&low, &Restraint::default(), &turns(3), &[], &metric(None), 1, None), 0.1);
    }

    #[test]
    fn outside_only_is_zero_and_a_metric_overrides_its_project() {
        let only = SamplingPolicy {
            only: Some(Condition { turns_min: Some(3), ..Condition::default() }),
            ..SamplingPolicy::uniform(1.0)
        };
        let turns = |turns| Features { turns, ..Features::default() };
        assert_eq!(inclusion(&only, &Restraint::default(), &turns(2), &[], &metric(None), 1, None), 0.0);
        assert_eq!(inclusion(&only, &Restraint::default(), &turns(3), &[], &metric(None), 1, None), 1.0);
        assert_eq!(
            inclusion(&only, &Restraint::default(), &turns(2), &[], &metric(Some(SamplingPolicy::uniform(0.2))), 1, None),
            0.2
        );
    }

    #[test]
    fn doubt_needs_a_free_score() {
        let doubtful = SmartRule { when: Condition { free_score: Some([0.3, 0.7]), ..Condition::default() }, rate: 0.9 };
        let policy = SamplingPolicy { smart: vec![doubtful], ..SamplingPolicy::uniform(0.1) };
        for (scores, expected) in [(vec![], 0.1), (vec![0.5], 0.9), (vec![0.3], 0.9), (vec![0.71], 0.1), (vec![0.5, 1.0], 0.1)] {
            assert_eq!(
                inclusion(&policy, &Restraint::default(), &Features::default(), &scores, &metric(None), 1, None),
                expected,
                "{scores:?}"
            );
        }
    }

    #[test]
    fn later_tiers_see_their_share_and_doubt_moves_calls() {
        let mut metric = metric(None);
        metric.cascade.push(Tier { share: 0.2, ..metric.cascade[1].clone() });
        let policy = SamplingPolicy::uniform(0.5);
        let at = |metric: &Metric, tier, score, allocation| {
            inclusion(&policy, &Restraint::default(), &Features::default(), &[score], metric, tier, allocation)
        };
        assert_eq!((at(&metric, 1, 0.5, None), at(&metric, 2, 0.5, None), at(&metric, 3, 0.5, None)), (0.5, 0.2, 1.0));
        let mut cells = [Cell::default(); BINS];
        cells[0] = Cell { population: 900.0, judged: 500, w: 500.0, wh: 0.0 };
        cells[5] = Cell { population: 100.0, judged: 100, w: 100.0, wh: 50.0 };
        let allocation = Allocation::neyman(&cells, 0.0);
        assert_eq!(at(&metric, 2, 0.5, allocation.as_ref()), 0.2, "only where the metric escalates");
        metric.escalate = true;
        assert!(at(&metric, 2, 0.55, allocation.as_ref()) > 0.5);
        assert!((0.05..0.2).contains(&at(&metric, 2, 0.05, allocation.as_ref())));
    }

    proptest! {
        #[test]
        fn a_probability_whatever_is_configured(rate in 0.0..=1.0f64, smart in 0.0..=1.0f64, score in any::<f64>(), chars: u32, turns: u32) {
            let policy = SamplingPolicy { smart: vec![SmartRule { when: Condition::default(), rate: smart }], ..SamplingPolicy::uniform(rate) };
            prop_assert!(policy.check().is_ok());
            let features = Features { chars, turns, ..Features::default() };
            let probability = inclusion(&policy, &Restraint::default(), &features, &[score], &metric(None), 1, None);
            prop_assert!((0.0..=1.0).contains(&probability));
        }
    }
}
