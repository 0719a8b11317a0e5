//! What is waiting, and what came in.

use assize_core::Timestamp;
use assize_core::queue::Depth;
use maud::{Markup, html};

use super::Overview;
use crate::ui::format::{count, duration, instant};
use crate::ui::visible::{Visible, plain};

/// One operational counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestCounter {
    /// What is counted, such as `Duplicates`.
    pub label: String,
    /// How many.
    pub value: u64,
    /// What that means, for whoever wonders; may be empty.
    pub note: String,
}

/// What came in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IngestPanel {
    /// Since when is counted, where counters began with the process.
    pub since: Option<Timestamp>,
    /// The counters, in the order in which they are shown.
    pub counters: Vec<IngestCounter>,
}

pub(super) fn render(view: &Overview) -> Markup {
    html! {
        div.panels.state {
            section.panel #queue aria-labelledby="queue-title" {
                h2 #queue-title { "Queue" }
                (queue(&view.queue, view.layout.now))
            }
            section.panel #ingest aria-labelledby="ingest-title" {
                h2 #ingest-title {
                    "Ingest"
                    @if let Some(since) = view.ingest.since { span.muted { " since " (instant(since, view.layout.now)) } }
                }
                @if view.ingest.counters.is_empty() {
                    p.muted { "Nothing was sent yet." }
                } @else {
                    dl.counters {
                        @for counter in &view.ingest.counters {
                            div title=[(!counter.note.is_empty()).then(|| plain(&counter.note))] {
                                dt { (Visible(&counter.label)) }
                                dd { (count(counter.value)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn queue(depth: &Depth, now: Timestamp) -> Markup {
    html! {
        dl.counters {
            div title="Could be judged now." { dt { "Ready" } dd { (count(depth.ready)) } }
            div title="Waits for another try." { dt { "Delayed" } dd { (count(depth.delayed)) } }
            div title="In the hands of workers." { dt { "In hand" } dd { (count(depth.leased)) } }
            div.trouble[depth.dead > 0] title="Given up on; kept with the reason." {
                dt { "Given up" } dd { (count(depth.dead)) }
            }
            div title="Age of the oldest that is not done." {
                dt { "Oldest" }
                dd { @match depth.oldest { Some(oldest) => (duration(now.since(oldest))), None => span.muted { "none" } } }
            }
        }
    }
}
