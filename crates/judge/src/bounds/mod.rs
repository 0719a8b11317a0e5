//! What a call can cost at the most, said before it is made, so that the money can be set aside.
//!
//! The input is bounded by counting: with the model's own tokenizer where its vendor publishes one, and else by a bound that holds for
//! any tokenizer of its kind ([`Counting`]); what the vendor adds to the texts is in [`overhead`]. The output is bounded by
//! `max_completion_tokens`, which every request sends and which includes what a model thinks:
//! - OpenAI: "an upper bound for the number of tokens that can be generated for a completion, including visible output tokens and
//!   reasoning tokens" (<https://platform.openai.com/docs/api-reference/chat/create>);
//! - Anthropic: `max_tokens` is a "strict limit" on thinking and text together
//!   (<https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking>);
//! - Gemini: thoughts and text together end at `maxOutputTokens`, as its users measure (googleapis/python-genai#2062).
//!
//! Nothing is counted on that lowers a price: no cached input, no batch. Every input token is charged at the dearest of the input's
//! prices, since a call may fill the prompt cache. What a price does not know, such as a surcharge for very long prompts, no bound
//! does either. The instructions are the same for all items, so [`Constants`] counts them once.

mod constants;
pub mod overhead;
mod tokens;

pub(crate) use constants::Constants;
pub use tokens::Counting;

use assize_core::judge::Tightness;
use assize_core::{Interaction, NanoUsd, Price, TokenUsage};

use crate::prompt;

/// The most that a call of `input` and `output` tokens costs at `price`, however much of the input is read from the prompt cache or
/// written to it. `None` where that is nothing.
pub fn cost(price: &Price, input: u64, output: u64) -> Option<NanoUsd> {
    // Linear in each part, so the most is where all of the input is of one kind; and a sum rounds up no further than its bound.
    let kinds = [(0, 0), (input, 0), (0, input)];
    let of = |(cached_input, cache_write)| price.cost(&TokenUsage { input, output, cached_input, cache_write });
    kinds.into_iter().map(of).max().filter(|most| *most > NanoUsd::ZERO)
}

/// At the most so many tokens of the item as a judge lays it out.
pub(crate) fn item(counting: Counting, interaction: &Interaction, without_context: bool, tightness: Tightness) -> u64 {
    match tightness {
        Tightness::Tight if counting.has_tokenizer() => counting.tight(&prompt::item(interaction, without_context)),
        Tightness::Quick | Tightness::Tight => {
            let mut meter = tokens::Meter::of(counting);
            // A meter takes all that is written.
            let _ = prompt::lay_out(&mut meter, interaction, without_context, prompt::CODE_LIKE);
            meter.tokens()
        }
    }
}

#[cfg(test)]
mod tests;
