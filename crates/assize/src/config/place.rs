//! Where in a configuration file something is wrong: the line that a message blames.
//!
//! Messages begin with what they blame, `[table]` or `[[list]] "name"`, and name the key first: `key`, `key[3]:`, `key.part =`.

use std::ops::Range;

/// The line, counted from 1, of the table, entry and key that `message` blames; `None` if it blames none that stands in `text`.
pub fn blamed(text: &str, message: &str) -> Option<usize> {
    let (header, rest) = message.split_once(' ')?;
    let (name, rest) = if header.starts_with("[[") { quoted(rest)? } else { ("", rest) };
    if !header.starts_with('[') || !header.ends_with(']') {
        return None;
    }
    let entries = entries(text, header);
    let named_by = if header == "[[price]]" { "model" } else { "name" };
    let mut named = entries.iter().filter(|entry| name.is_empty() || name_of(text, entry, named_by) == Some(name));
    let entry = if rest.contains("stands twice") { named.nth(1) } else { named.next() }?;
    Some(key(rest).and_then(|key| line_of_key(text, entry, key)).unwrap_or_else(|| line_of_name(text, entry, named_by)))
}

/// The line of `key` in the entry that begins at the line `first`, counted from 1. A key may be a path with points and indexes.
pub fn within(text: &str, first: usize, key: &str) -> Option<usize> {
    line_of_key(text, &extent(text, first.checked_sub(1)?), key)
}

/// The key that `message` names in backticks, or before its first colon or equals sign.
pub fn key(message: &str) -> Option<&str> {
    let message = message.trim_start_matches([':', ' ']);
    if let Some(key) = message.split('`').nth(1) {
        return Some(key);
    }
    let end = message.find([':', '=', ' '])?;
    let key = message.get(..end)?;
    let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.[]".contains(&byte));
    (is_key && message.get(end..)?.trim_start().starts_with([':', '='])).then_some(key)
}

/// The text between the first two quotation marks, and what follows.
fn quoted(text: &str) -> Option<(&str, &str)> {
    text.trim_start().strip_prefix('"')?.split_once('"')
}

/// Lines (from 0) of every table under `header`, subtables included.
fn entries(text: &str, header: &str) -> Vec<Range<usize>> {
    let starts = text.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with(header));
    starts.map(|(at, _)| extent(text, at)).collect()
}

/// From the line `start` (from 0) to the next header that is no subtable of it.
fn extent(text: &str, start: usize) -> Range<usize> {
    let own = text.lines().nth(start).unwrap_or_default().trim_start().trim_start_matches('[');
    let own = own.split([']', '.', ' ']).next().unwrap_or_default();
    let subtables = [format!("[{own}."), format!("[[{own}.")];
    let after = text.lines().enumerate().skip(start + 1);
    let end = after
        .filter(|(_, line)| line.trim_start().starts_with('['))
        .find(|(_, line)| !subtables.iter().any(|header| line.trim_start().starts_with(header.as_str())));
    start..end.map_or(usize::MAX, |(at, _)| at)
}

fn lines<'t>(text: &'t str, range: &Range<usize>) -> impl Iterator<Item = (usize, &'t str)> + use<'t> {
    text.lines().enumerate().take(range.end).skip(range.start)
}

/// What stands after `key =` in this line.
fn value<'t>(line: &'t str, key: &str) -> Option<&'t str> {
    line.trim_start().strip_prefix(key)?.trim_start().strip_prefix('=')
}

fn name_of<'t>(text: &'t str, entry: &Range<usize>, named_by: &str) -> Option<&'t str> {
    lines(text, entry).find_map(|(_, line)| value(line, named_by)).and_then(|value| value.split(['"', '\'']).nth(1))
}

fn line_of_name(text: &str, entry: &Range<usize>, named_by: &str) -> usize {
    let named = lines(text, entry).find(|(_, line)| value(line, named_by).is_some());
    named.map_or(entry.start, |(at, _)| at) + 1
}

fn line_of_key(text: &str, entry: &Range<usize>, key: &str) -> Option<usize> {
    let parts: Vec<&str> = key.split(['.', '[']).map(|part| part.trim_end_matches(']')).collect();
    let mut keys = std::iter::once(key).chain(parts.iter().rev().copied()).filter(|part| !part.is_empty());
    keys.find_map(|part| {
        let begins = lines(text, entry).find(|(_, line)| value(line, part).is_some());
        begins.or_else(|| lines(text, entry).find(|(_, line)| line.split_once(part).is_some_and(|(_, rest)| is_value(rest))))
    })
    .map(|(at, _)| at + 1)
}

/// Whether this is what follows a key, as in an inline table.
fn is_value(rest: &str) -> bool {
    rest.trim_start().starts_with('=')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
[sampling]
rate = 0.1
[[sampling.smart]]
when = { turns_min = 3 }

[[judge]]
name = \"a\"
any_of = [
  \"x\",
]
[[judge]]
  name = 'b'
  any_of = [\"y\"]
[[metric]]
name = \"m\"
sampling = { rate = 2 }
[metric.extra]
needs = 1
[[judge]]
name = \"a\"
";

    #[test]
    fn messages_find_their_line() {
        for (message, line) in [
            ("[sampling] rate = 1.5 is not a probability", 2),
            ("[sampling] something is off", 1),
            ("[sampling] turns_min = 3 is odd", 4),
            ("[[judge]] \"a\": any_of[0]: nothing to look for", 8),
            ("[[judge]] \"b\": any_of: too many", 13),
            ("[[judge]] \"b\": `nosuch` is wrong", 12),
            ("[[judge]] \"a\" stands twice: give one of them another name", 20),
            ("[[metric]] \"m\": sampling.rate = 2 is not a probability", 16),
            ("[[metric]] \"m\": `needs` is wrong", 18),
        ] {
            assert_eq!(blamed(TEXT, message), Some(line), "{message}");
        }
        for message in
            ["there is no metric", "[[judge]] \"c\": any_of: x", "[report] level = 95", "", "[", "[[judge]]", "[[judge]] "]
        {
            assert_eq!(blamed(TEXT, message), None, "{message}");
        }
        assert_eq!(within(TEXT, 11, "any_of"), Some(13));
        assert_eq!(within(TEXT, 0, "any_of"), None);
    }

    #[test]
    fn keys_are_found_in_messages() {
        for (message, expected) in [
            (": any_of[3]: empty", Some("any_of[3]")),
            ("unknown field `x`, expected `y`", Some("x")),
            ("level = 95 is not a level", Some("level")),
            ("invalid type: string", None),
            ("there is nothing", None),
        ] {
            assert_eq!(key(message), expected, "{message}");
        }
    }
}
