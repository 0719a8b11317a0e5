//! `review`: which part of what was judged people are asked about ([`draw`]), and what their answers say of the judge's rate
//! ([`human`]).

pub mod draw;
pub mod human;

use std::collections::HashMap;

use assize_core::results::{Judged, JudgedQuery, Results};
use assize_core::{MetricName, PolicyVersion, ProjectName, StoreError, Timestamp};

use super::panel::Panels;

/// How many judged interactions one draw or one corrected rate looks at.
pub const JUDGED_MAX: usize = 200_000;

/// Where ranges of the judge's score begin that get a share of their own: clear no, rather no, rather yes, clear yes.
pub const SCORE_BOUNDS: [f64; 4] = [0.0, 0.1, 0.5, 0.9];
/// Above every score.
const BEYOND: f64 = 2.0;

/// Which of the ranges holds `score`.
fn range_of(score: f64) -> usize {
    SCORE_BOUNDS.iter().rposition(|low| score >= *low).unwrap_or(0)
}

/// The judged interactions of a range whose text is kept, each with the probability of being one; `None` where there are more than
/// [`JUDGED_MAX`].
async fn frame(
    results: &dyn Results,
    panels: &Panels,
    project: &ProjectName,
    metric: &MetricName,
    (from, to): (Timestamp, Timestamp),
) -> Result<Option<Vec<Judged>>, StoreError> {
    let query = JudgedQuery { project: project.clone(), metric: metric.clone(), from, to, limit: JUDGED_MAX + 1 };
    let mut judged = results.judged(&query).await?;
    if judged.len() > JUDGED_MAX {
        return Ok(None);
    }
    let mut reserves: HashMap<PolicyVersion, f64> = HashMap::new();
    for one in judged.iter_mut().filter(|one| one.is_free) {
        let reserve = match reserves.get(&one.policy) {
            Some(reserve) => *reserve,
            None => {
                let reserve = panels.of(&one.policy).await?.map_or(0.0, |panel| panel.policy.sampling.reserve.clamp(0.0, 1.0));
                reserves.insert(one.policy.clone(), reserve);
                reserve
            }
        };
        // The reserve is drawn independently.
        one.probability = 1.0 - (1.0 - one.probability) * (1.0 - reserve);
    }
    judged.retain(|one| one.probability > 0.0 && one.probability <= 1.0 && (0.0..=1.0).contains(&one.score));
    Ok(Some(judged))
}
