//! Rules: judges that cost microseconds, run on every interaction at accept, and touch nothing.
//!
//! A judge scores 1 if any rule that is set finds something, else 0. The reason names the rule and what it found; of personal data
//! only the kind. Rules read the contents of messages one by one, so a phrase does not match across two of them.

mod patterns;
mod phrases;
mod pii;

use std::borrow::Cow;
use std::sync::Arc;

use assize_core::judge::{InlineJudge, InlineVerdict};
use assize_core::{Interaction, JudgeVersion, Message};
use serde::de::IgnoredAny;

use crate::check::SpecError;
use crate::spec::{Field, RulesSpec};

pub(crate) use phrases::is_quote;

/// Changes whenever the same specification would judge some text differently than before.
const ENGINE: &[u8] = b"rules/1";
const REASON_CHARS_MAX: usize = 200;

/// Opens a judge of rules.
///
/// # Errors
/// Where [`RulesSpec::check`] refuses the specification, or a regular expression does not compile or compiles to too much.
pub fn open(spec: &RulesSpec) -> Result<Arc<dyn InlineJudge>, SpecError> {
    spec.check()?;
    let canonical = serde_json::to_vec(spec).map_err(|error| SpecError::new("kind", error.to_string()))?;
    Ok(Arc::new(Rules {
        version: JudgeVersion::of(&[ENGINE, &canonical]),
        any_of: phrases::Phrases::open("any_of", &spec.any_of, spec.whole_words)?,
        all_of: phrases::Phrases::open("all_of", &spec.all_of, spec.whole_words)?,
        patterns: patterns::Patterns::open(&spec.any_pattern)?,
        pii: pii::Pii::open(&spec.pii),
        spec: spec.clone(),
    }))
}

struct Rules {
    version: JudgeVersion,
    spec: RulesSpec,
    any_of: Option<phrases::Phrases>,
    all_of: Option<phrases::Phrases>,
    patterns: Option<patterns::Patterns>,
    pii: Option<pii::Pii>,
}

impl InlineJudge for Rules {
    fn version(&self) -> &JudgeVersion {
        &self.version
    }

    fn judge(&self, interaction: &Interaction) -> InlineVerdict {
        match self.finding(interaction) {
            Some(reason) => InlineVerdict { score: 1.0, reason: cut(reason, REASON_CHARS_MAX) },
            None => InlineVerdict { score: 0.0, reason: self.not_applicable(interaction).to_owned() },
        }
    }
}

impl Rules {
    /// The first rule that finds something, in the order of the specification's keys.
    fn finding(&self, interaction: &Interaction) -> Option<String> {
        let (first, second) = match self.spec.field {
            Field::Input => (interaction.input.as_slice(), [].as_slice()),
            Field::Output => (interaction.output.as_slice(), [].as_slice()),
            Field::Both => (interaction.input.as_slice(), interaction.output.as_slice()),
        };
        let texts = || first.iter().chain(second).map(|message: &Message| message.content.as_str());

        if let Some(phrases) = &self.any_of
            && let Some(phrase) = texts().find_map(|text| phrases.first_in(text))
        {
            return Some(format!("any_of: {phrase:?}"));
        }
        if let Some(phrases) = &self.all_of
            && let Some(phrase) = phrases.first_missing(texts())
        {
            return Some(format!("all_of: {phrase:?} is missing"));
        }
        if let Some(patterns) = &self.patterns
            && let Some((index, matched)) = texts().find_map(|text| patterns.first_in(text))
        {
            return Some(format!("any_pattern[{index}]: {matched:?}"));
        }
        if self.spec.chars_min.is_some() || self.spec.chars_max.is_some() {
            let chars: usize = texts().map(|text| text.chars().count()).sum();
            if let Some(min) = self.spec.chars_min.filter(|min| chars < *min) {
                return Some(format!("chars_min: {chars} characters are fewer than {min}"));
            }
            if let Some(max) = self.spec.chars_max.filter(|max| chars > *max) {
                return Some(format!("chars_max: {chars} characters are more than {max}"));
            }
        }
        self.finding_in_whole(interaction).or_else(|| {
            let found = self.pii.as_ref()?.kinds_in(texts());
            (!found.is_empty()).then(|| format!("pii: {}", found.join(", ")))
        })
    }

    /// The rules that need the one text of the field as a whole.
    fn finding_in_whole(&self, interaction: &Interaction) -> Option<String> {
        let spec = &self.spec;
        if spec.must_be_json
            && let Err(error) = serde_json::from_str::<IgnoredAny>(&self.text(interaction))
        {
            let at = if error.is_eof() { "it ends too early".to_owned() } else { format!("column {}", error.column()) };
            return Some(format!("must_be_json: not valid JSON (line {}, {at})", error.line()));
        }
        if let Some(wanted) = &spec.must_equal
            && self.text(interaction).trim() != wanted.trim()
        {
            return Some("must_equal: it is something else".to_owned());
        }
        let reference = reference_of(interaction)?;
        if spec.must_equal_reference && !lowercase(self.text(interaction).trim()).eq(lowercase(reference)) {
            return Some("must_equal_reference: it differs from the reference".to_owned());
        }
        if spec.must_contain_reference && !self.text(interaction).to_lowercase().contains(&reference.to_lowercase()) {
            return Some("must_contain_reference: the reference does not occur".to_owned());
        }
        None
    }

    /// Why a score of 0 says less than it seems to; empty where it says all.
    fn not_applicable(&self, interaction: &Interaction) -> &'static str {
        if (self.spec.must_equal_reference || self.spec.must_contain_reference) && reference_of(interaction).is_none() {
            "does not apply: the interaction has no reference"
        } else {
            ""
        }
    }

    fn text<'a>(&self, interaction: &'a Interaction) -> Cow<'a, str> {
        match self.spec.field {
            Field::Input => interaction.input_text(),
            Field::Output => interaction.output_text(),
            Field::Both => Cow::Owned(format!("{}\n{}", interaction.input_text(), interaction.output_text())),
        }
    }
}

fn reference_of(interaction: &Interaction) -> Option<&str> {
    interaction.reference.as_deref().map(str::trim).filter(|reference| !reference.is_empty())
}

fn lowercase(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

/// `text`, cut to `most` characters.
fn cut(mut text: String, most: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(most) {
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests;
