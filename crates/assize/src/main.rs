//! The binary: reads the command line and does what it asks.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

/// Judging and decoding make many small strings; a quarter of the time of `eval` went into the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("ASSIZE_LOG").unwrap_or_else(|_| EnvFilter::new("warn,assize=info"));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    log.with_ansi(colours).init();
    assize::cli::run(assize::cli::Cli::parse())
}
