//! What people's labels say of the judge's rate: the rate that they would have given, for each version of the judge apart.

use std::collections::{BTreeMap, HashMap};

use assize_core::labels::Labels;
use assize_core::results::{Judged, Results};
use assize_core::{JudgeVersion, MetricName, ProjectName, Review, RowKey, StoreError, Timestamp};
use assize_estimate::agreement::{Confusion, Drawn, Figure};
use assize_estimate::gold::{self, Corrected};
use assize_estimate::two_phase::{FirstDraw, Labelled};
use assize_estimate::{Estimand, EstimateError};

use super::{SCORE_BOUNDS, frame, range_of};
use crate::pipeline::panel::Panels;

/// Which corrected rates are wanted.
#[derive(Debug, Clone)]
pub struct HumanQuery {
    pub project: ProjectName,
    pub metric: MetricName,
    pub from: Timestamp,
    pub to: Timestamp,
    /// Level of the intervals.
    pub level: f64,
}

/// What people's labels say of one version of the judge.
#[derive(Debug, Clone, PartialEq)]
pub struct Human {
    /// `None` without a label.
    pub corrected: Option<Corrected>,
    /// Share of equal answers, yes from 0.5 on.
    pub agreement: Option<Figure>,
    /// Cohen's kappa.
    pub kappa: Option<Figure>,
    /// Judged interactions that draws speak of.
    pub judged: u64,
    /// How many of them were drawn for people.
    pub drawn: u64,
    /// How many of them have a label.
    pub labels: u64,
}

/// What is known by version.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Humans {
    pub versions: BTreeMap<JudgeVersion, Human>,
    /// The range holds more judged interactions than are looked at: nothing is said.
    pub too_many: bool,
}

/// A version's part of what was judged.
#[derive(Default)]
struct Part {
    strata: [Range; SCORE_BOUNDS.len()],
    first: FirstDraw,
    labelled: Vec<Labelled>,
    pairs: Vec<Drawn<f64>>,
    judged: u64,
    drawn: u64,
}

/// A range of the judge's score: sums of `w` and `w g` over the judged, and what was drawn.
#[derive(Default)]
struct Range {
    w: f64,
    wg: f64,
    drawn: Vec<gold::Label>,
}

/// The rates that people would have given, from stored rows. Empty where no draw speaks of the range. Versions are never pooled:
/// each has a rate of its own, and none has the labels of another.
pub async fn human(
    results: &dyn Results,
    labels: &dyn Labels,
    panels: &Panels,
    query: &HumanQuery,
) -> Result<Humans, StoreError> {
    let HumanQuery { project, metric, .. } = query;
    let mut reviews = labels.reviews(project, Some(metric)).await?;
    reviews.retain(|review| review.from < query.to && review.to > query.from);
    let from = reviews.iter().map(|review| review.from).min().unwrap_or(query.to).max(query.from);
    let to = reviews.iter().map(|review| review.to).max().unwrap_or(query.from).min(query.to);
    if reviews.is_empty() || from >= to {
        return Ok(Humans::default());
    }
    let Some(judged) = frame(results, panels, project, metric, (from, to)).await? else {
        return Ok(Humans { too_many: true, ..Humans::default() });
    };
    let drawn = labels.drawn(project, metric, from, to).await?;
    let drawn: HashMap<RowKey, Option<f64>> = drawn.into_iter().map(|one| (one.key, one.human)).collect();
    let mut parts: BTreeMap<JudgeVersion, Part> = BTreeMap::new();
    for one in judged {
        if let Some(probability) = probability(&reviews, &one) {
            parts.entry(one.version.clone()).or_default().push(&one, probability, drawn.get(&one.key));
        }
    }
    let versions = parts.into_iter().map(|(version, part)| (version, part.human(query.level))).collect();
    Ok(Humans { versions, too_many: false })
}

/// The probability with which any of the draws took it: all compare the same hash, so that the highest counts.
fn probability(reviews: &[Review], one: &Judged) -> Option<f64> {
    let of = |review: &Review| review.probability(one.time, one.at, &one.version, one.score);
    reviews.iter().filter_map(of).fold(None, |best: Option<f64>, p| Some(best.map_or(p, |best| best.max(p)))).filter(|p| *p > 0.0)
}

impl Part {
    /// Takes in a judged interaction that was drawn with `probability`, and what people said of it if it was.
    fn push(&mut self, one: &Judged, probability: f64, drawn: Option<&Option<f64>>) {
        let range = &mut self.strata[range_of(one.score)];
        range.w += 1.0 / one.probability;
        range.wg += one.score / one.probability;
        self.first.push(one.probability);
        self.judged += 1;
        let Some(human) = drawn.copied() else { return };
        self.drawn += 1;
        let both = one.probability * probability;
        range.drawn.push(gold::Label { probability: both, judge: one.score, human });
        if let Some(human) = human {
            self.labelled.push(Labelled { judged: one.probability, labelled: probability, human });
            self.pairs.push(Drawn { gold: human, judge: one.score, probability: both });
        }
    }

    fn human(self, level: f64) -> Human {
        let labels = self.labelled.len() as u64;
        let corrected = self.corrected(level).unwrap_or_else(|error| {
            tracing::error!(%error, "a rate could not be corrected by people's labels");
            None
        });
        let quality = Confusion::drawn_scores(0.5, &self.pairs, Estimand::Window).and_then(|all| all.quality(level));
        let quality = quality.unwrap_or_else(|error| {
            tracing::error!(%error, "the judge's agreement with people could not be computed");
            None
        });
        Human {
            corrected,
            agreement: quality.as_ref().map(|quality| quality.agreement),
            kappa: quality.and_then(|quality| quality.kappa),
            judged: self.judged,
            drawn: self.drawn,
            labels,
        }
    }

    fn corrected(&self, level: f64) -> Result<Option<Corrected>, EstimateError> {
        let strata: Vec<gold::Stratum> = self.strata.iter().filter(|range| range.w > 0.0).map(Range::stratum).collect();
        let corrected = gold::correct(&strata, level, Estimand::Window)?;
        Ok(corrected.map(|corrected| self.first.widen(corrected, &self.labelled)))
    }
}

impl Range {
    /// The traffic that the judged of the range stand for, as a whole number.
    fn stratum(&self) -> gold::Stratum {
        let drawn = self.drawn.len() as f64;
        let population = self.w.round().max(drawn);
        let seen: f64 = self.drawn.iter().map(|label| label.judge).sum();
        // Rounding must not leave the others with less than nothing.
        let judge_sum = (self.wg / self.w * population).clamp(seen, seen + population - drawn);
        gold::Stratum { population: population as u64, judge_sum, drawn: self.drawn.clone() }
    }
}

#[cfg(test)]
mod tests {
    use assize_core::{InteractionId, PolicyVersion};

    use super::*;

    fn judged(i: u32, score: f64, probability: f64) -> Judged {
        let project = ProjectName::new("p").unwrap();
        let id = InteractionId::new(&format!("i-{i}")).unwrap();
        Judged {
            key: RowKey::of(&project, &id),
            id,
            time: Timestamp(0),
            at: Timestamp(0),
            policy: PolicyVersion::of(&[]),
            version: JudgeVersion::of(&[]),
            score,
            is_free: false,
            probability,
        }
    }

    #[test]
    fn unequal_probabilities_of_judging_are_undone() {
        // The judge says yes to 30 that it saw for certain and no to 60 that it saw one in ten of: 30 of 630 in the traffic. People
        // say yes to half of either.
        let mut part = Part::default();
        for i in 0..90 {
            let (score, probability) = if i < 30 { (1.0, 1.0) } else { (0.0, 0.1) };
            let human = Some(f64::from(i % 2));
            part.push(&judged(i, score, probability), 1.0, Some(&human));
        }
        let human = part.human(0.95);
        let corrected = human.corrected.unwrap();
        assert_eq!((human.judged, human.drawn, human.labels, corrected.population), (90, 90, 90, 630));
        assert!((corrected.judge - 30.0 / 630.0).abs() < 1e-9 && (corrected.value - 0.5).abs() < 0.02, "{corrected:?}");
        assert!(corrected.low < 0.42 && corrected.high > 0.58, "60 were judged of 600: {corrected:?}");
    }

    #[test]
    fn all_labelled_of_all_judged_is_exact() {
        let mut part = Part::default();
        for i in 0..40 {
            part.push(&judged(i, f64::from(i % 2), 1.0), 1.0, Some(&Some(f64::from(u8::from(i < 10)))));
        }
        let human = part.human(0.95);
        let corrected = human.corrected.unwrap();
        assert_eq!((corrected.value, corrected.judge), (0.25, 0.5));
        assert!((corrected.high - corrected.low).abs() < 1e-9);
        assert_eq!(human.agreement.unwrap().value, 0.5);
    }

    #[test]
    fn without_labels_nothing_is_said() {
        let mut part = Part::default();
        part.push(&judged(0, 1.0, 0.5), 0.5, Some(&None));
        part.push(&judged(1, 1.0, 0.5), 0.5, None);
        let human = part.human(0.95);
        assert_eq!((human.corrected, human.agreement, human.drawn, human.labels, human.judged), (None, None, 1, 0, 2));
    }
}
