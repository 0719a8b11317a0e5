//! OpenAI's price list.
//!
//! Sources: <https://developers.openai.com/api/docs/pricing> and the models' own pages, as of November 2026; for the older models also
//! pydantic's genai-prices (MIT). Figures of the newest are partly third parties' quotations of that list, and where a cached or batch
//! price was not to be read it is the family's ratio. Shutdowns:
//! <https://developers.openai.com/api/docs/deprecations>. From GPT-5.6 on, writing to the prompt cache costs 1.25 times the input.

use jiff::civil::date;

use super::{Endpoint, Host, Line, List, ListPrice, Price, at, usd};

/// A model that charges nothing more for writing to the cache.
const fn unwritten(input: f64, cached_input: f64, output: f64) -> Price {
    usd(input, cached_input, input, output)
}

/// The models before GPT-5: in a batch, cached input has no discount of its own.
const fn older(price: Price) -> ListPrice {
    let half = at(50, price);
    ListPrice { price, batch: Some(Price { cached_input: half.input, ..half }), shutdown: None }
}

pub(super) static CHAT: List = List {
    host: Host::Openai,
    endpoint: Endpoint::Chat,
    as_of: date(2026, 11, 5),
    source: "https://developers.openai.com/api/docs/pricing",
    lines: CHAT_LINES,
};

/// Decision models charge for input alone. No discount for cached input is counted on, so that a budget can only be charged too much.
pub(super) static DECISIONS: List = List {
    host: Host::Openai,
    endpoint: Endpoint::Decisions,
    as_of: date(2026, 11, 5),
    source: "https://developers.openai.com/api/docs/guides/decisions",
    lines: &[(&["gpt-6-luna"], ListPrice::live(unwritten(0.1, 0.1, 0.0)))],
};

const CHAT_LINES: &[Line] = &[
    (&["gpt-6.1-sol", "gpt-6.1-sol-2026-09-29"], ListPrice::half_in_batches(usd(2.0, 0.1, 2.5, 10.0))),
    (&["gpt-6.1-terra"], ListPrice::half_in_batches(usd(1.0, 0.05, 1.25, 5.0))),
    (&["gpt-6-sol"], ListPrice::half_in_batches(usd(2.0, 0.2, 2.5, 10.0))),
    (&["gpt-6-luna"], ListPrice::half_in_batches(usd(0.1, 0.01, 0.125, 0.5))),
    (&["gpt-5.6-sol", "gpt-5.6"], ListPrice::half_in_batches(usd(4.0, 0.4, 5.0, 20.0))),
    (&["gpt-5.6-terra"], ListPrice::half_in_batches(usd(2.0, 0.2, 2.5, 12.0))),
    (&["gpt-5.6-luna"], ListPrice::half_in_batches(usd(0.2, 0.02, 0.25, 1.2))),
    (&["gpt-5.5", "gpt-5.5-2026-04-23"], ListPrice::half_in_batches(unwritten(5.0, 0.5, 30.0))),
    (&["gpt-5.4", "gpt-5.4-2026-03-05"], ListPrice::half_in_batches(unwritten(2.5, 0.25, 15.0))),
    (&["gpt-5.4-mini", "gpt-5.4-mini-2026-03-17"], ListPrice::half_in_batches(unwritten(0.75, 0.075, 4.5))),
    (&["gpt-5.4-nano", "gpt-5.4-nano-2026-03-17"], ListPrice::half_in_batches(unwritten(0.2, 0.02, 1.25))),
    (&["gpt-5.2", "gpt-5.2-2025-12-11"], ListPrice::half_in_batches(unwritten(1.75, 0.175, 14.0))),
    (&["gpt-5.1", "gpt-5.1-2025-11-13"], ListPrice::half_in_batches(unwritten(1.25, 0.125, 10.0)).until(2027, 4, 1)),
    (&["gpt-5", "gpt-5-2025-08-07"], ListPrice::half_in_batches(unwritten(1.25, 0.125, 10.0)).until(2026, 12, 11)),
    (&["gpt-5-mini", "gpt-5-mini-2025-08-07"], ListPrice::half_in_batches(unwritten(0.25, 0.025, 2.0)).until(2026, 12, 11)),
    (&["gpt-5-nano", "gpt-5-nano-2025-08-07"], ListPrice::half_in_batches(unwritten(0.05, 0.005, 0.4)).until(2026, 12, 11)),
    (&["o3", "o3-2025-04-16"], older(unwritten(2.0, 0.5, 8.0)).until(2026, 12, 11)),
    (&["gpt-4.1", "gpt-4.1-2025-04-14"], older(unwritten(2.0, 0.5, 8.0)).until(2027, 1, 14)),
    (&["gpt-4.1-mini", "gpt-4.1-mini-2025-04-14"], older(unwritten(0.4, 0.1, 1.6)).until(2027, 1, 14)),
    (&["gpt-4.1-nano", "gpt-4.1-nano-2025-04-14"], older(unwritten(0.1, 0.025, 0.4)).until(2026, 10, 23)),
    (&["gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-2024-11-20"], older(unwritten(2.5, 1.25, 10.0)).until(2027, 1, 14)),
    (&["gpt-4o-2024-05-13"], older(unwritten(5.0, 5.0, 15.0)).until(2026, 10, 23)),
    (&["gpt-4o-mini", "gpt-4o-mini-2024-07-18"], older(unwritten(0.15, 0.075, 0.6)).until(2027, 1, 14)),
];
