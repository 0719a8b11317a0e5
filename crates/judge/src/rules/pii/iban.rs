//! International bank account numbers (ISO 13616): the length that the country prescribes and a remainder of 1 modulo 97.

use super::{byte, byte_before};

/// Countries and the length of their numbers, from the IBAN registry.
#[rustfmt::skip]
const LENGTHS: &[(&[u8; 2], u8)] = &[
    (b"AD", 24), (b"AE", 23), (b"AL", 28), (b"AT", 20), (b"AZ", 28), (b"BA", 20), (b"BE", 16), (b"BG", 22), (b"BH", 22),
    (b"BR", 29), (b"BY", 28), (b"CH", 21), (b"CR", 22), (b"CY", 28), (b"CZ", 24), (b"DE", 22), (b"DK", 18), (b"DO", 28),
    (b"EE", 20), (b"EG", 29), (b"ES", 24), (b"FI", 18), (b"FO", 18), (b"FR", 27), (b"GB", 22), (b"GE", 22), (b"GI", 23),
    (b"GL", 18), (b"GR", 27), (b"GT", 28), (b"HR", 21), (b"HU", 28), (b"IE", 22), (b"IL", 23), (b"IQ", 23), (b"IS", 26),
    (b"IT", 27), (b"JO", 30), (b"KW", 30), (b"KZ", 20), (b"LB", 28), (b"LC", 32), (b"LI", 21), (b"LT", 20), (b"LU", 20),
    (b"LV", 21), (b"MC", 27), (b"MD", 24), (b"ME", 22), (b"MK", 19), (b"MR", 27), (b"MT", 31), (b"MU", 30), (b"NL", 18),
    (b"NO", 15), (b"PK", 24), (b"PL", 28), (b"PS", 29), (b"PT", 25), (b"QA", 29), (b"RO", 24), (b"RS", 22), (b"SA", 24),
    (b"SC", 31), (b"SE", 24), (b"SI", 19), (b"SK", 24), (b"SM", 27), (b"ST", 25), (b"SV", 28), (b"TL", 23), (b"TN", 24),
    (b"TR", 26), (b"UA", 29), (b"VA", 22), (b"VG", 24), (b"XK", 20),
];

/// `start` is where the two check digits begin, after the country's letters.
pub(super) fn stands_at(text: &[u8], start: usize) -> bool {
    let country = [2, 1].map(|back| byte_before(text, start, back).to_ascii_uppercase());
    if byte_before(text, start, 3).is_ascii_alphanumeric() || !byte(text, start + 1).is_ascii_digit() {
        return false;
    }
    let Ok(found) = LENGTHS.binary_search_by(|(code, _)| code.as_slice().cmp(country.as_slice())) else { return false };
    let length = usize::from(LENGTHS[found].1);

    // The number is read from its fifth character on, then its first four: country and check digits.
    let mut remainder = 0;
    let mut at = start + 2;
    for _ in 4..length {
        if matches!(byte(text, at), b' ' | b'-') {
            at += 1;
        }
        let next = byte(text, at);
        if !next.is_ascii_alphanumeric() {
            return false;
        }
        remainder = with(remainder, next);
        at += 1;
    }
    let head = [country[0], country[1], byte(text, start), byte(text, start + 1)];
    !byte(text, at).is_ascii_alphanumeric() && head.into_iter().fold(remainder, with) == 1
}

/// The remainder modulo 97 after one more character; letters count from A = 10.
fn with(remainder: u32, next: u8) -> u32 {
    match next.to_ascii_uppercase() {
        digit @ b'0'..=b'9' => (remainder * 10 + u32::from(digit - b'0')) % 97,
        letter => (remainder * 100 + u32::from(letter.wrapping_sub(b'A')) + 10) % 97,
    }
}
