//! Telephone numbers that are written as such. Digits alone are not enough: order numbers and timestamps look like that.
//!
//! - international: `+49 30 1234567`, 8 to 15 digits (ITU-T E.164);
//! - North American: `(212) 555-0100`, `212-555-0100`, `212.555.0100`, area and exchange beginning with 2 to 9;
//! - national with a leading zero: `030 1234567`, `0171-2345678`, `01 23 45 67 89`.

use super::{byte, byte_before, continues_after, continues_before, run};

/// `start` is where a run of `length` digits begins.
pub(super) fn stands_at(text: &[u8], start: usize, length: usize) -> bool {
    match byte(text, start) {
        _ if byte_before(text, start, 1) == b'+' => international(text, start),
        b'0' => length <= 5 && national(text, start, length),
        b'2'..=b'9' => length == 3 && north_american(text, start),
        _ => false,
    }
}

fn international(text: &[u8], start: usize) -> bool {
    const DIGITS_MAX: usize = 15;
    if byte(text, start) == b'0' || byte_before(text, start, 2).is_ascii_alphanumeric() {
        return false;
    }
    let mut digits = 0;
    let mut at = start;
    loop {
        let length = run(text, at, DIGITS_MAX + 1);
        digits += length;
        at += length;
        if length == 0 || digits > DIGITS_MAX {
            return false;
        }
        if digits >= 8 && !byte(text, at).is_ascii_alphabetic() {
            return true;
        }
        at += separators(text, at, b" -./()");
    }
}

fn north_american(text: &[u8], start: usize) -> bool {
    let bracket = byte_before(text, start, 1) == b'(';
    // A leading 1 is the country's code, not the end of another number.
    let country = byte_before(text, start, 2) == b'1' && !byte_before(text, start, 3).is_ascii_alphanumeric();
    if continues_before(text, start, b".,-/ ") && !country {
        return false;
    }
    let mut at = start + 3;
    if bracket {
        if byte(text, at) != b')' {
            return false;
        }
        at += 1;
        at += usize::from(byte(text, at) == b' ');
    } else {
        if !matches!(byte(text, at), b'-' | b'.') {
            return false;
        }
        at += 1;
    }
    let second = byte(text, at + 3);
    (b'2'..=b'9').contains(&byte(text, at))
        && run(text, at, 4) == 3
        && (if bracket { matches!(second, b'-' | b'.' | b' ') } else { second == byte(text, start + 3) })
        && run(text, at + 4, 5) == 4
        && !continues_after(text, at + 8, b"-./")
}

fn national(text: &[u8], start: usize, first: usize) -> bool {
    const DIGITS_MAX: usize = 12;
    if !(b'1'..=b'9').contains(&byte(text, start + 1)) || continues_before(text, start, b".,-/: ") {
        return false;
    }
    if first == 2 {
        return five_pairs(text, start);
    }
    let mut at = start + first;
    let mut digits = first;
    while (3..=5).contains(&first) {
        let skip = separators(text, at, b" -/)");
        let length = run(text, at + skip, DIGITS_MAX);
        if skip == 0 || length == 0 {
            return false;
        }
        digits += length;
        at += skip + length;
        if digits > DIGITS_MAX {
            return false;
        }
        if digits >= 9 && !continues_after(text, at, b".:") {
            return true;
        }
    }
    false
}

/// The French way: `01 23 45 67 89`.
fn five_pairs(text: &[u8], start: usize) -> bool {
    let separator = byte(text, start + 2);
    matches!(separator, b' ' | b'.' | b'-')
        && (0..5).all(|pair| run(text, start + 3 * pair, 3) == 2 && (pair == 4 || byte(text, start + 3 * pair + 2) == separator))
        && !continues_after(text, start + 14, b" .-")
}

/// How many of `signs` stand at `at`, counting at most two.
fn separators(text: &[u8], at: usize, signs: &[u8]) -> usize {
    text.get(at..).map_or(0, |rest| rest.iter().take(2).take_while(|byte| signs.contains(byte)).count())
}
