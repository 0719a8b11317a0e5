//! The binary: reads the command line and does what it asks.

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

/// Judging and decoding make many small strings; a quarter of the time of `eval` went into the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("ASSIZE_LOG").unwrap_or_else(|_| EnvFilter::new("warn,assize=info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
    assize::cli::run(assize::cli::Cli::parse())
}
