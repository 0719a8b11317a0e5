//! How the fake provider decides what to answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::known::{Known, Table};
use super::{Reply, Request};

type Decide = Box<dyn Fn(&Request) -> Reply + Send + Sync>;

/// What to answer, after how long, and what it costs.
pub struct Behaviour {
    pub(super) decide: Decide,
    pub(super) latency: Duration,
    /// Input and output tokens that a completion reports; counted from the request where not set.
    pub(super) usage: Option<(u64, u64)>,
    /// Whose usage is charged and not reported.
    pub(super) silent: Box<dyn Fn(&Request) -> bool + Send + Sync>,
    /// The key that a call has to bring.
    pub(super) key: Option<String>,
}

impl Behaviour {
    /// What `decide` says.
    pub fn with(decide: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self { decide: Box::new(decide), latency: Duration::ZERO, usage: None, silent: Box::new(|_| false), key: None }
    }

    /// Always the same.
    pub fn always(reply: Reply) -> Self {
        Self::with(move |_| reply.clone())
    }

    /// Always this score.
    pub fn score(score: f64) -> Self {
        Self::always(Reply::score(score))
    }

    /// One after the other, in the order in which calls arrive; the last one again and again. Empty is HTTP 500.
    pub fn script(replies: impl IntoIterator<Item = Reply>) -> Self {
        let replies: Vec<Reply> = replies.into_iter().collect();
        let next = AtomicUsize::new(0);
        Self::with(move |_| {
            let index = next.fetch_add(1, Ordering::Relaxed);
            replies.get(index).or(replies.last()).cloned().unwrap_or(Reply::status(500))
        })
    }

    /// By what is judged. What is not in the table is answered with HTTP 422, so that a test sees it.
    pub fn known(entries: impl IntoIterator<Item = Known>) -> Self {
        let table = Table::new(entries);
        Self::with(move |request| table.find(request).cloned().unwrap_or(Reply::status(422)))
    }

    /// Takes this long over every answer.
    #[must_use]
    pub fn latency(self, latency: Duration) -> Self {
        Self { latency, ..self }
    }

    /// Reports this many tokens of every completion.
    #[must_use]
    pub fn usage(self, input: u64, output: u64) -> Self {
        Self { usage: Some((input, output)), ..self }
    }

    /// Charges completions of these requests without saying how much.
    #[must_use]
    pub fn silent_about_usage(self, of: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Self {
        Self { silent: Box::new(of), ..self }
    }

    /// Answers HTTP 401 to calls without this key.
    #[must_use]
    pub fn key(self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self }
    }
}
