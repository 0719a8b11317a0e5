//! OTLP over gRPC: on the main port, and on a port of its own.

use std::sync::Arc;
use std::time::Duration;

use assize_core::control::Scope;
use axum::Router;
use axum::http::HeaderMap;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};

use super::error::ApiError;
use super::{Server, auth, otlp, receive};
use crate::access::Principal;
use crate::ingest::otlp::{logs, traces};

/// Bytes of one message, decompressed: what the protocol's own servers take. Decoded, it may need much more.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// The services as routes.
pub fn router(server: Arc<Server>) -> Router {
    let spans = TraceServiceServer::new(Receiver(Arc::clone(&server)))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(MESSAGE_BYTES_MAX);
    let records = LogsServiceServer::new(Receiver(server))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(MESSAGE_BYTES_MAX);
    // The fallback of the services would shadow that of the router that they are merged into.
    Routes::new(spans).add_service(records).prepare().into_axum_router().reset_fallback()
}

struct Receiver(Arc<Server>);

impl Receiver {
    fn open(&self, metadata: &MetadataMap) -> Result<(tokio::sync::OwnedSemaphorePermit, Principal), Status> {
        let headers: HeaderMap = metadata.clone().into_headers();
        let who = auth::authorize(&self.0.access, &headers, Scope::Ingest, self.0.clock().now());
        let who = who.inspect_err(|error| self.0.pipeline.counters.refuse(error.code)).map_err(status)?;
        Ok((receive::admit(&self.0).map_err(status)?, who))
    }
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(&self, request: Request<ExportTraceServiceRequest>) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let (_place, who) = self.open(request.metadata())?;
        let decoded = traces::from_request(request.into_inner());
        otlp::receive_traces(&self.0, &who, decoded).await.map(Response::new).map_err(status)
    }
}

#[tonic::async_trait]
impl LogsService for Receiver {
    async fn export(&self, request: Request<ExportLogsServiceRequest>) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let (_place, who) = self.open(request.metadata())?;
        let decoded = logs::from_request(request.into_inner());
        otlp::receive_logs(&self.0, &who, decoded).await.map(Response::new).map_err(status)
    }
}

fn status(error: ApiError) -> Status {
    let mut metadata = MetadataMap::new();
    if let Some(seconds) = error.retry_after {
        metadata.insert("retry-after", seconds.into());
        // gRPC exporters read the pause from `RetryInfo` in the details.
        let details = retry_info(Duration::from_secs(seconds));
        return Status::with_details_and_metadata(Code::Unavailable, error.message, details.into(), metadata);
    }
    Status::with_metadata(Code::from_i32(otlp::grpc_code(error.status)), format!("{}: {}", error.code, error.message), metadata)
}

/// A `google.rpc.Status` whose details hold a `RetryInfo`.
fn retry_info(delay: Duration) -> Vec<u8> {
    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    struct ProtoDuration {
        #[prost(int64, tag = "1")]
        seconds: i64,
    }
    #[derive(Clone, PartialEq, Message)]
    struct RetryInfo {
        #[prost(message, optional, tag = "1")]
        retry_delay: Option<ProtoDuration>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Any {
        #[prost(string, tag = "1")]
        type_url: String,
        #[prost(bytes = "vec", tag = "2")]
        value: Vec<u8>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct RpcStatus {
        #[prost(int32, tag = "1")]
        code: i32,
        #[prost(string, tag = "2")]
        message: String,
        #[prost(message, repeated, tag = "3")]
        details: Vec<Any>,
    }
    let seconds = i64::try_from(delay.as_secs()).unwrap_or(i64::MAX);
    let info = RetryInfo { retry_delay: Some(ProtoDuration { seconds }) };
    let any = Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(), value: info.encode_to_vec() };
    RpcStatus { code: Code::Unavailable as i32, message: String::new(), details: vec![any] }.encode_to_vec()
}
