//! A model of the command line, with what it charges.

use assize_core::cost::Rates;
use assize_judge::prices::{Called, Endpoint, Host, Prices};
use jiff::civil::Date;

/// A model and its price.
#[derive(Debug, Clone, PartialEq)]
pub struct Priced {
    /// As it was written.
    pub name: String,
    pub rates: Rates,
    /// The day from which calls fail.
    pub shutdown: Option<Date>,
}

/// The price of `[HOST/]MODEL[@decisions]`, or of `free`.
pub fn priced(prices: &Prices, name: &str) -> Result<Priced, String> {
    if name == "free" {
        return Ok(Priced { name: name.to_owned(), rates: Rates::FREE, shutdown: None });
    }
    let (model, endpoint) = match name.split_once('@') {
        None => (name, Endpoint::Chat),
        Some((model, "decisions")) => (model, Endpoint::Decisions),
        Some((_, other)) => return Err(format!("{name:?}: {other:?} is no kind of call: leave it out, or use @decisions")),
    };
    let at_host = model.split_once('/').and_then(|(host, model)| Some((Host::named(host)?, model)));
    // A name that begins with a host's may be the whole name, too: `openai/gpt-oss-120b`.
    let at_host = at_host.map(|(host, model)| Called { host: Some(host), ..Called::anywhere(endpoint, model) });
    let quote = at_host
        .and_then(|called| prices.quote(&called, None))
        .or_else(|| prices.quote(&Called::anywhere(endpoint, model), None))
        .ok_or_else(|| crate::cli::prices::unknown(model, prices))?;
    Ok(Priced { name: name.to_owned(), rates: Rates { live: quote.price, batch: quote.batch }, shutdown: quote.shutdown })
}

/// Judges of today that go together: a reference judge and a cheap one of the same vendor.
pub const TODAY: &[(&str, &str)] = &[
    ("gpt-6.1-sol", "gpt-6-luna@decisions"),
    ("gpt-6.1-terra", "gpt-6-luna@decisions"),
    ("claude-opus-5-5", "claude-haiku-5-5"),
    ("claude-sonnet-5-5", "claude-haiku-5-5"),
    ("gemini-3.8-flash", "gemini-decision-1@decisions"),
    ("mistral-large-4", "mistral-small-2603"),
    ("deepseek-v4-pro", "deepseek-flash"),
    ("groq/openai/gpt-oss-120b", "groq/openai/gpt-oss-20b"),
    ("gpt-6-luna", "free"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_found_with_and_without_their_host() {
        let prices = Prices::default();
        let input = |name: &str| priced(&prices, name).unwrap().rates.live.input.to_string();
        assert_eq!(input("gpt-4o-2024-05-13"), "$5.00");
        assert_eq!(input("openai/gpt-4o"), "$2.50");
        assert_eq!(input("groq/openai/gpt-oss-120b"), "$0.15");
        assert_eq!(input("gpt-6-luna@decisions"), "$0.10");
        assert_eq!(input("free"), "$0.00");
        for (name, part) in
            [("gpt-5o", "no price is known"), ("gpt-4o@batch", "no kind of call"), ("", "no price"), ("groq/gpt-4o", "no price")]
        {
            assert!(priced(&prices, name).unwrap_err().contains(part), "{name}");
        }
    }

    #[test]
    fn the_models_of_today_have_prices_and_are_served() {
        for (reference, cheap) in TODAY {
            for name in [reference, cheap] {
                let priced = priced(&Prices::default(), name).unwrap();
                assert_eq!(priced.shutdown, None, "{name}");
            }
        }
    }
}
