//! The product from outside: the real binary, real sockets, and a fake provider that remembers what was asked and charged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod bad_input;
mod batch;
mod bridge;
mod budget;
mod cascade;
mod chaos_provider;
mod cli;
mod code_judges;
mod command;
mod config;
mod demo;
mod eval;
mod export;
mod flow;
mod grpc;
mod harness;
mod interactions;
mod isolation;
mod judge_cli;
mod judge_train;
mod judging;
mod kept;
mod metrics_api;
mod nearest;
mod otlp;
mod parked;
mod resilience;
mod restart;
mod reuse;
mod review;
mod sampling;
mod server;
mod tidy;
mod together;
mod xstest;
