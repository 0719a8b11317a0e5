//! One worker: a process that answers one line after the other.
//!
//! Asked: one JSON object in one line, with an `id`. Answered: one JSON object in one line with the same `id`. Before its first answer
//! a worker may say `{"ready": true}`: from then on only the time for an answer counts, not that for its start.
//!
//! A worker whose lines cannot be told apart any more is replaced: one that answers another id, twice, or in something that is no JSON
//! (NaN, prose, no UTF-8). One that gives a whole line with a score that is none keeps its place.

use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::script::Script;
use crate::exchange::{self, Asked, Said};

/// What is kept of stderr, for the message of a failure.
const TAIL_BYTES: usize = 4_096;
/// How long the end of a process that has closed its output is waited for.
const END_MAX: Duration = Duration::from_secs(1);
/// A worker that ends without an answer within this time ends "at once".
const AT_ONCE: Duration = Duration::from_secs(10);

/// Limits of one exchange.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// For an answer.
    pub(super) answer: Duration,
    /// For the start of a fresh worker, in addition.
    pub(super) start: Duration,
    /// Of either output.
    pub(super) output_bytes_max: usize,
}

/// Why an exchange gave no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// A whole line with the right id whose content is no answer; the worker is as good as before.
    Answer(String),
    /// Something that is not the protocol; the worker cannot be used any more.
    Protocol(String),
    /// It wrote too much.
    Flood(String),
    /// It did not answer in time.
    Late(String),
    /// It ended. `said` is the last line of its stderr.
    Ended { how: String, said: String },
}

impl Trouble {
    pub(super) fn keeps_worker(&self) -> bool {
        matches!(self, Self::Answer(_))
    }
}

/// A process and its pipes. Dropping it kills its whole process group.
pub(super) struct Worker {
    child: Child,
    group: Option<u32>,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    stderr: Arc<Stderr>,
    reading: JoinHandle<()>,
    started: Instant,
    answers: u64,
    /// Ids that a text cannot know, so that a script that prints what it judges does not forge an answer.
    nonce: u64,
    _own: TempDir,
}

/// What a worker says aside.
#[derive(Default)]
struct Stderr {
    said: Mutex<Aside>,
    flooded: Notify,
}

#[derive(Default)]
struct Aside {
    tail: Vec<u8>,
    /// Since the exchange began.
    bytes: usize,
}

impl Stderr {
    fn aside(&self) -> std::sync::MutexGuard<'_, Aside> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(&self, mut from: ChildStderr, bytes_max: usize) {
        let mut chunk = [0; 4_096];
        while let Ok(bytes @ 1..) = from.read(&mut chunk).await {
            let mut aside = self.aside();
            aside.tail.extend_from_slice(chunk.get(..bytes).unwrap_or_default());
            let over = aside.tail.len().saturating_sub(TAIL_BYTES);
            aside.tail.drain(..over);
            aside.bytes = aside.bytes.saturating_add(bytes);
            if aside.bytes > bytes_max {
                self.flooded.notify_one();
            }
        }
    }

    /// The last line with anything in it.
    fn last_line(&self) -> String {
        let aside = self.aside();
        let text = String::from_utf8_lossy(&aside.tail);
        text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
    }
}

impl Worker {
    pub(super) fn start(script: &Script, limits: Limits) -> Result<Self, String> {
        let (mut child, own) = script.start()?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(from)) = pipes else { return Err("its pipes are missing".to_owned()) };
        let stderr = Arc::new(Stderr::default());
        let reading = tokio::spawn({
            let stderr = Arc::clone(&stderr);
            async move { stderr.read(from, limits.output_bytes_max).await }
        });
        Ok(Self {
            group: child.id(),
            child,
            stdin,
            stdout: BufReader::new(stdout),
            stderr,
            reading,
            started: Instant::now(),
            answers: 0,
            nonce: nonce(),
            _own: own,
        })
    }

    /// Whether it still runs and has said nothing unasked.
    pub(super) async fn is_usable(&mut self, limits: Limits) -> bool {
        let quiet = tokio::select! {
            biased;
            _ = self.stdout.fill_buf() => false,
            () = std::future::ready(()) => true,
        };
        quiet && matches!(self.child.try_wait(), Ok(None)) && self.stderr.aside().bytes <= limits.output_bytes_max
    }

    /// One exchange. After trouble that does not keep the worker it has to be dropped.
    pub(super) async fn ask(&mut self, mut asked: Asked<'_>, limits: Limits) -> Result<Said, Trouble> {
        let id = format!("{:016x}-{}", self.nonce, self.answers);
        asked.id = Some(&id);
        let mut line = serde_json::to_vec(&asked).map_err(|error| Trouble::Answer(format!("cannot be asked: {error}")))?;
        line.push(b'\n');
        if self.answers > 0 {
            // What it said of others is no part of a message about this one.
            *self.stderr.aside() = Aside::default();
        }
        let flooded = Arc::clone(&self.stderr);
        let got = tokio::select! {
            biased;
            () = flooded.flooded.notified() => Err(Trouble::Flood("stderr".to_owned())),
            got = self.exchange(&line, limits) => got,
        };
        let line = match got {
            Ok(Some(line)) => line,
            Ok(None) => return Err(self.obituary().await),
            Err(trouble) => return Err(trouble),
        };
        let said = self.understood(&line, &id)?;
        self.answers += 1;
        said.map_err(Trouble::Answer)
    }

    /// Writes a line and reads one; `None` where the worker has closed its output.
    async fn exchange(&mut self, line: &[u8], limits: Limits) -> Result<Option<Vec<u8>>, Trouble> {
        let (stdin, stdout) = (&mut self.stdin, &mut self.stdout);
        let is_fresh = self.answers == 0;
        let begun = Instant::now();
        let start = if is_fresh { limits.start } else { Duration::ZERO };
        let read = async {
            let late = |what: &str, limit: Duration| Trouble::Late(format!("no answer within {} s ({what})", limit.as_secs()));
            let first = timeout_at(begun + start + limits.answer, read_line(stdout, limits.output_bytes_max)).await;
            let what = if is_fresh { "start_seconds and timeout_seconds" } else { "timeout_seconds" };
            let first = first.map_err(|_| late(what, start + limits.answer))??;
            match first {
                Some(first) if is_fresh && is_ready(&first) => {
                    let second = timeout(limits.answer, read_line(stdout, limits.output_bytes_max)).await;
                    second.map_err(|_| late("timeout_seconds", limits.answer))?
                }
                first => Ok(first),
            }
        };
        // At the same time: a worker may write before it has read all. One that does not read ends, or is late.
        let write = async {
            let written = async {
                stdin.write_all(line).await?;
                stdin.flush().await
            };
            Ok(timeout(start + limits.answer, written).await.is_ok_and(|written| written.is_ok()))
        };
        let (got, written) = tokio::try_join!(read, write)?;
        match got {
            Some(_) if !written => Err(Trouble::Protocol("it answered before it had read the question".to_owned())),
            got => Ok(got),
        }
    }

    /// The answer in a line. The outer error means that lines cannot be told apart any more.
    fn understood(&self, line: &[u8], id: &str) -> Result<Result<Said, String>, Trouble> {
        let protocol = |why: &str| Trouble::Protocol(why.to_owned());
        let Ok(text) = std::str::from_utf8(line) else { return Err(protocol("its answer is no UTF-8")) };
        if !text.ends_with('\n') {
            return Err(protocol("its output ends within a line"));
        }
        let object: Map<String, Value> = serde_json::from_str(text)
            .map_err(|_| protocol("it wrote a line that is not one JSON object (NaN is no JSON; print talk to stderr)"))?;
        match object.get("id") {
            Some(Value::String(given)) if given == id => {}
            Some(_) => return Err(protocol("its answer has another id than the question")),
            None => return Err(protocol("its answer has no id: repeat that of the question")),
        }
        if !self.stdout.buffer().is_empty() {
            return Err(protocol("it wrote more than one line for one question"));
        }
        Ok(exchange::said(&object))
    }

    /// How it ended, and what it said last.
    async fn obituary(&mut self) -> Trouble {
        let status = timeout(END_MAX, self.child.wait()).await;
        self.kill();
        // Nobody is left to write to it; whoever took it along into another group is not waited for.
        let _ = timeout(END_MAX, &mut self.reading).await;
        let how = match status {
            Ok(Ok(status)) => how(status),
            Ok(Err(error)) => format!("in an unknown way ({error})"),
            Err(_) => return Trouble::Protocol("it closed its output and went on".to_owned()),
        };
        let when = if self.answers == 0 && self.started.elapsed() < AT_ONCE { "exits at once with" } else { "exited with" };
        Trouble::Ended { how: format!("{when} {how}"), said: self.stderr.last_line() }
    }

    fn kill(&self) {
        #[cfg(unix)]
        if let Some(group) = self.group.and_then(|group| i32::try_from(group).ok()) {
            use nix::sys::signal::{Signal, killpg};
            // Fails where all have ended.
            let _ = killpg(nix::unistd::Pid::from_raw(group), Signal::SIGKILL);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
        self.reading.abort();
    }
}

fn how(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        let name = nix::sys::signal::Signal::try_from(signal).map_or("unknown", |signal| signal.as_str());
        return format!("signal {signal} ({name})");
    }
    status.code().map_or_else(|| "no status".to_owned(), |code| format!("status {code}"))
}

fn is_ready(line: &[u8]) -> bool {
    serde_json::from_slice::<Map<String, Value>>(line).is_ok_and(|object| object.get("ready") == Some(&Value::Bool(true)))
}

/// A line with its end, or what there is of one where the output ends; `None` where it has ended.
async fn read_line(from: &mut BufReader<ChildStdout>, bytes_max: usize) -> Result<Option<Vec<u8>>, Trouble> {
    let mut line = Vec::new();
    loop {
        // An output that broke is one that ended.
        let chunk = from.fill_buf().await.unwrap_or_default();
        if chunk.is_empty() {
            return Ok(if line.is_empty() { None } else { Some(line) });
        }
        let end = memchr::memchr(b'\n', chunk).map_or(chunk.len(), |at| at + 1);
        line.extend_from_slice(chunk.get(..end).unwrap_or_default());
        from.consume(end);
        if line.len() > bytes_max {
            return Err(Trouble::Flood("stdout".to_owned()));
        }
        if line.last() == Some(&b'\n') {
            return Ok(Some(line));
        }
    }
}

/// A number from the system's chance, through the seed of the standard library's hash tables.
fn nonce() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
