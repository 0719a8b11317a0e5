//! How much may be sent: so many items a second, averaged, with a second's burst.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What a sender may still send. A batch passes while anything is left, whatever its size, and what it takes beyond is owed: no size
/// of batch is shut out, and none sends more in the long run.
#[derive(Default)]
pub struct Allowance(Mutex<Option<(f64, Instant)>>);

impl Allowance {
    /// Whether `items` may be sent at `per_second`; takes them if so.
    pub fn take(&self, items: usize, per_second: NonZeroU32, now: Instant) -> bool {
        let rate = f64::from(per_second.get());
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, at) = state.unwrap_or((rate, now));
        let left = (left + now.saturating_duration_since(at).as_secs_f64() * rate).min(rate);
        let passes = items == 0 || left > 0.0;
        *state = Some((if passes { left - items as f64 } else { left }, now));
        passes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_a_large_batch_takes_is_owed() {
        let (allowance, rate, start) = (Allowance::default(), NonZeroU32::new(10).unwrap(), Instant::now());
        let mut sent = 0;
        // 1,000 items are offered five times a second for 1,000 seconds.
        for step in 0..5_000 {
            if allowance.take(1_000, rate, start + Duration::from_millis(200 * step)) {
                sent += 1_000;
            }
        }
        assert!((10_000..=11_010).contains(&sent), "{sent} items in 1,000 s at 10/s");
        assert!(allowance.take(0, rate, start), "nothing costs nothing");
    }
}
