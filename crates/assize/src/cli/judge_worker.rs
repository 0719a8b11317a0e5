//! What Assize runs to start a script that judges: it lays down what the script must not have, and becomes it. Not for people.

use assize_judge::command::confine::Confinement;
use clap::Args;

use super::Ending;

#[derive(Debug, Args)]
pub struct JudgeWorker {
    /// The confinement as JSON
    confinement: String,
}

impl JudgeWorker {
    pub fn run(self) -> Result<Ending, String> {
        let confinement: Confinement =
            serde_json::from_str(&self.confinement).map_err(|error| format!("not a confinement: {error}"))?;
        Err(confinement.enter())
    }
}
