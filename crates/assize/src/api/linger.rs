//! Hears a sender out before it is turned away. A server that answers and closes while a body is still on its way resets the
//! connection, and the sender sees a broken pipe in place of the error, and of the `Retry-After` that it should obey.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody as _};
use axum::extract::Request;
use axum::http::{Version, header};
use axum::middleware::Next;
use axum::response::Response;
use futures::{Stream as _, StreamExt as _, stream};

/// Of what is left of a body, at most this much is read and thrown away; whoever sends more is hung up on.
const BYTES_MAX: usize = 256 << 20;
/// For at most this long.
const TIME_MAX: Duration = Duration::from_secs(5);

/// A request's body, shared by the handler and by what comes after it.
#[derive(Clone)]
struct Shared(Arc<Mutex<Option<BodyDataStream>>>);

impl Shared {
    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, axum::Error>>> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = body.as_mut() else { return Poll::Ready(None) };
        let frame = Pin::new(open).poll_next(context);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            *body = None;
        }
        frame
    }

    async fn finish(&self) {
        let mut rest = stream::poll_fn(|context| self.poll(context));
        let mut bytes = 0;
        while let Some(Ok(frame)) = rest.next().await {
            bytes += frame.len();
            if bytes > BYTES_MAX {
                return;
            }
        }
    }
}

/// Runs the handler, then reads what it has left of the body. HTTP/2 ends a stream without its connection, and a sender that asks
/// before it sends (`Expect: 100-continue`) has sent nothing yet: neither needs it.
pub async fn hear_out(request: Request, next: Next) -> Response {
    let asks_first = request.headers().contains_key(header::EXPECT);
    if request.version() > Version::HTTP_11 || asks_first || request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let shared = Shared(Arc::new(Mutex::new(Some(body.into_data_stream()))));
    let handed = shared.clone();
    let body = Body::from_stream(stream::poll_fn(move |context| handed.poll(context)));
    let response = next.run(Request::from_parts(parts, body)).await;
    // Too slow or too much: then the connection closes under the sender after all.
    let _ = tokio::time::timeout(TIME_MAX, shared.finish()).await;
    response
}
