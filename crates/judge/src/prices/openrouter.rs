//! OpenRouter, which passes the price of whoever serves a model on without a mark-up (its fee is on the purchase of credits). So the
//! vendors' lists hold for the names that it gives their models, live calls only: inferred from that rule, not read model by model. Open
//! models are sent to whichever host is to be had, at that host's price: those have no list price here.

use super::{Endpoint, Host, List, ListPrice, listed_at};

/// Its names of vendors.
const VENDORS: &[(&str, Host)] =
    &[("openai/", Host::Openai), ("anthropic/", Host::Anthropic), ("google/", Host::Gemini), ("mistralai/", Host::Mistral)];

/// What the vendor of `model` asks, the model called as OpenRouter calls it: `anthropic/claude-haiku-4.5` is `claude-haiku-4-5`.
pub(super) fn listed(endpoint: Endpoint, model: &str) -> Option<(&'static List, ListPrice)> {
    let (prefix, vendor) = VENDORS.iter().find(|(prefix, _)| model.starts_with(prefix))?;
    let name = model.strip_prefix(prefix)?;
    let own = listed_at(*vendor, endpoint, name);
    let (list, price) = own.or_else(|| listed_at(*vendor, endpoint, &name.replace('.', "-")))?;
    Some((list, ListPrice { batch: None, ..*price }))
}
