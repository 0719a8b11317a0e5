//! What was learned about where doubt lies, by project, metric and cheaper judge.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use assize_core::allocation::{BINS, Cell};
use assize_core::results::{CellBucket, Results};
use assize_core::{Allocation, JudgeName, JudgeVersion, Metric, MetricName, ProjectName, StoreError, Timestamp};

/// Allocations as they were learned last. Probabilities are recorded with every item, so that they may change at any time.
#[derive(Default)]
pub struct Allocations(RwLock<HashMap<Key, Allocation>>);

#[derive(PartialEq, Eq, Hash)]
struct Key {
    project: ProjectName,
    metric: MetricName,
    reference: JudgeVersion,
    predictor: JudgeName,
}

/// How far back to learn from.
const WINDOW: Duration = Duration::from_secs(7 * 24 * 3600);
/// The half-width that every part of the traffic should be known to over the window.
const HALF_WIDTH: f64 = 0.02;

impl Allocations {
    /// What was learned for `metric`, given what `predictor` says.
    pub fn get(&self, project: &ProjectName, metric: &Metric, predictor: &JudgeName) -> Option<Allocation> {
        if !metric.escalate {
            return None;
        }
        let key = Key {
            project: project.clone(),
            metric: metric.name.clone(),
            reference: metric.reference()?.version.clone(),
            predictor: predictor.clone(),
        };
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key).copied()
    }

    /// Learns anew from the results of `projects`.
    pub async fn learn(&self, results: &dyn Results, projects: &[ProjectName], now: Timestamp) -> Result<(), StoreError> {
        let (mut learned, mut failed) = (HashMap::new(), None);
        for project in projects {
            let from = Timestamp(now.0.saturating_sub(i64::try_from(WINDOW.as_millis()).unwrap_or(i64::MAX)));
            match results.cells(project, from).await {
                Ok(cells) => learned.extend(allocations(project, cells)),
                Err(error) => failed = Some(error),
            }
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = learned;
        failed.map_or(Ok(()), Err)
    }
}

fn allocations(project: &ProjectName, buckets: Vec<CellBucket>) -> HashMap<Key, Allocation> {
    let mut cells: HashMap<Key, [Cell; BINS]> = HashMap::new();
    for CellBucket { metric, reference, predictor, bin, cell } in buckets {
        let key = Key { project: project.clone(), metric, reference, predictor };
        if let Some(sum) = cells.entry(key).or_default().get_mut(usize::from(bin)) {
            sum.add(&cell);
        }
    }
    let learned = cells.into_iter().filter_map(|(key, cells)| {
        let calls: u64 = cells.iter().map(|cell| cell.judged).sum();
        Some((key, Allocation::neyman(&cells, 3.0 / (HALF_WIDTH * calls as f64))?))
    });
    learned.collect()
}
