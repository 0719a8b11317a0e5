//! HTTP judges against a real socket: what is sent, what is understood of the answers, and which addresses are not called.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ffi::OsString;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use assize_core::judge::{CallFailure, CallFailureKind, CalledJudge};
use assize_core::{Flags, Interaction, InteractionId, JudgeName, Message, NanoUsd, ProjectName, Role, Timestamp, Verdict};
use assize_judge::spec::{HttpSpec, Question};
use assize_judge::{HttpJudge, SpecError};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A server that answers every request alike, and what it was sent.
struct Service {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Service {
    async fn start(reply: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (kept, reply) = (Arc::clone(&requests), reply.into());
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let (kept, reply) = (Arc::clone(&kept), reply.clone());
                tokio::spawn(async move {
                    let mut request = Vec::new();
                    while !is_whole(&request) {
                        let mut chunk = [0; 4096];
                        match connection.read(&mut chunk).await {
                            Ok(bytes @ 1..) => request.extend_from_slice(&chunk[..bytes]),
                            _ => return,
                        }
                    }
                    kept.lock().unwrap().push(String::from_utf8(request).unwrap());
                    if reply.is_empty() {
                        // Never answers.
                        std::future::pending::<()>().await;
                    }
                    let _ = connection.write_all(&reply).await;
                });
            }
        });
        Self { port, requests }
    }

    async fn json(status: &str, headers: &str, body: &Value) -> Self {
        Self::start(http(status, headers, &body.to_string())).await
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/judge?team=a", self.port)
    }
}

fn http(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok());
    body.len() >= length.unwrap_or(0)
}

fn variable(name: &str) -> Option<OsString> {
    match name {
        "JUDGE_TOKEN" => Some("tok-0123456789abcdef\n".into()),
        "JUDGE_BASIC" => Some("Basic dXNlcjpwYXNzd29yZA==".into()),
        _ => None,
    }
}

fn judge(url: &str, change: Value) -> Result<HttpJudge, SpecError> {
    let mut spec = json!({"url": url, "allow_private": true});
    spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let spec: HttpSpec = serde_json::from_value(spec).unwrap();
    let question = Question { text: "Is it toxic?".into(), ..Question::default() };
    HttpJudge::open(&JudgeName::new("service").unwrap(), &spec, &[question], &variable)
}

async fn ask(judge: &HttpJudge) -> Result<Verdict, CallFailure> {
    let interaction = Interaction {
        id: InteractionId::new("i1").unwrap(),
        project: ProjectName::new("default").unwrap(),
        time: Timestamp(0),
        conversation_id: None,
        model: None,
        prompt_version: None,
        environment: None,
        system: None,
        input: vec![Message::new(Role::User, "What is my card number?")],
        output: vec![Message::new(Role::Assistant, "It is 4111 1111 1111 1111.")],
        context: Vec::new(),
        reference: None,
        tags: Default::default(),
        usage: None,
        flags: Flags::default(),
    };
    let results = judge.attempt(&interaction, &[0]).await;
    assert_eq!(results.len(), 1);
    results.into_iter().next().unwrap()
}

#[tokio::test]
async fn one_post_and_its_answer() {
    let answer = json!({"score": 0.25, "label": "mild", "confidence": 0.75, "reason": "why", "model": "m-2"});
    let service = Service::json("200 OK", "", &answer).await;
    let change = json!({"headers": {"X-Team": "blue"}, "headers_env": {"X-Api-Key": "JUDGE_TOKEN"}, "authorization_env": "JUDGE_BASIC",
        "price_per_call_usd": 0.002});
    let judge = judge(&service.url(), change).unwrap();
    let verdict = ask(&judge).await.unwrap();
    assert_eq!((verdict.score, verdict.label.as_deref(), verdict.confidence), (0.25, Some("mild"), Some(0.75)));
    assert_eq!((verdict.model.as_deref(), verdict.cost, verdict.usage), (Some("m-2"), Some(NanoUsd(2_000_000)), None));
    assert_eq!(judge.provider().as_str(), "service");
    let requests = service.requests();
    assert_eq!(requests.len(), 1);
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("post /judge?team=a http/1.1"), "{head}");
    for header in ["x-team: blue", "x-api-key: tok-0123456789abcdef", "authorization: basic ", "content-type: application/json"] {
        assert!(head.contains(header), "{header} in {head}");
    }
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        body,
        json!({"question": "Is it toxic?", "interaction_id": "i1", "input": "What is my card number?",
            "output": "It is 4111 1111 1111 1111."})
    );
}

#[tokio::test]
async fn a_token_alone_is_a_bearers() {
    let service = Service::json("200 OK", "", &json!({"score": 1})).await;
    let judge = judge(&service.url(), json!({"authorization_env": "JUDGE_TOKEN"})).unwrap();
    assert_eq!(ask(&judge).await.unwrap().cost, Some(NanoUsd::ZERO));
    assert!(service.requests()[0].to_ascii_lowercase().contains("authorization: bearer tok-0123456789abcdef\r\n"));
}

#[test]
fn a_variable_that_is_not_set_is_named() {
    for (change, key) in [
        (json!({"authorization_env": "NOWHERE"}), "authorization_env"),
        (json!({"headers_env": {"X-A": "NOWHERE"}}), "headers_env.X-A"),
    ] {
        let error = judge("http://127.0.0.1:1/", change).err().unwrap();
        assert_eq!(error.key, key);
        assert!(error.message.contains("NOWHERE"), "{error}");
    }
}

#[tokio::test]
async fn what_is_no_verdict_is_a_failure_of_its_kind() {
    use CallFailureKind::*;
    let long = format!("{{\"score\": 1, \"reason\": \"{}\"}}", "x".repeat(300 << 10));
    let cases = [
        ("200 OK", "", r#"{"score": 2}"#, InvalidAnswer, true),
        ("200 OK", "", r#"{"score": NaN}"#, InvalidAnswer, true),
        ("200 OK", "", r#"[{"score": 1}]"#, InvalidAnswer, true),
        ("200 OK", "", "", InvalidAnswer, true),
        ("200 OK", "", "not toxic", InvalidAnswer, true),
        ("200 OK", "", long.as_str(), InvalidAnswer, true),
        ("200 OK", "", r#"{"error": "cannot"}"#, Rejected, true),
        ("200 OK", "", r#"{"error": "busy", "retryable": true}"#, Unavailable, true),
        ("400 Bad Request", "", r#"{"error": {"message": "bad"}}"#, Rejected, false),
        ("401 Unauthorized", "", "", Unauthorized, false),
        ("403 Forbidden", "", "", Unauthorized, false),
        ("404 Not Found", "", "", Rejected, false),
        ("408 Request Timeout", "", "", Timeout, false),
        ("429 Too Many Requests", "retry-after: 7\r\n", "", RateLimited, false),
        ("500 Internal Server Error", "", "", Unavailable, false),
        ("502 Bad Gateway", "", "", Unavailable, false),
        ("504 Gateway Timeout", "", "", Timeout, false),
        ("503 Service Unavailable", "retry-after: 7\r\n", r#"{"detail": "down"}"#, Unavailable, false),
    ];
    for (status, headers, body, kind, paid) in cases {
        let service = Service::start(http(status, headers, body)).await;
        let judge = judge(&service.url(), json!({"price_per_call_usd": 0.001})).unwrap();
        let failure = ask(&judge).await.unwrap_err();
        assert_eq!(failure.kind, kind, "{status} {body:.60}: {}", failure.message);
        assert_eq!(failure.cost, paid.then_some(NanoUsd(1_000_000)), "{status} {body:.60}");
        assert_eq!(failure.retry_after, (!headers.is_empty()).then_some(Duration::from_secs(7)), "{status}");
        assert_eq!(service.requests().len(), 1, "one attempt");
    }
}

#[tokio::test]
async fn errors_repeat_neither_judged_text_nor_secrets() {
    for said in ["refused: 'It is 4111 1111 1111 1111.'", "token tok-0123456789abcdef is wrong"] {
        for status in ["200 OK", "500 Oops", "403 Forbidden"] {
            let service = Service::json(status, "", &json!({"error": said})).await;
            let judge = judge(&service.url(), json!({"authorization_env": "JUDGE_TOKEN"})).unwrap();
            let failure = ask(&judge).await.unwrap_err();
            assert!(failure.message.contains("left out"), "{}", failure.message);
            assert!(!failure.message.contains("4111") && !failure.message.contains("tok-"), "{}", failure.message);
        }
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let inside = Service::json("200 OK", "", &json!({"score": 1})).await;
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let service = Service::start(http(status, &format!("location: {}\r\n", inside.url()), "")).await;
        let failure = ask(&judge(&service.url(), json!({})).unwrap()).await.unwrap_err();
        assert_eq!(failure.kind, CallFailureKind::Rejected);
        assert!(failure.message.contains("redirects are not followed"), "{}", failure.message);
    }
    assert_eq!(inside.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn private_addresses_are_called_only_if_allowed() {
    let service = Service::json("200 OK", "", &json!({"score": 1})).await;
    let port = service.port;
    let private = json!({"allow_private": false});
    // Written out, in whatever notation, it is refused when the judge is opened.
    for host in ["127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "169.254.169.254"] {
        let error = judge(&format!("http://{host}:{port}/"), private.clone()).err().unwrap();
        assert_eq!(error.key, "url", "{host}");
        assert!(error.message.contains("allow_private"), "{error}");
    }
    // A name is looked at when it is connected to.
    for host in ["localhost", "LOCALHOST"] {
        let closed = judge(&format!("http://{host}:{port}/"), private.clone()).unwrap();
        let failure = ask(&closed).await.unwrap_err();
        assert_eq!(failure.kind, CallFailureKind::Rejected, "{}", failure.message);
        assert!(failure.message.contains("allow_private = true"), "{}", failure.message);
        assert_eq!(failure.cost, Some(NanoUsd::ZERO), "nobody was called");
    }
    assert_eq!(service.requests(), Vec::<String>::new());
    let open = judge(&format!("http://localhost:{port}/"), json!({})).unwrap();
    assert_eq!(ask(&open).await.unwrap().score, 1.0);
    assert_eq!(service.requests().len(), 1);
}

#[tokio::test]
async fn nobody_there_and_nobody_who_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let failure = ask(&judge(&url, json!({"price_per_call_usd": 0.001})).unwrap()).await.unwrap_err();
    assert_eq!((failure.kind, failure.cost), (CallFailureKind::Network, Some(NanoUsd::ZERO)));
    let service = Service::start("").await;
    let silent = judge(&service.url(), json!({"timeout_seconds": 1, "price_per_call_usd": 0.001})).unwrap();
    let failure = ask(&silent).await.unwrap_err();
    assert_eq!((failure.kind, failure.cost), (CallFailureKind::Timeout, None), "whether it is charged nobody knows");
    assert!(failure.message.contains("timeout_seconds"), "{}", failure.message);
    let service = Service::start("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"score\": 1").await;
    assert_eq!(ask(&judge(&service.url(), json!({})).unwrap()).await.unwrap_err().kind, CallFailureKind::Network);
}

#[test]
fn another_address_question_or_name_is_another_version() {
    let version = |url: &str, change: Value| judge(url, change).unwrap().versions()[0].clone();
    let first = version("http://127.0.0.1:1/a", json!({}));
    assert_eq!(version("http://127.0.0.1:1/a", json!({"timeout_seconds": 3, "headers": {"X-A": "b"}})), first);
    assert_ne!(version("http://127.0.0.1:1/b", json!({})), first);
    let named = version("http://127.0.0.1:1/a", json!({"version": "1"}));
    assert_eq!(version("http://127.0.0.1:2/b", json!({"version": "1"})), named);
    assert_ne!(version("http://127.0.0.1:1/a", json!({"version": "2"})), named);
}
