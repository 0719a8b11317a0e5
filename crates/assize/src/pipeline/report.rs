//! `report`: rates with intervals out of the sums that the results store keeps.

use std::collections::BTreeMap;

use assize_core::results::{Results, Sums, SumsBucket, SumsQuery};
use assize_core::{
    Dimension, Hour, JudgeVersion, Metric, MetricName, NanoUsd, ProjectName, SamplingPolicy, StoreError, Timestamp,
};
use assize_estimate::{Bucket, Estimand, Estimate, Estimator, Options, Predictors};

/// By what a rate is split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupBy {
    /// One group, whose key is empty.
    All,
    /// A declared dimension.
    Dimension(Dimension),
    /// So many hours each, UTC: 1 for hours, 24 for days.
    Hours(i64),
}

/// Which rates are wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct EstimatesQuery {
    pub project: ProjectName,
    pub metric: MetricName,
    pub from: Timestamp,
    pub to: Timestamp,
    pub group_by: GroupBy,
    /// Level of the intervals.
    pub level: f64,
}

/// The rate of one group as one version of the reference judge would have it. Versions are never pooled.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupEstimate {
    /// Value of the dimension, or RFC 3339 start of the hours.
    pub key: String,
    /// The reference judge's version.
    pub reference: JudgeVersion,
    /// `None` while nothing is judged.
    pub estimate: Option<Estimate>,
    /// The sums behind it.
    pub sums: Sums,
}

/// The weighted mean of what was judged.
const HAJEK: Options =
    Options { level: 0.95, estimand: Estimand::Window, estimator: Estimator::Hajek, predictors: Predictors::Last };

/// Loads the sums of the range, groups them, and estimates each group.
pub async fn report(results: &dyn Results, query: &EstimatesQuery) -> Result<Vec<GroupEstimate>, StoreError> {
    let by = match &query.group_by {
        GroupBy::Dimension(dimension) => Some(dimension.clone()),
        GroupBy::All | GroupBy::Hours(_) => None,
    };
    let sums = SumsQuery { project: query.project.clone(), metric: query.metric.clone(), from: query.from, to: query.to, by };
    let mut groups: BTreeMap<(String, JudgeVersion), Vec<SumsBucket>> = BTreeMap::new();
    for bucket in results.sums(&sums).await? {
        groups.entry((key(&query.group_by, &bucket), bucket.reference.clone())).or_default().push(bucket);
    }
    let estimated = groups.into_iter().map(|((key, reference), buckets)| {
        let (estimate, sums) = estimate_of(buckets.iter().map(|bucket| (bucket.hour, &bucket.sums)), query.level);
        GroupEstimate { key, reference, estimate, sums }
    });
    Ok(estimated.collect())
}

/// A change of the judge within a range: rates before and after it are of two versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// The beginning of the first hour of which the new version judged anything.
    pub at: Timestamp,
    pub old: JudgeVersion,
    pub new: JudgeVersion,
}

/// The changes of a metric's reference judge within [from, to), oldest first.
pub async fn breaks(results: &dyn Results, query: &EstimatesQuery) -> Result<Vec<Break>, StoreError> {
    let sums =
        SumsQuery { project: query.project.clone(), metric: query.metric.clone(), from: query.from, to: query.to, by: None };
    let mut first: BTreeMap<JudgeVersion, Hour> = BTreeMap::new();
    for bucket in results.sums(&sums).await?.into_iter().filter(|bucket| bucket.sums.judged > 0) {
        let hour = first.entry(bucket.reference).or_insert(bucket.hour);
        *hour = (*hour).min(bucket.hour);
    }
    let mut first: Vec<(Hour, JudgeVersion)> = first.into_iter().map(|(version, hour)| (hour, version)).collect();
    first.sort();
    let pairs = first.windows(2).filter_map(|pair| match pair {
        [(_, old), (hour, new)] => Some(Break { at: hour.start(), old: old.clone(), new: new.clone() }),
        _ => None,
    });
    Ok(pairs.collect())
}

/// The estimate of each version over the range, of what produces the traffic: for comparisons.
pub async fn of_process(results: &dyn Results, query: &EstimatesQuery) -> Result<Vec<GroupEstimate>, StoreError> {
    let sums =
        SumsQuery { project: query.project.clone(), metric: query.metric.clone(), from: query.from, to: query.to, by: None };
    let mut versions: BTreeMap<JudgeVersion, Vec<SumsBucket>> = BTreeMap::new();
    for bucket in results.sums(&sums).await? {
        versions.entry(bucket.reference.clone()).or_default().push(bucket);
    }
    let options = Options { level: query.level, estimand: Estimand::Process, ..HAJEK };
    let estimated = versions.into_iter().map(|(reference, buckets)| {
        let (estimate, sums) = estimate_as(buckets.iter().map(|bucket| (bucket.hour, &bucket.sums)), &options);
        GroupEstimate { key: String::new(), reference, estimate, sums }
    });
    Ok(estimated.collect())
}

/// The estimate over hourly sums, and their total. Sums that contradict themselves give no estimate rather than a wrong one.
pub fn estimate_of<'a>(hours: impl Iterator<Item = (Hour, &'a Sums)>, level: f64) -> (Option<Estimate>, Sums) {
    estimate_as(hours, &Options { level, ..HAJEK })
}

fn estimate_as<'a>(hours: impl Iterator<Item = (Hour, &'a Sums)>, options: &Options) -> (Option<Estimate>, Sums) {
    let mut total = Sums::default();
    let mut buckets = Vec::new();
    for (hour, sums) in hours {
        total.add(sums);
        buckets.push(bucket(hour, sums));
    }
    let estimate = assize_estimate::estimate(&buckets, options);
    (estimate.inspect_err(|error| tracing::error!(%error, "an estimate could not be made")).unwrap_or_default(), total)
}

/// What judging cost, as far as it is known.
pub fn known_cost(sums: &Sums) -> Option<NanoUsd> {
    sums.known_cost()
}

/// The population of a metric that nothing narrows, in words.
pub const EVERYTHING: &str = "all interactions with an answer";

/// In words, which interactions a metric's rate speaks of.
pub fn population(metric: &Metric, sampling: &SamplingPolicy) -> String {
    let mut parts = Vec::new();
    if metric.needs.context {
        parts.push("with context".to_owned());
    }
    if metric.needs.reference {
        parts.push("with a reference".to_owned());
    }
    let sampling = metric.sampling.as_ref().unwrap_or(sampling);
    if let Some(only) = sampling.only.as_ref().filter(|_| !metric.is_free()) {
        parts.push(only.describe());
    }
    if parts.is_empty() { EVERYTHING.to_owned() } else { format!("interactions {}", parts.join(", ")) }
}

fn key(group_by: &GroupBy, bucket: &SumsBucket) -> String {
    match group_by {
        GroupBy::All | GroupBy::Dimension(_) => bucket.group.clone(),
        GroupBy::Hours(hours) => Hour(bucket.hour.0 - bucket.hour.0.rem_euclid((*hours).max(1))).start().to_rfc3339(),
    }
}

fn bucket(hour: Hour, sums: &Sums) -> Bucket {
    Bucket {
        hour: hour.0,
        population: sums.population,
        g: sums.g,
        gg: sums.gg,
        drawn: sums.drawn_for_reference(),
        drawn_w: sums.drawn_for_reference_w(),
        judged: sums.judged,
        positives: sums.positives,
        disagreements: sums.disagreements,
        max_w: sums.max_w,
        w: sums.w.into(),
        q: sums.q.into(),
        ..Bucket::default()
    }
}
