//! IPv4 addresses: four numbers from 0 to 255 without leading zeros, dots between them. A version number with four parts looks the
//! same; with a letter before it (`v1.2.3.4`) it is told apart.

use super::{byte, byte_before, continues_after, run};

pub(super) fn stands_at(text: &[u8], start: usize) -> bool {
    let before = byte_before(text, start, 1);
    if before.is_ascii_alphanumeric() || before == b'.' {
        return false;
    }
    let mut at = start;
    for part in 0..4 {
        if part > 0 {
            if byte(text, at) != b'.' {
                return false;
            }
            at += 1;
        }
        let length = run(text, at, 4);
        let value = text[at..at + length].iter().fold(0_u32, |value, digit| value * 10 + u32::from(digit - b'0'));
        if !(1..=3).contains(&length) || value > 255 || (length > 1 && byte(text, at) == b'0') {
            return false;
        }
        at += length;
    }
    !continues_after(text, at, b".")
}
