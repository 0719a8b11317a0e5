//! The way of the results to one target: in order, one delivery at a time, the cursor behind the acknowledgement.

use std::sync::Arc;
use std::time::Duration;

use assize_core::export::ExportCursors;
use assize_core::results::Results;
use assize_core::{Clock, StoreError, Timestamp};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::target::{Answer, Target};
use crate::counters::Counters;

/// How long it waits at the end of the feed.
const POLL: Duration = Duration::from_secs(1);
/// How long it waits where our own store failed.
const FAULT_WAIT: Duration = Duration::from_secs(5);
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// Where the target is down, or takes everything but this.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Where it takes nothing of us, which somebody has to mend.
const BACKOFF_REFUSED_MAX: Duration = Duration::from_secs(600);
/// How long what is under way at a stop may take.
const LAST_MOMENT: Duration = Duration::from_secs(5);
const TELL_EVERY: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A target and how far it has come.
pub struct Delivery {
    target: Target,
    /// Everything up to here is acknowledged, or given up.
    cursor: u64,
    results: Arc<dyn Results>,
    cursors: Arc<dyn ExportCursors>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    /// Results of the next delivery, at the most: fewer after a failure, up to what is configured after successes.
    size: usize,
    /// Waits in a row.
    failures: u32,
    /// Refusals of the present delivery.
    refusals: u32,
    /// Why it was not taken the last time.
    why: Option<String>,
    /// When the first result that is not acknowledged was decided.
    oldest: Option<Timestamp>,
    told_at: Instant,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    Wait(Duration),
}

impl Delivery {
    pub(super) fn new(
        target: Target,
        cursor: u64,
        results: Arc<dyn Results>,
        cursors: Arc<dyn ExportCursors>,
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            size: target.spec().batch_max,
            target,
            cursor,
            results,
            cursors,
            clock,
            counters,
            failures: 0,
            refusals: 0,
            why: None,
            oldest: None,
            told_at: Instant::now(),
        }
    }

    /// Delivers until `stop`. What is under way then has a moment to be acknowledged; else it is repeated after the next start.
    pub async fn run(mut self, stop: &CancellationToken) {
        let last_moment = async {
            stop.cancelled().await;
            tokio::time::sleep(LAST_MOMENT).await;
        };
        tokio::select! {
            () = self.follow(stop) => {}
            () = last_moment => {}
        }
    }

    async fn follow(&mut self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let next = match self.pass().await {
                Ok(next) => next,
                Err(error) => {
                    self.counters.fault("export");
                    tracing::error!(%error, target_name = %self.target.name(), "the export cannot go on, and is tried again");
                    Next::Wait(FAULT_WAIT)
                }
            };
            if let Next::Wait(wait) = next {
                stop.run_until_cancelled(self.wait(wait)).await;
            }
        }
    }

    /// One delivery, if there is anything to deliver.
    async fn pass(&mut self) -> Result<Next, StoreError> {
        let page = self.results.decided_after(&self.target.query(self.cursor, self.size)).await?;
        self.oldest = page.items.first().map(|decided| decided.at);
        self.look().await;
        let at_end = if page.is_end { Next::Wait(POLL) } else { Next::GoOn };
        if page.items.is_empty() {
            self.move_to(page.up_to).await?;
            return Ok(at_end);
        }
        let parcel = self.target.pack(&page.items);
        let count = parcel.count;
        let last = page.items.get(count.saturating_sub(1)).map_or(page.up_to, |decided| decided.seq);
        let up_to = if count == page.items.len() { page.up_to } else { last };
        match self.target.attempt(parcel, self.clock.now()).await {
            Answer::Taken { rejected } => {
                self.taken(count, rejected);
                self.move_to(up_to).await?;
                Ok(if count == page.items.len() { at_end } else { Next::GoOn })
            }
            Answer::Later { why, after, is_too_much } => {
                if is_too_much {
                    self.size = (count / 2).max(1);
                }
                self.failed(why);
                let backoff = self.backoff(BACKOFF_MAX);
                Ok(Next::Wait(after.map_or(backoff, |after| after.max(backoff))))
            }
            // Which one it is that is not taken is found by halves.
            Answer::Refused { is_content: true, why } if count > 1 => {
                self.size = (count / 2).max(1);
                self.failed(why);
                Ok(Next::GoOn)
            }
            Answer::Refused { why, is_content } => {
                self.refusals += 1;
                let attempts = self.target.spec().attempts;
                self.failed(why);
                let backoff = self.backoff(if is_content { BACKOFF_MAX } else { BACKOFF_REFUSED_MAX });
                if attempts == 0 || self.refusals < attempts {
                    return Ok(Next::Wait(backoff));
                }
                self.give_up(count);
                self.move_to(up_to).await?;
                Ok(Next::GoOn)
            }
        }
    }

    async fn move_to(&mut self, up_to: u64) -> Result<(), StoreError> {
        if up_to != self.cursor {
            self.cursors.set_cursor(self.target.name(), up_to).await?;
            self.cursor = up_to;
        }
        Ok(())
    }

    fn taken(&mut self, count: usize, rejected: u64) {
        let name = self.target.name();
        if self.why.take().is_some() {
            tracing::info!(target_name = %name, "the target takes results again");
        }
        self.counters.exports.deliver(name, (count as u64).saturating_sub(rejected));
        if rejected > 0 {
            self.counters.exports.lose(name, rejected);
            tracing::error!(target_name = %name, rejected, of = count, "the target has taken a delivery and rejected a part, which is lost to it: its own log says why");
        }
        (self.failures, self.refusals) = (0, 0);
        self.size = self.size.saturating_mul(2).min(self.target.spec().batch_max);
    }

    /// Says so where it is news.
    fn failed(&mut self, why: String) {
        let name = self.target.name();
        self.counters.exports.fail(name);
        if self.why.as_ref() != Some(&why) {
            tracing::warn!(target_name = %name, %why, "the target does not take results; they wait on record and are sent again");
        }
        self.why = Some(why);
    }

    /// How long to wait after one more failure that waiting may help.
    fn backoff(&mut self, max: Duration) -> Duration {
        self.failures = self.failures.saturating_add(1);
        backoff(self.failures, max)
    }

    fn give_up(&mut self, count: usize) {
        let name = self.target.name();
        self.counters.exports.lose(name, count as u64);
        let why = self.why.as_deref().unwrap_or_default();
        tracing::error!(target_name = %name, lost = count, after = self.cursor, why, "results are left out: the target has refused them for good, as often as attempts allows");
        (self.failures, self.refusals) = (0, 0);
    }

    async fn wait(&mut self, wait: Duration) {
        let end = Instant::now() + wait;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            tokio::time::sleep(left.min(LOOK_EVERY)).await;
            if left <= LOOK_EVERY {
                return;
            }
            self.look().await;
        }
    }

    /// Shows how far the target is behind, and says it once a minute.
    async fn look(&mut self) {
        // What the store has to say of its failures is said where it matters.
        let Ok(last) = self.results.decided_last().await else { return };
        let name = self.target.name();
        let seconds = self.oldest.map_or(0, |oldest| self.clock.now().since(oldest).as_secs());
        // Behind the cursor there may be what the target does not want to know.
        let behind = if self.oldest.is_none() { 0 } else { last.saturating_sub(self.cursor) };
        self.counters.exports.lag(name, behind, seconds);
        if behind > 0 && self.told_at.elapsed() >= TELL_EVERY {
            self.told_at = Instant::now();
            let why = self.why.as_deref().unwrap_or("it is on its way");
            tracing::info!(target_name = %name, behind, oldest_seconds = seconds, why, "results wait for the target");
        }
    }
}

/// Doubled with each failure in a row.
fn backoff(failures: u32, max: Duration) -> Duration {
    BACKOFF_FIRST.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX)).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound() {
        let seconds: Vec<u64> =
            [1, 2, 3, 5, 6, 31, 32, 33, u32::MAX].map(|failures| backoff(failures, BACKOFF_MAX).as_secs()).into();
        assert_eq!(seconds, [1, 2, 4, 16, 30, 30, 30, 30, 30]);
        assert_eq!(backoff(12, BACKOFF_REFUSED_MAX), BACKOFF_REFUSED_MAX);
    }
}
