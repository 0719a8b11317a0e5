//! What models charge that need no `price` in the configuration. A model that is not here has no price, which is not the same as
//! costing nothing.

use assize_core::{NanoUsd, Price};

/// US dollars per million tokens, in cents.
const fn cents(input: u64, cached_input: u64, output: u64) -> Price {
    Price {
        input: NanoUsd(input * 10_000_000),
        cached_input: NanoUsd(cached_input * 10_000_000),
        cache_write: NanoUsd(input * 10_000_000),
        output: NanoUsd(output * 10_000_000),
    }
}

/// The list price of `model`, by its exact name, at its own vendor.
///
/// Sources: OpenAI's price list. `gpt-4o-2024-05-13`: $5 input, $15 output per million tokens, no discount for cached input.
/// `gpt-4o`: $2.50 input, $1.25 cached input, $10 output.
pub fn built_in(model: &str) -> Option<Price> {
    match model {
        "gpt-4o" => Some(cents(250, 125, 1_000)),
        "gpt-4o-2024-05-13" => Some(cents(500, 500, 1_500)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
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
    }

    #[test]
    fn an_unknown_model_has_no_price() {
        for model in ["", "gpt-4o-2024-05-13 ", "GPT-4o", "my-finetune"] {
            assert_eq!(built_in(model), None, "{model:?}");
        }
    }
}
