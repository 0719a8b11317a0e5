//! How often verdicts on nearly the same are wrong, and whether they are used.
//!
//! A hit is used only once enough hits were judged for real to know that the chance of error is below the limit, at every moment and
//! however often one looks. Until then every hit is judged; and where it is known to be above, hits are not looked for any more.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use assize_core::results::{Results, ReuseAudit};
use assize_core::{JudgeVersion, MetricName, ProjectName, ReusePolicy, StoreError};
use assize_estimate::reuse::Audits;

/// The bounds miss with this probability, over all times together.
const ALPHA: f64 = 0.05;

/// The audits of all metrics that use verdicts on nearly the same.
#[derive(Default)]
pub struct Similar(Mutex<HashMap<Key, Entry>>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    project: ProjectName,
    metric: MetricName,
    version: JudgeVersion,
}

#[derive(Default)]
struct Entry {
    audits: Audits,
    last: Option<Standing>,
}

/// What is done with a hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Too little is known: hits are judged all the same.
    Learning,
    /// The chance of error is below the limit: hits are used, and a part of them is judged.
    InUse,
    /// It is above: nothing is used again, and nothing is looked for.
    Stopped,
}

impl Similar {
    /// What is done with hits of the metric and version now, the version being that of what is found.
    pub fn standing(&self, project: &ProjectName, metric: &MetricName, version: &JudgeVersion, policy: &ReusePolicy) -> Standing {
        let key = Key { project: project.clone(), metric: metric.clone(), version: version.clone() };
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.entry(key).or_default();
        let standing = standing(&entry.audits, policy);
        let before = entry.last.replace(standing);
        if before != Some(standing) && (before.is_some() || standing == Standing::Stopped) {
            let Audits { judged, errors } = entry.audits;
            tracing::warn!(
                %project, %metric, audits = judged, errors, limit = policy.error_max,
                "{}",
                match standing {
                    Standing::Stopped => "verdicts on nearly the same are wrong too often: they are not used any more",
                    Standing::InUse => "verdicts on nearly the same are used from now on",
                    Standing::Learning => "verdicts on nearly the same are not used until more is known",
                }
            );
        }
        standing
    }

    /// Takes in a hit that was judged for real: both scores.
    pub fn audited(&self, project: &ProjectName, metric: &MetricName, version: &JudgeVersion, reused: f64, real: f64) {
        let key = Key { project: project.clone(), metric: metric.clone(), version: version.clone() };
        let error = if (reused >= 0.5) == (real >= 0.5) { 0.0 } else { 1.0 };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().audits.push(error);
    }

    /// Takes up what earlier processes have found, in place of what is known.
    pub async fn learn(&self, results: &dyn Results, projects: &[ProjectName]) -> Result<(), StoreError> {
        for project in projects {
            for ReuseAudit { metric, version, judged, errors } in results.reuse_audits(project).await? {
                let key = Key { project: project.clone(), metric, version };
                let audits = Audits { judged, errors: errors as f64 };
                self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().audits = audits;
            }
        }
        Ok(())
    }
}

fn standing(audits: &Audits, policy: &ReusePolicy) -> Standing {
    if audits.below(policy.error_max, ALPHA).unwrap_or(false) {
        Standing::InUse
    } else if audits.judged > 0 && audits.lower(ALPHA).is_ok_and(|lower| lower > policy.error_max) {
        Standing::Stopped
    } else {
        Standing::Learning
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_used_when_known_to_be_right_and_stopped_when_known_to_be_wrong() {
        let similar = Similar::default();
        let (project, metric) = (ProjectName::new("p").unwrap(), MetricName::new("m").unwrap());
        let version = JudgeVersion::of(&[b"v"]);
        let policy = ReusePolicy { audit: 0.1, error_max: 0.02, similarity: None };
        let standing = || similar.standing(&project, &metric, &version, &policy);
        let audit = |n, real| (0..n).for_each(|_| similar.audited(&project, &metric, &version, 0.9, real));
        assert_eq!(standing(), Standing::Learning);
        audit(100, 0.8);
        assert_eq!(standing(), Standing::Learning, "a hundred are too few for two percent");
        audit(300, 1.0);
        assert_eq!(standing(), Standing::InUse);
        audit(40, 0.1);
        assert_eq!(standing(), Standing::Stopped);
        let other = similar.standing(&ProjectName::new("q").unwrap(), &metric, &version, &policy);
        assert_eq!(other, Standing::Learning, "another project's errors are its own");
    }
}
