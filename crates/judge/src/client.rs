//! HTTP clients as all judges and providers are called with: what they share, what is read of an answer, and how errors are told.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Client, ClientBuilder, Response, Url};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Shorter than what servers and load balancers usually allow, so that it is we who close.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// A client of the host of `url`: one attempt a call, no redirect, no answer after `timeout`, at most `concurrency` idle connections.
pub(crate) fn builder(url: &Url, headers: HeaderMap, timeout: Duration, concurrency: usize) -> ClientBuilder {
    crate::providers::install_tls();
    let client = Client::builder()
        .user_agent(concat!("assize/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers)
        .timeout(timeout)
        .connect_timeout(timeout.min(CONNECT_TIMEOUT))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .http1_only()
        .tcp_nodelay(true)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(concurrency);
    // No redirect is followed, so that without TLS no certificate will be needed.
    if url.scheme() == "http" { client.tls_certs_only([]) } else { client }
}

/// Host and port, as errors name them.
pub(crate) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or(host.to_owned(), |port| format!("{host}:{port}"))
}

/// Whether a status says that somebody's time limit passed before the answer came: 408 and 504 (RFC 9110, 15.5.9 and 15.6.5), and 524 of
/// Cloudflare's, before whose gateways many hosts of models are. The work may have been done all the same, and billed.
pub(crate) fn is_timeout(status: u16) -> bool {
    matches!(status, 408 | 504 | 524)
}

/// The body, or `None` where it is longer than `bytes_max`.
pub(crate) async fn read(mut response: Response, bytes_max: usize) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > bytes_max {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// The chain of causes without the address, which may hold what is nobody's business; the outermost only says that something failed.
pub(crate) fn causes(error: &reqwest::Error) -> String {
    let mut chain = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        chain.push(error.to_string());
        source = error.source();
    }
    if chain.is_empty() { "no cause was given".to_owned() } else { chain.join(": ") }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn no_more_is_read_than_the_limit() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let served = tokio::spawn(async move {
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 1024]).await.unwrap();
                let answer = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\n0123456789";
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let client = builder(&url, HeaderMap::new(), Duration::from_secs(5), 1).no_proxy().build().unwrap();
        for (bytes_max, wanted) in [(10, Some(b"0123456789".to_vec())), (9, None)] {
            let response = client.get(url.clone()).send().await.unwrap();
            assert_eq!(read(response, bytes_max).await.unwrap(), wanted);
        }
        served.await.unwrap();
        assert_eq!(host(&url), format!("127.0.0.1:{}", url.port().unwrap()));
        assert_eq!(host(&Url::parse("https://api.example/v1").unwrap()), "api.example");
    }
}
