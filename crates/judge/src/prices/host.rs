//! Who serves a model: the same one costs what its host asks.

use std::fmt;

use reqwest::Url;
use serde::{Deserialize, Serialize};

/// A host of models whose prices are known apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Host {
    /// OpenAI.
    Openai,
    /// Anthropic.
    Anthropic,
    /// Google's Gemini API.
    Gemini,
    /// Mistral AI.
    Mistral,
    /// DeepSeek.
    Deepseek,
    /// Groq.
    Groq,
    /// Together AI.
    Together,
    /// Fireworks AI.
    Fireworks,
    /// DeepInfra.
    Deepinfra,
    /// OpenRouter.
    Openrouter,
}

/// Hosts by the domain of their API.
const DOMAINS: &[(&str, Host)] = &[
    ("api.openai.com", Host::Openai),
    ("eu.api.openai.com", Host::Openai),
    ("us.api.openai.com", Host::Openai),
    ("api.anthropic.com", Host::Anthropic),
    ("generativelanguage.googleapis.com", Host::Gemini),
    ("api.mistral.ai", Host::Mistral),
    ("api.deepseek.com", Host::Deepseek),
    ("api.groq.com", Host::Groq),
    ("api.together.xyz", Host::Together),
    ("api.together.ai", Host::Together),
    ("api.fireworks.ai", Host::Fireworks),
    ("api.deepinfra.com", Host::Deepinfra),
    ("openrouter.ai", Host::Openrouter),
];

impl Host {
    /// All of them, vendors first.
    pub const ALL: [Self; 10] = [
        Self::Openai,
        Self::Anthropic,
        Self::Gemini,
        Self::Mistral,
        Self::Deepseek,
        Self::Groq,
        Self::Together,
        Self::Fireworks,
        Self::Deepinfra,
        Self::Openrouter,
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Openai => "openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Mistral => "mistral",
            Self::Deepseek => "deepseek",
            Self::Groq => "groq",
            Self::Together => "together",
            Self::Fireworks => "fireworks",
            Self::Deepinfra => "deepinfra",
            Self::Openrouter => "openrouter",
        }
    }

    /// The host of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|host| host.as_str() == name)
    }

    /// The host at this address; `None` where it is none of these, as for a proxy or a machine of one's own.
    pub fn of_url(base_url: &str) -> Option<Self> {
        let url = Url::parse(base_url).ok()?;
        let domain = url.host_str()?.trim_end_matches('.');
        DOMAINS.iter().find(|(known, _)| *known == domain).map(|(_, host)| *host)
    }

    /// Whether it makes the models that it serves. Their names are unmistakable, so their prices hold behind a proxy too.
    pub fn is_vendor(self) -> bool {
        matches!(self, Self::Openai | Self::Anthropic | Self::Gemini | Self::Mistral | Self::Deepseek)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_known_by_its_domain_alone() {
        for (url, host) in [
            ("https://api.openai.com/v1", Some(Host::Openai)),
            ("https://API.GROQ.com/openai/v1", Some(Host::Groq)),
            ("https://api.deepinfra.com./v1/openai", Some(Host::Deepinfra)),
            ("https://openrouter.ai:443/api/v1", Some(Host::Openrouter)),
            ("https://api.openai.com.example.net/v1", None),
            ("https://example.net/api.openai.com", None),
            ("http://127.0.0.1:8000/v1", None),
            ("", None),
        ] {
            assert_eq!(Host::of_url(url), host, "{url}");
        }
    }

    #[test]
    fn every_host_is_found_by_its_name_and_at_an_address() {
        for host in Host::ALL {
            assert_eq!(Host::named(host.as_str()), Some(host));
            assert_eq!(serde_json::to_value(host).unwrap(), host.as_str());
            assert!(DOMAINS.iter().any(|(_, at)| *at == host), "{host}");
        }
        assert_eq!(Host::named("azure"), None);
    }
}
