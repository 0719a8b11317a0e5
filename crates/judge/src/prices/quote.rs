//! The one way to a price: by who serves a model, what is asked of it, and what the operator says.

use std::collections::BTreeMap;

use assize_core::{NanoUsd, Price, ProviderName};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::{Host, List, ListPrice, NOTHING, listed_at, openrouter, vendor_listed};
use crate::exchange;
use crate::spec::{JudgeKind, PriceSpec, ProviderKind, ProviderSpec};

/// What is asked of a model: one may charge for chat and for decisions differently.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// Text.
    #[default]
    Chat,
    /// Probabilities that answers are yes.
    Decisions,
}

impl Endpoint {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Decisions => "decisions",
        }
    }
}

/// A model as it is called.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Called<'a> {
    /// The provider, by its name in the configuration; `None` outside of one.
    pub provider: Option<&'a ProviderName>,
    /// Who that is; `None` where it is none of the known hosts.
    pub host: Option<Host>,
    /// Whether the model is a stand-in, which charges what the real one would, and nothing where that is not known.
    pub simulated: bool,
    /// What is asked of it.
    pub endpoint: Endpoint,
    /// Its exact name.
    pub model: &'a str,
}

impl<'a> Called<'a> {
    /// The model wherever it is, outside of any configuration.
    pub fn anywhere(endpoint: Endpoint, model: &'a str) -> Self {
        Self { provider: None, host: None, simulated: false, endpoint, model }
    }

    /// The model at `provider`.
    pub fn at(provider: &'a ProviderSpec, endpoint: Endpoint, model: &'a str) -> Self {
        let simulated = provider.kind == ProviderKind::Simulated;
        Self {
            provider: Some(&provider.name),
            host: provider.base_url.as_deref().and_then(Host::of_url),
            simulated,
            endpoint,
            model,
        }
    }

    /// What `judge` calls, if it calls a model by its name.
    pub fn by(judge: &'a JudgeKind, providers: &'a [ProviderSpec]) -> Option<(Self, Option<PriceSpec>)> {
        let (provider, endpoint, model, own) = match judge {
            JudgeKind::Chat(chat) => (&chat.provider, Endpoint::Chat, &chat.model, chat.price),
            JudgeKind::Decisions(decisions) => (&decisions.provider, Endpoint::Decisions, &decisions.model, decisions.price),
            JudgeKind::Rules(_) | JudgeKind::Linear(_) | JudgeKind::Bert(_) | JudgeKind::Command(_) | JudgeKind::Http(_) => {
                return None;
            }
        };
        let called = match providers.iter().find(|spec| &spec.name == provider) {
            Some(spec) => Self::at(spec, endpoint, model),
            None => Self { provider: Some(provider), ..Self::anywhere(endpoint, model) },
        };
        Some((called, own))
    }
}

/// Where a price comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PriceSource {
    /// The judge's own `price`.
    Judge,
    /// A `[[price]]` of the configuration.
    Configuration,
    /// The file that `[prices]` names.
    File,
    /// A list that comes with Assize.
    List(&'static List),
    /// The simulated provider charges nothing where it stands in for nobody.
    Simulated,
}

/// What a model charges.
#[derive(Debug, Clone, PartialEq)]
pub struct Quote {
    /// A live call.
    pub price: Price,
    /// The same call as part of a batch; `None` where none is known.
    pub batch: Option<Price>,
    /// The day from which calls fail, where it is announced.
    pub shutdown: Option<Date>,
    /// Who says so.
    pub source: PriceSource,
}

/// Whose calls to a model a price of the operator's own holds for. The narrowest comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Of {
    /// Those to this provider of the configuration.
    Provider(ProviderName),
    /// Those to this host. A vendor's holds for hosts that are not known, too.
    Host(Host),
    /// All.
    Everyone,
}

/// A price that the operator gives, over the lists.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnPrice {
    /// Whose calls.
    pub of: Of,
    /// What is asked.
    pub endpoint: Endpoint,
    /// A live call.
    pub price: Price,
    /// A call of a batch.
    pub batch: Option<Price>,
    /// The day from which calls fail.
    pub shutdown: Option<Date>,
}

/// All prices that are in force: the operator's own, then those of the lists.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prices {
    configured: BTreeMap<String, Vec<OwnPrice>>,
    of_file: BTreeMap<String, Vec<OwnPrice>>,
}

impl Prices {
    /// Puts a `[[price]]` of the configuration in force for `model`. The first of the same kind stays.
    pub fn configure(&mut self, model: &str, price: OwnPrice) {
        insert(&mut self.configured, model, price);
    }

    /// The same for a price of the operator's file, over which those of the configuration go.
    pub fn from_file(&mut self, model: &str, price: OwnPrice) {
        insert(&mut self.of_file, model, price);
    }

    /// The operator's own prices by model, and whether they stand in the configuration.
    pub fn own(&self) -> impl Iterator<Item = (&str, &OwnPrice, PriceSource)> {
        let configured = self.configured.iter().map(|entry| (entry, PriceSource::Configuration));
        let all = configured.chain(self.of_file.iter().map(|entry| (entry, PriceSource::File)));
        all.flat_map(|((model, prices), source)| prices.iter().map(move |price| (model.as_str(), price, source)))
    }

    /// What `called` charges, `own` being the price that its judge has by itself; `None` where nobody said, which is not the same as
    /// nothing. A model's price is looked up here alone.
    pub fn quote(&self, called: &Called<'_>, own: Option<PriceSpec>) -> Option<Quote> {
        let listed = self.listed(called);
        if let Some(price) = own.and_then(|price| price.to_price().ok()) {
            // Until when the model is served does not depend on what it costs.
            let shutdown = listed.and_then(|quote| quote.shutdown);
            return Some(Quote { price, batch: Some(price.halved()), shutdown, source: PriceSource::Judge });
        }
        let stand_in = Quote { price: NOTHING, batch: None, shutdown: None, source: PriceSource::Simulated };
        listed.or_else(|| called.simulated.then_some(stand_in))
    }

    fn listed(&self, called: &Called<'_>) -> Option<Quote> {
        let own = |prices: &BTreeMap<String, Vec<OwnPrice>>, source| {
            let price = prices.get(called.model)?.iter().filter(|price| price.holds(called)).min_by_key(|price| &price.of)?;
            Some(Quote { price: price.price, batch: price.batch, shutdown: price.shutdown, source })
        };
        let quote = own(&self.configured, PriceSource::Configuration).or_else(|| own(&self.of_file, PriceSource::File));
        let listed = built_in(called);
        match quote {
            Some(quote) => Some(Quote { shutdown: quote.shutdown.or(listed.and_then(|listed| listed.shutdown)), ..quote }),
            None => listed,
        }
    }
}

fn insert(prices: &mut BTreeMap<String, Vec<OwnPrice>>, model: &str, price: OwnPrice) {
    let known = prices.entry(model.to_owned()).or_default();
    if !known.iter().any(|known| known.of == price.of && known.endpoint == price.endpoint) {
        known.push(price);
    }
}

impl OwnPrice {
    fn holds(&self, called: &Called<'_>) -> bool {
        self.endpoint == called.endpoint
            && match &self.of {
                Of::Everyone => true,
                Of::Provider(name) => called.provider == Some(name),
                Of::Host(host) => called.host == Some(*host) || (called.host.is_none() && host.is_vendor()),
            }
    }
}

/// What the lists say.
fn built_in(called: &Called<'_>) -> Option<Quote> {
    // Google's own name of a model.
    let model = called.model.strip_prefix("models/").unwrap_or(called.model);
    let (list, price): (&'static List, ListPrice) = match called.host {
        Some(Host::Openrouter) => openrouter::listed(called.endpoint, model)?,
        Some(host) => listed_at(host, called.endpoint, model).map(|(list, price)| (list, *price))?,
        None => vendor_listed(called.endpoint, model).map(|(list, price)| (list, *price))?,
    };
    // Nobody shuts a stand-in down.
    let shutdown = price.shutdown.filter(|_| !called.simulated);
    Some(Quote { price: price.price, batch: price.batch, shutdown, source: PriceSource::List(list) })
}

/// What the judge of this kind costs.
#[derive(Debug, Clone, PartialEq)]
pub enum Charge {
    /// Nothing: it runs here, or its operator says so.
    Free,
    /// So much a call.
    PerCall(NanoUsd),
    /// By the token.
    PerToken(Quote),
    /// Nobody has said.
    Unknown,
}

impl Prices {
    /// What a judge charges, `providers` being those of its configuration.
    pub fn charge(&self, judge: &JudgeKind, providers: &[ProviderSpec]) -> Charge {
        let per_call = |usd: Option<f64>| match exchange::price(usd) {
            Ok(NanoUsd::ZERO) => Charge::Free,
            Ok(cost) => Charge::PerCall(cost),
            Err(_) => Charge::Unknown,
        };
        match judge {
            JudgeKind::Rules(_) | JudgeKind::Linear(_) | JudgeKind::Bert(_) => Charge::Free,
            JudgeKind::Command(command) => per_call(command.price_per_call_usd),
            JudgeKind::Http(http) => per_call(http.price_per_call_usd),
            JudgeKind::Chat(_) | JudgeKind::Decisions(_) => {
                let quote = Called::by(judge, providers).and_then(|(called, own)| self.quote(&called, own));
                match quote {
                    None => Charge::Unknown,
                    Some(quote) if quote.price == NOTHING => Charge::Free,
                    Some(quote) => Charge::PerToken(quote),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(base_url: Option<&str>) -> ProviderSpec {
        let kind = if base_url.is_some() { "openai" } else { "simulated" };
        serde_json::from_value(serde_json::json!({"name": "p", "kind": kind, "base_url": base_url})).unwrap()
    }

    fn input(prices: &Prices, base_url: Option<&str>, model: &str) -> Option<String> {
        let provider = provider(base_url);
        prices.quote(&Called::at(&provider, Endpoint::Chat, model), None).map(|quote| quote.price.input.to_string())
    }

    fn own(of: Of, usd: u64) -> OwnPrice {
        let nano = NanoUsd(usd * 1_000_000_000);
        let price = Price { input: nano, cached_input: nano, cache_write: nano, output: nano };
        OwnPrice { of, endpoint: Endpoint::Chat, price, batch: Some(price.halved()), shutdown: None }
    }

    #[test]
    fn the_same_model_costs_what_its_host_asks() {
        let prices = Prices::default();
        let at = |url, model| input(&prices, Some(url), model);
        assert_eq!(at("https://api.groq.com/openai/v1", "openai/gpt-oss-120b").as_deref(), Some("$0.15"));
        assert_eq!(at("https://api.deepinfra.com/v1/openai", "openai/gpt-oss-120b").as_deref(), Some("$0.039"));
        assert_eq!(at("http://127.0.0.1:8000/v1", "openai/gpt-oss-120b"), None);
        // A vendor's model behind a proxy, and not at another host.
        assert_eq!(at("http://127.0.0.1:8000/v1", "gpt-4o").as_deref(), Some("$2.50"));
        assert_eq!(at("https://api.groq.com/openai/v1", "gpt-4o"), None);
        assert_eq!(at("https://openrouter.ai/api/v1", "openai/gpt-4o").as_deref(), Some("$2.50"));
        assert_eq!(at("https://openrouter.ai/api/v1", "anthropic/claude-haiku-4.5").as_deref(), Some("$1.00"));
        assert_eq!(at("https://openrouter.ai/api/v1", "gpt-4o"), None);
    }

    #[test]
    fn the_narrowest_of_ones_own_prices_counts_and_the_configuration_before_the_file() {
        let mut prices = Prices::default();
        let groq = Some("https://api.groq.com/openai/v1");
        prices.from_file("m", own(Of::Host(Host::Groq), 1));
        assert_eq!(input(&prices, groq, "m").as_deref(), Some("$1.00"));
        prices.configure("m", own(Of::Everyone, 2));
        assert_eq!(input(&prices, groq, "m").as_deref(), Some("$2.00"));
        prices.configure("m", own(Of::Host(Host::Groq), 3));
        assert_eq!(input(&prices, groq, "m").as_deref(), Some("$3.00"));
        prices.configure("m", own(Of::Provider(ProviderName::new("p").unwrap()), 4));
        assert_eq!(input(&prices, groq, "m").as_deref(), Some("$4.00"));
        // The first of the same kind stays.
        prices.configure("m", own(Of::Everyone, 9));
        assert_eq!(input(&prices, Some("http://localhost/v1"), "m").as_deref(), Some("$4.00"));
        assert_eq!(prices.own().count(), 4);
        // Over the list, whose end of service stays.
        prices.from_file("gpt-4o", own(Of::Host(Host::Openai), 5));
        let provider = provider(Some("http://localhost/v1"));
        let quote = prices.quote(&Called::at(&provider, Endpoint::Chat, "gpt-4o"), None).unwrap();
        assert_eq!((quote.price.input.to_string().as_str(), quote.source), ("$5.00", PriceSource::File));
        assert!(quote.shutdown.is_some());
    }

    #[test]
    fn a_judges_own_price_goes_before_all() {
        let provider = provider(Some("https://api.openai.com/v1"));
        let called = Called::at(&provider, Endpoint::Chat, "gpt-4o");
        let own = PriceSpec::PerMillion { input: 7.0, output: 8.0, cached_input: None, cache_write: None };
        let quote = Prices::default().quote(&called, Some(own)).unwrap();
        assert_eq!((quote.price.input, quote.source), (NanoUsd(7_000_000_000), PriceSource::Judge));
        assert_eq!(quote.batch.unwrap().output, NanoUsd(4_000_000_000));
        assert!(quote.shutdown.is_some(), "until when it is served is not the judge's to say");
    }

    #[test]
    fn a_stand_in_costs_what_the_model_does_and_nothing_where_that_is_unknown() {
        let prices = Prices::default();
        assert_eq!(input(&prices, None, "gpt-4o").as_deref(), Some("$2.50"));
        assert_eq!(input(&prices, None, "m").as_deref(), Some("$0.00"));
        let provider = provider(None);
        let quote = prices.quote(&Called::at(&provider, Endpoint::Chat, "gpt-4o"), None).unwrap();
        assert_eq!(quote.shutdown, None);
    }

    #[test]
    fn decisions_have_their_own_price() {
        let provider = provider(Some("https://api.openai.com/v1"));
        let at = |endpoint, model| Prices::default().quote(&Called::at(&provider, endpoint, model), None);
        assert_eq!(at(Endpoint::Decisions, "gpt-6-luna").unwrap().price.output, NanoUsd::ZERO);
        assert!(at(Endpoint::Chat, "gpt-6-luna").unwrap().price.output > NanoUsd::ZERO);
        assert_eq!(at(Endpoint::Decisions, "gpt-4o"), None);
        let gemini = Called::anywhere(Endpoint::Decisions, "models/gemini-decision-1");
        assert!(Prices::default().quote(&gemini, None).is_some());
    }
}
