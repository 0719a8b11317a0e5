//! Who owns a directory: one process, and in it one opening of each file.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use assize_core::{StoreError, StoreErrorKind};

/// Directories that this process owns: queue and results lie in one directory and share its lock.
static OWNED: LazyLock<Mutex<HashMap<PathBuf, Weak<DirectoryLock>>>> = LazyLock::new(Mutex::default);

struct DirectoryLock {
    /// Locked for as long as it is open.
    _file: File,
    claimed: Mutex<Vec<&'static str>>,
}

/// The right to use one file of a directory; ends when dropped.
pub(crate) struct Claim {
    lock: Arc<DirectoryLock>,
    file: &'static str,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.lock.claimed.lock().unwrap_or_else(PoisonError::into_inner).retain(|file| *file != self.file);
    }
}

/// Creates `directory` where it is missing, readable to its owner only, and returns its real path.
pub(crate) fn create_directory(directory: &Path) -> Result<PathBuf, StoreError> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| io(directory, &error))?;
    directory.canonicalize().map_err(|error| io(directory, &error))
}

/// Claims `file` in `directory` (a real path) for this process.
pub(crate) fn claim(directory: &Path, file: &'static str) -> Result<Claim, StoreError> {
    let mut owned = OWNED.lock().unwrap_or_else(PoisonError::into_inner);
    owned.retain(|_, lock| lock.strong_count() > 0);
    let lock = match owned.get(directory).and_then(Weak::upgrade) {
        Some(lock) => lock,
        None => {
            let lock = Arc::new(DirectoryLock { _file: lock_file(&directory.join("assize.lock"))?, claimed: Mutex::default() });
            owned.insert(directory.to_owned(), Arc::downgrade(&lock));
            lock
        }
    };
    let mut claimed = lock.claimed.lock().unwrap_or_else(PoisonError::into_inner);
    if claimed.contains(&file) {
        let message = format!("{}: already open in this process (pid {})", directory.join(file).display(), std::process::id());
        return Err(StoreError::new(StoreErrorKind::Locked, message));
    }
    claimed.push(file);
    drop(claimed);
    Ok(Claim { lock, file })
}

fn lock_file(path: &Path) -> Result<File, StoreError> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| io(path, &error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // The holder's name is a courtesy: without it the message still says what to do.
            let _ = (&mut file).take(32).read_to_string(&mut holder);
            let holder = holder.trim().parse::<u32>().map_or("another process".to_owned(), |pid| format!("process {pid}"));
            let message = format!("{}: {holder} owns this directory: end it, or choose another directory", path.display());
            return Err(StoreError::new(StoreErrorKind::Locked, message));
        }
        Err(TryLockError::Error(error)) => return Err(io(path, &error)),
    }
    let named = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    named.map_err(|error| io(path, &error))?;
    Ok(file)
}

/// The failure of a plain file operation.
pub(crate) fn io(path: &Path, error: &std::io::Error) -> StoreError {
    let kind = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => StoreErrorKind::DiskFull,
        _ => StoreErrorKind::Failed,
    };
    StoreError::new(kind, format!("{}: {error}: check that the path exists, its owner and its mode", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_told_who_the_first_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap();
        let queue = claim(&path, "queue.db").unwrap();
        let results = claim(&path, "results.db").unwrap();
        let error = claim(&path, "queue.db").err().unwrap();
        assert_eq!(error.kind, StoreErrorKind::Locked);
        // What another process would meet: the lock belongs to the open file, not to the process.
        let error = lock_file(&path.join("assize.lock")).err().unwrap();
        assert_eq!(error.kind, StoreErrorKind::Locked);
        assert!(error.message.contains(&format!("process {}", std::process::id())), "{}", error.message);
        drop(queue);
        claim(&path, "queue.db").unwrap();
        drop(results);
        lock_file(&path.join("assize.lock")).unwrap();
    }
}
