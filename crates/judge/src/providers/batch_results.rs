//! The answers of a batch, read line by line and checked against what was asked. A file of them can be large, so it is never held
//! whole; and nothing in it is believed: lines may be missing, twice there, of no request of ours, too long, or no JSON.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use assize_core::judge::{CallFailure, CallFailureKind};
use reqwest::{Method, Response, Url};
use serde_json::Value;

use super::Completion;
use super::attempt::Attempt;
use super::batch_protocol::BatchProtocol;
use super::connection::{BODY_BYTES_MAX, Connection};
use crate::client;

/// Reading a whole file takes no longer.
const FILE_TIMEOUT: Duration = Duration::from_secs(3600);
/// Bytes of one line: those of an answer, and what stands around it.
const LINE_BYTES_MAX: usize = BODY_BYTES_MAX + 4096;
/// Bytes of all files of a batch.
const BYTES_MAX: u64 = 4 << 30;

/// What became of one request.
#[derive(Debug, Clone)]
pub struct BatchResult {
    /// The id it was submitted under.
    pub custom_id: String,
    /// What a live call would have given; `latency_ms` says nothing. A failure leaves `cost` open.
    pub outcome: Result<Completion, CallFailure>,
}

/// What was odd about the answers of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResultsReport {
    /// Requests that something became of.
    pub answered: u64,
    /// Those that nothing was found of, in order.
    pub missing: Vec<String>,
    /// Lines about a request that had one before: the first counts.
    pub duplicate: u64,
    /// Lines about no request that was asked.
    pub unknown: u64,
    /// Lines that could not be read: too long, no JSON, or without what they should hold.
    pub malformed: u64,
}

/// The answers of a batch, to be drawn one after the other.
pub struct Results<'a> {
    protocol: &'a dyn BatchProtocol,
    files: VecDeque<Url>,
    lines: Option<Lines>,
    bytes_left: u64,
    /// Bytes before a request's own id.
    prefix: usize,
    /// The requests, and whether something became of them.
    expected: HashMap<String, bool>,
    report: ResultsReport,
}

impl<'a> Results<'a> {
    pub(super) fn new(protocol: &'a dyn BatchProtocol, files: impl IntoIterator<Item = Url>, expected: HashSet<String>) -> Self {
        Self {
            protocol,
            files: files.into_iter().collect(),
            lines: None,
            bytes_left: BYTES_MAX,
            prefix: 0,
            expected: expected.into_iter().map(|id| (id, false)).collect(),
            report: ResultsReport::default(),
        }
    }

    /// The same, where the ids in the files and in `expected` have so many bytes before them that the caller does not know.
    pub(super) fn without_prefix(self, bytes: usize) -> Self {
        Self { prefix: bytes, ..self }
    }

    /// The next answer to a request that was asked for, whatever it is; `None` after the last.
    ///
    /// # Errors
    /// Where the results cannot be read further. They can be asked for anew, from the beginning.
    pub async fn next(&mut self) -> Result<Option<BatchResult>, CallFailure> {
        let read = self.read_on().await;
        if read.is_err() {
            self.files.clear();
            self.lines = None;
        }
        read
    }

    /// What was odd; to be asked after the last answer. After an error, everything not read by then is missing.
    pub fn finish(self) -> ResultsReport {
        let unseen = self.expected.iter().filter(|(_, seen)| !**seen);
        let mut missing: Vec<String> = unseen.map(|(id, _)| own(id, self.prefix)).collect();
        missing.sort_unstable();
        ResultsReport { missing, ..self.report }
    }

    async fn read_on(&mut self) -> Result<Option<BatchResult>, CallFailure> {
        loop {
            let Some(lines) = &mut self.lines else {
                let Some(url) = self.files.pop_front() else { return Ok(None) };
                self.lines = Some(Lines::open(self.protocol, url).await?);
                continue;
            };
            let Some(line) = lines.next(self.protocol.connection(), &mut self.bytes_left).await? else {
                self.lines = None;
                continue;
            };
            let value = line.and_then(|line| serde_json::from_slice(&line).ok());
            let Some((custom_id, outcome)) = value.and_then(|value: Value| self.protocol.read(&value)) else {
                self.report.malformed += 1;
                continue;
            };
            match self.expected.get_mut(&custom_id) {
                None => self.report.unknown += 1,
                Some(true) => self.report.duplicate += 1,
                Some(seen) => {
                    *seen = true;
                    self.report.answered += 1;
                    return Ok(Some(BatchResult { custom_id: own(&custom_id, self.prefix), outcome }));
                }
            }
        }
    }
}

fn own(id: &str, prefix: usize) -> String {
    id.get(prefix..).unwrap_or_default().to_owned()
}

/// The lines of one file.
pub(super) struct Lines {
    response: Response,
    attempt: Attempt<'static>,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that are known to hold no end of line.
    scanned: usize,
    /// The rest of a line that is too long is passed over.
    skipping: bool,
    ended: bool,
}

impl Lines {
    pub(super) async fn open(protocol: &dyn BatchProtocol, url: Url) -> Result<Self, CallFailure> {
        let connection = protocol.connection();
        let mut attempt = Attempt::begin(None);
        let get = connection.request(Method::GET, url).timeout(FILE_TIMEOUT);
        let response = match tokio::time::timeout(connection.timeout, connection.send(get, &mut attempt)).await {
            Ok(response) => response?,
            Err(_) => return Err(connection.late(&attempt)),
        };
        let status = response.status();
        if !status.is_success() {
            let body = tokio::time::timeout(connection.timeout, client::read(response, BODY_BYTES_MAX)).await;
            let body = body.ok().and_then(Result::ok).flatten().and_then(|bytes| serde_json::from_slice(&bytes).ok());
            return Err(protocol.refused(&attempt, status.as_u16(), &body.unwrap_or(Value::Null)));
        }
        Ok(Self { response, attempt, buffer: Vec::new(), scanned: 0, skipping: false, ended: false })
    }

    /// The next line that is not empty, `Some(None)` for one that is too long, `None` after the last.
    pub(super) async fn next(
        &mut self,
        connection: &Connection,
        bytes_left: &mut u64,
    ) -> Result<Option<Option<Vec<u8>>>, CallFailure> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[self.scanned..]) {
                let rest = self.buffer.split_off(self.scanned + at + 1);
                let line = std::mem::replace(&mut self.buffer, rest);
                self.scanned = 0;
                if let Some(line) = self.whole(line) {
                    return Ok(Some(line));
                }
                continue;
            }
            if self.ended {
                let line = std::mem::take(&mut self.buffer);
                self.scanned = 0;
                return Ok(self.whole(line));
            }
            self.scanned = self.buffer.len();
            if self.buffer.len() > LINE_BYTES_MAX {
                self.buffer.clear();
                self.scanned = 0;
                self.skipping = true;
            }
            let chunk = match tokio::time::timeout(connection.timeout, self.response.chunk()).await {
                Ok(Ok(chunk)) => chunk,
                Ok(Err(error)) => return Err(connection.broken(&self.attempt, &error)),
                Err(_) => return Err(connection.late(&self.attempt)),
            };
            match chunk {
                Some(chunk) if chunk.len() as u64 <= *bytes_left => {
                    *bytes_left -= chunk.len() as u64;
                    self.buffer.extend_from_slice(&chunk);
                }
                Some(_) => {
                    let message = format!("results of more than {BYTES_MAX} bytes from {}", connection.host);
                    return Err(self.attempt.because(CallFailureKind::InvalidAnswer, message));
                }
                None => self.ended = true,
            }
        }
    }

    /// What `line`, up to and including its end, is to the caller: nothing if it is empty.
    fn whole(&mut self, line: Vec<u8>) -> Option<Option<Vec<u8>>> {
        if std::mem::take(&mut self.skipping) || line.len() > LINE_BYTES_MAX {
            return Some(None);
        }
        (!line.trim_ascii().is_empty()).then_some(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::providers::{Anthropic, OpenAi};

    /// What every recorded line says; those that say nothing are counted.
    fn read_all(protocol: &dyn BatchProtocol, lines: &str) -> Value {
        let mut outcomes = BTreeMap::new();
        let mut malformed = 0;
        for line in lines.lines() {
            match serde_json::from_str(line).ok().and_then(|line: Value| protocol.read(&line)) {
                None => malformed += 1,
                Some((custom_id, Ok(completion))) => {
                    let Completion { text, cut_short, model, usage, .. } = completion;
                    let read = json!({"text": text, "cut_short": cut_short, "model": model, "usage": usage});
                    outcomes.insert(custom_id, read);
                }
                Some((custom_id, Err(failure))) => {
                    let CallFailure { kind, message, usage, cost, .. } = failure;
                    let read = json!({"kind": kind.code(), "message": message, "usage": usage, "cost": cost});
                    outcomes.insert(custom_id, read);
                }
            }
        }
        json!({"outcomes": outcomes, "malformed": malformed})
    }

    #[test]
    fn recorded_lines() {
        let spec = |kind: &str| {
            serde_json::from_value(json!({"name": "p", "kind": kind, "base_url": "https://vendor.example/v1"})).unwrap()
        };
        let openai = OpenAi::open(&spec("openai"), None).unwrap();
        let anthropic = Anthropic::open(&spec("anthropic"), None).unwrap();
        let read = json!({
            "openai": read_all(&openai, include_str!("../../tests/fixtures/batch/openai_lines.jsonl")),
            "anthropic": read_all(&anthropic, include_str!("../../tests/fixtures/batch/anthropic_lines.jsonl")),
        });
        assert!(!read.to_string().contains("Python"), "no line's message may repeat what is judged");
        insta::with_settings!({snapshot_path => "../../tests/snapshots", prepend_module_to_snapshot => false}, {
            insta::assert_json_snapshot!("recorded_lines_of_batches", read);
        });
    }
}
