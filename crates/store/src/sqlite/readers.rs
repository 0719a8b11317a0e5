//! Reading: a few connections that cannot write, on threads that may block.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use assize_core::{StoreError, StoreErrorKind};
use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use super::failure;

/// How many reads run at a time on one file.
const CONNECTIONS_MAX: usize = 4;

/// The reading connections of a file.
pub(crate) struct Readers {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub fn new(path: PathBuf) -> Self {
        Self { inner: Arc::new(Inner { path, idle: Mutex::default(), permits: Arc::new(Semaphore::new(CONNECTIONS_MAX)) }) }
    }

    /// Runs `operation` on one snapshot, as soon as a connection is free.
    pub async fn read<T, F>(&self, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let inner = self.inner.clone();
        let permit = inner.permits.clone().acquire_owned().await.map_err(|_| stopped(&inner))?;
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            inner.run(operation)
        });
        match task.await {
            Ok(result) => result,
            Err(_) => Err(stopped(&self.inner)),
        }
    }
}

impl Inner {
    fn run<T>(&self, operation: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let fail = |error: rusqlite::Error| failure(&self.path, &error);
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connect(&self.path).map_err(fail)?,
        };
        connection.execute_batch("BEGIN").map_err(fail)?;
        let result = operation(&connection);
        // A connection that cannot end its transaction is closed instead of used again.
        if connection.execute_batch("COMMIT").is_ok() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
        result
    }
}

fn connect(path: &std::path::Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -2048; PRAGMA temp_store = MEMORY;")?;
    Ok(connection)
}

fn stopped(inner: &Inner) -> StoreError {
    StoreError::new(
        StoreErrorKind::Failed,
        format!("{}: the read was broken off, as the process is ending", inner.path.display()),
    )
}
