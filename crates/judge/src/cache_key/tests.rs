use std::time::{Duration, Instant};

use assize_core::{Flags, Role};
use assize_testkit::samples::{self, MORNING};
use proptest::prelude::*;

use super::*;
use crate::prompt::Prompt;
use crate::spec::Question;

type Key = fn(&TenantName, &MetricName, &JudgeVersion, &Interaction, bool) -> CacheKey;

const KEYS: [Key; 3] = [exact, normalised, rest];

fn tenant(name: &str) -> TenantName {
    TenantName::new(name).unwrap()
}

fn key_of(key: Key, interaction: &Interaction) -> CacheKey {
    key(&tenant("t"), &samples::metric("m"), &samples::version("j"), interaction, false)
}

/// Everything that a key must tell apart, in a form that tells it apart by itself.
fn shown(interaction: &Interaction) -> String {
    let Interaction { system, input, output, context, reference, flags, .. } = interaction;
    serde_json::to_string(&(system, input, output, context, reference, flags.truncated)).unwrap()
}

fn item(interaction: &Interaction) -> String {
    let question = Question { text: "Is it?".to_owned(), ..Question::default() };
    Prompt::open(&question, None).unwrap().item(interaction)
}

/// Texts of few letters, so that parts are often the same and often differ only in where they end.
fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", " c"]), 0..3).prop_map(|letters| letters.concat())
}

fn message() -> impl Strategy<Value = Message> {
    let role = prop::sample::select(vec![Role::System, Role::Developer, Role::User, Role::Assistant, Role::Tool]);
    (role, text(), prop::option::of(text())).prop_map(|(role, content, tool)| Message { role, content, tool })
}

fn messages() -> impl Strategy<Value = Vec<Message>> {
    prop::collection::vec(message(), 0..3)
}

fn interaction() -> impl Strategy<Value = Interaction> {
    let contexts = prop::collection::vec(text(), 0..3);
    (prop::option::of(text()), messages(), messages(), contexts, prop::option::of(text()), any::<bool>()).prop_map(
        |(system, input, output, context, reference, truncated)| Interaction {
            system,
            input,
            output,
            context,
            reference,
            flags: Flags { truncated, ..Flags::default() },
            ..samples::interaction("p", "a", MORNING)
        },
    )
}

/// Another interaction that differs in one place, or in none.
fn near() -> impl Strategy<Value = (Interaction, Interaction)> {
    let change = (0..10_u8, text(), message(), any::<prop::sample::Index>());
    (interaction(), change).prop_map(|(one, (place, text, message, at))| {
        let mut other = one.clone();
        match place {
            0 => other.system = Some(text),
            1 => other.reference = Some(text),
            2 => other.context.push(text),
            3 => other.input.push(message),
            4 => other.output.insert(0, message),
            5 => std::mem::swap(&mut other.input, &mut other.output),
            6 => other.system = other.reference.take(),
            7 => other.flags.truncated = !other.flags.truncated,
            8 => {
                // The end of one text to the beginning of the next.
                if let [.., before, after] = &mut other.context[..]
                    && let Some(last) = before.pop()
                {
                    after.insert(0, last);
                }
            }
            _ => {
                if !other.input.is_empty() {
                    let moved = other.input.remove(at.index(other.input.len()));
                    other.output.push(moved);
                }
            }
        }
        (one, other)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_exact_key_tells_apart_what_the_prompt_shows((one, other) in near(), third in interaction()) {
        for (one, other) in [(&one, &other), (&one, &third), (&other, &third)] {
            let same = key_of(exact, one) == key_of(exact, other);
            prop_assert_eq!(same, shown(one) == shown(other));
            prop_assert!(!same || item(one) == item(other));
        }
    }

    #[test]
    fn the_normalised_key_tells_apart_what_normalising_leaves((one, other) in near()) {
        let settled = |interaction: &Interaction| {
            let mut settled = interaction.clone();
            let texts = settled.system.iter_mut().chain(&mut settled.context).chain(&mut settled.reference);
            let messages = settled.input.iter_mut().chain(&mut settled.output).map(|message| &mut message.content);
            texts.chain(messages).for_each(|text| *text = normalise(text));
            settled
        };
        let same = key_of(normalised, &one) == key_of(normalised, &other);
        prop_assert_eq!(same, shown(&settled(&one)) == shown(&settled(&other)));
        prop_assert_eq!(key_of(normalised, &one), key_of(normalised, &settled(&one)));
        prop_assert_ne!(key_of(normalised, &one), key_of(exact, &one), "one domain never answers for the other");
    }

    #[test]
    fn the_rest_and_the_open_texts_are_all_of_it((one, other) in near()) {
        let texts = |interaction: &Interaction| open_texts(interaction).map(|texts| texts.into_iter().map(normalise).collect::<Vec<_>>());
        let same_rest = key_of(rest, &one) == key_of(rest, &other);
        let same = key_of(normalised, &one) == key_of(normalised, &other);
        prop_assert_eq!(same, same_rest && texts(&one) == texts(&other));
        let mut reworded = one.clone();
        for (messages, speaker) in [(&mut reworded.input, Role::User), (&mut reworded.output, Role::Assistant)] {
            for message in messages.iter_mut().filter(|message| message.role == speaker && message.tool.is_none()) {
                message.content.push_str("zz");
            }
        }
        prop_assert_eq!(key_of(rest, &one), key_of(rest, &reworded), "what is asked and answered is left open");
    }

    #[test]
    fn names_are_told_apart(names in prop::collection::vec("[ab]{1,3}", 6)) {
        let interaction = samples::interaction("p", "a", MORNING);
        for key in KEYS {
            let of = |at: usize| {
                let version = JudgeVersion::from_stored(&names[at + 2]);
                key(&tenant(&names[at]), &samples::metric(&names[at + 1]), &version, &interaction, false)
            };
            prop_assert_eq!(of(0) == of(3), names[..3] == names[3..]);
        }
    }
}

#[test]
fn what_the_prompt_does_not_show_makes_no_difference() {
    let one = Interaction { context: vec!["c".to_owned()], ..samples::interaction("p", "a", MORNING) };
    let other = Interaction {
        id: samples::id("b"),
        project: samples::project("q"),
        time: assize_core::Timestamp(0),
        conversation_id: Some("x".to_owned()),
        model: None,
        prompt_version: Some("2".to_owned()),
        environment: Some("prod".to_owned()),
        tags: [("k".to_owned(), "v".to_owned())].into(),
        usage: Some(Default::default()),
        flags: Flags { time_replaced: true, ..Flags::default() },
        ..one.clone()
    };
    assert_eq!(item(&one), item(&other));
    for key in KEYS {
        assert_eq!(key_of(key, &one), key_of(key, &other));
    }
    // Unless the question leaves it out, the context is shown.
    let bare = Interaction { context: Vec::new(), ..one.clone() };
    for key in KEYS {
        let of = |interaction, without| key(&tenant("t"), &samples::metric("m"), &samples::version("j"), interaction, without);
        assert_ne!(of(&one, false), of(&bare, false));
        assert_eq!(of(&one, true), of(&bare, true));
        assert_eq!(of(&bare, false), of(&bare, true));
    }
}

#[test]
fn near_duplicates_share_the_normalised_key_only() {
    let asked = |question: &str| {
        let mut interaction = samples::interaction("p", "a", MORNING);
        interaction.input[0].content = question.to_owned();
        interaction
    };
    let one = asked("Where is order 4711 of jane@example.com?");
    let like = asked("where is  ORDER 12 of bob@example.org?\n");
    let unlike = asked("Where is not order 4711 of jane@example.com?");
    assert_ne!(key_of(exact, &one), key_of(exact, &like));
    assert_eq!(key_of(normalised, &one), key_of(normalised, &like));
    assert_ne!(key_of(normalised, &one), key_of(normalised, &unlike));
}

#[test]
fn keys_do_not_change() {
    let interaction = samples::interaction("p", "a", MORNING);
    let digests = KEYS.map(|key| format!("{:?}", key_of(key, &interaction))[..16].to_owned());
    assert_eq!(digests[..2], ["2d1e8da3d9b7ef16", "a242ea2a54cb99a3"], "keys are on disks: another layout needs another domain");
}

#[test]
fn a_megabyte_has_a_key_at_once() {
    let mut interaction = samples::interaction("p", "a", MORNING);
    interaction.output[0].content = "The 3 cats sat on 2 mats. ".repeat((1 << 20) / 26);
    for key in KEYS {
        let begun = Instant::now();
        key_of(key, &interaction);
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}
