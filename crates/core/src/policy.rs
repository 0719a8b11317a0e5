//! What a project wants to know and what it is willing to have judged for it: frozen on every item at accept.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Interaction, Metric, PolicyVersion, SamplingPolicy};

/// A property of interactions by which estimates may be grouped. Written `model`, `prompt_version`, `environment` or `tag:NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Dimension {
    /// The model that answered.
    Model,
    /// The version of the application's prompt.
    PromptVersion,
    /// Where the application runs.
    Environment,
    /// A tag of the sender.
    Tag(String),
}

impl Dimension {
    /// The interaction's value of this dimension, cut to 200 bytes at a character boundary.
    pub fn value<'a>(&self, interaction: &'a Interaction) -> Option<&'a str> {
        let value = match self {
            Self::Model => interaction.model.as_deref(),
            Self::PromptVersion => interaction.prompt_version.as_deref(),
            Self::Environment => interaction.environment.as_deref(),
            Self::Tag(tag) => interaction.tags.get(tag).map(String::as_str),
        }?;
        let end = (0..=value.len().min(200)).rev().find(|&at| value.is_char_boundary(at)).unwrap_or(0);
        Some(&value[..end])
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model => f.write_str("model"),
            Self::PromptVersion => f.write_str("prompt_version"),
            Self::Environment => f.write_str("environment"),
            Self::Tag(tag) => write!(f, "tag:{tag}"),
        }
    }
}

impl std::str::FromStr for Dimension {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "model" => Ok(Self::Model),
            "prompt_version" => Ok(Self::PromptVersion),
            "environment" => Ok(Self::Environment),
            _ => match text.strip_prefix("tag:") {
                Some(tag) if !tag.is_empty() && tag.len() <= 100 => Ok(Self::Tag(tag.to_owned())),
                _ => Err(format!("{text:?} is not a dimension: use model, prompt_version, environment or tag:NAME")),
            },
        }
    }
}

impl TryFrom<String> for Dimension {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Dimension> for String {
    fn from(dimension: Dimension) -> String {
        dimension.to_string()
    }
}

/// A project's metrics, sampling and dimensions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Hash of the rest, and of the judges that the cascades name.
    pub version: PolicyVersion,
    /// The questions, in the order of the configuration.
    pub metrics: Vec<Metric>,
    /// How much of the traffic is judged, unless a metric says otherwise.
    pub sampling: SamplingPolicy,
    /// The dimensions that roll up.
    pub dimensions: Vec<Dimension>,
}
