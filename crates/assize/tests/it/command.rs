//! Runs the real binary as a user would: arguments, environment, files, signals; what comes out on stdout, stderr and as exit code.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use assize_testkit::provider::{FakeProvider, Reply};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// No command of these tests takes longer; one that does is stuck.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Variables that would change what the binary does, so that tests do not depend on who runs them.
const AMBIENT: [&str; 14] = [
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "ASSIZE_BOOTSTRAP_KEY",
    "ASSIZE_KEY",
    "ASSIZE_URL",
    "ASSIZE_LOG",
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_COLOR",
    "CLICOLOR_FORCE",
];

/// A command line that is to be run.
pub struct Assize {
    command: Command,
    stdin: Option<Vec<u8>>,
}

/// `assize` with these arguments.
pub fn assize<'a>(args: impl IntoIterator<Item = &'a str>) -> Assize {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assize"));
    command.args(args).kill_on_drop(true);
    AMBIENT.iter().for_each(|name| {
        command.env_remove(name);
    });
    Assize { command, stdin: None }
}

impl Assize {
    /// One argument more.
    pub fn arg(mut self, arg: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Two arguments more, such as `--config FILE`.
    pub fn option(self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.arg(name).arg(value)
    }

    /// A variable of its environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs in this directory.
    pub fn within(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// What it reads from stdin; nothing where not given.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Starts it with both outputs collected.
    pub fn start(self) -> Started {
        let stdin = if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() };
        self.start_reading(stdin)
    }

    /// The same with this as its stdin.
    pub fn start_reading(mut self, stdin: impl Into<Stdio>) -> Started {
        self.command.stdin(stdin);
        let mut child = self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        if let Some(bytes) = self.stdin {
            let mut stdin = child.stdin.take().unwrap();
            // A command that ends before it has read all is for its own test to judge.
            tokio::spawn(async move { stdin.write_all(&bytes).await });
        }
        let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let said = Arc::new(Mutex::new(Vec::new()));
        let collected = tokio::spawn({
            let said = Arc::clone(&said);
            async move {
                let mut out = Vec::new();
                let err = async {
                    let mut chunk = [0; 4096];
                    while let Ok(bytes @ 1..) = stderr.read(&mut chunk).await {
                        said.lock().unwrap().extend_from_slice(&chunk[..bytes]);
                    }
                };
                let _ = tokio::join!(stdout.read_to_end(&mut out), err);
                out
            }
        });
        Started { child, said, collected }
    }

    /// Runs it to its end.
    pub async fn run(self) -> Finished {
        self.start().end().await
    }

    /// Runs it to its end with a reader of stdout, or of stderr, that has gone away already.
    pub async fn run_unread(mut self, stdout: bool) -> (ExitStatus, String) {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        if stdout {
            self.command.stdout(writer).stderr(Stdio::piped());
        } else {
            self.command.stdout(Stdio::piped()).stderr(writer);
        }
        let child = self.command.stdin(Stdio::null()).spawn().unwrap();
        drop(self.command);
        let output = timeout(DEADLINE, child.wait_with_output()).await.expect("the command is stuck").unwrap();
        (output.status, text(if stdout { output.stderr } else { output.stdout }))
    }

    /// Starts a server and waits until it says where it listens.
    pub async fn serve(mut self) -> Serving {
        self.command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let url = loop {
            let line = timeout(DEADLINE, lines.next_line()).await.expect("the server does not start").unwrap();
            let Some(line) = line else { panic!("the server ended: {said}") };
            if let Some(url) = line.strip_prefix("listening on ") {
                break url.to_owned();
            }
            said.push_str(&line);
            said.push('\n');
        };
        Serving { child, url, lines }
    }
}

/// A command that runs.
pub struct Started {
    child: Child,
    said: Arc<Mutex<Vec<u8>>>,
    collected: JoinHandle<Vec<u8>>,
}

impl Started {
    /// Sends a signal by its name, such as `INT`.
    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Waits until it has said this on stderr.
    pub async fn has_said(&self, part: &str) {
        until(part, || String::from_utf8_lossy(&self.said.lock().unwrap()).contains(part)).await;
    }

    /// Waits for its end.
    pub async fn end(mut self) -> Finished {
        let status = timeout(DEADLINE, self.child.wait()).await.expect("the command is stuck").unwrap();
        let stdout = self.collected.await.unwrap();
        let stderr = std::mem::take(&mut *self.said.lock().unwrap());
        Finished { status, stdout: text(stdout), stderr: text(stderr) }
    }
}

/// A server that runs; it is killed when this goes away.
pub struct Serving {
    child: Child,
    pub url: String,
    lines: Lines<BufReader<ChildStderr>>,
}

impl Serving {
    /// The next line that it says on stderr.
    pub async fn next_line(&mut self) -> String {
        let line = timeout(DEADLINE, self.lines.next_line()).await.expect("the server says nothing").unwrap();
        line.expect("the server ended")
    }

    /// Sends SIGINT; whether it was still there.
    pub fn interrupt(&self) -> bool {
        self.child.id().is_some_and(|_| {
            signal(&self.child, "INT");
            true
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Asks it to end, and waits until it has.
    pub async fn stop(mut self) -> ExitStatus {
        signal(&self.child, "TERM");
        timeout(DEADLINE, self.child.wait()).await.expect("the server does not stop").unwrap()
    }
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().expect("the command has ended").to_string();
    let sent = std::process::Command::new("kill").args(["-s", name, &pid]).status().unwrap();
    assert!(sent.success());
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("output in UTF-8")
}

/// What a command left.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// Its exit code has to be this; stderr stands in the failure's message.
    #[track_caller]
    pub fn code(self, expected: i32) -> Self {
        assert_eq!(self.status.code(), Some(expected), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// stderr has to hold all of these.
    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not in stderr:\n{}", self.stderr);
        }
        self
    }

    /// stdout as one JSON value, and nothing else.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: stdout:\n{}", self.stdout))
    }
}

/// Waits until `holds`, or fails.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "it never came that {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// A directory of files for one test.
pub struct Files(tempfile::TempDir);

impl Files {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Where a file of this name is or would be.
    pub fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.at(name);
        std::fs::write(&path, contents).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.at(name)).unwrap()
    }
}

/// The configuration of the issue as written, at the fake's address and this sampling rate.
pub fn configuration(provider: &FakeProvider, rate: f64) -> String {
    AS_WRITTEN.replace("http://127.0.0.1:8400/v1", &provider.base_url()).replace("rate = 0.10", &format!("rate = {rate}"))
}

/// A configuration as a newcomer would write it.
pub const AS_WRITTEN: &str = r#"[[provider]]
name = "openai"
kind = "openai"
base_url = "http://127.0.0.1:8400/v1"
api_key_env = "OPENAI_API_KEY"

[[judge]]
name = "refusal-words"
kind = "rules"
any_of = ["I'm sorry", "I cannot", "I can't", "As an AI"]

[[judge]]
name = "gpt-4o"
kind = "chat"
provider = "openai"
model = "gpt-4o-2024-05-13"
question = "Does the assistant refuse to do what the user asks, fully or in part?"

[[metric]]
name = "refusal"
cascade = ["refusal-words", "gpt-4o"]

[sampling]
rate = 0.10
"#;

/// One interaction as a line.
pub fn line(id: &str, input: &str, output: &str) -> String {
    let mut line = serde_json::json!({ "id": id, "input": input, "output": output }).to_string();
    line.push('\n');
    line
}

/// So many interactions `i0`, `i1`, …: each has a text that no other contains.
pub fn lines(count: usize) -> String {
    (0..count).map(|at| line(&format!("i{at}"), &format!("Question <{at}>?"), &format!("Answer <{at}>."))).collect()
}

/// The number of an interaction of [`lines`], from what the provider was asked.
pub fn number(request: &assize_testkit::provider::Request) -> usize {
    let (_, rest) = request.item.split_once("Answer <").expect("an item of `lines`");
    rest.split_once('>').unwrap().0.parse().unwrap()
}

/// 1 for every third, else 0.
pub fn every_third(request: &assize_testkit::provider::Request) -> Reply {
    Reply::score(if number(request).is_multiple_of(3) { 1.0 } else { 0.0 })
}
