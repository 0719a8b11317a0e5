//! testkit

pub mod provider;
