//! Draws and the queue of what they took.

use std::time::Duration;

use assize_core::label::REVIEWS_MAX;
use assize_core::labels::Progress;
use assize_core::{
    InteractionId, JudgeVersion, MetricName, ProjectName, Review, ReviewItem, ReviewState, Reviewer, RowKey, Timestamp,
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::Failure;

const COLUMNS: &str = "key, id, time, review, probability, judge_version, judge_score, place, state, holder, held_until, reason";

pub(super) fn put(connection: &Connection, review: &Review, items: &[ReviewItem]) -> Result<u64, Failure> {
    let (project, metric) = (review.project.as_str(), review.metric.as_str());
    let there: i64 = connection
        .prepare_cached("SELECT count(*) FROM review WHERE project = ?1 AND metric = ?2")?
        .query_row((project, metric), |row| row.get(0))?;
    if there.unsigned_abs() >= REVIEWS_MAX as u64 {
        return Err(Failure::Invalid(format!("metric {metric} has {there} draws already: label what they took")));
    }
    let json = serde_json::to_string(review).map_err(|_| Failure::Invalid("the draw cannot be written down".to_owned()))?;
    connection
        .prepare_cached("INSERT INTO review (id, project, metric, json) VALUES (?1, ?2, ?3, ?4)")?
        .execute((&review.id, project, metric, json))?;
    let mut known = connection
        .prepare_cached("UPDATE item SET probability = max(probability, ?4) WHERE project = ?1 AND metric = ?2 AND key = ?3")?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO item (project, metric, key, id, time, review, probability, judge_version, judge_score, place, state)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'open')",
    )?;
    let mut new = 0;
    for item in items {
        if known.execute(params![project, metric, item.key.0, item.probability])? > 0 {
            continue;
        }
        insert.execute(params![
            project,
            metric,
            item.key.0,
            item.id.as_str(),
            item.time.0,
            review.id,
            item.probability,
            item.judge_version.as_str(),
            item.judge_score,
            item.place,
        ])?;
        new += 1;
    }
    Ok(new)
}

pub(super) fn reviews(
    connection: &Connection,
    project: &ProjectName,
    metric: Option<&MetricName>,
) -> Result<Vec<Review>, Failure> {
    let mut statement = connection
        .prepare_cached("SELECT json FROM review WHERE project = ?1 AND (?2 IS NULL OR metric = ?2) ORDER BY seq DESC")?;
    let mut rows = statement.query((project.as_str(), metric.map(MetricName::as_str)))?;
    let mut reviews = Vec::new();
    while let Some(row) = rows.next()? {
        let json = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
        reviews.push(serde_json::from_str(json).map_err(|_| Failure::Damaged("a draw"))?);
    }
    Ok(reviews)
}

pub(super) fn progress(
    connection: &Connection,
    project: &ProjectName,
    now: Timestamp,
) -> Result<Vec<(MetricName, Progress)>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT metric, count(*), sum(state = 'open' AND held_until <= ?2), sum(state = 'open' AND held_until > ?2),
             sum(state = 'labelled'), sum(state = 'skipped')
         FROM item WHERE project = ?1 GROUP BY metric ORDER BY metric",
    )?;
    let mut rows = statement.query((project.as_str(), now.0))?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let name = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
        let metric = MetricName::new(name).map_err(|_| Failure::Damaged("a metric's name"))?;
        let count = |at| row.get::<_, i64>(at).map(i64::unsigned_abs);
        let progress = Progress { drawn: count(1)?, open: count(2)?, leased: count(3)?, labelled: count(4)?, skipped: count(5)? };
        all.push((metric, progress));
    }
    Ok(all)
}

pub(super) fn next(
    connection: &Connection,
    project: &ProjectName,
    metric: &MetricName,
    by: &Reviewer,
    now: Timestamp,
    lease: Duration,
) -> Result<Option<ReviewItem>, Failure> {
    let own = "state = 'open' AND held_until > ?3 AND holder = ?4";
    let free = "state = 'open' AND held_until <= ?3 AND ?4 IS NOT NULL";
    for which in [own, free] {
        let found: Option<[u8; 16]> = connection
            .prepare_cached(&format!(
                "SELECT key FROM item WHERE project = ?1 AND metric = ?2 AND {which} ORDER BY place LIMIT 1"
            ))?
            .query_row((project.as_str(), metric.as_str(), now.0, by.as_str()), |row| row.get(0))
            .optional()?;
        let Some(key) = found else { continue };
        connection
            .prepare_cached("UPDATE item SET holder = ?4, held_until = ?5 WHERE project = ?1 AND metric = ?2 AND key = ?3")?
            .execute((project.as_str(), metric.as_str(), key, by.as_str(), now.plus(lease).0))?;
        return item(connection, project, metric, RowKey(key), now);
    }
    Ok(None)
}

pub(super) fn item(
    connection: &Connection,
    project: &ProjectName,
    metric: &MetricName,
    key: RowKey,
    now: Timestamp,
) -> Result<Option<ReviewItem>, Failure> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM item WHERE project = ?1 AND metric = ?2 AND key = ?3"))?;
    let mut rows = statement.query((project.as_str(), metric.as_str(), key.0))?;
    rows.next()?.map(|row| read(row, project, metric, now)).transpose()
}

fn read(row: &Row<'_>, project: &ProjectName, metric: &MetricName, now: Timestamp) -> Result<ReviewItem, Failure> {
    let damaged = || Failure::Damaged("an item of the review queue");
    let holder: Option<String> = row.get(9)?;
    let holder = holder.map(|name| Reviewer::new(&name)).transpose().map_err(|_| damaged())?;
    let until = Timestamp(row.get(10)?);
    let state = match (row.get_ref(8)?.as_str().map_err(rusqlite::Error::from)?, &holder) {
        ("open", Some(by)) if until > now => ReviewState::Leased { by: by.clone(), until },
        ("open", _) => ReviewState::Open,
        ("labelled", _) => ReviewState::Labelled,
        ("skipped", _) => ReviewState::Skipped { reason: row.get::<_, Option<String>>(11)?.unwrap_or_default() },
        _ => return Err(damaged()),
    };
    Ok(ReviewItem {
        review: row.get(3)?,
        project: project.clone(),
        metric: metric.clone(),
        key: RowKey(row.get(0)?),
        id: InteractionId::new(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?).map_err(|_| damaged())?,
        time: Timestamp(row.get(2)?),
        probability: row.get(4)?,
        judge_version: JudgeVersion::from_stored(row.get_ref(5)?.as_str().map_err(rusqlite::Error::from)?),
        judge_score: row.get(6)?,
        place: row.get(7)?,
        state,
        holder,
    })
}

pub(super) fn skip(
    connection: &Connection,
    project: &ProjectName,
    metric: &MetricName,
    key: RowKey,
    reason: &str,
) -> Result<bool, Failure> {
    let sql = "UPDATE item SET state = 'skipped', reason = ?4, held_until = 0
               WHERE project = ?1 AND metric = ?2 AND key = ?3 AND state <> 'labelled'";
    Ok(connection.prepare_cached(sql)?.execute((project.as_str(), metric.as_str(), key.0, reason))? > 0)
}
