//! The progress bar of a run: how far, how fast, what it cost so far, how long yet.

use std::time::{Duration, Instant};

use assize_core::NanoUsd;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::summary::thousands;

/// A bar on stderr; none when that is no terminal.
pub struct Progress {
    bar: ProgressBar,
    began: Instant,
    bytes_total: Option<u64>,
    limit: Option<u64>,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reached {
    /// Bytes and items of the input that are read, and whether that is all.
    pub bytes: u64,
    pub items: u64,
    pub all_read: bool,
    /// Items that have their outcome; of them, those that a run before had done.
    pub done: u64,
    pub done_before: u64,
    pub judged: u64,
    pub failed: u64,
    pub cost: NanoUsd,
}

impl Progress {
    /// A bar over an input of so many bytes, or without an end where that is not known.
    pub fn start(bytes_total: Option<u64>, limit: Option<u64>) -> Self {
        let end_known = bytes_total.is_some() || limit.is_some();
        let bar = ProgressBar::with_draw_target(end_known.then_some(0), ProgressDrawTarget::stderr_with_hz(5));
        let template = if end_known { "{bar:24} {percent:>3} %  {msg}, {eta} left" } else { "{spinner} {msg}, {elapsed}" };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸ "));
        }
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(250));
        }
        Self { bar, began: Instant::now(), bytes_total, limit }
    }

    /// Shows it.
    pub fn tell(&self, reached: &Reached) {
        if self.bar.is_hidden() {
            return;
        }
        if let Some(total) = self.total(reached) {
            self.bar.set_length(total);
        }
        self.bar.set_position(reached.done);
        self.bar.set_message(message(reached, self.began.elapsed()));
    }

    /// How many items there are, as far as what is read so far tells.
    fn total(&self, reached: &Reached) -> Option<u64> {
        let by_bytes = self.bytes_total.filter(|_| reached.bytes > 0).map(|total| {
            let items = u128::from(reached.items) * u128::from(total) / u128::from(reached.bytes);
            u64::try_from(items).unwrap_or(u64::MAX)
        });
        let expected = if reached.all_read { Some(reached.items) } else { by_bytes };
        let total = [expected, self.limit].into_iter().flatten().min()?;
        Some(total.max(reached.items))
    }

    /// Says a line without disturbing the bar.
    pub fn aside(&self, text: &str) {
        self.bar.suspend(|| crate::cli::say::note(text));
    }

    /// The bar goes away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn message(reached: &Reached, elapsed: Duration) -> String {
    let rate = reached.done.saturating_sub(reached.done_before) as f64 / elapsed.as_secs_f64().max(0.001);
    let cost = reached.cost.to_usd();
    let mut message = format!("{} done, {} judged", thousands(reached.done), thousands(reached.judged));
    if reached.failed > 0 {
        message.push_str(&format!(", {} failed", thousands(reached.failed)));
    }
    message.push_str(&format!(", {rate:.0}/s, ${cost:.*}", if cost < 1.0 { 4 } else { 2 }));
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_estimated_from_what_is_read() {
        let progress = |bytes_total, limit| Progress { bar: ProgressBar::hidden(), began: Instant::now(), bytes_total, limit };
        let reached = Reached { bytes: 1_000, items: 10, done: 3, ..Reached::default() };
        assert_eq!(progress(Some(5_000), None).total(&reached), Some(50));
        assert_eq!(progress(Some(5_000), Some(20)).total(&reached), Some(20));
        assert_eq!(progress(Some(5_000), None).total(&Reached { all_read: true, ..reached }), Some(10));
        assert_eq!(progress(None, None).total(&reached), None);
        assert_eq!(progress(Some(0), None).total(&Reached::default()), None);
    }

    #[test]
    fn it_says_rate_and_cost() {
        let reached = Reached { done: 1_200, done_before: 200, judged: 120, cost: NanoUsd(5_750_000), ..Reached::default() };
        assert_eq!(message(&reached, Duration::from_secs(10)), "1,200 done, 120 judged, 100/s, $0.0057");
        assert!(message(&Reached { failed: 2, ..reached }, Duration::from_secs(10)).contains(", 2 failed,"));
    }
}
