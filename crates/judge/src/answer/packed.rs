//! Reads the answer to several questions. Each part is read on its own: a broken one fails alone.
//!
//! The answer has to be one JSON object and nothing else, as for one question. Where it ends too early or breaks off into something
//! that is no JSON, the entries that were complete before that stand: they are as much the judge's as in a complete answer. Where
//! something follows the object, nothing stands, because then nobody knows which of it is the answer.

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Answer, not_an_object, object, scored};

/// The form that judges are asked to answer in (JSON Schema), for questions with these ids.
pub fn schema(ids: &[&str]) -> String {
    let mut entries = String::new();
    for (at, id) in ids.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        entries.push_str(&format!("{comma}\"{id}\":{}", super::SCHEMA));
    }
    let required = ids.iter().map(|id| format!("\"{id}\"")).collect::<Vec<_>>().join(",");
    format!(r#"{{"type":"object","properties":{{{entries}}},"required":[{required}],"additionalProperties":false}}"#)
}

/// Reads the answers to the questions `ids` out of `text`, in the order of `ids`. An error says what is wrong without repeating any
/// of the text. Entries under other ids are ignored; one that stands twice is refused, because nobody knows which one is meant.
pub fn parse(text: &str, ids: &[&str]) -> Vec<Result<Answer, String>> {
    let all = |why: String| ids.iter().map(|_| Err(why.clone())).collect();
    let text = match object(text) {
        Ok(text) => text,
        Err(why) => return all(why),
    };
    let mut found: Vec<Option<Result<Answer, String>>> = vec![None; ids.len()];
    let mut entries = Entries { ids, found: &mut found, ended: false };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = Reading(&mut entries).deserialize(&mut deserializer);
    let ended = entries.ended;
    let missing = match read.and_then(|()| deserializer.end()) {
        Err(error) if ended => return all(not_an_object(&error)),
        Err(error) => not_an_object(&error),
        Ok(()) => "the answer has no entry for this question".to_owned(),
    };
    found.into_iter().map(|entry| entry.unwrap_or_else(|| Err(missing.clone()))).collect()
}

struct Entries<'a> {
    ids: &'a [&'a str],
    found: &'a mut Vec<Option<Result<Answer, String>>>,
    /// The object's end was seen.
    ended: bool,
}

struct Reading<'a, 'e>(&'e mut Entries<'a>);

impl<'de> DeserializeSeed<'de> for Reading<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Reading<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an entry for each question")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let Self(entries) = self;
        while let Some(id) = map.next_key_seed(Key)? {
            let entry: &RawValue = map.next_value()?;
            let place = entries.ids.iter().position(|wanted| *wanted == id);
            if let Some(slot) = place.and_then(|at| entries.found.get_mut(at)) {
                *slot = Some(match slot {
                    None if entry.get().starts_with('{') => scored(entry.get()).map_err(|why| format!("in its entry, {why}")),
                    None => Err("the entry is not an object with a score".to_owned()),
                    Some(_) => Err("the answer has two entries for this question".to_owned()),
                });
            }
        }
        entries.ended = true;
        Ok(())
    }
}

struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        String::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const IDS: [&str; 3] = ["q1", "q2", "q5"];

    /// The scores, or what the errors say.
    fn read(text: &str) -> Vec<Result<f64, String>> {
        parse(text, &IDS).into_iter().map(|part| part.map(|answer| answer.score)).collect()
    }

    fn check(text: &str, wanted: [Result<f64, &str>; 3]) {
        for (got, wanted) in read(text).into_iter().zip(wanted) {
            match (got, wanted) {
                (Ok(got), Ok(wanted)) => assert_eq!(got, wanted, "{text}"),
                (Err(got), Err(wanted)) => assert!(got.contains(wanted), "{text}: {got}"),
                (got, wanted) => panic!("{text}: {got:?} instead of {wanted:?}"),
            }
        }
    }

    #[test]
    fn whole_answers() {
        let whole = r#"{"q1":{"score":0.1,"reason":"a"},"q2":{"score":1,"reason":"b"},"q5":{"score":0,"reason":""}}"#;
        check(whole, [Ok(0.1), Ok(1.0), Ok(0.0)]);
        check(&format!("```json\n{whole}\n```"), [Ok(0.1), Ok(1.0), Ok(0.0)]);
        check(r#"{"q5":{"score":0.5},"x":[1,{"q1":2}],"q2":{"score":0.2},"q1":{"score":0.1}}"#, [Ok(0.1), Ok(0.2), Ok(0.5)]);
        assert_eq!(parse(whole, &IDS)[1].as_ref().unwrap().reason, "b");
    }

    #[test]
    fn a_broken_part_fails_alone() {
        check(r#"{"q1":{"score":7},"q2":{"score":1},"q5":0.5}"#, [Err("not within"), Ok(1.0), Err("not an object")]);
        check(r#"{"q1":{"reason":"r"},"q2":{"score":"1"},"q5":{"score":1}}"#, [Err("no score"), Err("a text"), Ok(1.0)]);
        check(r#"{"q1":{"score":1},"q5":{"score":1}}"#, [Ok(1.0), Err("no entry"), Ok(1.0)]);
        check(r#"{"q1":{"score":1},"q1":{"score":0},"q2":{"score":1},"q5":null}"#, [Err("two entries"), Ok(1.0), Err("not an")]);
        check(r#"{"q\u0031":{"score":1},"Q2":{"score":1},"q5 ":{"score":1}}"#, [Ok(1.0), Err("no entry"), Err("no entry")]);
    }

    #[test]
    fn what_was_complete_before_an_early_end_stands() {
        check(r#"{"q1":{"score":1,"reason":"a"},"q2":{"score":1,"rea"#, [Ok(1.0), Err("ends before"), Err("ends before")]);
        check(r#"{"q1":{"score":1},"#, [Ok(1.0), Err("ends before"), Err("ends before")]);
        check(r#"{"q1":{"score":1},"q2":{"score":oops},"q5":{"score":1}}"#, [Ok(1.0), Err("not one"), Err("not one")]);
    }

    #[test]
    fn what_is_not_one_object_gives_nothing() {
        let whole = r#"{"q1":{"score":1},"q2":{"score":1},"q5":{"score":1}}"#;
        check(&format!("{whole} Hope this helps."), [Err("nothing else"), Err("nothing else"), Err("nothing else")]);
        check(&format!("{whole}{whole}"), [Err("nothing else"), Err("nothing else"), Err("nothing else")]);
        check(&format!("Sure: {whole}"), [Err("not a JSON object"), Err("not a JSON object"), Err("not a JSON object")]);
        check("", [Err("empty"), Err("empty"), Err("empty")]);
        check(r#"{"score":1,"reason":"one for all"}"#, [Err("no entry"), Err("no entry"), Err("no entry")]);
    }

    #[test]
    fn the_schema_wants_every_question_and_nothing_else() {
        let schema: serde_json::Value = serde_json::from_str(&schema(&IDS)).unwrap();
        assert_eq!(schema["required"], serde_json::json!(IDS));
        assert_eq!(schema["additionalProperties"], false);
        for id in IDS {
            assert_eq!(schema["properties"][id], serde_json::from_str::<serde_json::Value>(super::super::SCHEMA).unwrap());
        }
        assert_eq!(schema["properties"].as_object().unwrap().len(), 3);
    }

    #[test]
    fn depth_does_not_overflow_the_stack_and_an_error_repeats_no_text() {
        let deep = "[".repeat(200_000);
        assert!(read(&format!("{{\"q1\":{deep}")).iter().all(Result::is_err));
        assert!(read(&format!("{{\"q1\":{}", "{\"q1\":".repeat(200_000))).iter().all(Result::is_err));
        let closed = format!("{{\"x\":{deep}{}, \"q1\":{{\"score\":1}}}}", "]".repeat(200_000));
        let _ = read(&closed);
        for part in read(r#"{"q1":{"score":"the secret words"},"the secret words":1,"q2":"the secret words"}"#) {
            assert!(!part.unwrap_err().contains("secret"));
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_never_leaves_the_range(text in any::<String>(), json in "[{}\\[\\]\":,scoreq1250.e`\\n -]{0,80}") {
            for text in [text, json] {
                let parts = parse(&text, &IDS);
                prop_assert_eq!(parts.len(), IDS.len());
                for part in parts.into_iter().flatten() {
                    prop_assert!((0.0..=1.0).contains(&part.score));
                }
            }
        }
    }
}
