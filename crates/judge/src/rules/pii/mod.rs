//! Finds personal data by shape and, where there is one, check digit. One small file a kind; what is found is never repeated.
//!
//! A text without an `@` or with hardly any digit is dismissed by a scan at memory speed. Every kind but e-mail is looked for where a
//! run of digits begins, reading a bounded number of bytes from there, so the time is linear in the text whatever it holds.

mod credit_card;
mod email;
mod iban;
mod ip_address;
mod phone;
mod us_ssn;

use crate::spec::PiiKind;

pub(super) struct Pii {
    kinds: Vec<PiiKind>,
}

/// No kind has fewer digits than an IPv4 address.
const DIGITS_MIN: usize = 4;

impl Pii {
    /// `None` where no kind is asked for.
    pub(super) fn open(kinds: &[PiiKind]) -> Option<Self> {
        (!kinds.is_empty()).then(|| Self { kinds: kinds.to_vec() })
    }

    /// The names of all kinds that occur, in the order of the specification. Does not allocate where there are none.
    pub(super) fn kinds_in<'t>(&self, texts: impl Iterator<Item = &'t str>) -> Vec<&'static str> {
        let mut found = 0_u8;
        for text in texts {
            let text = text.as_bytes();
            if self.kinds.contains(&PiiKind::Email) && email::occurs(text) {
                found |= bit(PiiKind::Email);
            }
            if has_digits(text, DIGITS_MIN) {
                found |= self.numbers_in(text);
            }
        }
        self.kinds.iter().filter(|kind| found & bit(**kind) != 0).map(|kind| name(*kind)).collect()
    }

    fn numbers_in(&self, text: &[u8]) -> u8 {
        let mut found = 0;
        let mut at = 0;
        while at < text.len() {
            if !text[at].is_ascii_digit() {
                at += 1;
                continue;
            }
            let length = run(text, at, usize::MAX);
            for kind in &self.kinds {
                // What a number of the kind begins with, as far as it costs nothing to see.
                let here = match kind {
                    PiiKind::Email => false,
                    PiiKind::Phone => phone::stands_at(text, at, length),
                    PiiKind::CreditCard => (length == 4 || length >= 13) && credit_card::stands_at(text, at),
                    PiiKind::Iban => byte_before(text, at, 1).is_ascii_alphabetic() && iban::stands_at(text, at),
                    PiiKind::UsSsn => length == 3 && us_ssn::stands_at(text, at),
                    PiiKind::IpAddress => length <= 3 && byte(text, at + length) == b'.' && ip_address::stands_at(text, at),
                };
                if here {
                    found |= bit(*kind);
                }
            }
            at += length;
        }
        found
    }
}

/// Whether `text` holds `least` digits or more. Counted in bytes, sixteen at a time on any machine of today.
fn has_digits(text: &[u8], least: usize) -> bool {
    let mut count = 0;
    text.chunks(u8::MAX as usize).any(|chunk| {
        count += usize::from(chunk.iter().map(|byte| u8::from(byte.wrapping_sub(b'0') < 10)).sum::<u8>());
        count >= least
    })
}

fn bit(kind: PiiKind) -> u8 {
    1 << kind as u8
}

/// The kind as the configuration spells it.
fn name(kind: PiiKind) -> &'static str {
    match kind {
        PiiKind::Email => "email",
        PiiKind::Phone => "phone",
        PiiKind::CreditCard => "credit_card",
        PiiKind::Iban => "iban",
        PiiKind::UsSsn => "us_ssn",
        PiiKind::IpAddress => "ip_address",
    }
}

/// The byte at `at`, or 0 past the end. Every byte of a character outside ASCII counts as punctuation: scripts that do not put
/// spaces between words put numbers right beside them.
fn byte(text: &[u8], at: usize) -> u8 {
    text.get(at).copied().unwrap_or(0)
}

/// The byte that is `back` before `at`, or 0 before the beginning.
fn byte_before(text: &[u8], at: usize, back: usize) -> u8 {
    at.checked_sub(back).map_or(0, |at| byte(text, at))
}

/// How many digits stand from `at` on, counting at most `most`.
fn run(text: &[u8], at: usize, most: usize) -> usize {
    text.get(at..).map_or(0, |rest| rest.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count())
}

/// Whether the run of digits at `start` is the middle of a word, a decimal or another number with signs in it.
fn continues_before(text: &[u8], start: usize, signs: &[u8]) -> bool {
    let before = byte_before(text, start, 1);
    before.is_ascii_alphanumeric() || (signs.contains(&before) && byte_before(text, start, 2).is_ascii_digit())
}

/// Whether what ends before `end` goes on there.
fn continues_after(text: &[u8], end: usize, signs: &[u8]) -> bool {
    let after = byte(text, end);
    after.is_ascii_alphanumeric() || (signs.contains(&after) && byte(text, end + 1).is_ascii_digit())
}

#[cfg(test)]
mod tests;
