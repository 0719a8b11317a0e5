//! `/v1/audit`: who changed what, when, from what to what. For admins.

use std::sync::Arc;

use assize_core::audit::{AuditEntry, AuditQuery, Change};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::Server;
use super::auth::Admin;
use super::error::{ApiError, ErrorBody};
use super::params::{Params, limit};

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditParams {
    /// Of this subject only, such as `tenant/acme`, `project/shop`, `key/KEY-ID`, `metric/PROJECT/METRIC` or `platform`.
    pub subject: Option<String>,
    /// Entries with a smaller number only: `next` of the page before.
    pub before: Option<u64>,
    /// At most this many, 1 to 1,000; 100 where not given.
    pub limit: Option<usize>,
}

/// Changes, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditBody {
    pub entries: Vec<AuditView>,
    /// `before` of the next page; null at the end.
    pub next: Option<u64>,
}

/// A change.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditView {
    /// 1 for the first, one more for each after it.
    pub number: u64,
    pub at: String,
    /// The id of the key with which it was made; `configuration` or `start` where the server made it by itself.
    pub by: String,
    /// What was done, such as `tenant.change`.
    pub action: String,
    pub subject: String,
    /// What was there before; null where nothing was. Amounts are in billionths of a dollar, times in milliseconds.
    #[schema(value_type = Option<Object>)]
    pub before: Option<Value>,
    /// What is there from then on; null where nothing is.
    #[schema(value_type = Option<Object>)]
    pub after: Option<Value>,
    /// The hash of the entry before; zeros for the first.
    pub previous: String,
    /// The hash of this entry with the one before: none can be taken out or altered without all that follow showing it.
    pub hash: String,
}

impl From<AuditEntry> for AuditView {
    fn from(entry: AuditEntry) -> Self {
        let AuditEntry { number, change, previous, hash } = entry;
        let Change { at, by, action, subject, before, after } = change;
        // What is no JSON is shown as it is.
        let json = |text: String| serde_json::from_str(&text).unwrap_or(Value::String(text));
        let hex = |hash: [u8; 32]| blake3::Hash::from_bytes(hash).to_hex().to_string();
        Self {
            number,
            at: at.to_rfc3339(),
            by,
            action: action.as_str().to_owned(),
            subject,
            before: before.map(json),
            after: after.map(json),
            previous: hex(previous),
            hash: hex(hash),
        }
    }
}

/// List changes of tenants, the platform, projects, keys and metrics.
#[utoipa::path(get, path = "/v1/audit", operation_id = "list_audit", tag = "control", params(AuditParams),
    responses((status = 200, body = AuditBody), (status = 400, body = ErrorBody)))]
pub async fn list(
    State(server): State<Arc<Server>>,
    Admin(_): Admin,
    Params(params): Params<AuditParams>,
) -> Result<Json<AuditBody>, ApiError> {
    let limit = limit(params.limit)?;
    let subject = params.subject.filter(|subject| !subject.is_empty());
    let query = AuditQuery { before: params.before.unwrap_or(u64::MAX), subject, limit: limit + 1 };
    let mut entries = server.access.control().audit(&query).await?;
    let is_more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().map(|entry| entry.number).filter(|_| is_more);
    Ok(Json(AuditBody { entries: entries.into_iter().map(AuditView::from).collect(), next }))
}
