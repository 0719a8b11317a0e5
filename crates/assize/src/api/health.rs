//! Whether the process lives, whether it can work, and what it has counted.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Server;

/// The process answers.
#[utoipa::path(get, path = "/healthz", tag = "operation", security(()), responses((status = 200, body = String)))]
pub async fn live() -> &'static str {
    "ok\n"
}

/// The stores answer.
#[utoipa::path(get, path = "/readyz", tag = "operation", security(()), responses((status = 200, body = String), (status = 503, body = String)))]
pub async fn ready(State(server): State<Arc<Server>>) -> Response {
    match server.pipeline.queue.depth(server.clock().now()).await {
        Ok(_) => "ready\n".into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("the queue does not answer: {error}\n")).into_response(),
    }
}

/// Counters in Prometheus text.
#[utoipa::path(get, path = "/metrics", tag = "operation", security(()), responses((status = 200, body = String)))]
pub async fn counters(State(server): State<Arc<Server>>) -> Response {
    let mut text = server.pipeline.counters.render(&server.pipeline.panels.providers().gates());
    if let Ok(depth) = server.pipeline.queue.depth(server.clock().now()).await {
        let gauges = [("ready", depth.ready), ("delayed", depth.delayed), ("leased", depth.leased), ("dead", depth.dead)];
        let lines: String =
            gauges.iter().map(|(state, count)| format!("assize_queue_items{{state=\"{state}\"}} {count}\n")).collect();
        let end = text.strip_suffix("# EOF\n").map_or(text.len(), str::len);
        text.insert_str(
            end,
            &format!("# HELP assize_queue_items Drawn items in the queue.\n# TYPE assize_queue_items gauge\n{lines}"),
        );
    }
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}
