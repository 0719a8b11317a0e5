//! The one binary of Assize, as a library so that tests reach its parts. Only this crate knows the order of things: read
//! [`pipeline`] first.

pub mod access;
pub mod api;
pub mod cli;
pub mod config;
pub mod counters;
pub mod export;
pub mod ids;
pub mod ingest;
pub mod pipeline;
pub mod roles;
pub mod secrets;
pub mod ui;
