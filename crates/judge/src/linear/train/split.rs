//! Who learns, and who is kept to be asked later.

use std::collections::{HashMap, HashSet};

use super::Example;

/// A part of the examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The weights are fitted on it.
    Training,
    /// It says when to stop.
    Validation,
    /// Calibration and threshold are fitted on it.
    Calibration,
    /// The figures of the card are measured on it.
    Test,
}

/// The share of the groups that goes to each part.
pub const SHARES: [(Part, f64); 4] =
    [(Part::Training, 0.7), (Part::Validation, 0.1), (Part::Calibration, 0.1), (Part::Test, 0.1)];

pub(super) struct Split {
    /// The part of each example; `None` where its words stand in an earlier part already.
    pub(super) parts: Vec<Option<Part>>,
    pub(super) repeated: u64,
}

/// Splits by a keyed hash of the cluster, or of the words where there is none, so that what resembles each other stays together. A text
/// whose words stand in an earlier part as well (under another cluster) is left out of the later one.
pub(super) fn split(examples: &[Example], seed: u64) -> Split {
    let words: Vec<[u8; 32]> = examples.iter().map(|example| words_key(&example.text)).collect();
    let mut parts: Vec<Option<Part>> = examples
        .iter()
        .zip(&words)
        .map(|(example, words)| {
            let group = match &example.cluster {
                Some(cluster) => blake3::hash(cluster.as_bytes()),
                None => blake3::Hash::from_bytes(*words),
            };
            Some(part(seed, &group))
        })
        .collect();
    let mut earliest: HashMap<[u8; 32], Part> = HashMap::new();
    for (part, words) in parts.iter().zip(&words) {
        if let Some(part) = part {
            earliest.entry(*words).and_modify(|known| *known = (*known).min(*part)).or_insert(*part);
        }
    }
    let mut repeated = 0;
    // Within a held-out part the same words count once.
    let mut seen = HashSet::new();
    for (part, words) in parts.iter_mut().zip(&words) {
        let later = part.is_some_and(|part| earliest.get(words).is_some_and(|first| *first < part));
        if later || (*part != Some(Part::Training) && !seen.insert(*words)) {
            *part = None;
            repeated += 1;
        }
    }
    Split { parts, repeated }
}

/// Letters and digits in lower case: what differs in nothing else is the same text.
fn words_key(text: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for c in text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase) {
        hasher.update(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    *hasher.finalize().as_bytes()
}

fn part(seed: u64, group: &blake3::Hash) -> Part {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"linear split").update(&seed.to_le_bytes()).update(group.as_bytes());
    let mut eight = [0; 8];
    hasher.finalize_xof().fill(&mut eight);
    // 53 bits make an exact fraction.
    let mut at = (u64::from_le_bytes(eight) >> 11) as f64 / (1_u64 << 53) as f64;
    for (part, share) in SHARES {
        if at < share {
            return part;
        }
        at -= share;
    }
    Part::Test
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(text: String, cluster: Option<String>) -> Example {
        Example { text, label: 0.0, cluster, source: None }
    }

    #[test]
    fn a_cluster_is_never_torn_apart() {
        let examples: Vec<Example> = (0..4000).map(|n| example(format!("text {n}"), Some(format!("c{}", n / 5)))).collect();
        let split = split(&examples, 1);
        assert_eq!(split.repeated, 0);
        for cluster in split.parts.chunks(5) {
            assert!(cluster.iter().all(|part| *part == cluster[0]));
        }
        for (part, share) in SHARES {
            let count = split.parts.iter().filter(|other| **other == Some(part)).count() as f64;
            assert!((count / 4000.0 - share).abs() < 0.05, "{part:?} {count}");
        }
    }

    #[test]
    fn the_same_words_never_stand_in_two_parts() {
        let mut examples: Vec<Example> = (0..500).map(|n| example(format!("Some text, no. {n}!"), None)).collect();
        examples.extend((0..500).map(|n| example(format!("some TEXT no {n}"), Some(format!("c{n}")))));
        let split = split(&examples, 3);
        assert!(split.repeated > 100);
        for n in 0..500 {
            let (one, other) = (split.parts[n], split.parts[n + 500]);
            assert!(one == other && one == Some(Part::Training) || one.is_none() != other.is_none(), "{one:?} {other:?}");
        }
    }

    #[test]
    fn the_seed_decides() {
        let examples: Vec<Example> = (0..200).map(|n| example(format!("text {n}"), None)).collect();
        assert_eq!(split(&examples, 1).parts, split(&examples, 1).parts);
        assert_ne!(split(&examples, 1).parts, split(&examples, 2).parts);
    }
}
