//! Receives a request's body: bounded in size, in time and in number.

use std::sync::Arc;
use std::time::Duration;

use assize_core::ProjectName;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::OwnedSemaphorePermit;

use super::Server;
use super::error::ApiError;
use crate::access::Principal;
use crate::ingest::{self, ItemError};

/// A body that is not here by then never comes.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// A place among the requests in hand; 503 when there is none.
pub fn admit(server: &Server) -> Result<OwnedSemaphorePermit, ApiError> {
    Arc::clone(&server.requests).try_acquire_owned().map_err(|_| {
        server.pipeline.counters.refuse("overloaded");
        ApiError::unavailable(
            "overloaded",
            "too many requests at once; send this one again later",
            super::overload::retry_after(),
        )
    })
}

/// Whether anything of `project` is taken; 403 with the reason where its tenant is disabled.
pub fn taken(server: &Server, who: &Principal, project: &ProjectName) -> Result<(), ApiError> {
    match who.refused(project, server.clock().now()) {
        None => Ok(()),
        Some(error) => {
            server.pipeline.counters.refuse(error.code);
            Err(disabled(error))
        }
    }
}

/// The answer to a sender of whom nothing is taken.
pub fn disabled(error: ItemError) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, error.code, error.message)
}

/// The whole body, decompressed.
pub async fn body(server: &Server, headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    let remedy = "send fewer items at a time, or raise ingest.body_bytes_max";
    let limit = server.settings.ingest.body_bytes_max;
    read(headers, body, limit, remedy).await.inspect_err(|error| server.pipeline.counters.refuse(error.code))
}

/// The whole body of what is small whatever it says, decompressed.
pub async fn small_body(server: &Server, headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let remedy = "shorten its texts";
    read(headers, body, limit, remedy).await.inspect_err(|error| server.pipeline.counters.refuse(error.code))
}

async fn read(headers: &HeaderMap, body: Body, limit: usize, remedy: &str) -> Result<Bytes, ApiError> {
    let too_large = || {
        let message = format!("the body is larger than {limit} bytes: {remedy}");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
    };
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > limit) {
        return Err(too_large());
    }
    let collected = tokio::time::timeout(BODY_TIME_MAX, Limited::new(body, limit).collect()).await;
    let bytes = match collected {
        Err(_) => {
            return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", "the body did not arrive within 30 seconds"));
        }
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large()),
        Ok(Err(_)) => return Err(ApiError::bad_request("body_cut_short", "the body broke off before its end")),
        Ok(Ok(collected)) => collected.to_bytes(),
    };
    match headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or_default().to_ascii_lowercase()).as_deref() {
        None | Some("" | "identity") => Ok(bytes),
        Some("gzip" | "x-gzip") => Ok(ingest::inflate(&bytes, limit)?),
        Some(other) => {
            let message = format!("Content-Encoding {other:?} is not understood: use gzip, or none");
            Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", message))
        }
    }
}
