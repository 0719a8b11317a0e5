//! `assize prices list|show|check|import`.

mod check;
mod import;
mod list;
mod row;

use assize_judge::prices::Prices as InForce;
use clap::{Args, Subcommand};

pub use list::prices;
pub use row::table;

use super::Ending;

#[derive(Debug, Args)]
pub struct Prices {
    #[command(subcommand)]
    command: PricesCommand,
}

#[derive(Debug, Subcommand)]
enum PricesCommand {
    /// List what models charge, with the day and the source of every list
    List(list::List),
    /// Show all that is known of a model's price, at every host
    Show(list::Show),
    /// Say which judges have no price, and whose model ends soon
    Check(check::Check),
    /// Take prices from a file in the format of LiteLLM's public map
    Import(import::Import),
}

impl Prices {
    pub fn run(self) -> Result<Ending, String> {
        match self.command {
            PricesCommand::List(command) => command.run(),
            PricesCommand::Show(command) => command.run(),
            PricesCommand::Check(command) => command.run(),
            PricesCommand::Import(command) => command.run(),
        }
    }
}

/// That no price is known for `model`, with names like it.
pub fn unknown(model: &str, prices: &InForce) -> String {
    list::unknown(model, &row::rows(prices))
}
