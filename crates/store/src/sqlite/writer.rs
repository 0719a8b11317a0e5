//! Writing: one thread a file, and one durable transaction for all that waits (group commit), since the disk's flush is what
//! costs time and does not cost more for many operations than for one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use assize_core::{StoreError, StoreErrorKind};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::failure;

/// How many operations may wait.
const WAITING_MAX: usize = 1_024;
/// How much memory the waiting operations may hold, by their own account.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// How many operations one transaction takes.
const GROUP_MAX: usize = 256;

/// What an operation does when too much is waiting already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnFull {
    /// Wait for room.
    Wait,
    /// Fail at once with `Overloaded`.
    Refuse,
}

/// What is done to the file, and who wants to know.
trait Operation<S>: Send {
    /// Runs it, perhaps again after what it did was rolled back; what it did may stay in the transaction if this is `Ok`.
    fn run(&mut self, connection: &Connection, state: &mut S) -> Result<(), StoreError>;

    /// Tells the caller, once the transaction is over.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Request<F, T> {
    operation: F,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<S, T, F> Operation<S> for Request<F, T>
where
    T: Send,
    F: Fn(&Connection, &mut S) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, connection: &Connection, state: &mut S) -> Result<(), StoreError> {
        let result = (self.operation)(connection, state);
        let answer = result.as_ref().map(|_| ()).map_err(StoreError::clone);
        self.result = Some(result);
        answer
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let result = match (self.result, committed) {
            (Some(Ok(value)), Ok(())) => Ok(value),
            (Some(Err(error)), _) | (_, Err(error)) => Err(error),
            // Dropping the reply tells the caller that the writer has stopped.
            (None, Ok(())) => return,
        };
        // Nobody listens any more if the caller has gone away; what was committed stays.
        let _ = self.reply.send(result);
    }
}

struct Waiting<S> {
    operation: Box<dyn Operation<S>>,
    bytes: usize,
}

/// The writer of one file. `S` is what the thread remembers between operations; it is thrown away whenever something is rolled
/// back, so that it can never know what the file does not.
pub(crate) struct Writer<S> {
    operations: Option<mpsc::Sender<Waiting<S>>>,
    waiting_bytes: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
}

impl<S: Default + Send + 'static> Writer<S> {
    pub fn start(connection: Connection, path: PathBuf) -> Result<Self, StoreError> {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let (bytes, file) = (waiting_bytes.clone(), path.clone());
        let name = path.file_name().map_or("writer".to_owned(), |name| name.to_string_lossy().into_owned());
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || run(&connection, &file, receiver, &bytes))
            .map_err(|error| StoreError::new(StoreErrorKind::Failed, format!("{}: no thread: {error}", path.display())))?;
        Ok(Self { operations: Some(sender), waiting_bytes, thread: Some(thread), path })
    }

    /// Runs `operation` in the next transaction and returns when that is on disk. It may run twice: see [`commit`].
    pub async fn write<T, F>(&self, bytes: usize, on_full: OnFull, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection, &mut S) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let operation = Box::new(Request { operation, result: None, reply });
        let sender = self.operations.as_ref().ok_or_else(|| self.stopped())?;
        let permit = match on_full {
            OnFull::Wait => sender.reserve().await.map_err(|_| self.stopped())?,
            OnFull::Refuse if self.waiting_bytes.load(Ordering::Relaxed) > WAITING_BYTES_MAX => return Err(self.overloaded()),
            OnFull::Refuse => match sender.try_reserve() {
                Ok(permit) => permit,
                Err(mpsc::error::TrySendError::Full(())) => return Err(self.overloaded()),
                Err(mpsc::error::TrySendError::Closed(())) => return Err(self.stopped()),
            },
        };
        self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        permit.send(Waiting { operation, bytes });
        answer.await.unwrap_or_else(|_| Err(self.stopped()))
    }

    fn overloaded(&self) -> StoreError {
        let message = format!("{}: too much is waiting to be written: try again later", self.path.display());
        StoreError::new(StoreErrorKind::Overloaded, message)
    }

    fn stopped(&self) -> StoreError {
        StoreError::new(StoreErrorKind::Failed, format!("{}: the writer has stopped: restart the process", self.path.display()))
    }
}

impl<S> Drop for Writer<S> {
    fn drop(&mut self) {
        drop(self.operations.take());
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has already answered everyone with an error.
            let _ = thread.join();
        }
    }
}

fn run<S: Default>(
    connection: &Connection,
    path: &Path,
    mut operations: mpsc::Receiver<Waiting<S>>,
    waiting_bytes: &AtomicUsize,
) {
    let mut state = S::default();
    let mut group = Vec::with_capacity(GROUP_MAX);
    while operations.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
        let bytes: usize = group.iter().map(|waiting| waiting.bytes).sum();
        commit(connection, path, &mut state, &mut group);
        waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Savepoints cost a copy of every page that is changed, and operations that fail are rare: so the group is tried without, and only
/// if one fails it is rolled back and run once more, each operation within a savepoint of its own.
fn commit<S: Default>(connection: &Connection, path: &Path, state: &mut S, group: &mut Vec<Waiting<S>>) {
    let mut committed = transact(connection, path, group, |operation| operation.run(connection, state));
    if committed.is_err() {
        *state = S::default();
        if group.len() > 1 {
            committed = transact(connection, path, group, |operation| run_alone(connection, path, state, operation));
        }
    }
    if committed.is_err() {
        *state = S::default();
    }
    for waiting in group.drain(..) {
        waiting.operation.answer(committed.clone());
    }
}

/// One transaction over the group; rolled back at the first error of `run`.
fn transact<S>(
    connection: &Connection,
    path: &Path,
    group: &mut [Waiting<S>],
    mut run: impl FnMut(&mut dyn Operation<S>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let fail = |error: rusqlite::Error| failure(path, &error);
    let begun = execute(connection, "BEGIN IMMEDIATE").map_err(fail);
    let ran = begun.and_then(|()| group.iter_mut().try_for_each(|waiting| run(waiting.operation.as_mut())));
    let committed = ran.and_then(|()| execute(connection, "COMMIT").map_err(fail));
    if committed.is_err() && !connection.is_autocommit() {
        // What cannot be rolled back is left to the next BEGIN, which then fails and says so.
        let _ = execute(connection, "ROLLBACK");
    }
    committed
}

/// Runs one operation so that its failure undoes nothing but itself. Some failures (a full disk) end the whole transaction: that is
/// an error here, nothing of the group is stored, and all are told.
fn run_alone<S: Default>(
    connection: &Connection,
    path: &Path,
    state: &mut S,
    operation: &mut dyn Operation<S>,
) -> Result<(), StoreError> {
    let fail = |error: rusqlite::Error| failure(path, &error);
    execute(connection, "SAVEPOINT operation").map_err(fail)?;
    if let Err(error) = operation.run(connection, state) {
        *state = S::default();
        if connection.is_autocommit() {
            return Err(error);
        }
        execute(connection, "ROLLBACK TO operation").map_err(fail)?;
    }
    execute(connection, "RELEASE operation").map_err(fail)
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn writer() -> (Arc<Writer<u32>>, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (a INTEGER PRIMARY KEY)").unwrap();
        (Arc::new(Writer::start(connection, path).unwrap()), directory)
    }

    fn insert(connection: &Connection, value: i64) -> Result<(), StoreError> {
        let result = connection.execute("INSERT INTO t VALUES (?1)", [value]);
        result.map(|_| ()).map_err(|error| failure(Path::new("test.db"), &error))
    }

    /// Holds the writer until the returned sender is used, so that what is submitted meanwhile becomes one group.
    async fn hold(writer: &Arc<Writer<u32>>) -> std::sync::mpsc::Sender<()> {
        let (release, released) = std::sync::mpsc::channel::<()>();
        let entered = Arc::new(tokio::sync::Notify::new());
        let enter = entered.clone();
        let writer = writer.clone();
        tokio::spawn(async move {
            let operation = move |_: &Connection, _: &mut u32| {
                enter.notify_one();
                released.recv().unwrap();
                Ok(())
            };
            writer.write(WAITING_BYTES_MAX + 1, OnFull::Wait, operation).await.unwrap();
        });
        entered.notified().await;
        release
    }

    async fn sum(writer: &Writer<u32>) -> i64 {
        let sql = "SELECT coalesce(sum(a), 0) FROM t";
        let read = move |connection: &Connection, _: &mut u32| Ok(connection.query_row(sql, [], |row| row.get(0)).unwrap());
        writer.write(0, OnFull::Wait, read).await.unwrap()
    }

    #[tokio::test]
    async fn a_failing_operation_takes_nobody_down() {
        let (writer, _directory) = writer().await;
        let release = hold(&writer).await;
        let good = writer.write(0, OnFull::Wait, |connection, state| {
            *state += 1;
            insert(connection, 1)
        });
        let bad = writer.write(0, OnFull::Wait, |connection, state| {
            *state += 1;
            insert(connection, 2)?;
            insert(connection, 2)
        });
        let after = writer.write(0, OnFull::Wait, |connection, state| insert(connection, 3).map(|()| *state));
        let (good, bad, after, ()) = tokio::join!(good, bad, after, async { release.send(()).unwrap() });
        good.unwrap();
        assert!(bad.is_err());
        assert_eq!(after.unwrap(), 0, "what was remembered is forgotten when something is rolled back");
        assert_eq!(sum(&writer).await, 4);
    }

    #[tokio::test]
    async fn a_lost_transaction_is_told_to_all_of_its_group() {
        let (writer, _directory) = writer().await;
        let release = hold(&writer).await;
        let before = writer.write(0, OnFull::Wait, |connection, _| insert(connection, 1));
        // As SQLite itself does when the disk is full.
        let fatal = writer.write(0, OnFull::Wait, |connection, _| {
            connection.execute_batch("ROLLBACK").unwrap();
            Err::<(), _>(StoreError::new(StoreErrorKind::DiskFull, "full"))
        });
        let after = writer.write(0, OnFull::Wait, |connection, _| insert(connection, 2));
        let (before, fatal, after, ()) = tokio::join!(before, fatal, after, async { release.send(()).unwrap() });
        for result in [before, fatal, after] {
            assert_eq!(result.unwrap_err().kind, StoreErrorKind::DiskFull);
        }
        assert_eq!(sum(&writer).await, 0);
    }

    #[tokio::test]
    async fn too_much_waiting_is_refused() {
        let (writer, _directory) = writer().await;
        let release = hold(&writer).await;
        let refused = writer.write(1, OnFull::Refuse, |connection, _| insert(connection, 1)).await;
        assert_eq!(refused.unwrap_err().kind, StoreErrorKind::Overloaded);
        release.send(()).unwrap();
        assert_eq!(sum(&writer).await, 0);
        writer.write(1, OnFull::Refuse, |connection, _| insert(connection, 1)).await.unwrap();
    }
}
