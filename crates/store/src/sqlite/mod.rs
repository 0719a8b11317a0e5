//! What the SQLite backends share: one directory, one file a port, one writer thread a file.

mod error;
mod lock;
mod migrate;
mod open;
mod readers;
pub(crate) mod row;
mod writer;

pub(crate) use error::{damaged, failure};
pub(crate) use lock::{claim, create_directory, io};
pub(crate) use migrate::Migration;
pub(crate) use open::{Database, Durability, Opened, Shape, open};
pub(crate) use readers::Readers;
pub(crate) use writer::OnFull;
