//! What the fakes on this machine have in common: a free port of loopback, responses as they stand, and a memory of what came in.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Calls that are remembered whole; of more, the newest.
const CALLS_MAX: usize = 10_000;
const BODY_BYTES_MAX: usize = 64 << 20;

/// A server on loopback; it stops when it is dropped.
pub(super) struct Serving {
    pub(super) address: SocketAddr,
    server: JoinHandle<()>,
}

impl Serving {
    /// Serves on a free port.
    pub(super) async fn start(routes: Router) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let app = routes.layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
        let server = tokio::spawn(async move {
            let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
                let _ = stream.set_nodelay(true);
            });
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { address, server })
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The newest of what came in.
pub(super) struct Newest<T>(VecDeque<Arc<T>>);

impl<T> Default for Newest<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Newest<T> {
    /// Takes in one more.
    pub(super) fn push(&mut self, call: Arc<T>) {
        if self.0.len() == CALLS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(call);
    }

    /// The oldest first.
    pub(super) fn all(&self) -> Vec<Arc<T>> {
        self.0.iter().cloned().collect()
    }

    pub(super) fn last(&self) -> Option<Arc<T>> {
        self.0.back().cloned()
    }
}

/// A success with this body.
pub(super) fn json(body: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// A response as it stands.
pub(super) fn raw(status: u16, headers: Vec<(String, String)>, body: Vec<u8>) -> Response {
    let mut response = (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in headers {
        // The length is the body's own, whatever a recording says.
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(&value))
            && name != header::CONTENT_LENGTH
            && name != header::TRANSFER_ENCODING
        {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
