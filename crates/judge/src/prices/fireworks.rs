//! Fireworks AI's price list, of serverless inference in its standard mode.
//!
//! Sources: <https://docs.fireworks.ai/serverless/pricing>, and pydantic's genai-prices (MIT, August 2026) for the models' names. A
//! batch is half of input and output; a discount for cached input in a batch is not promised and not counted on.

use jiff::civil::date;

use super::{Endpoint, Host, List, ListPrice, Price, at, usd};

const fn standard(input: f64, cached_input: f64, output: f64) -> ListPrice {
    let price = usd(input, cached_input, input, output);
    let half = at(50, price);
    ListPrice { price, batch: Some(Price { cached_input: half.input, ..half }), shutdown: None }
}

pub(super) static CHAT: List = List {
    host: Host::Fireworks,
    endpoint: Endpoint::Chat,
    as_of: date(2026, 8, 21),
    source: "https://docs.fireworks.ai/serverless/pricing",
    lines: &[
        // The vendor's page says 0.015 for cached input and the catalogue 0.07: the dearer one stands.
        (&["accounts/fireworks/models/gpt-oss-120b"], standard(0.15, 0.07, 0.6)),
        (&["accounts/fireworks/models/gpt-oss-20b"], standard(0.07, 0.04, 0.3)),
        (&["accounts/fireworks/models/deepseek-v4-flash"], standard(0.14, 0.028, 0.28)),
        (&["accounts/fireworks/models/deepseek-v4-pro"], standard(1.74, 0.145, 3.48)),
        (&["accounts/fireworks/models/kimi-k2p6"], standard(0.95, 0.16, 4.0)),
        (&["accounts/fireworks/models/glm-5p1"], standard(1.4, 0.26, 4.4)),
        (&["accounts/fireworks/models/glm-5p2"], standard(1.4, 0.14, 4.4)),
        (&["accounts/fireworks/models/minimax-m3"], standard(0.3, 0.06, 1.2)),
        (&["accounts/fireworks/models/qwen3p7-plus"], standard(0.4, 0.08, 1.6)),
        (&["accounts/fireworks/models/llama-v3p1-8b-instruct"], standard(0.2, 0.2, 0.2)),
    ],
};
