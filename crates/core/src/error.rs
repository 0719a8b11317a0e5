//! The error of every storage port.

/// What kind of failure a backend had: all that callers match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// Too much is waiting already. Try again later; nothing was stored.
    Overloaded,
    /// The disk is full.
    DiskFull,
    /// The store was written by a newer version, or its migrations were changed.
    Schema,
    /// Another process owns the directory.
    Locked,
    /// What was asked for cannot be: a bad cursor, say.
    Invalid,
    /// Anything else: see the message.
    Failed,
}

/// A failure of a storage backend.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// What kind of failure.
    pub kind: StoreErrorKind,
    /// What happened, where, and what to do.
    pub message: String,
}

impl StoreError {
    /// An error of `kind`.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}
