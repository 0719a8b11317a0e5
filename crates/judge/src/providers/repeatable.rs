//! What of a provider's error message may be passed on: it can end in logs, so it must hold neither the key nor judged text, both of
//! which hosts have been seen to repeat.

use memchr::memmem;

const MESSAGE_CHARS_MAX: usize = 300;
/// A shared stretch of this many bytes counts as a quotation.
const QUOTE_BYTES: usize = 16;
/// Below this, hosts do show parts of keys: the vendor's prefix, the last four characters.
const KEY_BYTES: usize = 12;
const CODE_CHARS_MAX: usize = 64;

/// `message` on one line, cut to 300 characters; another text in its place if it repeats a part of `key` or of `judged`.
pub(crate) fn repeatable(message: &str, key: &str, judged: &str) -> String {
    let message: String = message.trim().chars().take(MESSAGE_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if shares(&message, key, KEY_BYTES.min(key.len())) {
        "(its message repeats the API key and is left out)".to_owned()
    } else if shares(&message, judged, QUOTE_BYTES) {
        "(its message repeats judged text and is left out)".to_owned()
    } else {
        message
    }
}

/// `text` if it can only be a code for an error: letters, digits and underscores, 64 at the most.
pub(super) fn code(text: &str) -> Option<&str> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (plain && !text.is_empty() && text.len() <= CODE_CHARS_MAX).then_some(text)
}

fn shares(message: &str, text: &str, bytes: usize) -> bool {
    bytes > 0 && message.as_bytes().windows(bytes).any(|window| memmem::find(text.as_bytes(), window).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_key_nor_judged_text_is_repeated() {
        let judged = "<input-0123>\nMy card is 4111 1111 1111 1111, please\n</input-0123>";
        assert_eq!(repeatable("model not found\n", "sk-secret-123456", judged), "model not found");
        assert!(repeatable("bad key sk-secret-123456.", "sk-secret-123456", judged).contains("left out"));
        assert!(repeatable("bad key short", "short", judged).contains("left out"));
        assert!(repeatable("invalid input: 'card is 4111 1111 1111 11'", "sk-secret-123456", judged).contains("left out"));
        assert_eq!(repeatable("bad key sk-****3456", "sk-secret-123456", judged), "bad key sk-****3456");
        assert_eq!(repeatable("no key", "", ""), "no key");
    }

    #[test]
    fn a_code_is_no_sentence() {
        assert_eq!(code("RESOURCE_EXHAUSTED"), Some("RESOURCE_EXHAUSTED"));
        for text in ["", "My card is 4111", "sk-secret", "é", &"x".repeat(65)] {
            assert_eq!(code(text), None, "{text}");
        }
    }

    #[test]
    fn long_messages_are_cut_and_stay_on_one_line() {
        let message = repeatable(&"é\n".repeat(1000), "", "");
        assert_eq!(message.chars().count(), MESSAGE_CHARS_MAX);
        assert!(!message.contains('\n'));
    }
}
