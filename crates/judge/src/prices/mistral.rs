//! Mistral's price list.
//!
//! Sources: <https://mistral.ai/pricing#api-pricing> as quoted by pydantic's genai-prices (MIT, August 2026) and, for Medium 3.5 and
//! Large 4, by others who read that page (from April and October 2026). Large 4 stands at its price after the sale of its launch.
//! `mistral-small-latest` and `mistral-medium-latest` are priced as what they were said to mean in 2026. Cached input of Medium 3.5 and
//! Large 4 was not to be read and has no discount here. Mistral has batches in a protocol of its own, which Assize does not speak.

use jiff::civil::date;

use super::{Endpoint, Host, List, ListPrice, Price, usd};

const fn automatic(input: f64, cached_input: f64, output: f64) -> ListPrice {
    ListPrice::live(usd(input, cached_input, input, output))
}

const LARGE_4: Price = usd(1.36, 1.36, 1.36, 4.18);

pub(super) static CHAT: List = List {
    host: Host::Mistral,
    endpoint: Endpoint::Chat,
    as_of: date(2026, 10, 20),
    source: "https://mistral.ai/pricing#api-pricing",
    lines: &[
        (&["mistral-large-4", "mistral-large-4-0"], ListPrice::live(LARGE_4)),
        (&["mistral-large-2512"], automatic(0.5, 0.05, 1.5)),
        (&["mistral-medium-3.5", "mistral-medium-3-5", "mistral-medium-latest"], automatic(1.5, 1.5, 7.5)),
        (&["mistral-small-2603", "mistral-small-latest"], automatic(0.15, 0.015, 0.6)),
        (&["ministral-14b-2512"], automatic(0.2, 0.02, 0.2)),
        (&["ministral-3b-2512"], automatic(0.1, 0.01, 0.1)),
    ],
};
