//! OTLP over HTTP: `/v1/traces`, `/v1/logs` and the Langfuse-compatible paths. Answers in the encoding of the request: 200 with the
//! protocol's own message, errors as a `Status`.

use std::sync::Arc;

use assize_core::control::Scope;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use prost::Message;
use serde::Serialize;

use super::error::{ApiError, CHALLENGE};
use super::{Server, auth, receive};
use crate::access::Principal;
use crate::ingest::otlp::{logs as log_records, traces as spans};
use crate::ingest::{ItemError, Logs, Refusals, Traces};

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Protobuf,
    Json,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        match media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "application/x-protobuf" | "application/protobuf" => Ok(Self::Protobuf),
            "application/json" => Ok(Self::Json),
            _ => {
                let message = format!("Content-Type {media:?} is not OTLP: use application/x-protobuf or application/json");
                Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message))
            }
        }
    }

    fn respond(self, status: StatusCode, message: &(impl Message + Serialize)) -> Response {
        match self {
            Self::Protobuf => {
                (status, [(header::CONTENT_TYPE, "application/x-protobuf")], message.encode_to_vec()).into_response()
            }
            Self::Json => {
                let mut json = serde_json::to_value(message).unwrap_or_default();
                // A field that is not set is left out.
                if let Some(fields) = json.as_object_mut() {
                    fields.retain(|_, value| !value.is_null());
                }
                (status, axum::Json(json)).into_response()
            }
        }
    }
}

/// `google.rpc.Status`, as far as OTLP uses it.
#[derive(Clone, PartialEq, Message, Serialize)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// Send spans: an OTLP `ExportTraceServiceRequest` as protobuf or JSON, gzip too.
#[utoipa::path(post, path = "/v1/traces", tag = "ingest",
    request_body(description = "`ExportTraceServiceRequest`", content((Vec<u8> = "application/x-protobuf"), (Object = "application/json"))),
    responses((status = 200, description = "the protocol's own response message; what was refused is its partial success"),
        (status = 400, description = "a `Status` in the encoding of the request, as for all errors"), (status = 401), (status = 403), (status = 413), (status = 415),
        (status = 503, description = "come back after `Retry-After` seconds")))]
pub async fn traces(State(server): State<Arc<Server>>, headers: HeaderMap, body: Body) -> Response {
    let encoding = Encoding::of(&headers);
    let received = async {
        let (encoding, _place, who) = open(&server, &headers, &encoding)?;
        let body = receive::body(&server, &headers, body).await?;
        let decoded = match encoding {
            Encoding::Protobuf => spans::from_protobuf(&body),
            Encoding::Json => spans::from_json(&body),
        };
        drop(body);
        receive_traces(&server, &who, decoded.inspect_err(|error| server.pipeline.counters.refuse(error.code))?).await
    };
    answer(encoding.clone().unwrap_or(Encoding::Protobuf), received.await)
}

/// Send log records: an OTLP `ExportLogsServiceRequest` as protobuf or JSON, gzip too.
#[utoipa::path(post, path = "/v1/logs", tag = "ingest",
    request_body(description = "`ExportLogsServiceRequest`", content((Vec<u8> = "application/x-protobuf"), (Object = "application/json"))),
    responses((status = 200, description = "the protocol's own response message; what was refused is its partial success"),
        (status = 400, description = "a `Status` in the encoding of the request, as for all errors"), (status = 401), (status = 403), (status = 413), (status = 415),
        (status = 503, description = "come back after `Retry-After` seconds")))]
pub async fn logs(State(server): State<Arc<Server>>, headers: HeaderMap, body: Body) -> Response {
    let encoding = Encoding::of(&headers);
    let received = async {
        let (encoding, _place, who) = open(&server, &headers, &encoding)?;
        let body = receive::body(&server, &headers, body).await?;
        let decoded = match encoding {
            Encoding::Protobuf => log_records::from_protobuf(&body),
            Encoding::Json => log_records::from_json(&body),
        };
        drop(body);
        receive_logs(&server, &who, decoded.inspect_err(|error| server.pipeline.counters.refuse(error.code))?).await
    };
    answer(encoding.clone().unwrap_or(Encoding::Protobuf), received.await)
}

type Opened = (Encoding, tokio::sync::OwnedSemaphorePermit, Principal);

fn open(server: &Server, headers: &HeaderMap, encoding: &Result<Encoding, ApiError>) -> Result<Opened, ApiError> {
    let who = auth::authorize(&server.access, headers, Scope::Ingest, server.clock().now());
    let who = who.inspect_err(|error| server.pipeline.counters.refuse(error.code))?;
    Ok((encoding.clone()?, receive::admit(server)?, who))
}

fn answer<T: Message + Serialize>(encoding: Encoding, received: Result<T, ApiError>) -> Response {
    match received {
        Ok(message) => encoding.respond(StatusCode::OK, &message),
        Err(error) => {
            let status = Status { code: grpc_code(error.status), message: format!("{}: {}", error.code, error.message) };
            let mut response = encoding.respond(error.status, &status);
            if error.status == StatusCode::UNAUTHORIZED {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, CHALLENGE);
            }
            if let Some(seconds) = error.retry_after {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            response
        }
    }
}

/// The code of `google.rpc` for a status of HTTP.
pub fn grpc_code(status: StatusCode) -> i32 {
    use tonic::Code;
    let code = match status {
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::PAYLOAD_TOO_LARGE => Code::ResourceExhausted,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        StatusCode::REQUEST_TIMEOUT => Code::DeadlineExceeded,
        status if status.is_client_error() => Code::InvalidArgument,
        _ => Code::Internal,
    };
    code as i32
}

/// Accepts decoded spans; what was refused is said in a partial success.
pub async fn receive_traces(server: &Server, who: &Principal, traces: Traces) -> Result<ExportTraceServiceResponse, ApiError> {
    // An exporter sends again what fails: what is not wanted is taken and refused, span by span.
    if let Some(error) = who.refused(&who.project, server.clock().now()) {
        let spans = traces.drafts.len().saturating_add(traces.ignored).saturating_add(traces.refused.count);
        server.pipeline.counters.reject(error.code, spans);
        let rejected_spans = i64::try_from(spans).unwrap_or(i64::MAX);
        let partial_success = ExportTracePartialSuccess { rejected_spans, error_message: told(error) };
        return Ok(ExportTraceServiceResponse { partial_success: Some(partial_success) });
    }
    server.pipeline.counters.ignore_spans(traces.ignored);
    let receipt = server.waiting.spans(&server.pipeline, who, traces.drafts).await?;
    let refused = refused(&traces.refused, &receipt.rejected);
    let partial_success =
        refused.map(|(rejected_spans, error_message)| ExportTracePartialSuccess { rejected_spans, error_message });
    Ok(ExportTraceServiceResponse { partial_success })
}

/// Accepts decoded log records; what was refused is said in a partial success.
pub async fn receive_logs(server: &Server, who: &Principal, logs: Logs) -> Result<ExportLogsServiceResponse, ApiError> {
    if let Some(error) = who.refused(&who.project, server.clock().now()) {
        let records = logs.contents.len().saturating_add(logs.ignored).saturating_add(logs.refused.count);
        server.pipeline.counters.reject(error.code, records);
        let rejected_log_records = i64::try_from(records).unwrap_or(i64::MAX);
        let partial_success = ExportLogsPartialSuccess { rejected_log_records, error_message: told(error) };
        return Ok(ExportLogsServiceResponse { partial_success: Some(partial_success) });
    }
    let receipt = server.waiting.contents(&server.pipeline, who, logs.contents).await?;
    let refused = refused(&logs.refused, &receipt.rejected);
    let partial_success =
        refused.map(|(rejected_log_records, error_message)| ExportLogsPartialSuccess { rejected_log_records, error_message });
    Ok(ExportLogsServiceResponse { partial_success })
}

fn told(error: ItemError) -> String {
    format!("{}: {}", error.code, error.message)
}

fn refused(refusals: &Refusals, rejected: &[(usize, ItemError)]) -> Option<(i64, String)> {
    let count = refusals.count + rejected.len();
    let told = refusals.summary().into_iter().chain(rejected.iter().take(20).map(|(_, error)| error.message.clone()));
    let message = told.collect::<Vec<_>>().join("; ");
    (count > 0).then(|| (i64::try_from(count).unwrap_or(i64::MAX), message))
}
