//! Interactions with a reference verdict whose text is kept, with the probabilities behind them.

use assize_core::results::{Judged, JudgedQuery};
use assize_core::{Accepted, Decision, DecisionState, Outcome, RowKey, Timestamp};
use rusqlite::Connection;

use super::Failure;
use super::stored::decode;

/// Walks the range by time. The row is read only where the text is kept.
pub(super) fn judged(connection: &Connection, query: &JudgedQuery) -> Result<Vec<Judged>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT interaction.key, interaction.row, outcome.score, outcome.probability, outcome.at FROM interaction
         JOIN payload ON payload.seq = interaction.seq
         LEFT JOIN outcome ON outcome.key = interaction.key AND outcome.metric = ?4
         WHERE interaction.project = ?1 AND interaction.time >= ?2 AND interaction.time < ?3
         ORDER BY interaction.time, interaction.seq",
    )?;
    let mut rows = statement.query((query.project.as_str(), query.from.0, query.to.0, query.metric.as_str()))?;
    let mut judged = Vec::new();
    while let Some(found) = rows.next()? {
        if judged.len() == query.limit {
            break;
        }
        let key = RowKey(found.get(0)?);
        let row = decode(key, found.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?)?;
        let Some(decision) = row.decision(&query.metric) else { continue };
        let verdict = match (&decision.state, found.get::<_, Option<f64>>(2)?) {
            (DecisionState::Drawn, Some(score)) => {
                let probability = found.get::<_, Option<f64>>(3)?.unwrap_or(decision.probability);
                Some((score, probability, Timestamp(found.get(4)?), false))
            }
            (DecisionState::Closed(Outcome::Judged, _), _) => {
                decision.free_score().map(|score| (score, drawn_by_others(&row), row.accepted_at, true))
            }
            _ => None,
        };
        let Some((score, probability, at, is_free)) = verdict else { continue };
        let version = decision.reference.clone();
        judged.push(Judged {
            key,
            time: row.time,
            at,
            policy: row.policy.clone(),
            version,
            score,
            is_free,
            probability,
            id: row.id,
        });
    }
    Ok(judged)
}

/// One number per interaction is compared with the probability of each metric: the highest decides whether any draws it.
fn drawn_by_others(row: &Accepted) -> f64 {
    let of_called =
        |decision: &&Decision| matches!(decision.state, DecisionState::Drawn | DecisionState::Closed(Outcome::NotSampled, _));
    row.decisions.iter().filter(of_called).map(|decision| decision.probability).fold(0.0, f64::max)
}
