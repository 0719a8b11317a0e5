//! Payment card numbers: a known issuer's prefix and length (ISO/IEC 7812) and a valid Luhn check digit; written in one piece or in
//! groups of which the first has four digits.

use super::{byte, continues_after, continues_before, run};

const DIGITS_MAX: usize = 19;

pub(super) fn stands_at(text: &[u8], start: usize) -> bool {
    if !(b'2'..=b'6').contains(&byte(text, start)) || continues_before(text, start, b".,") {
        return false;
    }
    let mut digits = [0_u8; DIGITS_MAX];
    let mut count = 0;
    let mut at = start;
    let mut separator = None;
    loop {
        let length = run(text, at, DIGITS_MAX + 1);
        if count + length > DIGITS_MAX {
            return false;
        }
        for digit in &text[at..at + length] {
            digits[count] = digit - b'0';
            count += 1;
        }
        at += length;
        if is_card(&digits[..count]) && !continues_after(text, at, b".,") {
            return true;
        }
        let next = byte(text, at);
        let grouped = count != length || length == 4;
        if !grouped || !matches!(next, b' ' | b'-') || separator.is_some_and(|other| other != next) || run(text, at + 1, 1) == 0 {
            return false;
        }
        separator = Some(next);
        at += 1;
    }
}

fn is_card(digits: &[u8]) -> bool {
    let prefix = digits.iter().take(4).fold(0_u32, |value, digit| value * 10 + u32::from(*digit));
    let length_fits = match prefix {
        2221..=2720 | 5100..=5599 => digits.len() == 16,
        3400..=3499 | 3700..=3799 => digits.len() == 15,
        3000..=3099 | 3600..=3699 | 3800..=3999 => (14..=19).contains(&digits.len()),
        4000..=4999 => matches!(digits.len(), 13 | 16 | 19),
        3528..=3589 | 6000..=6999 => (16..=19).contains(&digits.len()),
        5000..=5099 | 5600..=5899 => (13..=19).contains(&digits.len()),
        _ => false,
    };
    length_fits && luhn(digits)
}

/// The check of ISO/IEC 7812-1 annex B: from the right, every second digit doubled, digit sums added, divisible by ten.
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| {
            let value = u32::from(*digit) << (index % 2);
            if value > 9 { value - 9 } else { value }
        })
        .sum();
    sum.is_multiple_of(10)
}
