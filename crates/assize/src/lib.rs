//! The parts of the `assize` binary.
#![warn(missing_docs)]

pub mod ingest;
