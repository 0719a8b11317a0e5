//! Backends of the ports of `assize-core`: where interactions wait, where results lie, who may do what.
//!
//! Every port has a folder, with one file (or folder) for each backend, and an `open` that picks the backend by URL:
//! [`queue`], [`parking`], [`results`], [`cache`], [`labels`], [`ledger`], [`control`]. What the SQLite backends share is in `sqlite`.
#![warn(missing_docs)]

pub mod batch;
pub mod cache;
pub mod control;
pub mod export;
pub mod labels;
pub mod ledger;
mod location;
pub mod parking;
pub mod queue;
pub mod results;
mod sqlite;
