//! What stands in for a provider whose key is not there: the simulated one, so that a newcomer sees the whole.

use assize_judge::spec::ProviderKind;

use super::Settings;

/// With `OPENAI_API_KEY` set, providers stay as they are, at `OPENAI_BASE_URL` if that is set. Without it they are simulated.
/// Returns whether they are.
pub fn simulate_if_keyless(settings: &mut Settings) -> bool {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let simulate = set("OPENAI_API_KEY").is_none();
    for provider in &mut settings.provider {
        if simulate {
            provider.kind = ProviderKind::Simulated;
            provider.base_url = None;
            provider.api_key_env = None;
        } else if let Some(url) = set("OPENAI_BASE_URL") {
            provider.base_url = Some(url);
        }
    }
    simulate
}
