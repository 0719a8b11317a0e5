//! A running server and how to ask it. Waiting is always for a condition, with a deadline.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use assize_testkit::provider::FakeProvider;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// The bootstrap key of every server of the tests.
pub const KEY: &str = "test-bootstrap-key";
/// What every server of the tests signs its webhooks with, in the variable `HOOK_SECRET`.
pub const HOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// After this a condition that has not come about is a failure. Long, since the machine may be busy; nothing waits for it in vain.
pub const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(25);

/// Asks `attempt` again and again until it has an answer; fails with `what` after [`PATIENCE`].
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut attempt: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = attempt().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "in vain for {PATIENCE:?}: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// A configuration with one metric, `refusal`: free words, then a model of `provider`. `provider_keys` are added to the provider's
/// table, `rest` at the end. Nothing is used again, so that calls can be counted on equal texts.
pub fn config(provider: &FakeProvider, provider_keys: &str, rest: &str) -> String {
    format!(
        r#"
[server]
grpc_listen = ""

[store]
cache = ""

[[provider]]
name = "fake"
kind = "openai"
base_url = "{}"
{provider_keys}

[[judge]]
name = "words"
kind = "rules"
any_of = ["I'm sorry", "I cannot"]

[[judge]]
name = "gpt"
kind = "chat"
provider = "fake"
model = "gpt-4o-2024-05-13"
question = "Does the assistant refuse to do what the user asks?"

[[metric]]
name = "refusal"
cascade = ["words", "gpt"]

{rest}
"#,
        provider.base_url()
    )
}

/// An HTTP client without certificates, proxies and redirects.
pub fn client() -> Client {
    assize_judge::providers::install_tls();
    let builder = Client::builder().tls_certs_only([]).no_proxy().redirect(reqwest::redirect::Policy::none());
    builder.timeout(PATIENCE).build().unwrap()
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, body: response.bytes().await.expect("a body").to_vec() }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: HTTP {} {}", self.status, self.text()))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a readable header"))
    }

    /// The JSON of an answer of this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self.json()
    }

    /// An error in the form that every error has: its code and message.
    #[track_caller]
    pub fn error(&self, status: u16) -> (String, String) {
        let body = self.expect(status);
        let part = |name: &str| body["error"][name].as_str().unwrap_or_else(|| panic!("no {name}: {body}")).to_owned();
        let (code, message) = (part("code"), part("message"));
        assert!(!code.is_empty() && !message.is_empty(), "{body}");
        (code, message)
    }

    /// The whole seconds of `Retry-After`, which are always 30 to 60.
    #[track_caller]
    pub fn retry_after(&self) -> u64 {
        let seconds = self.header("retry-after").expect("a Retry-After").parse().expect("whole seconds");
        assert!((30..=60).contains(&seconds), "Retry-After: {seconds}");
        seconds
    }
}

/// The binary, running over a directory of its own.
pub struct Server {
    child: Child,
    directory: TempDir,
    client: Client,
    log: Arc<Mutex<String>>,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// Metrics come and go: not every one was asked about every interaction.
    pub metrics_change: bool,
}

impl Server {
    pub async fn start(config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("assize.toml"), config).unwrap();
        let log = Arc::default();
        let (child, url) = spawn(&directory, &log).await;
        Self { child, directory, client: client(), log, url, metrics_change: false }
    }

    /// Ends the process as a power failure would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends the process in order, and waits for its end.
    pub async fn terminate(&mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        // Not a blocking wait: the provider of the test may have to answer meanwhile.
        let child = Mutex::new(&mut self.child);
        let ended = eventually("the end of the server", async || child.lock().unwrap().try_wait().unwrap()).await;
        assert!(ended.success(), "{}", self.log());
    }

    /// Starts again over the same data, at another address.
    pub async fn start_again(&mut self) {
        (self.child, self.url) = spawn(&self.directory, &self.log).await;
        self.client = client();
    }

    /// Writes another configuration, for the next start.
    pub fn configure(&self, config: &str) {
        std::fs::write(self.directory.path().join("assize.toml"), config).unwrap();
    }

    /// The directory of its data.
    pub fn data(&self) -> std::path::PathBuf {
        self.directory.path().join("data")
    }

    /// Everything that it has said so far, over all starts.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// `host:port`, for raw sockets.
    pub fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    /// A request without a key.
    pub fn plain(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.get_as(KEY, path).await
    }

    pub async fn get_as(&self, key: &str, path: &str) -> Answer {
        Answer::of(self.plain(Method::GET, path).bearer_auth(key)).await
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.plain(Method::POST, path).bearer_auth(KEY)
    }

    /// Sends interactions.
    pub async fn send(&self, body: &Value) -> Answer {
        self.send_as(KEY, body).await
    }

    pub async fn send_as(&self, key: &str, body: &Value) -> Answer {
        Answer::of(self.plain(Method::POST, "/v1/interactions").bearer_auth(key).json(body)).await
    }

    /// Sends interactions that are all taken, none of them for the second time.
    pub async fn accept(&self, items: Vec<Value>) {
        let count = items.len();
        let receipt = self.send(&Value::Array(items)).await.expect(202);
        assert_eq!(receipt, json!({"accepted": count, "duplicate": 0, "rejected": []}));
    }

    /// What became of an interaction, as soon as it is there.
    pub async fn interaction(&self, id: &str) -> Value {
        let path = format!("/v1/interactions/{}", segment(id));
        eventually(&format!("interaction {id}"), async || {
            let answer = self.get(&path).await;
            (answer.status != StatusCode::NOT_FOUND).then(|| answer.expect(200))
        })
        .await
    }

    /// Counts by metric and outcome. At whatever moment they are asked for, they add up to what was accepted.
    pub async fn outcomes(&self, project: &str) -> (u64, BTreeMap<(String, String), u64>) {
        let body = self.get(&format!("/v1/outcomes?project={project}")).await.expect(200);
        let accepted = body["accepted"].as_u64().unwrap();
        let mut counts = BTreeMap::new();
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        for row in body["outcomes"].as_array().unwrap() {
            let [metric, outcome] = ["metric", "outcome"].map(|key| row[key].as_str().unwrap().to_owned());
            let count = row["count"].as_u64().unwrap();
            *sums.entry(metric.clone()).or_default() += count;
            *counts.entry((metric, outcome)).or_default() += count;
        }
        let adds_up = |sum: &u64| *sum == accepted || (self.metrics_change && *sum < accepted);
        assert!(sums.values().all(adds_up), "outcomes do not add up to what was accepted: {body}");
        assert_eq!(sums.is_empty(), accepted == 0, "{body}");
        (accepted, counts)
    }

    /// The counts once `accepted` interactions are there and nothing is pending any more.
    pub async fn settled(&self, project: &str, accepted: u64) -> BTreeMap<(String, String), u64> {
        eventually(&format!("{accepted} interactions of {project} accepted and none of them pending"), async || {
            let (now, counts) = self.outcomes(project).await;
            assert!(now <= accepted, "{now} accepted where {accepted} were sent");
            (now == accepted && !counts.keys().any(|(_, outcome)| outcome == "pending")).then_some(counts)
        })
        .await
    }

    /// The one group of a metric's estimate, over the default range.
    pub async fn estimate(&self, metric: &str) -> Value {
        let body = self.get(&format!("/v1/estimates?metric={metric}")).await.expect(200);
        let groups = body["groups"].as_array().unwrap();
        assert_eq!(groups.len(), 1, "{body}");
        groups[0].clone()
    }

    /// All pages of a listing: `what` is `interactions` or `verdicts`.
    pub async fn all(&self, what: &str, query: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("/v1/{what}?limit=500&cursor={}&{query}", segment(&cursor))).await.expect(200);
            items.extend(page[what].as_array().unwrap().iter().cloned());
            match page["next"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => return items,
            }
        }
    }

    /// The value of a counter of `/metrics`, 0 where it was never counted. `series` is the name with labels, if it has any.
    pub async fn counter(&self, series: &str) -> u64 {
        let text = Answer::of(self.plain(Method::GET, "/metrics")).await.text();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }

    /// What every test ends with: all projects' outcomes add up to what was accepted, nothing has panicked or failed inside.
    pub async fn adds_up(&self) {
        for project in self.get("/v1/projects").await.expect(200)["projects"].as_array().unwrap() {
            self.outcomes(project.as_str().unwrap()).await;
        }
        let counters = Answer::of(self.plain(Method::GET, "/metrics")).await.text();
        assert!(!counters.contains("assize_faults_total{"), "{counters}\n{}", self.log());
        assert!(!self.log().contains("panicked"), "{}", self.log());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the server said:\n{}---", self.log());
        }
    }
}

async fn spawn(directory: &TempDir, log: &Arc<Mutex<String>>) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_assize"))
        .args(["up", "--listen", "127.0.0.1:0", "--data"])
        .arg(directory.path().join("data"))
        .arg("--config")
        .arg(directory.path().join("assize.toml"))
        .env("ASSIZE_BOOTSTRAP_KEY", KEY)
        .env_remove("OPENAI_API_KEY")
        .env_remove("OPENAI_BASE_URL")
        .env("HOOK_SECRET", HOOK_SECRET)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let (found, address) = oneshot::channel();
    let kept = Arc::clone(log);
    std::thread::spawn(move || {
        let mut found = Some(found);
        for line in stderr.lines().map_while(Result::ok) {
            if let Some(url) = line.strip_prefix("listening on ")
                && let Some(found) = found.take()
            {
                let _ = found.send(url.to_owned());
            }
            let mut log = kept.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
        }
    });
    match tokio::time::timeout(PATIENCE, address).await {
        Ok(Ok(url)) => (child, url),
        _ => {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the server did not start:\n{}", log.lock().unwrap());
        }
    }
}

/// One segment of a path or one value of a query, percent-encoded.
pub fn segment(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// An interaction as a sender writes it.
pub fn item(id: &str, output: &str) -> Value {
    json!({"id": id, "model": "m", "input": "What is the capital of Australia?", "output": output})
}

/// Now, give or take: RFC 3339.
pub fn time(offset_seconds: i64) -> String {
    use assize_core::{Clock as _, SystemClock, Timestamp};
    Timestamp(SystemClock.now().0 + offset_seconds * 1000).to_rfc3339()
}

/// Nano-dollars of a `cost_usd`, exactly.
pub fn nanos(cost_usd: &Value) -> u64 {
    let nanos = cost_usd.as_f64().expect("a known cost") * 1e9;
    assert!((nanos - nanos.round()).abs() < 1e-3, "{cost_usd} is not a whole number of nano-dollars");
    nanos.round() as u64
}

/// What `provider` has charged at the list price of `gpt-4o-2024-05-13`: $5 and $15 per million tokens.
pub fn bill(provider: &FakeProvider) -> u64 {
    let (input, output) = provider.billed();
    input * 5_000 + output * 15_000
}

/// How many decisions of `metric` have this outcome.
pub fn count(counts: &BTreeMap<(String, String), u64>, metric: &str, outcome: &str) -> u64 {
    counts.get(&(metric.to_owned(), outcome.to_owned())).copied().unwrap_or(0)
}
