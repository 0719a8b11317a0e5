//! Opening a file: modes, pragmas, migrations, its writer and its readers.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use assize_core::StoreError;
use rusqlite::{Connection, OpenFlags};

use super::failure;
use super::lock::{Claim, claim, create_directory, io};
use super::migrate::{Migration, migrate};
use super::readers::Readers;
use super::writer::{OnFull, Writer};

/// What a port's file looks like.
pub(crate) struct Shape {
    /// Its name in the directory.
    pub file: &'static str,
    /// Whether one process at a time owns it. Otherwise processes share it, as SQLite allows.
    pub exclusive: bool,
    /// Its schema.
    pub migrations: &'static [Migration],
    /// Memory for the writer's pages, in KiB.
    pub cache_kib: u32,
}

/// What a loss of power may take of what was committed. The file stays sound either way, and the end of the process takes nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Nothing.
    Full,
    /// The last commits. In return a commit does not wait for the disk.
    Normal,
}

/// An open file. Dropping it waits for what is being written.
pub(crate) struct Database<S> {
    path: PathBuf,
    writer: Writer<S>,
    readers: Readers,
    /// Last, so that the directory is given back only after the writer has ended.
    _claim: Option<Claim>,
}

impl<S: Default + Send + 'static> Database<S> {
    /// Opens or creates the file in `directory`. What it acknowledges is on disk.
    pub fn open(directory: &Path, shape: &Shape) -> Result<Self, StoreError> {
        Self::open_with(directory, shape, Durability::Full)
    }

    /// As [`Self::open`], as durable as is said.
    pub fn open_with(directory: &Path, shape: &Shape, durability: Durability) -> Result<Self, StoreError> {
        let Opened { path, connection, claim } = open(directory, shape, durability)?;
        Ok(Self { writer: Writer::start(connection, path.clone())?, readers: Readers::new(path.clone()), path, _claim: claim })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `operation` on the writer, in a durable transaction shared with what else is waiting; an error undoes this operation alone.
    /// It may run twice, the first time in vain.
    /// `bytes` is about how much memory it holds while it waits.
    pub async fn write<T, F>(&self, bytes: usize, on_full: OnFull, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection, &mut S) -> Result<T, StoreError> + Send + 'static,
    {
        self.writer.write(bytes, on_full, operation).await
    }

    /// Runs `operation` on one consistent snapshot.
    pub async fn read<T, F>(&self, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.readers.read(operation).await
    }
}

/// A file whose schema is the present one, for a writer that is not [`Database`]'s.
pub(crate) struct Opened {
    pub path: PathBuf,
    pub connection: Connection,
    /// To be held for as long as the file is in use.
    pub claim: Option<Claim>,
}

/// Opens or creates the file in `directory`.
pub(crate) fn open(directory: &Path, shape: &Shape, durability: Durability) -> Result<Opened, StoreError> {
    let directory = create_directory(directory)?;
    let claim = shape.exclusive.then(|| claim(&directory, shape.file)).transpose()?;
    let path = directory.join(shape.file);
    // Made here so that it is never readable to others; SQLite gives the files beside it the same mode.
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path).map_err(|error| io(&path, &error))?;
    let mut connection = connect(&path, shape.cache_kib, durability)?;
    migrate(&mut connection, &path, shape.migrations)?;
    Ok(Opened { path, connection, claim })
}

fn connect(path: &Path, cache_kib: u32, durability: Durability) -> Result<Connection, StoreError> {
    let synchronous = match durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
    };
    let open = || {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(std::time::Duration::from_secs(10))?;
        connection.set_prepared_statement_cache_capacity(64);
        // A commit is on disk when it is acknowledged: in WAL mode that takes FULL, NORMAL may lose the last ones.
        // The log is folded back every 8,000 pages (32 MiB): pages that change often are then written once for many commits.
        connection.execute_batch(&format!(
            "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; PRAGMA foreign_keys = ON;
             PRAGMA wal_autocheckpoint = 8000; PRAGMA journal_size_limit = 67108864; PRAGMA temp_store = MEMORY;
             PRAGMA cache_size = -{cache_kib}; PRAGMA trusted_schema = OFF;"
        ))?;
        Ok(connection)
    };
    open().map_err(|error| failure(path, &error))
}
