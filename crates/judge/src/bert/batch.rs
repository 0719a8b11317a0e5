//! Dynamic batching: texts wait in a bounded queue; each of a fixed number of threads takes what is there, up to a batch, and
//! computes on itself alone. Asynchronous work never blocks on a model, and a model never takes more cores than it was given.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::BertError;
use super::model::Model;
use super::tokens::{Text, Tokenize, Tokens};

/// How long the first text of a batch waits for others.
const GATHER: Duration = Duration::from_millis(2);
/// Batches per thread that may wait.
const QUEUED_BATCHES: usize = 4;
/// Tokens that are computed at once: more save nothing, and the numbers in between leave the cache.
const TOKENS_AT_ONCE: usize = 512;

/// What a model says of a text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    /// Logits, or a vector.
    pub values: Vec<f32>,
    /// Tokens that were read, special ones included.
    pub tokens: usize,
    /// Whether the text was longer than that.
    pub cut: bool,
}

struct Job {
    text: Text,
    reply: oneshot::Sender<Result<Answer, BertError>>,
    /// A place in the queue, and then in a batch.
    _place: OwnedSemaphorePermit,
}

/// How large a pool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub threads: usize,
    pub batch_max: usize,
}

/// The threads of a model. They end when the last handle is gone.
pub(crate) struct Pool {
    jobs: SyncSender<Job>,
    places: Arc<Semaphore>,
}

impl Pool {
    /// Starts the threads.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(model: Model, tokenize: Tokenize, size: Size) -> Result<Self, BertError> {
        // candle splits products over all cores unless they are below this size.
        gemm::set_threading_threshold(usize::MAX);
        let places = size.threads * size.batch_max * (QUEUED_BATCHES + 1);
        let (jobs, receiver) = sync_channel(places);
        let shared = Arc::new(Shared { model, tokenize, receiver: Mutex::new(receiver), batch_max: size.batch_max });
        for at in 0..size.threads {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name(format!("bert-{at}"))
                .spawn(move || shared.work())
                .map_err(|error| BertError::new(format!("no thread can be started ({error}): lower `threads`")))?;
        }
        Ok(Self { jobs, places: Arc::new(Semaphore::new(places)) })
    }

    /// Puts `text` in the queue, waiting for a place.
    pub async fn put(&self, text: Text) -> Result<oneshot::Receiver<Result<Answer, BertError>>, BertError> {
        let gone = || BertError::new("the threads of the model have ended: start the process again");
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| gone())?;
        let (reply, answer) = oneshot::channel();
        // There are as many places as the queue is long: it is never full.
        self.jobs.try_send(Job { text, reply, _place: place }).map_err(|_| gone())?;
        Ok(answer)
    }

    /// The answer to `text`.
    pub async fn ask(&self, text: Text) -> Result<Answer, BertError> {
        received(self.put(text).await?).await
    }
}

/// What comes of a text in the queue.
pub(crate) async fn received(answer: oneshot::Receiver<Result<Answer, BertError>>) -> Result<Answer, BertError> {
    answer.await.unwrap_or_else(|_| Err(BertError::new("the model broke off on a text: its process may lack memory")))
}

struct Shared {
    model: Model,
    tokenize: Tokenize,
    receiver: Mutex<Receiver<Job>>,
    batch_max: usize,
}

impl Shared {
    fn work(&self) {
        while let Some(jobs) = self.gather() {
            // A text that nobody waits for any more is not computed.
            let jobs = jobs.into_iter().filter(|job| !job.reply.is_closed());
            let mut read: Vec<(Job, Tokens)> = Vec::with_capacity(self.batch_max);
            for job in jobs {
                match guarded(|| self.tokenize.read(&job.text)) {
                    Ok(tokens) => read.push((job, tokens)),
                    Err(error) => answer(job, Err(error)),
                }
            }
            while !read.is_empty() {
                let rest = read.split_off(first_part(&read));
                self.compute(read);
                read = rest;
            }
        }
    }

    /// The next texts, up to a batch; `None` when there will be no more.
    fn gather(&self) -> Option<Vec<Job>> {
        let receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        let mut jobs = vec![receiver.recv().ok()?];
        let until = Instant::now() + GATHER;
        while jobs.len() < self.batch_max {
            match receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(job) => jobs.push(job),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        Some(jobs)
    }

    fn compute(&self, part: Vec<(Job, Tokens)>) {
        let (jobs, tokens): (Vec<Job>, Vec<Tokens>) = part.into_iter().unzip();
        match guarded(|| self.model.run(&tokens)) {
            Ok(results) => {
                for ((job, tokens), values) in jobs.into_iter().zip(tokens).zip(results) {
                    answer(job, Ok(Answer { values, tokens: tokens.ids.len(), cut: tokens.cut }));
                }
            }
            Err(error) => jobs.into_iter().for_each(|job| answer(job, Err(error.clone()))),
        }
    }
}

/// How many of the first texts are computed at once.
fn first_part(read: &[(Job, Tokens)]) -> usize {
    let mut sum = 0;
    let fit = read.iter().take_while(|(_, tokens)| {
        sum += tokens.ids.len();
        sum <= TOKENS_AT_ONCE
    });
    fit.count().clamp(1, read.len())
}

/// Whoever asked may have gone; then nobody is told.
fn answer(job: Job, result: Result<Answer, BertError>) {
    let _ = job.reply.send(result);
}

/// A thread outlives a panic in a library that it calls.
fn guarded<T>(work: impl FnOnce() -> Result<T, BertError>) -> Result<T, BertError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(BertError::new("the model broke off on a text; its other texts go on")))
}
