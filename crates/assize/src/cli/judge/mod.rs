//! `assize judge …`: making judges and knowing how good they are.

mod train;

use clap::{Args, Subcommand};

use super::Ending;

#[derive(Debug, Args)]
#[command(after_help = "Example: assize judge train --data labelled.jsonl --out rude.bin")]
pub struct Judge {
    #[command(subcommand)]
    command: JudgeCommand,
}

#[derive(Debug, Subcommand)]
enum JudgeCommand {
    /// Train a linear model, a free judge of microseconds a text, from labelled lines
    Train(train::Train),
}

impl Judge {
    pub fn run(self) -> Result<Ending, String> {
        match self.command {
            JudgeCommand::Train(command) => command.run(),
        }
    }
}
