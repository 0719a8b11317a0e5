//! What the fake provider answers to one call.

use serde_json::json;

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// A verdict in the schema, with usage.
    Score {
        /// The score.
        score: f64,
        /// The reason.
        reason: String,
    },
    /// A completion whose content is this text: prose, half a JSON, nothing.
    Content(String),
    /// A response as it stands: status, headers, body.
    Raw {
        /// The HTTP status.
        status: u16,
        /// Header fields.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// No answer until the caller gives up.
    Hang,
    /// Headers and half of the body, then silence until the caller gives up.
    HangInBody,
    /// Headers and half of the body, then a closed connection.
    Break,
}

impl Reply {
    /// A verdict with this score.
    pub fn score(score: f64) -> Self {
        Self::Score { score, reason: "as told".to_owned() }
    }

    /// A completion with this content.
    pub fn content(text: impl Into<String>) -> Self {
        Self::Content(text.into())
    }

    /// An error in OpenAI's form with this status.
    pub fn status(status: u16) -> Self {
        let body =
            json!({"error": {"message": format!("told to answer {status}"), "type": "error", "param": null, "code": null}});
        Self::Raw { status, headers: Vec::new(), body: body.to_string().into_bytes() }
    }

    /// The same response with one more header field; only responses that are [`Reply::Raw`] have any.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        if let Self::Raw { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// HTTP 429 that asks to wait this many seconds.
    pub fn rate_limited(retry_after_seconds: u64) -> Self {
        Self::status(429).with_header("retry-after", &retry_after_seconds.to_string())
    }

    /// A response from a recorded file: the status line, header fields, an empty line, the body. Lines may end in LF.
    ///
    /// # Panics
    /// Where the text is not of that form, because a test cannot go on without its recording.
    pub fn recorded(text: &str) -> Self {
        let text = text.replace("\r\n", "\n");
        let (head, body) = text.split_once("\n\n").expect("an empty line between head and body");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
        let headers = lines.map(|line| line.split_once(':').expect("name: value"));
        Self::Raw {
            status: status.expect("a status line such as HTTP/1.1 200 OK"),
            headers: headers.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect(),
            body: body.as_bytes().to_vec(),
        }
    }
}
