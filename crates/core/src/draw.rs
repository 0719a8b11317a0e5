//! The draw: one keyed hash per interaction, so that it can be repeated by whoever holds the key and guessed by nobody else.

use crate::RowKey;

/// The secret under which interactions are drawn. It must stay the same for as long as duplicates are recognised.
#[derive(Clone)]
pub struct DrawKey([u8; 32]);

impl DrawKey {
    /// Wraps 32 secret bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The draw that decides what is judged.
    pub fn draw(&self, key: RowKey) -> Draw {
        self.hash(b"draw", key)
    }

    /// An independent draw that decides whose text is kept in reserve.
    pub fn reserve(&self, key: RowKey) -> Draw {
        self.hash(b"keep", key)
    }

    /// An independent draw that chooses a sample among what is on record.
    pub fn sample(&self, key: RowKey) -> Draw {
        self.hash(b"pick", key)
    }

    /// An independent draw that decides what both versions of a judge see.
    pub fn bridge(&self, key: RowKey) -> Draw {
        self.hash(b"both", key)
    }

    /// An independent draw that decides what people are asked to label.
    pub fn review(&self, key: RowKey) -> Draw {
        self.hash(b"revw", key)
    }

    /// Another one, by which what was drawn for people is put in order: an order by [`Self::review`] would tell which share it was
    /// drawn at.
    pub fn place(&self, key: RowKey) -> Draw {
        self.hash(b"plac", key)
    }

    fn hash(&self, purpose: &[u8; 4], key: RowKey) -> Draw {
        let mut message = [0; 20];
        message[..4].copy_from_slice(purpose);
        message[4..].copy_from_slice(&key.0);
        let hash = blake3::keyed_hash(&self.0, &message);
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        // The upper 53 bits: every value is exact in an f64 and below 1.
        Draw((u64::from_le_bytes(first) >> 11) as f64 / (1_u64 << 53) as f64)
    }
}

impl std::fmt::Debug for DrawKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DrawKey(secret)")
    }
}

/// A uniform number in [0, 1) that belongs to an interaction.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Draw(pub f64);

impl Draw {
    /// Whether an item of *cumulative* probability `probability` is drawn. Since every tier compares the same number, tiers are
    /// nested: comparing a conditional probability would be wrong.
    pub fn falls_below(self, probability: f64) -> bool {
        self.0 < probability
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{InteractionId, ProjectName};

    #[test]
    fn draws_are_uniform_repeatable_and_of_two_kinds() {
        let key = DrawKey::new([7; 32]);
        let project = ProjectName::new("p").unwrap();
        let row = |i: u32| RowKey::of(&project, &InteractionId::new(&format!("id-{i}")).unwrap());
        let n = 20_000;
        let share =
            |draw: &dyn Fn(RowKey) -> Draw| (0..n).filter(|&i| draw(row(i)).falls_below(0.1)).count() as f64 / f64::from(n);
        // Five standard errors of a proportion of 0.1 at n = 20,000.
        assert!((share(&|r| key.draw(r)) - 0.1).abs() < 0.0106);
        assert!((share(&|r| key.reserve(r)) - 0.1).abs() < 0.0106);
        let both = (0..n).filter(|&i| key.draw(row(i)).falls_below(0.1) && key.reserve(row(i)).falls_below(0.1)).count();
        assert!((120..=280).contains(&both), "{both}: the two draws depend on each other");
        assert_eq!(key.draw(row(1)), DrawKey::new([7; 32]).draw(row(1)));
        assert_ne!(key.draw(row(1)), DrawKey::new([8; 32]).draw(row(1)));
        assert!(!Draw(0.0).falls_below(0.0) && Draw(0.999_999).falls_below(1.0));
    }
}
