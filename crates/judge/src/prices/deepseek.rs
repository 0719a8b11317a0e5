//! DeepSeek's price list.
//!
//! Source: <https://api-docs.deepseek.com/quick_start/pricing>, as read in September and October 2026. By day (01:00 to 04:00 and 06:00
//! to 10:00 UTC, Monday to Friday, Chinese holidays aside) DeepSeek charges twice what it charges else; the lists hold the dear rate, so
//! that a budget can only be charged too much. `deepseek-v4-flash` is served by, and charged as, `deepseek-flash`.

use jiff::civil::date;

use super::{Endpoint, Host, List, ListPrice, usd};

const fn peak(input: f64, cached_input: f64, output: f64) -> ListPrice {
    ListPrice::live(usd(input, cached_input, input, output))
}

pub(super) static CHAT: List = List {
    host: Host::Deepseek,
    endpoint: Endpoint::Chat,
    as_of: date(2026, 10, 27),
    source: "https://api-docs.deepseek.com/quick_start/pricing",
    lines: &[(&["deepseek-flash", "deepseek-v4-flash"], peak(0.3, 0.006, 1.2)), (&["deepseek-v4-pro"], peak(1.32, 0.044, 3.96))],
};
