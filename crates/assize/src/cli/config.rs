//! `assize config check|show`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Ending, runtime, say};
use crate::config::{PolicySpec, Settings, load};
use crate::pipeline::panel::{Panels, Providers};

#[derive(Debug, Args)]
pub struct Config {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Say whether a configuration would start, and if not, where it is wrong
    #[command(after_help = "Example: assize config check --config assize.toml")]
    Check(File),
    /// Print the configuration in force, defaults included, as TOML
    Show(File),
}

#[derive(Debug, Args)]
struct File {
    /// The configuration file; the defaults alone where not given
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Config {
    pub fn run(self) -> Result<Ending, String> {
        match self.command {
            ConfigCommand::Check(file) => check(&file),
            ConfigCommand::Show(file) => show(&file),
        }
    }
}

fn check(file: &File) -> Result<Ending, String> {
    let settings = load::load(file.config.as_deref()).map_err(|error| error.to_string())?;
    let spec = policy(&settings, file)?;
    let panels = runtime()?
        .block_on(Panels::open(&spec, Providers::default(), None, assize_core::Timestamp(0)))
        .map_err(|error| load::explain(file.config.as_deref(), &error.to_string()))?;
    let panel = panels.current();
    if file.json {
        return say::json(&panel.policy).map(|()| Ending::Done);
    }
    for metric in &panel.policy.metrics {
        let cascade: Vec<String> = metric.cascade.iter().map(|tier| tier.judge.to_string()).collect();
        let sampling = metric.sampling.as_ref().unwrap_or(&panel.policy.sampling);
        let rate = if metric.is_free() {
            "every interaction".to_owned()
        } else {
            format!("{} % of interactions", sampling.rate * 100.0)
        };
        say::line(&format!(
            "{}: {} ({rate} by {})",
            metric.name,
            cascade.join(" -> "),
            cascade.last().map_or("", String::as_str)
        ))?;
    }
    eprintln!("the configuration is valid");
    Ok(Ending::Done)
}

fn policy(settings: &Settings, file: &File) -> Result<PolicySpec, String> {
    PolicySpec::of(settings).map_err(|error| load::explain(file.config.as_deref(), &error.to_string()))
}

fn show(file: &File) -> Result<Ending, String> {
    let settings = load::load(file.config.as_deref()).map_err(|error| error.to_string())?;
    if file.json {
        say::json(&settings)?;
    } else {
        say::line(toml::to_string(&settings).map_err(|error| format!("the configuration cannot be shown: {error}"))?.trim_end())?;
    }
    Ok(Ending::Done)
}
