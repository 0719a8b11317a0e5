//! Where identifiers come from: a random prefix per process and a counter, so that tests can decide them.

use std::sync::atomic::{AtomicU64, Ordering};

use assize_core::{CallId, InteractionId};

/// Hands out identifiers that no other process hands out.
#[derive(Debug)]
pub struct IdSource {
    prefix: u64,
    next: AtomicU64,
}

impl IdSource {
    /// Identifiers under `prefix`, which must be random outside tests.
    pub fn new(prefix: u64) -> Self {
        Self { prefix, next: AtomicU64::new(1) }
    }

    /// An id for an interaction whose sender gave none.
    pub fn interaction(&self) -> InteractionId {
        // Hexadecimal digits and a dash are always a valid id; the fallback cannot be reached.
        let text = format!("i-{:016x}-{:x}", self.prefix, self.next());
        InteractionId::new(&text).unwrap_or_else(|_| unreachable!("hexadecimal digits are a valid id"))
    }

    /// An id for one attempt at a provider.
    pub fn call(&self) -> CallId {
        CallId(format!("c-{:016x}-{:x}", self.prefix, self.next()))
    }

    /// An id for a draw of what people are asked about.
    pub fn review(&self) -> String {
        format!("r-{:016x}-{:x}", self.prefix, self.next())
    }

    /// A name for a batch: at most 24 letters, digits and underscores, and no other begins with it.
    pub fn marker(&self) -> String {
        format!("az{:016x}_{:05x}", self.prefix, self.next() & 0xf_ffff)
    }

    /// A name for what waits for a batch: at most 35 letters, digits and dashes.
    pub fn member(&self) -> String {
        format!("m-{:016x}-{:x}", self.prefix, self.next())
    }

    fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}
