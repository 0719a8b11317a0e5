//! The workers of a command judge: started when they are needed, kept while they behave, replaced when they do not.

use std::ffi::OsString;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use assize_core::Interaction;
use assize_core::judge::{CallFailure, CallFailureKind};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::script::{Launcher, Script};
use super::spec::CommandSpec;
use super::worker::{Limits, Trouble, Worker};
use crate::check::SpecError;
use crate::exchange::{self, Asked, Said};

/// The pause after a first worker that ended without any answer; it doubles with each that does the same.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
/// The longest pause: a script that cannot run is started once a minute, to see whether it has been mended.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Workers of one script, shared by all judges that run it alike.
pub struct Pool {
    script: Script,
    limits: Limits,
    workers: usize,
    slots: Semaphore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    idle: Vec<Worker>,
    /// How many ended in a row while none answered.
    ended: u32,
    /// How the last of them did.
    how: String,
    not_before: Option<Instant>,
}

impl Pool {
    /// A pool that runs what `spec` says. Nothing is started before it is needed. `variable` looks up the environment.
    ///
    /// # Errors
    /// Where the specification is refused, or its directory or a file of the command cannot be used.
    pub fn open(spec: &CommandSpec, launcher: &Launcher, variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, SpecError> {
        spec.check()?;
        Ok(Self {
            script: Script::open(spec, launcher, variable)?,
            limits: Limits {
                answer: Duration::from_secs(spec.timeout_seconds),
                start: Duration::from_secs(spec.start_seconds),
                output_bytes_max: spec.output_bytes_max,
            },
            workers: spec.workers,
            slots: Semaphore::new(spec.workers),
            state: Mutex::default(),
        })
    }

    pub(super) fn identity(&self, spec: &CommandSpec) -> Vec<Vec<u8>> {
        self.script.identity(spec)
    }

    /// One attempt. Ends within the time for an answer, and twice that and the time for a start where a worker is fresh.
    pub(super) async fn ask(&self, asked: Asked<'_>, interaction: &Interaction) -> Result<Said, CallFailure> {
        let failure = CallFailure::new;
        let slot = timeout(self.limits.answer, self.slots.acquire()).await;
        let Ok(Ok(_slot)) = slot else {
            let message = format!("all {} workers stayed busy for {} s", self.workers, self.limits.answer.as_secs());
            return Err(failure(CallFailureKind::Unavailable, message));
        };
        let mut worker = match self.idle().await {
            Some(worker) => worker,
            None => self.fresh()?,
        };
        match worker.ask(asked, self.limits).await {
            Ok(said) => {
                self.keep(worker);
                Ok(said)
            }
            Err(trouble) => {
                if trouble.keeps_worker() {
                    self.keep(worker);
                } else {
                    drop(worker);
                }
                Err(self.failed(trouble, interaction))
            }
        }
    }

    /// What messages must not repeat.
    pub(super) fn secrets(&self) -> Vec<&str> {
        self.script.secrets()
    }

    fn failed(&self, trouble: Trouble, interaction: &Interaction) -> CallFailure {
        let failure = CallFailure::new;
        let replaced = "the worker was killed and is replaced";
        match trouble {
            Trouble::Answer(why) => failure(CallFailureKind::InvalidAnswer, why),
            Trouble::Protocol(why) => failure(CallFailureKind::InvalidAnswer, format!("{why}; {replaced}")),
            Trouble::Late(why) => failure(CallFailureKind::Timeout, format!("{why}; {replaced}")),
            Trouble::Flood(where_to) => failure(
                CallFailureKind::InvalidAnswer,
                format!("more than {} bytes on {where_to} (output_bytes_max); {replaced}", self.limits.output_bytes_max),
            ),
            Trouble::Ended { how, said } => {
                let told = exchange::told(&said, &self.script.secrets(), interaction);
                let how = if told.is_empty() { how } else { format!("{how}: {told}") };
                let retry_after = self.ended(&how);
                CallFailure { retry_after: Some(retry_after), ..failure(CallFailureKind::Unavailable, how) }
            }
        }
    }

    /// A worker that has answered before.
    async fn idle(&self) -> Option<Worker> {
        loop {
            let mut worker = self.state().idle.pop()?;
            if worker.is_usable(self.limits).await {
                return Some(worker);
            }
        }
    }

    /// A new worker, unless the last ones ended so fast that it has to wait.
    fn fresh(&self) -> Result<Worker, CallFailure> {
        {
            let state = self.state();
            let now = Instant::now();
            if let Some(wait) =
                state.not_before.and_then(|until| until.checked_duration_since(now)).filter(|wait| !wait.is_zero())
            {
                let message = format!("{} ({} times in a row; the next start waits)", state.how, state.ended);
                let failure = CallFailure::new(CallFailureKind::Unavailable, message);
                return Err(CallFailure { retry_after: Some(wait), ..failure });
            }
        }
        Worker::start(&self.script, self.limits).map_err(|why| {
            let retry_after = self.ended(&why);
            CallFailure { retry_after: Some(retry_after), ..CallFailure::new(CallFailureKind::Unavailable, why) }
        })
    }

    /// It answers: what came before is forgiven.
    fn keep(&self, worker: Worker) {
        let mut state = self.state();
        (state.ended, state.not_before) = (0, None);
        state.idle.push(worker);
    }

    /// One more ended without an answer; the pause before the next starts.
    fn ended(&self, how: &str) -> Duration {
        let mut state = self.state();
        let pause = PAUSE_FIRST.saturating_mul(2_u32.saturating_pow(state.ended.min(16))).min(PAUSE_MAX);
        state.ended = state.ended.saturating_add(1);
        how.clone_into(&mut state.how);
        state.not_before = Some(Instant::now() + pause);
        pause
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
