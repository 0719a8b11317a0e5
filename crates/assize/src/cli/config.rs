//! `assize config check|show`.

use std::path::PathBuf;

use assize_core::{Clock as _, Metric, SamplingPolicy, SystemClock};
use assize_judge::spec::JudgeKind;
use assize_judge::{linear, rules};
use clap::{Args, Subcommand};

use super::{Ending, runtime, say};
use crate::config::{ConfigError, PolicySpec, Settings, load};
use crate::pipeline::clients::Providers;
use crate::pipeline::judges::warnings;
use crate::pipeline::nearest::embeddings;
use crate::pipeline::panel::Panels;

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
    #[command(after_help = "Example: assize config show > assize.toml    # the defaults, to begin with")]
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
    open_unused(&settings).map_err(|error| load::explain(file.config.as_deref(), &error.to_string()))?;
    embeddings::open(&settings, &spec).map_err(|error| load::explain(file.config.as_deref(), &error.to_string()))?;
    let opened = crate::export::open(&settings, &|name| std::env::var_os(name));
    opened.map_err(|error| load::explain(file.config.as_deref(), &error.to_string()))?;
    let panels = runtime()?
        .block_on(Panels::open(&spec, Providers::default(), None, assize_core::Timestamp(0)))
        .map_err(|error| load::explain(file.config.as_deref(), &error.to_string()))?;
    let panel = panels.current();
    if file.json {
        return say::json(&panel.policy).map(|()| Ending::Done);
    }
    for metric in &panel.policy.metrics {
        say::line(&tell(metric, &panel.policy.sampling))?;
    }
    unused(&settings, &spec).iter().for_each(say::note);
    for warning in warnings(&panel, SystemClock.now()) {
        say::note(format_args!("warning: {warning}"));
    }
    say::note("the configuration is valid");
    Ok(Ending::Done)
}

/// Who judges how much of what.
fn tell(metric: &Metric, sampling: &SamplingPolicy) -> String {
    let cascade: Vec<&str> = metric.cascade.iter().map(|tier| tier.judge.as_str()).collect();
    let reference = cascade.last().copied().unwrap_or_default();
    let sampling = metric.sampling.as_ref().unwrap_or(sampling);
    let mut share =
        if metric.is_free() { "every interaction".to_owned() } else { format!("{} of interactions", percent(sampling.rate)) };
    if !metric.is_free() {
        for rule in &sampling.smart {
            share.push_str(&format!(", {} of those with {}", percent(rule.rate), rule.when.describe()));
        }
        if let Some(only) = &sampling.only {
            share.push_str(&format!("; only those with {}", only.describe()));
        }
    }
    format!("{}: {} ({share} by {reference})", metric.name, cascade.join(" -> "))
}

/// `0.07` as `7 %`, without the noise of binary fractions.
fn percent(share: f64) -> String {
    format!("{} %", (share * 1e8).round() / 1e6)
}

/// What stands in the configuration and does nothing.
fn unused(settings: &Settings, spec: &PolicySpec) -> Vec<String> {
    let judges = settings.judge.iter().filter(|judge| spec.judge(&judge.name).is_none());
    let judges = judges.map(|judge| format!("note: no metric's `cascade` names the judge {:?}", judge.name.as_str()));
    let called = |name| spec.providers.iter().any(|provider| &provider.name == name);
    let providers = settings.provider.iter().filter(|provider| !called(&provider.name));
    judges
        .chain(providers.map(|provider| format!("note: no judge in use calls the provider {:?}", provider.name.as_str())))
        .collect()
}

/// Judges that no metric names are opened too: a typing error in one would show only when it is used.
fn open_unused(settings: &Settings) -> Result<(), ConfigError> {
    for judge in &settings.judge {
        let opened = match &judge.kind {
            JudgeKind::Rules(spec) => rules::open(spec).map(|_| ()),
            JudgeKind::Linear(spec) => linear::open(spec).map(|_| ()),
            JudgeKind::Chat(_) | JudgeKind::Decisions(_) | JudgeKind::Bert(_) | JudgeKind::Command(_) | JudgeKind::Http(_) => {
                Ok(())
            }
        };
        opened.map_err(|error| ConfigError::new(format!("[[judge]] {:?}: {error}", judge.name.as_str())))?;
    }
    Ok(())
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
