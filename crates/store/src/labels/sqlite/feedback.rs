//! What end users said.

use assize_core::label::FEEDBACK_MAX;
use assize_core::labels::{FeedbackFilter, Kept};
use assize_core::results::Page;
use assize_core::{Feedback, InteractionId, ProjectName, RowKey, ScoreName, Timestamp};
use rusqlite::{Connection, Row, params, params_from_iter, types::Value};

use super::{Failure, LIMIT_MAX, LOOKED_AT_MAX, before};

pub(super) fn put(connection: &Connection, feedback: &Feedback) -> Result<Kept, Failure> {
    let project = feedback.project.as_str();
    let key = RowKey::of(&feedback.project, &feedback.interaction).0;
    let value = serde_json::to_string(&feedback.value).map_err(|_| Failure::Invalid("the value is no JSON".to_owned()))?;
    let replaced = connection
        .prepare_cached(
            "UPDATE feedback SET value = ?5, comment = ?6, at = ?7 WHERE project = ?1 AND key = ?2 AND name = ?3 AND id = ?4",
        )?
        .execute(params![project, key, feedback.name.as_str(), feedback.id, value, feedback.comment, feedback.at.0])?;
    if replaced > 0 {
        return Ok(Kept::Replaced);
    }
    let there: i64 = connection
        .prepare_cached("SELECT count(*) FROM feedback WHERE project = ?1 AND key = ?2")?
        .query_row((project, key), |row| row.get(0))?;
    if there.unsigned_abs() >= FEEDBACK_MAX as u64 {
        return Ok(Kept::TooMany);
    }
    connection
        .prepare_cached(
            "INSERT INTO feedback (project, key, interaction, name, id, value, comment, at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            project,
            key,
            feedback.interaction.as_str(),
            feedback.name.as_str(),
            feedback.id,
            value,
            feedback.comment,
            feedback.at.0
        ])?;
    Ok(Kept::New)
}

pub(super) fn list(connection: &Connection, filter: &FeedbackFilter) -> Result<Page<Feedback>, Failure> {
    let limit = filter.limit.clamp(1, LIMIT_MAX);
    let key = filter.interaction.as_ref().map(|id| RowKey::of(&filter.project, id));
    let narrow = if key.is_some() { "AND key = ?3" } else { "" };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT seq, interaction, name, id, value, comment, at
         FROM feedback WHERE project = ?1 AND seq < ?2 {narrow} ORDER BY seq DESC"
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
        let feedback = read(row, &filter.project)?;
        let wanted = filter.name.as_ref().is_none_or(|name| *name == feedback.name)
            && filter.from.is_none_or(|from| feedback.at >= from)
            && filter.to.is_none_or(|to| feedback.at < to);
        if wanted {
            items.push(feedback);
        }
    }
    Ok(Page { items, next: None })
}

fn read(row: &Row<'_>, project: &ProjectName) -> Result<Feedback, Failure> {
    let damaged = || Failure::Damaged("feedback");
    let value: String = row.get(4)?;
    Ok(Feedback {
        project: project.clone(),
        interaction: InteractionId::new(&row.get::<_, String>(1)?).map_err(|_| damaged())?,
        name: ScoreName::new(&row.get::<_, String>(2)?).map_err(|_| damaged())?,
        id: row.get(3)?,
        value: serde_json::from_str(&value).map_err(|_| damaged())?,
        comment: row.get(5)?,
        at: Timestamp(row.get(6)?),
    })
}
