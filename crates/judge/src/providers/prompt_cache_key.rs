//! Whether a host is sent `prompt_cache_key`.

use crate::spec::ProviderSpec;

/// As the operator says; else to OpenAI's own hosts only, because others may refuse a field that they do not know. `host` may end in
/// a port.
pub(super) fn is_sent(spec: &ProviderSpec, host: &str) -> bool {
    let host = host.split(':').next().unwrap_or_default();
    let below = |domain: &str| host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    spec.prompt_cache_key.unwrap_or_else(|| below("api.openai.com") || below("openai.azure.com"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn to_openai_alone_unless_told() {
        let spec = |said: serde_json::Value| -> ProviderSpec {
            serde_json::from_value(json!({"name": "p", "kind": "openai", "prompt_cache_key": said})).unwrap()
        };
        for (host, sent) in [
            ("api.openai.com", true),
            ("eu.api.openai.com", true),
            ("api.openai.com:443", true),
            ("mine.openai.azure.com", true),
            ("api.openai.com.example", false),
            ("notapi.openai.com", false),
            ("127.0.0.1:8400", false),
            ("", false),
        ] {
            assert_eq!(is_sent(&spec(json!(null)), host), sent, "{host}");
            assert!(is_sent(&spec(json!(true)), host) && !is_sent(&spec(json!(false)), host));
        }
    }
}
