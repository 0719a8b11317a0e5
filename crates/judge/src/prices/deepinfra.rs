//! DeepInfra's price list.
//!
//! Sources: <https://deepinfra.com/pricing> as read by the compilers of public catalogues, the Llama models on 5 November 2026, gpt-oss
//! in July 2026. No discount for cached input or batches was to be read, so none is counted on.

use jiff::civil::date;

use super::{Endpoint, Host, List, ListPrice, at, usd};

const fn plain(input: f64, output: f64) -> ListPrice {
    let price = usd(input, input, input, output);
    ListPrice { price, batch: Some(at(100, price)), shutdown: None }
}

pub(super) static CHAT: List = List {
    host: Host::Deepinfra,
    endpoint: Endpoint::Chat,
    as_of: date(2026, 11, 5),
    source: "https://deepinfra.com/pricing",
    lines: &[
        (&["meta-llama/Llama-3.3-70B-Instruct-Turbo"], plain(0.1, 0.32)),
        (&["meta-llama/Llama-4-Scout-17B-16E-Instruct"], plain(0.1, 0.3)),
        (&["meta-llama/Meta-Llama-3.1-70B-Instruct-Turbo"], plain(0.4, 0.4)),
        (&["meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo"], plain(0.02, 0.04)),
        (&["openai/gpt-oss-120b"], plain(0.039, 0.17)),
        (&["openai/gpt-oss-120b-Turbo"], plain(0.15, 0.6)),
    ],
};
