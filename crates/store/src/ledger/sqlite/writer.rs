//! The one thread that writes: it gathers what callers want (group commit), and answers when that is on disk.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use assize_core::ledger::{Adjustment, Balance, BalanceOf, CallCost, Cap, Grant, Reservation, Settled};
use assize_core::{StoreError, StoreErrorKind, Timestamp};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::tables::SqliteDisk;
use crate::ledger::machine::{Limits, Machine};
use crate::sqlite::failure;

/// How many operations may wait; more of them wait for room.
const WAITING_MAX: usize = 8_192;
/// How many of them one transaction takes.
const GROUP_MAX: usize = 4_096;
/// How long the file is left to other processes after each transaction while there are any: SQLite wakes nobody, and who waits looks
/// again after a millisecond or more.
const TURN: Duration = Duration::from_millis(1);

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What a caller wants.
pub(super) enum Operation {
    Reserve(Reservation, Vec<Cap>, Reply<Grant>),
    Settle(Vec<CallCost>, Reply<Vec<Settled>>),
    Expire(Timestamp, Reply<(u64, bool)>),
    Adjust(Box<Adjustment>, Reply<bool>),
    Balances(Vec<BalanceOf>, Reply<Vec<Balance>>),
    /// The tables are to take in the journal.
    Fold(Reply<()>),
}

/// What a caller is told once the transaction is over.
enum Answer {
    Reserve(Reply<Grant>, Grant),
    Settle(Reply<Vec<Settled>>, Vec<Settled>),
    Expire(Reply<(u64, bool)>, (u64, bool)),
    Adjust(Reply<bool>, bool),
    Balances(Reply<Vec<Balance>>, Vec<Balance>),
    Fold(Reply<()>),
}

impl Operation {
    /// Decides it in `machine`. On an error the caller is told, and the transaction cannot be committed.
    fn run(self, machine: &mut Machine, disk: &mut SqliteDisk<'_>) -> Result<Answer, StoreError> {
        fn told<T>(
            reply: Reply<T>,
            result: Result<T, StoreError>,
            answer: fn(Reply<T>, T) -> Answer,
        ) -> Result<Answer, StoreError> {
            match result {
                Ok(value) => Ok(answer(reply, value)),
                Err(error) => {
                    // Nobody listens any more if the caller has gone away.
                    let _ = reply.send(Err(error.clone()));
                    Err(error)
                }
            }
        }
        match self {
            Self::Reserve(reservation, caps, reply) => told(reply, machine.reserve(disk, reservation, &caps), Answer::Reserve),
            Self::Settle(costs, reply) => {
                told(reply, costs.into_iter().map(|cost| machine.settle(disk, cost)).collect(), Answer::Settle)
            }
            Self::Expire(now, reply) => told(reply, machine.expire(disk, now), Answer::Expire),
            Self::Adjust(adjustment, reply) => told(reply, machine.adjust(disk, *adjustment), Answer::Adjust),
            Self::Balances(of, reply) => told(reply, machine.balances(disk, &of), Answer::Balances),
            Self::Fold(reply) => told(reply, machine.fold(disk), |reply, ()| Answer::Fold(reply)),
        }
    }

    fn refuse(self, error: &StoreError) {
        match self {
            Self::Reserve(.., reply) => drop(reply.send(Err(error.clone()))),
            Self::Settle(_, reply) => drop(reply.send(Err(error.clone()))),
            Self::Expire(_, reply) => drop(reply.send(Err(error.clone()))),
            Self::Adjust(_, reply) => drop(reply.send(Err(error.clone()))),
            Self::Balances(_, reply) => drop(reply.send(Err(error.clone()))),
            Self::Fold(reply) => drop(reply.send(Err(error.clone()))),
        }
    }

    /// Whether nobody waits for the answer any more. Money is not set aside for who has gone away.
    fn is_abandoned(&self) -> bool {
        matches!(self, Self::Reserve(.., reply) if reply.is_closed())
    }

    fn only_reads(&self) -> bool {
        matches!(self, Self::Balances(..))
    }
}

impl Answer {
    fn tell(self, committed: &Result<(), StoreError>) {
        // Nobody listens any more if the caller has gone away; what was committed stays.
        match self {
            Self::Reserve(reply, grant) => drop(reply.send(committed.clone().map(|()| grant))),
            Self::Settle(reply, settled) => drop(reply.send(committed.clone().map(|()| settled))),
            Self::Expire(reply, expired) => drop(reply.send(committed.clone().map(|()| expired))),
            Self::Adjust(reply, is_new) => drop(reply.send(committed.clone().map(|()| is_new))),
            Self::Balances(reply, balances) => drop(reply.send(committed.clone().map(|()| balances))),
            Self::Fold(reply) => drop(reply.send(committed.clone())),
        }
    }
}

/// The writer. Dropping it waits for what is being written.
pub(super) struct Writer {
    operations: Option<mpsc::Sender<Operation>>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
}

impl Writer {
    pub fn start(connection: Connection, path: PathBuf, limits: Limits) -> Result<Self, StoreError> {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let file = path.clone();
        let thread = std::thread::Builder::new()
            .name("ledger.db".to_owned())
            .spawn(move || run(&connection, &file, receiver, limits))
            .map_err(|error| StoreError::new(StoreErrorKind::Failed, format!("{}: no thread: {error}", path.display())))?;
        Ok(Self { operations: Some(sender), thread: Some(thread), path })
    }

    /// Has an operation done in the next transaction, and returns when that is on disk.
    pub async fn ask<T>(&self, operation: impl FnOnce(Reply<T>) -> Operation) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let sender = self.operations.as_ref().ok_or_else(|| self.stopped())?;
        sender.send(operation(reply)).await.map_err(|_| self.stopped())?;
        answer.await.unwrap_or_else(|_| Err(self.stopped()))
    }

    fn stopped(&self) -> StoreError {
        let message = format!("{}: the writer has stopped: restart the process", self.path.display());
        StoreError::new(StoreErrorKind::Failed, message)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.operations.take());
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has dropped every reply, which tells the callers.
            let _ = thread.join();
        }
    }
}

fn run(connection: &Connection, path: &Path, mut operations: mpsc::Receiver<Operation>, limits: Limits) {
    let mut machine = Machine::new(limits);
    let mut group = Vec::with_capacity(GROUP_MAX);
    let mut answers = Vec::with_capacity(GROUP_MAX);
    while operations.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
        group.retain(|operation| !operation.is_abandoned());
        let committed = transact(connection, path, &mut machine, &mut group, &mut answers);
        let (committed, others) = match committed {
            Ok(others) => (Ok(()), others),
            Err(error) => {
                // What it knows may be what was rolled back.
                machine = Machine::new(limits);
                (Err(error), false)
            }
        };
        answers.drain(..).for_each(|answer: Answer| answer.tell(&committed));
        if others {
            std::thread::sleep(TURN);
        }
    }
}

/// One transaction over the group. Whether another process has written since the last one.
fn transact(
    connection: &Connection,
    path: &Path,
    machine: &mut Machine,
    group: &mut Vec<Operation>,
    answers: &mut Vec<Answer>,
) -> Result<bool, StoreError> {
    let only_reads = group.iter().all(Operation::only_reads);
    let decided = decide(connection, path, machine, group, answers, only_reads);
    if let Err(error) = &decided {
        group.drain(..).for_each(|operation| operation.refuse(error));
    }
    let fail = |error: rusqlite::Error| failure(path, &error);
    let committed = decided.and_then(|others| execute(connection, "COMMIT").map(|()| others).map_err(fail));
    if committed.is_err() && !connection.is_autocommit() {
        // What cannot be rolled back is left to the next BEGIN, which then fails and says so.
        let _ = execute(connection, "ROLLBACK");
    }
    committed
}

fn decide(
    connection: &Connection,
    path: &Path,
    machine: &mut Machine,
    group: &mut Vec<Operation>,
    answers: &mut Vec<Answer>,
    only_reads: bool,
) -> Result<bool, StoreError> {
    // Who will write says so at the beginning: what others wrote until then is seen, and nobody writes before the end.
    execute(connection, if only_reads { "BEGIN" } else { "BEGIN IMMEDIATE" }).map_err(|error| failure(path, &error))?;
    let disk = &mut SqliteDisk { connection, path };
    let others = machine.catch_up(disk)?;
    for operation in group.drain(..) {
        answers.push(operation.run(machine, disk)?);
    }
    if !only_reads {
        machine.finish(disk)?;
    }
    Ok(others)
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}
