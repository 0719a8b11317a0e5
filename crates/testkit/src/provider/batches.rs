//! What the fake provider knows of batches: what was submitted, how far it is, what came of it. It lives in the test, so the process
//! under test can be killed and started again while its batches go on.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{MutexGuard, PoisonError};

use assize_core::{Clock, SystemClock};
use serde_json::{Value, json};

use super::server::Shared;
use super::{Behaviour, Protocol, Reply, Request};

/// How batches end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Every request is answered as the provider behaves.
    Complete,
    /// Time is up when this many were answered.
    Expire {
        /// The first so many.
        answered: usize,
    },
    /// Cancelled when this many were answered.
    Cancel {
        /// The first so many.
        answered: usize,
    },
}

/// What is wrong with the files of results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Oddities {
    /// The last line comes first.
    pub reversed: bool,
    /// So many of the first lines are missing.
    pub missing: usize,
    /// So many of the first lines come again at the end.
    pub duplicate: usize,
    /// So many lines are about requests that nobody made.
    pub unknown: usize,
    /// So many lines are cut in the middle.
    pub malformed: usize,
    /// So many lines are of two megabytes.
    pub long: usize,
    /// The connection breaks after so many lines.
    pub broken_after: Option<usize>,
    /// Nothing comes after so many lines.
    pub stalled_after: Option<usize>,
    /// The last line does not end.
    pub unterminated: bool,
}

pub(super) struct Line {
    pub(super) custom_id: String,
    pub(super) request: Request,
    pub(super) outcome: Option<Outcome>,
}

pub(super) enum Outcome {
    Answered(Value),
    Refused(u16, Value),
    Expired,
    Cancelled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Validating,
    InProgress,
    Cancelling,
    Ended(Ending),
    /// Refused as a whole.
    Failed,
}

pub(super) struct Batch {
    pub(super) id: String,
    pub(super) protocol: Protocol,
    pub(super) input_file: String,
    pub(super) metadata: Value,
    pub(super) lines: Vec<Line>,
    pub(super) state: State,
    pub(super) created_at: i64,
    pub(super) cancelled: bool,
    /// It is refused as a whole when it is looked at first.
    fails: bool,
    polls: u32,
    ends_after: Option<u32>,
}

/// All batches and their files.
pub(super) struct Desk {
    /// What was uploaded, by id.
    pub(super) files: HashMap<String, Vec<u8>>,
    /// What came without a file.
    pub(super) submissions: Vec<Vec<u8>>,
    pub(super) batches: Vec<Batch>,
    pub(super) oddities: Oddities,
    ends_after: Option<u32>,
    answers_to_lose: u32,
    to_fail: u32,
    pub(super) statuses: VecDeque<u16>,
    times_submitted: BTreeMap<String, u32>,
    by_question: HashMap<u64, u32>,
    polls: u64,
    next: u64,
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            files: HashMap::new(),
            submissions: Vec::new(),
            batches: Vec::new(),
            oddities: Oddities::default(),
            ends_after: Some(2),
            answers_to_lose: 0,
            to_fail: 0,
            statuses: VecDeque::new(),
            times_submitted: BTreeMap::new(),
            by_question: HashMap::new(),
            polls: 0,
            next: 0,
        }
    }
}

impl Desk {
    /// A new id that begins with `prefix`.
    pub(super) fn id(&mut self, prefix: &str) -> String {
        self.next += 1;
        format!("{prefix}{:06}", self.next)
    }

    /// Takes a batch; its number among the batches, and whether the answer is to be lost.
    pub(super) fn take(
        &mut self,
        protocol: Protocol,
        input_file: String,
        metadata: Value,
        lines: Vec<(String, Request)>,
    ) -> (usize, bool) {
        for (custom_id, request) in &lines {
            let own = match protocol {
                // What stands before the first dash is the marker.
                Protocol::Anthropic => custom_id.split_once('-').map_or(custom_id.as_str(), |(_, own)| own),
                _ => custom_id,
            };
            *self.times_submitted.entry(own.to_owned()).or_default() += 1;
            *self.by_question.entry(request.question()).or_default() += 1;
        }
        let lines = lines.into_iter().map(|(custom_id, request)| Line { custom_id, request, outcome: None }).collect();
        let id = self.id(if protocol == Protocol::Anthropic { "msgbatch_" } else { "batch_" });
        let fails = self.to_fail > 0;
        self.to_fail = self.to_fail.saturating_sub(1);
        self.batches.push(Batch {
            id,
            protocol,
            input_file,
            metadata,
            lines,
            state: State::Validating,
            created_at: SystemClock.now().0 / 1000,
            cancelled: false,
            fails,
            polls: 0,
            ends_after: self.ends_after,
        });
        let lost = self.answers_to_lose > 0;
        self.answers_to_lose = self.answers_to_lose.saturating_sub(1);
        (self.batches.len() - 1, lost)
    }

    pub(super) fn find(&mut self, protocol: Protocol, id: &str) -> Option<&mut Batch> {
        self.batches.iter_mut().find(|batch| batch.protocol == protocol && batch.id == id)
    }

    /// Looks at a batch: that is what makes it go on.
    pub(super) fn poll(&mut self, protocol: Protocol, id: &str, shared: &Shared) -> Option<&Batch> {
        self.polls += 1;
        let batch = self.find(protocol, id)?;
        batch.polls += 1;
        batch.state = match batch.state {
            State::Validating if batch.fails => State::Failed,
            State::Validating => State::InProgress,
            other => other,
        };
        if batch.state == State::Cancelling {
            batch.end(Ending::Cancel { answered: 0 }, shared);
        } else if batch.ends_after.is_some_and(|polls| batch.polls >= polls) {
            batch.end(Ending::Complete, shared);
        }
        Some(batch)
    }
}

impl Batch {
    pub(super) fn end(&mut self, ending: Ending, shared: &Shared) {
        if matches!(self.state, State::Ended(_) | State::Failed) {
            return;
        }
        let behaviour = shared.behaviour();
        for (index, line) in self.lines.iter_mut().enumerate() {
            line.outcome = Some(match ending {
                Ending::Expire { answered } if index >= answered => Outcome::Expired,
                Ending::Cancel { answered } if index >= answered => Outcome::Cancelled,
                _ => outcome(&behaviour, &line.request, shared),
            });
        }
        self.cancelled |= matches!(ending, Ending::Cancel { .. });
        self.state = State::Ended(ending);
    }

    /// How many of its requests ended like this.
    pub(super) fn count(&self, like: impl Fn(&Outcome) -> bool) -> usize {
        self.lines.iter().filter(|line| line.outcome.as_ref().is_some_and(&like)).count()
    }
}

fn outcome(behaviour: &Behaviour, request: &Request, shared: &Shared) -> Outcome {
    match (behaviour.decide)(request) {
        Reply::Score { score, reason } => {
            Outcome::Answered(shared.charged(behaviour, request, &json!({"score": score, "reason": reason}).to_string()))
        }
        Reply::Content(content) => Outcome::Answered(shared.charged(behaviour, request, &content)),
        Reply::Raw { status, body, .. } => {
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            if (200..300).contains(&status) { Outcome::Answered(body) } else { Outcome::Refused(status, body) }
        }
        Reply::Hang | Reply::HangInBody | Reply::Break => Outcome::Expired,
    }
}

/// The batches of a [`super::FakeProvider`], to be steered and asked about.
pub struct Batches<'a> {
    shared: &'a Shared,
}

impl<'a> Batches<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        Self { shared }
    }

    fn desk(&self) -> MutexGuard<'a, Desk> {
        self.shared.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Batches that are submitted from now on are complete when they have been polled so often (2 where nothing else is said); with
    /// `None`, only by [`Self::end`].
    pub fn end_after(&self, polls: Option<u32>) {
        self.desk().ends_after = polls;
    }

    /// Ends all batches that go on.
    pub fn end(&self, ending: Ending) {
        for batch in &mut self.desk().batches {
            batch.end(ending, self.shared);
        }
    }

    /// The next submissions are taken, but their answers never arrive: the connection breaks.
    pub fn lose_answers(&self, submissions: u32) {
        self.desk().answers_to_lose = submissions;
    }

    /// The next submissions are refused as a whole when they are looked at (OpenAI's protocol only).
    pub fn fail(&self, submissions: u32) {
        self.desk().to_fail = submissions;
    }

    /// The next calls to the batch APIs, whatever they want, are answered with these statuses and do nothing.
    pub fn refuse_calls(&self, statuses: impl IntoIterator<Item = u16>) {
        self.desk().statuses = statuses.into_iter().collect();
    }

    /// Files of results are like this from now on.
    pub fn set_oddities(&self, oddities: Oddities) {
        self.desk().oddities = oddities;
    }

    /// All batches so far were submitted so much earlier.
    pub fn backdate(&self, seconds: i64) {
        for batch in &mut self.desk().batches {
            batch.created_at -= seconds;
        }
    }

    /// Batches that were taken.
    pub fn submitted(&self) -> usize {
        self.desk().batches.len()
    }

    /// Batches that go on.
    pub fn under_way(&self) -> usize {
        self.desk().batches.iter().filter(|batch| !matches!(batch.state, State::Ended(_) | State::Failed)).count()
    }

    /// How often each id was submitted, over all batches, without the marker that stands before it in Anthropic's.
    pub fn times_submitted(&self) -> BTreeMap<String, u32> {
        self.desk().times_submitted.clone()
    }

    /// How often the same item was submitted with the same question and model, at the most: 1 if nothing was submitted twice.
    pub fn of_one_item_max(&self) -> u32 {
        self.desk().by_question.values().copied().max().unwrap_or(0)
    }

    /// Different items that were submitted.
    pub fn items(&self) -> usize {
        self.desk().by_question.len()
    }

    /// The bodies of all requests, batch by batch.
    pub fn bodies(&self) -> Vec<Value> {
        self.desk().batches.iter().flat_map(|batch| batch.lines.iter().map(|line| line.request.body.clone())).collect()
    }

    /// Whether a file or a submission held these bytes.
    pub fn were_sent(&self, bytes: &[u8]) -> bool {
        let desk = self.desk();
        desk.files.values().chain(&desk.submissions).any(|sent| sent.windows(bytes.len()).any(|window| window == bytes))
    }

    /// The metadata of every batch, in the order of submission; null in Anthropic's.
    pub fn metadata(&self) -> Vec<Value> {
        self.desk().batches.iter().map(|batch| batch.metadata.clone()).collect()
    }

    /// Files that were uploaded.
    pub fn files(&self) -> usize {
        self.desk().files.len()
    }

    /// How often batches were looked at.
    pub fn polls(&self) -> u64 {
        self.desk().polls
    }

    /// Batches whose cancellation was asked for.
    pub fn cancelled(&self) -> usize {
        self.desk().batches.iter().filter(|batch| batch.cancelled).count()
    }
}

/// What is wrong with the requests of a batch, if anything.
pub(super) fn objection(lines: &[(String, Request)], requests_max: usize) -> Option<String> {
    let mut seen = HashSet::new();
    if lines.is_empty() || lines.len() > requests_max {
        return Some(format!("{} requests", lines.len()));
    }
    lines.iter().find_map(|(custom_id, request)| {
        let is_id = (1..=64).contains(&custom_id.len())
            && custom_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if !is_id {
            Some("custom_id: letters, digits, dashes and underscores, 64 at the most".to_owned())
        } else if !seen.insert(custom_id) {
            Some("custom_id: occurs twice".to_owned())
        } else if request.model.is_empty() || request.item.is_empty() {
            Some("no model or no message".to_owned())
        } else {
            None
        }
    })
}
