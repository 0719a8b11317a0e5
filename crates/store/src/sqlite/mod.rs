//! What the SQLite backends share: one directory, one file a port, one writer thread a file.

mod error;
mod lock;
mod migrate;
mod open;
mod readers;
pub(crate) mod row;
mod writer;

pub(crate) use error::{damaged, failure};
pub(crate) use migrate::Migration;
pub(crate) use open::{Database, Shape};
pub(crate) use writer::OnFull;
