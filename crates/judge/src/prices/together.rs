//! Together AI's price list.
//!
//! Sources: <https://docs.together.ai/docs/serverless/models> as quoted by Mastra's and Braintrust's catalogues in 2026, and pydantic's
//! genai-prices (MIT). Discounts for cached input and batches hold for some models only; none is counted on here, so that a budget can
//! only be charged too much.

use jiff::civil::date;

use super::{Endpoint, Host, List, ListPrice, at, usd};

const fn plain(input: f64, output: f64) -> ListPrice {
    let price = usd(input, input, input, output);
    ListPrice { price, batch: Some(at(100, price)), shutdown: None }
}

pub(super) static CHAT: List = List {
    host: Host::Together,
    endpoint: Endpoint::Chat,
    as_of: date(2026, 8, 21),
    source: "https://docs.together.ai/docs/serverless/models",
    lines: &[
        (&["openai/gpt-oss-120b"], plain(0.15, 0.6)),
        (&["meta-llama/Llama-3.3-70B-Instruct-Turbo"], plain(0.88, 0.88)),
        (&["deepseek-ai/DeepSeek-V4-Flash-0731"], plain(0.14, 0.28)),
    ],
};
