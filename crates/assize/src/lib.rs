//! The binary's parts.
pub mod ui;
