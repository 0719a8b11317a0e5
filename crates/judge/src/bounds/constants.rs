//! The tokens of what is the same for all items, counted once.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

/// Sets of questions whose constant part is remembered; the parts of more are counted every time.
const SETS_MAX: usize = 256;

/// Tokens by the set of questions, in ascending order, that a call asks.
#[derive(Debug, Default)]
pub(crate) struct Constants(RwLock<HashMap<Box<[usize]>, u64>>);

impl Constants {
    /// The tokens for the questions `asked`, by `count` unless they are known. `None` where `count` has none.
    pub(crate) fn of(&self, asked: &[usize], count: impl FnOnce() -> Option<u64>) -> Option<u64> {
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(asked) {
            return Some(*known);
        }
        let tokens = count()?;
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() < SETS_MAX {
            known.insert(asked.into(), tokens);
        }
        Some(tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_set_is_counted_once_and_there_is_an_end_to_it() {
        let constants = Constants::default();
        let mut counted = 0;
        for _ in 0..3 {
            for at in 0..SETS_MAX {
                let of = constants.of(&[at, at + 1], || {
                    counted += 1;
                    Some(at as u64)
                });
                assert_eq!(of, Some(at as u64));
            }
        }
        assert_eq!(counted, SETS_MAX);
        assert_eq!(constants.of(&[7], || Some(5)), Some(5));
        assert_eq!(constants.of(&[7], || Some(6)), Some(6), "one too many is not kept");
        assert_eq!(constants.of(&[8], || None), None);
        assert_eq!(constants.0.read().unwrap().len(), SETS_MAX);
    }
}
