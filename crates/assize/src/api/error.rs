//! Errors as the REST surface shows them: `{"error":{"code","message"}}`.

use assize_core::{StoreError, StoreErrorKind};
use axum::Json;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::ingest::{BodyError, ItemError};
use crate::pipeline::accept::AcceptError;

/// An error that a client sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
    /// Seconds after which the client should come back.
    pub retry_after: Option<u64>,
}

/// The body of every error.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorDetail {
    /// A code to act on, such as `invalid_json`.
    pub code: String,
    /// What is wrong, where, and what to do.
    pub message: String,
}

impl ApiError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after: None }
    }

    pub fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub fn unavailable(code: &'static str, message: impl Into<String>, retry_after: u64) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message) }
    }
}

/// How a key may be sent, as every 401 says.
pub const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer, Basic realm=\"assize\"");

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody { error: ErrorDetail { code: self.code.to_owned(), message: self.message } };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, CHALLENGE);
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error.kind {
            StoreErrorKind::Invalid => Self::bad_request("invalid_parameter", error.message),
            StoreErrorKind::Overloaded => Self::unavailable("overloaded", error.message, super::overload::retry_after()),
            kind => {
                tracing::error!(?kind, %error, "a request failed in the store");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "store_failed", "the store failed; the server's log says why")
            }
        }
    }
}

impl From<AcceptError> for ApiError {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::Overloaded(message) => Self::unavailable("overloaded", message, super::overload::retry_after()),
            AcceptError::RateLimited(message) => Self::unavailable("rate_limited", message, super::overload::retry_after()),
            AcceptError::Store(error) => {
                tracing::error!(kind = ?error.kind, %error, "interactions could not be stored");
                let message = "the interactions could not be stored; nothing of this request was accepted; send it again later";
                Self::unavailable("store_failed", message, super::overload::retry_after())
            }
        }
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        let status = if error.code == "body_too_large" { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST };
        Self::new(status, error.code, error.message)
    }
}

impl From<ItemError> for ApiError {
    fn from(error: ItemError) -> Self {
        let status = if error.code == "unknown_project" { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST };
        Self::new(status, error.code, error.message)
    }
}

/// For paths that do not exist.
pub async fn not_found(uri: Uri) -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "not_found",
        format!("there is nothing at {}: /openapi.json lists what there is", uri.path()),
    )
}

/// For methods that a path does not take.
pub async fn method_not_allowed(uri: Uri) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("{} does not take this method: /openapi.json lists what it takes", uri.path()),
    )
}

/// For a defect of our own: the request fails, the server goes on.
pub fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> Response {
    tracing::error!("a handler panicked; this is a defect, please report it");
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "an internal error; the server's log has more").into_response()
}
