//! US social security numbers: `AAA-GG-SSSS` with hyphens or spaces, without the areas, groups and serials that are never issued
//! (000, 666 and 900 to 999; 00; 0000: Social Security Administration, "SSN randomization").

use super::{byte, continues_after, continues_before};

const LENGTH: usize = "AAA-GG-SSSS".len();

/// `start` is where a run of three digits begins.
pub(super) fn stands_at(text: &[u8], start: usize) -> bool {
    if continues_before(text, start, b".,-/ ") {
        return false;
    }
    let Some(number) = text.get(start..start + LENGTH) else { return false };
    let (area, group, serial) = (&number[..3], &number[4..6], &number[7..]);
    let separator = byte(number, 3);
    matches!(separator, b'-' | b' ')
        && byte(number, 6) == separator
        && group.iter().chain(serial).all(u8::is_ascii_digit)
        && !continues_after(text, start + LENGTH, b".-/ ")
        && area != b"000"
        && area != b"666"
        && area[0] != b'9'
        && group != b"00"
        && serial != b"0000"
}
