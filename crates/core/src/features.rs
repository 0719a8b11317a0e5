//! What sampling may look at: cheap facts about an interaction, never a paid verdict.

use serde::{Deserialize, Serialize};

use crate::{Interaction, Role};

/// Facts about an interaction that cost nothing to learn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features {
    /// Characters of input and output together.
    pub chars: u32,
    /// Messages of users in input, at least 1: how often the person has spoken so far.
    pub turns: u32,
    /// Whether context came with it.
    pub has_context: bool,
    /// Whether a tool was called or answered.
    pub has_tools: bool,
}

impl Features {
    /// The features of `interaction`.
    pub fn of(interaction: &Interaction) -> Self {
        let messages = || interaction.input.iter().chain(&interaction.output);
        let chars: usize = messages().map(|message| message.content.chars().count()).sum();
        let turns = interaction.input.iter().filter(|message| message.role == Role::User).count().max(1);
        Self {
            chars: u32::try_from(chars).unwrap_or(u32::MAX),
            turns: u32::try_from(turns).unwrap_or(u32::MAX),
            has_context: !interaction.context.is_empty(),
            has_tools: messages().any(|message| message.role == Role::Tool || message.tool.is_some()),
        }
    }
}
