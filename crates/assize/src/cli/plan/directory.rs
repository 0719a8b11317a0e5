//! Reads a data directory whose server does not run.

use std::collections::BTreeMap;
use std::path::Path;

use assize_core::results::{Filter, MetricRecord, Results, Sums, SumsBucket, SumsQuery};
use assize_core::scored::standing;
use assize_core::{JudgeVersion, NanoUsd, Outcome, ProjectName, StoreError, StoreErrorKind, Timestamp};

use super::seen::{ROWS_MAX, Row, Seen, Wanted, strata};
use crate::pipeline::report::estimate_of;

const PAGE: usize = 1_000;

/// What the results in `directory` say of `project`.
pub async fn read(directory: &Path, project: &ProjectName, wanted: &Wanted) -> Result<Seen, String> {
    let file = directory.join("results.db");
    if !file.is_file() {
        return Err(format!("there are no results in {}: --data is what `assize up --data` was given", directory.display()));
    }
    let results = assize_store::results::open(&format!("sqlite:{}", directory.display())).await.map_err(|error| {
        let running = error.kind == StoreErrorKind::Locked;
        format!("{error}{}", if running { "; leave --data out and give --key to ask the running server" } else { "" })
    })?;
    let (from, to) = (Timestamp::parse(&wanted.from)?, Timestamp::parse(&wanted.to)?);
    let query = SumsQuery { project: project.clone(), metric: wanted.metric.clone(), from, to, by: None };
    let buckets = results.sums(&query).await.map_err(|error| error.to_string())?;
    let nothing = || {
        format!(
            "{} has no verdict on {} in project {project} since {}: look further back by --days, or state --traffic, --rate and --rho",
            directory.display(),
            wanted.metric,
            wanted.from
        )
    };
    let (version, buckets) = newest(buckets).ok_or_else(nothing)?;
    let hours = buckets.iter().map(|bucket| bucket.hour.0);
    let span = hours.clone().max().unwrap_or_default() - hours.min().unwrap_or_default() + 1;
    let (estimate, sums) = estimate_of(buckets.iter().map(|bucket| (bucket.hour, &bucket.sums)), wanted.level);
    let estimate = estimate.ok_or_else(nothing)?;
    if sums.calls == 0 && sums.q == [0.0; 6] {
        return Err(format!("{} has cost no call: what free judges decide alone needs no plan", wanted.metric));
    }
    let rows = rows(&*results, project, wanted, &version, from).await.map_err(|error| error.to_string())?;
    Ok(Seen {
        place: format!("{}, project {project}", directory.display()),
        hours: span as f64,
        population: sums.population,
        judged: sums.judged,
        rate: estimate.value,
        low: estimate.low,
        high: estimate.high,
        moments: sums.w,
        // w^2 = q + w.
        effective: sums.w[0] * sums.w[0] / (sums.q[0] + sums.w[0]),
        strata: strata(&rows),
        cost_per_verdict: cost_per_verdict(&sums),
    })
}

fn cost_per_verdict(sums: &Sums) -> Option<NanoUsd> {
    let is_known = sums.cost_unknown == 0 && sums.cost > NanoUsd::ZERO && sums.judged > 0;
    is_known.then(|| NanoUsd(sums.cost.0.div_ceil(sums.judged)))
}

/// The buckets of the version that judged last.
fn newest(buckets: Vec<SumsBucket>) -> Option<(JudgeVersion, Vec<SumsBucket>)> {
    let mut versions: BTreeMap<JudgeVersion, Vec<SumsBucket>> = BTreeMap::new();
    for bucket in buckets {
        versions.entry(bucket.reference.clone()).or_default().push(bucket);
    }
    let last = |buckets: &[SumsBucket]| buckets.iter().filter(|one| one.sums.judged > 0).map(|one| one.hour).max();
    versions.into_iter().filter(|(_, buckets)| last(buckets).is_some()).max_by_key(|(_, buckets)| last(buckets))
}

async fn rows(
    results: &dyn Results,
    project: &ProjectName,
    wanted: &Wanted,
    version: &JudgeVersion,
    from: Timestamp,
) -> Result<Vec<Row>, StoreError> {
    let mut filter = Filter {
        project: project.clone(),
        metric: Some(wanted.metric.clone()),
        judge: None,
        outcome: Some(Outcome::Judged),
        dimension: None,
        from: Some(from),
        to: None,
        score_min: None,
        score_max: None,
        cursor: None,
        limit: PAGE,
    };
    let mut rows = Vec::new();
    loop {
        let page = results.interactions(&filter).await?;
        let of_metric = page.items.into_iter().flat_map(|item| item.metrics);
        rows.extend(
            of_metric.filter(|one| one.decision.metric == wanted.metric && one.decision.reference == *version).filter_map(row),
        );
        filter.cursor = page.next;
        if filter.cursor.is_none() || rows.len() >= ROWS_MAX {
            return Ok(rows);
        }
    }
}

fn row(record: MetricRecord) -> Option<Row> {
    let probability = standing(record.decision.probability, &record.steps);
    let reference = record.verdicts.iter().rev().find(|verdict| verdict.version == record.decision.reference)?.score;
    let is_drawn = record.outcome == Some(Outcome::Judged) && probability > 0.0;
    is_drawn.then_some(Row { probability, free: record.decision.free_score(), reference })
}
