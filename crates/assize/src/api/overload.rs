//! When a client that was turned away should come back.

use std::sync::atomic::{AtomicU64, Ordering};

/// Whole seconds from 30 to 60, spread so that exporters turned away together do not come back together.
pub fn retry_after() -> u64 {
    static TURN: AtomicU64 = AtomicU64::new(0);
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    let seed = u64::from(std::process::id()) << 32 ^ turn;
    30 + u64::from(blake3::hash(&seed.to_le_bytes()).as_bytes()[0]) % 31
}

#[cfg(test)]
mod tests {
    #[test]
    fn spread_over_half_a_minute() {
        let waits: std::collections::BTreeSet<u64> = (0..1_000).map(|_| super::retry_after()).collect();
        assert_eq!((waits.first(), waits.last()), (Some(&30), Some(&60)));
    }
}
