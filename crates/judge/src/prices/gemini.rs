//! Google's price list of the Gemini API, for text.
//!
//! Sources: <https://ai.google.dev/gemini-api/docs/pricing>, as of November 2026, and pydantic's genai-prices (MIT). Shutdowns:
//! <https://ai.google.dev/gemini-api/docs/deprecations>; from then on Google answers 2.5 Pro and 2.5 Flash with other models, at their
//! prices. Caching that one does not ask for costs nothing to write. Google has batches too, but Assize does not send any there.

use jiff::civil::date;

use super::{Endpoint, Host, Line, List, ListPrice, Price, usd};

const fn implicit(input: f64, cached_input: f64, output: f64) -> Price {
    usd(input, cached_input, input, output)
}

pub(super) static CHAT: List = List {
    host: Host::Gemini,
    endpoint: Endpoint::Chat,
    as_of: date(2026, 11, 1),
    source: "https://ai.google.dev/gemini-api/docs/pricing",
    lines: CHAT_LINES,
};

/// Decision models charge for input alone; see OpenAI's.
pub(super) static DECISIONS: List = List {
    host: Host::Gemini,
    endpoint: Endpoint::Decisions,
    as_of: date(2026, 11, 1),
    source: "https://ai.google.dev/gemini-api/docs/pricing",
    lines: &[(&["gemini-decision-1"], ListPrice::live(implicit(0.1, 0.1, 0.0)))],
};

const CHAT_LINES: &[Line] = &[
    // Until the end of 2026 Google charges half of this.
    (&["gemini-3.8-flash"], ListPrice::live(implicit(1.5, 0.15, 7.5))),
    (&["gemini-3.6-flash"], ListPrice::live(implicit(1.5, 0.15, 7.5))),
    (&["gemini-3.5-flash"], ListPrice::live(implicit(1.5, 0.15, 9.0))),
    (&["gemini-3.5-flash-lite"], ListPrice::live(implicit(0.3, 0.03, 2.5))),
    (&["gemini-3.1-flash-lite"], ListPrice::live(implicit(0.25, 0.025, 1.5)).until(2027, 5, 7)),
    (&["gemini-3.1-pro-preview"], ListPrice::live(implicit(2.0, 0.2, 12.0))),
    (&["gemini-3-flash-preview"], ListPrice::live(implicit(0.5, 0.05, 3.0))),
    (&["gemini-2.5-pro"], ListPrice::live(implicit(1.25, 0.125, 10.0)).until(2026, 12, 1)),
    (&["gemini-2.5-flash"], ListPrice::live(implicit(0.3, 0.03, 2.5)).until(2026, 12, 1)),
    (&["gemini-2.5-flash-lite"], ListPrice::live(implicit(0.1, 0.01, 0.4))),
];
