//! What stands in for a provider whose key is not there: the simulated one, so that a newcomer sees the whole.

use assize_judge::spec::ProviderKind;

use super::Settings;

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// Providers that the operator did not write are at `OPENAI_BASE_URL`, if that is set.
pub fn redirect(settings: &mut Settings) {
    if let Some(url) = variable("OPENAI_BASE_URL") {
        settings.provider.iter_mut().for_each(|provider| provider.base_url = Some(url.clone()));
    }
}

/// Without `OPENAI_API_KEY`, providers are simulated. Returns whether they are.
pub fn simulate_if_keyless(settings: &mut Settings) -> bool {
    let simulate = variable("OPENAI_API_KEY").is_none();
    if simulate {
        for provider in &mut settings.provider {
            provider.kind = ProviderKind::Simulated;
            provider.base_url = None;
            provider.api_key_env = None;
        }
    }
    simulate
}
