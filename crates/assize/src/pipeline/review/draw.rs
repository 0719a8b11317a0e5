//! The draw of what people are asked about: those with the smallest keyed hashes, so that drawing again takes the same ones, and
//! drawing more takes them and others.

use std::collections::BTreeMap;

use assize_core::label::DRAWN_MAX;
use assize_core::labels::Labels;
use assize_core::results::{Judged, Results};
use assize_core::{
    DrawKey, JudgeVersion, MetricName, ProjectName, Review, ReviewItem, ReviewState, Reviewer, StoreError, Stratum, Timestamp,
};

use super::{BEYOND, JUDGED_MAX, SCORE_BOUNDS, frame, range_of};
use crate::pipeline::Pipeline;

/// What is to be drawn.
#[derive(Debug, Clone)]
pub struct Order {
    pub project: ProjectName,
    pub metric: MetricName,
    pub from: Timestamp,
    pub to: Timestamp,
    /// How many, 1 to [`DRAWN_MAX`].
    pub n: usize,
    /// Whether each range of the judge's score gets the same number, as far as it has as many.
    pub stratify: bool,
    pub by: Reviewer,
}

/// Why nothing was drawn.
#[derive(Debug, thiserror::Error)]
pub enum DrawError {
    #[error("n: ask for 1 to {DRAWN_MAX} interactions")]
    Number,
    #[error(
        "metric {0} has no judged interaction in the range whose text is kept: widen the range, or wait until something is judged"
    )]
    Nothing(MetricName),
    #[error("the range holds more than {JUDGED_MAX} judged interactions: narrow it, and draw from each part")]
    TooMany,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Draws and puts what was drawn into the queue. Returns the draw and how many of it were not in the queue before.
pub async fn draw(
    pipeline: &Pipeline,
    results: &dyn Results,
    labels: &dyn Labels,
    order: &Order,
) -> Result<(Review, u64), DrawError> {
    if !(1..=DRAWN_MAX).contains(&order.n) {
        return Err(DrawError::Number);
    }
    // Before reading: what is judged in between had its chance.
    let at = pipeline.clock.now();
    let judged = frame(results, &pipeline.panels, &order.project, &order.metric, (order.from, order.to)).await?;
    let mut judged = judged.ok_or(DrawError::TooMany)?;
    judged.retain(|one| one.at <= at);
    if judged.is_empty() {
        return Err(DrawError::Nothing(order.metric.clone()));
    }
    let Order { project, metric, from, to, n, stratify, by } = order.clone();
    let (strata, taken) = choose(&pipeline.draw_key, judged, n, stratify);
    let id = pipeline.ids.review();
    let item = |(one, probability): (Judged, f64)| ReviewItem {
        review: id.clone(),
        project: project.clone(),
        metric: metric.clone(),
        key: one.key,
        id: one.id,
        time: one.time,
        probability,
        judge_version: one.version,
        judge_score: one.score,
        place: pipeline.draw_key.place(one.key).0,
        state: ReviewState::Open,
        holder: None,
    };
    let items: Vec<ReviewItem> = taken.into_iter().map(item).collect();
    let review = Review { id, project, metric, from, to, n: n as u64, stratified: stratify, by, at, strata };
    let new = labels.put_review(&review, &items).await?;
    Ok((review, new))
}

/// Takes `n` of `judged`, in each stratum those with the smallest hashes; the strata, and what was taken with its probability.
fn choose(key: &DrawKey, judged: Vec<Judged>, n: usize, stratify: bool) -> (Vec<Stratum>, Vec<(Judged, f64)>) {
    let mut hashed: Vec<(f64, Judged)> = judged.into_iter().map(|one| (key.review(one.key).0, one)).collect();
    hashed.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.key.cmp(&b.1.key)));
    let range = |score| if stratify { range_of(score) } else { 0 };
    let mut strata: BTreeMap<(JudgeVersion, usize), Vec<Judged>> = BTreeMap::new();
    let mut counts: BTreeMap<(JudgeVersion, usize), usize> = BTreeMap::new();
    for (place, (_, one)) in hashed.into_iter().enumerate() {
        let stratum = (one.version.clone(), range(one.score));
        *counts.entry(stratum.clone()).or_default() += usize::from(!stratify && place < n);
        strata.entry(stratum).or_default().push(one);
    }
    if stratify {
        share_out(n, strata.iter().map(|(stratum, members)| (stratum, members.len())), &mut counts);
    }
    let (mut described, mut taken) = (Vec::new(), Vec::new());
    for (stratum, members) in strata {
        let drawn = counts.get(&stratum).copied().unwrap_or(0);
        let population = members.len();
        let probability = drawn as f64 / population as f64;
        let (judge_version, at) = stratum;
        let (low, high) = match stratify {
            true => (SCORE_BOUNDS[at], SCORE_BOUNDS.get(at + 1).copied().unwrap_or(BEYOND)),
            false => (0.0, BEYOND),
        };
        described.push(Stratum { judge_version, low, high, population: population as u64, drawn: drawn as u64, probability });
        taken.extend(members.into_iter().take(drawn).map(|one| (one, probability)));
    }
    (described, taken)
}

/// Gives `n` out, one at a time in turns, to strata that have more: one more in all is one more in one of them, and none has fewer.
fn share_out<'a, K: Ord + Clone + 'a>(n: usize, strata: impl Iterator<Item = (&'a K, usize)>, counts: &mut BTreeMap<K, usize>) {
    let mut open: Vec<(&K, usize)> = strata.collect();
    let mut left = n;
    while left > 0 && !open.is_empty() {
        for (stratum, members) in &open {
            let count = counts.entry((*stratum).clone()).or_default();
            if left > 0 && *count < *members {
                *count += 1;
                left -= 1;
            }
        }
        open.retain(|(stratum, members)| counts.get(*stratum).is_none_or(|count| count < members));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use assize_core::{InteractionId, PolicyVersion, RowKey};
    use proptest::prelude::*;

    use super::*;

    /// `n` judged interactions, of which every twentieth scores 1, every seventh 0.6 and the others 0; every third by another version.
    fn judged(n: usize) -> Vec<Judged> {
        let project = ProjectName::new("p").unwrap();
        let one = |i: usize| {
            let id = InteractionId::new(&format!("i-{i}")).unwrap();
            Judged {
                key: RowKey::of(&project, &id),
                id,
                time: Timestamp(0),
                at: Timestamp(0),
                policy: PolicyVersion::of(&[]),
                version: JudgeVersion::of(&[&[u8::from(i.is_multiple_of(3))]]),
                score: if i.is_multiple_of(20) {
                    1.0
                } else if i.is_multiple_of(7) {
                    0.6
                } else {
                    0.0
                },
                is_free: false,
                probability: 1.0,
            }
        };
        (0..n).map(one).collect()
    }

    fn key() -> DrawKey {
        DrawKey::new([3; 32])
    }

    #[test]
    fn rare_positives_are_seen_where_it_is_stratified() {
        let (strata, taken) = choose(&key(), judged(2_000), 120, true);
        // Two versions with three ranges each.
        assert_eq!((strata.len(), taken.len()), (6, 120));
        assert!(strata.iter().all(|stratum| stratum.drawn == 20), "{strata:?}");
        assert!(strata.iter().all(|stratum| stratum.probability == stratum.drawn as f64 / stratum.population as f64));
        assert!(taken.iter().all(|(one, probability)| {
            strata.iter().any(|stratum| {
                stratum.judge_version == one.version && stratum.holds(one.score) && stratum.probability == *probability
            })
        }));
        let positives = |taken: &[(Judged, f64)]| taken.iter().filter(|(one, _)| one.score == 1.0).count();
        let (strata, uniform) = choose(&key(), judged(2_000), 120, false);
        assert_eq!((strata.len(), uniform.len(), positives(&taken)), (2, 120, 40));
        assert!(positives(&uniform) < 20);
        let all = choose(&key(), judged(50), 5_000, true);
        assert_eq!(all.1.len(), 50);
        assert!(all.1.iter().all(|(_, probability)| *probability == 1.0));
    }

    #[test]
    fn every_interaction_of_a_stratum_is_as_likely() {
        let mut seen: BTreeMap<RowKey, u32> = BTreeMap::new();
        for seed in 0..200 {
            for (one, _) in choose(&DrawKey::new([seed; 32]), judged(60), 15, false).1 {
                *seen.entry(one.key).or_default() += 1;
            }
        }
        // 50 of 200 on average, give or take five standard deviations of 6.1.
        assert!(seen.len() == 60 && seen.values().all(|times| (20..=80).contains(times)), "{seen:?}");
    }

    proptest! {
        #[test]
        fn more_is_the_same_and_others(fewer in 1..100_usize, more in 0..100_usize, population in 1..300_usize, stratify: bool) {
            let ids = |n| -> BTreeSet<RowKey> {
                choose(&key(), judged(population), n, stratify).1.into_iter().map(|(one, _)| one.key).collect()
            };
            let (small, large) = (ids(fewer), ids(fewer + more));
            prop_assert_eq!((small.len(), large.len()), (fewer.min(population), (fewer + more).min(population)));
            prop_assert!(small.is_subset(&large));
            prop_assert_eq!(&small, &ids(fewer));
        }
    }
}
