//! Names and identifiers, validated once where they enter.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a name or an id was refused. The text says what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A name that is empty, too long, or holds a character outside `[A-Za-z0-9._-]`.
    #[error(
        "{kind} name {given:?} is not valid: use 1 to 64 of the characters A-Z a-z 0-9 . _ -, beginning with a letter or digit"
    )]
    Name {
        /// Which kind of name was meant, such as `project`.
        kind: &'static str,
        /// What was given, cut to 80 characters.
        given: String,
    },
    /// An interaction id that is empty, too long, or holds control characters.
    #[error("id is not valid: use 1 to 256 bytes without control characters")]
    Id,
}

const NAME_BYTES_MAX: usize = 64;
const ID_BYTES_MAX: usize = 256;

fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    !bytes.is_empty()
        && bytes.len() <= NAME_BYTES_MAX
        && bytes[0].is_ascii_alphanumeric()
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// Validates: 1 to 64 of `[A-Za-z0-9._-]`, beginning with a letter or digit.
            pub fn new(text: &str) -> Result<Self, NameError> {
                if is_name(text) {
                    Ok(Self(Arc::from(text)))
                } else {
                    Err(NameError::Name { kind: $kind, given: text.chars().take(80).collect() })
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl std::str::FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0.to_string()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// Who pays: the unit of budget and of ingestion control.
    TenantName, "tenant"
);
name!(
    /// What is judged: the unit of metrics and of isolation.
    ProjectName, "project"
);
name!(
    /// A question about an interaction, scored in [0, 1].
    MetricName, "metric"
);
name!(
    /// A judge as the configuration names it.
    JudgeName, "judge"
);
name!(
    /// A provider as the configuration names it.
    ProviderName, "provider"
);
name!(
    /// What a piece of an end user's feedback is about, such as `thumbs`.
    ScoreName, "score"
);

name!(
    /// A target of results as the configuration names it.
    ExportName, "export"
);

impl TenantName {
    /// The tenant of a project of which nobody said who pays: named like it.
    pub fn of_project(project: &ProjectName) -> Self {
        Self(Arc::clone(&project.0))
    }
}

/// The sender's identifier of an interaction, unique within its project.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InteractionId(Box<str>);

impl InteractionId {
    /// Validates: 1 to 256 bytes, no control characters.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() || text.len() > ID_BYTES_MAX || text.chars().any(char::is_control) {
            return Err(NameError::Id);
        }
        Ok(Self(text.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The trace and the span that it names, if it is that of a span: `<trace id hex>-<span id hex>`, neither zero.
    pub fn span(&self) -> Option<([u8; 16], [u8; 8])> {
        let (trace, span) = self.0.split_once('-')?;
        Some((bytes(trace)?, bytes(span)?))
    }
}

/// The bytes that lower-case hexadecimal digits stand for, if they are exactly so many and not all zero.
fn bytes<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    bytes.iter().any(|byte| *byte != 0).then_some(bytes)
}

impl TryFrom<String> for InteractionId {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(&text)
    }
}

impl From<InteractionId> for String {
    fn from(id: InteractionId) -> String {
        id.0.into()
    }
}

impl fmt::Display for InteractionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The key of an interaction in every store: 128 bits of BLAKE3 over project and id, so that rows are small and of one size.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowKey(pub [u8; 16]);

impl RowKey {
    /// The key of `id` within `project`.
    pub fn of(project: &ProjectName, id: &InteractionId) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(project.as_str().as_bytes());
        hasher.update(&[0]);
        hasher.update(id.as_str().as_bytes());
        let mut key = [0; 16];
        key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(key)
    }
}

impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

macro_rules! digest {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(Arc<str>);

        impl $type {
            /// The first 64 bits of the BLAKE3 digest of `parts`, each preceded by its length, as 16 hexadecimal digits.
            pub fn of(parts: &[&[u8]]) -> Self {
                let mut hasher = blake3::Hasher::new();
                for part in parts {
                    hasher.update(&(part.len() as u64).to_le_bytes());
                    hasher.update(part);
                }
                Self(Arc::from(&hasher.finalize().to_hex()[..16]))
            }

            /// Wraps a digest that was computed and stored before.
            pub fn from_stored(text: &str) -> Self {
                Self(Arc::from(text))
            }

            /// The digest as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

digest!(
    /// Hash of all that decides a judge's answer: prompt, question, model and parameters. Verdicts of two versions are never pooled.
    JudgeVersion
);
digest!(
    /// Hash of a project's policy: metrics, cascades, sampling and dimensions, as frozen on an item at accept.
    PolicyVersion
);

/// One paid attempt, whatever becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["default", "a", "0", "gpt-4o-2024-05-13", "A_b.c"] {
            assert!(ProjectName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a b", "é", "a/b", &"x".repeat(65)] {
            assert!(ProjectName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_do_not_collide_across_the_boundary_of_project_and_id() {
        let key = |p: &str, i: &str| RowKey::of(&ProjectName::new(p).unwrap(), &InteractionId::new(i).unwrap());
        assert_ne!(key("a", "bc"), key("ab", "c"));
        assert_eq!(key("a", "b"), key("a", "b"));
    }

    #[test]
    fn the_id_of_a_span_names_it() {
        let span = |text: &str| InteractionId::new(text).unwrap().span();
        let mut trace = [0x11; 16];
        trace[0] = 0x0a;
        assert_eq!(span("0a111111111111111111111111111111-00000000000000ff"), Some((trace, [0, 0, 0, 0, 0, 0, 0, 255])));
        for other in [
            "order-1042",
            "0a111111111111111111111111111111",
            "0A111111111111111111111111111111-00000000000000ff",
            "0a111111111111111111111111111111-00000000000000f",
            "0a111111111111111111111111111111-00000000000000ff0",
            "0a11111111111111111111111111111-000000000000000ff",
            "00000000000000000000000000000000-00000000000000ff",
            "0a111111111111111111111111111111-0000000000000000",
            "0a1111111111111111111111111111é-00000000000000ff",
        ] {
            assert_eq!(span(other), None, "{other}");
        }
    }

    #[test]
    fn a_digest_depends_on_where_its_parts_end() {
        assert_ne!(JudgeVersion::of(&[b"ab", b"c"]), JudgeVersion::of(&[b"a", b"bc"]));
        assert_eq!(JudgeVersion::of(&[b"a"]).as_str().len(), 16);
    }
}
