//! How judges, providers and questions are written in the configuration, and kept with a policy so that an item can be scored by
//! the judges that were in force when it was accepted. Secrets are never part of it: a provider names a variable.

use assize_core::{JudgeName, NanoUsd, Needs, Price, ProviderName, TierKind};
use serde::{Deserialize, Serialize};

pub use crate::bert::BertSpec;
pub use crate::command::CommandSpec;
pub use crate::http_judge::HttpSpec;

/// One `[[provider]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderSpec {
    /// What judges call it.
    pub name: ProviderName,
    /// Which protocol it speaks.
    pub kind: ProviderKind,
    /// Where it is, up to and including the version: `https://api.openai.com/v1`. Required unless simulated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// The environment variable that holds the API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_env: Option<String>,
    /// An attempt that takes longer is given up, in seconds (1 to 600).
    #[serde(default = "timeout_seconds")]
    pub timeout_seconds: u64,
    /// Calls in flight at once (1 to 10,000).
    #[serde(default = "concurrency")]
    pub concurrency: usize,
    /// Attempts per item before it goes back to the queue (1 to 10).
    #[serde(default = "attempts")]
    pub attempts: u32,
    /// Whether to send `prompt_cache_key`, which brings calls with the same beginning to the same prompt cache. By default it is sent
    /// to OpenAI's own hosts only: others may refuse a field that they do not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_cache_key: Option<bool>,
}

fn timeout_seconds() -> u64 {
    30
}

fn concurrency() -> usize {
    100
}

fn attempts() -> u32 {
    3
}

/// The protocol of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    /// OpenAI's chat completions and decisions, or any host that is compatible.
    Openai,
    /// Anthropic's Messages.
    Anthropic,
    /// Google's generateContent, as the Gemini API speaks it.
    Gemini,
    /// The built-in provider of the demonstration; its verdicts are marked as simulated.
    Simulated,
}

/// One `[[judge]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JudgeSpec {
    /// What cascades call it.
    pub name: JudgeName,
    /// What kind of judge, and its settings.
    #[serde(flatten)]
    pub kind: JudgeKind,
}

/// The settings of a judge, by `kind`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JudgeKind {
    /// Free rules, at accept, on everything.
    Rules(RulesSpec),
    /// A linear model, at accept, on everything.
    Linear(LinearSpec),
    /// A chat model, asked for a score and a reason.
    Chat(ChatSpec),
    /// A classifier of the BERT kind in a folder, run in this process.
    Bert(BertSpec),
    /// A decision model, asked for the probabilities that answers are yes.
    Decisions(DecisionsSpec),
    /// A script or program, in workers that are kept running.
    Command(CommandSpec),
    /// A service over HTTP.
    Http(HttpSpec),
}

impl JudgeKind {
    /// Whether only the operator's own configuration file may describe such a judge: it runs a command, reads a file, or sends a secret
    /// of the environment to an address. Whatever takes judges from elsewhere has to refuse it.
    pub fn is_operators_alone(&self) -> bool {
        match self {
            Self::Rules(_) | Self::Chat(_) | Self::Decisions(_) => false,
            Self::Linear(linear) => !linear.model.starts_with("builtin:"),
            Self::Command(_) | Self::Http(_) | Self::Bert(_) => true,
        }
    }

    /// Where it runs.
    pub fn tier(&self) -> TierKind {
        match self {
            Self::Rules(_) | Self::Linear(_) => TierKind::Inline,
            Self::Chat(_) | Self::Decisions(_) | Self::Bert(_) | Self::Command(_) | Self::Http(_) => TierKind::Called,
        }
    }

    /// The provider that it calls; `None` where it needs none.
    pub fn provider(&self) -> Option<&ProviderName> {
        match self {
            Self::Chat(chat) => Some(&chat.provider),
            Self::Decisions(decisions) => Some(&decisions.provider),
            Self::Rules(_) | Self::Linear(_) | Self::Bert(_) | Self::Command(_) | Self::Http(_) => None,
        }
    }

    /// The question of its own that it asks where a metric has none.
    pub fn question(&self) -> Option<&str> {
        match self {
            Self::Chat(chat) => chat.question.as_deref(),
            Self::Decisions(decisions) => decisions.question.as_deref(),
            Self::Rules(_) | Self::Linear(_) | Self::Bert(_) | Self::Command(_) | Self::Http(_) => None,
        }
    }
}

/// What part of an interaction a rule reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// The question.
    Input,
    /// The answer.
    #[default]
    Output,
    /// Question and answer.
    Both,
}

/// Rules of one judge. It scores 1 if any rule that is set finds something, else 0.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RulesSpec {
    /// What the rules read.
    pub field: Field,
    /// Any of these phrases occurs. Case and the form of apostrophes and quotes are ignored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub any_of: Vec<String>,
    /// One of these phrases is missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub all_of: Vec<String>,
    /// Match whole words only in `any_of` and `all_of`.
    pub whole_words: bool,
    /// Any of these regular expressions matches.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub any_pattern: Vec<String>,
    /// Fewer characters than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chars_min: Option<usize>,
    /// More characters than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chars_max: Option<usize>,
    /// With `true`: it is not valid JSON.
    pub must_be_json: bool,
    /// It is not exactly this, surrounding white space aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub must_equal: Option<String>,
    /// It differs from the interaction's own `reference`, surrounding white space and case aside.
    pub must_equal_reference: bool,
    /// It does not contain the interaction's own `reference`, case aside.
    pub must_contain_reference: bool,
    /// Personal data of these kinds occurs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pii: Vec<PiiKind>,
}

/// Kinds of personal data that rules recognise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PiiKind {
    /// An e-mail address.
    Email,
    /// A telephone number.
    Phone,
    /// A payment card number with a valid check digit.
    CreditCard,
    /// An IBAN with valid check digits.
    Iban,
    /// A US social security number.
    UsSsn,
    /// An IPv4 address.
    IpAddress,
}

/// A linear model as a judge: free, at accept, microseconds a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearSpec {
    /// `builtin:toxicity`, `builtin:sentiment`, or the path of a file that `assize judge train` made.
    pub model: String,
    /// What it reads. Left out, it is what the built-in model was made for (toxicity the output, sentiment the input), and the output
    /// for a file. Of the input only the messages of the role `user` are read, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<Field>,
}

/// A chat model as a judge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChatSpec {
    /// The provider that is called.
    pub provider: ProviderName,
    /// The model that is asked for.
    pub model: String,
    /// What is asked, such that a score of 1 means yes. A metric's own question goes before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// A minijinja template in place of the built-in instructions. It sees `question` and `rubric`; the item always follows in a
    /// message of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// Sampling temperature; left to the provider where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Seed, for providers that take one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// Tokens of an answer to one question at the most.
    #[serde(default = "max_completion_tokens")]
    pub max_completion_tokens: u32,
    /// How the model is held to the form of a verdict.
    #[serde(default)]
    pub response_format: ResponseFormat,
    /// Ask the questions of all metrics that name this judge together, in one call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub packed: bool,
    /// What a score is read from.
    #[serde(default, skip_serializing_if = "ScoreFrom::is_text")]
    pub score_from: ScoreFrom,
    /// What the model charges, in USD per million tokens. Known models need none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceSpec>,
}

/// What the score of a chat model is read from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreFrom {
    /// The number that the model writes.
    #[default]
    Text,
    /// The log-probabilities of the words yes and no, one of which the model writes.
    Logprobs,
}

impl ScoreFrom {
    fn is_text(&self) -> bool {
        *self == Self::Text
    }
}

/// A decision model as a judge: all questions in one call, a calibrated probability for each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionsSpec {
    /// The provider that is called.
    pub provider: ProviderName,
    /// The model that is asked for.
    pub model: String,
    /// What is asked, such that yes is a score of 1. A metric's own question goes before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// What the model charges, in USD per million tokens. Known models need none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceSpec>,
}

fn max_completion_tokens() -> u32 {
    // A score and a sentence take about 50. Money is set aside for all of them; a model that thinks first needs more.
    100
}

/// How a model is held to the form of a verdict. Whatever comes back is validated all the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseFormat {
    /// By a strict JSON schema.
    #[default]
    JsonSchema,
    /// To some JSON object, for models and hosts without schemas; the prompt says which.
    JsonObject,
    /// By the prompt alone.
    Text,
}

/// A price as written: `{ input = 5.0, output = 15.0, cached_input = 2.5 }`, or `"free"` for one's own host.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields, expecting = "expected { input = …, output = … } in USD per million tokens, or \"free\"")]
pub enum PriceSpec {
    /// A word instead of figures.
    Word(FreePrice),
    /// USD per million tokens.
    PerMillion {
        /// Input tokens.
        input: f64,
        /// Output tokens.
        output: f64,
        /// Input tokens from the prompt cache; like `input` where not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cached_input: Option<f64>,
        /// Input tokens written to the prompt cache; like `input` where not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cache_write: Option<f64>,
    },
}

/// The word `free`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FreePrice {
    /// Costs nothing.
    Free,
}

impl PriceSpec {
    /// The price in nano-dollars. Refuses what is negative, not a number, or above a million dollars.
    pub fn to_price(self) -> Result<Price, String> {
        let nano = |key: &str, usd: f64| {
            if (0.0..=1e6).contains(&usd) {
                Ok(NanoUsd((usd * 1e9).round() as u64))
            } else {
                Err(format!("price.{key} = {usd} is not a price: use USD per million tokens, 0 to 1000000"))
            }
        };
        match self {
            Self::Word(FreePrice::Free) => {
                Ok(Price { input: NanoUsd(0), cached_input: NanoUsd(0), cache_write: NanoUsd(0), output: NanoUsd(0) })
            }
            Self::PerMillion { input, output, cached_input, cache_write } => Ok(Price {
                input: nano("input", input)?,
                cache_write: nano("cache_write", cache_write.unwrap_or(input))?,
                output: nano("output", output)?,
                cached_input: nano("cached_input", cached_input.unwrap_or(input))?,
            }),
        }
    }
}

/// What is asked about an interaction, as a metric or a judge words it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// The question; a score of 1 means yes.
    pub text: String,
    /// How to decide, where the question alone would leave doubt.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rubric: String,
    /// What the interaction must bring.
    #[serde(default)]
    pub needs: Needs,
    /// Leave the interaction's context out of the prompt: it does not bear on the question, and retrieved documents are most of
    /// what a call costs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_context: bool,
}
