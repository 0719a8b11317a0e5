//! The small row as bytes: compact, exact (a score read back is the same number), and marked with the form it was written in, so
//! that older forms stay readable.
//!
//! Form 1: the byte 1, then the fields in the order of [`encode`]. Text is its length and its bytes; counts and lengths are LEB128;
//! times and scores are 8 bytes, little-endian.

use assize_core::{
    Accepted, Decision, DecisionState, Dimension, Features, Flags, InteractionId, JudgeName, JudgeVersion, MetricName, Outcome,
    PolicyVersion, ProjectName, Reason, RowKey, TierScore, Timestamp,
};

const FORM: u8 = 1;

/// The row as bytes.
pub(crate) fn encode(row: &Accepted) -> Vec<u8> {
    let mut out = Out(Vec::with_capacity(320));
    out.byte(FORM);
    out.0.extend_from_slice(&row.key.0);
    out.text(row.project.as_str());
    out.text(row.id.as_str());
    out.fixed(row.time.0.to_le_bytes());
    out.fixed(row.accepted_at.0.to_le_bytes());
    out.option(row.conversation_id.as_deref(), Out::text);
    out.count(row.dimensions.len() as u64);
    for (dimension, value) in &row.dimensions {
        match dimension {
            Dimension::Model => out.byte(0),
            Dimension::PromptVersion => out.byte(1),
            Dimension::Environment => out.byte(2),
            Dimension::Tag(tag) => {
                out.byte(3);
                out.text(tag);
            }
        }
        out.text(value);
    }
    let Features { chars, turns, has_context, has_tools } = row.features;
    out.count(u64::from(chars));
    out.count(u64::from(turns));
    let Flags { time_replaced, truncated, no_content } = row.flags;
    let bits = [has_context, has_tools, time_replaced, truncated, no_content];
    out.byte(bits.iter().rev().fold(0, |byte, &bit| byte << 1 | u8::from(bit)));
    out.text(row.policy.as_str());
    out.count(row.decisions.len() as u64);
    for decision in &row.decisions {
        out.text(decision.metric.as_str());
        out.count(decision.scores.len() as u64);
        for TierScore { judge, score, reason } in &decision.scores {
            out.text(judge.as_str());
            out.fixed(score.to_le_bytes());
            out.text(reason);
        }
        out.fixed(decision.probability.to_le_bytes());
        out.text(decision.reference.as_str());
        match &decision.state {
            DecisionState::Drawn => out.byte(0),
            DecisionState::Closed(outcome, reason) => {
                out.byte(outcome_code(*outcome));
                out.option(reason.as_ref(), |out, reason| {
                    out.text(&reason.code);
                    out.text(&reason.message);
                });
            }
        }
    }
    out.0
}

/// The row that `bytes` stand for; `None` if they are not what [`encode`] of this or an earlier version wrote.
pub(crate) fn decode(bytes: &[u8]) -> Option<Accepted> {
    let mut from = In(bytes);
    if from.byte()? != FORM {
        return None;
    }
    let key = RowKey(from.fixed()?);
    let project = ProjectName::new(from.text()?).ok()?;
    let id = InteractionId::new(from.text()?).ok()?;
    let time = Timestamp(i64::from_le_bytes(from.fixed()?));
    let accepted_at = Timestamp(i64::from_le_bytes(from.fixed()?));
    let conversation_id = from.option(|from| from.text().map(str::to_owned))?;
    let dimensions = from.list(|from| {
        let dimension = match from.byte()? {
            0 => Dimension::Model,
            1 => Dimension::PromptVersion,
            2 => Dimension::Environment,
            3 => Dimension::Tag(from.text()?.to_owned()),
            _ => return None,
        };
        Some((dimension, from.text()?.to_owned()))
    })?;
    let chars = u32::try_from(from.count()?).ok()?;
    let turns = u32::try_from(from.count()?).ok()?;
    let bits = from.byte()?;
    let bit = |position: u8| bits >> position & 1 == 1;
    let features = Features { chars, turns, has_context: bit(0), has_tools: bit(1) };
    let flags = Flags { time_replaced: bit(2), truncated: bit(3), no_content: bit(4) };
    let policy = PolicyVersion::from_stored(from.text()?);
    let decisions = from.list(decision)?;
    from.0.is_empty().then_some(())?;
    Some(Accepted { key, project, id, time, accepted_at, conversation_id, dimensions, features, flags, policy, decisions })
}

fn decision(from: &mut In<'_>) -> Option<Decision> {
    let metric = MetricName::new(from.text()?).ok()?;
    let scores = from.list(|from| {
        let judge = JudgeName::new(from.text()?).ok()?;
        let score = f64::from_le_bytes(from.fixed()?);
        Some(TierScore { judge, score, reason: from.text()?.to_owned() })
    })?;
    let probability = f64::from_le_bytes(from.fixed()?);
    let reference = JudgeVersion::from_stored(from.text()?);
    let state = match from.byte()? {
        0 => DecisionState::Drawn,
        code => {
            let outcome = outcome_of(code)?;
            let reason = from.option(|from| {
                let code = from.text()?.to_owned().into();
                Some(Reason { code, message: from.text()?.to_owned() })
            })?;
            DecisionState::Closed(outcome, reason)
        }
    };
    Some(Decision { metric, scores, probability, reference, state })
}

/// Codes are stored: they never change.
fn outcome_code(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Judged => 1,
        Outcome::Reused => 2,
        Outcome::NotSampled => 3,
        Outcome::OverBudget => 4,
        Outcome::JudgeFailed => 5,
        Outcome::NoContent => 6,
        Outcome::Expired => 7,
        Outcome::Dropped => 8,
    }
}

fn outcome_of(code: u8) -> Option<Outcome> {
    Outcome::ALL.into_iter().find(|outcome| outcome_code(*outcome) == code)
}

/// Bytes as they are written.
pub(crate) struct Out(pub Vec<u8>);

impl Out {
    pub fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub fn fixed(&mut self, bytes: [u8; 8]) {
        self.0.extend_from_slice(&bytes);
    }

    pub fn count(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub fn text(&mut self, text: &str) {
        self.count(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    pub fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.byte(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }
}

/// Bytes that are still to be read.
pub(crate) struct In<'a>(pub &'a [u8]);

impl<'a> In<'a> {
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    pub fn count(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    pub fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.count()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    pub fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.byte()? {
            0 => Some(None),
            1 => Some(Some(read(self)?)),
            _ => None,
        }
    }

    pub fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let length = usize::try_from(self.count()?).ok()?;
        // Every item takes a byte at least, so that a damaged length cannot ask for more memory than there is text.
        if length > self.0.len() {
            return None;
        }
        (0..length).map(|_| read(self)).collect()
    }
}

#[cfg(test)]
mod tests {
    use assize_testkit::samples;
    use proptest::prelude::*;

    use super::*;

    fn full() -> Accepted {
        let mut row = samples::row("default", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", Timestamp(-1));
        row.conversation_id = Some("Gespräch".to_owned());
        row.dimensions = vec![
            (Dimension::Model, "gpt".to_owned()),
            (Dimension::PromptVersion, String::new()),
            (Dimension::Environment, "prod".to_owned()),
            (Dimension::Tag("a:b".to_owned()), "ü".to_owned()),
        ];
        row.features = Features { chars: u32::MAX, turns: 300, has_context: true, has_tools: false };
        row.flags = Flags { time_replaced: false, truncated: true, no_content: true };
        let template = row.decisions[0].clone();
        for outcome in Outcome::ALL {
            let state = DecisionState::Closed(outcome, Some(Reason::new("code", "message")));
            row.decisions.push(Decision { state, probability: 0.1 + 0.2, ..template.clone() });
        }
        row.decisions.push(Decision { state: DecisionState::Closed(Outcome::Judged, None), scores: vec![], ..template });
        row
    }

    #[test]
    fn back_and_forth() {
        let row = full();
        assert_eq!(decode(&encode(&row)).unwrap(), row);
    }

    #[test]
    fn the_stored_form_does_not_change() {
        let bytes = encode(&full());
        assert_eq!(
            blake3::hash(&bytes).to_hex()[..16],
            *"5183bc83cb5bc4db",
            "rows of form 1 are on disks: a change needs a new form"
        );
    }

    #[test]
    fn whatever_is_cut_short_or_too_long_is_refused() {
        let mut bytes = encode(&full());
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_none(), "{length}");
        }
        bytes.push(0);
        assert!(decode(&bytes).is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes: Vec<u8>, position: prop::sample::Index, byte: u8) {
            bytes.insert(0, FORM);
            let _ = decode(&bytes);
            let mut bytes = encode(&full());
            let position = position.index(bytes.len());
            bytes[position] = byte;
            let _ = decode(&bytes);
        }
    }
}
