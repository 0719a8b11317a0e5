//! Groq's price list.
//!
//! Sources: <https://groq.com/pricing/> and <https://console.groq.com/docs/models>, as quoted by pydantic's genai-prices (MIT) and by
//! others who read them in 2026. Cached input costs half (<https://console.groq.com/docs/prompt-caching>), a batch is half of the live
//! price; that the two do not add up is assumed, so that a budget can only be charged too much. The Llama models ended in August 2026.

use jiff::civil::date;

use super::{Endpoint, Host, List, ListPrice, Price, at, usd};

const fn half_cached(input: f64, output: f64) -> ListPrice {
    let price = usd(input, input / 2.0, input, output);
    let half = at(50, price);
    ListPrice { price, batch: Some(Price { cached_input: half.input, ..half }), shutdown: None }
}

pub(super) static CHAT: List = List {
    host: Host::Groq,
    endpoint: Endpoint::Chat,
    as_of: date(2026, 8, 21),
    source: "https://groq.com/pricing/",
    lines: &[
        (&["openai/gpt-oss-120b"], half_cached(0.15, 0.6)),
        (&["openai/gpt-oss-20b"], half_cached(0.075, 0.3)),
        (&["llama-3.3-70b-versatile"], half_cached(0.59, 0.79).until(2026, 8, 16)),
        (&["llama-3.1-8b-instant"], half_cached(0.05, 0.08).until(2026, 8, 16)),
    ],
};
