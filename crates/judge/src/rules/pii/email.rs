//! E-mail addresses in the form that people write: `local@domain.tld`, ASCII, without quotes or comments (a useful part of RFC 5321).

use super::byte;

const LOCAL_BYTES_MAX: usize = 64;
const LABEL_BYTES_MAX: usize = 63;
const DOMAIN_BYTES_MAX: usize = 253;

pub(super) fn occurs(text: &[u8]) -> bool {
    memchr::memchr_iter(b'@', text).any(|at| local_before(text, at) && domain_after(text, at + 1))
}

fn local_before(text: &[u8], at: usize) -> bool {
    let is_local = |byte: &&u8| byte.is_ascii_alphanumeric() || b"._%+-'".contains(byte);
    let before = text.get(..at).unwrap_or_default();
    let length = before.iter().rev().take(LOCAL_BYTES_MAX + 1).take_while(is_local).count();
    (1..=LOCAL_BYTES_MAX).contains(&length)
        && byte(text, at - 1) != b'.'
        && before[at - length..].iter().any(u8::is_ascii_alphanumeric)
}

/// Labels with dots between them; the last has letters only, at least two.
fn domain_after(text: &[u8], start: usize) -> bool {
    let mut at = start;
    let mut labels = 0;
    while at - start <= DOMAIN_BYTES_MAX {
        let rest = text.get(at..).unwrap_or_default();
        let length = rest.iter().take(LABEL_BYTES_MAX + 1).take_while(|b| b.is_ascii_alphanumeric() || **b == b'-').count();
        if !(1..=LABEL_BYTES_MAX).contains(&length) {
            return false;
        }
        let label = &rest[..length];
        labels += 1;
        if labels > 1 && length >= 2 && label.iter().all(u8::is_ascii_alphabetic) {
            return true;
        }
        at += length;
        if label[0] == b'-' || byte(text, at) != b'.' {
            return false;
        }
        at += 1;
    }
    false
}
