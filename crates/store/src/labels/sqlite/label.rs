//! Labels.

use assize_core::labels::{DrawnLabel, LabelFilter};
use assize_core::results::Page;
use assize_core::{InteractionId, JudgeVersion, Label, MetricName, ProjectName, Reviewer, RowKey, Source, Timestamp};
use rusqlite::{Connection, Row, params, params_from_iter, types::Value};

use super::{Failure, LIMIT_MAX, LOOKED_AT_MAX, before};

pub(super) fn put(connection: &Connection, label: &Label) -> Result<(), Failure> {
    let (review, probability, judge_version, judge_score) = match &label.source {
        Source::Review { review, probability, judge_version, judge_score } => {
            (Some(review.as_str()), Some(*probability), Some(judge_version.as_str()), Some(*judge_score))
        }
        Source::HandPicked | Source::File => (None, None, None, None),
    };
    let (project, metric) = (label.project.as_str(), label.metric.as_str());
    connection
        .prepare_cached(
            "INSERT INTO label (project, metric, key, id, time, reviewer, source, score, note, review, probability,
                 judge_version, judge_score, at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
             ON CONFLICT (project, metric, key, source, reviewer) DO UPDATE SET
                 score = excluded.score, note = excluded.note, review = excluded.review, probability = excluded.probability,
                 judge_version = excluded.judge_version, judge_score = excluded.judge_score, at = excluded.at",
        )?
        .execute(params![
            project,
            metric,
            label.key.0,
            label.id.as_str(),
            label.time.0,
            label.by.as_str(),
            label.source.as_str(),
            label.score,
            label.note,
            review,
            probability,
            judge_version,
            judge_score,
            label.at.0,
        ])?;
    if review.is_some() {
        connection
            .prepare_cached(
                "UPDATE item SET state = 'labelled', reason = NULL, held_until = 0
                 WHERE project = ?1 AND metric = ?2 AND key = ?3",
            )?
            .execute((project, metric, label.key.0))?;
    }
    Ok(())
}

pub(super) fn list(connection: &Connection, filter: &LabelFilter) -> Result<Page<Label>, Failure> {
    let limit = filter.limit.clamp(1, LIMIT_MAX);
    // One interaction's labels are found by its key; all others by walking the project's.
    let key = filter.id.as_ref().map(|id| RowKey::of(&filter.project, id));
    let narrow = if key.is_some() { "AND key = ?3" } else { "" };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT seq, metric, key, id, time, reviewer, source, score, note, review, probability, judge_version, judge_score, at
         FROM label WHERE project = ?1 AND seq < ?2 {narrow} ORDER BY seq DESC"
    ))?;
    let mut values = vec![Value::Text(filter.project.as_str().to_owned()), Value::Integer(before(filter.cursor.as_ref())?)];
    values.extend(key.map(|key| Value::Blob(key.0.to_vec())));
    let mut rows = statement.query(params_from_iter(values))?;
    let (mut items, mut looked_at, mut last) = (Vec::new(), 0, None);
    while let Some(row) = rows.next()? {
        if items.len() == limit || looked_at == LOOKED_AT_MAX {
            return Ok(Page { items, next: last });
        }
        looked_at += 1;
        last = Some(row.get::<_, i64>(0)?.to_string());
        let label = read(row, &filter.project)?;
        if matches(filter, &label) {
            items.push(label);
        }
    }
    Ok(Page { items, next: None })
}

fn matches(filter: &LabelFilter, label: &Label) -> bool {
    filter.metric.as_ref().is_none_or(|metric| *metric == label.metric)
        && filter.source.as_deref().is_none_or(|source| source == label.source.as_str())
        && filter.from.is_none_or(|from| label.time >= from)
        && filter.to.is_none_or(|to| label.time < to)
        && filter.score_min.is_none_or(|min| label.score >= min)
        && filter.score_below.is_none_or(|below| label.score < below)
}

fn read(row: &Row<'_>, project: &ProjectName) -> Result<Label, Failure> {
    let damaged = || Failure::Damaged("a label");
    let text = |at: usize| row.get::<_, String>(at);
    let source = match row.get_ref(6)?.as_str().map_err(rusqlite::Error::from)? {
        "review" => Source::Review {
            review: row.get::<_, Option<String>>(9)?.ok_or_else(damaged)?,
            probability: row.get::<_, Option<f64>>(10)?.ok_or_else(damaged)?,
            judge_version: JudgeVersion::from_stored(&row.get::<_, Option<String>>(11)?.ok_or_else(damaged)?),
            judge_score: row.get::<_, Option<f64>>(12)?.ok_or_else(damaged)?,
        },
        "hand_picked" => Source::HandPicked,
        "file" => Source::File,
        _ => return Err(damaged()),
    };
    Ok(Label {
        project: project.clone(),
        key: RowKey(row.get(2)?),
        id: InteractionId::new(&text(3)?).map_err(|_| damaged())?,
        time: Timestamp(row.get(4)?),
        metric: MetricName::new(&text(1)?).map_err(|_| damaged())?,
        score: row.get(7)?,
        note: text(8)?,
        by: Reviewer::new(&text(5)?).map_err(|_| damaged())?,
        source,
        at: Timestamp(row.get(13)?),
    })
}

pub(super) fn drawn(
    connection: &Connection,
    project: &ProjectName,
    metric: &MetricName,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<DrawnLabel>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT key, (SELECT avg(score) FROM label
             WHERE label.project = item.project AND label.metric = item.metric AND label.key = item.key AND source = 'review')
         FROM item WHERE project = ?1 AND metric = ?2 AND time >= ?3 AND time < ?4",
    )?;
    let mut rows = statement.query((project.as_str(), metric.as_str(), from.0, to.0))?;
    let mut drawn = Vec::new();
    while let Some(row) = rows.next()? {
        drawn.push(DrawnLabel { key: RowKey(row.get(0)?), human: row.get(1)? });
    }
    Ok(drawn)
}
