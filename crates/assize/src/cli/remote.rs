//! Asks a running server.

use clap::Args;
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

use crate::secrets::is_local;

/// Where the server is and with which key to ask.
#[derive(Debug, Args)]
pub struct Remote {
    /// The server's address
    #[arg(long, value_name = "URL", env = "ASSIZE_URL", default_value = "http://127.0.0.1:4318")]
    url: String,
    /// An API key
    #[arg(long, value_name = "KEY", env = "ASSIZE_KEY", hide_env_values = true)]
    key: Option<String>,
    /// The project; the key's own where not given
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
}

impl Remote {
    /// Whether there is a key to ask with.
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// Asks, and turns the server's errors into ours.
    pub async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, String> {
        self.ask_if(method, path, body, None).await
    }

    /// The same, to be refused if what is there is not of this version.
    pub async fn ask_if(&self, method: Method, path: &str, body: Option<Value>, version: Option<u64>) -> Result<Value, String> {
        let (status, answer) = self.answer_if(method, path, body, version).await?;
        if status.is_success() {
            return Ok(answer);
        }
        let message = answer.pointer("/error/message").and_then(Value::as_str).unwrap_or("the server gave no reason");
        Err(format!("{message} (HTTP {})", status.as_u16()))
    }

    /// Asks; what the server answered, errors too. No body is null.
    pub async fn answer(&self, method: Method, path: &str, body: Option<Value>) -> Result<(StatusCode, Value), String> {
        self.answer_if(method, path, body, None).await
    }

    /// Asks for what is no JSON, such as a table.
    pub async fn text(&self, path: &str) -> Result<String, String> {
        let response = self.response(Method::GET, path, None, None).await?;
        let status = response.status();
        let text = response.text().await.map_err(|error| format!("the answer broke off: {}", error.without_url()))?;
        if status.is_success() {
            return Ok(text);
        }
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        let message = answer.pointer("/error/message").and_then(Value::as_str).unwrap_or("the server gave no reason");
        Err(format!("{message} (HTTP {})", status.as_u16()))
    }

    async fn answer_if(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        version: Option<u64>,
    ) -> Result<(StatusCode, Value), String> {
        let response = self.response(method, path, body, version).await?;
        let status = response.status();
        let answer = if status == StatusCode::NO_CONTENT { Value::Null } else { response.json().await.unwrap_or(Value::Null) };
        Ok((status, answer))
    }

    async fn response(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        version: Option<u64>,
    ) -> Result<reqwest::Response, String> {
        let Some(key) = &self.key else {
            return Err("no API key: give --key, or set ASSIZE_KEY".to_owned());
        };
        let mut url = format!("{}{path}", self.url.trim_end_matches('/'));
        if let Some(project) = &self.project {
            let joint = if path.contains('?') { '&' } else { '?' };
            url.push_str(&format!("{joint}project={}", segment(project)));
        }
        let mut request = client(&url)?.request(method, &url).bearer_auth(key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        if let Some(version) = version {
            request = request.header("if-match", format!("\"{version}\""));
        }
        request.send().await.map_err(|error| {
            format!("the server at {} does not answer ({}): is it running? `assize up` starts one", self.url, error.without_url())
        })
    }
}

/// A client for `url`: of this machine without the environment's proxy.
pub fn client(url: &str) -> Result<Client, String> {
    let builder = if is_local(url) { Client::builder().no_proxy() } else { Client::builder() };
    builder.build().map_err(|error| format!("no client can be made: {error}"))
}

/// One segment of a path, percent-encoded.
pub fn segment(text: &str) -> String {
    let encode = |byte: u8| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    text.bytes().map(encode).collect()
}
