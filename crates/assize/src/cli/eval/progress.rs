//! The progress bar of a run: how far, how fast, what it cost so far, how long yet.

use std::time::Duration;

use assize_core::NanoUsd;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on stderr; none when that is no terminal or none is wanted.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar over `bytes_total` bytes of input, or without an end where that is not known.
    pub fn start(bytes_total: Option<u64>, limit: Option<u64>, wanted: bool) -> Self {
        let known = if limit.is_some() { None } else { bytes_total };
        let bar = ProgressBar::with_draw_target(
            known,
            if wanted { ProgressDrawTarget::stderr_with_hz(5) } else { ProgressDrawTarget::hidden() },
        );
        let style = match known {
            Some(_) => ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}  {eta} left"),
            None => ProgressStyle::with_template("{spinner} {msg}  {elapsed}"),
        };
        if let Ok(style) = style {
            bar.set_style(style);
        }
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(250));
        }
        Self { bar }
    }

    /// So many bytes of input are through.
    pub fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    /// What to say beside the bar.
    pub fn tell(&self, done: u64, judged: u64, cost: NanoUsd) {
        if self.bar.is_hidden() {
            return;
        }
        let seconds = self.bar.elapsed().as_secs_f64().max(0.001);
        self.bar.set_message(format!("{done} done, {judged} judged, {:.0}/s, {cost}", done as f64 / seconds));
    }

    /// The bar goes away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
