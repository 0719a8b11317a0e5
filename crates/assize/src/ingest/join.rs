//! Spans without text meet the text that came as log events.
//!
//! # How nothing that was acknowledged is lost
//! Everything here is in memory, so whatever waits here must be on disk elsewhere before it is acknowledged. Each item comes with a
//! ticket: the caller's name for its copy on disk. A ticket comes out again together with what is to be done before the copy may be
//! forgotten:
//! - [`Released::Interaction`]: enqueue the draft; when that is durable, forget the copies (and tell [`Joiner::settled`]).
//! - [`Released::Redundant`]: the interaction is on record with its text.
//! - [`Released::Refused`]: half a conversation whose span has not come in time, so that it is no interaction.
//!
//! Whatever describes a span has the id of the span, so that a second account of it, sent again after a lost answer or once as span
//! and once as log event, is a duplicate to the queue and counts once.
//!
//! Waiting is the exception. Spans with an answer pass at once. Log events that hold all of a call
//! (`gen_ai.client.inference.operation.details` with question and answer) wait twice as long as a span does: the span brings tags and
//! what was retrieved, and without it they are interactions of their own. A span
//! without an answer waits unless [`VAIN_MAX`] spans of its project have waited in vain since log content last came: then its sender
//! does not send any.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use assize_core::{InteractionId, ProjectName, Timestamp};

use super::{Draft, SpanContent};

/// After so many spans of a project that waited in vain, its spans do not wait until log content comes again.
const VAIN_MAX: u32 = 1_000;
/// Of so many projects it is remembered how often their spans waited in vain.
const PROJECTS_MAX: usize = 10_000;

/// How long and how much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinLimits {
    /// For how long a span without an answer waits for its content, and a conversation that is whole for its span. Exporters send
    /// log records every second and spans every five, unless told otherwise, so that content is mostly there first.
    pub span_wait: Duration,
    /// For how long half a conversation waits for the rest before it is refused. Zero refuses at once and keeps the text.
    pub content_wait: Duration,
    /// For how long the text of half a conversation is kept for a span that is still to come.
    pub keep: Duration,
    /// The most items that wait, and the most ids that are remembered as settled.
    pub entries_max: usize,
    /// The most bytes of text that wait.
    pub bytes_max: usize,
}

impl Default for JoinLimits {
    fn default() -> Self {
        Self {
            span_wait: Duration::from_secs(3),
            content_wait: Duration::from_secs(600),
            keep: Duration::from_secs(600),
            entries_max: 20_000,
            bytes_max: 64 * 1024 * 1024,
        }
    }
}

/// What comes out of the joiner, with the tickets of all that went into it.
#[derive(Debug, Clone, PartialEq)]
pub enum Released<T> {
    /// To be enqueued; then the tickets may be acknowledged.
    Interaction {
        /// Its project.
        project: ProjectName,
        /// The interaction, with an id. Boxed, for it is large.
        draft: Box<Draft>,
        /// What may then be acknowledged.
        tickets: Vec<T>,
    },
    /// More about an interaction that is on record with its text: acknowledge.
    Redundant {
        /// What may be acknowledged.
        tickets: Vec<T>,
    },
    /// Content that is no interaction: refuse.
    Refused {
        /// What is to be refused.
        tickets: Vec<T>,
        /// Why, for the sender.
        reason: &'static str,
    },
}

/// What the joiner has seen, ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JoinCounters {
    /// Spans that met their content.
    pub joined: u64,
    /// Spans that waited and went on without content.
    pub in_vain: u64,
    /// Half conversations that were dropped because their span never came.
    pub orphaned: u64,
    /// Content that came after its span had been recorded without it.
    pub late: u64,
    /// Items that could not wait because too much was waiting.
    pub full: u64,
}

type Key = (ProjectName, InteractionId);

#[derive(Debug)]
struct Waiting<T> {
    span: Option<Draft>,
    content: Option<SpanContent>,
    tickets: Vec<T>,
    bytes: usize,
    /// When something is to be done about it; unique together with the number.
    due: (Timestamp, u64),
    drop_at: Timestamp,
}

/// Holds spans and content until they have met or waited long enough. `T` is the ticket of a request.
#[derive(Debug)]
pub struct Joiner<T> {
    limits: JoinLimits,
    waiting: HashMap<Key, Waiting<T>>,
    due: BTreeMap<(Timestamp, u64), Key>,
    number: u64,
    bytes: usize,
    in_vain: HashMap<ProjectName, u32>,
    /// Projects that have sent log content; what is settled need be remembered for these only.
    speaking: HashSet<ProjectName>,
    settled: HashMap<Key, bool>,
    settled_order: VecDeque<(Timestamp, Key)>,
    counters: JoinCounters,
}

const NO_SPAN: &str = "holds part of a conversation whose span has not come yet: it is kept in memory for a while, not on disk";
const LATE: &str = "came after its span had been recorded without content";
const FULL: &str = "holds part of a conversation, and too much is waiting for spans already";

impl<T> Joiner<T> {
    /// An empty joiner.
    pub fn new(limits: JoinLimits) -> Self {
        Self {
            limits,
            waiting: HashMap::new(),
            due: BTreeMap::new(),
            number: 0,
            bytes: 0,
            in_vain: HashMap::new(),
            speaking: HashSet::new(),
            settled: HashMap::new(),
            settled_order: VecDeque::new(),
            counters: JoinCounters::default(),
        }
    }

    /// Whether spans of `project` that have no answer have reason to wait.
    pub fn expects_content(&self, project: &ProjectName) -> bool {
        self.in_vain.get(project).is_none_or(|spans| *spans < VAIN_MAX)
    }

    /// Whether so many more entries of so many bytes may wait.
    pub fn has_room(&self, entries: usize, bytes: usize) -> bool {
        self.waiting.len().saturating_add(entries) <= self.limits.entries_max
            && self.bytes.saturating_add(bytes) <= self.limits.bytes_max
    }

    /// Whether the project has sent log content.
    pub fn is_speaking(&self, project: &ProjectName) -> bool {
        self.speaking.contains(project)
    }

    /// Whether the draft of a span has to go through here: it has no answer and reason to wait, or something waits for it.
    pub fn concerns(&self, project: &ProjectName, draft: &Draft) -> bool {
        let waits = !draft.has_output() && self.expects_content(project);
        waits || (!self.waiting.is_empty() && draft.id.as_ref().is_some_and(|id| self.waits_for(project, id)))
    }

    /// Whether something waits under this id.
    pub fn waits_for(&self, project: &ProjectName, id: &InteractionId) -> bool {
        self.waiting.contains_key(&(project.clone(), id.clone()))
    }

    /// Takes the draft of a span. It comes back at once, joined with what waited for it, unless it has reason to wait.
    pub fn span(&mut self, project: &ProjectName, mut draft: Draft, ticket: T, now: Timestamp) -> Option<Released<T>> {
        let interaction =
            |draft, tickets| Some(Released::Interaction { project: project.clone(), draft: Box::new(draft), tickets });
        let Some(id) = draft.id.clone() else { return interaction(draft, vec![ticket]) };
        let key = (project.clone(), id);
        if let Some(mut entry) = self.take(&key) {
            entry.tickets.push(ticket);
            let tickets = entry.tickets;
            if let Some(content) = entry.content {
                let content_draft = content.clone().into_draft();
                if draft.has_output() || content_draft.has_output() {
                    self.counters.joined += 1;
                    draft.fill_from(content_draft);
                    return interaction(draft, tickets);
                }
                self.put(key, Some(draft), Some(content), tickets, now);
                return None;
            }
            if draft.has_output() {
                return interaction(draft, tickets);
            }
            // The same span again, after an answer that was lost: it waits no longer than the first would have.
            self.put_until(key, Some(draft), None, tickets, entry.due.0, entry.drop_at);
            return None;
        }
        if draft.has_output() || self.settled.contains_key(&key) || !self.expects_content(project) {
            return interaction(draft, vec![ticket]);
        }
        if self.is_full(draft.text_bytes()) {
            self.counters.full += 1;
            return interaction(draft, vec![ticket]);
        }
        self.put(key, Some(draft), None, vec![ticket], now);
        None
    }

    /// Takes what log events say about a span. It comes back at once if it is complete, or if its span waits for just that.
    pub fn content(&mut self, project: &ProjectName, content: SpanContent, ticket: T, now: Timestamp) -> Option<Released<T>> {
        self.in_vain.remove(project);
        if self.speaking.len() < PROJECTS_MAX {
            self.speaking.insert(project.clone());
        }
        let key = (project.clone(), content.id.clone());
        let interaction =
            |draft, tickets| Some(Released::Interaction { project: project.clone(), draft: Box::new(draft), tickets });
        if let Some(entry) = self.take(&key) {
            let mut tickets = entry.tickets;
            tickets.push(ticket);
            let merged = match entry.content {
                Some(mut earlier) => {
                    earlier.merge(content);
                    earlier
                }
                None => content,
            };
            match entry.span {
                Some(mut span) => {
                    let content_draft = merged.clone().into_draft();
                    if content_draft.has_output() {
                        self.counters.joined += 1;
                        span.fill_from(content_draft);
                        return interaction(span, tickets);
                    }
                    self.put_until(key, Some(span), Some(merged), tickets, entry.due.0, entry.drop_at);
                }
                None => self.put(key, None, Some(merged), tickets, now),
            }
            return None;
        }
        match self.settled.get(&key) {
            Some(true) => return Some(Released::Redundant { tickets: vec![ticket] }),
            Some(false) => {
                self.counters.late += 1;
                return Some(Released::Refused { tickets: vec![ticket], reason: LATE });
            }
            None => {}
        }
        if self.is_full(content.text_bytes()) {
            self.counters.full += 1;
            return Some(Released::Refused { tickets: vec![ticket], reason: FULL });
        }
        self.put(key, None, Some(content), vec![ticket], now);
        None
    }

    /// What has waited long enough at `now`: spans go on as they are, whole conversations become interactions of their own, the
    /// rest is refused. To be called a few times a second.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Released<T>> {
        while let Some((at, key)) = self.settled_order.front() {
            if *at > now {
                break;
            }
            self.settled.remove(key);
            self.settled_order.pop_front();
        }
        let mut released = Vec::new();
        while let Some((&(at, _), key)) = self.due.first_key_value() {
            if at > now {
                break;
            }
            let key = key.clone();
            let Some(entry) = self.take(&key) else { continue };
            released.extend(self.give_up(key, entry, now));
        }
        released
    }

    /// Says that an interaction is durable, with or without an answer, so that what comes about it later need not wait. To be called
    /// after the enqueue of every span's draft; remembers nothing for projects that send no log content.
    pub fn settled(&mut self, project: &ProjectName, id: &InteractionId, has_output: bool, now: Timestamp) {
        if !self.speaking.contains(project) {
            return;
        }
        let key = (project.clone(), id.clone());
        match self.settled.get_mut(&key) {
            Some(known) => *known |= has_output,
            None => {
                if self.settled_order.len() >= self.limits.entries_max
                    && let Some((_, oldest)) = self.settled_order.pop_front()
                {
                    self.settled.remove(&oldest);
                }
                self.settled.insert(key.clone(), has_output);
                self.settled_order.push_back((now.plus(self.limits.keep), key));
            }
        }
    }

    /// How many items wait, and how many bytes of text.
    pub fn waiting(&self) -> (usize, usize) {
        (self.waiting.len(), self.bytes)
    }

    /// What the joiner has seen so far.
    pub fn counters(&self) -> JoinCounters {
        self.counters
    }

    /// What becomes of an entry that has waited long enough; half a conversation goes back to wait without its tickets.
    fn give_up(&mut self, key: Key, entry: Waiting<T>, now: Timestamp) -> Option<Released<T>> {
        let (project, tickets) = (key.0.clone(), entry.tickets);
        match (entry.span, entry.content) {
            (Some(mut span), content) => {
                self.counters.in_vain += 1;
                if self.in_vain.len() < PROJECTS_MAX || self.in_vain.contains_key(&project) {
                    let spans = self.in_vain.entry(project.clone()).or_default();
                    *spans = spans.saturating_add(1);
                }
                if let Some(content) = content {
                    span.fill_from(content.into_draft());
                }
                Some(Released::Interaction { project, draft: Box::new(span), tickets })
            }
            (None, Some(content)) if content.is_whole() => {
                Some(Released::Interaction { project, draft: Box::new(content.into_draft()), tickets })
            }
            (None, Some(content)) => {
                if now < entry.drop_at {
                    self.put_until(key, None, Some(content), Vec::new(), entry.drop_at, entry.drop_at);
                } else {
                    self.counters.orphaned += 1;
                }
                (!tickets.is_empty()).then_some(Released::Refused { tickets, reason: NO_SPAN })
            }
            (None, None) => None,
        }
    }

    fn is_full(&self, bytes: usize) -> bool {
        self.waiting.len() >= self.limits.entries_max || self.bytes.saturating_add(bytes) > self.limits.bytes_max
    }

    fn take(&mut self, key: &Key) -> Option<Waiting<T>> {
        let entry = self.waiting.remove(key)?;
        self.due.remove(&entry.due);
        self.bytes = self.bytes.saturating_sub(entry.bytes);
        Some(entry)
    }

    fn put(&mut self, key: Key, span: Option<Draft>, content: Option<SpanContent>, tickets: Vec<T>, now: Timestamp) {
        let wait = match (&span, &content) {
            (Some(_), _) => self.limits.span_wait,
            (None, Some(content)) if content.is_whole() => self.limits.span_wait * 2,
            (None, _) => self.limits.content_wait,
        };
        self.put_until(key, span, content, tickets, now.plus(wait), now.plus(self.limits.keep));
    }

    fn put_until(
        &mut self,
        key: Key,
        span: Option<Draft>,
        content: Option<SpanContent>,
        tickets: Vec<T>,
        due: Timestamp,
        drop_at: Timestamp,
    ) {
        let bytes = span.as_ref().map_or(0, Draft::text_bytes) + content.as_ref().map_or(0, SpanContent::text_bytes);
        self.number += 1;
        let due = (due, self.number);
        self.bytes = self.bytes.saturating_add(bytes);
        self.due.insert(due, key.clone());
        self.waiting.insert(key, Waiting { span, content, tickets, bytes, due, drop_at });
    }
}

#[cfg(test)]
mod tests;
