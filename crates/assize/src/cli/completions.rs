//! `assize completions SHELL`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Ending, say};

#[derive(Debug, Args)]
#[command(after_help = "Example: assize completions bash > ~/.local/share/bash-completion/completions/assize")]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub fn run(self) -> Result<Ending, String> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "assize", &mut script);
        say::line(String::from_utf8_lossy(&script).trim_end())?;
        Ok(Ending::Done)
    }
}
