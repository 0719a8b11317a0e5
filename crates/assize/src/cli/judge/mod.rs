//! `assize judge …`: making judges and knowing how good they are.

mod asked;
mod calibrate;
mod check;
mod clusters;
mod collect;
mod compare;
mod figures;
mod gold;
mod pairs;
mod picture;
mod run;
mod train;

use clap::{Args, Subcommand};

use super::Ending;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assize judge train --data labelled.jsonl --out rude.bin
  assize judge check --gold gold.jsonl --judge gpt-4o --config assize.toml
  assize judge calibrate --gold gold.jsonl --judge gpt-4o --alpha 0.05
  assize judge compare gpt-4o-mini gpt-4o --gold gold.jsonl")]
pub struct Judge {
    #[command(subcommand)]
    command: JudgeCommand,
}

#[derive(Debug, Subcommand)]
enum JudgeCommand {
    /// Train a linear model, a free judge of microseconds a text, from labelled lines
    Train(train::Train),
    /// Say how well a judge agrees with gold labels: agreement, kappa, calibration, with intervals, and what it costs
    Check(check::Check),
    /// Find the confidence from which on a judge may be trusted, with a guarantee
    Calibrate(calibrate::Calibrate),
    /// Compare two judges on the same interactions, with gold labels or without
    Compare(compare::Compare),
}

impl Judge {
    pub fn run(self) -> Result<Ending, String> {
        match self.command {
            JudgeCommand::Train(command) => command.run(),
            JudgeCommand::Check(command) => command.run(),
            JudgeCommand::Calibrate(command) => command.run(),
            JudgeCommand::Compare(command) => command.run(),
        }
    }
}
