//! Text without what rarely changes its meaning: case, white space, compatibility forms of characters, numbers, dates, ids.
//!
//! Words are never touched, and nor is punctuation, so that a negation, another word or another sign is another text. What stands for
//! something that was taken out is a noncharacter of Unicode (U+FDD0 to U+FDD3, "for internal use"): it is part of no text, and
//! normalising again finds nothing more to do. Time is linear in the length: looking ahead is bounded.

use icu_normalizer::ComposingNormalizerBorrowed;

const NUMBER: char = '\u{fdd0}';
const ID: char = '\u{fdd1}';
const EMAIL: char = '\u{fdd2}';
const DATE: char = '\u{fdd3}';

/// The longest local part of an address (RFC 5321, 4.5.3.1.1), and the longest run of letters and digits that may be an id. Longer
/// ones stay as they are, so that no text can be hidden in them.
const RUN_MAX: usize = 64;

/// `text` in compatibility composition (NFKC), lower case, white space and control characters as single spaces and none at the ends,
/// and with placeholders for e-mail addresses, UUIDs and other ids, dates and numbers. Idempotent. At most 11 times as long.
pub fn normalise(text: &str) -> String {
    replaced(&folded(text))
}

fn folded(text: &str) -> String {
    if text.is_ascii() {
        return spaced(text.chars().map(|c| c.to_ascii_lowercase()), text.len());
    }
    let nfkc = const { ComposingNormalizerBorrowed::new_nfkc() };
    let lower: String = nfkc.normalize(text).chars().flat_map(char::to_lowercase).collect();
    // Once more, as lower case may be decomposed: the capital dotted i.
    spaced(nfkc.normalize(&lower).chars().map(letter), lower.len())
}

/// What NFKC and lower case leave apart: the final sigma, and digits of other scripts.
fn letter(c: char) -> char {
    match c {
        'ς' => 'σ',
        c if !c.is_ascii() && c.is_numeric() => '0',
        c => c,
    }
}

fn spaced(text: impl Iterator<Item = char>, length: usize) -> String {
    let mut out = String::with_capacity(length);
    let mut gap = false;
    for c in text {
        if c.is_whitespace() || c.is_control() {
            gap = true;
            continue;
        }
        if gap && !out.is_empty() {
            out.push(' ');
        }
        gap = false;
        out.push(c);
    }
    out
}

/// Goes through the runs of ASCII letters and digits. Only ASCII is cut at, so every cut is at the boundary of a character.
fn replaced(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = if !bytes[at].is_ascii_alphanumeric() {
            let end = skip(bytes, at, |byte| !byte.is_ascii_alphanumeric());
            out.push_str(&text[at..end]);
            end
        } else if let Some(end) = email(bytes, at) {
            out.push(EMAIL);
            end
        } else if let Some(end) = uuid(bytes, at) {
            out.push(ID);
            end
        } else if let Some(end) = date(bytes, at) {
            out.push(DATE);
            end
        } else if let Some(end) = number(bytes, at) {
            out.push(NUMBER);
            end
        } else {
            let end = skip(bytes, at, |byte| byte.is_ascii_alphanumeric());
            word(&text[at..end], &mut out);
            end
        };
        at = end;
    }
    out
}

/// A run of letters, perhaps with digits among them.
fn word(run: &str, out: &mut String) {
    let bytes = run.as_bytes();
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    let changes = bytes.windows(2).filter(|pair| pair[0].is_ascii_digit() != pair[1].is_ascii_digit()).count();
    let first_digit = bytes.iter().position(u8::is_ascii_digit).unwrap_or(bytes.len());
    let first_letter = bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len());
    if digits == 0 || run.len() > RUN_MAX {
        out.push_str(run);
    } else if run.len() >= 8 && bytes.iter().all(u8::is_ascii_hexdigit) {
        out.push(ID);
    } else if changes == 1 && first_letter > 0 {
        // An amount and its unit: 5kg.
        out.push(NUMBER);
        out.push_str(&run[first_letter..]);
    } else if changes == 1 && digits >= 3 {
        // A word and its number: order12345, but not gpt4.
        out.push_str(&run[..first_digit]);
        out.push(NUMBER);
    } else if changes > 1 && run.len() >= 6 && digits >= 3 {
        out.push(ID);
    } else {
        out.push_str(run);
    }
}

/// The end of a number that begins at `at`: digits, in groups that points or commas part, none of them joined to letters.
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let mut end = digits(bytes, at)?;
    while matches!(bytes.get(end), Some(b'.' | b',')) {
        let Some(group) = digits(bytes, end + 1) else { break };
        end = group;
    }
    Some(end)
}

/// The end of the run at `at`, if it is of digits only.
fn digits(bytes: &[u8], at: usize) -> Option<usize> {
    let end = skip(bytes, at, |byte| byte.is_ascii_digit());
    (end > at && is_end(bytes, end)).then_some(end)
}

/// The end of an e-mail address, or what looks like one, that begins at `at`.
fn email(bytes: &[u8], at: usize) -> Option<usize> {
    let is_local = |byte: &u8| byte.is_ascii_alphanumeric() || b"._%+-".contains(byte);
    let local = bytes[at..].iter().take(RUN_MAX + 1).take_while(|byte| is_local(byte)).count();
    let sign = at + local;
    if local > RUN_MAX || bytes.get(sign) != Some(&b'@') || bytes[sign - 1] == b'.' {
        return None;
    }
    let mut end = label(bytes, sign + 1)?;
    let mut labels = 1;
    while bytes.get(end) == Some(&b'.')
        && let Some(next) = label(bytes, end + 1)
    {
        (end, labels) = (next, labels + 1);
    }
    (labels > 1).then_some(end)
}

/// The end of a part of a host's name that begins at `at`: letters, digits and hyphens, none of these at the ends.
fn label(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at).filter(|byte| byte.is_ascii_alphanumeric())?;
    let end = skip(bytes, at, |byte| byte.is_ascii_alphanumeric() || byte == b'-');
    Some(end - bytes[at..end].iter().rev().take_while(|byte| **byte == b'-').count())
}

/// The end of a UUID that begins at `at`.
fn uuid(bytes: &[u8], at: usize) -> Option<usize> {
    const LENGTH: usize = 36;
    let candidate = bytes.get(at..at + LENGTH)?;
    let fits = |(place, byte): (usize, &u8)| match place {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    (candidate.iter().enumerate().all(fits) && is_end(bytes, at + LENGTH)).then_some(at + LENGTH)
}

/// The end of a date that begins at `at`: 2026-11-24, with a time or without, or 24.11.2026, 11/24/26 and the like.
fn date(bytes: &[u8], at: usize) -> Option<usize> {
    let width = |from: usize, widths: std::ops::RangeInclusive<usize>| {
        let count = bytes.get(from..)?.iter().take(5).take_while(|byte| byte.is_ascii_digit()).count();
        widths.contains(&count).then_some(from + count)
    };
    let sign = |from: usize, sign: u8| (bytes.get(from) == Some(&sign)).then_some(from + 1);
    let first = width(at, 1..=4)?;
    let separator = *bytes.get(first).filter(|byte| b"-/.".contains(byte))?;
    let second = width(first + 1, 1..=2)?;
    let third = sign(second, separator)?;
    let end = match first - at {
        4 => width(third, 1..=2)?,
        1 | 2 => width(third, 2..=4)?,
        _ => return None,
    };
    if let Some(b't' | b' ') = bytes.get(end)
        && let Some(end) = time(bytes, end + 1)
    {
        return Some(end);
    }
    // One group more and it is something else: an address of a network, a version.
    let goes_on = bytes.get(end) == Some(&separator) && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
    (is_end(bytes, end) && !goes_on).then_some(end)
}

/// The end of a time of day that begins at `at`: 09:30, 09:30:00, 09:30:00.250z, 09:30+01:00.
fn time(bytes: &[u8], at: usize) -> Option<usize> {
    let pair = |from: usize| bytes.get(from..from + 2)?.iter().all(u8::is_ascii_digit).then_some(from + 2);
    let sign = |from: usize, signs: &[u8]| bytes.get(from).is_some_and(|byte| signs.contains(byte)).then_some(from + 1);
    let mut end = pair(sign(pair(at)?, b":")?)?;
    if let Some(seconds) = sign(end, b":").and_then(pair) {
        end = seconds;
        if let Some(fraction) = sign(end, b".") {
            let last = skip(bytes, fraction, |byte| byte.is_ascii_digit());
            end = if last > fraction { last } else { end };
        }
    }
    if let Some(zone) = sign(end, b"z") {
        end = zone;
    } else if let Some(zone) = sign(end, b"+-").and_then(pair) {
        end = sign(zone, b":").and_then(pair).or_else(|| pair(zone)).unwrap_or(zone);
    }
    is_end(bytes, end).then_some(end)
}

/// Whether a run of letters and digits cannot go on at `at`.
fn is_end(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).is_none_or(|byte| !byte.is_ascii_alphanumeric())
}

fn skip(bytes: &[u8], at: usize, belongs: impl Fn(u8) -> bool) -> usize {
    at + bytes.get(at..).map_or(0, |rest| rest.iter().take_while(|byte| belongs(**byte)).count())
}

#[cfg(test)]
mod tests;
