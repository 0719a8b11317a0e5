//! `assize up` and `assize serve`.

use std::path::{Path, PathBuf};

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Ending, runtime, say};
use crate::config::{Settings, load, standin};
use crate::roles::{self, Roles, Running, Start};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assize up                                   # everything on 127.0.0.1:4318, data in ./assize-data
  assize up --config assize.toml --data /var/lib/assize --listen 0.0.0.0:4318

ASSIZE_BOOTSTRAP_KEY sets the first API key; otherwise one is made at the first start and shown once.
Without --config and without OPENAI_API_KEY, verdicts come from a simulated provider and are marked so.")]
pub struct Up {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: assize serve --roles ingest,score --config assize.toml")]
pub struct Serve {
    #[command(flatten)]
    place: Place,
    /// Roles of this process, separated by commas: ingest, score, report
    #[arg(long, default_value = "all")]
    roles: Roles,
}

#[derive(Debug, Args)]
struct Place {
    /// The configuration file; the defaults where not given
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The directory that holds everything
    #[arg(long, value_name = "DIR", default_value = "assize-data")]
    data: PathBuf,
    /// Address of HTTP and gRPC, in place of the configured one
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
}

impl Up {
    pub fn run(self) -> Result<Ending, String> {
        run(self.place, Roles::ALL)
    }
}

impl Serve {
    pub fn run(self) -> Result<Ending, String> {
        run(self.place, self.roles)
    }
}

fn run(place: Place, roles: Roles) -> Result<Ending, String> {
    let mut settings = load::load(place.config.as_deref()).map_err(|error| error.to_string())?;
    if place.config.is_none() && standin::simulate_if_keyless(&mut settings) {
        tracing::warn!(
            "OPENAI_API_KEY is not set: verdicts are SIMULATED and marked so; set it, or name a configuration with --config"
        );
    }
    if let Some(listen) = place.listen {
        settings.server.listen = listen;
    }
    runtime()?.block_on(async {
        let mut signal = StopSignal::catch()?;
        let running = start(settings, &place.data, roles, place.config.as_deref()).await?;
        announce(&running);
        signal.given().await;
        say::note("stopping: finishing what is in hand; a second signal stops at once");
        tokio::select! {
            () = running.stop() => {}
            () = signal.given() => {}
        }
        Ok(Ending::Done)
    })
}

/// Starts the roles with the operator's bootstrap key.
pub async fn start(settings: Settings, data: &Path, roles: Roles, config: Option<&Path>) -> Result<Running, String> {
    let bootstrap_key = std::env::var("ASSIZE_BOOTSTRAP_KEY").ok();
    let started = roles::start(Start { settings, data: data.to_owned(), roles, bootstrap_key }).await;
    started.map_err(|message| load::explain(config.filter(|_| message.starts_with('[')), &message))
}

/// Says where the server is and, once, its first key.
pub fn announce(running: &Running) {
    say::note(format_args!("listening on http://{}", running.address));
    if let Some(first) = &running.first_key {
        say::note(format_args!("first API key (all scopes, shown this once): {}", first.key));
    }
}

/// SIGINT and SIGTERM, caught from when this is made.
pub struct StopSignal {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignal {
    /// From now on the signals do not end the process.
    pub fn catch() -> Result<Self, String> {
        let caught = |kind| signal(kind).map_err(|error| format!("signals cannot be caught: {error}"));
        Ok(Self { terminate: caught(SignalKind::terminate())?, interrupt: caught(SignalKind::interrupt())? })
    }

    /// Waits for the next one.
    pub async fn given(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
