//! Reads LiteLLM's public map of prices, which many already keep: `model_prices_and_context_window.json`, a JSON object of models with
//! what they charge in US dollars per single token. Of its several thousand models those are taken that Assize can call as judges and
//! whose host it knows; the rest is told with the reason. Prices for very long prompts, for regions and for hours of the day are no part
//! of what is taken.

use std::collections::{BTreeMap, HashSet};

use assize_core::{NanoUsd, Price};
use jiff::civil::Date;
use serde_json::{Map, Value};

use super::{Endpoint, Host, NOTHING, Of, OwnPrice};

/// Its words for hosts.
const PROVIDERS: &[(&str, Host)] = &[
    ("openai", Host::Openai),
    ("anthropic", Host::Anthropic),
    ("gemini", Host::Gemini),
    ("mistral", Host::Mistral),
    ("deepseek", Host::Deepseek),
    ("groq", Host::Groq),
    ("together_ai", Host::Together),
    ("fireworks_ai", Host::Fireworks),
    ("deepinfra", Host::Deepinfra),
    ("openrouter", Host::Openrouter),
];

/// What models are for that are no chat models.
const OTHER_MODES: &[&str] = &[
    "audio_speech",
    "audio_transcription",
    "completion",
    "embedding",
    "guardrail",
    "image_edit",
    "image_generation",
    "moderation",
    "ocr",
    "realtime",
    "rerank",
    "responses",
    "search",
    "vector_store",
    "video_generation",
];

/// Entries that describe the map itself.
const ABOUT_THE_MAP: &[&str] = &["sample_spec", "fallback_generalizations"];

/// No token costs more dollars.
const TOKEN_USD_MAX: f64 = 1.0;

/// A model that is taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// Its name, as its host knows it.
    pub model: String,
    /// Who serves it.
    pub host: Host,
    /// What it charges.
    pub price: OwnPrice,
}

/// What a map holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// What is taken, in the order of the map's keys.
    pub taken: Vec<Taken>,
    /// What is left, by the reason, with the map's keys.
    pub left: BTreeMap<String, Vec<String>>,
    /// What cannot be right: the map's key, and what is wrong.
    pub wrong: Vec<(String, String)>,
}

/// Reads a map.
///
/// # Errors
/// Where `text` is no JSON object of objects, as when the file was cut short: what is wrong, and in which line.
pub fn read(text: &str) -> Result<Found, String> {
    let map: Map<String, Value> = serde_json::from_str(text).map_err(|error| {
        let line = error.line();
        if error.is_eof() {
            format!("the file ends in the middle, in line {line}: it was cut short, so fetch it again")
        } else {
            format!("line {line}: not the JSON of LiteLLM's price map: {error}")
        }
    })?;
    let mut found = Found::default();
    let mut seen = HashSet::new();
    for (key, entry) in &map {
        if ABOUT_THE_MAP.contains(&key.as_str()) {
            continue;
        }
        let Value::Object(entry) = entry else {
            found.wrong.push((key.clone(), "is not an object of prices".to_owned()));
            continue;
        };
        match take(key, entry) {
            Ok(taken) if seen.insert((taken.host, taken.model.clone())) => found.taken.push(taken),
            Ok(_) => found.left.entry("the same model again".to_owned()).or_default().push(key.clone()),
            Err(Refusal::Left(why)) => found.left.entry(why).or_default().push(key.clone()),
            Err(Refusal::Wrong(what)) => found.wrong.push((key.clone(), what)),
        }
    }
    if map.keys().all(|key| ABOUT_THE_MAP.contains(&key.as_str())) {
        return Err("the map is empty: it names no model".to_owned());
    }
    Ok(found)
}

/// Why an entry is not taken.
enum Refusal {
    Left(String),
    Wrong(String),
}

use Refusal::{Left, Wrong};

fn take(key: &str, entry: &Map<String, Value>) -> Result<Taken, Refusal> {
    let text = |name: &str| match entry.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(other) => Err(Wrong(format!("{name} = {other} is not a word"))),
    };
    match text("mode")? {
        Some("chat") => {}
        Some(mode) if OTHER_MODES.contains(&mode) => return Err(Left(format!("for {mode}, not chat"))),
        Some(mode) => return Err(Wrong(format!("mode = {mode:?} is not one that is known"))),
        None => return Err(Left("without a mode".to_owned())),
    }
    let provider = text("litellm_provider")?.unwrap_or_default();
    let host = PROVIDERS.iter().find(|(name, _)| *name == provider).map(|(_, host)| *host);
    let host = host.ok_or_else(|| Left("of a host that is not told apart (give it a [[price]])".to_owned()))?;
    let prefixed = key.strip_prefix(provider).and_then(|rest| rest.strip_prefix('/'));
    let model = match prefixed {
        Some(model) => model,
        None if host.is_vendor() => key,
        None => return Err(Left("no name of a model at its host".to_owned())),
    };
    if let Some(currency) = text("currency")?.filter(|currency| !currency.eq_ignore_ascii_case("usd")) {
        return Err(Wrong(format!("currency = {currency:?}: prices are in USD")));
    }
    let price = price(entry)?;
    let batch = match (cost(entry, "input_cost_per_token_batches")?, cost(entry, "output_cost_per_token_batches")?) {
        // Nothing is said of cached input in a batch, so it has no discount of its own.
        (Some(input), Some(output)) => Some(Price { input, cached_input: input, cache_write: input, output }),
        _ => None,
    };
    let shutdown = match text("deprecation_date")? {
        None => None,
        Some(date) => {
            Some(date.parse::<Date>().map_err(|_| Wrong(format!("deprecation_date = {date:?} is not a day as YYYY-MM-DD")))?)
        }
    };
    let price = OwnPrice { of: Of::Host(host), endpoint: Endpoint::Chat, price, batch, shutdown };
    Ok(Taken { model: model.to_owned(), host, price })
}

fn price(entry: &Map<String, Value>) -> Result<Price, Refusal> {
    let input = cost(entry, "input_cost_per_token")?;
    let output = cost(entry, "output_cost_per_token")?;
    let (Some(input), Some(output)) = (input, output) else {
        return Err(Left("without a price for input or output".to_owned()));
    };
    let price = Price {
        input,
        cached_input: cost(entry, "cache_read_input_token_cost")?.unwrap_or(input),
        cache_write: cost(entry, "cache_creation_input_token_cost")?.unwrap_or(input),
        output,
    };
    // Maps write nothing where they do not know, too; who takes it for free has a budget that does not hold.
    if price.input == NOTHING.input && price.output == NOTHING.output {
        return Err(Left("said to cost nothing (if so, give its judge price = \"free\")".to_owned()));
    }
    Ok(price)
}

/// Dollars per token as nano-dollars per million tokens, rounded to the nearest.
fn cost(entry: &Map<String, Value>, key: &str) -> Result<Option<NanoUsd>, Refusal> {
    match entry.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_f64() {
            Some(usd) if (0.0..=TOKEN_USD_MAX).contains(&usd) => Ok(Some(NanoUsd((usd * 1e15).round() as u64))),
            _ => Err(Wrong(format!("{key} = {value} is not a price: USD per token, 0 to {TOKEN_USD_MAX}"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn one(key: &str, entry: Value) -> Found {
        read(&json!({key: entry, "sample_spec": {"mode": "one of: chat"}}).to_string()).unwrap()
    }

    fn gpt(change: Value) -> Value {
        let mut entry = json!({"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 2.5e-6,
            "output_cost_per_token": 1e-5, "supports_vision": true});
        entry.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        entry
    }

    #[test]
    fn a_price_per_token_is_one_per_million() {
        let full = json!({"cache_read_input_token_cost": 1.25e-6, "cache_creation_input_token_cost": 3e-6,
            "input_cost_per_token_batches": 1.25e-6, "output_cost_per_token_batches": 5e-6, "deprecation_date": "2027-01-14"});
        let found = one("gpt-4o", gpt(full));
        let [Taken { model, host, price }] = &found.taken[..] else { panic!("{found:?}") };
        assert_eq!((model.as_str(), *host), ("gpt-4o", Host::Openai));
        assert_eq!(price.price.input, NanoUsd(2_500_000_000));
        assert_eq!(price.price.cached_input, NanoUsd(1_250_000_000));
        assert_eq!(price.price.cache_write, NanoUsd(3_000_000_000));
        assert_eq!(price.price.output, NanoUsd(10_000_000_000));
        let batch = price.batch.unwrap();
        assert_eq!(
            (batch.input, batch.cached_input, batch.output),
            (NanoUsd(1_250_000_000), NanoUsd(1_250_000_000), NanoUsd(5_000_000_000))
        );
        assert_eq!(price.shutdown, Some(jiff::civil::date(2027, 1, 14)));
    }

    #[test]
    fn names_are_those_of_the_host() {
        for (key, provider, model) in [
            ("groq/openai/gpt-oss-120b", "groq", "openai/gpt-oss-120b"),
            ("gemini/gemini-2.5-flash", "gemini", "gemini-2.5-flash"),
            ("fireworks_ai/accounts/fireworks/models/m", "fireworks_ai", "accounts/fireworks/models/m"),
            ("deepseek-chat", "deepseek", "deepseek-chat"),
        ] {
            assert_eq!(one(key, gpt(json!({"litellm_provider": provider}))).taken[0].model, model);
        }
    }

    #[test]
    fn what_is_left_says_why() {
        for (key, change, why) in [
            ("e", json!({"mode": "embedding"}), "for embedding"),
            ("e", json!({"mode": null}), "without a mode"),
            ("azure/gpt-4o", json!({"litellm_provider": "azure"}), "not told apart"),
            ("together-ai-up-to-4b", json!({"litellm_provider": "together_ai"}), "no name of a model"),
            ("free", json!({"input_cost_per_token": 0, "output_cost_per_token": 0.0}), "cost nothing"),
            ("half", json!({"output_cost_per_token": null}), "without a price"),
        ] {
            let found = one(key, gpt(change));
            assert!(found.taken.is_empty() && found.wrong.is_empty(), "{found:?}");
            let (reason, keys) = found.left.iter().next().unwrap();
            assert!(reason.contains(why) && keys[..] == [key], "{found:?}");
        }
        let twice = json!({"deepseek/m": gpt(json!({"litellm_provider": "deepseek"})), "m": gpt(json!({"litellm_provider": "deepseek"}))});
        let found = read(&twice.to_string()).unwrap();
        assert_eq!((found.taken.len(), found.left["the same model again"].len()), (1, 1));
    }

    #[test]
    fn what_cannot_be_right_is_named() {
        for (change, part) in [
            (json!({"input_cost_per_token": -1e-6}), "input_cost_per_token = -1e-6"),
            (json!({"output_cost_per_token": 2}), "output_cost_per_token = 2"),
            (json!({"output_cost_per_token": 1e300}), "output_cost_per_token"),
            (json!({"cache_read_input_token_cost": "cheap"}), "cache_read_input_token_cost = \"cheap\""),
            (json!({"input_cost_per_token_batches": -1}), "input_cost_per_token_batches"),
            (json!({"mode": "telepathy"}), "mode = \"telepathy\""),
            (json!({"mode": 7}), "mode = 7"),
            (json!({"currency": "EUR"}), "currency = \"EUR\""),
            (json!({"deprecation_date": "soon"}), "deprecation_date = \"soon\""),
        ] {
            let found = one("gpt-4o", gpt(change));
            assert!(found.taken.is_empty(), "{found:?}");
            assert!(found.wrong[0].1.contains(part), "{found:?}");
        }
        assert_eq!(one("gpt-4o", json!([])).wrong[0].1, "is not an object of prices");
    }

    #[test]
    fn a_file_cut_short_is_refused_wherever_it_is_cut() {
        let whole = json!({"gpt-4o": gpt(json!({})), "m": gpt(json!({}))}).to_string();
        assert!(read(&whole).is_ok());
        for end in 0..whole.len() {
            let error = read(&whole[..end]).unwrap_err();
            assert!(error.contains("cut short"), "{end}: {error}");
        }
        let nan = whole.replacen("2.5e-6", "NaN", 1);
        assert!(read(&nan).unwrap_err().contains("line 1: not the JSON"), "{nan}");
        assert!(read("[]").unwrap_err().contains("not the JSON"));
        assert!(read("{}").unwrap_err().contains("names no model"));
    }
}
