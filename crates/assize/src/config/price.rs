//! Prices of the operator's own: every `[[price]]` of the configuration, and the file of them that `[prices]` names.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use assize_core::{NanoUsd, Price, ProviderName};
use assize_judge::prices::{Endpoint, Host, Of, OwnPrice, Prices};
use serde::{Deserialize, Serialize};

use super::settings::Settings;
use super::{ConfigError, load};

/// `[prices]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PriceFile {
    /// A file of `[[price]]`, such as `assize prices import` writes. Those of the configuration go before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// What it holds.
    #[serde(skip)]
    pub entries: Vec<PriceEntry>,
}

/// One `[[price]]`: USD per million tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceEntry {
    /// The model, by its exact name.
    pub model: String,
    /// Of this host only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
    /// Of this provider of the configuration only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderName>,
    /// What is asked of the model.
    #[serde(default, skip_serializing_if = "is_chat")]
    pub endpoint: Endpoint,
    /// Of what the prices are; there is nothing but USD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// Input tokens.
    pub input_usd: f64,
    /// Output tokens. Decisions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_usd: Option<f64>,
    /// Input tokens from the prompt cache; like `input_usd` where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input_usd: Option<f64>,
    /// Input tokens written to it; like `input_usd` where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_usd: Option<f64>,
    /// Input tokens in a batch; half where neither this nor `batch_output_usd` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_input_usd: Option<f64>,
    /// Output tokens in a batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_output_usd: Option<f64>,
    /// The day from which calls fail, as `2027-01-14`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shutdown: Option<String>,
    /// Where the figures are from, for whoever reads them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

fn is_chat(endpoint: &Endpoint) -> bool {
    *endpoint == Endpoint::Chat
}

/// USD per million tokens, at the most.
const USD_MAX: f64 = 1e6;
/// Bytes of a model's name.
const MODEL_BYTES_MAX: usize = 256;
/// Bytes of a file of prices.
const FILE_BYTES_MAX: u64 = 32 << 20;
/// Entries of one.
pub const ENTRIES_MAX: usize = 20_000;

impl PriceEntry {
    /// What it says of whom; else what is wrong, the key first.
    fn read(&self) -> Result<OwnPrice, String> {
        if self.model.trim().is_empty() || self.model.len() > MODEL_BYTES_MAX {
            return Err(format!("`model`: use the model's exact name, 1 to {MODEL_BYTES_MAX} bytes"));
        }
        if let Some(currency) = self.currency.as_ref().filter(|currency| !currency.eq_ignore_ascii_case("usd")) {
            return Err(format!("`currency` = {currency:?} is not known: give the prices in USD"));
        }
        let nano = |key: &str, usd: f64| {
            if (0.0..=USD_MAX).contains(&usd) {
                Ok(NanoUsd((usd * 1e9).round() as u64))
            } else {
                Err(format!("`{key}` = {usd} is not a price: use USD per million tokens, 0 to {USD_MAX}"))
            }
        };
        let input = nano("input_usd", self.input_usd)?;
        let output = match (self.output_usd, self.endpoint) {
            (Some(usd), _) => nano("output_usd", usd)?,
            (None, Endpoint::Decisions) => NanoUsd::ZERO,
            (None, Endpoint::Chat) => return Err("missing key `output_usd`: a chat model charges for what it writes".to_owned()),
        };
        let or_input = |key: &str, usd: Option<f64>| usd.map_or(Ok(input), |usd| nano(key, usd));
        let price = Price {
            input,
            cached_input: or_input("cached_input_usd", self.cached_input_usd)?,
            cache_write: or_input("cache_write_usd", self.cache_write_usd)?,
            output,
        };
        let batch = match (self.batch_input_usd, self.batch_output_usd) {
            (None, None) => price.halved(),
            (Some(input), Some(output)) => {
                let (input, output) = (nano("batch_input_usd", input)?, nano("batch_output_usd", output)?);
                Price { input, cached_input: input.min(price.cached_input), cache_write: input, output }
            }
            (Some(_), None) => return Err("missing key `batch_output_usd`: it goes with `batch_input_usd`".to_owned()),
            (None, Some(_)) => return Err("missing key `batch_input_usd`: it goes with `batch_output_usd`".to_owned()),
        };
        let shutdown = self
            .shutdown
            .as_ref()
            .map(|day| day.parse().map_err(|_| format!("`shutdown` = {day:?} is not a day: write it as \"2027-01-14\"")));
        let of = match (&self.provider, self.host) {
            (Some(_), Some(_)) => {
                return Err("`host` and `provider` are both given: one of them says whose price it is".to_owned());
            }
            (Some(provider), None) => Of::Provider(provider.clone()),
            (None, Some(host)) => Of::Host(host),
            (None, None) => Of::Everyone,
        };
        Ok(OwnPrice { of, endpoint: self.endpoint, price, batch: Some(batch), shutdown: shutdown.transpose()? })
    }

    /// The entry that says this of `model`.
    pub fn of(model: &str, own: &OwnPrice, source: Option<String>) -> Self {
        let other = |price: NanoUsd| (price != own.price.input).then(|| price.to_usd());
        let (host, provider) = match &own.of {
            Of::Host(host) => (Some(*host), None),
            Of::Provider(provider) => (None, Some(provider.clone())),
            Of::Everyone => (None, None),
        };
        let batch = own.batch.filter(|batch| *batch != own.price.halved());
        Self {
            model: model.to_owned(),
            host,
            provider,
            endpoint: own.endpoint,
            currency: None,
            input_usd: own.price.input.to_usd(),
            output_usd: Some(own.price.output.to_usd()),
            cached_input_usd: other(own.price.cached_input),
            cache_write_usd: other(own.price.cache_write),
            batch_input_usd: batch.map(|batch| batch.input.to_usd()),
            batch_output_usd: batch.map(|batch| batch.output.to_usd()),
            shutdown: own.shutdown.map(|day| day.to_string()),
            source,
        }
    }
}

/// All prices that the settings put in force.
///
/// # Errors
/// Where an entry is wrong or stands twice: the entry and the key.
pub fn prices(settings: &Settings) -> Result<Prices, ConfigError> {
    let mut prices = Prices::default();
    for entry in &settings.price {
        let wrong = |what: String| ConfigError::new(format!("[[price]] {:?}: {what}", entry.model));
        if let Some(provider) = &entry.provider
            && !settings.provider.iter().any(|spec| &spec.name == provider)
        {
            return Err(wrong(format!("`provider` = {:?} is not configured", provider.as_str())));
        }
        let price = entry.read().map_err(wrong)?;
        let (of, endpoint) = (price.of.clone(), price.endpoint);
        let again = prices.own().any(|(model, known, _)| model == entry.model && known.of == of && known.endpoint == endpoint);
        if again {
            return Err(wrong("stands twice: take one of them out".to_owned()));
        }
        prices.configure(&entry.model, price);
    }
    for entry in &settings.prices.entries {
        let price = entry.read().map_err(|what| ConfigError {
            path: settings.prices.file.clone(),
            line: None,
            message: format!("[[price]] {:?}: {what}", entry.model),
        })?;
        prices.from_file(&entry.model, price);
    }
    Ok(prices)
}

/// A file of prices.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    price: Vec<toml::Spanned<toml::Table>>,
}

/// Reads a file of `[[price]]` and checks every one.
///
/// # Errors
/// Where it cannot be read or an entry is wrong: file, line and key.
pub fn read(path: &Path) -> Result<Vec<PriceEntry>, ConfigError> {
    let fail = |line, message| ConfigError { path: Some(path.to_owned()), line, message };
    let text = text(path).map_err(|message| fail(None, message))?;
    let file: File =
        toml::from_str(&text).map_err(|error| ConfigError { path: Some(path.to_owned()), ..load::locate(&text, &error) })?;
    if file.price.len() > ENTRIES_MAX {
        return Err(fail(None, format!("it holds more than {ENTRIES_MAX} prices: keep those of models that you call")));
    }
    let entries: Vec<PriceEntry> =
        load::entries("price", (&text, file.price)).map_err(|error| ConfigError { path: Some(path.to_owned()), ..error })?;
    for entry in &entries {
        let read = if entry.provider.is_some() { Err("`provider`: a file says `host`".to_owned()) } else { entry.read() };
        read.map_err(|what| {
            let message = format!("[[price]] {:?}: {what}", entry.model);
            fail(super::place::blamed(&text, &message), message)
        })?;
    }
    Ok(entries)
}

/// The text of a file of prices.
///
/// # Errors
/// What keeps it from being read.
pub fn text(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| format!("cannot read the prices: {error}"))?;
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| format!("cannot read the prices: {error}"))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("larger than {} MiB: that is no file of prices", FILE_BYTES_MAX >> 20));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(toml: &str) -> Result<OwnPrice, String> {
        let text = format!("[[price]]\nmodel = \"m\"\n{toml}");
        let settings = load::parse(&text).map_err(|error| error.message)?;
        let prices = prices(&settings).map_err(|error| error.message)?;
        Ok(prices.own().next().unwrap().1.clone())
    }

    #[test]
    fn what_is_not_given_follows_from_what_is() {
        let plain = entry("input_usd = 0.2\noutput_usd = 0.6").unwrap();
        assert_eq!(plain.price.cached_input, NanoUsd(200_000_000));
        assert_eq!(plain.batch.unwrap().output, NanoUsd(300_000_000));
        let full = entry(
            "host = \"groq\"\ncurrency = \"usd\"\ninput_usd = 2\noutput_usd = 6\ncached_input_usd = 0.5\ncache_write_usd = 2.5\n\
             batch_input_usd = 1\nbatch_output_usd = 3\nshutdown = \"2027-01-14\"\nsource = \"https://example.com\"",
        )
        .unwrap();
        assert_eq!((full.of.clone(), full.price.cache_write), (Of::Host(Host::Groq), NanoUsd(2_500_000_000)));
        assert_eq!(full.batch.unwrap().cached_input, NanoUsd(500_000_000));
        assert_eq!(full.shutdown, Some(jiff::civil::date(2027, 1, 14)));
        let decisions = entry("endpoint = \"decisions\"\ninput_usd = 0.1").unwrap();
        assert_eq!(decisions.price.output, NanoUsd::ZERO);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (toml, part) in [
            ("input_usd = 1", "missing key `output_usd`"),
            ("output_usd = 1", "missing key `input_usd`"),
            ("input_usd = -1\noutput_usd = 1", "`input_usd` = -1 is not a price"),
            ("input_usd = nan\noutput_usd = 1", "`input_usd` = NaN is not a price"),
            ("input_usd = 1\noutput_usd = inf", "`output_usd` = inf is not a price"),
            ("input_usd = 1\noutput_usd = 1e7", "`output_usd` = 10000000 is not a price"),
            ("input_usd = 1\noutput_usd = 1\ncurrency = \"EUR\"", "`currency` = \"EUR\" is not known"),
            ("input_usd = 1\noutput_usd = 1\nendpoint = \"telepathy\"", "telepathy"),
            ("input_usd = 1\noutput_usd = 1\nhost = \"azure\"", "azure"),
            ("input_usd = 1\noutput_usd = 1\nhost = \"groq\"\nprovider = \"openai\"", "both given"),
            ("input_usd = 1\noutput_usd = 1\nprovider = \"nosuch\"", "`provider` = \"nosuch\" is not configured"),
            ("input_usd = 1\noutput_usd = 1\nbatch_input_usd = 1", "missing key `batch_output_usd`"),
            ("input_usd = 1\noutput_usd = 1\nshutdown = \"soon\"", "`shutdown` = \"soon\" is not a day"),
            ("input_usd = 1\noutput_usd = 1\n[[price]]\nmodel = \"m\"\ninput_usd = 1\noutput_usd = 2", "stands twice"),
            ("input_usd = 1\noutput_usd = 1\n[[price]]\nmodel = \" \"\ninput_usd = 1\noutput_usd = 2", "exact name"),
        ] {
            let error = entry(toml).unwrap_err();
            assert!(error.contains(part), "{toml}: {error}");
        }
    }

    #[test]
    fn an_entry_says_what_it_was_made_of() {
        for toml in [
            "input_usd = 0.2\noutput_usd = 0.6",
            "host = \"groq\"\ninput_usd = 2\noutput_usd = 6\ncached_input_usd = 0.5\nbatch_input_usd = 1.5\nbatch_output_usd = 3",
        ] {
            let own = entry(toml).unwrap();
            assert_eq!(PriceEntry::of("m", &own, None).read().unwrap(), own);
        }
    }
}
