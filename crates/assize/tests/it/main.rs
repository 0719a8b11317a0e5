//! The end-to-end tests: the real binary, a fake provider on loopback, and what was called and paid.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cli;
mod command;
mod config;
mod demo;
mod eval;
mod tidy;
