//! The command line. stdout is data, stderr is talk.

mod completions;
mod config;
mod cost;
mod dataset;
mod demo;
mod eval;
mod judge;
mod judge_worker;
mod key;
mod label;
mod metric;
mod plan;
mod prices;
mod remote;
mod review;
pub(crate) mod say;
mod serve;
mod spend;
mod tenant;
mod why;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Judges production LLM traffic at the least cost and reports a number that can be trusted.
#[derive(Debug, Parser)]
#[command(name = "assize", version, propagate_version = true, arg_required_else_help = true, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what Assize does: replay bundled conversations through the real thing and open a dashboard
    Demo(demo::Demo),
    /// Start everything in this process: ingest, score, report and dashboard
    Up(serve::Up),
    /// Start some of the roles in this process
    Serve(serve::Serve),
    /// Judge a file of interactions and print the rates
    Eval(eval::Eval),
    /// Make judges and know how good they are
    Judge(judge::Judge),
    /// Say what a rate will cost: calls and dollars for a half-width, or the half-width for a budget
    Plan(plan::Plan),
    /// Say what became of an interaction, and why it was not judged if it was not
    Why(why::Why),
    /// Have people label what the judge judged: draw, look at one after the other, see how far it has come
    Review(review::Review),
    /// Import gold labels
    Label(label::Label),
    /// Export stored interactions and their labels
    Dataset(dataset::Dataset),
    /// Make, list and revoke API keys of a running server
    Key(key::Key),
    /// Lay down what holds for a tenant of a running server: budget, sampling, whether anything is taken from it
    Tenant(tenant::Tenant),
    /// Change what is asked in a project of a running server, and try it out first
    Metric(metric::Metric),
    /// Say what judging costs: today against the budget, by whom, by what, and what was saved
    Spend(spend::Spend),
    /// Say what judging a month of traffic costs, and what each lever saves
    Cost(cost::Cost),
    /// List, check and import what models charge
    Prices(prices::Prices),
    /// Check and show the configuration
    Config(config::Config),
    /// Print completions for a shell
    Completions(completions::Completions),
    #[command(name = crate::pipeline::code::WORKER_COMMAND, hide = true)]
    JudgeWorker(judge_worker::JudgeWorker),
}

/// How a command ends.
pub enum Ending {
    /// It did what was asked.
    Done,
    /// It did what was asked, and the answer is no: a threshold failed.
    Failed,
    /// A signal ended it early.
    Interrupted,
}

/// Runs what the arguments ask for. 0 for done, 1 for a threshold that failed, 2 for an error, 130 for a signal.
pub fn run(cli: Cli) -> ExitCode {
    assize_judge::providers::install_tls();
    let ending = match cli.command {
        Command::Demo(command) => command.run(),
        Command::Up(command) => command.run(),
        Command::Serve(command) => command.run(),
        Command::Eval(command) => command.run(),
        Command::Judge(command) => command.run(),
        Command::Plan(command) => command.run(),
        Command::Why(command) => command.run(),
        Command::Review(command) => command.run(),
        Command::Label(command) => command.run(),
        Command::Dataset(command) => command.run(),
        Command::Key(command) => command.run(),
        Command::Tenant(command) => command.run(),
        Command::Metric(command) => command.run(),
        Command::Spend(command) => command.run(),
        Command::Cost(command) => command.run(),
        Command::Prices(command) => command.run(),
        Command::Config(command) => command.run(),
        Command::Completions(command) => command.run(),
        Command::JudgeWorker(command) => command.run(),
    };
    match ending {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::Failed) => ExitCode::from(1),
        Ok(Ending::Interrupted) => ExitCode::from(130),
        Err(message) => {
            say::note(format_args!("error: {message}"));
            ExitCode::from(2)
        }
    }
}

/// A runtime of one thread, for what mostly waits for others: no other thread has to be woken for every answer.
fn light_runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime cannot start: {error}"))
}

/// A runtime for commands that need all cores.
fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| format!("the runtime cannot start: {error}"))
}
