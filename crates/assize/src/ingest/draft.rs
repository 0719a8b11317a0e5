//! What a sender sent, before its project and time are settled.

use std::collections::BTreeMap;

use assize_core::{Flags, Interaction, InteractionId, Message, ProjectName, Role, Timestamp, TokenUsage, time::believed};
use serde::{Deserialize, Serialize};

use super::{LABEL_MAX, TAG_KEY_MAX, TAG_VALUE_MAX, TAGS_MAX};

/// An interaction as its sender describes it. Fields mean what they mean in [`Interaction`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Draft {
    /// The sender's id; one is made where there is none.
    pub id: Option<InteractionId>,
    /// The project that the sender names; whether its key allows that is for the caller to say.
    pub project: Option<ProjectName>,
    /// When it happened, as the sender claims.
    pub time: Option<Timestamp>,
    /// The conversation that it is part of.
    pub conversation_id: Option<String>,
    /// The model that answered.
    pub model: Option<String>,
    /// The version of the application's prompt.
    pub prompt_version: Option<String>,
    /// Where the application runs.
    pub environment: Option<String>,
    /// The application's instructions to the model.
    pub system: Option<String>,
    /// What was asked.
    pub input: Vec<Message>,
    /// What was answered.
    pub output: Vec<Message>,
    /// What the answer should rest on.
    pub context: Vec<String>,
    /// The right answer.
    pub reference: Option<String>,
    /// Free labels.
    pub tags: BTreeMap<String, String>,
    /// The tokens that the application paid for.
    pub usage: Option<TokenUsage>,
    /// What was odd about it; `time_replaced` is set by [`Draft::into_interaction`] only.
    pub flags: Flags,
}

impl Draft {
    /// Settles the draft: `project` is what the caller decided, the time is believed within -7 days and +5 minutes of
    /// `accepted_at`, and `new_id` makes an id where the sender gave none.
    pub fn into_interaction(
        self,
        project: ProjectName,
        accepted_at: Timestamp,
        new_id: impl FnOnce() -> InteractionId,
    ) -> Interaction {
        let (time, time_replaced) = believed(self.time, accepted_at);
        Interaction {
            id: self.id.unwrap_or_else(new_id),
            project,
            time,
            conversation_id: self.conversation_id,
            model: self.model,
            prompt_version: self.prompt_version,
            environment: self.environment,
            system: self.system,
            input: self.input,
            output: self.output,
            context: self.context,
            reference: self.reference,
            tags: self.tags,
            usage: self.usage,
            flags: Flags { time_replaced, ..self.flags },
        }
    }

    /// Bytes of all its text: messages, instructions, context, reference and tags.
    pub fn text_bytes(&self) -> usize {
        let messages = self.input.iter().chain(&self.output).map(|m| m.content.len() + m.tool.as_ref().map_or(0, String::len));
        let context = self.context.iter().map(String::len);
        let single = self.system.iter().chain(&self.reference).map(String::len);
        let tags = self.tags.iter().map(|(key, value)| key.len() + value.len());
        messages.chain(context).chain(single).chain(tags).fold(0, usize::saturating_add)
    }

    /// Whether there is an answer: an output message that says something or calls a tool.
    pub fn has_output(&self) -> bool {
        says_something(&self.output)
    }

    /// Whether there is a question: an input message that says something or calls a tool.
    pub fn has_input(&self) -> bool {
        says_something(&self.input)
    }

    /// Moves the messages of system and developer that open the input to `system`, after what stands there, so that instructions
    /// have one place whatever the dialect.
    pub(crate) fn lift_instructions(&mut self) {
        let leading = self.input.iter().take_while(|message| matches!(message.role, Role::System | Role::Developer)).count();
        for message in self.input.drain(..leading) {
            match &mut self.system {
                Some(system) if *system == message.content || message.content.is_empty() => {}
                Some(system) => {
                    system.push_str("\n\n");
                    system.push_str(&message.content);
                }
                None => self.system = Some(message.content),
            }
        }
    }

    /// Adds a tag if it is within the limits: long values are cut, long keys and the 65th tag are left out. A tag that is there stays.
    pub(crate) fn tag(&mut self, key: &str, value: String) {
        if key.is_empty() || key.len() > TAG_KEY_MAX || self.tags.len() >= TAGS_MAX || self.tags.contains_key(key) {
            return;
        }
        self.tags.insert(key.to_owned(), cut_to(value, TAG_VALUE_MAX));
    }

    /// Takes from `other`, another account of the same interaction, what this one lacks. Text that one of both has makes the flag
    /// `no_content` void.
    pub(crate) fn fill_from(&mut self, other: Self) {
        fill(&mut self.time, other.time);
        fill(&mut self.conversation_id, other.conversation_id);
        fill(&mut self.model, other.model);
        fill(&mut self.prompt_version, other.prompt_version);
        fill(&mut self.environment, other.environment);
        fill(&mut self.system, other.system);
        fill(&mut self.reference, other.reference);
        fill(&mut self.usage, other.usage);
        for (mine, theirs) in [(&mut self.input, other.input), (&mut self.output, other.output)] {
            if !says_something(mine) {
                *mine = theirs;
            }
        }
        if self.context.is_empty() {
            self.context = other.context;
        }
        for (key, value) in other.tags {
            self.tag(&key, value);
        }
        self.flags.truncated |= other.flags.truncated;
        self.flags.no_content = !self.has_input() && !self.has_output();
    }
}

fn fill<T>(mine: &mut Option<T>, theirs: Option<T>) {
    if mine.is_none() {
        *mine = theirs;
    }
}

fn says_something(messages: &[Message]) -> bool {
    messages.iter().any(|message| message.tool.is_some() || !message.content.trim().is_empty())
}

/// `text`, cut to at most `bytes` bytes at a character boundary.
pub(crate) fn cut_to(mut text: String, bytes: usize) -> String {
    if text.len() > bytes {
        let end = (0..=bytes).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

/// A label as it is kept: `None` when blank, cut to [`LABEL_MAX`] bytes.
pub(crate) fn label(text: String) -> Option<String> {
    (!text.trim().is_empty()).then(|| cut_to(text, LABEL_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        Draft { input: vec![Message::new(Role::User, "q")], output: vec![Message::new(Role::Assistant, "a")], ..Draft::default() }
    }

    #[test]
    fn settling_believes_the_time_and_makes_an_id_only_where_there_is_none() {
        let project = ProjectName::new("p").unwrap();
        let now = Timestamp(1_000_000_000_000);
        let made = InteractionId::new("made").unwrap();
        let near = Draft { time: Some(Timestamp(now.0 - 1)), id: Some(InteractionId::new("own").unwrap()), ..draft() };
        let near = near.into_interaction(project.clone(), now, || unreachable!());
        assert_eq!((near.id.as_str(), near.time, near.flags.time_replaced), ("own", Timestamp(now.0 - 1), false));
        let far = Draft { time: Some(Timestamp(0)), ..draft() }.into_interaction(project, now, || made.clone());
        assert_eq!((far.id, far.time, far.flags.time_replaced), (made, now, true));
    }

    #[test]
    fn leading_instructions_move_and_later_ones_stay() {
        let mut draft = Draft { system: Some("one".into()), ..draft() };
        draft.input = vec![
            Message::new(Role::System, "one"),
            Message::new(Role::Developer, "two"),
            Message::new(Role::User, "q"),
            Message::new(Role::System, "three"),
        ];
        draft.lift_instructions();
        assert_eq!(draft.system.as_deref(), Some("one\n\ntwo"));
        assert_eq!(draft.input.len(), 2);
        assert_eq!(draft.input[1].content, "three");
    }

    #[test]
    fn tags_keep_to_their_limits() {
        let mut draft = draft();
        draft.tag(&"k".repeat(TAG_KEY_MAX + 1), "v".into());
        draft.tag("", "v".into());
        assert!(draft.tags.is_empty());
        draft.tag("long", "é".repeat(TAG_VALUE_MAX));
        assert_eq!(draft.tags["long"].len(), TAG_VALUE_MAX);
        for i in 0..100 {
            draft.tag(&format!("k{i}"), "v".into());
        }
        assert_eq!(draft.tags.len(), TAGS_MAX);
    }

    #[test]
    fn filling_takes_what_is_missing_and_keeps_what_is_there() {
        let mut span =
            Draft { model: Some("m".into()), flags: Flags { no_content: true, ..Flags::default() }, ..Draft::default() };
        span.fill_from(Draft { model: Some("other".into()), system: Some("s".into()), ..draft() });
        assert_eq!(span.model.as_deref(), Some("m"));
        assert_eq!(span.system.as_deref(), Some("s"));
        assert!(span.has_output() && span.has_input() && !span.flags.no_content);
    }
}
