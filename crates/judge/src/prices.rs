//! What models charge that need no `price` in the configuration, live and in a batch, and until when they are served. A model that is
//! not here has no price, which is not the same as costing nothing.
//!
//! There is a list for each [`Host`], with its day and its source; [`Prices::quote`] finds a model's price there or in what the operator
//! says. Three things that vendors charge are not in the lists. Some ask more for very long prompts (from 100,000 to 272,000 tokens on, by
//! model) and for processing in a chosen region: costs of such calls look too low. A price that is lowered for a time stands at what it
//! will be: until then costs look too high. Where that matters, a judge's own `price` or a `[[price]]` goes before the list.

mod anthropic;
mod deepinfra;
mod deepseek;
mod fireworks;
mod gemini;
mod groq;
mod host;
pub mod litellm;
mod mistral;
mod openai;
mod openrouter;
mod quote;
mod together;

use assize_core::{NanoUsd, Price};
use jiff::civil::Date;

pub use host::Host;
pub use quote::{Called, Charge, Endpoint, Of, OwnPrice, PriceSource, Prices, Quote};

/// What a list says of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListPrice {
    /// What a live call costs.
    pub price: Price,
    /// What the same call costs as part of a batch; `None` where there are none.
    pub batch: Option<Price>,
    /// The day from which calls to the model fail, where the vendor has announced it.
    pub shutdown: Option<Date>,
}

/// One line of a list: the names a model goes by, and what holds for it.
pub type Line = (&'static [&'static str], ListPrice);

/// The prices of one host.
#[derive(Debug, PartialEq, Eq)]
pub struct List {
    /// Whose they are.
    pub host: Host,
    /// What is asked of the models.
    pub endpoint: Endpoint,
    /// The day on which they were read, the oldest where there are several.
    pub as_of: Date,
    /// Where.
    pub source: &'static str,
    /// The models.
    pub lines: &'static [Line],
}

/// The lists that come with Assize.
pub static LISTS: [&List; 11] = [
    &openai::CHAT,
    &openai::DECISIONS,
    &anthropic::CHAT,
    &gemini::CHAT,
    &gemini::DECISIONS,
    &mistral::CHAT,
    &deepseek::CHAT,
    &groq::CHAT,
    &together::CHAT,
    &fireworks::CHAT,
    &deepinfra::CHAT,
];

/// Nothing at all.
const NOTHING: Price =
    Price { input: NanoUsd::ZERO, cached_input: NanoUsd::ZERO, cache_write: NanoUsd::ZERO, output: NanoUsd::ZERO };

fn find(lists: impl Iterator<Item = &'static List>, model: &str) -> Option<(&'static List, &'static ListPrice)> {
    let mut lines = lists.flat_map(|list| list.lines.iter().map(move |line| (list, line)));
    lines.find(|(_, (names, _))| names.contains(&model)).map(|(list, (_, price))| (list, price))
}

/// What the list of `host` says of `model`, by its exact name.
fn listed_at(host: Host, endpoint: Endpoint, model: &str) -> Option<(&'static List, &'static ListPrice)> {
    find(LISTS.into_iter().filter(|list| list.host == host && list.endpoint == endpoint), model)
}

/// What its own vendor's list says of `model`.
fn vendor_listed(endpoint: Endpoint, model: &str) -> Option<(&'static List, &'static ListPrice)> {
    find(LISTS.into_iter().filter(|list| list.host.is_vendor() && list.endpoint == endpoint), model)
}

/// What its own vendor's list says of the chat model `model`, by its exact name.
pub fn listed(model: &str) -> Option<&'static ListPrice> {
    vendor_listed(Endpoint::Chat, model).map(|(_, price)| price)
}

/// The list price of a live call to the chat model `model`.
pub fn built_in(model: &str) -> Option<Price> {
    listed(model).map(|listed| listed.price)
}

/// US dollars per million tokens: input, input read from the prompt cache, input written to it, output.
const fn usd(input: f64, cached_input: f64, cache_write: f64, output: f64) -> Price {
    Price { input: nano(input), cached_input: nano(cached_input), cache_write: nano(cache_write), output: nano(output) }
}

const fn nano(usd: f64) -> NanoUsd {
    NanoUsd((usd * 1e9 + 0.5) as u64)
}

/// The price at `percent` of itself, rounded up.
const fn at(percent: u64, price: Price) -> Price {
    const fn part(percent: u64, price: NanoUsd) -> NanoUsd {
        NanoUsd((price.0 * percent).div_ceil(100))
    }
    Price {
        input: part(percent, price.input),
        cached_input: part(percent, price.cached_input),
        cache_write: part(percent, price.cache_write),
        output: part(percent, price.output),
    }
}

impl ListPrice {
    /// A model without batches.
    const fn live(price: Price) -> Self {
        Self { price, batch: None, shutdown: None }
    }

    /// A model whose batches cost half of everything.
    const fn half_in_batches(price: Price) -> Self {
        Self { price, batch: Some(at(50, price)), shutdown: None }
    }

    /// The same, served until the day before.
    const fn until(self, year: i16, month: i8, day: i8) -> Self {
        Self { shutdown: Some(jiff::civil::date(year, month, day)), ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use assize_core::TokenUsage;

    use super::*;

    #[test]
    fn an_evaluation_of_1000_and_50_tokens_costs_what_the_price_list_says() {
        let cost = |model, cached_input| {
            built_in(model)
                .unwrap()
                .cost(&TokenUsage { input: 1000, output: 50, cached_input, ..TokenUsage::default() })
                .to_string()
        };
        assert_eq!(cost("gpt-4o-2024-05-13", 0), "$0.00575");
        assert_eq!(cost("gpt-4o-2024-05-13", 800), "$0.00575");
        assert_eq!(cost("gpt-4o", 0), "$0.003");
        assert_eq!(cost("gpt-4o", 800), "$0.002");
        assert_eq!(cost("gpt-6-luna", 0), "$0.000125");
        assert_eq!(cost("claude-haiku-5-5", 800), "$0.000053");
        assert_eq!(cost("gemini-3.5-flash-lite", 0), "$0.000425");
    }

    #[test]
    fn writing_to_the_cache_has_its_price() {
        let usage = TokenUsage { input: 1000, output: 50, cached_input: 0, cache_write: 900 };
        assert_eq!(built_in("claude-haiku-4-5").unwrap().cost(&usage).to_string(), "$0.001475");
        assert_eq!(built_in("gpt-4o").unwrap().cost(&usage).to_string(), "$0.003");
    }

    #[test]
    fn a_batch_costs_half() {
        let usage = TokenUsage { input: 1000, output: 50, ..TokenUsage::default() };
        for (names, listed) in [openai::CHAT.lines, anthropic::CHAT.lines].into_iter().flatten() {
            let batch = listed.batch.unwrap().cost(&usage);
            assert_eq!(NanoUsd(batch.0 * 2), listed.price.cost(&usage), "{names:?}");
        }
        let cached = TokenUsage { cached_input: 1000, ..usage };
        // The older models give no discount twice.
        assert_eq!(listed("gpt-4o").unwrap().batch.unwrap().cost(&cached).to_string(), "$0.0015");
        assert_eq!(listed("gpt-4.1").unwrap().batch.unwrap().cost(&cached).to_string(), "$0.0012");
        assert_eq!(listed("gpt-5.4-nano").unwrap().batch.unwrap().cost(&cached).to_string(), "$0.00004125");
    }

    #[test]
    fn every_line_is_plausible_and_every_name_occurs_once() {
        let mut names = HashSet::new();
        for list in LISTS {
            assert!(list.source.starts_with("https://"), "{}", list.source);
            assert!(list.as_of >= jiff::civil::date(2026, 7, 1), "{}: read too long ago", list.source);
            for (line, ListPrice { price, batch, .. }) in list.lines {
                for name in *line {
                    let vendor = if list.host.is_vendor() { None } else { Some(list.host) };
                    assert!(names.insert((vendor, list.endpoint, *name)), "{name} is listed twice");
                }
                for price in [Some(price), batch.as_ref()].into_iter().flatten() {
                    assert!(price.cached_input <= price.input && price.input <= price.cache_write, "{line:?}");
                    assert!(price.cached_input > NanoUsd(0), "{line:?}");
                    assert!(price.input <= price.output || list.endpoint == Endpoint::Decisions, "{line:?}");
                }
                assert!(batch.is_none_or(|batch| batch.input <= price.input && batch.output <= price.output), "{line:?}");
            }
        }
        assert!(names.len() > 80, "{}", names.len());
    }

    #[test]
    fn what_is_shut_down_says_when() {
        assert_eq!(listed("gpt-4o").unwrap().shutdown, Some(jiff::civil::date(2027, 1, 14)));
        assert_eq!(listed("gpt-6-luna").unwrap().shutdown, None);
    }

    #[test]
    fn an_unknown_model_has_no_price() {
        for model in ["", "gpt-4o-2024-05-13 ", "GPT-4o", "my-finetune"] {
            assert_eq!(built_in(model), None, "{model:?}");
        }
    }
}
