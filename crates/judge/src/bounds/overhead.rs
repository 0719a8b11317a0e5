//! What vendors add to the texts of a request, in tokens, at the most.
//!
//! Where it is documented the figure is the documented one and some slack; where it is not, it is well above all that was found in
//! recorded calls (those of pydantic-ai's tests, github.com/pydantic/pydantic-ai, August 2026: 146 calls with text alone and no tools).

use super::Counting;

/// OpenAI: "every message follows <|start|>{role/name}\n{content}<|end|>\n", which is 3 tokens and the role, and 3 more for the answer's
/// beginning: 11 for two messages (<https://developers.openai.com/cookbook/examples/how_to_count_tokens_with_tiktoken>). Recorded: the
/// same for GPT-4o, GPT-4.5 and o3-mini.
const OPENAI: u64 = 24;

/// What OpenAI puts around a schema. Users find 9 tokens, and the schema itself without `required` and `additionalProperties`
/// (openai/openai-cookbook#2140).
const OPENAI_SCHEMA: u64 = 32;

/// Hosts of open models: the model's own template may bring a system prompt along. Recorded: 44 tokens more than bytes with gpt-oss,
/// 12 with Llama 3.3.
const TEMPLATE: u64 = 192;

/// Anthropic. Recorded: up to 19 tokens more than bytes; 42 with a task budget, which is not asked for here.
const ANTHROPIC: u64 = 64;

/// For structured outputs Anthropic adds "an additional system prompt explaining the expected output format"
/// (<https://platform.claude.com/docs/en/build-with-claude/structured-outputs>). Recorded: up to 181 tokens, schema included.
const ANTHROPIC_SCHEMA: u64 = 512;

/// Gemini. Recorded: nothing, nor for a schema.
const GEMINI: u64 = 32;

/// Decision models: nothing is documented beyond that texts are counted.
const DECISIONS: u64 = 64;

/// Each of their questions, which has a type and a name, and each answer.
const DECISION: u64 = 32;

/// Tokens of two messages apart from their texts, with a `schema` where the answer is held to one, at the most.
pub fn chat(kind: &str, counting: Counting, model: &str, schema: Option<&str>) -> u64 {
    let of_schema = |around: u64| schema.map_or(0, |schema| around + counting.quick(schema));
    match kind {
        "openai" if counting.has_tokenizer() => {
            let template = if model.contains("gpt-oss") { TEMPLATE } else { OPENAI };
            // Twice, in case that it is written with more white space than it is sent.
            template + schema.map_or(0, |schema| OPENAI_SCHEMA + 2 * counting.tight(schema))
        }
        "anthropic" => ANTHROPIC + of_schema(ANTHROPIC_SCHEMA),
        "gemini" => GEMINI + of_schema(GEMINI),
        _ => TEMPLATE + of_schema(TEMPLATE),
    }
}

/// Tokens of a request for `questions` decisions apart from its texts, at the most.
pub fn decisions(questions: usize) -> u64 {
    DECISIONS + decided(questions)
}

/// Tokens of the answer to it, at the most, for whoever charges for them: there is a number to each question.
pub fn decided(questions: usize) -> u64 {
    DECISION.saturating_mul(questions as u64)
}
