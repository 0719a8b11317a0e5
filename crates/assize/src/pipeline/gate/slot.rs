//! The slot that a call is made in: it ends by the deadline, and what it showed is taken in by the gate.

use std::future::Future;

use assize_core::judge::{CallFailure, CallFailureKind};
use assize_core::{TokenUsage, Verdict};
use tokio::time::{Instant, timeout};

use super::Gate;
use super::breaker::{Change, Pass};

/// Leave to make one call. Dropped unused, it is as if it had never been.
pub struct Slot<'a> {
    gate: &'a Gate,
    pass: Pass,
    round: u64,
    begun: Instant,
    answered: bool,
}

impl<'a> Slot<'a> {
    pub(super) fn new(gate: &'a Gate, pass: Pass, round: u64) -> Self {
        Self { gate, pass, round, begun: Instant::now(), answered: false }
    }

    /// Makes the attempt that `work` is, about so many `questions`, takes in how it ended, and frees the slot. An attempt that does not
    /// end by the deadline is dropped and has timed out, for every question.
    pub async fn attempt(
        mut self,
        questions: usize,
        work: impl Future<Output = Vec<Result<Verdict, CallFailure>>>,
    ) -> Vec<Result<Verdict, CallFailure>> {
        let results = match timeout(self.gate.deadline, work).await {
            Ok(results) => results,
            Err(_) => self.overdue().split(questions).into_iter().map(Err).collect(),
        };
        self.answer(&results);
        results
    }

    fn overdue(&self) -> CallFailure {
        let latency = self.begun.elapsed();
        let message = format!("the attempt did not end within {} s and was given up", latency.as_secs());
        let latency_ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        CallFailure { latency_ms, ..CallFailure::new(CallFailureKind::Timeout, message) }
    }

    fn answer(&mut self, results: &[Result<Verdict, CallFailure>]) {
        let (now, latency) = (Instant::now(), self.begun.elapsed());
        let change = {
            let mut state = self.gate.state();
            if let Some(usage) = usage_of(results) {
                state.learn_usage(usage);
            }
            state.observe(self.pass, self.round, latency, failure_of(results), now)
        };
        self.answered = true;
        if let Some(change) = change {
            self.gate.say(change);
            if matches!(change, Change::Opened(..)) {
                self.gate.opened.notify_waiters();
            }
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        if !self.answered {
            state.breaker.give_back(self.pass);
        }
        state.in_use -= 1;
        // The slot was taken out of those that are to be had; back it goes, unless the limit has fallen meanwhile.
        if state.slots > state.limiter.limit() {
            state.slots -= 1;
        } else {
            self.gate.slots.add_permits(1);
        }
        self.gate.fit_slots(&mut state);
    }
}

/// What the call as a whole failed of; `None` where any question was answered, for then the provider works.
fn failure_of(results: &[Result<Verdict, CallFailure>]) -> Option<&CallFailure> {
    if results.iter().any(Result::is_ok) { None } else { results.first()?.as_ref().err() }
}

fn usage_of(results: &[Result<Verdict, CallFailure>]) -> Option<TokenUsage> {
    let usages = results.iter().filter_map(|result| match result {
        Ok(verdict) => verdict.usage,
        Err(failure) => failure.usage,
    });
    usages.reduce(|sum, usage| TokenUsage {
        input: sum.input.saturating_add(usage.input),
        output: sum.output.saturating_add(usage.output),
        ..sum
    })
}
