//! `/v1/projects/{project}/cache`: what is kept to be used again, for admins.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::Server;
use super::auth::Admin;
use super::error::{ApiError, ErrorBody};
use super::params::Segments;
use crate::pipeline::reuse::Reuse;

/// What the cache of verdicts holds, and what it did since the process started; over all tenants.
#[derive(Debug, Serialize, ToSchema)]
pub struct CacheBody {
    pub entries: u64,
    pub bytes: u64,
    pub hits: u64,
    pub misses: u64,
    /// Verdicts that were removed for want of room.
    pub evictions: u64,
    /// Look-ups and puts that failed.
    pub failures: u64,
}

/// What was forgotten.
#[derive(Debug, Serialize, ToSchema)]
pub struct PurgedBody {
    /// The tenant whose verdicts are kept no more, in any of its projects.
    pub tenant: String,
    pub entries: u64,
}

/// Look at the cache of verdicts.
#[utoipa::path(get, path = "/v1/projects/{project}/cache", tag = "control", params(("project" = String, Path)),
    responses((status = 200, body = CacheBody), (status = 404, body = ErrorBody)))]
pub async fn show(
    State(server): State<Arc<Server>>,
    Admin(who): Admin,
    Segments(name): Segments<String>,
) -> Result<Json<CacheBody>, ApiError> {
    who.project_named(&name)?;
    let stats = reuse(&server)?.cache().stats();
    Ok(Json(CacheBody {
        entries: stats.entries,
        bytes: stats.bytes,
        hits: stats.hits,
        misses: stats.misses,
        evictions: stats.evictions,
        failures: stats.failures,
    }))
}

/// Forget the verdicts that are kept for the project's tenant. What was recorded stays.
#[utoipa::path(delete, path = "/v1/projects/{project}/cache", tag = "control", params(("project" = String, Path)),
    responses((status = 200, body = PurgedBody), (status = 404, body = ErrorBody)))]
pub async fn purge(
    State(server): State<Arc<Server>>,
    Admin(who): Admin,
    Segments(name): Segments<String>,
) -> Result<Json<PurgedBody>, ApiError> {
    let tenant = (server.access.tenants())(&who.project_named(&name)?);
    let entries = reuse(&server)?.purge(&tenant).await?;
    Ok(Json(PurgedBody { tenant: tenant.to_string(), entries }))
}

fn reuse(server: &Server) -> Result<&Reuse, ApiError> {
    let off = || ApiError::new(StatusCode::NOT_FOUND, "no_cache", "store.cache is empty: no verdicts are kept to be used again");
    server.pipeline.reuse.as_ref().ok_or_else(off)
}
