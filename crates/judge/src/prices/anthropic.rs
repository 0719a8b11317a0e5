//! Anthropic's price list.
//!
//! Sources: <https://platform.claude.com/docs/en/about-claude/pricing> and the models' overview pages, as of November 2026; for the
//! older models also pydantic's genai-prices (MIT). Writing to the prompt cache costs 1.25 times the input for the five minutes that
//! Assize asks for; a batch is half of everything, cached input included. No shutdown of these is announced by date; the pages say
//! until when each is served at least.

use jiff::civil::date;

use super::{Endpoint, Host, Line, List, ListPrice, usd};

pub(super) static CHAT: List = List {
    host: Host::Anthropic,
    endpoint: Endpoint::Chat,
    as_of: date(2026, 11, 1),
    source: "https://platform.claude.com/docs/en/about-claude/pricing",
    lines: CHAT_LINES,
};

const CHAT_LINES: &[Line] = &[
    (&["claude-opus-5-5"], ListPrice::half_in_batches(usd(4.0, 0.2, 5.0, 20.0))),
    (&["claude-sonnet-5-5"], ListPrice::half_in_batches(usd(2.0, 0.1, 2.5, 10.0))),
    // Prompts up to 100,000 tokens; longer ones cost five times as much.
    (&["claude-haiku-5-5"], ListPrice::half_in_batches(usd(0.1, 0.01, 0.125, 0.5))),
    (&["claude-fable-5"], ListPrice::half_in_batches(usd(10.0, 1.0, 12.5, 50.0))),
    (&["claude-opus-5"], ListPrice::half_in_batches(usd(5.0, 0.5, 6.25, 25.0))),
    (&["claude-sonnet-5"], ListPrice::half_in_batches(usd(2.0, 0.2, 2.5, 10.0))),
    (&["claude-opus-4-8"], ListPrice::half_in_batches(usd(5.0, 0.5, 6.25, 25.0))),
    (&["claude-opus-4-7"], ListPrice::half_in_batches(usd(5.0, 0.5, 6.25, 25.0))),
    (&["claude-opus-4-6"], ListPrice::half_in_batches(usd(5.0, 0.5, 6.25, 25.0))),
    (&["claude-opus-4-5", "claude-opus-4-5-20251101"], ListPrice::half_in_batches(usd(5.0, 0.5, 6.25, 25.0))),
    (&["claude-sonnet-4-6"], ListPrice::half_in_batches(usd(3.0, 0.3, 3.75, 15.0))),
    (&["claude-sonnet-4-5", "claude-sonnet-4-5-20250929"], ListPrice::half_in_batches(usd(3.0, 0.3, 3.75, 15.0))),
    (&["claude-haiku-4-5", "claude-haiku-4-5-20251001"], ListPrice::half_in_batches(usd(1.0, 0.1, 1.25, 5.0))),
];
